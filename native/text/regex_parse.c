// Pattern to program, without a syntax tree: an atom that is repeated is simply read again.
#include <string.h>

#include "base/utf8.h"
#include "text/regex_program.h"

#define MAX_DEPTH        12
#define MAX_REPEAT       1024
#define MAX_ALTERNATIVES 64
#define MAX_ATOMS        (16 * REGEX_MAX_STEPS) // read in all: some, as (), make no steps

typedef struct parser {
    const char *pattern;
    const char *at;
    const char *end;
    regex_program *program;
    bool fold_case;
    int depth;
    int n_atoms;
    ingot_error *err;
} parser;

static ingot_status parse_alternatives(parser *p);

static ingot_status bad(const parser *p, const char *what) {
    return fail(p->err, INGOT_ERR_FORMAT, "regular expression, byte %zu: %s", (size_t)(p->at - p->pattern),
                what);
}

static bool next_is(const parser *p, const char *text) {
    size_t n = strlen(text);
    return (size_t)(p->end - p->at) >= n && memcmp(p->at, text, n) == 0;
}

static bool skip(parser *p, const char *text) {
    if (!next_is(p, text))
        return false;
    p->at += strlen(text);
    return true;
}

static uint32_t take_code_point(parser *p) {
    int n;
    uint32_t cp = utf8_decode(p->at, (size_t)(p->end - p->at), &n);
    p->at += n;
    return cp;
}

// ------------------------------------------------------------------------------------------ steps

static ingot_status emit(parser *p, regex_op op, size_t x, size_t y, uint16_t *pc) {
    regex_program *program = p->program;
    if (program->n_steps == REGEX_MAX_STEPS)
        return bad(p, "the expression is too long");
    if (pc)
        *pc = program->n_steps;
    program->steps[program->n_steps++] = (regex_step){op, (uint16_t)x, (uint16_t)y};
    return INGOT_OK;
}

// Whether the steps from `begin` to the end can be passed without taking a character.
static bool may_be_empty(const regex_program *program, uint16_t begin) {
    bool reached[REGEX_MAX_STEPS + 1] = {false};
    reached[begin] = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t pc = begin; pc < program->n_steps; pc++) {
            const regex_step *s = &program->steps[pc];
            if (!reached[pc] || s->op == REGEX_SET || s->op == REGEX_MATCH)
                continue;
            size_t to[2] = {pc + 1, pc + 1};
            if (s->op == REGEX_FORK || s->op == REGEX_JUMP)
                to[0] = s->x;
            if (s->op == REGEX_FORK || s->op == REGEX_LOOK || s->op == REGEX_LOOK_NOT)
                to[1] = s->y;
            else
                to[1] = to[0];
            for (int i = 0; i < 2; i++) {
                changed |= !reached[to[i]];
                reached[to[i]] = true;
            }
        }
    }
    return reached[program->n_steps];
}

// ------------------------------------------------------------------------------------------ sets

static const struct {
    const char *name;
    uint32_t bits;
} categories[] = {
    {"C", UNICODE_BITS_C},    {"L", UNICODE_BITS_L},    {"M", UNICODE_BITS_M},    {"N", UNICODE_BITS_N},
    {"P", UNICODE_BITS_P},    {"S", UNICODE_BITS_S},    {"Z", UNICODE_BITS_Z},    {"Cn", 1u << UNICODE_CN},
    {"Cc", 1u << UNICODE_CC}, {"Cf", 1u << UNICODE_CF}, {"Co", 1u << UNICODE_CO}, {"Cs", 1u << UNICODE_CS},
    {"Ll", 1u << UNICODE_LL}, {"Lm", 1u << UNICODE_LM}, {"Lo", 1u << UNICODE_LO}, {"Lt", 1u << UNICODE_LT},
    {"Lu", 1u << UNICODE_LU}, {"Mc", 1u << UNICODE_MC}, {"Me", 1u << UNICODE_ME}, {"Mn", 1u << UNICODE_MN},
    {"Nd", 1u << UNICODE_ND}, {"Nl", 1u << UNICODE_NL}, {"No", 1u << UNICODE_NO}, {"Pc", 1u << UNICODE_PC},
    {"Pd", 1u << UNICODE_PD}, {"Pe", 1u << UNICODE_PE}, {"Pf", 1u << UNICODE_PF}, {"Pi", 1u << UNICODE_PI},
    {"Po", 1u << UNICODE_PO}, {"Ps", 1u << UNICODE_PS}, {"Sc", 1u << UNICODE_SC}, {"Sk", 1u << UNICODE_SK},
    {"Sm", 1u << UNICODE_SM}, {"So", 1u << UNICODE_SO}, {"Zl", 1u << UNICODE_ZL}, {"Zp", 1u << UNICODE_ZP},
    {"Zs", 1u << UNICODE_ZS},
};

static ingot_status add_ranges(parser *p, regex_set *set, const unicode_range *ranges, size_t n) {
    regex_program *program = p->program;
    if ((size_t)program->n_ranges + n > REGEX_MAX_RANGES)
        return bad(p, "too many ranges");
    memcpy(program->ranges + program->n_ranges, ranges, n * sizeof *ranges);
    program->n_ranges += (int)n;
    set->n_ranges = (uint16_t)(set->n_ranges + n);
    return INGOT_OK;
}

static ingot_status add_character(parser *p, regex_set *set, uint32_t first, uint32_t last) {
    TRY(add_ranges(p, set, &(unicode_range){first, last}, 1));
    if (!p->fold_case)
        return INGOT_OK;
    for (uint32_t cp = first; cp <= last && cp < 128; cp++) {
        uint32_t other = cp ^ 0x20;
        if ((cp >= 'A' && cp <= 'Z') || (cp >= 'a' && cp <= 'z'))
            TRY(add_ranges(p, set, &(unicode_range){other, other}, 1));
    }
    return INGOT_OK;
}

static regex_set new_set(const parser *p) {
    return (regex_set){.first_range = (uint16_t)p->program->n_ranges, .both = -1};
}

// Files a set, or finds the equal one (a repeated atom is read many times), and drops the new one's ranges.
static ingot_status file_set(parser *p, const regex_set *set, int *index) {
    regex_program *program = p->program;
    for (int i = 0; i < program->n_sets; i++) {
        const regex_set *s = &program->sets[i];
        if (s->categories == set->categories && s->negated == set->negated && s->both == set->both &&
            s->n_ranges == set->n_ranges &&
            memcmp(program->ranges + s->first_range, program->ranges + set->first_range,
                   set->n_ranges * sizeof(unicode_range)) == 0) {
            program->n_ranges -= set->n_ranges;
            *index = i;
            return INGOT_OK;
        }
    }
    if (program->n_sets == REGEX_MAX_SETS)
        return bad(p, "too many character sets");
    *index = program->n_sets;
    program->sets[program->n_sets++] = *set;
    return INGOT_OK;
}

// \p{Name}: `at` is past the `p`.
static ingot_status add_property(parser *p, regex_set *set) {
    if (!skip(p, "{"))
        return bad(p, "\\p must be followed by {name}");
    const char *close = memchr(p->at, '}', (size_t)(p->end - p->at));
    if (!close)
        return bad(p, "\\p{ isn't closed");
    size_t n = (size_t)(close - p->at);
    if (n == 3 && memcmp(p->at, "Han", 3) == 0) {
        p->at = close + 1;
        return add_ranges(p, set, unicode_han, unicode_han_count);
    }
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++) {
        if (strlen(categories[i].name) == n && memcmp(categories[i].name, p->at, n) == 0) {
            set->categories |= categories[i].bits;
            p->at = close + 1;
            return INGOT_OK;
        }
    }
    return bad(p, "unknown property");
}

// What follows a backslash; *single is set if it stands for one character, which isn't added yet.
static ingot_status add_escape(parser *p, regex_set *set, bool *single, uint32_t *cp) {
    *single = false;
    if (p->at == p->end)
        return bad(p, "nothing follows the backslash");
    char c = *p->at++;
    switch (c) {
    case 'P':
        set->negated = !set->negated;
        return add_property(p, set);
    case 'p':
        return add_property(p, set);
    case 'S':
        set->negated = !set->negated;
        return add_ranges(p, set, unicode_spaces, unicode_spaces_count);
    case 's':
        return add_ranges(p, set, unicode_spaces, unicode_spaces_count);
    case 'D':
        set->negated = !set->negated;
        set->categories |= 1u << UNICODE_ND;
        return INGOT_OK;
    case 'd':
        set->categories |= 1u << UNICODE_ND;
        return INGOT_OK;
    default:
        break;
    }
    *single = true;
    *cp = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : (unsigned char)c;
    bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (*cp >= 128 || (alphanumeric && *cp == (unsigned char)c))
        return p->at--, bad(p, "unknown escape");
    return INGOT_OK;
}

// One item of a class: an escape, a character, or a range.
static ingot_status add_class_item(parser *p, regex_set *set) {
    bool single = true;
    uint32_t first = 0;
    if (skip(p, "\\")) {
        if (next_is(p, "S") || next_is(p, "P") || next_is(p, "D"))
            return bad(p, "a negated escape inside a class isn't supported");
        TRY(add_escape(p, set, &single, &first));
    } else {
        first = take_code_point(p);
    }
    if (!single)
        return INGOT_OK;
    uint32_t last = first;
    if (p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
        p->at++;
        if (skip(p, "\\"))
            TRY(add_escape(p, set, &single, &last));
        else
            last = take_code_point(p);
        if (!single || last < first)
            return bad(p, "a range that ends before it starts");
    }
    return add_character(p, set, first, last);
}

// [...]: `at` is past the bracket. `nested`: this is the right side of &&, which can't have its own.
static ingot_status parse_class(parser *p, bool nested, int *index) {
    int both = -1;
    const char *body = p->at;
    // The right side of && is filed first, so that the ranges of one set lie together.
    for (; !nested && p->at < p->end && *p->at != ']'; p->at += *p->at == '\\' ? 2 : 1) {
        if (next_is(p, "&&[")) {
            p->at += 3;
            TRY(parse_class(p, true, &both));
            break;
        }
    }
    p->at = body;
    regex_set set = new_set(p);
    set.both = both;
    set.negated = skip(p, "^");
    while (p->at < p->end && *p->at != ']' && !(both >= 0 && next_is(p, "&&[")))
        TRY(add_class_item(p, &set));
    if (both >= 0) {
        const char *close = memchr(p->at, ']', (size_t)(p->end - p->at));
        p->at = close ? close + 1 : p->end;
    }
    if (!skip(p, "]"))
        return bad(p, "the class isn't closed");
    return file_set(p, &set, index);
}

// ------------------------------------------------------------------------------------------ structure

// Moves past one atom, without its quantifier.
static void skip_atom(parser *p) {
    int groups = 0;
    int classes = 0;
    do {
        char c = *p->at++;
        if (c == '\\' && p->at < p->end) {
            bool property = *p->at == 'p' || *p->at == 'P';
            p->at++;
            while (property && p->at < p->end && p->at[-1] != '}')
                p->at++;
        } else if (c == '[' && (classes == 0 || p->at[-2] == '&')) {
            classes++;
        } else if (classes > 0) {
            classes -= c == ']';
        } else if (c == '(') {
            groups++;
        } else if (c == ')') {
            groups--;
        }
    } while (p->at < p->end && (groups > 0 || classes > 0));
    while (p->at < p->end && (*p->at & 0xC0) == 0x80)
        p->at++;
}

static ingot_status parse_group(parser *p) {
    bool fold_case = p->fold_case;
    uint16_t look = 0;
    bool is_look = false;
    if (skip(p, "?i:")) {
        p->fold_case = true;
    } else if (next_is(p, "?=") || next_is(p, "?!")) {
        is_look = true;
        TRY(emit(p, p->at[1] == '=' ? REGEX_LOOK : REGEX_LOOK_NOT, p->program->n_steps + 1u, 0, &look));
        p->at += 2;
    } else if (!skip(p, "?:") && next_is(p, "?")) {
        return bad(p, "this kind of group isn't supported");
    }
    if (++p->depth > MAX_DEPTH)
        return bad(p, "groups are nested too deeply");
    TRY(parse_alternatives(p));
    p->depth--;
    p->fold_case = fold_case;
    if (!skip(p, ")"))
        return bad(p, "the group isn't closed");
    if (is_look) {
        TRY(emit(p, REGEX_MATCH, 0, 0, NULL));
        p->program->steps[look].y = p->program->n_steps;
    }
    return INGOT_OK;
}

static ingot_status parse_atom(parser *p) {
    if (p->n_atoms++ == MAX_ATOMS)
        return bad(p, "the expression is too long");
    if (skip(p, "("))
        return parse_group(p);
    if (skip(p, "$"))
        return emit(p, REGEX_END, 0, 0, NULL);
    int index;
    if (skip(p, "[")) {
        TRY(parse_class(p, false, &index));
        return emit(p, REGEX_SET, (size_t)index, 0, NULL);
    }
    regex_set set = new_set(p);
    bool single = true;
    uint32_t cp = '\n';
    if (skip(p, "."))
        set.negated = true;
    else if (skip(p, "\\"))
        TRY(add_escape(p, &set, &single, &cp));
    else if (memchr("*+?{|)", *p->at, 6))
        return bad(p, "nothing to repeat here");
    else
        cp = take_code_point(p);
    if (single)
        TRY(add_character(p, &set, cp, cp));
    TRY(file_set(p, &set, &index));
    return emit(p, REGEX_SET, (size_t)index, 0, NULL);
}

typedef struct quantifier {
    unsigned min;
    unsigned max; // MAX_REPEAT + 1: no limit
    bool possessive;
} quantifier;

static ingot_status parse_number(parser *p, unsigned *out) {
    unsigned value = 0;
    const char *start = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9' && value <= MAX_REPEAT)
        value = value * 10 + (unsigned)(*p->at++ - '0');
    if (p->at == start || value > MAX_REPEAT)
        return bad(p, "a repetition count must be a number up to 1024");
    *out = value;
    return INGOT_OK;
}

static ingot_status parse_quantifier(parser *p, quantifier *q) {
    const unsigned unlimited = MAX_REPEAT + 1;
    *q = (quantifier){1, 1, false};
    if (skip(p, "*")) {
        *q = (quantifier){0, unlimited, false};
    } else if (skip(p, "+")) {
        *q = (quantifier){1, unlimited, false};
    } else if (skip(p, "?")) {
        *q = (quantifier){0, 1, false};
    } else if (skip(p, "{")) {
        TRY(parse_number(p, &q->min));
        q->max = q->min;
        if (skip(p, ",")) {
            q->max = unlimited;
            if (!next_is(p, "}"))
                TRY(parse_number(p, &q->max));
        }
        if (!skip(p, "}") || q->max < q->min)
            return bad(p, "a malformed repetition count");
        if (next_is(p, "+"))
            return bad(p, "a possessive repetition count isn't supported");
    } else {
        return INGOT_OK;
    }
    if (next_is(p, "?"))
        return bad(p, "lazy repetition isn't supported");
    q->possessive = skip(p, "+");
    return INGOT_OK;
}

static ingot_status parse_atom_again(parser *p, const char *atom) {
    p->at = atom;
    return parse_atom(p);
}

// Emits "not followed by the set", which makes a repetition of that set give nothing back.
static ingot_status emit_possession(parser *p, uint16_t set) {
    uint16_t look = 0;
    TRY(emit(p, REGEX_LOOK_NOT, p->program->n_steps + 1u, 0, &look));
    TRY(emit(p, REGEX_SET, set, 0, NULL));
    TRY(emit(p, REGEX_MATCH, 0, 0, NULL));
    p->program->steps[look].y = p->program->n_steps;
    return INGOT_OK;
}

// atom* : again: FORK body, out; body: atom; JUMP again; out:
static ingot_status emit_star(parser *p, const char *atom) {
    regex_step *steps = p->program->steps;
    uint16_t again = 0;
    TRY(emit(p, REGEX_FORK, p->program->n_steps + 1u, 0, &again));
    TRY(parse_atom_again(p, atom));
    if (may_be_empty(p->program, (uint16_t)(again + 1)))
        return bad(p, "repetition of what may be empty isn't supported");
    TRY(emit(p, REGEX_JUMP, again, 0, NULL));
    steps[again].y = p->program->n_steps;
    return INGOT_OK;
}

// Up to n times: FORK body, out; body: atom; FORK body, out; body: atom; ... out:
static ingot_status emit_optional(parser *p, const char *atom, unsigned n, bool possessive) {
    regex_step *steps = p->program->steps;
    uint16_t first = p->program->n_steps;
    uint16_t fork = first;
    uint16_t previous = first; // forks are chained through y until the way out is known
    for (unsigned i = 0; i < n; i++) {
        TRY(emit(p, REGEX_FORK, p->program->n_steps + 1u, previous, &fork));
        previous = fork;
        TRY(parse_atom_again(p, atom));
    }
    uint16_t out = p->program->n_steps;
    if (possessive) { // ?+ of a set: the way out that skips it asks that it isn't there
        uint16_t jump = 0;
        TRY(emit(p, REGEX_JUMP, 0, 0, &jump));
        out = p->program->n_steps;
        TRY(emit_possession(p, steps[first + 1].x));
        steps[jump].x = p->program->n_steps;
    }
    for (;; fork = previous) {
        previous = steps[fork].y;
        steps[fork].y = out;
        if (fork == first)
            return INGOT_OK;
    }
}

static ingot_status parse_repeated(parser *p) {
    const char *atom = p->at;
    skip_atom(p);
    quantifier q;
    TRY(parse_quantifier(p, &q));
    const char *after = p->at;
    uint16_t begin = p->program->n_steps;
    for (unsigned i = 0; i < q.min; i++)
        TRY(parse_atom_again(p, atom));
    if (q.max > MAX_REPEAT)
        TRY(emit_star(p, atom));
    else if (q.max > q.min)
        TRY(emit_optional(p, atom, q.max - q.min, q.possessive));
    if (q.possessive) {
        const regex_step *body = &p->program->steps[q.min > 0 ? begin : begin + 1];
        if (body->op != REGEX_SET || *atom == '(')
            return p->at = atom, bad(p, "only a single class can be repeated possessively");
        if (q.max > MAX_REPEAT)
            TRY(emit_possession(p, body->x));
    }
    p->at = after;
    return INGOT_OK;
}

static bool at_end_of_sequence(const parser *p) {
    return p->at == p->end || *p->at == '|' || *p->at == ')';
}

static ingot_status parse_alternatives(parser *p) {
    regex_step *steps = p->program->steps;
    uint16_t jumps[MAX_ALTERNATIVES];
    int n = 0;
    for (;;) {
        const char *start = p->at;
        while (!at_end_of_sequence(p))
            skip_atom(p);
        bool last = p->at == p->end || *p->at != '|';
        p->at = start;
        uint16_t fork = 0;
        if (!last)
            TRY(emit(p, REGEX_FORK, p->program->n_steps + 1u, 0, &fork));
        while (!at_end_of_sequence(p))
            TRY(parse_repeated(p));
        if (last)
            break;
        if (n == MAX_ALTERNATIVES)
            return bad(p, "too many alternatives");
        TRY(emit(p, REGEX_JUMP, 0, 0, &jumps[n++]));
        steps[fork].y = p->program->n_steps;
        p->at++;
    }
    for (int i = 0; i < n; i++)
        steps[jumps[i]].x = p->program->n_steps;
    return INGOT_OK;
}

ingot_status regex_parse(const char *pattern, regex_program *program, ingot_error *err) {
    parser p = {pattern, pattern, pattern + strlen(pattern), program, false, 0, 0, err};
    TRY(parse_alternatives(&p));
    if (p.at != p.end)
        return bad(&p, "a closing parenthesis too many");
    return emit(&p, REGEX_MATCH, 0, 0, NULL);
}

bool regex_set_has(const regex_program *program, const regex_set *set, uint32_t cp,
                   unicode_category category) {
    bool found = (set->categories >> category) & 1;
    for (int i = 0; i < set->n_ranges && !found; i++) {
        const unicode_range *r = &program->ranges[set->first_range + i];
        found = r->first <= cp && cp <= r->last;
    }
    if (found == set->negated)
        return false;
    return set->both < 0 || regex_set_has(program, &program->sets[set->both], cp, category);
}
