#include "backend/cpu/cpu.h"

#include <string.h>

// The products of one multiply, seen as one list of row tiles so that the threads share them in one go.
typedef struct multiply_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    int64_t n_tokens;
    const backend_product *products;
    int32_t n_products;
} multiply_job;

static int64_t tile_count(const backend_weight *w) {
    return (w->rows + CPU_TILE_ROWS - 1) / CPU_TILE_ROWS;
}

// Rows [first, first + n) of `p`, all tokens.
static void multiply_tile(const multiply_job *job, const backend_product *p, int64_t first, int64_t n,
                          float *scratch) {
    const backend_weight *w = p->weight;
    const float *rows[CPU_TILE_ROWS];
    for (int64_t r = 0; r < n; r++) {
        const uint8_t *data = w->data + (uint64_t)(first + r) * w->row_bytes;
        float *decoded = scratch + r * w->width;
        w->type->decode(data, decoded, (uint64_t)w->width);
        rows[r] = decoded;
    }
    // Few tokens at a time, so that they stay in the first cache while the tile's rows pass over them.
    enum { COLUMNS = 4 };
    for (int64_t t = 0; t < job->n_tokens; t += COLUMNS) {
        int64_t columns = job->n_tokens - t < COLUMNS ? job->n_tokens - t : COLUMNS;
        for (int64_t r = 0; r < n; r++) {
            float *out = p->out->data + t * p->out->width + first + r;
            job->cpu->k->dots(rows[r], job->x->data + t * job->x->width, job->x->width, columns, w->width,
                              out, p->out->width);
            if (p->bias)
                for (int64_t c = 0; c < columns; c++)
                    out[c * p->out->width] += p->bias->vector[first + r];
        }
    }
}

static void multiply_tiles(void *arg, int64_t begin, int64_t end, int worker) {
    const multiply_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t tile = i;
        const backend_product *p = job->products;
        while (tile >= tile_count(p->weight))
            tile -= tile_count(p++->weight);
        int64_t first = tile * CPU_TILE_ROWS;
        int64_t left = p->weight->rows - first;
        multiply_tile(job, p, first, left < CPU_TILE_ROWS ? left : CPU_TILE_ROWS, job->cpu->scratch[worker]);
    }
}

void cpu_multiply(backend *b, const backend_buffer *x, int64_t n_tokens, const backend_product *products,
                  int32_t n_products) {
    multiply_job job = {cpu_of(b), x, n_tokens, products, n_products};
    int64_t tiles = 0;
    for (int32_t i = 0; i < n_products; i++)
        tiles += tile_count(products[i].weight);
    pool_run(job.cpu->threads, tiles, 1, multiply_tiles, &job);
}

typedef struct embed_job {
    const backend_weight *table;
    const backend_batch *batch;
    backend_buffer *out;
} embed_job;

static void embed_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const embed_job *job = arg;
    for (int64_t t = begin; t < end; t++) {
        const uint8_t *row = job->table->data + (uint64_t)job->batch->tokens[t] * job->table->row_bytes;
        job->table->type->decode(row, job->out->data + t * job->out->width, (uint64_t)job->table->width);
    }
}

void cpu_embed(backend *b, const backend_weight *table, const backend_batch *batch, backend_buffer *out) {
    embed_job job = {table, batch, out};
    pool_run(cpu_of(b)->threads, batch->n_tokens, 8, embed_rows, &job);
}
