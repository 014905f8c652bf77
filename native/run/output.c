#include "run/output.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "grammar/grammar.h"

enum { PIECE_BYTES = 256, MAX_SEARCHES = 64 };

static ingot_status make_searches(output *o, const ingot_request *params, ingot_error *err) {
    if (params->n_stop_regex > MAX_SEARCHES)
        return fail(err, INGOT_ERR_INVALID, "%zu stop expressions were given, at most %d are taken",
                    params->n_stop_regex, MAX_SEARCHES);
    o->searches = mem_alloc(o->mem, params->n_stop_regex, sizeof(search *));
    if (!o->searches)
        return fail_memory(err, params->n_stop_regex * sizeof *o->searches, "stop expressions");
    for (; o->n_searches < params->n_stop_regex; o->n_searches++) {
        const ingot_str text = params->stop_regex[o->n_searches];
        TRY(search_new(o->mem, text.data, text.size, &o->searches[o->n_searches], err));
    }
    return INGOT_OK;
}

ingot_status output_init(output *o, const ingot_request *params, const ingot_allocator *mem,
                         ingot_error *err) {
    *o = (output){.mem = mem, .matcher = params->matcher, .special = params->special, .stop_index = -1};
    o->stops.mem = o->banned.mem = mem;
    TRY(stop_set_init(&o->stops, params->stop, params->n_stop, "stop", mem, err));
    TRY(stop_set_init(&o->banned, params->banned, params->n_banned, "banned", mem, err));
    return make_searches(o, params, err);
}

void output_free(output *o) {
    stop_set_free(&o->stops);
    stop_set_free(&o->banned);
    for (size_t i = 0; i < o->n_searches; i++)
        search_free(o->searches[i]);
    void *blocks[] = {o->searches, o->bytes,     o->events,          o->top_tokens,       o->top_logprobs,
                      o->bans,     o->read_text, o->read_top_tokens, o->read_top_logprobs};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        mem_free(o->mem, blocks[i]);
}

// ------------------------------------------------------------------------------------------------- ends

// Whether the text is complete before its last `behind` bytes, or needn't be. What a grammar holds isn't cut
// where it would be incomplete.
static ingot_status may_cut(const output *o, const char *end, size_t behind, bool *may, ingot_error *err) {
    *may = true;
    return o->matcher ? matcher_complete_before(o->matcher, end, behind, may, err) : INGOT_OK;
}

// Looks for a stop text or a match that ends with byte `i` of `bytes` [n], which are the output's last: of
// several the one that begins earliest.
static ingot_status find_stop(output *o, const char *bytes, size_t i, size_t n, bool counts,
                              ingot_error *err) {
    int found = stop_set_feed(&o->stops, bytes[i]);
    size_t length = 0;
    bool may = false;
    while (found >= 0 && counts) {
        length = o->stops.texts[found].size;
        TRY(may_cut(o, bytes + n, n - i - 1 + length, &may, err));
        if (may)
            break;
        found = stop_set_shorter(&o->stops, found);
    }
    for (size_t k = 0; k < o->n_searches; k++) {
        size_t matched;
        bool may_too;
        TRY(search_feed(o->searches[k], bytes[i], &matched, err));
        if (!counts || matched == 0 || (may && matched <= length))
            continue;
        TRY(may_cut(o, bytes + n, n - i - 1 + matched, &may_too, err));
        if (may_too) {
            may = true;
            length = matched;
            found = (int)(o->stops.n + k);
        }
    }
    if (may) {
        o->stop_index = found;
        o->stop_size = length;
    }
    return INGOT_OK;
}

// How many of the last bytes may be the beginning of what ends the answer.
static size_t held(const output *o) {
    size_t n = stop_set_held(&o->stops);
    for (size_t i = 0; i < o->n_searches; i++)
        n = search_held(o->searches[i]) > n ? search_held(o->searches[i]) : n;
    return n;
}

// How far the output may be shown.
static size_t showable(const output *o) {
    const size_t banned = o->closing ? 0 : stop_set_held(&o->banned),
                 held_back = o->stop_index >= 0 ? 0 : held(o);
    const size_t end = o->size - (banned > held_back ? banned : held_back);
    return end <= o->n_shown ? o->n_shown
           : o->stop_index >= 0 && banned == 0
               ? end // the stop text is cut off already
               : o->n_shown + utf8_complete_prefix(o->bytes + o->n_shown, end - o->n_shown);
}

// ------------------------------------------------------------------------------------------------- events

static ingot_status copy_top(output *o, const token_logprobs *l, ingot_error *err) {
    const size_t n = (size_t)l->n_top;
    if (!mem_reserve(o->mem, &o->top_tokens, &o->top_tokens_capacity, o->n_top + n, sizeof *o->top_tokens) ||
        !mem_reserve(o->mem, &o->top_logprobs, &o->top_logprobs_capacity, o->n_top + n,
                     sizeof *o->top_logprobs))
        return fail_memory(err, (o->n_top + n) * sizeof *o->top_tokens, "a request's probabilities");
    memcpy(o->top_tokens + o->n_top, l->tokens, n * sizeof *l->tokens);
    memcpy(o->top_logprobs + o->n_top, l->logprobs, n * sizeof *l->logprobs);
    o->n_top += n;
    return INGOT_OK;
}

static ingot_status push(output *o, pending_event event, const token_logprobs *l, ingot_error *err) {
    if (o->first_event == o->n_events)
        o->first_event = o->n_events = o->n_ready = o->n_top = 0;
    if (!mem_reserve(o->mem, &o->events, &o->event_capacity, o->n_events + 1, sizeof *o->events))
        return fail_memory(err, (o->n_events + 1) * sizeof *o->events, "a request's output");
    event.top_at = o->n_top;
    if (l && l->n_top > 0)
        TRY(copy_top(o, l, err));
    event.text_begin = o->n_shown;
    event.text_end = o->n_shown = showable(o);
    o->events[o->n_events++] = event;
    return INGOT_OK;
}

// Makes those events ready whose tokens can't be part of a banned text any more.
static void make_ready(output *o) {
    const size_t end = o->size - (o->closing ? 0 : stop_set_held(&o->banned));
    while (o->n_ready < o->n_events && o->events[o->n_ready].end <= end)
        o->n_ready++;
}

void output_settle(output *o) {
    o->closing = true;
    o->n_ready = o->n_events;
}

ingot_status output_prefilled(output *o, int32_t n_prompt, ingot_error *err) {
    TRY(push(o, (pending_event){.kind = INGOT_EVENT_PREFILL, .token = -1, .n_prompt = n_prompt}, NULL, err));
    make_ready(o);
    return INGOT_OK;
}

// Has the ends looked for as if the output had come just now.
static ingot_status look_again(output *o, ingot_error *err) {
    stop_set_reset(&o->stops);
    stop_set_reset(&o->banned);
    for (size_t i = 0; i < o->n_searches; i++)
        search_reset(o->searches[i]);
    for (size_t i = 0; i < o->size; i++) {
        TRY(find_stop(o, o->bytes, i, i + 1, false, err));
        stop_set_feed(&o->banned, o->bytes[i]);
    }
    return INGOT_OK;
}

// Takes tokens back to the one with the byte `from`; `t` is the last, and has no event yet.
static ingot_status take_back(output *o, const output_token *t, size_t begin, size_t from, int32_t *n_back,
                              sample_state *before, ingot_error *err) {
    token_ban ban = {t->n_generated - 1, t->token};
    *n_back = 1;
    *before = t->before;
    while (begin > from && o->n_events > o->n_ready) {
        const pending_event *e = &o->events[--o->n_events];
        ban = (token_ban){e->n_generated - 1, e->token};
        begin = e->begin;
        o->n_shown = e->text_begin;
        o->n_top = e->top_at;
        *before = e->before;
        ++*n_back;
    }
    o->size = begin;
    while (o->n_bans > 0 && o->bans[o->n_bans - 1].index > ban.index) // behind what is taken back
        o->n_bans--;
    if (!mem_reserve(o->mem, &o->bans, &o->ban_capacity, o->n_bans + 1, sizeof *o->bans))
        return fail_memory(err, (o->n_bans + 1) * sizeof *o->bans, "banned tokens");
    o->bans[o->n_bans++] = ban;
    return look_again(o, err);
}

// Adds a token's bytes; at the end of a stop text the output is cut before it, at that of a banned one *from
// is where it began.
static ingot_status append(output *o, const vocab *v, const output_token *t, bool *bans, size_t *from,
                           ingot_error *err) {
    char small[PIECE_BYTES];
    const size_t n = vocab_piece(v, t->token, o->special, small, sizeof small);
    if (n == 0)
        return INGOT_OK;
    if (!mem_reserve(o->mem, &o->bytes, &o->capacity, o->size + n, 1))
        return fail_memory(err, o->size + n, "a request's output");
    char *end = o->bytes + o->size;
    if (n <= sizeof small)
        memcpy(end, small, n);
    else
        vocab_piece(v, t->token, o->special, end, n);
    // The grammar doesn't see the name of a control token: no stop text reaches over it.
    if (o->matcher && vocab_piece(v, t->token, false, NULL, 0) == 0) {
        stop_set_reset(&o->stops);
        stop_set_reset(&o->banned);
        for (size_t i = 0; i < o->n_searches; i++)
            search_reset(o->searches[i]);
        o->size += n;
        return INGOT_OK;
    }
    for (size_t i = 0; i < n && o->stop_index < 0 && !*bans; i++) {
        TRY(find_stop(o, end, i, n, t->may_stop, err));
        o->size++;
        const int banned = o->closing ? -1 : stop_set_feed(&o->banned, end[i]);
        if (banned >= 0 && o->stop_index < 0) {
            *bans = true;
            *from = o->size - o->banned.texts[banned].size;
        }
    }
    if (o->stop_index >= 0)
        o->size -= o->stop_size;
    return INGOT_OK;
}

ingot_status output_add(output *o, const vocab *v, const output_token *t, bool *stopped, int32_t *n_back,
                        sample_state *before, ingot_error *err) {
    const size_t begin = o->size;
    bool bans = false;
    size_t from = 0;
    *n_back = 0;
    if (v && t->visible)
        TRY(append(o, v, t, &bans, &from, err));
    *stopped = o->stop_index >= 0;
    if (bans)
        return take_back(o, t, begin, from, n_back, before, err);
    if (*stopped)
        output_settle(o);
    const pending_event event = {.kind = INGOT_EVENT_TOKEN,
                                 .token = t->token,
                                 .begin = begin,
                                 .end = o->size,
                                 .n_prompt = t->n_prompt,
                                 .n_generated = t->n_generated,
                                 .logprob = t->logprobs.chosen,
                                 .n_top = t->logprobs.n_top,
                                 .before = t->before};
    TRY(push(o, event, &t->logprobs, err));
    make_ready(o);
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------------- reading

// Copies bytes [begin, end) to where they stay until the next take.
static ingot_status take_text(output *o, size_t begin, size_t end, ingot_str *out, ingot_error *err) {
    if (!mem_reserve(o->mem, &o->read_text, &o->read_capacity, end - begin, 1))
        return fail_memory(err, end - begin, "a request's output");
    if (end > begin)
        memcpy(o->read_text, o->bytes + begin, end - begin);
    *out = (ingot_str){o->read_text, end - begin};
    return INGOT_OK;
}

ingot_status output_take(output *o, ingot_event *out, ingot_error *err) {
    const pending_event *e = &o->events[o->first_event];
    const size_t n = (size_t)e->n_top;
    if (!mem_reserve(o->mem, &o->read_top_tokens, &o->read_top_tokens_capacity, n, sizeof(int32_t)) ||
        !mem_reserve(o->mem, &o->read_top_logprobs, &o->read_top_logprobs_capacity, n, sizeof(float)))
        return fail_memory(err, n * sizeof(int32_t), "a request's probabilities");
    if (n > 0) {
        memcpy(o->read_top_tokens, o->top_tokens + e->top_at, n * sizeof(int32_t));
        memcpy(o->read_top_logprobs, o->top_logprobs + e->top_at, n * sizeof(float));
    }
    TRY(take_text(o, e->text_begin, e->text_end, &out->text, err));
    out->kind = e->kind;
    out->token = e->token;
    out->n_prompt = e->n_prompt;
    out->n_generated = e->n_generated;
    out->logprob = e->logprob;
    out->n_top = e->n_top;
    out->top_tokens = o->read_top_tokens;
    out->top_logprobs = o->read_top_logprobs;
    o->first_event++;
    return INGOT_OK;
}

ingot_status output_take_rest(output *o, ingot_event *out, ingot_error *err) {
    const size_t end = o->size + (o->stop_index >= 0 ? o->stop_size : 0);
    TRY(take_text(o, o->n_shown, end, &out->text, err));
    out->stop_text = (ingot_str){out->text.data + (o->size - o->n_shown), end - o->size};
    out->text.size = o->size - o->n_shown;
    return INGOT_OK;
}
