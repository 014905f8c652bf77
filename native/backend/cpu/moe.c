#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

#include "base/thread.h"

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
    r->max_choices = (int64_t)choices;
    r->max_width = cpu_of(b)->max_width;
    bool columns = true;
    for (int kind = 0; kind < COLUMNS_KINDS && r->max_width > 0; kind++) {
        r->columns[kind] = vm_reserve(cpu_columns_bytes((columns_kind)kind, r->max_width, r->max_choices));
        columns = columns && r->columns[kind];
    }
    if (!r->share || !r->expert || !r->order || !r->first || !columns) {
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
    for (int kind = 0; kind < COLUMNS_KINDS; kind++)
        vm_release(routing->columns[kind],
                   cpu_columns_bytes((columns_kind)kind, routing->max_width, routing->max_choices));
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
    int64_t pieces; // of one expert, all products together
    int64_t width;  // of the input
    bool kinds[COLUMNS_KINDS];
} experts_job;

// The input of choice number `choice`.
static const float *input_of(const experts_job *job, int64_t choice) {
    return job->x->data + (job->per_choice ? choice : choice / job->routing->n_used) * job->width;
}

// The tile of an expert's choices from the `from`-th on.
static cpu_tile tile_of(const experts_job *job, columns_kind kind, int64_t expert, int64_t from) {
    const int32_t *first = job->routing->first;
    uint8_t *columns = job->routing->columns[kind] +
                       cpu_columns_room(first[expert]) * kernels_tile_bytes(kind, job->width, 1);
    return cpu_tile_at(columns, kind, job->width, from, first[expert + 1] - first[expert]);
}

static void quantize_choices(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const experts_job *job = arg;
    const backend_routing *routing = job->routing;
    for (int64_t i = begin; i < end; i++) {
        int64_t choice = routing->order[i];
        int32_t expert = routing->expert[choice];
        int64_t in_expert = i - routing->first[expert], from = in_expert / KERNELS_TILE * KERNELS_TILE;
        for (int kind = 0; kind < COLUMNS_KINDS; kind++) {
            if (!job->kinds[kind])
                continue;
            cpu_tile tile = tile_of(job, (columns_kind)kind, expert, from);
            job->cpu->k->quantize((columns_kind)kind, input_of(job, choice), job->width,
                                  (int)(in_expert - from), tile.width, tile.data);
        }
    }
}

// A panel's rows, for every token that chose the expert.
static void expert_panel(const experts_job *job, cpu_piece piece, cpu_panel panel, cpu_panel next,
                         float *scratch) {
    const backend_product *p = piece.product;
    const int32_t *first = job->routing->first + piece.mat, *choices = job->routing->order + *first;
    const int64_t n = first[1] - first[0];
    const cpu_operand operand = cpu_operand_of(job->cpu, panel, next, n, scratch);
    kernels_result result;
    for (int64_t from = 0; from < n; from += KERNELS_TILE) {
        cpu_multiply_tile(&operand, tile_of(job, p->weight->product->columns, piece.mat, from), &result);
        for (int64_t c = 0; c < n - from && c < KERNELS_TILE; c++)
            cpu_put_column(&result, c, panel, p->bias ? p->bias->vector + piece.mat * p->weight->rows : NULL,
                           p->out->data + choices[from + c] * p->out->width);
    }
}

static bool is_chosen(const experts_job *job, int64_t expert) {
    return job->routing->first[expert] < job->routing->first[expert + 1];
}

static cpu_piece expert_piece_at(const experts_job *job, int64_t i) {
    cpu_piece piece = cpu_piece_at(job->cpu, job->products, i % job->pieces);
    piece.mat = i / job->pieces;
    return piece;
}

// The piece after the i-th that has to be computed.
static cpu_piece expert_piece_after(const experts_job *job, int64_t i) {
    for (int64_t next = i + 1; next / job->pieces < job->routing->n_expert;
         next = (next / job->pieces + 1) * job->pieces)
        if (is_chosen(job, next / job->pieces))
            return expert_piece_at(job, next);
    return (cpu_piece){0};
}

static void expert_pieces(void *arg, int64_t begin, int64_t end, int worker) {
    const experts_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        if (!is_chosen(job, i / job->pieces))
            continue;
        const cpu_piece piece = expert_piece_at(job, i), next = expert_piece_after(job, i);
        for (int64_t j = 0; j < cpu_panels(job->cpu, piece); j++)
            expert_panel(job, piece, cpu_panel_at(job->cpu, piece, j),
                         cpu_panel_after(job->cpu, piece, j, next), job->cpu->scratch[worker]);
    }
}

void cpu_multiply_experts(backend *b, const backend_buffer *x, bool per_choice,
                          const backend_routing *routing, const backend_product *products,
                          int32_t n_products) {
    experts_job job = {.cpu = cpu_of(b),
                       .x = x,
                       .per_choice = per_choice,
                       .routing = routing,
                       .products = products,
                       .width = products[0].weight->width};
    for (int32_t i = 0; i < n_products; i++) {
        job.pieces += cpu_pieces(job.cpu, products[i].weight);
        job.kinds[products[i].weight->product->columns] = true;
    }
    pool_run(job.cpu->threads, routing->first[routing->n_expert], 4, quantize_choices, &job);
    pool_run(job.cpu->threads, job.pieces * routing->n_expert, 1, expert_pieces, &job);
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
