// Matchers: a history of sets, which the grammar shares among all of them.
#include "grammar/grammar.h"

// A matcher with room for `n` steps, in no list yet.
static ingot_status make(ingot_grammar *g, size_t n, ingot_matcher **out, ingot_error *err) {
    ingot_matcher *m = mem_alloc(g->mem, 1, sizeof *m);
    if (!m || !mem_reserve(g->mem, &m->history, &m->capacity, n, sizeof *m->history)) {
        mem_free(g->mem, m);
        return fail_memory(err, n * sizeof *m->history, "a matcher");
    }
    m->grammar = g;
    atomic_init(&m->lent, false);
    if (g->net.tagged) {
        m->trace = mem_alloc(g->mem, 1, sizeof *m->trace);
        if (!m->trace) {
            mem_free(g->mem, m->history);
            mem_free(g->mem, m);
            return fail_memory(err, sizeof *m->trace, "a matcher's tags");
        }
        trace_init(m->trace, g->mem);
    }
    *out = m;
    return INGOT_OK;
}

// Puts it in the grammar's list with a history [n]. The lock is held: sets get other numbers in all histories
// at once.
static void link_in(ingot_matcher *m, const matcher_step *history, size_t n) {
    ingot_grammar *g = m->grammar;
    memcpy(m->history, history, n * sizeof *history);
    m->n = n;
    m->next = g->matchers;
    if (m->next)
        m->next->previous = m;
    g->matchers = m;
}

ingot_status ingot_matcher_new(ingot_grammar *grammar, ingot_matcher **out, ingot_error *err) {
    TRY(make(grammar, 1, out, err));
    mutex_lock(&grammar->lock);
    link_in(*out, &(matcher_step){grammar->start, 0}, 1);
    mutex_unlock(&grammar->lock);
    return INGOT_OK;
}

ingot_status ingot_matcher_fork(const ingot_matcher *matcher, ingot_matcher **out, ingot_error *err) {
    ingot_grammar *g = matcher->grammar;
    TRY(make(g, matcher->n, out, err));
    mutex_lock(&g->lock);
    link_in(*out, matcher->history, matcher->n);
    const bool copied = !matcher->trace || trace_copy((*out)->trace, matcher->trace);
    mutex_unlock(&g->lock);
    if (copied)
        return INGOT_OK;
    ingot_matcher_free(*out);
    *out = NULL;
    return fail_memory(err, matcher->trace->text_capacity, "a matcher's text");
}

void ingot_matcher_free(ingot_matcher *m) {
    if (!m)
        return;
    ingot_grammar *g = m->grammar;
    mutex_lock(&g->lock);
    if (m->next)
        m->next->previous = m->previous;
    if (m->previous)
        m->previous->next = m->next;
    else
        g->matchers = m->next;
    mutex_unlock(&g->lock);
    if (m->trace)
        trace_free(m->trace);
    mem_free(g->mem, m->trace);
    mem_free(g->mem, m->history);
    mem_free(g->mem, m);
}

void ingot_matcher_reset(ingot_matcher *m) {
    mutex_lock(&m->grammar->lock);
    if (m->trace)
        trace_take_back(m->trace, m->n - 1);
    m->n = 1;
    mutex_unlock(&m->grammar->lock);
}

ingot_status ingot_matcher_rollback(ingot_matcher *m, size_t n, ingot_error *err) {
    if (n >= m->n)
        return fail(err, INGOT_ERR_INVALID, "the matcher can't go %zu steps back: it has made %zu", n,
                    m->n - 1);
    mutex_lock(&m->grammar->lock);
    m->n -= n;
    if (m->trace)
        trace_take_back(m->trace, n);
    mutex_unlock(&m->grammar->lock);
    return INGOT_OK;
}

bool ingot_matcher_is_accepting(const ingot_matcher *m) {
    ingot_grammar *g = m->grammar;
    mutex_lock(&g->lock);
    bool accepting = g->chart.sets[matcher_set(m)].accepting;
    mutex_unlock(&g->lock);
    return accepting;
}

// ------------------------------------------------------------------------------------------------- steps

// The set after bytes that are a token (-1: one without an id).
static uint32_t advance(ingot_grammar *g, uint32_t set, const char *bytes, size_t size, int32_t token) {
    uint32_t to = size > 0 || token < 0 ? set : SET_DEAD;
    for (size_t i = 0; i < size && to != SET_DEAD; i++)
        to = chart_step(&g->chart, to, g->pool.byte_class[(uint8_t)bytes[i]]);
    if (size == 0 && token < 0)
        return to;
    bool ends = token >= 0 && g->trie->roles[token] == INGOT_ROLE_END;
    return chart_token(&g->chart, set, to, token, ends);
}

// Makes the step to a set if it isn't dead.
static ingot_status take(ingot_matcher *m, uint32_t set, ingot_str bytes, int32_t token, bool *accepted,
                         ingot_error *err) {
    ingot_grammar *g = m->grammar;
    TRY(grammar_status(g, err));
    if (set == SET_DEAD)
        return INGOT_OK;
    if (!mem_reserve(g->mem, &m->history, &m->capacity, m->n + 1, sizeof *m->history))
        return fail_memory(err, (m->n + 1) * sizeof *m->history, "a matcher's history");
    if (m->trace && !trace_add(m->trace, bytes.data, bytes.size, token))
        return fail_memory(err, bytes.size, "a matcher's text");
    m->history[m->n++] = (matcher_step){set, bytes.size < UINT32_MAX ? (uint32_t)bytes.size : UINT32_MAX};
    *accepted = true;
    return INGOT_OK;
}

ingot_status ingot_matcher_accept_bytes(ingot_matcher *m, const char *bytes, size_t size, bool *accepted,
                                        ingot_error *err) {
    ingot_grammar *g = m->grammar;
    *accepted = false;
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK)
        status =
            take(m, advance(g, matcher_set(m), bytes, size, -1), (ingot_str){bytes, size}, -1, accepted, err);
    mutex_unlock(&g->lock);
    return status;
}

static ingot_status accept_token(ingot_matcher *m, int32_t token, bool *accepted, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    uint32_t set = matcher_set(m);
    uint8_t role = g->trie->roles[token];
    ingot_str text = role == INGOT_ROLE_TEXT ? token_trie_text(g->trie, token) : (ingot_str){NULL, 0};
    uint32_t to = advance(g, set, text.data, text.size, token);
    // The end is no step further: a text that is complete stays as it is.
    if (role == INGOT_ROLE_END && to == SET_DEAD && g->chart.sets[set].accepting)
        to = set;
    return take(m, to, text, token, accepted, err);
}

ingot_status grammar_check_trie(const ingot_grammar *g, ingot_error *err) {
    return g->trie ? INGOT_OK
                   : fail(err, INGOT_ERR_STATE,
                          "the grammar was made without a vocabulary: it knows no tokens and has no masks");
}

ingot_status ingot_matcher_accept_token(ingot_matcher *m, int32_t token, bool *accepted, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    *accepted = false;
    TRY(grammar_check_trie(g, err));
    if (token < 0 || token >= g->trie->n_tokens)
        return fail(err, INGOT_ERR_INVALID, "there is no token %d: the vocabulary has %d", token,
                    g->trie->n_tokens);
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK)
        status = accept_token(m, token, accepted, err);
    mutex_unlock(&g->lock);
    return status;
}

// ------------------------------------------------------------------------------------------------- masks

ingot_status ingot_matcher_mask(ingot_matcher *m, uint32_t *bits, size_t words, int32_t *n_allowed,
                                ingot_error *err) {
    ingot_grammar *g = m->grammar;
    TRY(grammar_check_trie(g, err));
    if (words != g->trie->words)
        return fail(err, INGOT_ERR_INVALID, "a mask of %zu words: expected %zu for %d tokens", words,
                    g->trie->words, g->trie->n_tokens);
    int32_t n;
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK) {
        const uint32_t *mask = grammar_mask(g, matcher_set(m), &n);
        status = grammar_status(g, err);
        if (mask)
            memcpy(bits, mask, words * sizeof *bits);
    }
    mutex_unlock(&g->lock);
    if (status == INGOT_OK && n_allowed)
        *n_allowed = n;
    return status;
}

bool matcher_known_mask(ingot_matcher *m, uint32_t *bits, int32_t *n_allowed) {
    ingot_grammar *g = m->grammar;
    mutex_lock(&g->lock);
    const uint32_t set = matcher_set(m);
    const bool known = grammar_knows_mask(g, set);
    const uint32_t *mask = known ? grammar_mask(g, set, n_allowed) : NULL;
    if (mask)
        memcpy(bits, mask, g->trie->words * sizeof *bits);
    mutex_unlock(&g->lock);
    return mask;
}

// Whether two tokens may come: two bytes, or one where the text is complete. Most places say so at once.
static bool has_choice(ingot_grammar *g, uint32_t set) {
    uint32_t ways = g->chart.sets[set].accepting;
    for (unsigned byte = 0; byte < 256 && ways < 2; byte++)
        ways += chart_step(&g->chart, set, g->pool.byte_class[byte]) != SET_DEAD;
    return ways >= 2;
}

ingot_status ingot_matcher_only(ingot_matcher *m, int32_t *token, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    TRY(grammar_check_trie(g, err));
    *token = -1;
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    const uint32_t set = matcher_set(m);
    int32_t n = 0;
    if (status == INGOT_OK && (grammar_knows_mask(g, set) || !has_choice(g, set))) {
        const uint32_t *mask = grammar_mask(g, set, &n);
        for (size_t i = 0; mask && n == 1 && *token < 0; i++)
            if (mask[i] != 0)
                *token = (int32_t)(32 * i) + __builtin_ctz(mask[i]);
    }
    if (status == INGOT_OK)
        status = grammar_status(g, err);
    mutex_unlock(&g->lock);
    return status;
}

ingot_status matcher_complete_before(ingot_matcher *m, const char *end, size_t n, bool *complete,
                                     ingot_error *err) {
    ingot_grammar *g = m->grammar;
    size_t i = m->n - 1, behind = 0;
    for (; i > 0 && behind < n; i--)
        behind += m->history[i].size;
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK) {
        const size_t size = behind > n ? behind - n : 0;
        uint32_t set = advance(g, m->history[i].set, end - behind, size, -1);
        *complete = g->chart.sets[set].accepting;
        status = grammar_status(g, err);
    }
    mutex_unlock(&g->lock);
    return status;
}

// ------------------------------------------------------------------------------------------------- tags

static ingot_status read_events(ingot_matcher *m, bool complete, trace_view *out, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    TRY(grammar_tidy(g, err));
    ingot_status status = trace_follow(m->trace, &g->chart, g->trie ? g->trie->roles : NULL);
    if (status == INGOT_OK) {
        *out = trace_agreed(m->trace, &g->chart, complete);
        status = m->trace->status;
    }
    if (status != INGOT_OK)
        return fail(err, status, "the tags of %zu steps of a text don't fit into memory", m->trace->n_steps);
    if (complete && !g->chart.sets[matcher_set(m)].accepting)
        return fail(err, INGOT_ERR_STATE, "the text isn't complete: its events can't be, either");
    return INGOT_OK;
}

// Copies the events of a list from the `first` on; returns how many there are.
static size_t copy_events(const trace *t, uint32_t list, size_t first, ingot_tag_event *events,
                          size_t capacity) {
    size_t total = list > 0 ? t->links[list].length : 0, n = total > first ? total - first : 0;
    for (; total > first; list = t->links[list].before, total--) {
        const trace_link *x = &t->links[list];
        if (total - first <= capacity)
            events[total - first - 1] = (ingot_tag_event){x->tag, x->enter, x->position};
    }
    return n;
}

ingot_status ingot_matcher_events(ingot_matcher *m, bool complete, size_t first, ingot_tag_event *events,
                                  size_t capacity, size_t *n, uint64_t *settled, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    if (!m->trace)
        return fail(err, INGOT_ERR_STATE, "the grammar has no tags, so there are no events");
    trace_view view;
    mutex_lock(&g->lock);
    ingot_status status = read_events(m, complete, &view, err);
    if (status == INGOT_OK)
        *n = copy_events(m->trace, view.list, first, events, capacity);
    mutex_unlock(&g->lock);
    TRY(status);
    if (settled)
        *settled = view.limit;
    return *n <= capacity ? INGOT_OK
                          : fail(err, INGOT_ERR_LIMIT, "%zu events: there is room for %zu", *n, capacity);
}
