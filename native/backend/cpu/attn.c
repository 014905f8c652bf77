// KV pages and attention over them. A page's keys lie side by side, [dim][token], so that scores of all its
// positions are computed in lanes; its values lie one after the other, [token][dim]. In which bytes depends
// on their type: kernels/pages.inc.h.
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/thread.h"

enum {
    MAX_QUERIES = 32, // of one unit of work: heads of a group times tokens
    CHUNK_PAGES = 16, // sums are taken over chunks of so many pages, then over chunks
};

// Floats that a worker needs: keys and values of a page, scores, and two sums of values for each query.
static uint64_t scratch_floats(const kv_layout *layout) {
    uint64_t page = KERNELS_PAGE * (uint64_t)(layout->k_dim + layout->v_dim);
    return page + MAX_QUERIES * (KERNELS_PAGE + 2 * (uint64_t)layout->v_dim);
}

// Floats of what a chunk leaves of each head of a token: values, the largest score, the sum.
static uint64_t partial_floats(const kv_layout *layout) {
    uint64_t chunks = (uint64_t)layout->n_pages / CHUNK_PAGES + 1;
    return chunks * (uint64_t)layout->n_head * ((uint64_t)layout->v_dim + 2);
}

// How pages hold numbers of a type, NULL if they can't.
static const kernels_page_type *page_type(const cpu_backend *cpu, int32_t type, int32_t dim) {
    const quant_type *row = quant_type_get(type);
    return row && type < KERNELS_TYPES && dim % row->block_size == 0 ? cpu->k->page_types[type] : NULL;
}

static ingot_status check_layout(const cpu_backend *cpu, const kv_layout *layout, ingot_error *err) {
    const int32_t types[] = {layout->k_type, layout->v_type}, dims[] = {layout->k_dim, layout->v_dim};
    for (int i = 0; i < 2; i++)
        if (!page_type(cpu, types[i], dims[i]))
            return fail(err, INGOT_ERR_UNSUPPORTED,
                        "the CPU has no KV pages of tensor type %d for heads of %d numbers", types[i],
                        dims[i]);
    if (layout->page_tokens != KERNELS_PAGE)
        return fail(err, INGOT_ERR_INVALID, "a page of %d tokens; expected %d", layout->page_tokens,
                    KERNELS_PAGE);
    return INGOT_OK;
}

ingot_status cpu_kv_new(backend *b, const kv_layout *layout, backend_kv **out, ingot_error *err) {
    cpu_backend *cpu = cpu_of(b);
    TRY(check_layout(cpu, layout, err));
    uint64_t k_bytes = quant_bytes(quant_type_get(layout->k_type), (uint64_t)layout->k_dim);
    uint64_t v_bytes = quant_bytes(quant_type_get(layout->v_type), (uint64_t)layout->v_dim);
    uint64_t heads_tokens = (uint64_t)layout->n_head_kv * KERNELS_PAGE;
    uint64_t layer_bytes = heads_tokens * (k_bytes + v_bytes);
    uint64_t page_bytes = layer_bytes * (uint64_t)layout->n_layers, total;
    if (!checked_mul(page_bytes, (uint64_t)layout->n_pages, &total))
        return fail(err, INGOT_ERR_LIMIT, "%d KV pages of %llu bytes are more than addresses reach",
                    layout->n_pages, (unsigned long long)page_bytes);
    backend_kv *kv = mem_alloc(cpu->mem, 1, sizeof *kv);
    if (!kv)
        return fail_memory(err, sizeof *kv, "the KV cache");
    *kv = (backend_kv){.layout = *layout,
                       .k = page_type(cpu, layout->k_type, layout->k_dim),
                       .v = page_type(cpu, layout->v_type, layout->v_dim),
                       .page_bytes = page_bytes,
                       .layer_bytes = layer_bytes,
                       .v_offset = heads_tokens * k_bytes,
                       .k_bytes = k_bytes,
                       .v_bytes = v_bytes};
    kv->pages = vm_reserve(total);
    kv->scratch_bytes = scratch_floats(layout) * sizeof(float) * (uint64_t)pool_threads(cpu->threads);
    kv->scratch = vm_reserve(kv->scratch_bytes);
    kv->partial = vm_reserve(partial_floats(layout) * sizeof(float));
    if (!kv->pages || !kv->scratch || !kv->partial) {
        cpu_kv_free(b, kv);
        return fail_memory(err, total, "the KV cache; a smaller context takes less");
    }
    *out = kv;
    return INGOT_OK;
}

void cpu_kv_free(backend *b, backend_kv *kv) {
    if (!kv)
        return;
    vm_release(kv->pages, kv->page_bytes * (uint64_t)kv->layout.n_pages);
    vm_release(kv->scratch, kv->scratch_bytes);
    vm_release(kv->partial, partial_floats(&kv->layout) * sizeof(float));
    mem_free(cpu_of(b)->mem, kv);
}

void cpu_kv_copy(backend *b, backend_kv *kv, int32_t from, int32_t to) {
    (void)b;
    memcpy(kv->pages + (uint64_t)to * kv->page_bytes, kv->pages + (uint64_t)from * kv->page_bytes,
           kv->page_bytes);
}

ingot_status cpu_kv_read(backend *b, const backend_kv *kv, int32_t page, void *bytes, ingot_error *err) {
    (void)b;
    (void)err;
    memcpy(bytes, kv->pages + (uint64_t)page * kv->page_bytes, kv->page_bytes);
    return INGOT_OK;
}

ingot_status cpu_kv_write(backend *b, backend_kv *kv, int32_t page, const void *bytes, ingot_error *err) {
    (void)b;
    (void)err;
    memcpy(kv->pages + (uint64_t)page * kv->page_bytes, bytes, kv->page_bytes);
    return INGOT_OK;
}

// The keys or the values of `head` of a page's layer.
static uint8_t *page_head(const backend_kv *kv, int32_t page, int32_t layer, int64_t head, bool values) {
    uint64_t token_bytes = values ? kv->v_bytes : kv->k_bytes;
    uint8_t *base = kv->pages + (uint64_t)page * kv->page_bytes + (uint64_t)layer * kv->layer_bytes;
    return base + (values ? kv->v_offset : 0) + (uint64_t)head * KERNELS_PAGE * token_bytes;
}

// ------------------------------------------------------------------------------------------------- storing

typedef struct store_job {
    backend_kv *kv;
    int32_t layer, n_head_kv;
    const backend_buffer *k, *v;
    const backend_batch *batch;
} store_job;

static void store_tokens(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const store_job *job = arg;
    const backend_kv *kv = job->kv;
    const int64_t k_dim = kv->layout.k_dim, v_dim = kv->layout.v_dim;
    for (int64_t t = begin; t < end; t++) {
        int32_t position = job->batch->positions[t], slot = position % KERNELS_PAGE;
        int32_t page = job->batch->pages[job->batch->seqs[t]][position / KERNELS_PAGE];
        const float *k = job->k->data + t * job->k->width, *v = job->v->data + t * job->v->width;
        for (int32_t h = 0; h < job->n_head_kv; h++) {
            uint8_t *keys = page_head(kv, page, job->layer, h, false);
            uint8_t *values = page_head(kv, page, job->layer, h, true);
            kv->k->store_key(k + h * k_dim, k_dim, slot, keys);
            kv->v->store_value(v + h * v_dim, v_dim, values + (uint64_t)slot * kv->v_bytes);
        }
    }
}

void cpu_kv_store(backend *b, backend_kv *kv, int32_t layer, int32_t n_head_kv, const backend_buffer *k,
                  const backend_buffer *v, const backend_batch *batch) {
    store_job job = {kv, layer, n_head_kv, k, v, batch};
    pool_run(cpu_of(b)->threads, batch->n_tokens, 16, store_tokens, &job);
}

// ------------------------------------------------------------------------------------------------- attending

typedef struct attend_job {
    cpu_backend *cpu;
    backend_kv *kv;
    const attend_args *args;
    const backend_buffer *q;
    const backend_batch *batch;
    backend_buffer *out;
    int64_t group;       // query heads of a key/value head
    int64_t unit_heads;  // of a group, in a unit of work
    int64_t group_units; // that share a group
    int64_t unit_tokens;
    int64_t n_chunks; // where chunks are units of their own
} attend_job;

// Positions [begin, end).
typedef struct span {
    int64_t begin, end;
} span;

// What a token's queries see.
static span visible(const attend_job *job, int64_t token) {
    const attend_args *a = job->args;
    int64_t position = job->batch->positions[token];
    span s = {0, a->causal ? position + 1 : job->batch->ends[job->batch->seqs[token]]};
    int64_t begin = 0, end = s.end;
    if (a->window_kind == WINDOW_SLIDING && a->causal)
        begin = position - a->window + 1;
    else if (a->window_kind == WINDOW_SLIDING) {
        begin = position - a->window / 2;
        end = position + a->window / 2 + 1;
    } else if (a->window_kind == WINDOW_CHUNK) {
        begin = position / a->window * a->window;
        end = begin + a->window;
    }
    s.begin = begin > 0 ? begin : 0;
    s.end = end < s.end ? end : s.end;
    return s;
}

// The slope of a head: Press et al. 2022, section 3, and for numbers of heads that are no power of two the
// authors' code.
static float alibi_slope(float max_bias, int64_t head, int64_t n_head) {
    int64_t whole = 1;
    while (2 * whole <= n_head)
        whole *= 2;
    if (head < whole)
        return exp2f(-max_bias * (float)(head + 1) / (float)whole);
    return exp2f(-max_bias * (float)(2 * (head - whole) + 1) / (float)(2 * whole));
}

static float score_scale(const attend_args *a, int32_t position) {
    if (a->temperature == 0.0f)
        return a->scale;
    double steps = floor((double)(position + a->temperature_offset) / (double)a->temperature_length);
    return (float)((double)a->scale * (1.0 + (double)a->temperature * log1p(steps)));
}

// A unit of work: some tokens of one sequence, heads of one group. Queries are [token][head].
typedef struct unit {
    int64_t first_token, n_tokens, kv_head, first_head, n_heads;
    span seen[MAX_QUERIES]; // by token
    attn_query queries[MAX_QUERIES];
    float *k, *v, *work, *acc; // scratch; acc: [queries][v_dim] of the present chunk
    float *total;              // [queries][v_dim] of the chunks before it
    float max[MAX_QUERIES], sum[MAX_QUERIES];
} unit;

// Takes the i-th of the parts that the heads are cut into.
static void unit_heads(const attend_job *job, unit *u, int64_t i) {
    int64_t skipped = i % job->group_units * job->unit_heads;
    u->kv_head = i / job->group_units;
    u->first_head = u->kv_head * job->group + skipped;
    u->n_heads = job->group - skipped < job->unit_heads ? job->group - skipped : job->unit_heads;
}

static void unit_begin(const attend_job *job, unit *u, int worker) {
    const kv_layout *layout = &job->kv->layout;
    const attend_args *a = job->args;
    float *scratch = job->kv->scratch + (uint64_t)worker * scratch_floats(layout);
    u->k = scratch;
    u->v = u->k + (int64_t)KERNELS_PAGE * layout->k_dim;
    u->work = u->v + (int64_t)KERNELS_PAGE * layout->v_dim;
    u->acc = u->work + MAX_QUERIES * KERNELS_PAGE;
    u->total = u->acc + (int64_t)MAX_QUERIES * layout->v_dim;
    for (int64_t t = 0; t < u->n_tokens; t++) {
        int64_t token = u->first_token + t;
        u->seen[t] = visible(job, token);
        for (int64_t g = 0; g < u->n_heads; g++) {
            int64_t i = t * u->n_heads + g, head = u->first_head + g;
            u->queries[i] = (attn_query){
                .q = job->q->data + token * job->q->width + head * layout->k_dim,
                .scale = score_scale(a, job->batch->positions[token]),
                .slope = a->alibi > 0.0f ? alibi_slope(a->alibi, head, a->n_head) : 0.0f,
                .acc = u->acc + i * layout->v_dim,
            };
            u->max[i] = -INFINITY;
            u->sum[i] = 0.0f;
        }
    }
    memset(u->total, 0, (size_t)(u->n_tokens * u->n_heads * layout->v_dim) * sizeof(float));
}

// Whether attention reads keys or values as they lie, and not what is loaded from them.
static bool direct(const kernels_page_type *type, const unit *u) {
    return !type->load_keys || u->n_tokens * u->n_heads <= type->direct_queries;
}

// What is read of a page, of the positions below `end`; page `next` is wanted after it.
static attn_page load_page(const attend_job *job, const unit *u, int64_t page, int64_t next, int64_t end) {
    const backend_kv *kv = job->kv;
    const int32_t *pages = job->batch->pages[job->batch->seqs[u->first_token]], layer = job->args->layer;
    attn_page p = {
        .k = page_head(kv, pages[page], layer, u->kv_head, false),
        .v = page_head(kv, pages[page], layer, u->kv_head, true),
        .next_k = page_head(kv, pages[next], layer, u->kv_head, false),
        .next_v = page_head(kv, pages[next], layer, u->kv_head, true),
        .k_step = (int64_t)kv->k_bytes * KERNELS_PAGE / kv->layout.k_dim,
        .v_step = (int64_t)kv->v_bytes,
    };
    if (!direct(kv->k, u)) {
        kv->k->load_keys(p.k, kv->layout.k_dim, u->k);
        p.k = u->k;
    }
    if (!direct(kv->v, u)) {
        kv->v->load_values(p.v, end * kv->layout.v_dim, u->v);
        p.v = u->v;
    }
    return p;
}

// The slots of page number `at` that token number `t` sees.
static span seen_of_page(const unit *u, int64_t t, int64_t at) {
    const int64_t base = at * KERNELS_PAGE;
    const int64_t begin = u->seen[t].begin - base, end = u->seen[t].end - base;
    return (span){begin > 0 ? begin : 0, end < KERNELS_PAGE ? end : KERNELS_PAGE};
}

// Folds what `seen` says of a page into `n` of the unit's queries.
static void attend_seen(const attend_job *job, const unit *u, attn_query *queries, int64_t n,
                        const attn_page *page, span seen) {
    const kv_layout *layout = &job->kv->layout;
    const kernels_page_type *k = job->kv->k, *v = job->kv->v, *loaded = job->cpu->k->page_types[QUANT_F32];
    k = direct(k, u) ? k : loaded;
    v = direct(v, u) ? v : loaded;
    k->weigh_keys(queries, n, page, seen.begin, seen.end, layout->k_dim, job->args->soft_cap, u->work);
    v->add_values(queries, n, page, seen.begin, seen.end, layout->v_dim, u->work);
}

// Folds page number `at` into the queries: all at once where their tokens see all of `all`, else token by
// token.
static void attend_page(const attend_job *job, unit *u, int64_t at, int64_t next) {
    const int64_t base = at * KERNELS_PAGE;
    span all = {KERNELS_PAGE, 0};
    bool same = true;
    for (int64_t t = 0; t < u->n_tokens; t++) {
        const span seen = seen_of_page(u, t, at);
        same = same && (t == 0 || (seen.begin == all.begin && seen.end == all.end));
        all.begin = seen.begin < all.begin ? seen.begin : all.begin;
        all.end = seen.end > all.end ? seen.end : all.end;
    }
    if (all.begin >= all.end)
        return;
    attn_page page = load_page(job, u, at, next, all.end);
    for (int64_t t = 0; t < u->n_tokens; t++)
        for (int64_t g = 0; g < u->n_heads; g++)
            u->queries[t * u->n_heads + g].position =
                (float)(job->batch->positions[u->first_token + t] - base);
    if (same) {
        attend_seen(job, u, u->queries, u->n_tokens * u->n_heads, &page, all);
        return;
    }
    for (int64_t t = 0; t < u->n_tokens; t++) {
        const span seen = seen_of_page(u, t, at);
        if (seen.begin >= seen.end)
            continue;
        attend_seen(job, u, u->queries + t * u->n_heads, u->n_heads, &page, seen);
        page.k_step = page.v_step = 0;
    }
}

// Adds a sum over positions, `acc` with its largest score and its sum, to what stands in `total`.
static void merge(float *total, float *max, float *sum, const float *acc, float acc_max, float acc_sum,
                  int64_t n) {
    if (acc_sum == 0.0f) // it saw nothing
        return;
    float most = *max > acc_max ? *max : acc_max;
    float kept = expf(*max - most), added = expf(acc_max - most);
    for (int64_t i = 0; i < n; i++)
        total[i] = total[i] * kept + acc[i] * added;
    *sum = *sum * kept + acc_sum * added;
    *max = most;
}

// All pages of one chunk; leaves the result in the queries.
static void attend_chunk(const attend_job *job, unit *u, int64_t chunk, span pages) {
    const int64_t n = u->n_tokens * u->n_heads;
    for (int64_t i = 0; i < n; i++) {
        u->queries[i].max = -INFINITY;
        u->queries[i].sum = 0.0f;
    }
    memset(u->acc, 0, (size_t)(n * job->kv->layout.v_dim) * sizeof(float));
    int64_t first = chunk * CHUNK_PAGES, end = first + CHUNK_PAGES;
    first = first > pages.begin ? first : pages.begin;
    end = end < pages.end ? end : pages.end;
    for (int64_t page = first; page < end; page++)
        attend_page(job, u, page, page + 1 < pages.end ? page + 1 : page);
}

// The pages that any token of the unit sees.
static span pages_of(const unit *u) {
    span all = u->seen[0];
    for (int64_t t = 1; t < u->n_tokens; t++) {
        all.begin = u->seen[t].begin < all.begin ? u->seen[t].begin : all.begin;
        all.end = u->seen[t].end > all.end ? u->seen[t].end : all.end;
    }
    return (span){all.begin / KERNELS_PAGE, (all.end + KERNELS_PAGE - 1) / KERNELS_PAGE};
}

// A head's result from its sum of values. A sink's share of attention goes nowhere.
static void finish_head(const attend_job *job, int64_t token, int64_t head, const float *total, float max,
                        float sum) {
    const int64_t dim = job->kv->layout.v_dim;
    float share = 1.0f / sum;
    if (job->args->sinks) {
        const float sink = job->args->sinks->vector[head];
        float most = max > sink ? max : sink, kept = expf(max - most);
        share = kept / (sum * kept + expf(sink - most));
    }
    float *out = job->out->data + token * job->out->width + head * dim;
    for (int64_t i = 0; i < dim; i++)
        out[i] = total[i] * share;
}

static void attend_unit(const attend_job *job, unit *u) {
    const int64_t dim = job->kv->layout.v_dim, n = u->n_tokens * u->n_heads;
    const span pages = pages_of(u);
    for (int64_t chunk = pages.begin / CHUNK_PAGES; chunk * CHUNK_PAGES < pages.end; chunk++) {
        attend_chunk(job, u, chunk, pages);
        for (int64_t i = 0; i < n; i++)
            merge(u->total + i * dim, &u->max[i], &u->sum[i], u->queries[i].acc, u->queries[i].max,
                  u->queries[i].sum, dim);
    }
    for (int64_t i = 0; i < n; i++)
        finish_head(job, u->first_token + i / u->n_heads, u->first_head + i % u->n_heads, u->total + i * dim,
                    u->max[i], u->sum[i]);
}

static void attend_units(void *arg, int64_t begin, int64_t end, int worker) {
    const attend_job *job = arg;
    const int32_t *seqs = job->batch->seqs;
    for (int64_t i = begin; i < end; i++) {
        const int64_t parts = job->args->n_head_kv * job->group_units;
        unit u;
        unit_heads(job, &u, i % parts);
        int64_t token = i / parts * job->unit_tokens, stop = token + job->unit_tokens;
        stop = stop < job->batch->n_tokens ? stop : job->batch->n_tokens;
        while (token < stop) { // tokens of one sequence at a time
            u.first_token = token;
            while (token < stop && seqs[token] == seqs[u.first_token])
                token++;
            u.n_tokens = token - u.first_token;
            unit_begin(job, &u, worker);
            attend_unit(job, &u);
        }
    }
}

// ------------------------------------------------------------------------------------------------- one token

// Of a single token the chunks are units too, so that there is work for all threads.

static float *partial_of(const attend_job *job, int64_t chunk, int64_t head) {
    return job->kv->partial + (chunk * job->args->n_head + head) * (job->kv->layout.v_dim + 2);
}

static void attend_chunks(void *arg, int64_t begin, int64_t end, int worker) {
    const attend_job *job = arg;
    const int64_t dim = job->kv->layout.v_dim;
    for (int64_t i = begin; i < end; i++) {
        unit u;
        unit_heads(job, &u, i / job->n_chunks);
        u.first_token = 0;
        u.n_tokens = 1;
        unit_begin(job, &u, worker);
        attend_chunk(job, &u, i % job->n_chunks, pages_of(&u));
        for (int64_t g = 0; g < u.n_heads; g++) {
            float *partial = partial_of(job, i % job->n_chunks, u.first_head + g);
            memcpy(partial, u.queries[g].acc, (size_t)dim * sizeof *partial);
            partial[dim] = u.queries[g].max;
            partial[dim + 1] = u.queries[g].sum;
        }
    }
}

static void merge_chunks(const attend_job *job) {
    const int64_t dim = job->kv->layout.v_dim;
    for (int64_t head = 0; head < job->args->n_head; head++) {
        float *total = job->kv->scratch, max = -INFINITY, sum = 0.0f;
        memset(total, 0, (size_t)dim * sizeof *total);
        for (int64_t chunk = 0; chunk < job->n_chunks; chunk++) {
            const float *partial = partial_of(job, chunk, head);
            merge(total, &max, &sum, partial, partial[dim], partial[dim + 1], dim);
        }
        finish_head(job, 0, head, total, max, sum);
    }
}

void cpu_attend(backend *b, const backend_kv *kv, const attend_args *args, const backend_buffer *q,
                const backend_batch *batch, backend_buffer *out) {
    attend_job job = {.cpu = cpu_of(b),
                      .kv = (backend_kv *)kv, // its scratch is written
                      .args = args,
                      .q = q,
                      .batch = batch,
                      .out = out,
                      .group = args->n_head / args->n_head_kv};
    job.unit_heads = job.group < MAX_QUERIES ? job.group : MAX_QUERIES;
    job.group_units = (job.group + job.unit_heads - 1) / job.unit_heads;
    job.unit_tokens = MAX_QUERIES / job.unit_heads;
    const int64_t parts = args->n_head_kv * job.group_units;
    job.n_chunks = (visible(&job, 0).end - 1) / (CHUNK_PAGES * KERNELS_PAGE) + 1;
    if (batch->n_tokens == 1 && job.n_chunks > 1 && parts < 2 * pool_threads(job.cpu->threads)) {
        pool_run(job.cpu->threads, parts * job.n_chunks, 1, attend_chunks, &job);
        merge_chunks(&job);
        return;
    }
    int64_t blocks = (batch->n_tokens + job.unit_tokens - 1) / job.unit_tokens;
    pool_run(job.cpu->threads, blocks * parts, 1, attend_units, &job);
}
