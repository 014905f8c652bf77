// Regular expressions by their plain definition, to compare with: reading one computes which parts of a short
// text it matches. Knows less than the library; what it doesn't know it says.
#ifndef INGOT_TESTS_PLAIN_REGEX_H
#define INGOT_TESTS_PLAIN_REGEX_H

#include <string.h>

#include "../unit/relation.h"

typedef struct plain_regex {
    const char *text; // of ASCII, at most 7 bytes
    int size;
    const char *at, *end; // of the expression
    int depth;
    bool fold;
    bool unknown; // something that isn't known, or isn't well formed
} plain_regex;

static inline bool plain_take(plain_regex *p, const char *what) {
    size_t n = strlen(what);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, what, n) != 0)
        return false;
    p->at += n;
    return true;
}

// Sets of ASCII characters: bits[c].
typedef struct plain_set {
    bool bits[128];
} plain_set;

static inline void plain_range(plain_set *set, int first, int last) {
    for (int c = first; c <= last; c++)
        set->bits[c] = true;
}

static inline void plain_negate(plain_set *set) {
    for (int c = 0; c < 128; c++)
        set->bits[c] = !set->bits[c];
}

// A character or, where an escape stands for several, -1 after adding them. Sets `unknown`.
static inline int plain_member(plain_regex *p, plain_set *set) {
    static const char letters[] = "nrtfv", values[] = "\n\r\t\f\v";
    plain_set some = {{false}};
    int c = p->at < p->end ? (uint8_t)*p->at++ : 0x80;
    if (c != '\\') {
        p->unknown = p->unknown || c >= 0x80;
        return c;
    }
    c = p->at < p->end ? (uint8_t)*p->at++ : 0x80;
    const char *found = c ? strchr(letters, c) : NULL;
    if (found)
        return values[found - letters];
    int lower = c | 0x20;
    if (lower == 'd' || lower == 'w')
        plain_range(&some, '0', '9');
    if (lower == 'w') {
        plain_range(&some, 'a', 'z');
        plain_range(&some, 'A', 'Z');
        plain_range(&some, '_', '_');
    }
    if (lower == 's') {
        plain_range(&some, 9, 13);
        plain_range(&some, ' ', ' ');
    }
    if (c < 0x80 && (lower == 'd' || lower == 'w' || lower == 's')) {
        if (c != lower)
            plain_negate(&some);
        for (int i = 0; i < 128; i++)
            set->bits[i] |= some.bits[i];
        return -1;
    }
    bool letter = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
    p->unknown = p->unknown || letter || c >= 0x80;
    return c;
}

// The places where one character of the set, or its other case, stands.
static inline relation plain_places(const plain_regex *p, const plain_set *set, bool negated) {
    relation out = 0;
    for (int i = 0; i < p->size; i++) {
        int c = p->text[i], other = (c | 32) >= 'a' && (c | 32) <= 'z' ? c ^ 32 : c;
        if ((set->bits[c] || (p->fold && set->bits[other])) != negated)
            out |= (relation)1 << (8 * i + i + 1);
    }
    return out;
}

static inline relation plain_class(plain_regex *p) {
    plain_set set = {{false}};
    bool negated = plain_take(p, "^");
    while (!p->unknown && p->at < p->end && *p->at != ']') {
        int first = plain_member(p, &set), last = first;
        if (first < 0 || p->unknown)
            continue;
        if (p->end - p->at > 1 && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            last = plain_member(p, &set);
            if (last < 0) { // a hyphen before \d is one
                plain_range(&set, '-', '-');
                last = first;
            }
        }
        if (!p->unknown)
            plain_range(&set, first, last);
    }
    p->unknown = p->unknown || !plain_take(p, "]");
    return plain_places(p, &set, negated);
}

static inline bool plain_number(plain_regex *p, int *value) {
    const char *start = p->at;
    for (*value = 0; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        *value = *value > 1000 ? *value : *value * 10 + (*p->at - '0');
    return p->at > start;
}

static inline relation plain_quantified(plain_regex *p, relation x) {
    for (;;) {
        const char *start = p->at;
        int min = 0, max = -1;
        if (plain_take(p, "?")) {
            max = 1;
        } else if (plain_take(p, "+")) {
            min = 1;
        } else if (!plain_take(p, "*")) {
            bool found = plain_take(p, "{") && plain_number(p, &min);
            max = min;
            if (found && plain_take(p, ",") && !plain_number(p, &max))
                max = -1;
            if (!found || !plain_take(p, "}")) {
                p->at = start;
                return x;
            }
        }
        plain_take(p, "?");
        // Of 9 repetitions in 8 places two are empty.
        x = relation_repeat(x, p->size, min < 8 ? min : 8, max < 0 || max > 8 ? 8 : max);
    }
}

static inline relation plain_choice(plain_regex *p);

static inline relation plain_group(plain_regex *p) {
    bool fold = p->fold;
    if (plain_take(p, "?i:")) {
        p->fold = true;
    } else if (plain_take(p, "?<") || plain_take(p, "?P<")) {
        while (p->at < p->end && *p->at != '>')
            p->at++;
        p->unknown = p->unknown || !plain_take(p, ">");
    } else if (!plain_take(p, "?:")) {
        p->unknown = p->unknown || plain_take(p, "?");
    }
    p->unknown = p->unknown || ++p->depth > 100;
    relation out = p->unknown ? 0 : plain_choice(p);
    p->depth--;
    p->fold = fold;
    p->unknown = p->unknown || !plain_take(p, ")");
    return out;
}

static inline relation plain_atom(plain_regex *p) {
    plain_set set = {{false}};
    relation same = relation_all(p->size, true);
    if (plain_take(p, "("))
        return plain_group(p);
    if (plain_take(p, "["))
        return plain_class(p);
    if (plain_take(p, "^") || plain_take(p, "\\A"))
        return same & 1;
    if (plain_take(p, "$") || plain_take(p, "\\z") || plain_take(p, "\\Z"))
        return same & (relation)1 << (8 * p->size + p->size);
    if (plain_take(p, ".")) {
        plain_range(&set, '\n', '\n');
        plain_range(&set, '\r', '\r');
        return plain_places(p, &set, true);
    }
    int c = plain_member(p, &set);
    if (c >= 0 && !p->unknown)
        plain_range(&set, c, c);
    return plain_places(p, &set, false);
}

static inline relation plain_choice(plain_regex *p) {
    relation out = 0, sequence = relation_all(p->size, true);
    while (!p->unknown && p->at < p->end && *p->at != ')') {
        if (plain_take(p, "|")) {
            out |= sequence;
            sequence = relation_all(p->size, true);
        } else if (plain_take(p, "(?i)")) {
            p->fold = true;
        } else {
            relation x = plain_atom(p);
            sequence = relation_chain(sequence, plain_quantified(p, x));
        }
    }
    return out | sequence;
}

// Whether an expression that the library takes matches all of a text (`search`: a part of it). *known:
// whether all of the expression is known here.
static inline bool plain_regex_matches(const char *pattern, size_t n, bool search, const char *text, int size,
                                       bool *known) {
    plain_regex p = {.text = text, .size = size, .at = pattern, .end = pattern + n};
    relation found = plain_choice(&p);
    *known = !p.unknown && p.at == p.end;
    return search ? found != 0 : found >> size & 1;
}

#endif
