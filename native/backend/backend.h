// What a device must do for a model: hold weights, activations and KV pages behind handles, and run
// operations on them. model/ knows this header and no device.
//
// Activations are float32, [tokens][width], dense. Operations are enqueued in order and return nothing; what
// went wrong (a lost device, a weight file that was cut off) is reported by sync. Shapes are fixed when
// handles are made: a buffer has a width and room for `max_tokens` tokens; operations are told how many of
// them count. An operation's result for a token never depends on the other tokens of the call.
#ifndef INGOT_BACKEND_BACKEND_H
#define INGOT_BACKEND_BACKEND_H

#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/status.h"
#include "quant/quant.h"

// Checked both ways: a table made for another version is refused by backend_open, and a backend refuses
// params of another version.
enum { BACKEND_VERSION = 9 };

typedef struct backend_ops backend_ops;

// A device opened for a runtime. Backends put their own state behind this head.
typedef struct backend {
    const backend_ops *ops;
} backend;

typedef struct backend_weight backend_weight;
typedef struct backend_buffer backend_buffer;
typedef struct backend_kv backend_kv;
typedef struct backend_routing backend_routing;   // which experts each token goes to, with what share
typedef struct backend_low_rank backend_low_rank; // two matrices whose product is added to a weight
typedef struct backend_squares backend_squares;   // of what matrices were multiplied with, summed by column
struct kernels;                                   // of backend/cpu: an instruction set's functions

typedef struct backend_params {
    uint32_t version; // BACKEND_VERSION
    pool *threads;
    const struct kernels *kernels; // of backend/cpu
    const ingot_allocator *mem;
    const log_sink *log;
} backend_params;

// A matrix, or `mats` of the same shape (experts), as it lies in a file: borrowed, must outlive the handle.
typedef struct weight_desc {
    const char *name; // for messages; not kept
    const void *data; // first row
    int32_t type;     // tensor type id
    int64_t width;    // weights in a row (the input's width)
    int64_t rows;     // rows of a matrix (the output's width)
    int64_t mats;
    bool vector; // a norm or bias: kept as float32
} weight_desc;

typedef struct kv_layout {
    int32_t n_layers;
    int32_t n_head;    // of queries, the largest of the layers
    int32_t n_head_kv; // the same of keys and values
    int32_t k_dim;     // of a head
    int32_t v_dim;
    int32_t k_type; // tensor types whose blocks divide the dims
    int32_t v_type;
    int32_t page_tokens; // 32
    int32_t n_pages;
} kv_layout;

// The tokens of one forward pass.
typedef struct backend_batch {
    int32_t n_tokens;
    const int32_t *tokens;       // [n_tokens] ids
    const int32_t *positions;    // [n_tokens] position in their sequence
    const int32_t *seqs;         // [n_tokens] index into `pages` and `ends`
    const int32_t *const *pages; // per sequence: page of positions 0.., page_tokens.., ...
    const int32_t *ends;         // per sequence: positions stored once the batch has run
} backend_batch;

typedef enum norm_kind {
    NORM_RMS = 0,
    NORM_LAYER,
} norm_kind;

// A norm over groups of `group` neighbours: the whole width, or a head.
typedef struct backend_norm {
    norm_kind kind;
    float eps;
    int64_t group;                // 0: there is no norm here
    const backend_weight *weight; // [group], or one after the other for each group; NULL: ones
    const backend_weight *bias;   // the same; NULL: zeros
} backend_norm;

// Of feed-forward blocks; what each computes stands in kernels/kernels.h.
typedef enum activation {
    ACTIVATION_SILU = 0,
    ACTIVATION_GELU,     // by tanh
    ACTIVATION_GELU_ERF, // by the error function
    ACTIVATION_RELU_SQUARED,
    ACTIVATION_TANH,
    ACTIVATION_SWIGLU_OAI,
} activation;

typedef enum rope_kind {
    ROPE_NONE = 0,
    ROPE_NORM, // rotates neighbours (2i, 2i + 1)
    ROPE_NEOX, // rotates halves (i, i + n / 2)
} rope_kind;

typedef enum router_kind {
    ROUTER_NONE = 0,
    ROUTER_SOFTMAX,     // softmax over all experts, the best `n_used` keep their share
    ROUTER_SOFTMAX_TOP, // the same, shares divided by their sum (equal to a softmax over the best)
    ROUTER_SIGMOID,     // the best by logit, each with its sigmoid
} router_kind;

// One product of several that share an input: out = x * weight^T + bias.
typedef struct backend_product {
    const backend_weight *weight;
    const backend_weight *bias; // may be NULL
    backend_buffer *out;
} backend_product;

// What is added to the result of a product for some of its tokens, by an adapter of low rank: Hu et al. 2021,
// "LoRA: Low-Rank Adaptation of Large Language Models".
typedef struct backend_addition {
    const backend_low_rank *pair;
    float factor; // of all of it
    backend_buffer *out;
    const int32_t *tokens; // [n_tokens]
    const float *scales;   // [n_tokens] of each
    int32_t n_tokens;
} backend_addition;

// Which positions a query sees of those that its sequence has.
typedef enum window_kind {
    WINDOW_NONE = 0,
    WINDOW_SLIDING, // the last `window`, its own included; if not causal, those at most window / 2 away
    WINDOW_CHUNK,   // those of its own chunk of `window`
} window_kind;

typedef struct attend_args {
    int32_t layer;
    int32_t n_head;
    int32_t n_head_kv;
    float scale;    // of the products
    float soft_cap; // of the scores; 0: none
    bool causal;    // nothing behind the query's own position
    window_kind window_kind;
    int32_t window;
    float alibi; // largest bias of ALiBi (Press et al. 2022, "Train Short, Test Long"); 0: none
    // Scores of a query at `position` are multiplied by 1 + temperature * log(1 + floor((position + offset) /
    // length)).
    float temperature;
    int32_t temperature_length, temperature_offset;
    const backend_weight *sinks; // [n_head]: a score of each head that takes its share of attention; or NULL
} attend_args;

struct backend_ops {
    uint32_t version; // BACKEND_VERSION
    const char *name; // "cpu"

    int32_t (*device_count)(void);
    ingot_status (*describe)(const backend_params *params, int32_t device, ingot_device *out,
                             ingot_error *err);
    ingot_status (*open)(const backend_params *params, int32_t device, backend **out, ingot_error *err);
    void (*close)(backend *b);

    // Handles. free functions accept NULL.
    ingot_status (*weight_new)(backend *b, const weight_desc *desc, backend_weight **out, ingot_error *err);
    void (*weight_free)(backend *b, backend_weight *w);
    ingot_status (*buffer_new)(backend *b, int64_t width, int64_t max_tokens, backend_buffer **out,
                               ingot_error *err);
    void (*buffer_free)(backend *b, backend_buffer *buffer);
    ingot_status (*kv_new)(backend *b, const kv_layout *layout, backend_kv **out, ingot_error *err);
    void (*kv_free)(backend *b, backend_kv *kv);
    // Copies a page, of all layers.
    void (*kv_copy)(backend *b, backend_kv *kv, int32_t from, int32_t to);
    // The bytes of a page, of all layers: those of the layout's types, n_layers * page_tokens * n_head_kv
    // keys and values. Their order is the backend's own. Any thread may call these for pages that no
    // operation writes or, to write them, reads.
    ingot_status (*kv_read)(backend *b, const backend_kv *kv, int32_t page, void *bytes, ingot_error *err);
    ingot_status (*kv_write)(backend *b, backend_kv *kv, int32_t page, const void *bytes, ingot_error *err);

    ingot_status (*routing_new)(backend *b, int32_t n_expert, int32_t n_used, int64_t max_tokens,
                                backend_routing **out, ingot_error *err);
    void (*routing_free)(backend *b, backend_routing *routing);

    // From an input to `rank` numbers and from those to a result: matrices [rank][width] and [rows][rank],
    // or, of an embedding, [tokens][rank] and [rows][rank]. May be called while operations run.
    // INGOT_ERR_LIMIT if `rank` is over the width of every weight that was made before.
    ingot_status (*low_rank_new)(backend *b, const weight_desc *down, const weight_desc *up,
                                 backend_low_rank **out, ingot_error *err);
    void (*low_rank_free)(backend *b, backend_low_rank *pair);

    // Of `mats` matrices' inputs, `width` columns each; zeros at first and once cleared.
    // With `moments` products of columns are summed too.
    ingot_status (*squares_new)(backend *b, int64_t width, int64_t mats, bool moments, backend_squares **out,
                                ingot_error *err);
    void (*squares_free)(backend *b, backend_squares *squares);
    void (*squares_clear)(backend *b, backend_squares *squares);

    // Syncs and copies the sums, [mats][width], and of how many rows they are, [mats], to the host.
    ingot_status (*squares_read)(backend *b, const backend_squares *squares, double *sums, uint64_t *counts,
                                 ingot_error *err);

    // Copies the sums of products, laid out as ingot_model_collected_moments says.
    ingot_status (*moments_read)(backend *b, const backend_squares *squares, float *moments,
                                 ingot_error *err);

    // Waits for all operations. INGOT_ERR_IO or INGOT_ERR_INTERNAL if one failed.
    ingot_status (*sync)(backend *b, ingot_error *err);

    // Syncs and copies `n` tokens' rows from `first` on to the host.
    ingot_status (*read)(backend *b, const backend_buffer *buffer, int64_t first, int64_t n, float *out,
                         ingot_error *err);

    // out[t] = row ids[t] of `table`; `ids` NULL: row 0 for all
    void (*embed)(backend *b, const backend_weight *table, const int32_t *ids, int64_t n_tokens,
                  backend_buffer *out);

    // out[i] = x[rows[i]] for i < n
    void (*gather)(backend *b, const backend_buffer *x, const int32_t *rows, int64_t n, backend_buffer *out);

    // x may be out.
    void (*norm)(backend *b, const backend_buffer *x, const backend_norm *norm, int64_t n_tokens,
                 backend_buffer *out);

    void (*multiply)(backend *b, const backend_buffer *x, int64_t n_tokens, const backend_product *products,
                     int32_t n_products);

    // The same of one token and of chosen rows: out[token][i] = x[token] * row rows[i] of the weight + its
    // bias for i < n_rows, which `out` has room for. Bits are those of multiply.
    void (*multiply_rows)(backend *b, const backend_buffer *x, int64_t token, const backend_product *product,
                          const int32_t *rows, int64_t n_rows);

    // out[t] += factor * scale * up (down x[t]) for the tokens t of each addition; without `x`, row ids[t] of
    // `down` stands for down x[t]. Additions to the same buffer follow each other, and are added in that
    // order. `work` has room for the tokens of all of them, as wide as the largest rank.
    void (*add_low_rank)(backend *b, const backend_buffer *x, const int32_t *ids,
                         const backend_addition *additions, int32_t n_additions, backend_buffer *work);

    // x = 0
    void (*clear)(backend *b, backend_buffer *x, int64_t n_tokens);

    // y += scale * x
    void (*add)(backend *b, const backend_buffer *x, float scale, int64_t n_tokens, backend_buffer *y);

    // x *= scale
    void (*scale)(backend *b, backend_buffer *x, float scale, int64_t n_tokens);

    // x = cap * tanh(x / cap)
    void (*soft_cap)(backend *b, backend_buffer *x, float cap, int64_t n_tokens);

    // x is kept within -limit and limit.
    void (*clamp)(backend *b, backend_buffer *x, float limit, int64_t n_tokens);

    // x = activation(x) * up over the first `n_rows` rows; `up` NULL: ones
    void (*activate)(backend *b, activation kind, backend_buffer *x, const backend_buffer *up,
                     int64_t n_rows);

    // table[t] = cos and sin of position * freqs[i], both times `magnitude`, for i < n_freqs: width 2 *
    // n_freqs
    void (*rope_table)(backend *b, const float *freqs, int32_t n_freqs, float magnitude,
                       const backend_batch *batch, backend_buffer *table);

    // Rotates the first 2 * n_freqs entries of each of the `n_head` heads of x.
    void (*rope)(backend *b, backend_buffer *x, const backend_buffer *table, rope_kind kind, int32_t n_head,
                 const backend_batch *batch);

    // x[t]: each `group` neighbours, a power of two from 32 on that divides the width, times the orthonormal
    // Walsh-Hadamard matrix, which is its own inverse: what a few of them had all of them get a share of.
    void (*rotate)(backend *b, backend_buffer *x, int32_t group, int64_t n_tokens);

    // Stores keys [n_head_kv][k_dim] and values of each token in its page.
    void (*kv_store)(backend *b, backend_kv *kv, int32_t layer, int32_t n_head_kv, const backend_buffer *k,
                     const backend_buffer *v, const backend_batch *batch);

    // Attention of queries [n_head][k_dim] over the pages; out is [n_head][v_dim].
    void (*attend)(backend *b, const backend_kv *kv, const attend_args *args, const backend_buffer *q,
                   const backend_batch *batch, backend_buffer *out);

    // Chooses `n_used` experts for each token from router logits [n_expert], which are overwritten; shares
    // are multiplied by `scale`. Equal logits go to the lower number.
    void (*route)(backend *b, backend_buffer *logits, router_kind kind, float scale, int64_t n_tokens,
                  backend_routing *routing);

    // out[t][j] = x[t] (or, `per_choice`, x[t][j]) times the matrix of token t's j-th expert in each
    // product's weight, j < n_used, plus that expert's bias: buffers of max_tokens * n_used rows. The tokens
    // are those of the last route.
    void (*multiply_experts)(backend *b, const backend_buffer *x, bool per_choice,
                             const backend_routing *routing, const backend_product *products,
                             int32_t n_products);

    // x[t][j] *= share[t][j]
    void (*weigh_experts)(backend *b, const backend_routing *routing, int64_t n_tokens, backend_buffer *x);

    // y[t] += sum over j of share[t][j] * x[t][j] (not `weighted`: of x[t][j]), best expert first
    void (*add_experts)(backend *b, const backend_buffer *x, const backend_routing *routing, bool weighted,
                        int64_t n_tokens, backend_buffer *y);

    // x[t] *= sigmoid(gate[t][0])
    void (*gate)(backend *b, backend_buffer *x, const backend_buffer *gate, int64_t n_tokens);

    // sum[c] += x[t][c]^2 in double, first token to last: in how many calls they come doesn't matter.
    void (*add_squares)(backend *b, const backend_buffer *x, int64_t n_tokens, backend_squares *squares);

    // The same of the rows that multiply_experts multiplies each matrix with.
    void (*add_squares_experts)(backend *b, const backend_buffer *x, bool per_choice,
                                const backend_routing *routing, backend_squares *squares);
};

// The i-th backend compiled in (backends.def), NULL past the last.
const backend_ops *backend_at(int32_t i);

// Opens device `device` of the first backend. The result is closed with its ops->close.
ingot_status backend_open(const backend_params *params, int32_t device, backend **out, ingot_error *err);

// The same, with a profile of its operations: no other kind of backend notes what backend_stage gives.
ingot_status backend_open_profile(const backend_params *params, int32_t device, backend **out,
                                  ingot_error *err);

// As ingot_model_stage.
ingot_status backend_stage(backend *b, int32_t i, ingot_stage *out, ingot_error *err);

// The same as backend_open, with sums over what weights are multiplied with. Weights that come together in a
// product always do, as they do in a forward pass. Sums that couldn't be made are reported by sync. With
// `moments` also sums of products of columns.
ingot_status backend_open_collect(const backend_params *params, int32_t device, bool moments, backend **out,
                                  ingot_error *err);

// As ingot_model_collected, and those that begin with its name.
ingot_status backend_collected(backend *b, int32_t i, ingot_collected *out, ingot_error *err);
ingot_status backend_collected_read(backend *b, int32_t i, double *sums, uint64_t *counts, ingot_error *err);
ingot_status backend_collected_moments(backend *b, int32_t i, float *moments, ingot_error *err);
ingot_status backend_collected_clear(backend *b, ingot_error *err);

// The instruction sets of backend/cpu: the i-th compiled in, worst first (NULL past the last), whether this
// machine can run it, and the choice of one by name (NULL: the best). kernels/kernels.h says more.
const char *backend_isa_name(int32_t i);
bool backend_isa_usable(int32_t i);
ingot_status backend_isa_choose(const char *name, const struct kernels **out, ingot_error *err);

// Runs `rounds` rounds of its fastest integer products; returns the number of operations. *sum is used and
// changed, so that they can't be left out.
int64_t backend_isa_peak(const struct kernels *chosen, int64_t rounds, int32_t *sum);

// Runs `rounds` rounds of a product (ingot.h says which) over all rows of the sample, on this thread.
ingot_status backend_isa_product(const struct kernels *chosen, const ingot_product_sample *sample,
                                 int64_t rounds, ingot_error *err);

// Rows of logits, on the host, in blocks of so many.
enum { BACKEND_ROW_BLOCK = 64 };

static inline int32_t backend_row_blocks(int32_t n) {
    return n / BACKEND_ROW_BLOCK + (n % BACKEND_ROW_BLOCK != 0);
}

// The largest of x [n], -INFINITY where there is none; a NaN is none. block_max [backend_row_blocks(n)] takes
// those of each block; *odd says whether there are infinities or NaNs.
float backend_row_max(const struct kernels *k, const float *x, int64_t n, float *block_max, bool *odd);

// weights[i] = exp(x[i] - max), to seven digits, 0 below exp(-87) and for NaN; no x is larger than max.
// block_sum takes the sums of blocks; returns that of all, block after block.
double backend_row_weigh(const struct kernels *k, const float *x, int64_t n, float max, float *weights,
                         double *block_sum);

// The sum of weights[i] * (x[i] - max).
double backend_row_mean(const struct kernels *k, const float *x, int64_t n, float max, const float *weights);

// x[i] = (x[i] - from) / by
void backend_row_divide(const struct kernels *k, float *x, int64_t n, float from, float by);

// probabilities[i] = weights[i] * scale, and logits[i] = 5 - 10 d^2 / (1 + d), where d is the distance of
// probabilities[i] to `target` in units of 0.3: highest near the target (adaptive-p, llama.cpp's pull request
// 17927).
void backend_row_adapt(const struct kernels *k, const float *weights, int64_t n, float scale, float target,
                       float *probabilities, float *logits);

// Weights to be encoded: rows of `width`, one after the other, and the importance of their columns [width],
// or NULL.
typedef struct backend_rows {
    const float *x;
    int64_t width;
    const float *importance;
} backend_rows;

// Encodes blocks [begin, end) of the rows as tensor type `type`, which can be encoded, on this thread. `dst`
// is where block 0 goes.
void backend_isa_encode(const struct kernels *chosen, int32_t type, const backend_rows *rows, int64_t begin,
                        int64_t end, uint8_t *dst);

// Encodes a window of rows [begin, end), from column `column` on, as tensor type `type`, which has feedback.
// `dst` is where row 0 goes.
void backend_isa_encode_window(const struct kernels *chosen, int32_t type, const backend_rows *rows,
                               int64_t begin, int64_t end, int64_t column, const quant_feedback *feedback,
                               uint8_t *dst);

// The name of a chosen one.
const char *backend_isa_of(const struct kernels *chosen);

#endif
