// The engine: a thread that serves requests in the order of their submission over KV pages, and what callers
// do with it.
#include "run/engine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "grammar/grammar.h"
#include "quant/quant.h"
#include "run/prompt_rows.h"
#include "run/runtime.h"

enum { DEFAULT_BATCH = 256, MAX_BATCH = 4096, DEFAULT_SEQS = 8, MAX_WAITING = 65536, PAGES_OF_ENCODER = 64 };
static const double NEVER = 1e300;

// Takes a dropped request out of the list and frees it, unless a thread is still inside it: that one will.
static void forget(ingot_engine *e, request *r) {
    r->dropped = true;
    if (r->users > 0 || (r->started && !r->finished))
        return;
    request **link = &e->first;
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    if (e->end == &r->next)
        e->end = link;
    e->n_requests--;
    request_free(r);
}

void engine_finish(ingot_engine *e, request *r, ingot_status status, ingot_finish finish,
                   const ingot_error *err) {
    if (status != INGOT_OK)
        finish = status == INGOT_ERR_CANCELLED ? INGOT_FINISH_CANCELLED : INGOT_FINISH_ERROR;
    mutex_lock(&e->lock);
    uint64_t *count = status == INGOT_OK              ? &e->stats.n_finished
                      : status == INGOT_ERR_CANCELLED ? &e->stats.n_cancelled
                                                      : &e->stats.n_failed;
    ++*count;
    e->stats.n_drafted_tokens += (uint64_t)r->n_drafted;
    e->stats.n_accepted_tokens += (uint64_t)r->n_accepted;
    request_finish(r, finish, err);
    condition_wake_all(&e->news);
    if (r->dropped)
        forget(e, r);
    mutex_unlock(&e->lock);
}

void engine_count_pages(ingot_engine *e) {
    atomic_store(&e->pages_used, e->pool.n_pages - e->pool.n_free);
    atomic_store(&e->pages_cached, e->tree.n_unused);
    atomic_store(&e->pages_evicted, e->tree.n_evicted);
    atomic_store(&e->running_now, e->n_active);
}

// Begins what can begin; the request for an embedding whose turn has come, or NULL. *restores: first pages
// of the next one are to be restored.
static request *begin_next(ingot_engine *e, bool *restores) {
    *restores = false;
    schedule_expire(e);
    while (!atomic_load(&e->blocked)) {
        request *r = schedule_next(e);
        *restores = r && e->n_active < e->info.n_seqs && spill_wants(e, r);
        if (!r || *restores)
            return NULL;
        r->started = r->params.embedding ? schedule_evict(e, pages_for((int32_t)r->params.n_tokens))
                                         : schedule_begin(e, r);
        atomic_store(&e->blocked, !r->started);
        if (r->started)
            e->spill.request = 0;
        if (r->started && r->params.embedding)
            return r;
    }
    return NULL;
}

static void make_calls(ingot_engine *e) {
    const bool any = e->calls;
    for (engine_call *call; (call = e->calls);) {
        e->calls = call->next;
        call->fn(e, call->user);
        call->done = true;
    }
    if (any)
        condition_wake_all(&e->news);
}

void engine_do(ingot_engine *e, engine_fn fn, void *user) {
    engine_call call = {.fn = fn, .user = user};
    mutex_lock(&e->lock);
    call.next = e->calls;
    e->calls = &call;
    condition_wake_all(&e->work);
    while (!call.done)
        condition_wait(&e->news, &e->lock);
    mutex_unlock(&e->lock);
}

void engine_tell_news(ingot_engine *e) {
    if (e->has_news)
        condition_wake_all(&e->news);
    e->has_news = false;
}

static void wait_for_work(ingot_engine *e) {
    engine_tell_news(e);
    if (e->next_expiry < NEVER)
        condition_wait_until(&e->work, &e->lock, e->next_expiry);
    else
        condition_wait(&e->work, &e->lock);
}

// Nobody is overtaken but as schedule_next says: who finds no room waits for one that runs to end, and all
// behind him do.
static void engine_main(void *arg) {
    ingot_engine *e = arg;
    mutex_lock(&e->lock);
    while (!atomic_load(&e->stopping)) {
        const double began = thread_seconds();
        bool restores;
        make_calls(e);
        request *text = begin_next(e, &restores);
        if (!text && !restores && !slots_have_work(e)) {
            wait_for_work(e);
            continue;
        }
        mutex_unlock(&e->lock);
        if (restores)
            spill_restore(e);
        if (text)
            engine_embed(e, text);
        slots_cancel(e); // after texts too: answers go on, however many of them there are
        slots_resume(e);
        slots_step(e, text || restores ? thread_seconds() : began);
        mutex_lock(&e->lock);
    }
    mutex_unlock(&e->lock);
    slots_cancel(e);
}

// ------------------------------------------------------------------------------------------------- life

ingot_engine_params ingot_engine_default_params(void) {
    return (ingot_engine_params){.k_type = QUANT_F16, .v_type = QUANT_F16};
}

ingot_request ingot_request_default(void) {
    return (ingot_request){.max_tokens = -1, .n_logprobs = -1, .max_draft = -1};
}

static ingot_status check_params(const ingot_model *m, const ingot_engine_params *p, ingot_error *err) {
    if (!m->device)
        return fail(err, INGOT_ERR_STATE, "%s was opened with vocab_only: it has no weights to run",
                    gguf_name(m->file));
    if (p->draft)
        TRY(draft_model_check(p->draft, m, err));
    if (p->n_ctx < 0 || p->n_ctx > 1 << 30)
        return fail(err, INGOT_ERR_INVALID, "n_ctx is %d, expected 0 (the model's own) to 2^30", p->n_ctx);
    if (p->n_batch < 0 || p->n_batch > MAX_BATCH)
        return fail(err, INGOT_ERR_INVALID, "n_batch is %d, expected 0 (choose) to %d", p->n_batch,
                    MAX_BATCH);
    if (p->n_seqs < 0 || p->n_seqs > ENGINE_SEQS_MAX)
        return fail(err, INGOT_ERR_INVALID, "n_seqs is %d, expected 0 (choose) to %d", p->n_seqs,
                    ENGINE_SEQS_MAX);
    if (p->max_waiting < 0)
        return fail(err, INGOT_ERR_INVALID, "max_waiting is %d, expected 0 (choose) or more", p->max_waiting);
    if (!(p->step_seconds >= 0.0))
        return fail(err, INGOT_ERR_INVALID, "step_seconds is %g, expected 0 (choose) or more",
                    p->step_seconds);
    return INGOT_OK;
}

// Settles how many pages there are: `share` of them, where `fits` would be too many, but enough for one
// sequence, and no more than all sequences could use.
static void choose_pages(ingot_engine *e, uint64_t share, uint64_t fits) {
    const uint64_t least = (uint64_t)pages_for(e->info.n_ctx);
    uint64_t most = least * (uint64_t)e->info.n_seqs;
    // Many short texts go at once, each with a page of its own.
    if (!e->model->plan.causal)
        most = least > PAGES_OF_ENCODER ? least : fits < PAGES_OF_ENCODER ? fits : PAGES_OF_ENCODER;
    most = most < INT32_MAX / PAGE_TOKENS ? most : INT32_MAX / PAGE_TOKENS;
    e->layout.n_pages = (int32_t)(share < least ? least : share < most ? share : most);
}

// Settles the context: what was asked for, or the model's own as far as memory goes.
static ingot_status choose_context(ingot_engine *e, const ingot_engine_params *p, ingot_error *err) {
    const plan *shape = &e->model->plan;
    const log_sink *log = e->model->env.log;
    TRY(layout_choose(e->model, p, &e->layout, err));
    const uint64_t own_bytes = layout_token_bytes(&e->layout);
    const uint64_t token_bytes =
        own_bytes + (p->draft ? draft_model_token_bytes(p->draft, p->k_type, p->v_type) : 0);
    ingot_device device;
    TRY(e->model->device->ops->describe(&e->model->env, 0, &device, err));
    uint64_t budget = p->kv_bytes > 0 ? p->kv_bytes : device.memory_free / 2;
    uint64_t fits = budget / (token_bytes * PAGE_TOKENS) * PAGE_TOKENS;
    int32_t wanted = p->n_ctx > 0 ? p->n_ctx : shape->n_ctx_train;
    e->page_bytes = own_bytes * PAGE_TOKENS;
    if ((uint64_t)pages_for(wanted) * PAGE_TOKENS > fits) {
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
    if (wanted > shape->n_ctx_train && shape->positions)
        return fail(err, INGOT_ERR_LIMIT,
                    "n_ctx is %d, but the model has learned positions for %d tokens and no others", wanted,
                    shape->n_ctx_train);
    if (wanted > shape->n_ctx_train)
        log_line(log, INGOT_LOG_WARN, "context is %d tokens, more than the %d that the model was made for",
                 wanted, shape->n_ctx_train);
    e->info.n_ctx = wanted;
    e->info.k_type = p->k_type;
    e->info.v_type = p->v_type;
    e->info.k_rotate = p->k_rotate && layout_rotation(&e->layout) > 0;
    e->info.kv_token_bytes = token_bytes;
    e->info.page_tokens = PAGE_TOKENS;
    e->info.n_batch = p->n_batch > 0 ? p->n_batch : DEFAULT_BATCH;
    // A text that is seen as a whole must be computed as a whole.
    if (e->info.n_batch > wanted || !shape->causal)
        e->info.n_batch = wanted;
    e->info.n_seqs = p->n_seqs > 0 ? p->n_seqs : DEFAULT_SEQS;
    if (e->info.n_seqs > e->info.n_batch)
        e->info.n_seqs = e->info.n_batch;
    const uint64_t share = p->kv_bytes > 0 ? p->kv_bytes : device.memory_free / 4;
    choose_pages(e, share / e->page_bytes, fits / PAGE_TOKENS);
    return INGOT_OK;
}

int32_t engine_vocab(const ingot_engine *e) {
    return e->model->text ? vocab_size(e->model->text) : e->model->plan.n_vocab;
}

static uint64_t logits_bytes(const ingot_engine *e) {
    return (uint64_t)e->info.n_seqs * (uint64_t)e->model->plan.n_vocab * sizeof *e->logits;
}

// The tokens that end generation.
static ingot_status list_ends(ingot_engine *e, ingot_error *err) {
    const vocab *v = e->model->text;
    int32_t n = 0;
    for (int32_t i = 0; v && i < vocab_size(v); i++)
        n += vocab_ends_generation(v, i);
    e->ends = mem_alloc(e->mem, (size_t)n, sizeof *e->ends);
    if (!e->ends)
        return fail_memory(err, (uint64_t)n * sizeof *e->ends, "the engine");
    for (int32_t i = 0; v && i < vocab_size(v); i++)
        if (vocab_ends_generation(v, i))
            e->ends[e->n_ends++] = i;
    return INGOT_OK;
}

static ingot_status make_state(ingot_engine *e, const ingot_engine_params *p, ingot_error *err) {
    const plan *shape = &e->model->plan;
    const size_t n_batch = (size_t)e->info.n_batch;
    const forward_params params = {.max_tokens = e->info.n_batch,
                                   .n_ctx = e->info.n_ctx,
                                   .k_rotation = e->info.k_rotate ? layout_rotation(&e->layout) : 0};
    e->info.kv_bytes = e->page_bytes * (uint64_t)e->layout.n_pages;
    TRY(e->model->device->ops->kv_new(e->model->device, &e->layout, &e->kv, err));
    TRY(forward_new(shape, e->model->device, e->mem, &params, &e->forward, err));
    TRY(page_pool_init(&e->pool, e->layout.n_pages, err));
    TRY(prefix_init(&e->tree, &e->pool, err));
    if (p->cache_dir)
        TRY(spill_open(e, p->cache_dir, p->cache_dir_bytes, err));
    e->slots = mem_alloc(e->mem, (size_t)e->info.n_seqs, sizeof *e->slots);
    if (!e->slots)
        return fail_memory(err, (uint64_t)e->info.n_seqs * sizeof *e->slots, "the engine");
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        TRY(sequence_init(&e->slots[i].sequence, e->info.n_ctx, err));
        TRY(constraint_init(&e->slots[i].constraint, engine_vocab(e), e->mem, err));
    }
    TRY(masks_init(&e->masks, err));
    TRY(list_ends(e, err));
    e->raw = mem_resize(e->mem, NULL, (size_t)shape->n_vocab, sizeof *e->raw);
    TRY(sample_init(&e->sampler, e->model->env.kernels, shape->n_vocab, e->mem, err));
    TRY(speculate_init(e, p->draft, err));
    e->tokens = mem_alloc(e->mem, n_batch, sizeof *e->tokens);
    e->positions = mem_alloc(e->mem, n_batch, sizeof *e->positions);
    e->seqs = mem_alloc(e->mem, n_batch, sizeof *e->seqs);
    e->rows = mem_alloc(e->mem, n_batch, sizeof *e->rows);
    e->logits = vm_reserve(logits_bytes(e));
    if (!e->tokens || !e->positions || !e->seqs || !e->rows || !e->logits || !e->raw)
        return fail_memory(err, logits_bytes(e), "the engine");
    return INGOT_OK;
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
    e->end = &e->first;
    e->next_expiry = NEVER;
    e->step_seconds = p.step_seconds;
    e->max_waiting = p.max_waiting > 0 ? p.max_waiting : MAX_WAITING;
    ingot_status status = choose_context(e, &p, err);
    if (status == INGOT_OK)
        status = make_state(e, &p, err);
    if (status == INGOT_OK)
        status = monitor_init(&e->lock, &e->work, &e->news, err);
    e->locks = status == INGOT_OK;
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
    atomic_store(&e->stopping, true);
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
    if (e->locks)
        monitor_free(&e->lock, &e->work, &e->news);
    masks_free(&e->masks);
    for (int32_t i = 0; e->slots && i < e->info.n_seqs; i++) {
        sequence_free(&e->slots[i].sequence, &e->pool);
        constraint_free(&e->slots[i].constraint);
    }
    if (e->running && e->spill.folder)
        spill_all(e);
    spill_close(e);
    speculate_free(e);
    mem_free(e->mem, e->slots);
    prefix_free(&e->tree);
    page_pool_free(&e->pool);
    sample_free(&e->sampler);
    forward_free(e->forward);
    e->model->device->ops->kv_free(e->model->device, e->kv);
    mem_free(e->mem, e->ends);
    mem_free(e->mem, e->raw);
    mem_free(e->mem, e->top_tokens);
    mem_free(e->mem, e->top_logprobs);
    mem_free(e->mem, e->tokens);
    mem_free(e->mem, e->positions);
    mem_free(e->mem, e->seqs);
    mem_free(e->mem, e->rows);
    vm_release(e->logits, logits_bytes(e));
    mem_free(e->mem, e);
}

void ingot_engine_get_info(const ingot_engine *engine, ingot_engine_info *out) {
    *out = engine->info;
    out->kv_bytes_used = (uint64_t)atomic_load(&engine->pages_used) * engine->page_bytes;
}

// ------------------------------------------------------------------------------------------------- callers

// Whether the model can do what is asked of it.
static ingot_status check_kind(const ingot_engine *e, const ingot_request *params, ingot_error *err) {
    const plan *p = &e->model->plan;
    const char *name = gguf_name(e->model->file);
    if (params->matcher)
        TRY(constraint_check(params->matcher, e->model->text, err));
    if (params->matcher && params->ignore_eos)
        return fail(err, INGOT_ERR_INVALID,
                    "ignore_eos and a grammar were given: where the grammar's text ends, so must the answer");
    if (!params->embedding) {
        if (!p->head.weight || !p->causal)
            return fail(
                err, INGOT_ERR_UNSUPPORTED,
                "%s: the model is an encoder: it gives embeddings, but can't continue or score a text", name);
        return INGOT_OK;
    }
    if (params->max_tokens != 0 || prompt_rows_any(params))
        return fail(err, INGOT_ERR_INVALID,
                    "a request for an embedding can't generate (max_tokens is %d, expected 0) or take rows",
                    params->max_tokens);
    if (params->pooling < INGOT_POOLING_NONE || params->pooling > INGOT_POOLING_RANK)
        return fail(err, INGOT_ERR_INVALID, "pooling is %d, expected %d to %d", (int)params->pooling,
                    INGOT_POOLING_NONE, INGOT_POOLING_RANK);
    if (params->pooling == INGOT_POOLING_RANK && p->n_label == 0)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "%s: pooling is rank, but the file has no classifier (tensor 'cls.output.weight')", name);
    return INGOT_OK;
}

static ingot_status check_length(const ingot_engine *e, size_t n_tokens, ingot_error *err) {
    const plan *p = &e->model->plan;
    if (n_tokens <= (size_t)e->info.n_ctx)
        return INGOT_OK;
    if (p->positions && n_tokens > (size_t)p->n_ctx_train)
        return fail(err, INGOT_ERR_LIMIT,
                    "the prompt has %zu tokens and the context %d; shorten it: the model has learned "
                    "positions for %d tokens and no others",
                    n_tokens, e->info.n_ctx, p->n_ctx_train);
    return fail(err, INGOT_ERR_LIMIT,
                "the prompt has %zu tokens and the context %d; shorten it, or open the model with a larger "
                "n_ctx",
                n_tokens, e->info.n_ctx);
}

static int32_t count_waiting(const ingot_engine *e) {
    int32_t n = 0;
    for (const request *r = e->first; r; r = r->next)
        n += !r->started && !r->dropped;
    return n;
}

void ingot_engine_get_stats(ingot_engine *engine, ingot_engine_stats *out) {
    *out = (ingot_engine_stats){0};
    if (runtime_check(engine->model->runtime, NULL) != INGOT_OK)
        return;
    mutex_lock(&engine->lock);
    *out = engine->stats;
    out->n_waiting = count_waiting(engine);
    mutex_unlock(&engine->lock);
    out->n_pages = engine->layout.n_pages;
    out->n_running = atomic_load(&engine->running_now);
    out->n_pages_cached = atomic_load(&engine->pages_cached);
    out->n_pages_running = atomic_load(&engine->pages_used) - out->n_pages_cached;
    out->n_evicted_pages = atomic_load(&engine->pages_evicted);
    out->n_spilled_pages = atomic_load(&engine->spill.n_written);
    out->n_restored_pages = atomic_load(&engine->spill.n_read);
}

ingot_status ingot_engine_submit(ingot_engine *engine, const ingot_request *params, uint64_t *id,
                                 ingot_error *err) {
    TRY(runtime_check(engine->model->runtime, err));
    TRY(check_length(engine, params->n_tokens, err));
    request *r;
    TRY(check_kind(engine, params, err));
    if (params->shift && params->n_keep > engine->info.n_ctx / 2)
        return fail(err, INGOT_ERR_INVALID, "n_keep is %d, expected at most half of the context of %d tokens",
                    params->n_keep, engine->info.n_ctx);
    TRY(request_new(params, engine->model, &r, err));
    if (r->params.matcher && atomic_exchange(&r->params.matcher->lent, true)) {
        r->params.matcher = NULL; // not its own
        request_free(r);
        return fail(err, INGOT_ERR_STATE, "the matcher holds the answer of another request");
    }
    mutex_lock(&engine->lock);
    if (count_waiting(engine) >= engine->max_waiting) {
        engine->stats.n_refused++;
        mutex_unlock(&engine->lock);
        request_free(r);
        return fail(err, INGOT_ERR_BUSY, "%d requests wait already, as many as may; try again later",
                    engine->max_waiting);
    }
    *id = r->id = ++engine->last_id;
    r->submit_time = clock_seconds();
    const double expiry = r->submit_time + params->max_wait_seconds;
    if (params->max_wait_seconds > 0.0 && expiry < engine->next_expiry)
        engine->next_expiry = expiry;
    atomic_store(&engine->blocked, false);
    engine->stats.n_submitted++;
    schedule_charge(engine, params->client, 0.0);
    *engine->end = r;
    engine->end = &r->next;
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
    while (!r->dropped && !request_has_event(r)) {
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
    if (status == INGOT_OK && out->kind == INGOT_EVENT_NONE)
        r->announced = false;
    if (r && r->dropped)
        forget(engine, r);
    mutex_unlock(&engine->lock);
    return status;
}

static size_t announce(const ingot_engine *e, uint64_t *ids, size_t capacity) {
    size_t n = 0;
    for (request *r = e->first; r && n < capacity; r = r->next)
        if (!r->announced && !r->dropped && !r->delivered && request_has_event(r)) {
            r->announced = true;
            ids[n++] = r->id;
        }
    return n;
}

ingot_status ingot_engine_ready(ingot_engine *engine, int32_t timeout_ms, uint64_t *ids, size_t capacity,
                                size_t *n, ingot_error *err) {
    TRY(runtime_check(engine->model->runtime, err));
    const double deadline = clock_seconds() + timeout_ms / 1000.0;
    mutex_lock(&engine->lock);
    const uint64_t n_wakes = engine->n_wakes;
    bool waits = true;
    while ((*n = announce(engine, ids, capacity)) == 0 && waits && engine->n_wakes == n_wakes) {
        if (timeout_ms < 0)
            condition_wait(&engine->news, &engine->lock);
        else
            waits = condition_wait_until(&engine->news, &engine->lock, deadline);
    }
    mutex_unlock(&engine->lock);
    return INGOT_OK;
}

void ingot_engine_wake(ingot_engine *engine) {
    if (runtime_check(engine->model->runtime, NULL) != INGOT_OK)
        return;
    mutex_lock(&engine->lock);
    engine->n_wakes++;
    condition_wake_all(&engine->news);
    mutex_unlock(&engine->lock);
}

ingot_status ingot_engine_resume(ingot_engine *engine, uint64_t id, ingot_error *err) {
    TRY(runtime_check(engine->model->runtime, err));
    mutex_lock(&engine->lock);
    request *r = find(engine, id);
    const bool waits = r && r->awaits && !r->offered && !r->finished;
    if (waits) {
        r->awaits = false;
        condition_wake_all(&engine->work);
    }
    mutex_unlock(&engine->lock);
    return waits ? INGOT_OK
                 : fail(err, INGOT_ERR_STATE, "request %llu has given no logits to be changed",
                        (unsigned long long)id);
}

void ingot_engine_cancel(ingot_engine *engine, uint64_t id) {
    if (runtime_check(engine->model->runtime, NULL) != INGOT_OK)
        return;
    mutex_lock(&engine->lock);
    request *r = find(engine, id);
    if (r && !r->finished) {
        atomic_store(&r->cancel, true);
        atomic_store(&engine->blocked, false); // it may be the one that others wait for
        if (!r->started) {                     // nobody works on it: it ends here
            ingot_error error;
            fail(&error, INGOT_ERR_CANCELLED, "the request was cancelled before its turn came");
            r->started = true;
            engine->stats.n_cancelled++;
            request_finish(r, INGOT_FINISH_CANCELLED, &error);
            condition_wake_all(&engine->news);
        }
        condition_wake_all(&engine->work); // it may wait for its caller
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
        atomic_store(&engine->blocked, false);
        condition_wake_all(&engine->work);
        while (request_borrows(r) && r->started && !r->finished)
            condition_wait(&engine->news, &engine->lock);
        r->users--;
        condition_wake_all(&engine->news);
        forget(engine, r);
    }
    mutex_unlock(&engine->lock);
}
