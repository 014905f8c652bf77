// The kernels: a const table of function pointers per instruction set, all compiled from the same *.inc.h.
//
// Every kernel has a fixed order of reduction: what it computes for a row, column, token or head depends on
// the operands of that one alone, never on how many others are computed in the same call.
#ifndef INGOT_KERNELS_KERNELS_H
#define INGOT_KERNELS_KERNELS_H

#include "base/cpu.h"
#include "base/status.h"
#include "quant/quant.h"

// Positions of a page.
enum { KERNELS_PAGE = 32 };

// out[i] = f(x[i]) * up[i], where a NULL `up` means ones; in place is allowed.
typedef void kernels_activation(const float *x, const float *up, int64_t n, float *out);

// A query of one head, and what its online softmax has seen so far.
typedef struct attn_query {
    const float *q; // [k_dim]
    float scale;    // of its products with keys
    float slope;    // of ALiBi, 0: none
    float position; // of the query, from the first of the page (for ALiBi)
    float max;      // largest score so far (-INFINITY at first)
    float sum;      // of exp(score - max)
    float rescale;  // of `acc`, which may belong to a smaller `max`: weigh_keys sets it, add_values uses it
    float *acc;     // [v_dim] weighted sum of values, not yet divided by `sum`
} attn_query;

// Products of weights with activations.
//
// Of quantised weights they are integer products. Activations are columns of int8 with a scale for each 256
// of them, or for each 32 where the weights' own scales are per 32. Within such a block everything is exact:
// products of codes and activations, sums, and integer scales of groups of weights are int32. Blocks are
// combined in float, first to last, with one fused multiply-add each (two where weights have minimums). So a
// result depends on its row and column alone, never on how many rows or columns are computed with it, and all
// instruction sets with a fused multiply-add give the same bits.
//
// Float weights have float products: terms are added in a fixed order too (kernels/product_float.inc.h).
// Where the instruction set multiplies BF16, activations of such weights are rounded to it.
//
// Columns are kept in tiles of up to KERNELS_TILE columns, words of four activations (or KERNELS_FLOATS
// floats or pairs of BF16) of each column side by side; rows are computed VEC_LANES at a time.
enum { KERNELS_TILE = 12, KERNELS_FEW = 4, KERNELS_MAX_ROWS = 16, KERNELS_FLOATS = 16 };

typedef enum columns_kind {
    COLUMNS_FLOAT = 0,
    COLUMNS_BF16,
    COLUMNS_32,
    COLUMNS_256,
    COLUMNS_KINDS,
} columns_kind;

// The width of a tile of `n` columns, one of several if `total` is more: a width that kernels exist for.
static inline int kernels_tile_width(int64_t n, int64_t total) {
    if (total <= KERNELS_FEW)
        return n == 3 ? 4 : (int)n;
    return n <= 4 ? 4 : n <= 8 ? 8 : KERNELS_TILE;
}

// What the number of activations of a column must be a multiple of.
static inline int64_t kernels_columns_multiple(columns_kind kind) {
    return kind == COLUMNS_32 ? 32 : kind == COLUMNS_256 ? 256 : 1;
}

// Bytes of a tile of `width` columns of `k` activations.
static inline int64_t kernels_tile_bytes(columns_kind kind, int64_t k, int width) {
    // Words of codes; per block: the scale and, of 32, the sum twice and those of its halves; of 256, sums of
    // groups and pairs of them.
    if (kind == COLUMNS_FLOAT || kind == COLUMNS_BF16) {
        const int64_t terms = kind == COLUMNS_FLOAT ? k : (k + 1) / 2;
        return (terms + KERNELS_FLOATS - 1) / KERNELS_FLOATS * KERNELS_FLOATS * width * 4;
    }
    int64_t words = k / 4 + (kind == COLUMNS_32 ? k / 32 * 5 : k / 256 * (1 + 16 + 8 + 8 + 4));
    return words * width * 4;
}

// Rows of weights side by side, as many as the instruction set takes: whole ones as they lie in a file.
typedef struct kernels_rows {
    const uint8_t *data;
    int64_t step; // bytes from a row to the next
    // Rows that are wanted after these, and fetched ahead; or the same.
    const uint8_t *next;
    int64_t next_step;
} kernels_rows;

// Of a tensor type. Results go to out[column * out_stride + row], for all rows and all columns of the tile.
typedef struct kernels_product {
    columns_kind columns;
    // Few columns (width at most KERNELS_FEW): straight from the file's layout.
    void (*few)(kernels_rows rows, int64_t k, const void *tile, int width, float *out, int64_t out_stride);
    // Many: the rows unpacked once, then used with tile after tile.
    int64_t (*panel_bytes)(int64_t k);
    void (*pack)(kernels_rows rows, int64_t k, void *panel);
    void (*many)(const void *panel, int64_t k, const void *tile, int width, float *out, int64_t out_stride);
} kernels_product;

// What a product of a panel's rows with a tile may fill.
typedef struct kernels_result {
    float at[KERNELS_TILE][KERNELS_MAX_ROWS];
} kernels_result;

enum { KERNELS_ROTATE = 32 }; // numbers that are rotated together, at least

enum { KERNELS_ROW_BLOCK = 64, KERNELS_ROW_LANES = 16 }; // of rows of logits

enum { KERNELS_TYPES = 43 }; // tensor types that may have a product or pages, by id

// A page of one head: keys [k_dim][KERNELS_PAGE] side by side, values [KERNELS_PAGE][v_dim].
typedef struct attn_page {
    const void *k, *v;
    // The page that is wanted next, or the same one, as it is stored: fetched ahead. `k_step` are its bytes
    // of a dimension of keys, `v_step` those of a token's value; 0: nothing is fetched.
    const uint8_t *next_k, *next_v;
    int64_t k_step, v_step;
} attn_page;

// Folds positions [first, end) of one page into each of `n` queries, keys first and then values. Keys give
// scores q . k * scale (soft_cap > 0: soft_cap * tanh(score / soft_cap)) plus ALiBi's, and from these come
// weights, [n][KERNELS_PAGE]. Online softmax, one rescale a page: Dao et al. 2022, "FlashAttention".
typedef void kernels_weigh_keys(attn_query *queries, int64_t n, const attn_page *page, int64_t first,
                                int64_t end, int64_t k_dim, float soft_cap, float *weights);
typedef void kernels_add_values(attn_query *queries, int64_t n, const attn_page *page, int64_t first,
                                int64_t end, int64_t v_dim, float *weights);

// How pages hold keys and values in a tensor type (pages.inc.h says where); dims are multiples of its block.
// A token's key takes as many bytes as a row of blocks, and the same numbers as quant/ gives come back.
typedef struct kernels_page_type {
    // Puts a token's key [k_dim] into slot `slot` of a head's page of keys. Bytes of other slots aren't
    // touched.
    void (*store_key)(const float *k, int64_t k_dim, int64_t slot, void *keys);
    // Puts a token's value [v_dim] into its row.
    void (*store_value)(const float *v, int64_t v_dim, void *row);
    // All keys of a head's page, to [k_dim][KERNELS_PAGE], and `n` numbers of rows of values, as they lie;
    // both NULL where pages hold just that.
    void (*load_keys)(const void *keys, int64_t k_dim, float *out);
    void (*load_values)(const void *values, int64_t n, float *out);
    // Attention over a page whose keys, or values, are of this type, as they lie. The same comes out of that
    // of F32 over what is loaded, which is faster for more than `direct_queries`.
    kernels_weigh_keys *weigh_keys;
    kernels_add_values *add_values;
    int64_t direct_queries;
} kernels_page_type;

// Encodes `n_blocks` blocks of weights, a block in each lane. Block b holds columns `column` + b * (weights
// of a block) and on of rows of `width`, the next row's after a row's last; `importance` [width] weighs
// squared errors by column, NULL: by what is known of the type alone. A result depends on its block alone.
typedef void kernels_encode(const float *x, int64_t n_blocks, const float *importance, int64_t width,
                            int64_t column, void *dst);

// Encodes a window, `columns` that are a multiple of the type's blocks, of `n_rows` rows of `width`. `x` and
// `importance` (not NULL) are at its first column, and `dst` at the first row's block of it, with `row_bytes`
// to the next row's. A result depends on its row alone.
typedef void kernels_encode_window(const float *x, int64_t n_rows, int64_t width, const float *importance,
                                   const quant_feedback *feedback, void *dst, int64_t row_bytes);

typedef struct kernels {
    const char *name;

    // Products of bytes as fast as they go, from registers: what integer products are measured by. Returns
    // the number of operations (two for a product and its addition) of `rounds` rounds.
    int64_t (*peak)(int64_t rounds, int32_t *sum);

    int rows;                               // that products take at a time
    const kernels_product *const *products; // [KERNELS_TYPES], NULL: none; F32 has one

    // Puts `k` activations into column `column` of a tile.
    void (*quantize)(columns_kind kind, const float *x, int64_t k, int column, int width, void *tile);

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

    // Each `group` neighbours of x [n] times the Walsh-Hadamard matrix, divided by sqrt(group): its own
    // inverse. `group` is a power of two and at least KERNELS_ROTATE, `n` a multiple of it.
    void (*rotate)(float *x, int64_t n, int64_t group);

    // Of rows of logits: backend/backend.h says what.
    float (*row_max)(const float *x, int64_t n, float *block_max, bool *odd);
    double (*row_weigh)(const float *x, int64_t n, float max, float *weights, double *block_sum);
    double (*row_mean)(const float *x, int64_t n, float max, const float *weights);
    void (*row_divide)(float *x, int64_t n, float from, float by);
    void (*row_adapt)(const float *weights, int64_t n, float scale, float target, float *probabilities,
                      float *logits);

    // sums[i] += rows[t][i]^2, first row to last, in double, where the square of a float is exact: all
    // instruction sets give the same bits.
    void (*add_squares)(const float *const *rows, int64_t n_rows, int64_t n, double *sums);

    // sums[i][j] += rows[t][i] * rows[t][j], first row to last, of windows [QUANT_WINDOW]: for all j below
    // the next multiple of 32 above i.
    void (*add_moments)(const float *rows, int64_t n_rows, float *sums);

    // [KERNELS_TYPES], by id; NULL: none, and quant/ may have a scalar one.
    kernels_encode *const *encoders;
    // [KERNELS_TYPES], NULL: none, as of types whose codes stand for several weights or hardly have an error.
    kernels_encode_window *const *window_encoders;

    const kernels_page_type *const *page_types; // [KERNELS_TYPES], NULL: no pages of this type; F32 has one
} kernels;

// The i-th instruction set compiled in, worst first; NULL past the last.
const kernels *kernels_at(int i);

// Whether a machine with these features can run the i-th; `cpu` NULL: this one.
bool kernels_usable(int i, const cpu_features *cpu);

// The one called `name`, or with NULL the best usable. An unknown or unusable one is an error that lists the
// usable ones.
ingot_status kernels_choose(const char *name, const cpu_features *cpu, const kernels **out, ingot_error *err);

#endif
