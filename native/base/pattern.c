#include "base/pattern.h"

#include <ctype.h>
#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

struct pattern {
    const ingot_allocator *mem;
    regex_t compiled;
    bool ready;
};

enum { CHARACTERS = UCHAR_MAX + 1, LONGEST_CLASS = CHARACTERS + 8 };

// The members of a class.
typedef struct char_set {
    bool has[CHARACTERS];
} char_set;

// A pattern on its way from `in` to `out`, which has room for LONGEST_CLASS bytes per character.
typedef struct translation {
    const char *in;
    char *out;
    bool quantified; // a quantifier came last: a '?' now says that it isn't greedy
} translation;

static void put(translation *t, const char *text) {
    size_t n = strlen(text);
    memcpy(t->out, text, n);
    t->out += n;
}

static void put_char(translation *t, unsigned char c) {
    *t->out++ = (char)c;
}

// The members of \d, \w and \s, or of their complements; false for other letters.
static bool set_add_letter(char_set *set, char letter) {
    if (!strchr("dDwWsS", letter))
        return false;
    bool negated = isupper((unsigned char)letter) != 0;
    int kind = tolower((unsigned char)letter);
    for (int c = 1; c < CHARACTERS; c++) {
        bool in = kind == 'd' ? isdigit(c) != 0 : kind == 's' ? isspace(c) != 0 : isalnum(c) || c == '_';
        set->has[c] |= in != negated;
    }
    return true;
}

// POSIX has no escapes in classes: what is special there has its place instead.
static void put_set(translation *t, const char_set *set, bool negated) {
    put(t, negated ? "[^" : "[");
    if (set->has[']'])
        put_char(t, ']');
    bool others = negated || set->has[']'];
    for (int c = 1; c < CHARACTERS; c++)
        if (set->has[c] && !strchr("]^-[", c)) {
            put_char(t, (unsigned char)c);
            others = true;
        }
    if (set->has['['])
        put_char(t, '[');
    if (set->has['-'] && set->has['^'] && !others && !set->has['['])
        put(t, "-^");
    else {
        put(t, set->has['^'] ? "^" : "");
        put(t, set->has['-'] ? "-" : "");
    }
    put_char(t, ']');
}

// One member of a class, which may be the first of a range; false if it was a letter's set.
static bool class_member(translation *t, char_set *set, unsigned char *out) {
    if (*t->in == '\\' && t->in[1] != '\0') {
        t->in += 2;
        *out = (unsigned char)t->in[-1];
        return !set_add_letter(set, t->in[-1]);
    }
    *out = (unsigned char)*t->in++;
    return true;
}

static const char *translate_class(translation *t) {
    char_set set = {0};
    bool negated = *t->in == '^';
    t->in += negated;
    while (*t->in != ']') {
        unsigned char first, last;
        if (*t->in == '\0')
            return "a class isn't closed by ]";
        if (t->in[0] == '[' && strchr(":.=", t->in[1]) && t->in[1] != '\0')
            return "classes have no named parts here: write [a-z] or \\d";
        if (!class_member(t, &set, &first))
            continue;
        last = first;
        if (t->in[0] == '-' && t->in[1] != ']' && t->in[1] != '\0') {
            t->in++;
            if (!class_member(t, &set, &last) || last < first)
                return "a class has a range that runs backwards";
        }
        for (int c = first; c <= last; c++)
            set.has[c] = true;
    }
    t->in++;
    bool only_caret = set.has['^'];
    bool empty = true;
    for (int c = 1; c < CHARACTERS; c++) {
        only_caret = only_caret && (!set.has[c] || c == '^');
        empty = empty && !set.has[c];
    }
    if (empty)
        return "a class is empty";
    if (only_caret && !negated)
        put(t, "\\^");
    else
        put_set(t, &set, negated);
    return NULL;
}

static const char *translate_escape(translation *t) {
    char c = *t->in;
    char_set set = {0};
    if (c == '\0')
        return "it ends with a backslash";
    t->in++;
    if (set_add_letter(&set, c)) {
        put_set(t, &set, false);
    } else if (isalnum((unsigned char)c)) {
        return "only the letters d, D, w, W, s and S may follow a backslash";
    } else {
        put_char(t, '\\');
        put_char(t, (unsigned char)c);
    }
    return NULL;
}

// Writes the POSIX form of the next piece; says what is wrong, or NULL.
static const char *translate_next(translation *t) {
    char c = *t->in++;
    bool quantified = t->quantified;
    t->quantified = strchr("*+?}", c) != NULL;
    if (c == '\\')
        return translate_escape(t);
    if (c == '[')
        return translate_class(t);
    if (c == '?' && quantified) {
        t->quantified = false; // greedy or not: whether there is a match is the same
        return NULL;
    }
    put_char(t, (unsigned char)c);
    if (c == '(' && *t->in == '?') {
        if (t->in[1] != ':')
            return "groups that begin with (? must be (?:...)";
        t->in += 2;
    }
    return NULL;
}

static ingot_status compile(pattern *p, const char *text, char *posix, ingot_error *err) {
    translation t = {.in = text, .out = posix};
    while (*t.in != '\0') {
        const char *wrong = translate_next(&t);
        if (wrong)
            return fail(err, INGOT_ERR_INVALID, "pattern '%s': %s", text, wrong);
    }
    *t.out = '\0';
    int code = regcomp(&p->compiled, posix, REG_EXTENDED | REG_NOSUB | REG_ICASE);
    if (code != 0) {
        char why[128];
        regerror(code, &p->compiled, why, sizeof why);
        return fail(err, INGOT_ERR_INVALID, "pattern '%s' is no regular expression: %s", text, why);
    }
    p->ready = true;
    return INGOT_OK;
}

ingot_status pattern_new(const char *text, const ingot_allocator *mem, pattern **out, ingot_error *err) {
    size_t size = strlen(text) + 1;
    *out = NULL;
    if (size == 1)
        return fail(err, INGOT_ERR_INVALID, "an empty pattern would match everything");
    pattern *p = mem_alloc(mem, 1, sizeof *p);
    char *posix = mem_alloc(mem, size, LONGEST_CLASS);
    ingot_status status = INGOT_OK;
    if (!p || !posix)
        status = fail_memory(err, size * LONGEST_CLASS, "a pattern");
    if (p)
        p->mem = mem;
    if (status == INGOT_OK)
        status = compile(p, text, posix, err);
    mem_free(mem, posix);
    if (status != INGOT_OK)
        pattern_free(p);
    else
        *out = p;
    return status;
}

void pattern_free(pattern *p) {
    if (!p)
        return;
    if (p->ready)
        regfree(&p->compiled);
    mem_free(p->mem, p);
}

bool pattern_found(const pattern *p, const char *text) {
    return regexec(&p->compiled, text, 0, NULL, 0) == 0;
}
