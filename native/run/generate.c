// Generation: the prompt in chunks, then a token at a time. What the sequence of the last request shares with
// the next one isn't computed again.
#include <math.h>
#include <string.h>

#include "run/engine.h"
#include "run/prompt_rows.h"

// Where the forward pass puts the rows of a chunk.
typedef struct row_target {
    ingot_engine *engine;
    const request *r;
    int32_t first; // position of the chunk's first token
    int32_t last;  // row of the batch whose logits are to be sampled from; -1: none
} row_target;

static void take_row(void *user, int32_t i, const float *logits) {
    const row_target *t = user;
    int32_t position = t->first + t->engine->rows[i], n_vocab = t->engine->model->plan.n_vocab;
    if (prompt_rows_want(&t->r->params, position))
        prompt_rows_take(&t->r->params, position, logits, n_vocab);
    if (t->engine->rows[i] == t->last)
        memcpy(t->engine->logits, logits, (size_t)n_vocab * sizeof *logits);
}

// Computes `n` tokens at the end of the sequence; the last one's logits are left in e->logits if `sample`.
static ingot_status run_tokens(ingot_engine *e, request *r, const int32_t *tokens, int32_t n, bool sample,
                               ingot_error *err) {
    sequence *s = &e->sequence;
    int32_t first = s->n_tokens, n_rows = 0;
    TRY(sequence_reserve(s, &e->pool, first + n, err));
    engine_count_pages(e);
    for (int32_t i = 0; i < n; i++) {
        e->positions[i] = first + i;
        e->seqs[i] = 0;
        if (prompt_rows_want(&r->params, first + i) || (sample && i == n - 1))
            e->rows[n_rows++] = i;
    }
    const int32_t *pages[1] = {s->pages};
    const int32_t ends[1] = {first + n};
    backend_batch batch = {n, tokens, e->positions, e->seqs, pages, ends};
    row_target target = {e, r, first, sample ? n - 1 : -1};
    forward_rows wanted = {e->rows, n_rows, FORWARD_LOGITS, take_row, &target};
    TRY(forward_run(e->forward, &batch, e->kv, &wanted, &r->cancel, err));
    TRY(ingot_gguf_check(e->model->file, err));
    memcpy(s->tokens + first, tokens, (size_t)n * sizeof *tokens);
    s->n_tokens = first + n;
    return INGOT_OK;
}

// Keeps of the last request's sequence what this one's prompt begins with. Its last token, and tokens whose
// logits are asked for, must be computed.
static void reuse_prefix(ingot_engine *e, request *r) {
    size_t most = r->params.n_tokens - 1;
    if (prompt_rows_any(&r->params) && (size_t)r->params.rows.first < most)
        most = (size_t)r->params.rows.first;
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

void engine_generate(ingot_engine *e, request *r) {
    ingot_error err = {0};
    ingot_finish finish = INGOT_FINISH_LENGTH;
    double start = clock_seconds();
    ingot_status status = prefill(e, r, &err);
    double ready = clock_seconds();
    if (status == INGOT_OK && r->params.max_tokens != 0)
        status = decode(e, r, &finish, &err);
    r->prefill_seconds = ready - start;
    r->decode_seconds = clock_seconds() - ready;
    engine_finish(e, r, status, finish, &err);
}
