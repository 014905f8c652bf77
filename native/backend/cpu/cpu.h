// The CPU backend's own structures; nothing outside backend/cpu sees them.
#ifndef INGOT_BACKEND_CPU_H
#define INGOT_BACKEND_CPU_H

#include "backend/backend.h"
#include "kernels/kernels.h"
#include "quant/quant.h"

extern const backend_ops backend_cpu;

typedef struct cpu_backend {
    backend head;
    pool *threads;
    const struct kernels *k;
    const ingot_allocator *mem;
    float **scratch;         // per worker: room for decoded rows, a panel, or a head's attention
    uint64_t *scratch_bytes; // of each
    size_t scratch_floats;   // grown when a weight is made, never during an operation
    int64_t max_width;       // of the weights with integer products
} cpu_backend;

struct backend_weight {
    const quant_type *type;
    const kernels_product *product; // NULL: it is a vector
    bool decoded;                   // rows are decoded to F32 for it
    const uint8_t *data;
    int64_t width, rows, mats;
    uint64_t row_bytes;
    float *vector; // the decoded copy of norms or biases, `width` numbers; owned
};

struct backend_buffer {
    float *data; // [max_tokens][width]
    int64_t width;
    int64_t max_tokens;
    // By columns_kind: `data` as integer products read it, written when it is multiplied. NULL where the
    // width allows no such product. Virtual memory, touched only if used.
    uint8_t *columns[COLUMNS_KINDS];
};

// Choices are numbered t * n_used + j. Those of expert e are order[first[e]] to order[first[e + 1] - 1],
// ascending.
struct backend_routing {
    int32_t n_expert, n_used;
    float *share;    // [max_tokens * n_used]
    int32_t *expert; // [max_tokens * n_used]
    int32_t *order;  // [max_tokens * n_used]
    int32_t *first;  // [n_expert + 1]
    // The columns of all choices in that order, each expert's own tiles; of weights at most this wide.
    int64_t max_choices, max_width;
    uint8_t *columns[COLUMNS_KINDS];
};

struct backend_low_rank {
    backend_weight *down, *up;
};

struct backend_squares {
    int64_t width, mats;
    double *sums;     // [mats][width]
    float *moments;   // [mats][windows][QUANT_WINDOW][QUANT_WINDOW], the lower halves; NULL: none
    uint64_t *counts; // [mats]
};

struct backend_kv {
    kv_layout layout;
    const kernels_page_type *k, *v; // how keys and values are kept
    uint8_t *pages; // [n_pages][page_bytes]; a page is [layer], keys of all heads, then values of all heads
    uint64_t page_bytes;
    uint64_t layer_bytes;
    uint64_t v_offset;         // of the values within a layer
    uint64_t k_bytes, v_bytes; // of a token's head
    float *scratch;            // of attention, for each worker
    uint64_t scratch_bytes;
    float *partial; // what the chunks of a single token's context leave
};

static inline cpu_backend *cpu_of(backend *b) {
    return (cpu_backend *)b;
}

// Rows of a weight that are handed out as one piece of work: several pieces for each thread, so that a busy
// core takes less; of experts, several are multiplied in one go. A lane of sixteen reads an odd number of
// them, one after the other: an even multiple of a row's bytes would more often put all lanes into the same
// sets of the cache.
static inline int64_t cpu_piece_rows(const cpu_backend *cpu, const backend_weight *w) {
    const int64_t of_lane = w->rows * w->mats / (16 * KERNELS_MAX_ROWS * pool_threads(cpu->threads));
    return KERNELS_MAX_ROWS * (of_lane > 7 ? 7 : of_lane < 1 ? 1 : (of_lane - 1) | 1);
}

static inline int64_t cpu_pieces(const cpu_backend *cpu, const backend_weight *w) {
    int64_t piece = cpu_piece_rows(cpu, w);
    return (w->rows + piece - 1) / piece;
}

// Rows [first, first + n_rows) of matrix number `mat` of a product's weight.
typedef struct cpu_piece {
    const backend_product *product; // NULL: there is no piece
    int64_t mat, first, n_rows;
} cpu_piece;

// Piece number `i` of several products, of their first matrices.
static inline cpu_piece cpu_piece_at(const cpu_backend *cpu, const backend_product *products, int64_t i) {
    const backend_product *p = products;
    while (i >= cpu_pieces(cpu, p->weight))
        i -= cpu_pieces(cpu, p++->weight);
    const int64_t rows = cpu_piece_rows(cpu, p->weight), left = p->weight->rows - i * rows;
    return (cpu_piece){p, 0, i * rows, left < rows ? left : rows};
}

static inline int64_t cpu_panels(const cpu_backend *cpu, cpu_piece piece) {
    return piece.n_rows / cpu->k->rows + (piece.n_rows % cpu->k->rows != 0);
}

// Rows that are multiplied at a time: `rows` of them, `step` apart. Panels of a piece follow each other so
// that each lane goes through memory in order. Where rows were chosen, `ids` are the panel's, and their
// results go to places `first` and so on.
typedef struct cpu_panel {
    const backend_weight *weight;
    const uint8_t *data;
    int64_t first, step, rows;
    const int32_t *ids;
} cpu_panel;

// The i-th panel of a piece.
static inline cpu_panel cpu_panel_at(const cpu_backend *cpu, cpu_piece piece, int64_t i) {
    const backend_weight *w = piece.product->weight;
    const int64_t lanes = cpu->k->rows, step = piece.n_rows / lanes;
    cpu_panel p = {.weight = w, .first = piece.first + i, .step = step, .rows = lanes};
    if (i >= step)
        p = (cpu_panel){
            .weight = w, .first = piece.first + step * lanes, .step = 1, .rows = piece.n_rows % lanes};
    p.data = w->data + (piece.mat * w->rows + p.first) * (int64_t)w->row_bytes;
    return p;
}

// The panel after the i-th of `piece`, which is followed by `next`; after the last one, itself.
static inline cpu_panel cpu_panel_after(const cpu_backend *cpu, cpu_piece piece, int64_t i, cpu_piece next) {
    if (i + 1 < cpu_panels(cpu, piece))
        return cpu_panel_at(cpu, piece, i + 1);
    return next.product ? cpu_panel_at(cpu, next, 0) : cpu_panel_at(cpu, piece, i);
}

// A tile of quantised columns.
typedef struct cpu_tile {
    void *data;
    int width;
} cpu_tile;

// The tile that begins with column `first`, a multiple of KERNELS_TILE, of `total` columns.
static inline cpu_tile cpu_tile_at(uint8_t *columns, columns_kind kind, int64_t k, int64_t first,
                                   int64_t total) {
    int64_t skipped = first / KERNELS_TILE * kernels_tile_bytes(kind, k, KERNELS_TILE);
    int64_t n = total - first < KERNELS_TILE ? total - first : KERNELS_TILE;
    return (cpu_tile){columns + skipped, kernels_tile_width(n, total)};
}

// Columns that the tiles of `n` columns take up, which may be of several groups with tiles of their own: five
// columns make a tile of eight, and no number of them is worse.
static inline int64_t cpu_columns_room(int64_t n) {
    return n * 8 / 5;
}

static inline uint64_t cpu_columns_bytes(columns_kind kind, int64_t k, int64_t n) {
    return (uint64_t)kernels_tile_bytes(kind, k, 1) * (uint64_t)cpu_columns_room(n);
}

// Floats at the start of a worker's scratch that hold a panel's rows where the weight has fewer, or must be
// decoded.
static inline int64_t cpu_padding(const cpu_backend *cpu, const backend_weight *w) {
    int64_t row_bytes = w->decoded ? w->width * (int64_t)sizeof(float) : (int64_t)w->row_bytes;
    return (row_bytes * cpu->k->rows + 63) / 64 * 16;
}

// Makes sure that each worker's scratch holds `floats`.
ingot_status cpu_scratch_reserve(cpu_backend *cpu, size_t floats, ingot_error *err);

// cpu.c: weights whose needs of scratch memory are for the caller to see to, and the floats of it that
// products with rows of this width need at most, whatever their type is: also room for a tile of columns.
ingot_status cpu_weight_make(cpu_backend *cpu, const weight_desc *desc, backend_weight **out,
                             ingot_error *err);
void cpu_weight_free(backend *b, backend_weight *w);
int64_t cpu_scratch_floats(const cpu_backend *cpu, int64_t width);

// matmul.c

// The type's own product for rows of this width, NULL if there is none.
const kernels_product *cpu_product(const cpu_backend *cpu, const quant_type *type, int64_t width);

// A panel's rows, ready for the tiles of some columns: straight from the file for a few of them, packed for
// more.
typedef struct cpu_operand {
    const kernels_product *product;
    int64_t width;
    kernels_rows rows;
    const void *packed; // NULL: few columns
} cpu_operand;

// Of a panel after which `next` is wanted, for `columns` columns. In `scratch` lies what is decoded, packed,
// or padded because the rows are fewer than the instruction set takes or don't lie side by side.
cpu_operand cpu_operand_of(const cpu_backend *cpu, cpu_panel panel, cpu_panel next, int64_t columns,
                           float *scratch);
void cpu_multiply_tile(const cpu_operand *operand, cpu_tile tile, kernels_result *result);

// Puts column `column` of a panel's result where it goes in `out`, plus `bias` or NULL; both are of the whole
// matrix.
void cpu_put_column(const kernels_result *result, int64_t column, cpu_panel panel, const float *bias,
                    float *out);

void cpu_multiply(backend *b, const backend_buffer *x, int64_t n_tokens, const backend_product *products,
                  int32_t n_products);
void cpu_multiply_rows(backend *b, const backend_buffer *x, int64_t token, const backend_product *product,
                       const int32_t *rows, int64_t n_rows);
void cpu_embed(backend *b, const backend_weight *table, const int32_t *ids, int64_t n_tokens,
               backend_buffer *out);

// low_rank.c
ingot_status cpu_low_rank_new(backend *b, const weight_desc *down, const weight_desc *up,
                              backend_low_rank **out, ingot_error *err);
void cpu_low_rank_free(backend *b, backend_low_rank *pair);
void cpu_add_low_rank(backend *b, const backend_buffer *x, const int32_t *ids,
                      const backend_addition *additions, int32_t n_additions, backend_buffer *work);

// moe.c
ingot_status cpu_routing_new(backend *b, int32_t n_expert, int32_t n_used, int64_t max_tokens,
                             backend_routing **out, ingot_error *err);
void cpu_routing_free(backend *b, backend_routing *routing);
void cpu_route(backend *b, backend_buffer *logits, router_kind kind, float scale, int64_t n_tokens,
               backend_routing *routing);
void cpu_multiply_experts(backend *b, const backend_buffer *x, bool per_choice,
                          const backend_routing *routing, const backend_product *products,
                          int32_t n_products);
void cpu_weigh_experts(backend *b, const backend_routing *routing, int64_t n_tokens, backend_buffer *x);
void cpu_add_experts(backend *b, const backend_buffer *x, const backend_routing *routing, bool weighted,
                     int64_t n_tokens, backend_buffer *y);

// squares.c
ingot_status cpu_squares_new(backend *b, int64_t width, int64_t mats, bool moments, backend_squares **out,
                             ingot_error *err);
void cpu_squares_free(backend *b, backend_squares *squares);
void cpu_squares_clear(backend *b, backend_squares *squares);
ingot_status cpu_squares_read(backend *b, const backend_squares *squares, double *sums, uint64_t *counts,
                              ingot_error *err);
ingot_status cpu_moments_read(backend *b, const backend_squares *squares, float *moments, ingot_error *err);
void cpu_add_squares(backend *b, const backend_buffer *x, int64_t n_tokens, backend_squares *squares);
void cpu_add_squares_experts(backend *b, const backend_buffer *x, bool per_choice,
                             const backend_routing *routing, backend_squares *squares);

// attn.c
ingot_status cpu_kv_new(backend *b, const kv_layout *layout, backend_kv **out, ingot_error *err);
void cpu_kv_free(backend *b, backend_kv *kv);
void cpu_kv_copy(backend *b, backend_kv *kv, int32_t from, int32_t to);
ingot_status cpu_kv_read(backend *b, const backend_kv *kv, int32_t page, void *bytes, ingot_error *err);
ingot_status cpu_kv_write(backend *b, backend_kv *kv, int32_t page, const void *bytes, ingot_error *err);
void cpu_kv_store(backend *b, backend_kv *kv, int32_t layer, int32_t n_head_kv, const backend_buffer *k,
                  const backend_buffer *v, const backend_batch *batch);
void cpu_attend(backend *b, const backend_kv *kv, const attend_args *args, const backend_buffer *q,
                const backend_batch *batch, backend_buffer *out);

// ops.c
void cpu_gather(backend *b, const backend_buffer *x, const int32_t *rows, int64_t n, backend_buffer *out);
void cpu_norm(backend *b, const backend_buffer *x, const backend_norm *norm, int64_t n_tokens,
              backend_buffer *out);
void cpu_clear(backend *b, backend_buffer *x, int64_t n_tokens);
void cpu_add(backend *b, const backend_buffer *x, float scale, int64_t n_tokens, backend_buffer *y);
void cpu_scale(backend *b, backend_buffer *x, float scale, int64_t n_tokens);
void cpu_soft_cap(backend *b, backend_buffer *x, float cap, int64_t n_tokens);
void cpu_clamp(backend *b, backend_buffer *x, float limit, int64_t n_tokens);
void cpu_activate(backend *b, activation kind, backend_buffer *x, const backend_buffer *up, int64_t n_rows);
void cpu_rope_table(backend *b, const float *freqs, int32_t n_freqs, float magnitude,
                    const backend_batch *batch, backend_buffer *table);
void cpu_rope(backend *b, backend_buffer *x, const backend_buffer *table, rope_kind kind, int32_t n_head,
              const backend_batch *batch);
void cpu_rotate(backend *b, backend_buffer *x, int32_t group, int64_t n_tokens);
void cpu_gate(backend *b, backend_buffer *x, const backend_buffer *gate, int64_t n_tokens);

#endif
