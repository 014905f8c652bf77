#include "backend/cpu/cpu.h"

#include <string.h>

// The products of one multiply, seen as one list of row tiles so that the threads share them in one go.
typedef struct multiply_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    int64_t n_tokens;
    const backend_product *products;
} multiply_job;

// Rows [first, first + n) of `p`, all tokens.
static void multiply_tile(const multiply_job *job, const backend_product *p, int64_t first, int64_t n,
                          float *scratch) {
    const backend_weight *w = p->weight;
    cpu_decode_rows(w, first, n, scratch);
    // Few tokens at a time, so that they stay in the first cache while the tile's rows pass over them.
    enum { COLUMNS = 4 };
    for (int64_t t = 0; t < job->n_tokens; t += COLUMNS) {
        int64_t columns = job->n_tokens - t < COLUMNS ? job->n_tokens - t : COLUMNS;
        for (int64_t r = 0; r < n; r++) {
            float *out = p->out->data + t * p->out->width + first + r;
            job->cpu->k->dots(scratch + r * w->width, job->x->data + t * job->x->width, job->x->width,
                              columns, w->width, out, p->out->width);
            if (p->bias)
                for (int64_t c = 0; c < columns; c++)
                    out[c * p->out->width] += p->bias->vector[first + r];
        }
    }
}

static void multiply_tiles(void *arg, int64_t begin, int64_t end, int worker) {
    const multiply_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t tile = i, first, n;
        const backend_product *p = cpu_find_tile(job->products, &tile, &first, &n);
        multiply_tile(job, p, first, n, job->cpu->scratch[worker]);
    }
}

void cpu_multiply(backend *b, const backend_buffer *x, int64_t n_tokens, const backend_product *products,
                  int32_t n_products) {
    multiply_job job = {cpu_of(b), x, n_tokens, products};
    int64_t tiles = 0;
    for (int32_t i = 0; i < n_products; i++)
        tiles += cpu_tiles(products[i].weight);
    pool_run(job.cpu->threads, tiles, 1, multiply_tiles, &job);
}

typedef struct embed_job {
    const backend_weight *table;
    const int32_t *ids;
    backend_buffer *out;
} embed_job;

static void embed_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const embed_job *job = arg;
    for (int64_t t = begin; t < end; t++) {
        uint64_t id = job->ids ? (uint64_t)job->ids[t] : 0;
        job->table->type->decode(job->table->data + id * job->table->row_bytes,
                                 job->out->data + t * job->out->width, (uint64_t)job->table->width);
    }
}

void cpu_embed(backend *b, const backend_weight *table, const int32_t *ids, int64_t n_tokens,
               backend_buffer *out) {
    embed_job job = {table, ids, out};
    pool_run(cpu_of(b)->threads, n_tokens, 8, embed_rows, &job);
}
