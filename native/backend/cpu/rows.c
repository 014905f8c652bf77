// Sums over rows of logits, which lie on the host.
#include "backend/cpu/cpu.h"

_Static_assert((int)BACKEND_ROW_BLOCK == (int)KERNELS_ROW_BLOCK, "the same blocks");

float backend_row_max(const struct kernels *k, const float *x, int64_t n, float *block_max, bool *odd) {
    return k->row_max(x, n, block_max, odd);
}

double backend_row_weigh(const struct kernels *k, const float *x, int64_t n, float max, float *weights,
                         double *block_sum) {
    return k->row_weigh(x, n, max, weights, block_sum);
}

double backend_row_mean(const struct kernels *k, const float *x, int64_t n, float max, const float *weights) {
    return k->row_mean(x, n, max, weights);
}

void backend_row_divide(const struct kernels *k, float *x, int64_t n, float from, float by) {
    k->row_divide(x, n, from, by);
}

void backend_row_adapt(const struct kernels *k, const float *weights, int64_t n, float scale, float target,
                       float *probabilities, float *logits) {
    k->row_adapt(weights, n, scale, target, probabilities, logits);
}
