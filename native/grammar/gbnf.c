// GBNF, the notation of llama.cpp (https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md),
// with a few additions: regular expressions between slashes, ':', '=' and ':=' for '::=', rules over several
// lines.
#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"
#include "grammar/analyse.h"
#include "grammar/ir.h"
#include "grammar/table.h"
#include "grammar/token_trie.h"

// A group that is open, or the body of a rule.
typedef struct group {
    size_t first_item;   // of the sequence that is being read
    size_t first_branch; // of its alternatives
    size_t at;           // of its parenthesis
} group;

typedef struct place {
    size_t at, line, column;
} place;

typedef struct gbnf_name {
    size_t at; // where it was seen first
    size_t size;
    int32_t reference;
    place defined; // line 0: not yet
} gbnf_name;

typedef struct gbnf {
    ir *g;
    const char *text;
    size_t size, at;
    place rule;     // where the last one began
    int32_t *items; // of sequences
    size_t n_items, items_capacity;
    int32_t *branches; // of choices
    size_t n_branches, branches_capacity;
    group *groups;
    size_t n_groups, groups_capacity;
    gbnf_name *names;
    size_t n_names, names_capacity;
    table name_table;
} gbnf;

// ------------------------------------------------------------------------------------------------- errors

static bool ok(const gbnf *p) {
    return p->g->status == INGOT_OK;
}

static const place beginning = {0, 1, 1};

// The place at `at`, which doesn't lie before `x`.
static place go_to(const gbnf *p, place x, size_t at) {
    for (; x.at < at; x.at++) {
        x.column = p->text[x.at] == '\n' ? 1 : x.column + ((p->text[x.at] & 0xC0) != 0x80);
        x.line += p->text[x.at] == '\n';
    }
    return x;
}

// Fails at a place: "line 3, column 7: WHAT".
static int32_t fail_at(gbnf *p, size_t at, const char *what) {
    place x = go_to(p, beginning, at);
    return ir_fail(p->g, INGOT_ERR_FORMAT, "line %zu, column %zu of the grammar: %s", x.line, x.column, what);
}

static int32_t fail_memory_here(gbnf *p) {
    return ir_fail(p->g, INGOT_ERR_MEMORY, "cannot allocate the rules of a grammar");
}

static bool push(gbnf *p, int32_t **items, size_t *n, size_t *capacity, int32_t item) {
    if (!mem_reserve(p->g->mem, items, capacity, *n + 1, sizeof **items)) {
        fail_memory_here(p);
        return false;
    }
    (*items)[(*n)++] = item;
    return true;
}

static bool push_item(gbnf *p, int32_t item) {
    return push(p, &p->items, &p->n_items, &p->items_capacity, item);
}

// ------------------------------------------------------------------------------------------------- words

static bool more(const gbnf *p) {
    return p->at < p->size;
}

static int peek(const gbnf *p) {
    return more(p) ? (uint8_t)p->text[p->at] : -1;
}

static bool take(gbnf *p, char c) {
    if (peek(p) != (uint8_t)c)
        return false;
    p->at++;
    return true;
}

static bool is_name(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// White space and comments.
static void skip(gbnf *p) {
    for (;;) {
        int c = peek(p);
        if (c == '#')
            while (more(p) && peek(p) != '\n')
                p->at++;
        else if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            p->at++;
        else
            return;
    }
}

static size_t name_end(const gbnf *p) {
    size_t end = p->at;
    while (end < p->size && is_name((uint8_t)p->text[end]))
        end++;
    return end;
}

// Whether a rule begins here: a name and what separates it from its body.
static bool at_rule(gbnf *p) {
    size_t start = p->at, end = name_end(p);
    if (end == start)
        return false;
    p->at = end;
    skip(p);
    bool found = peek(p) == ':' || peek(p) == '=';
    p->at = start;
    return found;
}

static gbnf_name *name_at(gbnf *p, size_t end) {
    const char *text = p->text + p->at;
    size_t size = end - p->at;
    uint64_t mixed = size;
    for (size_t i = 0; i < size; i++)
        mixed = mixed * 31 + (uint8_t)text[i];
    uint32_t hash = hash_mix(mixed), found;
    for (size_t at = hash; table_next(&p->name_table, hash, &at, &found);) {
        gbnf_name *name = &p->names[found];
        if (name->size == size && memcmp(p->text + name->at, text, size) == 0)
            return name;
    }
    if (!mem_reserve(p->g->mem, &p->names, &p->names_capacity, p->n_names + 1, sizeof *p->names) ||
        !table_add(&p->name_table, hash, (uint32_t)p->n_names)) {
        fail_memory_here(p);
        return NULL;
    }
    p->names[p->n_names] = (gbnf_name){p->at, size, ingot_grammar_builder_rule(p->g, text, size), {0}};
    return &p->names[p->n_names++];
}

// -------------------------------------------------------------------------------------------------
// characters

static uint32_t hex(gbnf *p, int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        int c = peek(p);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            fail_at(p, p->at,
                    digits == 2   ? "expected two hexadecimal digits after \\x"
                    : digits == 4 ? "expected four hexadecimal digits after \\u"
                                  : "expected eight hexadecimal digits after \\U");
            return 0;
        }
        value = value << 4 | (uint32_t)digit;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        fail_at(p, p->at, "the escape is no character: expected one up to U+10FFFF that isn't a surrogate");
    return value;
}

// A character or an escape.
static uint32_t character(gbnf *p) {
    size_t start = p->at;
    int n;
    if (!take(p, '\\')) {
        uint32_t cp = utf8_decode(p->text + p->at, p->size - p->at, &n);
        if (cp == 0xFFFD && n == 1)
            fail_at(p, start, "a byte that isn't UTF-8");
        p->at += (size_t)n;
        return cp;
    }
    int c = peek(p);
    p->at += c >= 0;
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'x':
        return hex(p, 2);
    case 'u':
        return hex(p, 4);
    case 'U':
        return hex(p, 8);
    case '\\':
    case '"':
    case '\'':
    case '[':
    case ']':
    case '-':
    case '^':
    case '/':
        return (uint32_t)c;
    default:
        fail_at(p, start,
                "an unknown escape: expected one of \\n \\t \\r \\\\ \\\" \\[ \\] \\- \\^ \\xHH \\uHHHH "
                "\\UHHHHHHHH");
        return 0;
    }
}

static int32_t literal(gbnf *p, char quote) {
    size_t start = p->at++, n = 0;
    // Escapes are longer than what they stand for.
    size_t end = p->at;
    while (end < p->size && p->text[end] != quote && p->text[end] != '\n')
        end += p->text[end] == '\\' ? 2 : 1;
    char *bytes = mem_alloc(p->g->mem, (end > p->size ? p->size : end) - start + 4, 1);
    if (!bytes)
        return fail_memory_here(p);
    while (ok(p) && more(p) && peek(p) != quote && peek(p) != '\n')
        n += (size_t)utf8_encode(character(p), bytes + n);
    if (ok(p) && !take(p, quote))
        fail_at(p, start, "a string without an end: expected a quote on the same line");
    int32_t node = ok(p) ? ingot_grammar_builder_literal(p->g, bytes, n) : -1;
    mem_free(p->g->mem, bytes);
    return node;
}

static int32_t class(gbnf *p) {
    size_t start = p->at++, n = 0, capacity = 0;
    uint32_t *ranges = NULL;
    bool negated = take(p, '^');
    while (ok(p) && more(p) && peek(p) != ']') {
        size_t from = p->at;
        uint32_t first = character(p), last = first;
        if (peek(p) == '-' && p->at + 1 < p->size && p->text[p->at + 1] != ']') {
            p->at++;
            last = character(p);
        }
        if (ok(p) && last < first)
            fail_at(p, from, "a range of characters that ends before it begins");
        if (!mem_reserve(p->g->mem, &ranges, &capacity, n + 2, sizeof *ranges)) {
            fail_memory_here(p);
            break;
        }
        ranges[n++] = first;
        ranges[n++] = last;
    }
    if (ok(p) && !take(p, ']'))
        fail_at(p, start, "a class without an end: expected ']'");
    int32_t node = ok(p) ? ir_class(p->g, ranges, n / 2, negated) : -1;
    mem_free(p->g->mem, ranges);
    return node;
}

static int32_t regex(gbnf *p) {
    size_t start = ++p->at, line = 0;
    while (more(p) && peek(p) != '/' && peek(p) != '\n')
        p->at += peek(p) == '\\' && p->at + 1 < p->size ? 2 : 1;
    if (!more(p) || peek(p) != '/')
        return fail_at(p, start - 1, "a regular expression without an end: expected '/' on the same line");
    int32_t node = ingot_grammar_builder_regex(p->g, p->text + start, p->at++ - start, false);
    for (size_t i = 0; i < start && !ok(p); i++)
        line += p->text[i] == '\n';
    if (!ok(p))
        fail_prefix(&p->g->err, p->g->status, "line %zu of the grammar", line + 1);
    return node;
}

// <[1000]>, <|name|>, <name>: a token by its number or its text.
static int32_t token(gbnf *p, bool negated) {
    size_t start = p->at;
    const char *end = memchr(p->text + start, '>', p->size - start);
    if (!end)
        return fail_at(p, start, "a token without an end: expected '>'");
    size_t size = (size_t)(end - p->text) + 1 - start;
    int32_t id = -1;
    p->at += size;
    if (size >= 4 && p->text[start + 1] == '[') {
        id = 0;
        for (size_t i = start + 2; i < start + size - 2 && id >= 0; i++) {
            char c = p->text[i];
            id = c >= '0' && c <= '9' && id < 100000000 ? id * 10 + (c - '0') : -1;
        }
        if (id < 0 || size == 4 || p->text[start + size - 2] != ']')
            return fail_at(p, start, "a token that isn't a number: expected <[1000]>");
    } else if (p->g->trie) {
        id = token_trie_find(p->g->trie, p->text + start, size);
        if (id < 0)
            return fail_at(p, start, "the vocabulary has no token of this name");
    } else {
        return fail_at(p, start, "a token by its name needs a vocabulary: expected its number, as <[1000]>");
    }
    return ingot_grammar_builder_tokens(p->g, &id, 1, negated);
}

// ------------------------------------------------------------------------------------------------- rules

static int32_t number(gbnf *p) {
    int64_t value = 0;
    size_t start = p->at;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++)
        value = value > IR_MAX_COUNT ? value : value * 10 + (peek(p) - '0');
    if (p->at == start || value > IR_MAX_COUNT)
        return fail_at(p, start, p->at == start ? "expected a number" : "a count above 1000000000");
    return (int32_t)value;
}

// What may stand behind an item.
static void quantifier(gbnf *p) {
    size_t start = p->at;
    int32_t min = 0, max = -1;
    if (take(p, '?')) {
        max = 1;
    } else if (take(p, '+')) {
        min = 1;
    } else if (!take(p, '*')) {
        p->at++; // {
        skip(p);
        min = max = number(p);
        skip(p);
        if (take(p, ',')) {
            skip(p);
            max = peek(p) == '}' ? -1 : number(p);
            skip(p);
        }
        if (ok(p) && !take(p, '}'))
            fail_at(p, p->at, "expected '}' after a count");
        if (ok(p) && max >= 0 && max < min)
            fail_at(p, start, "a count whose end is below its beginning");
    }
    int32_t *last = &p->items[p->n_items - 1];
    if (ok(p))
        *last = ingot_grammar_builder_repeat(p->g, *last, min, max);
}

// Ends the alternative that is being read.
static void end_branch(gbnf *p, const group *open) {
    size_t n = p->n_items - open->first_item;
    const int32_t *items = n > 0 ? p->items + open->first_item : NULL;
    int32_t node = n == 1 ? items[0] : ingot_grammar_builder_sequence(p->g, items, n);
    p->n_items = open->first_item;
    push(p, &p->branches, &p->n_branches, &p->branches_capacity, node);
}

static int32_t end_group(gbnf *p) {
    const group open = p->groups[--p->n_groups];
    end_branch(p, &open);
    size_t n = p->n_branches - open.first_branch;
    int32_t node = n == 1 ? p->branches[open.first_branch]
                          : ingot_grammar_builder_choice(p->g, p->branches + open.first_branch, n);
    p->n_branches = open.first_branch;
    return node;
}

static void begin_group(gbnf *p) {
    if (!mem_reserve(p->g->mem, &p->groups, &p->groups_capacity, p->n_groups + 1, sizeof *p->groups)) {
        fail_memory_here(p);
        return;
    }
    p->groups[p->n_groups++] = (group){p->n_items, p->n_branches, p->at};
}

static int32_t reference(gbnf *p) {
    size_t end = name_end(p);
    if (end == p->at)
        return fail_at(p, p->at, "expected a rule's name, a string, a class, a token or a group");
    const gbnf_name *name = name_at(p, end);
    p->at = end;
    return name ? name->reference : -1;
}

static int32_t any_character(gbnf *p) {
    p->at++;
    return ir_class(p->g, NULL, 0, true);
}

static bool at_quantifier(const gbnf *p) {
    int c = peek(p);
    return c == '*' || c == '+' || c == '?' || c == '{';
}

static void item(gbnf *p) {
    int c = peek(p);
    if (c == '(') {
        begin_group(p);
        p->at++;
        return;
    }
    if (c == ')') {
        if (p->n_groups == 1) {
            fail_at(p, p->at, "a ')' without a '('");
            return;
        }
        push_item(p, end_group(p));
        p->at++;
    } else if (c == '"' || c == '\'') {
        push_item(p, literal(p, (char)c));
    } else if (c == '[') {
        push_item(p, class(p));
    } else if (c == '.') {
        push_item(p, any_character(p));
    } else if (c == '/') {
        push_item(p, regex(p));
    } else if (c == '<' || (c == '!' && p->at + 1 < p->size && p->text[p->at + 1] == '<')) {
        p->at += c == '!';
        push_item(p, token(p, c == '!'));
    } else {
        push_item(p, reference(p));
    }
    for (skip(p); ok(p) && at_quantifier(p); skip(p))
        quantifier(p);
}

static void rule(gbnf *p) {
    size_t start = p->at, end = name_end(p);
    gbnf_name *name = name_at(p, end);
    if (!name)
        return;
    int32_t reference_node = name->reference;
    if (name->defined.line > 0)
        fail_at(p, start, "a rule that was defined before");
    name->defined = p->rule = go_to(p, p->rule, start);
    p->at = end;
    skip(p);
    size_t separator = p->at;
    while (more(p) && p->at < separator + 3 && (peek(p) == ':' || peek(p) == '='))
        p->at++;
    size_t n = p->at - separator;
    if (!(n == 1 || (n == 2 && p->text[separator] == ':' && p->text[separator + 1] == '=') ||
          (n == 3 && memcmp(p->text + separator, "::=", 3) == 0)))
        fail_at(p, separator, "expected '::=' after a rule's name");
    begin_group(p);
    for (skip(p); ok(p) && more(p); skip(p)) {
        if (p->n_groups == 1 && at_rule(p))
            break;
        if (take(p, '|'))
            end_branch(p, &p->groups[p->n_groups - 1]);
        else
            item(p);
    }
    if (ok(p) && p->n_groups > 1)
        fail_at(p, p->groups[p->n_groups - 1].at, "a '(' without a ')'");
    if (ok(p))
        ingot_grammar_builder_define(p->g, reference_node, end_group(p));
}

// Warns of the rules that the root doesn't reach.
static void find_unreached(gbnf *p, int32_t root) {
    bool *reached = mem_alloc(p->g->mem, p->g->n_nodes, sizeof *reached);
    if (!reached || !analyse_reach(p->g, (uint32_t)root, reached))
        fail_memory_here(p);
    for (size_t i = 0; i < p->n_names && ok(p); i++) {
        const gbnf_name *name = &p->names[i];
        if (!reached[name->reference])
            ir_warn(p->g, "line %zu, column %zu of the grammar: the rule '%.*s' isn't reached from the root",
                    name->defined.line, name->defined.column, (int)(name->size < 60 ? name->size : 60),
                    p->text + name->at);
    }
    mem_free(p->g->mem, reached);
}

static int32_t parse(gbnf *p, const char *root) {
    int32_t found = -1;
    for (skip(p); ok(p) && more(p); skip(p)) {
        if (!at_rule(p))
            return fail_at(p, p->at, "expected a rule: NAME ::= BODY");
        rule(p);
    }
    for (size_t i = 0; i < p->n_names && ok(p); i++) {
        const gbnf_name *name = &p->names[i];
        if (name->defined.line == 0)
            return fail_at(p, name->at, "a rule that isn't defined anywhere");
        if (name->size == strlen(root) && memcmp(p->text + name->at, root, name->size) == 0)
            found = name->reference;
    }
    if (ok(p) && found < 0)
        ir_fail(p->g, INGOT_ERR_FORMAT,
                "the grammar has no rule '%.60s' to begin with: define it, or name another one", root);
    return ok(p) ? found : -1;
}

int32_t ingot_grammar_builder_gbnf(ingot_grammar_builder *g, const char *text, size_t size,
                                   const char *root) {
    gbnf p = {.g = g, .text = text, .size = size, .rule = beginning, .name_table.mem = g->mem};
    int32_t node = parse(&p, root);
    if (node >= 0)
        find_unreached(&p, node);
    mem_free(g->mem, p.items);
    mem_free(g->mem, p.branches);
    mem_free(g->mem, p.groups);
    mem_free(g->mem, p.names);
    table_free(&p.name_table);
    return ok(&p) ? node : -1;
}
