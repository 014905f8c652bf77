// Sessions: what is known of a text's beginning, in a file of its own.
#include <string.h>

#include "run/engine.h"
#include "run/kv_file.h"
#include "run/runtime.h"

// Pages of a text that the caller's thread works on, while nobody else uses them.
typedef struct session {
    ingot_engine *e;
    sequence sequence;
    int32_t n_pages; // wanted
    int32_t n_known; // of those, already known
} session;

static ingot_status session_begin(session *s, ingot_engine *e, ingot_error *err) {
    const plan *p = &e->model->plan;
    *s = (session){.e = e};
    TRY(runtime_check(e->model->runtime, err));
    if (!p->head.weight || !p->causal || e->model->collects)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "%s: the model has no prefix cache: it is an encoder, or sums are collected with it",
                    gguf_name(e->model->file));
    return sequence_init(&s->sequence, e->info.n_ctx, err);
}

static void take_known(ingot_engine *e, void *user) {
    session *s = user;
    sequence *seq = &s->sequence;
    page_copy copy;
    const int32_t known = prefix_match(&e->tree, 0, seq->tokens, s->n_pages * PAGE_TOKENS) / PAGE_TOKENS;
    prefix_take(&e->tree, 0, seq, known * PAGE_TOKENS, &copy); // full pages alone: nothing to copy
    s->n_known = seq->n_pages;
    engine_count_pages(e);
}

// As many as there is room for, all at once or those that there are.
static void take_new(ingot_engine *e, void *user) {
    session *s = user;
    take_known(e, s);
    const int32_t room = e->pool.n_free + e->tree.n_unused, missing = s->n_pages - s->n_known;
    const int32_t n = missing < room ? missing : room;
    if (n > 0 && schedule_evict(e, n))
        sequence_reserve(&s->sequence, &e->pool, (s->n_known + n) * PAGE_TOKENS, NULL);
    engine_count_pages(e);
}

static void leave(ingot_engine *e, void *user) {
    session *s = user;
    prefix_publish(&e->tree, 0, &s->sequence, s->sequence.n_tokens);
    prefix_leave(&e->tree, &s->sequence);
    atomic_store(&e->blocked, false);
    engine_count_pages(e);
}

static ingot_status read_page(void *user, int32_t i, void *bytes, ingot_error *err) {
    const session *s = user;
    backend *device = s->e->model->device;
    return device->ops->kv_read(device, s->e->kv, s->sequence.pages[i], bytes, err);
}

static ingot_status check_tokens(const ingot_engine *e, const int32_t *tokens, size_t n, ingot_error *err) {
    if (n > (size_t)e->info.n_ctx)
        return fail(err, INGOT_ERR_LIMIT, "the session has %zu tokens and the context %d", n, e->info.n_ctx);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= e->model->plan.n_vocab)
            return fail(err, INGOT_ERR_INVALID, "token %zu of the session is %d, expected 0 to %d", i,
                        tokens[i], e->model->plan.n_vocab - 1);
    return INGOT_OK;
}

ingot_status ingot_engine_save(ingot_engine *engine, const int32_t *tokens, size_t n_tokens, const char *path,
                               size_t *n_saved, ingot_error *err) {
    session s;
    TRY(session_begin(&s, engine, err));
    ingot_status status = check_tokens(engine, tokens, n_tokens, err);
    if (status == INGOT_OK) {
        s.n_pages = (int32_t)n_tokens / PAGE_TOKENS;
        if (n_tokens > 0)
            memcpy(s.sequence.tokens, tokens, n_tokens * sizeof *tokens);
        engine_do(engine, take_known, &s);
        const kv_file_head head = {spill_model(engine), engine->page_bytes, (int32_t)n_tokens, 0,
                                   s.sequence.n_pages};
        *n_saved = (size_t)s.sequence.n_tokens;
        status = kv_file_write(path, engine->mem, &head, tokens, read_page, &s, true, err);
        engine_do(engine, leave, &s);
    }
    sequence_free(&s.sequence, &engine->pool);
    return status;
}

static ingot_status restore_pages(session *s, kv_file *f, ingot_error *err) {
    const ingot_engine *e = s->e;
    sequence *seq = &s->sequence;
    backend *device = e->model->device;
    uint8_t *bytes = mem_resize(e->mem, NULL, (size_t)e->page_bytes, 1);
    ingot_status status =
        bytes ? INGOT_OK : fail_memory(err, e->page_bytes, "a page of a file of keys and values");
    for (int32_t i = s->n_known; i < seq->n_pages && status == INGOT_OK; i++) {
        status = kv_file_read(f, i, bytes, err);
        if (status == INGOT_OK)
            status = device->ops->kv_write(device, e->kv, seq->pages[i], bytes, err);
        if (status == INGOT_OK)
            seq->n_tokens += PAGE_TOKENS;
    }
    mem_free(e->mem, bytes);
    return status;
}

ingot_status ingot_engine_restore(ingot_engine *engine, const char *path, int32_t *tokens, size_t capacity,
                                  size_t *n_tokens, size_t *n_known, ingot_error *err) {
    session s;
    kv_file *f = NULL;
    TRY(session_begin(&s, engine, err));
    ingot_status status = kv_file_open(path, engine->mem, spill_model(engine), engine->page_bytes, &f, err);
    if (status == INGOT_OK && kv_file_get_head(f)->first_page != 0)
        status = fail(err, INGOT_ERR_FORMAT, "%s: is a page of a prefix cache, expected a session", path);
    if (status == INGOT_OK)
        status = check_tokens(engine, kv_file_tokens(f), (size_t)kv_file_get_head(f)->n_tokens, err);
    if (status == INGOT_OK) {
        *n_tokens = (size_t)kv_file_get_head(f)->n_tokens;
        if (*n_tokens > capacity)
            status = fail(err, INGOT_ERR_LIMIT, "%zu tokens: there is room for %zu", *n_tokens, capacity);
    }
    if (status == INGOT_OK) {
        if (*n_tokens > 0) {
            memcpy(s.sequence.tokens, kv_file_tokens(f), *n_tokens * sizeof *tokens);
            memcpy(tokens, kv_file_tokens(f), *n_tokens * sizeof *tokens);
        }
        s.n_pages = kv_file_get_head(f)->n_pages;
        engine_do(engine, take_new, &s);
        status = restore_pages(&s, f, err);
        *n_known = (size_t)s.sequence.n_tokens;
        engine_do(engine, leave, &s);
    }
    sequence_free(&s.sequence, &engine->pool);
    kv_file_close(f);
    return status;
}
