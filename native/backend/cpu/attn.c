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

// One head of one token, page after page: the pages' borders are those of absolute positions, so the result
// doesn't depend on how the tokens came in.
static void attend_head(const attend_job *job, int64_t token, int64_t head, float *acc) {
    const kv_layout *layout = &job->kv->layout;
    const int32_t *pages = job->batch->pages[job->batch->seqs[token]];
    int64_t end = (int64_t)job->batch->positions[token] + 1;
    int64_t kv_head = head / (job->args->n_head / job->args->n_head_kv);
    const float *q = job->q->data + token * job->q->width + head * layout->k_dim;
    attn_state state = {.max = -INFINITY, .sum = 0.0f, .acc = acc};
    memset(acc, 0, (size_t)layout->v_dim * sizeof *acc);
    for (int64_t p = 0; p * layout->page_tokens < end; p++) {
        int64_t left = end - p * layout->page_tokens;
        job->cpu->k->attend(&state, q, page_head(job->kv, pages[p], job->args->layer, kv_head, false),
                            page_head(job->kv, pages[p], job->args->layer, kv_head, true),
                            layout->type == QUANT_F16,
                            left < layout->page_tokens ? left : layout->page_tokens, layout->k_dim,
                            layout->v_dim, job->args->scale);
    }
    float *out = job->out->data + token * job->out->width + head * layout->v_dim;
    for (int32_t i = 0; i < layout->v_dim; i++)
        out[i] = acc[i] / state.sum;
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
