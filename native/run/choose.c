#include "run/choose.h"

#include <math.h>
#include <string.h>

#include "run/engine.h"
#include "run/logprobs.h"
#include "run/schedule.h"

bool slot_is_late(const slot *s) {
    const double most = s->r->params.max_seconds;
    return most > 0.0 && clock_seconds() - s->r->start >= most;
}

int64_t slot_tokens_left(const ingot_engine *e, const slot *s) {
    const request *r = s->r;
    const int64_t context =
        r->params.shift ? INT32_MAX : e->info.n_ctx - s->sequence.n_tokens - s->n_pending + 1;
    const int64_t most = r->params.max_tokens < 0 ? context : r->params.max_tokens - r->n_generated;
    return most < context ? most : context;
}

// ------------------------------------------------------------------------------------------------- telling

// Goes back to where `n_back` tokens are missing, the last of which isn't part of the sequence yet. The one
// before them is computed again.
static ingot_status rewind_slot(ingot_engine *e, slot *s, int32_t n_back, ingot_error *err) {
    request *r = s->r;
    const int32_t end = s->sequence.n_tokens + s->n_pending - (n_back - 1);
    if (s->sequence.n_tokens >= end)
        sequence_truncate(&s->sequence, &e->pool, end - 1);
    s->n_pending = end - s->sequence.n_tokens;
    r->n_generated -= n_back;
    s->rewound = true;
    return r->params.matcher ? ingot_matcher_rollback(r->params.matcher, (size_t)n_back, err) : INGOT_OK;
}

// Why the answer ends with a token that was told last, and would stand at `position`.
static ingot_finish finish_of(const ingot_engine *e, const slot *s, bool stopped, bool ends,
                              int32_t position) {
    const request *r = s->r;
    const bool full = position >= e->info.n_ctx && !r->params.shift;
    return stopped                                           ? INGOT_FINISH_STOP
           : ends                                            ? INGOT_FINISH_EOS
           : r->n_generated != r->params.max_tokens && !full ? INGOT_FINISH_NONE
           : constraint_complete(&s->constraint)             ? INGOT_FINISH_EOS
           : full && r->n_generated != r->params.max_tokens  ? INGOT_FINISH_CONTEXT
                                                             : INGOT_FINISH_LENGTH;
}

static void note_token(ingot_engine *e, request *r) {
    const double now = clock_seconds();
    if (r->n_generated == 1)
        histogram_add(&e->stats.first_seconds, now - r->submit_time);
    else
        histogram_add(&e->stats.next_seconds, now - r->last_token_time);
    r->last_token_time = now;
    e->stats.n_generated_tokens++;
    schedule_charge(e, r->params.client, 2.0);
}

// Tells a token that was chosen, and puts it behind the sequence; *finish says whether it was the last.
static ingot_status tell(ingot_engine *e, slot *s, int32_t token, sample_state before,
                         const token_logprobs *logprobs, ingot_finish *finish, ingot_error *err) {
    const vocab *v = e->model->text;
    request *r = s->r;
    const bool ends = v && vocab_ends_generation(v, token);
    const bool may_stop = ++r->n_generated >= r->params.min_tokens;
    const int32_t stop = may_stop && !r->params.matcher ? request_stop_token(r, token) : -1;
    const output_token told = {.token = token,
                               .visible = (!ends && stop < 0) || (ends && r->params.special),
                               .may_stop = may_stop,
                               .n_generated = r->n_generated,
                               .n_prompt = r->n_prompt,
                               .before = before,
                               .logprobs = logprobs ? *logprobs : (token_logprobs){.chosen = NAN}};
    bool stopped = false;
    int32_t n_back = 0;
    mutex_lock(&e->lock);
    note_token(e, r);
    const ingot_status status = output_add(&r->output, v, &told, &stopped, &n_back, &before, err);
    e->has_news = true;
    mutex_unlock(&e->lock);
    TRY(status);
    if (n_back > 0) {
        r->state = before;
        return rewind_slot(e, s, n_back, err);
    }
    r->stop_token = stop;
    const int32_t position = s->sequence.n_tokens + s->n_pending;
    *finish = finish_of(e, s, stopped || stop >= 0, ends, position);
    if (*finish != INGOT_FINISH_NONE)
        return INGOT_OK;
    if (position >= e->info.n_ctx) {
        schedule_shift(e, s);
    }
    s->sequence.tokens[s->sequence.n_tokens + s->n_pending++] = token;
    return INGOT_OK;
}

// Completes an answer whose tokens are used up.
static ingot_status close_answer(ingot_engine *e, slot *s, ingot_finish *finish, ingot_error *err) {
    constraint *c = &s->constraint;
    size_t n;
    TRY(constraint_closing(c, &n, err));
    mutex_lock(&e->lock);
    output_settle(&s->r->output);
    mutex_unlock(&e->lock);
    for (size_t i = 0; i < n && *finish == INGOT_FINISH_NONE; i++) {
        TRY(constraint_accept(c, c->closing[i], err));
        TRY(tell(e, s, c->closing[i], s->r->state, NULL, finish, err));
    }
    if (*finish == INGOT_FINISH_NONE)
        *finish = INGOT_FINISH_EOS;
    return INGOT_OK;
}

ingot_status choose_end(ingot_engine *e, slot *s, ingot_finish *finish, ingot_error *err) {
    if (s->constraint.mask.matcher && s->r->n_generated > 0 && s->constraint.closes)
        return close_answer(e, s, finish, err);
    *finish = INGOT_FINISH_TIME;
    return INGOT_OK;
}

// Tells a token that the grammar allows, unless the answer couldn't be completed behind it: *fits.
static ingot_status try_token(ingot_engine *e, slot *s, int32_t token, sample_state before,
                              const token_logprobs *logprobs, bool *fits, ingot_finish *finish,
                              ingot_error *err) {
    TRY(constraint_try(&s->constraint, token, slot_tokens_left(e, s), fits, err));
    return *fits ? tell(e, s, token, before, logprobs, finish, err) : INGOT_OK;
}

// Goes on as long as there is nothing to choose: these tokens are computed together with the last one. What
// may ban them, or wants to know how likely they are, finds out by choosing.
static ingot_status tell_forced(ingot_engine *e, slot *s, ingot_finish *finish, ingot_error *err) {
    constraint *c = &s->constraint;
    request *r = s->r;
    bool fits = r->params.n_bias == 0 && !r->allowed && r->params.n_logprobs < 0;
    while (fits && *finish == INGOT_FINISH_NONE && !s->rewound) {
        int32_t token;
        TRY(ingot_matcher_only(c->mask.matcher, &token, err));
        if (token < 0)
            break;
        TRY(try_token(e, s, token, r->state, NULL, &fits, finish, err));
        r->n_forced += fits;
    }
    if (!fits || !r->params.jump_forward || *finish != INGOT_FINISH_NONE || s->rewound)
        return INGOT_OK;
    size_t n;
    const int32_t n_known = s->sequence.n_tokens + s->n_pending;
    const int32_t n_answer = r->n_generated < n_known ? r->n_generated : n_known;
    TRY(constraint_forced(c, e->model->text, s->sequence.tokens + n_known - n_answer, n_answer, &n, err));
    for (size_t i = 0; i < n && fits && *finish == INGOT_FINISH_NONE && !s->rewound; i++) {
        TRY(try_token(e, s, c->closing[i], r->state, NULL, &fits, finish, err));
        r->n_forced += fits;
    }
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------------- choosing

static bool allows(const constraint *c, int32_t token) {
    return c->mask.bits[token / 32] >> token % 32 & 1;
}

// Whether tokens that end the answer are banned: where a grammar allows nothing else, they aren't.
static bool bans_ends(const ingot_engine *e, const slot *s) {
    const constraint *c = &s->constraint;
    if (s->r->params.ignore_eos)
        return true;
    if (s->r->n_generated >= s->r->params.min_tokens)
        return false;
    int32_t n = 0;
    for (int32_t i = 0; i < e->n_ends && c->mask.matcher; i++)
        n += allows(c, e->ends[i]);
    return !c->mask.matcher || n < c->mask.n_allowed;
}

static void apply_bias(const ingot_engine *e, const slot *s, float *logits) {
    const request *r = s->r;
    for (size_t i = 0; i < r->params.n_bias; i++)
        logits[r->bias[i].token] += r->bias[i].bias;
    for (size_t i = 0; i < r->output.n_bans; i++)
        if (r->output.bans[i].index == r->n_generated)
            logits[r->output.bans[i].token] = -INFINITY;
    const bool ends = bans_ends(e, s);
    for (int32_t i = 0; i < e->n_ends && ends; i++)
        logits[e->ends[i]] = -INFINITY;
    const bool bans_stops = !r->params.matcher && r->n_generated < r->params.min_tokens;
    for (size_t i = 0; i < r->params.n_stop_tokens && bans_stops; i++)
        logits[r->stop_tokens[i]] = -INFINITY;
}

// Takes the mask that is computed by now; *finish says whether the answer has come to its end.
static ingot_status take_mask(const constraint *c, sample_input *in, ingot_finish *finish, ingot_error *err) {
    if (c->mask.status != INGOT_OK)
        return fail(err, c->mask.status, "%s", c->mask.err.message);
    in->allowed[0] = c->mask.bits;
    in->words = c->mask.words;
    if (c->mask.n_allowed > 0)
        return INGOT_OK;
    if (!ingot_matcher_is_accepting(c->mask.matcher))
        return constraint_stuck(c, err);
    *finish = INGOT_FINISH_EOS; // and the vocabulary has no token to say so
    return INGOT_OK;
}

// The logarithms of the model's probabilities, or of those that the samplers left, where token `index` of the
// list was drawn.
static ingot_status read_logprobs(ingot_engine *e, const request *r, int32_t token, int32_t index,
                                  token_logprobs *out, ingot_error *err) {
    candidates *c = &e->sampler.list;
    int32_t n = r->params.n_logprobs;
    if (!mem_reserve(e->mem, &e->top_tokens, &e->top_tokens_capacity, (size_t)n, sizeof *e->top_tokens) ||
        !mem_reserve(e->mem, &e->top_logprobs, &e->top_logprobs_capacity, (size_t)n, sizeof *e->top_logprobs))
        return fail_memory(err, (uint64_t)n * sizeof *e->top_tokens, "probabilities");
    double subtract;
    if (r->params.sampled_logprobs) {
        subtract = (double)c->max + log(c->total);
        out->chosen = (float)((double)c->logits[index] - subtract);
        const int32_t count = candidates_count(c);
        n = n < count ? n : count;
    } else {
        subtract = logprobs_begin(c, e->raw, engine_vocab(e));
        out->chosen = (float)((double)e->raw[token] - subtract);
        n = n < c->n ? n : c->n;
    }
    if (n > 0)
        logprobs_top(c, subtract, n, e->top_tokens, e->top_logprobs);
    out->n_top = n;
    out->tokens = e->top_tokens;
    out->logprobs = e->top_logprobs;
    return INGOT_OK;
}

// Chooses one token; nothing is told yet.
static ingot_status choose_one(ingot_engine *e, request *r, const sample_input *in, int32_t *token,
                               token_logprobs *logprobs, ingot_error *err) {
    int32_t index = -1;
    if (r->params.n_logprobs >= 0 && r->params.sampled_logprobs) {
        TRY(sample_prepare(&e->sampler, &r->sampling, &r->state, in, err));
        sample_draw(&e->sampler, &r->sampling, &r->state, in->index, &index);
        *token = candidate_token(&e->sampler.list, index);
    } else {
        TRY(sample_choose(&e->sampler, &r->sampling, &r->state, in, token, err));
    }
    return r->params.n_logprobs >= 0 ? read_logprobs(e, r, *token, index, logprobs, err) : INGOT_OK;
}

ingot_status choose_tokens(ingot_engine *e, slot *s, float *logits, ingot_finish *finish, ingot_error *err) {
    constraint *c = &s->constraint;
    request *r = s->r;
    const bool held = c->mask.matcher;
    const int32_t n_vocab = engine_vocab(e); // rows behind it are padding
    sample_input in = {.logits = logits,
                       .n_vocab = n_vocab,
                       .allowed = {NULL, r->allowed},
                       .words = r->n_allowed_words,
                       .recent = s->sequence.tokens,
                       .n_recent = s->sequence.n_tokens,
                       .index = (uint64_t)r->n_generated,
                       .text = e->model->text};
    s->n_pending = 0;
    s->rewound = false;
    if (held && r->n_generated == 0)
        TRY(constraint_begin(c, r->params.close_in_time, slot_tokens_left(e, s), err));
    if (held)
        TRY(take_mask(c, &in, finish, err));
    if (*finish != INGOT_FINISH_NONE)
        return INGOT_OK;
    if (r->params.n_logprobs >= 0 && !r->params.sampled_logprobs)
        memcpy(e->raw, r->model_logits ? r->model_logits : logits, (size_t)n_vocab * sizeof *logits);
    apply_bias(e, s, logits);
    const sample_state before = r->state;
    token_logprobs logprobs = {.chosen = NAN};
    int32_t token;
    TRY(choose_one(e, r, &in, &token, &logprobs, err));
    if (!held)
        return tell(e, s, token, before, &logprobs, finish, err);
    bool fits;
    TRY(try_token(e, s, token, before, &logprobs, &fits, finish, err));
    return fits ? tell_forced(e, s, finish, err) : close_answer(e, s, finish, err);
}
