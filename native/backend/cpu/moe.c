#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

// A choice row holds n_used shares, then n_used expert numbers.
static int64_t choice_expert(const backend_buffer *choice, int32_t n_used, int64_t token, int64_t j) {
    return (int64_t)choice->data[token * choice->width + n_used + j];
}

typedef struct route_job {
    cpu_backend *cpu;
    const backend_buffer *logits;
    router_kind kind;
    float scale;
    int32_t n_used;
    backend_buffer *choice;
} route_job;

static void route_rows(void *arg, int64_t begin, int64_t end, int worker) {
    const route_job *job = arg;
    int64_t n_expert = job->logits->width;
    float *share = job->cpu->scratch[worker];
    for (int64_t t = begin; t < end; t++) {
        memcpy(share, job->logits->data + t * n_expert, (size_t)n_expert * sizeof *share);
        job->cpu->k->softmax(share, n_expert);
        float *chosen = job->choice->data + t * job->choice->width;
        float sum = 0.0f;
        for (int32_t j = 0; j < job->n_used; j++) {
            int64_t best = 0;
            for (int64_t e = 1; e < n_expert; e++)
                best = share[e] > share[best] ? e : best;
            chosen[j] = share[best];
            chosen[job->n_used + j] = (float)best;
            sum += share[best];
            share[best] = -1.0f;
        }
        for (int32_t j = 0; j < job->n_used; j++) {
            if (job->kind == ROUTER_SOFTMAX_TOP)
                chosen[j] /= sum;
            chosen[j] *= job->scale;
        }
    }
}

void cpu_route(backend *b, const backend_buffer *logits, router_kind kind, float scale, int32_t n_used,
               int64_t n_tokens, backend_buffer *choice) {
    route_job job = {cpu_of(b), logits, kind, scale, n_used, choice};
    pool_run(job.cpu->threads, n_tokens, 16, route_rows, &job);
}

typedef struct experts_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    bool per_choice;
    const backend_buffer *choice;
    int32_t n_used;
    int64_t n_tokens;
    const backend_product *products;
    int64_t tiles; // of one expert, all products together
} experts_job;

// Rows [first, first + n) of `expert`, for every token that chose it.
static void expert_tile(const experts_job *job, const backend_product *p, int64_t expert, int64_t first,
                        int64_t n, float *scratch) {
    const backend_weight *w = p->weight;
    bool decoded = false;
    for (int64_t t = 0; t < job->n_tokens; t++) {
        for (int32_t j = 0; j < job->n_used; j++) {
            if (choice_expert(job->choice, job->n_used, t, j) != expert)
                continue;
            if (!decoded) {
                const uint8_t *data = w->data + (uint64_t)(expert * w->rows + first) * w->row_bytes;
                for (int64_t r = 0; r < n; r++)
                    w->type->decode(data + (uint64_t)r * w->row_bytes, scratch + r * w->width,
                                    (uint64_t)w->width);
                decoded = true;
            }
            int64_t row = job->per_choice ? t * job->n_used + j : t;
            const float *x = job->x->data + row * w->width;
            float *out = p->out->data + (t * job->n_used + j) * w->rows + first;
            for (int64_t r = 0; r < n; r++)
                job->cpu->k->dots(scratch + r * w->width, x, 0, 1, w->width, out + r, 0);
        }
    }
}

static void expert_tiles(void *arg, int64_t begin, int64_t end, int worker) {
    const experts_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t expert = i / job->tiles, tile = i % job->tiles;
        const backend_product *p = job->products;
        for (int64_t n; tile >= (n = (p->weight->rows + CPU_TILE_ROWS - 1) / CPU_TILE_ROWS); p++)
            tile -= n;
        int64_t first = tile * CPU_TILE_ROWS;
        int64_t left = p->weight->rows - first;
        expert_tile(job, p, expert, first, left < CPU_TILE_ROWS ? left : CPU_TILE_ROWS,
                    job->cpu->scratch[worker]);
    }
}

void cpu_multiply_experts(backend *b, const backend_buffer *x, bool per_choice, const backend_buffer *choice,
                          int32_t n_used, int64_t n_tokens, const backend_product *products,
                          int32_t n_products) {
    experts_job job = {cpu_of(b), x, per_choice, choice, n_used, n_tokens, products, 0};
    for (int32_t i = 0; i < n_products; i++)
        job.tiles += (products[i].weight->rows + CPU_TILE_ROWS - 1) / CPU_TILE_ROWS;
    pool_run(job.cpu->threads, job.tiles * products[0].weight->mats, 1, expert_tiles, &job);
}

typedef struct add_experts_job {
    cpu_backend *cpu;
    const backend_buffer *x, *choice;
    int32_t n_used;
    backend_buffer *y;
} add_experts_job;

static void add_experts_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const add_experts_job *job = arg;
    int64_t width = job->y->width;
    for (int64_t t = begin; t < end; t++)
        for (int32_t j = 0; j < job->n_used; j++)
            job->cpu->k->axpy(job->choice->data[t * job->choice->width + j],
                              job->x->data + (t * job->n_used + j) * width, width, job->y->data + t * width);
}

void cpu_add_experts(backend *b, const backend_buffer *x, const backend_buffer *choice, int32_t n_used,
                     int64_t n_tokens, backend_buffer *y) {
    add_experts_job job = {cpu_of(b), x, choice, n_used, y};
    pool_run(job.cpu->threads, n_tokens, 8, add_experts_rows, &job);
}
