// The builder's calls. Each adds one node.
#include "grammar/ir.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "grammar/members.h"
#include "grammar/ranges.h"
#include "grammar/token_trie.h"

ingot_status ir_new(const ingot_allocator *mem, const ingot_token_trie *trie, ir **out, ingot_error *err) {
    ir *g = mem_alloc(mem, 1, sizeof *g);
    if (!g)
        return fail_memory(err, sizeof *g, "a grammar's builder");
    g->mem = mem;
    g->trie = trie;
    *out = g;
    return INGOT_OK;
}

void ingot_grammar_builder_free(ingot_grammar_builder *g) {
    if (!g)
        return;
    mem_free(g->mem, g->nodes);
    mem_free(g->mem, g->words);
    mem_free(g->mem, g->bytes);
    mem_free(g->mem, g->rules);
    for (size_t i = 0; i < g->n_warnings; i++)
        mem_free(g->mem, g->warnings[i]);
    mem_free(g->mem, g->warnings);
    mem_free(g->mem, g);
}

int32_t ir_fail(ir *g, ingot_status status, const char *fmt, ...) {
    if (g->status != INGOT_OK)
        return -1;
    char message[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    g->status = fail(&g->err, status, "%s", message);
    return -1;
}

void ir_warn(ir *g, const char *fmt, ...) {
    char *message = mem_alloc(g->mem, IR_MAX_MESSAGE, 1);
    if (!message ||
        !mem_reserve(g->mem, &g->warnings, &g->warnings_capacity, g->n_warnings + 1, sizeof *g->warnings)) {
        mem_free(g->mem, message);
        ir_fail(g, INGOT_ERR_MEMORY, "cannot allocate the warnings of a grammar");
        return;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, IR_MAX_MESSAGE, fmt, args);
    va_end(args);
    g->warnings[g->n_warnings++] = message;
}

const char *ingot_grammar_builder_warning(const ingot_grammar_builder *g, size_t i) {
    return i < g->n_warnings ? g->warnings[i] : NULL;
}

ingot_status ingot_grammar_builder_status(const ingot_grammar_builder *g, ingot_error *err) {
    return g->status == INGOT_OK ? INGOT_OK : fail(err, g->status, "%s", g->err.message);
}

static bool reserve(ir *g, void *items, size_t *capacity, size_t need, size_t size, size_t most) {
    if (need > most) {
        ir_fail(g, INGOT_ERR_LIMIT, "a grammar of more than %zu parts: expected a smaller one", most);
        return false;
    }
    if (!mem_reserve(g->mem, items, capacity, need, size)) {
        ir_fail(g, INGOT_ERR_MEMORY, "cannot allocate %zu bytes for a grammar", need * size);
        return false;
    }
    return true;
}

static int32_t add(ir *g, ir_node node) {
    if (g->status != INGOT_OK ||
        !reserve(g, &g->nodes, &g->nodes_capacity, g->n_nodes + 1, sizeof *g->nodes, IR_MAX_NODES))
        return -1;
    g->nodes[g->n_nodes] = node;
    return (int32_t)g->n_nodes++;
}

// Room for `n` words; NULL after a failure.
static uint32_t *add_words(ir *g, size_t n, uint32_t *first) {
    if (g->status != INGOT_OK ||
        (n > IR_MAX_WORDS && ir_fail(g, INGOT_ERR_LIMIT, "a grammar's node of %zu parts", n) < 0) ||
        !reserve(g, &g->words, &g->words_capacity, g->n_words + n, sizeof *g->words, IR_MAX_WORDS))
        return NULL;
    *first = (uint32_t)g->n_words;
    g->n_words += n;
    return g->words + *first;
}

static bool add_bytes(ir *g, const char *bytes, size_t n, uint32_t *first) {
    if (g->status != INGOT_OK ||
        (n > IR_MAX_WORDS && ir_fail(g, INGOT_ERR_LIMIT, "a literal of %zu bytes in a grammar", n) < 0) ||
        !reserve(g, &g->bytes, &g->bytes_capacity, g->n_bytes + n + 1, 1, IR_MAX_WORDS))
        return false;
    *first = (uint32_t)g->n_bytes;
    if (n > 0)
        memcpy(g->bytes + g->n_bytes, bytes, n);
    g->n_bytes += n;
    return true;
}

static bool is_node(ir *g, int32_t node) {
    if (g->status == INGOT_OK && node >= 0 && (size_t)node < g->n_nodes)
        return true;
    ir_fail(g, INGOT_ERR_INVALID, "%d is no node of this grammar: there are %zu", node, g->n_nodes);
    return false;
}

// A node over others.
static int32_t add_over(ir *g, ir_node node, const int32_t *children, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!is_node(g, children[i]))
            return -1;
    uint32_t *words = add_words(g, n, &node.first);
    if (!words)
        return -1;
    for (size_t i = 0; i < n; i++)
        words[i] = (uint32_t)children[i];
    node.n = (uint32_t)n;
    return add(g, node);
}

int32_t ingot_grammar_builder_literal(ingot_grammar_builder *g, const char *bytes, size_t size) {
    ir_node node = {.kind = IR_LITERAL, .n = (uint32_t)size};
    return add_bytes(g, bytes, size, &node.first) ? add(g, node) : -1;
}

static int32_t add_ranges(ir *g, ir_kind kind, const range_list *list) {
    ir_node node = {.kind = (uint8_t)kind, .n = (uint32_t)list->n};
    uint32_t *words = add_words(g, 2 * list->n, &node.first);
    if (!words)
        return -1;
    for (size_t i = 0; i < list->n; i++) {
        words[2 * i] = list->items[i].first;
        words[2 * i + 1] = list->items[i].last;
    }
    return add(g, node);
}

int32_t ir_class(ir *g, const uint32_t *ranges, size_t n, bool negated) {
    range_list list = {.mem = g->mem};
    for (size_t i = 0; i < n && g->status == INGOT_OK; i++) {
        uint32_t first = ranges[2 * i], last = ranges[2 * i + 1];
        if (first > last || last > UNICODE_MAX)
            ir_fail(g, INGOT_ERR_INVALID,
                    "the range U+%04X to U+%04X: expected an ascending one up to U+10FFFF", first, last);
        else
            range_add(&list, first, last);
    }
    range_normalize(&list);
    if (negated)
        range_negate(&list);
    range_remove(&list, 0xD800, 0xDFFF);
    int32_t node = list.failed ? ir_fail(g, INGOT_ERR_MEMORY, "cannot allocate a class of characters")
                               : add_ranges(g, IR_CLASS, &list);
    range_free(&list);
    return node;
}

int32_t ingot_grammar_builder_class(ingot_grammar_builder *g, const uint32_t *ranges, size_t n,
                                    bool negated) {
    return ir_class(g, ranges, n, negated);
}

int32_t ingot_grammar_builder_byte(ingot_grammar_builder *g, const uint8_t *ranges, size_t n) {
    range_list list = {.mem = g->mem};
    for (size_t i = 0; i < n && g->status == INGOT_OK; i++) {
        if (ranges[2 * i] > ranges[2 * i + 1])
            ir_fail(g, INGOT_ERR_INVALID, "the range of bytes %d to %d: expected an ascending one",
                    ranges[2 * i], ranges[2 * i + 1]);
        else
            range_add(&list, ranges[2 * i], ranges[2 * i + 1]);
    }
    range_normalize(&list);
    int32_t node = list.failed ? ir_fail(g, INGOT_ERR_MEMORY, "cannot allocate a class of bytes")
                               : add_ranges(g, IR_BYTE, &list);
    range_free(&list);
    return node;
}

int32_t ingot_grammar_builder_sequence(ingot_grammar_builder *g, const int32_t *nodes, size_t n) {
    return add_over(g, (ir_node){.kind = IR_SEQUENCE}, nodes, n);
}

int32_t ingot_grammar_builder_choice(ingot_grammar_builder *g, const int32_t *nodes, size_t n) {
    return add_over(g, (ir_node){.kind = IR_CHOICE}, nodes, n);
}

// Whether `min` to `max` (-1: without end) can be counted.
static bool is_count(ir *g, int32_t min, int32_t max) {
    if (min >= 0 && min <= IR_MAX_COUNT && max <= IR_MAX_COUNT && (max == -1 || max >= min))
        return true;
    ir_fail(g, INGOT_ERR_INVALID, "%d to %d times: expected 0 <= min <= max <= %d, or no max (-1)", min, max,
            IR_MAX_COUNT);
    return false;
}

int32_t ingot_grammar_builder_repeat(ingot_grammar_builder *g, int32_t node, int32_t min, int32_t max) {
    if (!is_count(g, min, max))
        return -1;
    return add_over(g, (ir_node){.kind = IR_REPEAT, .min = (uint32_t)min, .max = (uint32_t)max}, &node, 1);
}

int32_t ingot_grammar_builder_both(ingot_grammar_builder *g, const int32_t *nodes, size_t n) {
    if (n == 0)
        return ir_fail(g, INGOT_ERR_INVALID, "an intersection of nothing: expected a node");
    return add_over(g, (ir_node){.kind = IR_BOTH}, nodes, n);
}

int32_t ingot_grammar_builder_complement(ingot_grammar_builder *g, int32_t node) {
    return add_over(g, (ir_node){.kind = IR_COMPLEMENT}, &node, 1);
}

int32_t ingot_grammar_builder_tag(ingot_grammar_builder *g, int32_t tag, int32_t node) {
    if (tag < 0)
        return ir_fail(g, INGOT_ERR_INVALID, "the tag %d: expected a number >= 0", tag);
    return add_over(g, (ir_node){.kind = IR_TAG, .min = (uint32_t)tag}, &node, 1);
}

int32_t ingot_grammar_builder_rule(ingot_grammar_builder *g, const char *name, size_t size) {
    ir_rule rule = {.name_size = (uint32_t)size, .body = IR_UNBOUNDED};
    if (!add_bytes(g, name, size, &rule.name) ||
        !reserve(g, &g->rules, &g->rules_capacity, g->n_rules + 1, sizeof rule, IR_MAX_NODES))
        return -1;
    int32_t node = add(g, (ir_node){.kind = IR_RULE, .first = (uint32_t)g->n_rules});
    if (node >= 0)
        g->rules[g->n_rules++] = rule;
    return node;
}

void ingot_grammar_builder_define(ingot_grammar_builder *g, int32_t reference, int32_t node) {
    if (!is_node(g, reference) || !is_node(g, node))
        return;
    if (g->nodes[reference].kind != IR_RULE) {
        ir_fail(g, INGOT_ERR_INVALID, "node %d is no reference to a rule", reference);
        return;
    }
    ir_rule *rule = &g->rules[g->nodes[reference].first];
    if (rule->body != IR_UNBOUNDED)
        ir_fail(g, INGOT_ERR_INVALID, "the rule '%.*s' is defined twice", ir_name_size(rule),
                g->bytes + rule->name);
    else
        rule->body = (uint32_t)node;
}

int32_t ingot_grammar_builder_tokens(ingot_grammar_builder *g, const int32_t *ids, size_t n, bool negated) {
    range_list list = {.mem = g->mem};
    int32_t limit = g->trie ? token_trie_size(g->trie) : INT32_MAX;
    for (size_t i = 0; i < n && g->status == INGOT_OK; i++) {
        if (ids[i] < 0 || ids[i] >= limit)
            ir_fail(g, INGOT_ERR_INVALID, "there is no token %d: the vocabulary has %d", ids[i], limit);
        else
            range_add(&list, (uint32_t)ids[i], (uint32_t)ids[i]);
    }
    range_normalize(&list);
    int32_t node = list.failed ? ir_fail(g, INGOT_ERR_MEMORY, "cannot allocate a set of tokens")
                               : add_ranges(g, IR_TOKENS, &list);
    range_free(&list);
    if (node >= 0)
        g->nodes[node].negated = negated;
    return node;
}

int32_t ingot_grammar_builder_set(ingot_grammar_builder *g, const ingot_grammar_member *members, size_t n,
                                  int32_t separator, bool ordered, int32_t min, int32_t max) {
    if (!is_node(g, separator) || !is_count(g, min, max))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (!is_node(g, members[i].node))
            return -1;
    ir_node node = {
        .kind = IR_SET, .negated = ordered, .n = (uint32_t)n, .min = (uint32_t)min, .max = (uint32_t)max};
    if (n > MEMBERS_MOST)
        return ir_fail(g, INGOT_ERR_LIMIT, "a set of %zu members: expected %d at most", n, MEMBERS_MOST);
    uint32_t *words = add_words(g, 1 + 2 * n, &node.first);
    if (!words)
        return -1;
    words[0] = (uint32_t)separator;
    for (size_t i = 0; i < n; i++) {
        words[1 + 2 * i] = (uint32_t)members[i].node;
        words[2 + 2 * i] =
            (members[i].required ? IR_REQUIRED : 0u) | (members[i].repeatable ? IR_REPEATABLE : 0u);
    }
    return add(g, node);
}
