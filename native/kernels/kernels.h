// The kernels: a const table of function pointers per instruction set, all compiled from the same *.inc.h.
//
// Every kernel has a fixed order of reduction: what it computes for a row, column, token or head depends on
// the operands of that one alone, never on how many others are computed in the same call.
#ifndef INGOT_KERNELS_KERNELS_H
#define INGOT_KERNELS_KERNELS_H

#include "base/cpu.h"
#include "base/status.h"

// Most positions of one attend call.
enum { KERNELS_MAX_PAGE = 64 };

// How scores are made of the products q . k.
typedef struct attn_scores {
    float scale;       // of the products
    float soft_cap;    // 0: none; else a score becomes soft_cap * tanh(score / soft_cap)
    const float *bias; // added last, [n] for the positions of the call; NULL: none
} attn_scores;

// out[i] = f(x[i]) * up[i], where a NULL `up` means ones; in place is allowed.
typedef void kernels_activation(const float *x, const float *up, int64_t n, float *out);

// What an online softmax has seen so far.
typedef struct attn_state {
    float max;  // largest score so far (-INFINITY at first)
    float sum;  // of exp(score - max)
    float *acc; // [v_dim] weighted sum of values, not yet divided by `sum`
} attn_state;

typedef struct kernels {
    const char *name;

    // out[c * out_stride] = sum over i < n of w[i] * x[c * x_stride + i], for c < n_cols. Strides in floats.
    void (*dots)(const float *w, const float *x, int64_t x_stride, int64_t n_cols, int64_t n, float *out,
                 int64_t out_stride);

    // out[i] = x[i] / sqrt(mean(x^2) + eps) * w[i]; `w` NULL means ones. In place is allowed.
    // Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
    void (*rms_norm)(const float *x, const float *w, float eps, int64_t n, float *out);

    // out[i] = (x[i] - mean) / sqrt(variance + eps) * w[i] + b[i]; `w` NULL means ones, `b` NULL zeros. In
    // place is allowed. Ba et al. 2016, "Layer Normalization".
    void (*layer_norm)(const float *x, const float *w, const float *b, float eps, int64_t n, float *out);

    // With `up` these are the gated units of Shazeer 2020, "GLU Variants Improve Transformer".
    kernels_activation *silu;         // x * sigmoid(x)
    kernels_activation *gelu;         // x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
    kernels_activation *gelu_erf;     // x/2 * (1 + erf(x / sqrt(2)))
    kernels_activation *relu_squared; // max(x, 0)^2
    kernels_activation *tanh;
    kernels_activation *swiglu_oai; // x * sigmoid(1.702 x) * (up + 1), x at most 7, up within +-7; needs `up`

    // y[i] += a * x[i]
    void (*axpy)(float a, const float *x, int64_t n, float *y);

    // x[i] = exp(x[i] - max) / sum
    void (*softmax)(float *x, int64_t n);

    // Half precision (IEEE binary16, round to nearest even) from and to float.
    void (*f16_to_f32)(const uint16_t *src, int64_t n, float *dst);
    void (*f32_to_f16)(const float *src, int64_t n, uint16_t *dst);

    // Folds `n` positions (n <= KERNELS_MAX_PAGE) of one page into `state`: scores of q with k[i], then
    // values. `k` and `v` are [n][dim] floats or halves (`half`). Online softmax, one rescale a page: Dao et
    // al. 2022, "FlashAttention".
    void (*attend)(attn_state *state, const float *q, const void *k, const void *v, bool half, int64_t n,
                   int64_t k_dim, int64_t v_dim, const attn_scores *scores);
} kernels;

// The i-th instruction set compiled in, worst first; NULL past the last.
const kernels *kernels_at(int i);

// Whether this machine can run the i-th.
bool kernels_usable(int i);

// The one called `name`, or with NULL the best usable. An unknown or unusable one is an error that lists the
// usable ones.
ingot_status kernels_choose(const char *name, const kernels **out, ingot_error *err);

#endif
