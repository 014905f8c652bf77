#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

ingot_status cpu_routing_new(backend *b, int32_t n_expert, int32_t n_used, int64_t max_tokens,
                             backend_routing **out, ingot_error *err) {
    const ingot_allocator *mem = cpu_of(b)->mem;
    const size_t choices = (size_t)max_tokens * (size_t)n_used;
    backend_routing *r = mem_alloc(mem, 1, sizeof *r);
    if (!r)
        return fail_memory(err, sizeof *r, "expert choices");
    r->n_expert = n_expert;
    r->n_used = n_used;
    r->share = mem_alloc(mem, choices, sizeof *r->share);
    r->expert = mem_alloc(mem, choices, sizeof *r->expert);
    r->order = mem_alloc(mem, choices, sizeof *r->order);
    r->first = mem_alloc(mem, (size_t)n_expert + 1, sizeof *r->first);
    if (!r->share || !r->expert || !r->order || !r->first) {
        cpu_routing_free(b, r);
        return fail_memory(err, choices * sizeof *r->share, "expert choices");
    }
    *out = r;
    return INGOT_OK;
}

void cpu_routing_free(backend *b, backend_routing *routing) {
    const ingot_allocator *mem = cpu_of(b)->mem;
    if (!routing)
        return;
    mem_free(mem, routing->share);
    mem_free(mem, routing->expert);
    mem_free(mem, routing->order);
    mem_free(mem, routing->first);
    mem_free(mem, routing);
}

typedef struct route_job {
    cpu_backend *cpu;
    backend_buffer *logits;
    router_kind kind;
    float scale;
    backend_routing *routing;
} route_job;

// From what was chosen by, and its sum over the chosen ones.
static float share_of(router_kind kind, float chosen, float sum) {
    switch (kind) {
    case ROUTER_SOFTMAX_TOP:
        return chosen / sum;
    case ROUTER_SIGMOID:
        return 1.0f / (1.0f + expf(-chosen));
    default:
        return chosen;
    }
}

static void route_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const route_job *job = arg;
    const backend_routing *routing = job->routing;
    for (int64_t t = begin; t < end; t++) {
        float *p = job->logits->data + t * job->logits->width;
        float *share = routing->share + t * routing->n_used, sum = 0.0f;
        if (job->kind != ROUTER_SIGMOID)
            job->cpu->k->softmax(p, routing->n_expert);
        for (int32_t j = 0; j < routing->n_used; j++) {
            int32_t best = 0;
            for (int32_t e = 1; e < routing->n_expert; e++)
                best = p[e] > p[best] ? e : best;
            routing->expert[t * routing->n_used + j] = best;
            sum += share[j] = p[best];
            p[best] = -INFINITY;
        }
        for (int32_t j = 0; j < routing->n_used; j++)
            share[j] = share_of(job->kind, share[j], sum) * job->scale;
    }
}

// Sorts the choices by expert (counting sort).
static void order_choices(backend_routing *r, int32_t n_choices) {
    memset(r->first, 0, ((size_t)r->n_expert + 1) * sizeof *r->first);
    for (int32_t i = 0; i < n_choices; i++)
        r->first[r->expert[i] + 1]++;
    for (int32_t e = 0; e < r->n_expert; e++)
        r->first[e + 1] += r->first[e];
    for (int32_t i = 0; i < n_choices; i++)
        r->order[r->first[r->expert[i]]++] = i;
    // Each first[e] has moved on to where the next expert begins.
    memmove(r->first + 1, r->first, (size_t)r->n_expert * sizeof *r->first);
    r->first[0] = 0;
}

void cpu_route(backend *b, backend_buffer *logits, router_kind kind, float scale, int64_t n_tokens,
               backend_routing *routing) {
    route_job job = {cpu_of(b), logits, kind, scale, routing};
    pool_run(job.cpu->threads, n_tokens, 16, route_rows, &job);
    order_choices(routing, (int32_t)n_tokens * routing->n_used);
}

typedef struct experts_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    bool per_choice;
    const backend_routing *routing;
    const backend_product *products;
    int64_t tiles; // of one expert, all products together
} experts_job;

// Rows [first, first + n) of `expert`, for every token that chose it.
static void expert_tile(const experts_job *job, const backend_product *p, int32_t expert, int64_t first,
                        int64_t n, float *scratch) {
    const backend_weight *w = p->weight;
    const backend_routing *routing = job->routing;
    int32_t begin = routing->first[expert], end = routing->first[expert + 1];
    if (begin == end)
        return;
    cpu_decode_rows(w, expert * w->rows + first, n, scratch);
    for (int32_t i = begin; i < end; i++) {
        int64_t choice = routing->order[i];
        const float *x = job->x->data + (job->per_choice ? choice : choice / routing->n_used) * w->width;
        float *out = p->out->data + choice * w->rows + first;
        for (int64_t r = 0; r < n; r++) {
            job->cpu->k->dots(scratch + r * w->width, x, 0, 1, w->width, out + r, 0);
            if (p->bias)
                out[r] += p->bias->vector[expert * w->rows + first + r];
        }
    }
}

static void expert_tiles(void *arg, int64_t begin, int64_t end, int worker) {
    const experts_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t tile = i % job->tiles, first, n;
        const backend_product *p = cpu_find_tile(job->products, &tile, &first, &n);
        expert_tile(job, p, (int32_t)(i / job->tiles), first, n, job->cpu->scratch[worker]);
    }
}

void cpu_multiply_experts(backend *b, const backend_buffer *x, bool per_choice,
                          const backend_routing *routing, const backend_product *products,
                          int32_t n_products) {
    experts_job job = {cpu_of(b), x, per_choice, routing, products, 0};
    for (int32_t i = 0; i < n_products; i++)
        job.tiles += cpu_tiles(products[i].weight);
    pool_run(job.cpu->threads, job.tiles * routing->n_expert, 1, expert_tiles, &job);
}

typedef struct add_experts_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    const backend_routing *routing;
    bool weighted;
    backend_buffer *y;
} add_experts_job;

static void weigh_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const add_experts_job *job = arg;
    int64_t width = job->y->width, n_used = job->routing->n_used;
    for (int64_t choice = begin * n_used; choice < end * n_used; choice++)
        for (int64_t i = 0; i < width; i++)
            job->y->data[choice * width + i] *= job->routing->share[choice];
}

void cpu_weigh_experts(backend *b, const backend_routing *routing, int64_t n_tokens, backend_buffer *x) {
    add_experts_job job = {cpu_of(b), NULL, routing, false, x};
    pool_run(job.cpu->threads, n_tokens, 8, weigh_rows, &job);
}

static void add_experts_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const add_experts_job *job = arg;
    int64_t width = job->y->width, n_used = job->routing->n_used;
    for (int64_t choice = begin * n_used; choice < end * n_used; choice++)
        job->cpu->k->axpy(job->weighted ? job->routing->share[choice] : 1.0f, job->x->data + choice * width,
                          width, job->y->data + choice / n_used * width);
}

void cpu_add_experts(backend *b, const backend_buffer *x, const backend_routing *routing, bool weighted,
                     int64_t n_tokens, backend_buffer *y) {
    add_experts_job job = {cpu_of(b), x, routing, weighted, y};
    pool_run(job.cpu->threads, n_tokens, 8, add_experts_rows, &job);
}
