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
    float **scratch;       // per worker: room for a tile of decoded rows, or for a head's attention
    size_t scratch_floats; // grown when a weight is made, never during an operation
} cpu_backend;

struct backend_weight {
    const quant_type *type;
    const uint8_t *data;
    int64_t width, rows, mats;
    uint64_t row_bytes;
    float *vector; // the decoded copy of norms or biases, `width` numbers; owned
};

struct backend_buffer {
    float *data; // [max_tokens][width]
    int64_t width;
    int64_t max_tokens;
};

// Choices are numbered t * n_used + j. Those of expert e are order[first[e]] to order[first[e + 1] - 1],
// ascending.
struct backend_routing {
    int32_t n_expert, n_used;
    float *share;    // [max_tokens * n_used]
    int32_t *expert; // [max_tokens * n_used]
    int32_t *order;  // [max_tokens * n_used]
    int32_t *first;  // [n_expert + 1]
};

struct backend_kv {
    kv_layout layout;
    uint8_t *pages; // [n_pages][page_bytes]; a page is [layer][k then v][head][token][dim]
    uint64_t page_bytes;
    uint64_t layer_bytes;
    uint64_t v_offset; // of the values within a layer
    uint64_t item;     // bytes of a number
};

// Rows of a weight that are decoded at a time: enough to use each column of x several times while it is near.
enum { CPU_TILE_ROWS = 8 };

static inline cpu_backend *cpu_of(backend *b) {
    return (cpu_backend *)b;
}

static inline int64_t cpu_tiles(const backend_weight *w) {
    return (w->rows + CPU_TILE_ROWS - 1) / CPU_TILE_ROWS;
}

// Finds tile number *tile of several products: returns the product, leaves the tile's number in it and its
// rows.
static inline const backend_product *cpu_find_tile(const backend_product *products, int64_t *tile,
                                                   int64_t *first, int64_t *n) {
    const backend_product *p = products;
    while (*tile >= cpu_tiles(p->weight))
        *tile -= cpu_tiles(p++->weight);
    *first = *tile * CPU_TILE_ROWS;
    *n = p->weight->rows - *first < CPU_TILE_ROWS ? p->weight->rows - *first : CPU_TILE_ROWS;
    return p;
}

// Decodes `n` rows from row `first` on (counted over all matrices) to floats, width after width.
static inline void cpu_decode_rows(const backend_weight *w, int64_t first, int64_t n, float *out) {
    for (int64_t r = 0; r < n; r++)
        w->type->decode(w->data + (uint64_t)(first + r) * w->row_bytes, out + r * w->width,
                        (uint64_t)w->width);
}

// Makes sure that each worker's scratch holds `floats`.
ingot_status cpu_scratch_reserve(cpu_backend *cpu, size_t floats, ingot_error *err);

// matmul.c
void cpu_multiply(backend *b, const backend_buffer *x, int64_t n_tokens, const backend_product *products,
                  int32_t n_products);
void cpu_embed(backend *b, const backend_weight *table, const int32_t *ids, int64_t n_tokens,
               backend_buffer *out);

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

// attn.c
ingot_status cpu_kv_new(backend *b, const kv_layout *layout, backend_kv **out, ingot_error *err);
void cpu_kv_free(backend *b, backend_kv *kv);
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
void cpu_gate(backend *b, backend_buffer *x, const backend_buffer *gate, int64_t n_tokens);

#endif
