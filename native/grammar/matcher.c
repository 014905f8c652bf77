// Matchers: a history of sets, which the grammar shares among all of them.
#include "grammar/grammar.h"
#include "text/grow.h"

static uint32_t current(const ingot_matcher *m) {
    return m->history[m->n - 1];
}

static void link_in(ingot_matcher *m) {
    ingot_grammar *g = m->grammar;
    mutex_lock(&g->lock);
    m->next = g->matchers;
    if (m->next)
        m->next->previous = m;
    g->matchers = m;
    mutex_unlock(&g->lock);
}

static ingot_status make(ingot_grammar *g, const uint32_t *history, size_t n, ingot_matcher **out,
                         ingot_error *err) {
    ingot_matcher *m = mem_alloc(g->mem, 1, sizeof *m);
    uint32_t *copy = m ? grow(g->mem, NULL, &m->capacity, n, sizeof *copy) : NULL;
    if (!copy) {
        mem_free(g->mem, m);
        return fail_memory(err, n * sizeof *copy, "a matcher");
    }
    memcpy(copy, history, n * sizeof *copy);
    m->grammar = g;
    m->history = copy;
    m->n = n;
    if (g->net.tagged) {
        m->trace = mem_alloc(g->mem, 1, sizeof *m->trace);
        if (!m->trace) {
            mem_free(g->mem, copy);
            mem_free(g->mem, m);
            return fail_memory(err, sizeof *m->trace, "a matcher's tags");
        }
        trace_init(m->trace, g->mem);
    }
    *out = m;
    return INGOT_OK;
}

ingot_status ingot_matcher_new(ingot_grammar *grammar, ingot_matcher **out, ingot_error *err) {
    TRY(make(grammar, &grammar->start, 1, out, err));
    link_in(*out);
    return INGOT_OK;
}

ingot_status ingot_matcher_fork(const ingot_matcher *matcher, ingot_matcher **out, ingot_error *err) {
    TRY(make(matcher->grammar, matcher->history, matcher->n, out, err));
    link_in(*out);
    if (!matcher->trace || trace_copy((*out)->trace, matcher->trace))
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
    bool accepting = g->chart.sets[current(m)].accepting;
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
    uint32_t *history = grow(g->mem, m->history, &m->capacity, m->n + 1, sizeof *history);
    if (!history)
        return fail_memory(err, (m->n + 1) * sizeof *history, "a matcher's history");
    m->history = history;
    if (m->trace && !trace_add(m->trace, bytes.data, bytes.size, token))
        return fail_memory(err, bytes.size, "a matcher's text");
    history[m->n++] = set;
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
            take(m, advance(g, current(m), bytes, size, -1), (ingot_str){bytes, size}, -1, accepted, err);
    mutex_unlock(&g->lock);
    return status;
}

static ingot_status accept_token(ingot_matcher *m, int32_t token, bool *accepted, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    uint32_t set = current(m);
    uint8_t role = g->trie->roles[token];
    ingot_str text = role == INGOT_ROLE_TEXT ? token_trie_text(g->trie, token) : (ingot_str){NULL, 0};
    uint32_t to = advance(g, set, text.data, text.size, token);
    // The end is no step further: a text that is complete stays as it is.
    if (role == INGOT_ROLE_END && to == SET_DEAD && g->chart.sets[set].accepting)
        to = set;
    return take(m, to, text, token, accepted, err);
}

ingot_status ingot_matcher_accept_token(ingot_matcher *m, int32_t token, bool *accepted, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    *accepted = false;
    if (!g->trie)
        return fail(err, INGOT_ERR_STATE, "the grammar was made without a vocabulary: it knows no tokens");
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
    if (!g->trie)
        return fail(err, INGOT_ERR_STATE, "the grammar was made without a vocabulary: it has no masks");
    if (words != g->trie->words)
        return fail(err, INGOT_ERR_INVALID, "a mask of %zu words: expected %zu for %d tokens", words,
                    g->trie->words, g->trie->n_tokens);
    int32_t n;
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK) {
        const uint32_t *mask = grammar_mask(g, current(m), &n);
        status = grammar_status(g, err);
        if (mask)
            memcpy(bits, mask, words * sizeof *bits);
    }
    mutex_unlock(&g->lock);
    if (status == INGOT_OK && n_allowed)
        *n_allowed = n;
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
    if (complete && !g->chart.sets[current(m)].accepting)
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
