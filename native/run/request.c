#include "run/request.h"

#include <math.h>
#include <string.h>

#include "grammar/grammar.h"
#include "run/prompt_rows.h"

static ingot_status check_ids(const int32_t *tokens, size_t n, int32_t n_vocab, const char *what,
                              ingot_error *err) {
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return fail(err, INGOT_ERR_INVALID, "token %zu of %s is %d, expected 0 to %d", i, what, tokens[i],
                        n_vocab - 1);
    return INGOT_OK;
}

static ingot_status check_limits(const ingot_request *params, int32_t n_vocab, ingot_error *err) {
    if (params->max_tokens < -1)
        return fail(err, INGOT_ERR_INVALID, "max_tokens is %d, expected -1 (no limit) or more",
                    params->max_tokens);
    if (params->min_tokens < 0)
        return fail(err, INGOT_ERR_INVALID, "min_tokens is %d, expected 0 or more", params->min_tokens);
    if (!(params->max_seconds >= 0.0))
        return fail(err, INGOT_ERR_INVALID, "max_seconds is %g, expected 0 (no limit) or more",
                    params->max_seconds);
    if (params->n_logprobs < -1 || params->n_logprobs > n_vocab)
        return fail(err, INGOT_ERR_INVALID, "n_logprobs is %d, expected -1 (none) to %d", params->n_logprobs,
                    n_vocab);
    if (!(params->max_wait_seconds >= 0.0))
        return fail(err, INGOT_ERR_INVALID, "max_wait_seconds is %g, expected 0 (no limit) or more",
                    params->max_wait_seconds);
    if (params->shift && params->n_keep < 0)
        return fail(err, INGOT_ERR_INVALID, "n_keep is %d, expected 0 or more", params->n_keep);
    if (params->shift && params->n_banned > 0)
        return fail(
            err, INGOT_ERR_INVALID,
            "a full context is to be shifted, and texts are banned: what leads to those is taken back, "
            "and may be gone by then");
    if (params->max_draft < -1)
        return fail(err, INGOT_ERR_INVALID, "max_draft is %d, expected -1 (as many as pay), 0 (none) or more",
                    params->max_draft);
    if (!params->allowed && params->n_allowed > 0)
        return fail(err, INGOT_ERR_INVALID, "%zu tokens are allowed, but `allowed` is NULL",
                    params->n_allowed);
    if (params->allowed && params->n_allowed == 0)
        return fail(err, INGOT_ERR_INVALID, "no token is allowed: the list of allowed ones is empty");
    return INGOT_OK;
}

static ingot_status check(const ingot_request *params, int32_t n_vocab, ingot_error *err) {
    if (params->n_tokens == 0 || !params->tokens)
        return fail(err, INGOT_ERR_INVALID, "the prompt has no tokens; at least one is needed");
    TRY(check_limits(params, n_vocab, err));
    TRY(check_ids(params->tokens, params->n_tokens, n_vocab, "the prompt", err));
    TRY(check_ids(params->allowed, params->n_allowed, n_vocab, "the allowed ones", err));
    TRY(check_ids(params->stop_tokens, params->n_stop_tokens, n_vocab, "those that end the answer", err));
    for (size_t i = 0; i < params->n_bias; i++)
        if (params->bias[i].token < 0 || params->bias[i].token >= n_vocab || isnan(params->bias[i].bias))
            return fail(err, INGOT_ERR_INVALID,
                        "logit bias %zu is %g for token %d, expected a token from 0 to %d", i,
                        (double)params->bias[i].bias, params->bias[i].token, n_vocab - 1);
    return prompt_rows_check(params, n_vocab, err);
}

static ingot_status copy(const ingot_allocator *mem, void *to, const void *from, size_t n, size_t size,
                         ingot_error *err) {
    void *block = mem_alloc(mem, n, size);
    memcpy(to, &block, sizeof block);
    if (!block)
        return fail_memory(err, n * size, "a request");
    if (n > 0)
        memcpy(block, from, n * size);
    return INGOT_OK;
}

static ingot_status check_adapters(const ingot_request *params, const ingot_model *model, ingot_error *err) {
    for (size_t i = 0; i < params->n_adapters; i++) {
        const ingot_adapter_scale *given = &params->adapters[i];
        if (!given->adapter || given->adapter->model != model)
            return fail(err, INGOT_ERR_INVALID, "adapter %zu was loaded for another model than %s", i,
                        gguf_name(model->file));
        if (!isfinite(given->scale))
            return fail(err, INGOT_ERR_INVALID, "adapter %zu has scale %g, expected a finite number", i,
                        (double)given->scale);
        for (size_t k = 0; k < i; k++)
            if (params->adapters[k].adapter == given->adapter)
                return fail(err, INGOT_ERR_INVALID,
                            "adapters %zu and %zu are the same; give one scale for it", k, i);
    }
    return INGOT_OK;
}

// Sorted: the order in which they are given changes nothing.
static ingot_status copy_adapters(request *r, ingot_error *err) {
    const ingot_request *p = &r->params;
    r->adapters = mem_alloc(r->mem, p->n_adapters, sizeof *r->adapters);
    if (!r->adapters)
        return fail_memory(err, p->n_adapters * sizeof *r->adapters, "a request");
    for (size_t i = 0; i < p->n_adapters; i++) {
        const adapter_use use = {p->adapters[i].adapter, p->adapters[i].scale};
        if (use.scale == 0.0f)
            continue;
        int32_t at = r->n_adapters++;
        for (; at > 0 && r->adapters[at - 1].adapter->info.serial > use.adapter->info.serial; at--)
            r->adapters[at] = r->adapters[at - 1];
        r->adapters[at] = use;
        adapter_keep(use.adapter);
    }
    r->domain = adapter_list_key(request_adapters(r));
    r->params.adapters = NULL;
    r->params.n_adapters = 0;
    return INGOT_OK;
}

static ingot_status copy_arrays(request *r, int32_t n_vocab, ingot_error *err) {
    ingot_request *p = &r->params;
    TRY(copy(r->mem, &r->tokens, p->tokens, p->n_tokens, sizeof *r->tokens, err));
    TRY(copy(r->mem, &r->bias, p->bias, p->n_bias, sizeof *r->bias, err));
    TRY(copy(r->mem, &r->stop_tokens, p->stop_tokens, p->n_stop_tokens, sizeof *r->stop_tokens, err));
    if (p->allowed) {
        r->n_allowed_words = ((size_t)n_vocab + 31) / 32;
        r->allowed = mem_alloc(r->mem, r->n_allowed_words, sizeof *r->allowed);
        if (!r->allowed)
            return fail_memory(err, r->n_allowed_words * sizeof *r->allowed, "a request");
        for (size_t i = 0; i < p->n_allowed; i++)
            r->allowed[p->allowed[i] / 32] |= 1u << p->allowed[i] % 32;
    }
    if (p->edited_logits && p->n_logprobs >= 0 && !p->sampled_logprobs) {
        r->model_logits = mem_alloc(r->mem, (size_t)n_vocab, sizeof *r->model_logits);
        if (!r->model_logits)
            return fail_memory(err, (uint64_t)n_vocab * sizeof *r->model_logits, "a request");
    }
    r->n_known = (int32_t)p->n_tokens;
    TRY(copy_adapters(r, err));
    p->tokens = r->tokens;
    p->bias = r->bias;
    p->stop_tokens = r->stop_tokens;
    return INGOT_OK;
}

ingot_status request_new(const ingot_request *params, const ingot_model *model, request **out,
                         ingot_error *err) {
    const ingot_allocator *mem = model->env.mem;
    const int32_t n_vocab = model->plan.n_vocab;
    TRY(check(params, n_vocab, err));
    TRY(check_adapters(params, model, err));
    request *r = mem_alloc(mem, 1, sizeof *r);
    if (!r)
        return fail_memory(err, sizeof *r, "a request");
    r->mem = mem;
    r->params = *params;
    r->stop_token = -1;
    r->sampling.mem = r->output.mem = r->output.stops.mem = r->output.banned.mem = mem;
    atomic_init(&r->cancel, false);
    ingot_status status = sample_settings_init(&r->sampling, &params->sampling, model->text, mem, err);
    if (status == INGOT_OK)
        status = output_init(&r->output, params, mem, err);
    if (status == INGOT_OK)
        status = copy_arrays(r, n_vocab, err);
    if (status != INGOT_OK) {
        r->params.matcher = NULL; // not its own
        request_free(r);
        return status;
    }
    r->state = sample_state_begin(&r->sampling.params);
    *out = r;
    return INGOT_OK;
}

ingot_status request_keep(request *r, const int32_t *tokens, int32_t n, ingot_error *err) {
    int32_t *grown = mem_resize(r->mem, r->tokens, (size_t)n, sizeof *tokens);
    if (!grown)
        return fail_memory(err, (uint64_t)n * sizeof *tokens, "a request");
    memcpy(grown, tokens, (size_t)n * sizeof *tokens);
    r->params.tokens = r->tokens = grown;
    r->n_known = n;
    return INGOT_OK;
}

// The matcher is its owner's again.
static void give_back(request *r) {
    if (r->params.matcher)
        atomic_store(&r->params.matcher->lent, false);
    r->params.matcher = NULL;
}

void request_free(request *r) {
    if (!r)
        return;
    give_back(r);
    sample_settings_free(&r->sampling);
    output_free(&r->output);
    for (int32_t i = 0; i < r->n_adapters; i++)
        adapter_release(r->adapters[i].adapter);
    mem_free(r->mem, r->adapters);
    mem_free(r->mem, r->tokens);
    mem_free(r->mem, r->bias);
    mem_free(r->mem, r->stop_tokens);
    mem_free(r->mem, r->model_logits);
    mem_free(r->mem, r->allowed);
    mem_free(r->mem, r->offered_tokens);
    mem_free(r->mem, r);
}

bool request_borrows(const request *r) {
    return r->params.embedding || r->params.matcher || r->params.edited_logits || prompt_rows_any(&r->params);
}

bool request_wants_rows(const request *r) {
    return r->params.n_logprobs >= 0 || r->params.edited_logits;
}

int32_t request_stop_token(const request *r, int32_t token) {
    for (size_t i = 0; i < r->params.n_stop_tokens; i++)
        if (r->stop_tokens[i] == token)
            return (int32_t)i;
    return -1;
}

adapter_list request_adapters(const request *r) {
    return (adapter_list){r->adapters, r->n_adapters};
}

ingot_status request_offer(request *r, const int32_t *tokens, int32_t n, ingot_error *err) {
    if (!mem_reserve(r->mem, &r->offered_tokens, &r->offered_capacity, (size_t)n, sizeof *tokens))
        return fail_memory(err, (uint64_t)n * sizeof *tokens, "a request");
    memcpy(r->offered_tokens, tokens, (size_t)n * sizeof *tokens);
    r->n_offered_tokens = (size_t)n;
    r->offered = r->awaits = true;
    return INGOT_OK;
}

void request_finish(request *r, ingot_finish finish, const ingot_error *error) {
    give_back(r);
    output_settle(&r->output);
    r->offered = r->awaits = false;
    r->finish = finish;
    r->error = *error;
    r->finished = true;
}

bool request_has_event(const request *r) {
    return output_has_event(&r->output) || r->offered || r->finished;
}

// What the last event says.
static ingot_status take_end(request *r, ingot_event *out, ingot_error *err) {
    const bool ended_well = r->finish != INGOT_FINISH_ERROR && r->finish != INGOT_FINISH_CANCELLED;
    if (ended_well)
        TRY(output_take_rest(&r->output, out, err));
    out->kind = ended_well ? INGOT_EVENT_DONE : INGOT_EVENT_ERROR;
    out->n_prompt = r->n_prompt;
    out->n_generated = r->n_generated;
    out->n_drafted = r->n_drafted;
    out->n_accepted = r->n_accepted;
    out->n_forced = r->n_forced;
    out->finish = r->finish;
    out->stop_index = r->stop_token < 0
                          ? r->output.stop_index
                          : (int32_t)(r->params.n_stop + r->params.n_stop_regex) + r->stop_token;
    out->prefill_seconds = r->prefill_seconds;
    out->decode_seconds = r->decode_seconds;
    out->error = r->error;
    r->delivered = true;
    return INGOT_OK;
}

ingot_status request_take(request *r, ingot_event *out, ingot_error *err) {
    *out = (ingot_event){.kind = INGOT_EVENT_NONE, .token = -1, .stop_index = -1, .logprob = NAN};
    if (output_has_event(&r->output)) {
        TRY(output_take(&r->output, out, err));
    } else if (r->offered) {
        r->offered = false;
        out->kind = INGOT_EVENT_LOGITS;
        out->n_prompt = r->n_prompt;
        out->n_generated = r->n_generated;
        out->tokens = r->offered_tokens;
        out->n_tokens = (int32_t)r->n_offered_tokens;
    } else if (r->finished) {
        TRY(take_end(r, out, err));
    } else {
        return INGOT_OK;
    }
    out->n_cached = r->n_cached;
    out->n_shifted = r->n_shifted;
    return INGOT_OK;
}
