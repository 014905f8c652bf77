// The engine: a thread that serves requests in the order of their submission, one sequence at a time, over KV
// pages. What the sequence of the last request shares with the next one isn't computed again.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "model/forward.h"
#include "model/model.h"
#include "quant/quant.h"
#include "run/pages.h"
#include "run/request.h"
#include "run/runtime.h"

enum { DEFAULT_BATCH = 256, MAX_BATCH = 4096, MAX_QUEUED = 65536 };

struct ingot_engine {
    ingot_model *model;
    const ingot_allocator *mem;
    ingot_engine_info info; // kv_bytes_used is kept in `pages_used`
    uint64_t page_bytes;

    // The thread's own.
    backend_kv *kv;
    forward *forward;
    page_pool pool;
    sequence sequence;
    sampler sampler;
    int32_t *positions, *seqs, *rows; // [n_batch]
    float *logits;                    // [n_vocab] of the last token

    atomic_int pages_used;
    mutex lock;
    condition work; // there is a request, or the end has come
    condition news; // there are events
    bool locks, running, closing;
    thread thread;
    request *first; // in the order of submission
    int32_t n_requests;
    uint64_t last_id;
};

// ------------------------------------------------------------------------------------------------- one
// request

// Where the forward pass puts the rows of a chunk.
typedef struct row_target {
    ingot_engine *engine;
    const request *r;
    int32_t first; // position of the chunk's first token
    int32_t last;  // row of the batch whose logits are to be sampled from; -1: none
} row_target;

static void take_row(void *user, int32_t i, const float *logits) {
    const row_target *t = user;
    int32_t position = t->first + t->engine->rows[i];
    size_t n_vocab = (size_t)t->engine->model->plan.n_vocab;
    const ingot_request *p = &t->r->params;
    if (p->prompt_logits && position >= p->first_logits && (size_t)position < p->n_tokens)
        memcpy(p->prompt_logits + (size_t)(position - p->first_logits) * n_vocab, logits,
               n_vocab * sizeof *logits);
    if (t->engine->rows[i] == t->last)
        memcpy(t->engine->logits, logits, n_vocab * sizeof *logits);
}

// Computes `n` tokens at the end of the sequence; the last one's logits are left in e->logits if `sample`.
static ingot_status run_tokens(ingot_engine *e, request *r, const int32_t *tokens, int32_t n, bool sample,
                               ingot_error *err) {
    sequence *s = &e->sequence;
    int32_t first = s->n_tokens, n_rows = 0;
    TRY(sequence_reserve(s, &e->pool, first + n, err));
    atomic_store(&e->pages_used, e->pool.n_pages - e->pool.n_free);
    for (int32_t i = 0; i < n; i++) {
        e->positions[i] = first + i;
        bool wanted = r->params.prompt_logits && first + i >= r->params.first_logits &&
                      (size_t)(first + i) < r->params.n_tokens;
        if (wanted || (sample && i == n - 1))
            e->rows[n_rows++] = i;
    }
    const int32_t *pages[1] = {s->pages};
    backend_batch batch = {n, tokens, e->positions, e->seqs, pages};
    row_target target = {e, r, first, sample ? n - 1 : -1};
    TRY(forward_run(e->forward, &batch, e->kv, e->rows, n_rows, take_row, &target, &r->cancel, err));
    TRY(ingot_gguf_check(e->model->file, err));
    memcpy(s->tokens + first, tokens, (size_t)n * sizeof *tokens);
    s->n_tokens = first + n;
    return INGOT_OK;
}

// Keeps of the last request's sequence what this one's prompt begins with. Its last token, and tokens whose
// logits are asked for, must be computed.
static void reuse_prefix(ingot_engine *e, request *r) {
    size_t most = r->params.n_tokens - 1;
    if (r->params.prompt_logits && (size_t)r->params.first_logits < most)
        most = (size_t)r->params.first_logits;
    size_t n = 0;
    while (n < most && n < (size_t)e->sequence.n_tokens && e->sequence.tokens[n] == r->tokens[n])
        n++;
    sequence_truncate(&e->sequence, &e->pool, (int32_t)n);
    r->n_cached = r->n_prompt = (int32_t)n;
}

static ingot_status prefill(ingot_engine *e, request *r, ingot_error *err) {
    int32_t n_tokens = (int32_t)r->params.n_tokens;
    reuse_prefix(e, r);
    while (r->n_prompt < n_tokens) {
        int32_t left = n_tokens - r->n_prompt;
        int32_t n = left < e->info.n_batch ? left : e->info.n_batch;
        TRY(run_tokens(e, r, r->tokens + r->n_prompt, n, n == left && r->params.max_tokens != 0, err));
        r->n_prompt += n;
        mutex_lock(&e->lock);
        ingot_status status = request_prefilled(r, err);
        condition_wake_all(&e->news);
        mutex_unlock(&e->lock);
        TRY(status);
    }
    return INGOT_OK;
}

static void apply_bias(const ingot_engine *e, const request *r) {
    const vocab *v = e->model->text;
    for (size_t i = 0; i < r->params.n_bias; i++)
        e->logits[r->bias[i].token] += r->bias[i].bias;
    // Rows that no token of the vocabulary has are padding.
    for (int32_t i = v ? vocab_size(v) : e->model->plan.n_vocab; i < e->model->plan.n_vocab; i++)
        e->logits[i] = -INFINITY;
    if (v && r->params.ignore_eos)
        for (int32_t i = 0; i < vocab_size(v); i++)
            if (vocab_ends_generation(v, i))
                e->logits[i] = -INFINITY;
}

// Chooses the next token and tells it; *finish says whether it was the last.
static ingot_status choose_token(ingot_engine *e, request *r, int32_t *token, ingot_finish *finish,
                                 ingot_error *err) {
    const vocab *v = e->model->text;
    const sequence *s = &e->sequence;
    bool stopped;
    apply_bias(e, r);
    TRY(sampler_choose(&e->sampler, &r->sampling, r->params.seed, e->logits, s->tokens, s->n_tokens,
                       (uint64_t)r->n_generated, token, err));
    r->n_generated++;
    bool ends = v && vocab_ends_generation(v, *token);
    mutex_lock(&e->lock);
    ingot_status status = request_token(r, v, *token, !ends || r->params.special, &stopped, err);
    condition_wake_all(&e->news);
    mutex_unlock(&e->lock);
    *finish = stopped                                  ? INGOT_FINISH_STOP
              : ends                                   ? INGOT_FINISH_EOS
              : r->n_generated == r->params.max_tokens ? INGOT_FINISH_LENGTH
              : s->n_tokens >= e->info.n_ctx           ? INGOT_FINISH_CONTEXT
                                                       : INGOT_FINISH_NONE;
    return status;
}

// Generates until something ends it; `finish` says what.
static ingot_status decode(ingot_engine *e, request *r, ingot_finish *finish, ingot_error *err) {
    int32_t token;
    for (;;) {
        if (atomic_load(&r->cancel))
            return fail(err, INGOT_ERR_CANCELLED, "the request was cancelled");
        TRY(choose_token(e, r, &token, finish, err));
        if (*finish != INGOT_FINISH_NONE)
            return INGOT_OK;
        TRY(run_tokens(e, r, &token, 1, true, err));
    }
}

// Takes a dropped request out of the list and frees it, unless a thread is still inside it: that one will.
static void forget(ingot_engine *e, request *r) {
    r->dropped = true;
    if (r->users > 0 || (r->started && !r->finished))
        return;
    request **link = &e->first;
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    e->n_requests--;
    request_free(r);
}

static void serve(ingot_engine *e, request *r) {
    ingot_error err = {0};
    ingot_finish finish = INGOT_FINISH_LENGTH;
    double start = clock_seconds();
    ingot_status status = prefill(e, r, &err);
    double ready = clock_seconds();
    if (status == INGOT_OK && r->params.max_tokens != 0)
        status = decode(e, r, &finish, &err);
    if (status != INGOT_OK)
        finish = status == INGOT_ERR_CANCELLED ? INGOT_FINISH_CANCELLED : INGOT_FINISH_ERROR;
    r->prefill_seconds = ready - start;
    r->decode_seconds = clock_seconds() - ready;
    mutex_lock(&e->lock);
    request_finish(r, finish, &err);
    condition_wake_all(&e->news);
    if (r->dropped)
        forget(e, r);
    mutex_unlock(&e->lock);
}

static request *next_to_serve(const ingot_engine *e) {
    request *r = e->first;
    while (r && (r->started || r->dropped))
        r = r->next;
    return r;
}

static void engine_main(void *arg) {
    ingot_engine *e = arg;
    mutex_lock(&e->lock);
    while (!e->closing) {
        request *r = next_to_serve(e);
        if (!r) {
            condition_wait(&e->work, &e->lock);
            continue;
        }
        r->started = true;
        mutex_unlock(&e->lock);
        serve(e, r);
        mutex_lock(&e->lock);
    }
    mutex_unlock(&e->lock);
}

// ------------------------------------------------------------------------------------------------- life

ingot_engine_params ingot_engine_default_params(void) {
    return (ingot_engine_params){.kv_type = QUANT_F16};
}

ingot_request ingot_request_default(void) {
    return (ingot_request){.max_tokens = -1};
}

static ingot_status check_params(const ingot_model *m, const ingot_engine_params *p, ingot_error *err) {
    if (!m->device)
        return fail(err, INGOT_ERR_STATE, "%s was opened with vocab_only: it has no weights to run",
                    gguf_name(m->file));
    if (p->kv_type != QUANT_F16 && p->kv_type != QUANT_F32)
        return fail(err, INGOT_ERR_INVALID, "kv_type is %d, expected 0 (F32) or 1 (F16)", p->kv_type);
    if (p->n_ctx < 0 || p->n_ctx > 1 << 30)
        return fail(err, INGOT_ERR_INVALID, "n_ctx is %d, expected 0 (the model's own) to 2^30", p->n_ctx);
    if (p->n_batch < 0 || p->n_batch > MAX_BATCH)
        return fail(err, INGOT_ERR_INVALID, "n_batch is %d, expected 0 (choose) to %d", p->n_batch,
                    MAX_BATCH);
    return INGOT_OK;
}

// Settles the context: what was asked for, or the model's own as far as memory goes.
static ingot_status choose_context(ingot_engine *e, const ingot_engine_params *p, ingot_error *err) {
    const plan *shape = &e->model->plan;
    const log_sink *log = e->model->env.log;
    uint64_t token_bytes = (uint64_t)shape->n_layer * (uint64_t)shape->n_head_kv *
                           (uint64_t)(shape->k_dim + shape->v_dim) * (p->kv_type == QUANT_F32 ? 4 : 2);
    ingot_device device;
    TRY(e->model->device->ops->describe(&e->model->env, 0, &device, err));
    uint64_t budget = p->kv_bytes > 0 ? p->kv_bytes : device.memory_free / 2;
    uint64_t fits = budget / (token_bytes * PAGE_TOKENS) * PAGE_TOKENS;
    int32_t wanted = p->n_ctx > 0 ? p->n_ctx : shape->n_ctx_train;
    e->page_bytes = token_bytes * PAGE_TOKENS;
    if (((uint64_t)wanted + PAGE_TOKENS - 1) / PAGE_TOKENS * PAGE_TOKENS > fits) {
        if (p->n_ctx > 0 || fits == 0)
            return fail(err, INGOT_ERR_LIMIT,
                        "a context of %d tokens needs %llu MiB of KV pages (%llu bytes a token), of %llu MiB "
                        "allowed; "
                        "%llu tokens would fit",
                        wanted, (unsigned long long)((uint64_t)wanted * token_bytes >> 20),
                        (unsigned long long)token_bytes, (unsigned long long)(budget >> 20),
                        (unsigned long long)fits);
        log_line(log, INGOT_LOG_WARN,
                 "context is %llu tokens instead of the model's %d: KV pages may take %llu MiB; set n_ctx to "
                 "choose",
                 (unsigned long long)fits, wanted, (unsigned long long)(budget >> 20));
        wanted = (int32_t)fits;
        e->info.n_ctx_reduced = true;
    }
    if (wanted > shape->n_ctx_train)
        log_line(log, INGOT_LOG_WARN, "context is %d tokens, more than the %d that the model was made for",
                 wanted, shape->n_ctx_train);
    e->info.n_ctx = wanted;
    e->info.kv_type = p->kv_type;
    e->info.page_tokens = PAGE_TOKENS;
    e->info.n_batch = p->n_batch > 0 ? p->n_batch : DEFAULT_BATCH;
    if (e->info.n_batch > wanted)
        e->info.n_batch = wanted;
    return INGOT_OK;
}

static ingot_status make_state(ingot_engine *e, ingot_error *err) {
    const plan *shape = &e->model->plan;
    const size_t n_batch = (size_t)e->info.n_batch;
    kv_layout layout = {shape->n_layer,
                        shape->n_head_kv,
                        shape->k_dim,
                        shape->v_dim,
                        e->info.kv_type,
                        PAGE_TOKENS,
                        (e->info.n_ctx + PAGE_TOKENS - 1) / PAGE_TOKENS};
    e->info.kv_bytes = e->page_bytes * (uint64_t)layout.n_pages;
    TRY(e->model->device->ops->kv_new(e->model->device, &layout, &e->kv, err));
    TRY(forward_new(shape, e->model->device, e->mem, e->info.n_batch, e->info.n_ctx, &e->forward, err));
    TRY(page_pool_init(&e->pool, layout.n_pages, err));
    TRY(sequence_init(&e->sequence, e->info.n_ctx, err));
    TRY(sampler_init(&e->sampler, shape->n_vocab, e->mem, err));
    e->positions = mem_alloc(e->mem, n_batch, sizeof *e->positions);
    e->seqs = mem_alloc(e->mem, n_batch, sizeof *e->seqs);
    e->rows = mem_alloc(e->mem, n_batch, sizeof *e->rows);
    e->logits = mem_alloc(e->mem, (size_t)shape->n_vocab, sizeof *e->logits);
    if (!e->positions || !e->seqs || !e->rows || !e->logits)
        return fail_memory(err, (uint64_t)shape->n_vocab * sizeof *e->logits, "the engine");
    return INGOT_OK;
}

static ingot_status make_locks(ingot_engine *e, ingot_error *err) {
    TRY(mutex_init(&e->lock, err));
    ingot_status status = condition_init(&e->work, err);
    if (status == INGOT_OK) {
        status = condition_init(&e->news, err);
        if (status == INGOT_OK) {
            e->locks = true;
            return INGOT_OK;
        }
        condition_free(&e->work);
    }
    mutex_free(&e->lock);
    return status;
}

ingot_status ingot_engine_new(ingot_model *model, const ingot_engine_params *params, ingot_engine **out,
                              ingot_error *err) {
    ingot_engine_params p = params ? *params : ingot_engine_default_params();
    TRY(runtime_check(model->runtime, err));
    TRY(check_params(model, &p, err));
    ingot_engine *e = mem_alloc(model->env.mem, 1, sizeof *e);
    if (!e)
        return fail_memory(err, sizeof *e, "the engine");
    e->model = model;
    e->mem = model->env.mem;
    ingot_status status = choose_context(e, &p, err);
    if (status == INGOT_OK)
        status = make_state(e, err);
    if (status == INGOT_OK)
        status = make_locks(e, err);
    if (status == INGOT_OK)
        status = thread_start(&e->thread, engine_main, e, "ingot-engine", err);
    e->running = status == INGOT_OK;
    if (status != INGOT_OK) {
        ingot_engine_free(e);
        return status;
    }
    *out = e;
    return INGOT_OK;
}

static void stop_thread(ingot_engine *e) {
    mutex_lock(&e->lock);
    e->closing = true;
    for (request *r = e->first; r; r = r->next)
        atomic_store(&r->cancel, true);
    condition_wake_all(&e->work);
    mutex_unlock(&e->lock);
    thread_join(e->thread);
}

void ingot_engine_free(ingot_engine *e) {
    // A forked child has the memory but not the thread: all it can do is to leave the memory alone.
    if (!e || runtime_check(e->model->runtime, NULL) != INGOT_OK)
        return;
    if (e->running)
        stop_thread(e);
    while (e->first) {
        request *next = e->first->next;
        request_free(e->first);
        e->first = next;
    }
    if (e->locks) {
        condition_free(&e->news);
        condition_free(&e->work);
        mutex_free(&e->lock);
    }
    sequence_free(&e->sequence, &e->pool);
    page_pool_free(&e->pool);
    sampler_free(&e->sampler);
    forward_free(e->forward);
    e->model->device->ops->kv_free(e->model->device, e->kv);
    mem_free(e->mem, e->positions);
    mem_free(e->mem, e->seqs);
    mem_free(e->mem, e->rows);
    mem_free(e->mem, e->logits);
    mem_free(e->mem, e);
}

void ingot_engine_get_info(const ingot_engine *engine, ingot_engine_info *out) {
    *out = engine->info;
    out->kv_bytes_used = (uint64_t)atomic_load(&engine->pages_used) * engine->page_bytes;
}

// ------------------------------------------------------------------------------------------------- callers

ingot_status ingot_engine_submit(ingot_engine *engine, const ingot_request *params, uint64_t *id,
                                 ingot_error *err) {
    TRY(runtime_check(engine->model->runtime, err));
    if (params->n_tokens > (size_t)engine->info.n_ctx)
        return fail(
            err, INGOT_ERR_LIMIT,
            "the prompt has %zu tokens and the context %d; shorten it, or open the model with a larger n_ctx",
            params->n_tokens, engine->info.n_ctx);
    request *r;
    TRY(request_new(params, engine->model->plan.n_vocab, engine->mem, &r, err));
    mutex_lock(&engine->lock);
    if (engine->n_requests >= MAX_QUEUED) {
        mutex_unlock(&engine->lock);
        request_free(r);
        return fail(err, INGOT_ERR_LIMIT, "%d requests are waiting already", MAX_QUEUED);
    }
    *id = r->id = ++engine->last_id;
    request **end = &engine->first;
    while (*end)
        end = &(*end)->next;
    *end = r;
    engine->n_requests++;
    condition_wake_all(&engine->work);
    mutex_unlock(&engine->lock);
    return INGOT_OK;
}

static request *find(const ingot_engine *e, uint64_t id) {
    request *r = e->first;
    while (r && r->id != id)
        r = r->next;
    return r && !r->dropped ? r : NULL;
}

static void wait_for_news(ingot_engine *e, const request *r, int32_t timeout_ms) {
    double deadline = clock_seconds() + timeout_ms / 1000.0;
    while (!r->dropped && r->first_event == r->n_events && !r->finished) {
        if (timeout_ms < 0)
            condition_wait(&e->news, &e->lock);
        else if (!condition_wait_until(&e->news, &e->lock, deadline))
            return;
    }
}

ingot_status ingot_engine_wait(ingot_engine *engine, uint64_t id, int32_t timeout_ms, ingot_event *out,
                               ingot_error *err) {
    TRY(runtime_check(engine->model->runtime, err));
    ingot_status status = INGOT_OK;
    mutex_lock(&engine->lock);
    request *r = find(engine, id);
    if (r) {
        r->users++;
        wait_for_news(engine, r, timeout_ms);
        r->users--;
    }
    if (!r || r->dropped || r->delivered)
        status =
            fail(err, INGOT_ERR_NOT_FOUND,
                 "request %llu has ended: its last event was read or it was dropped", (unsigned long long)id);
    else
        status = request_take(r, out, err);
    if (r && r->dropped)
        forget(engine, r);
    mutex_unlock(&engine->lock);
    return status;
}

void ingot_engine_cancel(ingot_engine *engine, uint64_t id) {
    if (runtime_check(engine->model->runtime, NULL) != INGOT_OK)
        return;
    mutex_lock(&engine->lock);
    request *r = find(engine, id);
    if (r && !r->finished) {
        atomic_store(&r->cancel, true);
        if (!r->started) { // nobody works on it: it ends here
            ingot_error error;
            fail(&error, INGOT_ERR_CANCELLED, "the request was cancelled before its turn came");
            r->started = true;
            request_finish(r, INGOT_FINISH_CANCELLED, &error);
            condition_wake_all(&engine->news);
        }
    }
    mutex_unlock(&engine->lock);
}

void ingot_engine_drop(ingot_engine *engine, uint64_t id) {
    if (runtime_check(engine->model->runtime, NULL) != INGOT_OK)
        return;
    mutex_lock(&engine->lock);
    request *r = find(engine, id);
    if (r) {
        r->users++;
        atomic_store(&r->cancel, true);
        while (r->params.prompt_logits && r->started && !r->finished)
            condition_wait(&engine->news, &engine->lock);
        r->users--;
        condition_wake_all(&engine->news);
        forget(engine, r);
    }
    mutex_unlock(&engine->lock);
}
