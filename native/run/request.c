#include "run/request.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "grammar/grammar.h"
#include "run/prompt_rows.h"

enum { PIECE_BYTES = 256 };

static ingot_status check_tokens(const ingot_request *params, int32_t n_vocab, ingot_error *err) {
    if (params->n_tokens == 0 || !params->tokens)
        return fail(err, INGOT_ERR_INVALID, "the prompt has no tokens; at least one is needed");
    for (size_t i = 0; i < params->n_tokens; i++)
        if (params->tokens[i] < 0 || params->tokens[i] >= n_vocab)
            return fail(err, INGOT_ERR_INVALID, "token %zu of the prompt is %d, expected 0 to %d", i,
                        params->tokens[i], n_vocab - 1);
    for (size_t i = 0; i < params->n_bias; i++)
        if (params->bias[i].token < 0 || params->bias[i].token >= n_vocab || isnan(params->bias[i].bias))
            return fail(err, INGOT_ERR_INVALID,
                        "logit bias %zu is %g for token %d, expected a token from 0 to %d", i,
                        (double)params->bias[i].bias, params->bias[i].token, n_vocab - 1);
    if (params->max_tokens < -1)
        return fail(err, INGOT_ERR_INVALID, "max_tokens is %d, expected -1 (no limit) or more",
                    params->max_tokens);
    return prompt_rows_check(params, n_vocab, err);
}

static ingot_status copy_arrays(request *r, ingot_error *err) {
    ingot_request *p = &r->params;
    r->tokens = mem_alloc(r->mem, p->n_tokens, sizeof *r->tokens);
    r->bias = mem_alloc(r->mem, p->n_bias, sizeof *r->bias);
    if (!r->tokens || !r->bias)
        return fail_memory(err, p->n_tokens * sizeof *r->tokens, "a request");
    memcpy(r->tokens, p->tokens, p->n_tokens * sizeof *r->tokens);
    if (p->n_bias > 0)
        memcpy(r->bias, p->bias, p->n_bias * sizeof *r->bias);
    p->tokens = r->tokens;
    p->bias = r->bias;
    return stop_set_init(&r->stops, p->stop, p->n_stop, r->mem, err);
}

ingot_status request_new(const ingot_request *params, int32_t n_vocab, const ingot_allocator *mem,
                         request **out, ingot_error *err) {
    TRY(check_tokens(params, n_vocab, err));
    request *r = mem_alloc(mem, 1, sizeof *r);
    if (!r)
        return fail_memory(err, sizeof *r, "a request");
    r->mem = mem;
    r->params = *params;
    r->stop_index = -1;
    r->stops.mem = mem;
    atomic_init(&r->cancel, false);
    ingot_status status = sample_params_read(params->sampling, params->n_sampling, &r->sampling, err);
    if (status == INGOT_OK)
        status = copy_arrays(r, err);
    if (status != INGOT_OK) {
        request_free(r);
        return status;
    }
    *out = r;
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
    stop_set_free(&r->stops);
    mem_free(r->mem, r->tokens);
    mem_free(r->mem, r->bias);
    mem_free(r->mem, r->output);
    mem_free(r->mem, r->events);
    mem_free(r->mem, r->read_text);
    mem_free(r->mem, r);
}

bool request_borrows(const request *r) {
    return r->params.embedding || r->params.matcher || prompt_rows_any(&r->params);
}

// Looks for a stop text that ends with byte `i` of the `n` at the output's end. What a grammar holds isn't
// cut where it would be incomplete.
static ingot_status find_stop(request *r, size_t i, size_t n, ingot_error *err) {
    const char *bytes = r->output + r->n_output - i;
    r->stop_index = stop_set_feed(&r->stops, bytes[i]);
    while (r->params.matcher && r->stop_index >= 0) {
        const size_t behind = n - i - 1 + r->stops.texts[r->stop_index].size;
        bool complete;
        TRY(matcher_complete_before(r->params.matcher, bytes + n, behind, &complete, err));
        if (complete)
            break;
        r->stop_index = stop_set_shorter(&r->stops, r->stop_index);
    }
    return INGOT_OK;
}

// Adds a token's bytes; at the end of a stop text the output is cut before it.
static ingot_status append(request *r, const vocab *v, int32_t token, ingot_error *err) {
    char small[PIECE_BYTES];
    size_t n = vocab_piece(v, token, r->params.special, small, sizeof small);
    if (n == 0)
        return INGOT_OK;
    if (!mem_reserve(r->mem, &r->output, &r->output_capacity, r->n_output + n, 1))
        return fail_memory(err, r->n_output + n, "a request's output");
    char *end = r->output + r->n_output;
    if (n <= sizeof small)
        memcpy(end, small, n);
    else
        vocab_piece(v, token, r->params.special, end, n);
    // The grammar doesn't see the name of a control token: no stop text reaches over it.
    const bool name = r->params.matcher && vocab_piece(v, token, false, NULL, 0) == 0;
    if (name) {
        stop_set_reset(&r->stops);
        r->n_output += n;
    }
    for (size_t i = 0; i < n && r->stop_index < 0 && !name; i++) {
        TRY(find_stop(r, i, n, err));
        r->n_output++;
    }
    if (r->stop_index >= 0)
        r->n_output -= r->stops.texts[r->stop_index].size;
    return INGOT_OK;
}

// How far the output may be shown.
static size_t showable(const request *r) {
    if (r->stop_index >= 0) // the stop text is cut off already
        return r->n_output;
    size_t free_of_stops = r->n_output - stop_set_held(&r->stops);
    if (free_of_stops <= r->n_shown)
        return r->n_shown;
    return r->n_shown + utf8_complete_prefix(r->output + r->n_shown, free_of_stops - r->n_shown);
}

static ingot_status push(request *r, ingot_event_kind kind, int32_t token, ingot_error *err) {
    if (r->first_event == r->n_events)
        r->first_event = r->n_events = 0;
    if (!mem_reserve(r->mem, &r->events, &r->event_capacity, r->n_events + 1, sizeof *r->events))
        return fail_memory(err, (r->n_events + 1) * sizeof *r->events, "a request's output");
    size_t end = showable(r);
    r->events[r->n_events++] = (pending_event){kind, token, r->n_shown, end, r->n_prompt, r->n_generated};
    r->n_shown = end;
    return INGOT_OK;
}

ingot_status request_prefilled(request *r, ingot_error *err) {
    return push(r, INGOT_EVENT_PREFILL, -1, err);
}

ingot_status request_token(request *r, const vocab *v, int32_t token, bool visible, bool *stopped,
                           ingot_error *err) {
    if (v && visible)
        TRY(append(r, v, token, err));
    *stopped = r->stop_index >= 0;
    return push(r, INGOT_EVENT_TOKEN, token, err);
}

void request_finish(request *r, ingot_finish finish, const ingot_error *error) {
    give_back(r);
    r->finish = finish;
    r->error = *error;
    r->finished = true;
}

// Copies output[begin, end) to where it stays until the next take.
static ingot_status take_text(request *r, size_t begin, size_t end, ingot_str *out, ingot_error *err) {
    if (!mem_reserve(r->mem, &r->read_text, &r->read_capacity, end - begin, 1))
        return fail_memory(err, end - begin, "a request's output");
    if (end > begin)
        memcpy(r->read_text, r->output + begin, end - begin);
    *out = (ingot_str){r->read_text, end - begin};
    return INGOT_OK;
}

ingot_status request_take(request *r, ingot_event *out, ingot_error *err) {
    *out = (ingot_event){.kind = INGOT_EVENT_NONE, .token = -1, .stop_index = -1};
    if (r->first_event < r->n_events) {
        const pending_event *e = &r->events[r->first_event];
        TRY(take_text(r, e->text_begin, e->text_end, &out->text, err));
        out->kind = e->kind;
        out->token = e->token;
        out->n_prompt = e->n_prompt;
        out->n_generated = e->n_generated;
        r->first_event++;
    } else if (r->finished) {
        bool ended_well = r->finish != INGOT_FINISH_ERROR && r->finish != INGOT_FINISH_CANCELLED;
        if (ended_well)
            TRY(take_text(r, r->n_shown, r->n_output, &out->text, err));
        out->kind = ended_well ? INGOT_EVENT_DONE : INGOT_EVENT_ERROR;
        out->n_prompt = r->n_prompt;
        out->n_generated = r->n_generated;
        out->finish = r->finish;
        out->stop_index = r->stop_index;
        out->prefill_seconds = r->prefill_seconds;
        out->decode_seconds = r->decode_seconds;
        out->error = r->error;
        r->delivered = true;
    } else {
        return INGOT_OK;
    }
    out->n_cached = r->n_cached;
    return INGOT_OK;
}
