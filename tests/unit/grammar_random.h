// Random grammars of a few nodes over the bytes a and b, and which texts they match by a plain definition:
// the relation of a node is the set of pairs (i, j) for which it matches the text from i to j.
#ifndef INGOT_TESTS_GRAMMAR_RANDOM_H
#define INGOT_TESTS_GRAMMAR_RANDOM_H

#include "grammar/ir.h"
#include "grammar/token_trie.h"
#include "relation.h"

#define RANDOM_NODES 24
#define RANDOM_KIDS  4

typedef struct random_node {
    ir_kind kind;
    int kids[RANDOM_KIDS];
    int n;
    int min, max; // -1: without end
    int literal;  // bits: size (0 to 2), then letters
    bool flags[RANDOM_KIDS][2];
    bool regular;
    int32_t node; // the builder's
} random_node;

typedef struct random_grammar {
    uint32_t seed;
    random_node nodes[RANDOM_NODES]; // the first RULES are rules
    int n;
} random_grammar;

#define RANDOM_RULES 3

static inline uint32_t random_next(uint32_t *seed, uint32_t n) {
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(*seed >> 8) * n) >> 24);
}

static inline int32_t random_build(random_grammar *r, random_node *x, ir *g) {
    static const char letters[][3] = {"", "a", "b", "aa", "ab", "ba", "bb"};
    int32_t kids[RANDOM_KIDS] = {0};
    for (int i = 0; i < x->n; i++)
        kids[i] = r->nodes[x->kids[i]].node;
    ingot_grammar_member members[RANDOM_KIDS - 1];
    switch (x->kind) {
    case IR_LITERAL:
        return ingot_grammar_builder_literal(g, letters[x->literal], strlen(letters[x->literal]));
    case IR_CLASS:
        return ingot_grammar_builder_class(g, (const uint32_t[]){'a', 'b'}, 1, false);
    case IR_SEQUENCE:
        return ingot_grammar_builder_sequence(g, kids, (size_t)x->n);
    case IR_CHOICE:
        return ingot_grammar_builder_choice(g, kids, (size_t)x->n);
    case IR_REPEAT:
        return ingot_grammar_builder_repeat(g, kids[0], x->min, x->max);
    case IR_BOTH:
        return ingot_grammar_builder_both(g, kids, (size_t)x->n);
    case IR_COMPLEMENT:
        return ingot_grammar_builder_complement(g, kids[0]);
    case IR_TAG:
        return ingot_grammar_builder_tag(g, 7, kids[0]);
    default: // IR_SET: the last of the kids is the separator
        for (int i = 0; i < x->n - 1; i++)
            members[i] = (ingot_grammar_member){kids[i], x->flags[i][0], x->flags[i][1]};
        return ingot_grammar_builder_set(g, members, (size_t)x->n - 1, kids[x->n - 1], x->literal & 1, x->min,
                                         x->max);
    }
}

// Whether a node may match the empty text, as far as it doesn't depend on rules (then true).
static inline bool random_may_be_empty(const random_grammar *r, int i) {
    const random_node *x = &r->nodes[i];
    return !(x->kind == IR_CLASS || (x->kind == IR_LITERAL && x->literal > 0));
}

static inline void random_choose(random_grammar *r, random_node *x, int below) {
    static const ir_kind kinds[] = {IR_LITERAL,  IR_LITERAL,    IR_CLASS,  IR_SEQUENCE, IR_SEQUENCE,
                                    IR_SEQUENCE, IR_CHOICE,     IR_CHOICE, IR_REPEAT,   IR_REPEAT,
                                    IR_BOTH,     IR_COMPLEMENT, IR_TAG,    IR_SET};
    uint32_t *seed = &r->seed;
    x->kind = kinds[random_next(seed, sizeof kinds / sizeof *kinds)];
    x->n = x->kind == IR_SEQUENCE || x->kind == IR_CHOICE ? 1 + (int)random_next(seed, RANDOM_KIDS - 1)
           : x->kind == IR_BOTH                           ? 2
           : x->kind == IR_SET                            ? RANDOM_KIDS - (int)random_next(seed, 2)
                                                          : x->kind > IR_BYTE;
    x->min = (int)random_next(seed, 4);
    x->max = random_next(seed, 2) ? -1 : x->min + (int)random_next(seed, 3);
    x->literal = (int)random_next(seed, 7);
    x->regular = x->kind != IR_TAG && x->kind != IR_SET;
    for (int i = 0; i < x->n; i++) {
        x->kids[i] = (int)random_next(seed, (uint32_t)below);
        x->flags[i][0] = random_next(seed, 3) == 0;
        x->flags[i][1] = random_next(seed, 3) == 0;
        x->regular = x->regular && r->nodes[x->kids[i]].regular;
        // What the builder refuses isn't made: members that may be empty, complements of what isn't regular.
        bool wrong = (x->kind == IR_SET && i < x->n - 1 && random_may_be_empty(r, x->kids[i])) ||
                     ((x->kind == IR_BOTH || x->kind == IR_COMPLEMENT) && !r->nodes[x->kids[i]].regular);
        if (wrong) {
            x->kind = IR_CLASS;
            x->regular = true;
            x->n = 0;
        }
    }
}

// Builds a grammar; its first rule is the root.
static inline int32_t random_grammar_make(random_grammar *r, uint32_t seed, ir *g) {
    *r = (random_grammar){.seed = seed, .n = RANDOM_NODES};
    for (int i = 0; i < RANDOM_RULES; i++) {
        r->nodes[i].kind = IR_RULE;
        r->nodes[i].node = ingot_grammar_builder_rule(g, "rule", 4);
    }
    for (int i = RANDOM_RULES; i < r->n; i++) {
        random_choose(r, &r->nodes[i], i);
        r->nodes[i].node = random_build(r, &r->nodes[i], g);
    }
    for (int i = 0; i < RANDOM_RULES; i++) {
        r->nodes[i].kids[0] = r->n - 1 - i;
        ingot_grammar_builder_define(g, r->nodes[i].node, r->nodes[r->n - 1 - i].node);
    }
    return r->nodes[0].node;
}

// Shows a grammar that failed.
static inline void random_grammar_print(const random_grammar *r) {
    static const char *const names[] = {"literal", "class",      "byte", "sequence", "choice", "repeat",
                                        "both",    "complement", "rule", "tokens",   "tag",    "set"};
    for (int i = 0; i < r->n; i++) {
        const random_node *x = &r->nodes[i];
        fprintf(stderr, "%d: %s min %d max %d literal %d of", i, names[x->kind], x->min, x->max, x->literal);
        for (int k = 0; k < (x->kind == IR_RULE ? 1 : x->n); k++)
            fprintf(stderr, " %d%s%s", x->kids[k], x->flags[k][0] ? "!" : "", x->flags[k][1] ? "*" : "");
        fprintf(stderr, "\n");
    }
}

// ------------------------------------------------------------------------------------------------- relations

static inline relation relation_literal(const char *text, int size, int literal) {
    static const char letters[][3] = {"", "a", "b", "aa", "ab", "ba", "bb"};
    int n = (int)strlen(letters[literal]);
    relation out = 0;
    for (int i = 0; i + n <= size; i++)
        if (memcmp(text + i, letters[literal], (size_t)n) == 0)
            out |= (relation)1 << (8 * i + i + n);
    return out;
}

// All ways through a set, by trying.
static inline relation relation_set(const random_node *x, const relation *of, int size, int count, int taken,
                                    int last) {
    relation here = relation_all(size, true), out = 0;
    bool done = count >= x->min && (x->max < 0 || count <= x->max);
    const int n_members = x->n - 1;
    for (int i = 0; i < n_members; i++)
        done = done && !(x->flags[i][0] && !(taken >> i & 1));
    if (done)
        out = here;
    if (count == (x->max < 0 ? 10 : x->max))
        return out;
    for (int i = 0; i < n_members; i++) {
        bool again = x->flags[i][1];
        if ((taken >> i & 1 && !again) || (x->literal & 1 && (i < last || (i == last && !again))))
            continue;
        relation step = of[x->kids[i]];
        if (count > 0)
            step = relation_chain(of[x->kids[n_members]], step);
        if (step)
            out |= relation_chain(step, relation_set(x, of, size, count + 1, taken | 1 << i, i));
    }
    return out;
}

static inline relation relation_of(const random_node *x, const relation *of, const char *text, int size) {
    relation out = x->kind == IR_SEQUENCE ? relation_all(size, true) : 0;
    switch (x->kind) {
    case IR_LITERAL:
        return relation_literal(text, size, x->literal);
    case IR_CLASS:
        return relation_literal(text, size, 1) | relation_literal(text, size, 2);
    case IR_SEQUENCE:
        for (int i = 0; i < x->n; i++)
            out = relation_chain(out, of[x->kids[i]]);
        return out;
    case IR_CHOICE:
        for (int i = 0; i < x->n; i++)
            out |= of[x->kids[i]];
        return out;
    case IR_REPEAT:
        return relation_repeat(of[x->kids[0]], size, x->min, x->max);
    case IR_BOTH:
        return of[x->kids[0]] & of[x->kids[1]];
    case IR_COMPLEMENT:
        return relation_all(size, false) & ~of[x->kids[0]];
    case IR_SET:
        return relation_set(x, of, size, 0, 0, -1);
    default: // IR_TAG, IR_RULE
        return of[x->kids[0]];
    }
}

// Whether the grammar matches a text of 7 bytes at most.
static inline bool random_grammar_matches(const random_grammar *r, const char *text, int size) {
    relation of[RANDOM_NODES] = {0};
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < r->n; i++) {
            relation now = relation_of(&r->nodes[i], of, text, size);
            changed = changed || now != of[i];
            of[i] = now;
        }
    }
    return of[0] >> size & 1;
}

#endif
