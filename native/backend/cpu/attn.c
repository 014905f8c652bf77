#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/thread.h"

ingot_status cpu_kv_new(backend *b, const kv_layout *layout, backend_kv **out, ingot_error *err) {
    cpu_backend *cpu = cpu_of(b);
    uint64_t item = layout->type == QUANT_F32 ? sizeof(float) : sizeof(uint16_t);
    uint64_t heads_tokens = (uint64_t)layout->n_head_kv * (uint64_t)layout->page_tokens;
    uint64_t v_offset = heads_tokens * (uint64_t)layout->k_dim * item;
    uint64_t layer_bytes = v_offset + heads_tokens * (uint64_t)layout->v_dim * item;
    uint64_t page_bytes = layer_bytes * (uint64_t)layout->n_layers, total;
    if (!checked_mul(page_bytes, (uint64_t)layout->n_pages, &total))
        return fail(err, INGOT_ERR_LIMIT, "%d KV pages of %llu bytes are more than addresses reach",
                    layout->n_pages, (unsigned long long)page_bytes);
    // The output projection's rows hold all heads, so the weights have reserved more than enough already;
    // growing the scratch here could pull it from under another engine's running operation.
    if ((size_t)layout->v_dim > cpu->scratch_floats)
        return fail(err, INGOT_ERR_STATE, "the KV cache was made before the model's weights");
    if (layout->page_tokens > KERNELS_MAX_PAGE)
        return fail(err, INGOT_ERR_INVALID, "a page of %d tokens; at most %d fit", layout->page_tokens,
                    KERNELS_MAX_PAGE);
    backend_kv *kv = mem_alloc(cpu->mem, 1, sizeof *kv);
    if (!kv)
        return fail_memory(err, sizeof *kv, "the KV cache");
    *kv = (backend_kv){*layout, vm_reserve(total), page_bytes, layer_bytes, v_offset, item};
    if (!kv->pages) {
        mem_free(cpu->mem, kv);
        return fail_memory(err, total, "the KV cache; a smaller context takes less");
    }
    *out = kv;
    return INGOT_OK;
}

void cpu_kv_free(backend *b, backend_kv *kv) {
    if (!kv)
        return;
    vm_release(kv->pages, kv->page_bytes * (uint64_t)kv->layout.n_pages);
    mem_free(cpu_of(b)->mem, kv);
}

// The first number of `head` of a page's layer, keys or values.
static uint8_t *page_head(const backend_kv *kv, int32_t page, int32_t layer, int64_t head, bool values) {
    uint64_t dim = (uint64_t)(values ? kv->layout.v_dim : kv->layout.k_dim);
    uint8_t *base = kv->pages + (uint64_t)page * kv->page_bytes + (uint64_t)layer * kv->layer_bytes;
    return base + (values ? kv->v_offset : 0) +
           (uint64_t)head * (uint64_t)kv->layout.page_tokens * dim * kv->item;
}

typedef struct store_job {
    cpu_backend *cpu;
    backend_kv *kv;
    int32_t layer, n_head_kv;
    const backend_buffer *k, *v;
    const backend_batch *batch;
} store_job;

static void store_row(const store_job *job, const float *src, int64_t dim, uint8_t *dst) {
    if (job->kv->layout.type == QUANT_F32)
        memcpy(dst, src, (size_t)dim * sizeof *src);
    else
        job->cpu->k->f32_to_f16(src, dim, (uint16_t *)(void *)dst);
}

static void store_tokens(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const store_job *job = arg;
    const kv_layout *layout = &job->kv->layout;
    for (int64_t t = begin; t < end; t++) {
        int32_t position = job->batch->positions[t];
        int32_t page = job->batch->pages[job->batch->seqs[t]][position / layout->page_tokens];
        uint64_t slot = (uint64_t)(position % layout->page_tokens);
        for (int32_t h = 0; h < job->n_head_kv; h++) {
            uint8_t *k = page_head(job->kv, page, job->layer, h, false);
            uint8_t *v = page_head(job->kv, page, job->layer, h, true);
            store_row(job, job->k->data + t * job->k->width + (int64_t)h * layout->k_dim, layout->k_dim,
                      k + slot * (uint64_t)layout->k_dim * job->kv->item);
            store_row(job, job->v->data + t * job->v->width + (int64_t)h * layout->v_dim, layout->v_dim,
                      v + slot * (uint64_t)layout->v_dim * job->kv->item);
        }
    }
}

void cpu_kv_store(backend *b, backend_kv *kv, int32_t layer, int32_t n_head_kv, const backend_buffer *k,
                  const backend_buffer *v, const backend_batch *batch) {
    store_job job = {cpu_of(b), kv, layer, n_head_kv, k, v, batch};
    pool_run(job.cpu->threads, batch->n_tokens, 16, store_tokens, &job);
}

typedef struct attend_job {
    cpu_backend *cpu;
    const backend_kv *kv;
    const attend_args *args;
    const backend_buffer *q;
    const backend_batch *batch;
    backend_buffer *out;
} attend_job;

// The positions [begin, end) that a query sees.
typedef struct span {
    int64_t begin, end;
} span;

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

// What the accumulated values are to be multiplied by. A sink's share of attention goes nowhere.
static float finish(const attn_state *state, const float *sink) {
    if (!sink)
        return 1.0f / state->sum;
    float max = state->max > *sink ? state->max : *sink;
    float kept = expf(state->max - max);
    return kept / (state->sum * kept + expf(*sink - max));
}

// One head of one token, page after page: the pages' borders are those of absolute positions, so the result
// doesn't depend on how the tokens came in.
static void attend_head(const attend_job *job, int64_t token, int64_t head, float *acc) {
    const kv_layout *layout = &job->kv->layout;
    const attend_args *a = job->args;
    const int32_t *pages = job->batch->pages[job->batch->seqs[token]];
    int32_t position = job->batch->positions[token];
    const span seen = visible(job, token);
    int64_t kv_head = head / (a->n_head / a->n_head_kv);
    const float *q = job->q->data + token * job->q->width + head * layout->k_dim;
    float bias[KERNELS_MAX_PAGE], slope = a->alibi > 0.0f ? alibi_slope(a->alibi, head, a->n_head) : 0.0f;
    attn_scores scores = {score_scale(a, position), a->soft_cap, a->alibi > 0.0f ? bias : NULL};
    attn_state state = {.max = -INFINITY, .sum = 0.0f, .acc = acc};
    memset(acc, 0, (size_t)layout->v_dim * sizeof *acc);
    for (int64_t p = seen.begin / layout->page_tokens; p * layout->page_tokens < seen.end; p++) {
        int64_t first = p * layout->page_tokens, from = first < seen.begin ? seen.begin : first;
        int64_t to = first + layout->page_tokens < seen.end ? first + layout->page_tokens : seen.end;
        for (int64_t i = from; scores.bias && i < to; i++)
            bias[i - from] = -slope * (float)(i < position ? position - i : i - position);
        const uint8_t *k = page_head(job->kv, pages[p], a->layer, kv_head, false);
        const uint8_t *v = page_head(job->kv, pages[p], a->layer, kv_head, true);
        uint64_t skipped = (uint64_t)(from - first) * job->kv->item;
        job->cpu->k->attend(&state, q, k + skipped * (uint64_t)layout->k_dim,
                            v + skipped * (uint64_t)layout->v_dim, layout->type == QUANT_F16, to - from,
                            layout->k_dim, layout->v_dim, &scores);
    }
    float *out = job->out->data + token * job->out->width + head * layout->v_dim;
    float share = finish(&state, a->sinks ? &a->sinks->vector[head] : NULL);
    for (int32_t i = 0; i < layout->v_dim; i++)
        out[i] = acc[i] * share;
}

static void attend_heads(void *arg, int64_t begin, int64_t end, int worker) {
    const attend_job *job = arg;
    for (int64_t i = begin; i < end; i++)
        attend_head(job, i / job->args->n_head, i % job->args->n_head, job->cpu->scratch[worker]);
}

void cpu_attend(backend *b, const backend_kv *kv, const attend_args *args, const backend_buffer *q,
                const backend_batch *batch, backend_buffer *out) {
    attend_job job = {cpu_of(b), kv, args, q, batch, out};
    pool_run(job.cpu->threads, (int64_t)batch->n_tokens * args->n_head, 1, attend_heads, &job);
}
