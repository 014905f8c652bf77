// What a matcher can tell besides masks: bytes that must come, and why.
#include <stdarg.h>
#include <stdio.h>

#include "grammar/grammar.h"

// Forced bytes are not followed further than this.
#define MAX_TEXT (1u << 16)

// Text that is made: as far as `capacity` reaches it is stored, `n` counts on.
typedef struct output {
    char *text;
    size_t capacity, n;
} output;

static void put(output *o, const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++, o->n++)
        if (o->n < o->capacity)
            o->text[o->n] = ((const char *)bytes)[i];
}

static ingot_status end(const output *o, size_t *size, ingot_error *err) {
    *size = o->n;
    return o->n <= o->capacity
               ? INGOT_OK
               : fail(err, INGOT_ERR_LIMIT, "%zu bytes of text: there is room for %zu", o->n, o->capacity);
}

// ------------------------------------------------------------------------------------------------- forced

static void put_forced(ingot_grammar *g, uint32_t set, output *o) {
    const rx_pool *p = &g->pool;
    uint32_t bytes[256] = {0}; // of each class
    for (int i = 0; i < 256; i++)
        bytes[p->byte_class[i]]++;
    while (o->n < MAX_TEXT && !g->chart.sets[set].accepting && g->chart.sets[set].n_tokens == 0) {
        uint32_t ways = 0, next = SET_DEAD, only = 0;
        for (uint32_t k = 0; k < p->n_classes && ways < 2; k++) {
            uint32_t to = chart_step(&g->chart, set, k);
            if (to == SET_DEAD)
                continue;
            ways += bytes[k];
            next = to;
            only = k;
        }
        if (ways != 1)
            return;
        put(o, &p->class_byte[only], 1);
        set = next;
    }
}

ingot_status ingot_matcher_forced(ingot_matcher *m, char *text, size_t capacity, size_t *size,
                                  ingot_error *err) {
    ingot_grammar *g = m->grammar;
    output o = {text, capacity, 0};
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK) {
        put_forced(g, matcher_set(m), &o);
        status = grammar_status(g, err);
    }
    mutex_unlock(&g->lock);
    return status == INGOT_OK ? end(&o, size, err) : status;
}

// ------------------------------------------------------------------------------------------------- explain

PRINTF_LIKE(2, 3)
static void say(output *o, const char *fmt, ...) {
    char line[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    put(o, line, n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void say_byte(output *o, unsigned byte) {
    if (byte > 0x20 && byte < 0x7F)
        say(o, "%c", byte);
    else
        say(o, byte == ' ' ? "' '" : byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : "\\x%02X", byte);
}

static void say_rules(const ingot_grammar *g, uint32_t set, output *o) {
    const chart *c = &g->chart;
    const chart_set *s = &c->sets[set];
    say(o, "open rules:");
    ingot_str last = {NULL, 0};
    for (uint32_t i = 0; i < s->n_scanned + s->n_waiting + s->n_tokens; i++) {
        const chart_item *x = chart_items(c, set) + i;
        bool waiting = i >= s->n_scanned && i < s->n_scanned + s->n_waiting;
        uint32_t state = waiting ? x->where : g->net.edges[x->where].target;
        ingot_str name = net_rule_name(&g->net, g->net.states[state].rule);
        if (name.data == last.data)
            continue;
        last = name;
        say(o, " ");
        put(o, name.data, name.size);
    }
    say(o, "\n%s", s->accepting ? "the text may end here\n" : "");
}

static void say_next(ingot_grammar *g, uint32_t set, output *o) {
    const rx_pool *p = &g->pool;
    say(o, "next bytes:");
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned last = byte;
        if (chart_step(&g->chart, set, p->byte_class[byte]) == SET_DEAD)
            continue;
        while (last < 255 && chart_step(&g->chart, set, p->byte_class[last + 1]) != SET_DEAD)
            last++;
        say(o, " ");
        say_byte(o, byte);
        if (last > byte)
            say(o, last > byte + 1 ? ".." : " ");
        if (last > byte)
            say_byte(o, last);
        byte = last;
    }
    say(o, "\n");
}

static void say_token(ingot_grammar *g, uint32_t set, int32_t token, output *o) {
    const ingot_token_trie *t = g->trie;
    ingot_str text = token_trie_text(t, token);
    if (t->roles[token] == INGOT_ROLE_END) {
        say(o, "token %d ends the text, which %s\n", token,
            g->chart.sets[set].accepting ? "may end here" : "isn't complete");
        return;
    }
    if (t->roles[token] == INGOT_ROLE_CONTROL) {
        say(o, "token %d is a control token, which only a token of the grammar allows\n", token);
        return;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint32_t to = chart_step(&g->chart, set, g->pool.byte_class[(uint8_t)text.data[i]]);
        if (to == SET_DEAD) {
            say(o, "token %d stops at its byte %zu, ", token, i);
            say_byte(o, (uint8_t)text.data[i]);
            say(o, "; there\n");
            say_rules(g, set, o);
            say_next(g, set, o);
            return;
        }
        set = to;
    }
    say(o, "token %d may come next\n", token);
}

ingot_status ingot_matcher_explain(ingot_matcher *m, int32_t token, char *text, size_t capacity, size_t *size,
                                   ingot_error *err) {
    ingot_grammar *g = m->grammar;
    output o = {text, capacity, 0};
    if (token >= 0 && (!g->trie || token >= g->trie->n_tokens))
        return fail(err, INGOT_ERR_INVALID, "there is no token %d in the grammar's vocabulary", token);
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK) {
        say_rules(g, matcher_set(m), &o);
        say_next(g, matcher_set(m), &o);
        if (token >= 0)
            say_token(g, matcher_set(m), token, &o);
        status = grammar_status(g, err);
    }
    mutex_unlock(&g->lock);
    return status == INGOT_OK ? end(&o, size, err) : status;
}
