// Regular expressions as ECMAScript and RE2 have them, as far as both mean the same, into nodes.
//
// ^ and $ are anchors of a whole text, so they may only stand where nothing can come before or after. What is
// read is therefore kept by how it is bound: to the beginning, to the end, to both or not at all.
#include <string.h>

#include "base/utf8.h"
#include "grammar/ir.h"
#include "grammar/ranges.h"

// A part: a node for each way of being bound, -1 where there is none.
typedef struct part {
    int32_t nodes[IR_BOUNDS];
} part;

typedef struct open_group {
    size_t first_part; // of the sequence that is being read
    size_t first_branch;
    size_t at; // of its parenthesis
    bool fold;
} open_group;

typedef struct regex {
    ir *g;
    const char *text;
    size_t size, at;
    bool fold; // the case of ASCII letters doesn't matter
    part *parts;
    size_t n_parts, parts_capacity;
    part *branches;
    size_t n_branches, branches_capacity;
    open_group *groups;
    size_t n_groups, groups_capacity;
} regex;

static const part nothing = {{-1, -1, -1, -1}};

static bool ok(const regex *p) {
    return p->g->status == INGOT_OK;
}

static int32_t fail_at(regex *p, size_t at, ingot_status status, const char *what) {
    int shown = p->size < 60 ? (int)p->size : 60;
    return ir_fail(p->g, status, "at byte %zu of the regular expression '%.*s': %s", at, shown, p->text,
                   what);
}

static int peek(const regex *p) {
    return p->at < p->size ? (uint8_t)p->text[p->at] : -1;
}

static bool take(regex *p, const char *what) {
    size_t n = strlen(what);
    if (p->size - p->at < n || memcmp(p->text + p->at, what, n) != 0)
        return false;
    p->at += n;
    return true;
}

static bool push(regex *p, part **parts, size_t *n, size_t *capacity, part item) {
    if (!mem_reserve(p->g->mem, parts, capacity, *n + 1, sizeof **parts)) {
        ir_fail(p->g, INGOT_ERR_MEMORY, "cannot allocate the parts of a regular expression");
        return false;
    }
    (*parts)[(*n)++] = item;
    return true;
}

static void push_node(regex *p, int32_t node) {
    push(p, &p->parts, &p->n_parts, &p->parts_capacity, (part){{node, -1, -1, -1}});
}

// ------------------------------------------------------------------------------------------------- classes

// The categories that a name of one or two letters stands for; 0 if there is none.
static uint32_t categories_of(const char *name, size_t size) {
    static const char names[UNICODE_CATEGORIES][3] = {
        "Cn", "Cc", "Cf", "Co", "Cs", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl",
        "No", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs"};
    static const struct {
        const char *name;
        uint32_t bits;
    } groups[] = {{"L", UNICODE_BITS_L},      {"M", UNICODE_BITS_M},      {"N", UNICODE_BITS_N},
                  {"P", UNICODE_BITS_P},      {"S", UNICODE_BITS_S},      {"Z", UNICODE_BITS_Z},
                  {"C", UNICODE_BITS_C},      {"Letter", UNICODE_BITS_L}, {"Number", UNICODE_BITS_N},
                  {"digit", 1u << UNICODE_ND}};
    for (size_t i = 0; i < UNICODE_CATEGORIES && size == 2; i++)
        if (memcmp(names[i], name, 2) == 0)
            return 1u << i;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strlen(groups[i].name) == size && memcmp(groups[i].name, name, size) == 0)
            return groups[i].bits;
    return 0;
}

// \p{L}, \pL, \p{Lu}, \p{Script=Han}: behind the letter.
static void add_property(regex *p, range_list *out) {
    size_t start = p->at, end = start + 1;
    if (take(p, "{")) {
        start++;
        while (end < p->size && p->text[end] != '}')
            end++;
        p->at = end + 1;
    } else {
        p->at = end;
    }
    if (end > p->size || p->at > p->size) {
        p->at = p->size;
        fail_at(p, p->size, INGOT_ERR_FORMAT, "expected a category after \\p, as \\p{L}");
        return;
    }
    const char *name = p->text + start;
    size_t size = end - start;
    static const char *const prefixes[] = {"Script=", "sc=", "General_Category=", "gc="};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen(prefixes[i]);
        if (size > n && memcmp(name, prefixes[i], n) == 0) {
            name += n;
            size -= n;
        }
    }
    if (size == 3 && memcmp(name, "Han", 3) == 0) {
        for (size_t i = 0; i < unicode_han_count; i++)
            range_add(out, unicode_han[i].first, unicode_han[i].last);
        return;
    }
    uint32_t bits = categories_of(name, size);
    unicode_range run;
    unicode_category category;
    if (bits == 0)
        fail_at(p, start, INGOT_ERR_UNSUPPORTED,
                "a property that isn't known: expected a general category, as \\p{L}, or Han");
    for (size_t i = 0; bits != 0 && unicode_category_run(i, &run, &category); i++)
        if (bits >> category & 1)
            range_add(out, run.first, run.last);
}

// What \d \w \s \p and their opposites stand for; false if `c` is none of them.
static bool add_shorthand(regex *p, int c, range_list *out) {
    static const uint32_t digits[] = {'0', '9'}, word[] = {'0', '9', 'A', 'Z', '_', '_', 'a', 'z'},
                          spaces[] = {9,      13,     32,     32,     0xA0,   0xA0,   0x1680,
                                      0x1680, 0x2000, 0x200A, 0x2028, 0x2029, 0x202F, 0x202F,
                                      0x205F, 0x205F, 0x3000, 0x3000, 0xFEFF, 0xFEFF};
    range_list list = {.mem = p->g->mem};
    int lower = c | 0x20;
    const uint32_t *ranges = lower == 'd' ? digits : lower == 'w' ? word : spaces;
    size_t n = lower == 'd' ? 2 : lower == 'w' ? 8 : sizeof spaces / sizeof *spaces;
    if (lower == 'p')
        add_property(p, &list);
    else if (lower == 'd' || lower == 'w' || lower == 's')
        for (size_t i = 0; i < n; i += 2)
            range_add(&list, ranges[i], ranges[i + 1]);
    else
        return false;
    range_normalize(&list);
    if (c != lower)
        range_negate(&list);
    for (size_t i = 0; i < list.n; i++)
        range_add(out, list.items[i].first, list.items[i].last);
    out->failed = out->failed || list.failed;
    range_free(&list);
    return true;
}

static uint32_t hex(regex *p, size_t digits) {
    uint32_t value = 0;
    bool braces = digits != 2 && take(p, "{");
    size_t start = p->at;
    for (size_t i = 0; braces ? peek(p) != '}' : i < digits; i++, p->at++) {
        int c = peek(p), digit = c >= '0' && c <= '9'                 ? c - '0'
                                 : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                                      : -1;
        if (c < 0 || digit < 0 || value > 0xFFFFFF) {
            fail_at(p, start, INGOT_ERR_FORMAT, "expected hexadecimal digits");
            return 0;
        }
        value = value << 4 | (uint32_t)digit;
    }
    p->at += braces;
    return value;
}

// The character of an escape whose letter was taken.
static uint32_t escaped(regex *p, int c, size_t start) {
    static const char letters[] = "nrtfv0a", values[] = "\n\r\t\f\v\0\a";
    const char *found = c > 0 ? strchr(letters, c) : NULL;
    if (found)
        return (uint8_t)values[found - letters];
    if (c == 'x')
        return hex(p, 2);
    if (c == 'u' || c == 'U') {
        uint32_t cp = hex(p, c == 'u' ? 4 : 8);
        if (cp >= 0xD800 && cp <= 0xDBFF && take(p, "\\u")) { // a pair, as in JSON
            uint32_t low = hex(p, 4);
            if (low >= 0xDC00 && low <= 0xDFFF)
                return 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        }
        if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
            fail_at(p, start, INGOT_ERR_FORMAT, "the escape is no character");
        return cp;
    }
    if (c == 'c' && ((peek(p) | 32) >= 'a' && (peek(p) | 32) <= 'z'))
        return (uint32_t)p->text[p->at++] & 31;
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (c < 0)
        fail_at(p, start, INGOT_ERR_FORMAT, "a backslash at the end");
    else if (c == 'b' || c == 'B')
        fail_at(p, start, INGOT_ERR_UNSUPPORTED, "boundaries of words (\\b, \\B) aren't supported");
    else if ((c >= '1' && c <= '9') || c == 'k')
        fail_at(p, start, INGOT_ERR_UNSUPPORTED, "back references aren't supported");
    else if (letter)
        fail_at(p, start, INGOT_ERR_UNSUPPORTED, "an escape that isn't known");
    if (c >= 0x80) { // the rest of a character
        int n;
        uint32_t cp = utf8_decode(p->text + p->at - 1, p->size - p->at + 1, &n);
        p->at += (size_t)n - 1;
        return cp;
    }
    return (uint32_t)c;
}

static uint32_t plain(regex *p) {
    int n;
    uint32_t cp = utf8_decode(p->text + p->at, p->size - p->at, &n);
    if (cp == 0xFFFD && n == 1)
        fail_at(p, p->at, INGOT_ERR_FORMAT, "a byte that isn't UTF-8");
    p->at += (size_t)n;
    return cp;
}

// Adds the other case of ASCII letters.
static void add_cases(range_list *list) {
    for (size_t i = list->n; i-- > 0 && !list->failed;)
        for (int upper = 0; upper < 2; upper++) {
            uint32_t low = upper ? 'A' : 'a', first = list->items[i].first, last = list->items[i].last;
            first = first < low ? low : first;
            last = last > low + 25 ? low + 25 : last;
            if (first <= last)
                range_add(list, first ^ 32, last ^ 32);
        }
}

static int32_t class_node(regex *p, range_list *list, bool negated) {
    if (p->fold)
        add_cases(list);
    range_normalize(list);
    if (negated)
        range_negate(list);
    range_remove(list, 0xD800, 0xDFFF);
    int32_t node = -1;
    if (list->failed)
        ir_fail(p->g, INGOT_ERR_MEMORY, "cannot allocate a class of characters");
    else if (ok(p))
        node = ir_class(p->g, list->n > 0 ? &list->items[0].first : NULL, list->n, false);
    range_free(list);
    return node;
}

static uint32_t class_member(regex *p, range_list *list, bool *shorthand) {
    size_t start = p->at;
    *shorthand = false;
    if (!take(p, "\\"))
        return plain(p);
    int c = peek(p);
    p->at += c >= 0;
    if (c == 'b')
        return '\b';
    *shorthand = add_shorthand(p, c, list);
    return *shorthand ? 0 : escaped(p, c, start);
}

static int32_t class(regex *p) {
    size_t start = p->at++;
    bool negated = take(p, "^"), shorthand;
    range_list list = {.mem = p->g->mem};
    while (ok(p) && peek(p) >= 0 && peek(p) != ']') {
        size_t at = p->at;
        if (p->text[at] == '[' && at + 1 < p->size && p->text[at + 1] == ':')
            fail_at(p, at, INGOT_ERR_UNSUPPORTED, "classes by name, as [:alpha:], aren't supported");
        uint32_t first = class_member(p, &list, &shorthand), last = first;
        if (shorthand)
            continue;
        if (peek(p) == '-' && p->at + 1 < p->size && p->text[p->at + 1] != ']') {
            size_t dash = p->at++;
            last = class_member(p, &list, &shorthand);
            if (shorthand) { // a hyphen before \d is one
                range_add(&list, '-', '-');
                last = first;
            } else if (last < first) {
                fail_at(p, dash, INGOT_ERR_FORMAT, "a range that ends before it begins");
            }
        }
        range_add(&list, first, last);
    }
    if (ok(p) && !take(p, "]"))
        fail_at(p, start, INGOT_ERR_FORMAT, "a class without an end: expected ']'");
    return class_node(p, &list, negated);
}

// ------------------------------------------------------------------------------------------------- parts

static int32_t pair(regex *p, int32_t a, int32_t b) {
    return ingot_grammar_builder_sequence(p->g, (const int32_t[]){a, b}, 2);
}

static int32_t either(regex *p, int32_t a, int32_t b) {
    return a < 0 ? b : b < 0 ? a : ingot_grammar_builder_choice(p->g, (const int32_t[]){a, b}, 2);
}

static bool is_bound(const part *x, int how) {
    for (int i = 0; i < IR_BOUNDS; i++)
        if (i & how && x->nodes[i] >= 0)
            return true;
    return false;
}

// Whether a part is the empty text alone, however it is bound: what anchors stand beside.
static bool is_empty(const regex *p, const part *x) {
    for (int i = 0; i < IR_BOUNDS; i++) {
        const ir_node *node = x->nodes[i] >= 0 ? &p->g->nodes[x->nodes[i]] : NULL;
        if (node && (node->kind != IR_LITERAL || node->n > 0))
            return false;
    }
    return true;
}

// Joins the parts of a sequence from `first` on.
static part sequence(regex *p, size_t first) {
    size_t n = p->n_parts - first;
    part out = nothing;
    bool plain_parts = true;
    for (size_t i = 0; i < n; i++)
        plain_parts = plain_parts && !is_bound(&p->parts[first + i], IR_BEGINS | IR_ENDS);
    if (plain_parts) {
        int32_t *nodes = mem_alloc(p->g->mem, n, sizeof *nodes);
        for (size_t i = 0; nodes && i < n; i++)
            nodes[i] = p->parts[first + i].nodes[IR_FREE];
        if (!nodes)
            ir_fail(p->g, INGOT_ERR_MEMORY, "cannot allocate the parts of a regular expression");
        else if (ok(p))
            out.nodes[IR_FREE] = n == 1 ? nodes[0] : ingot_grammar_builder_sequence(p->g, nodes, n);
        mem_free(p->g->mem, nodes);
        return out;
    }
    out = p->parts[first];
    for (size_t i = 1; i < n && ok(p); i++) {
        const part next = p->parts[first + i];
        if ((is_bound(&next, IR_BEGINS) && !is_empty(p, &out)) ||
            (is_bound(&out, IR_ENDS) && !is_empty(p, &next))) {
            fail_at(p, p->at, INGOT_ERR_UNSUPPORTED,
                    "an anchor, ^ or $, is supported at the ends of alternatives alone");
            return out;
        }
        part joined = nothing;
        for (int a = 0; a < IR_BOUNDS; a++)
            for (int b = 0; b < IR_BOUNDS; b++)
                if (out.nodes[a] >= 0 && next.nodes[b] >= 0)
                    joined.nodes[a | b] =
                        either(p, joined.nodes[a | b], pair(p, out.nodes[a], next.nodes[b]));
        out = joined;
    }
    return out;
}

static void end_branch(regex *p) {
    size_t first = p->groups[p->n_groups - 1].first_part;
    if (p->n_parts == first)
        push_node(p, ingot_grammar_builder_literal(p->g, "", 0));
    if (!ok(p))
        return;
    part branch = sequence(p, first);
    p->n_parts = first;
    push(p, &p->branches, &p->n_branches, &p->branches_capacity, branch);
}

static part end_group(regex *p) {
    end_branch(p);
    const open_group open = p->groups[--p->n_groups];
    p->fold = open.fold;
    size_t n = p->n_branches - open.first_branch;
    part out = nothing;
    int32_t *nodes = mem_alloc(p->g->mem, n, sizeof *nodes);
    if (!nodes)
        ir_fail(p->g, INGOT_ERR_MEMORY, "cannot allocate the parts of a regular expression");
    for (int b = 0; b < IR_BOUNDS && nodes && ok(p); b++) {
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
            if (p->branches[open.first_branch + i].nodes[b] >= 0)
                nodes[k++] = p->branches[open.first_branch + i].nodes[b];
        if (k > 0)
            out.nodes[b] = k == 1 ? nodes[0] : ingot_grammar_builder_choice(p->g, nodes, k);
    }
    mem_free(p->g->mem, nodes);
    p->n_branches = open.first_branch;
    return out;
}

static void begin_group(regex *p) {
    if (!mem_reserve(p->g->mem, &p->groups, &p->groups_capacity, p->n_groups + 1, sizeof *p->groups)) {
        ir_fail(p->g, INGOT_ERR_MEMORY, "cannot allocate the groups of a regular expression");
        return;
    }
    p->groups[p->n_groups++] = (open_group){p->n_parts, p->n_branches, p->at, p->fold};
}

// What may stand behind a parenthesis.
static void group_kind(regex *p) {
    size_t start = p->at;
    begin_group(p);
    p->at++;
    if (!ok(p) || !take(p, "?") || take(p, ":"))
        return;
    if (take(p, "i:")) {
        p->fold = true;
    } else if (take(p, "i)") && p->n_groups > 1) { // for the rest of the group around
        p->n_groups--;
        p->fold = true;
    } else if (take(p, "=") || take(p, "!") || take(p, "<=") || take(p, "<!")) {
        fail_at(p, start, INGOT_ERR_UNSUPPORTED, "look-ahead and look-behind aren't supported");
    } else if (take(p, "<") || take(p, "P<")) { // names of groups
        while (peek(p) >= 0 && peek(p) != '>')
            p->at++;
        if (!take(p, ">"))
            fail_at(p, start, INGOT_ERR_FORMAT, "expected '>' after a group's name");
    } else {
        fail_at(p, start, INGOT_ERR_UNSUPPORTED,
                "a group that isn't known: expected (?:...), (?i:...) or (?<name>...)");
    }
}

static int32_t count(regex *p) {
    int64_t value = 0;
    size_t start = p->at;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++)
        value = value > IR_MAX_COUNT ? value : value * 10 + (peek(p) - '0');
    if (value > IR_MAX_COUNT)
        fail_at(p, start, INGOT_ERR_LIMIT, "a count above 1000000000");
    return (int32_t)(value > IR_MAX_COUNT ? 0 : value);
}

// {2}, {2,}, {2,3}; false if it is none, and the brace is a character.
static bool braces(regex *p, int32_t *min, int32_t *max) {
    size_t start = p->at++;
    size_t digits = p->at;
    *min = *max = count(p);
    bool found = p->at > digits;
    if (found && take(p, ","))
        *max = peek(p) == '}' ? -1 : count(p);
    if (found && take(p, "}"))
        return true;
    p->at = start;
    return false;
}

static void quantifiers(regex *p) {
    for (size_t start = p->at; ok(p); start = p->at) {
        int32_t min = 0, max = -1;
        int c = peek(p);
        if (c == '?')
            max = 1;
        else if (c == '+')
            min = 1;
        else if (c != '*' && (c != '{' || !braces(p, &min, &max)))
            return;
        p->at += c != '{';
        if (take(p, "+"))
            fail_at(p, start, INGOT_ERR_UNSUPPORTED, "possessive quantifiers aren't supported");
        (void)take(p, "?"); // lazy: the same texts
        if (ok(p) && max >= 0 && max < min)
            fail_at(p, start, INGOT_ERR_FORMAT, "a count whose end is below its beginning");
        part *last = &p->parts[p->n_parts - 1];
        if (ok(p) && is_bound(last, IR_BEGINS | IR_ENDS))
            fail_at(p, start, INGOT_ERR_UNSUPPORTED, "an anchor, ^ or $, can't be repeated");
        if (ok(p))
            last->nodes[IR_FREE] = ingot_grammar_builder_repeat(p->g, last->nodes[IR_FREE], min, max);
    }
}

static void push_anchor(regex *p, int how) {
    part anchor = nothing;
    anchor.nodes[how] = ingot_grammar_builder_literal(p->g, "", 0);
    p->at++;
    push(p, &p->parts, &p->n_parts, &p->parts_capacity, anchor);
}

static void atom(regex *p) {
    static const uint32_t line_ends[] = {'\n', '\n', '\r', '\r', 0x2028, 0x2029};
    size_t start = p->at;
    range_list list = {.mem = p->g->mem};
    int c = peek(p);
    if (c == '[') {
        push_node(p, class(p));
    } else if (c == '.') {
        p->at++;
        push_node(p, ir_class(p->g, line_ends, 3, true));
    } else if (c == '^' || c == '$') {
        push_anchor(p, c == '^' ? IR_BEGINS : IR_ENDS);
    } else if (c == '*' || c == '+' || c == '?') {
        fail_at(p, start, INGOT_ERR_FORMAT, "a quantifier without something to repeat");
    } else if (c == '\\') {
        c = start + 1 < p->size ? (uint8_t)p->text[start + 1] : -1;
        p->at += c >= 0 ? 2 : 1;
        if (c == 'A' || c == 'z' || c == 'Z') {
            p->at--;
            push_anchor(p, c == 'A' ? IR_BEGINS : IR_ENDS);
        } else {
            if (!add_shorthand(p, c, &list)) {
                uint32_t cp = escaped(p, c, start);
                range_add(&list, cp, cp);
            }
            push_node(p, class_node(p, &list, false));
        }
    } else {
        uint32_t cp = plain(p);
        range_add(&list, cp, cp);
        push_node(p, class_node(p, &list, false));
    }
}

static part parse(regex *p) {
    begin_group(p);
    while (ok(p) && p->at < p->size) {
        int c = peek(p);
        if (c == '(') {
            group_kind(p);
        } else if (c == '|') {
            end_branch(p);
            p->at++;
        } else if (c == ')') {
            if (p->n_groups == 1) {
                fail_at(p, p->at, INGOT_ERR_FORMAT, "a ')' without a '('");
                break;
            }
            part inside = end_group(p);
            p->at++;
            push(p, &p->parts, &p->n_parts, &p->parts_capacity, inside);
            quantifiers(p);
        } else {
            atom(p);
            quantifiers(p);
        }
    }
    if (ok(p) && p->n_groups > 1)
        fail_at(p, p->groups[p->n_groups - 1].at, INGOT_ERR_FORMAT, "a '(' without a ')'");
    return ok(p) ? end_group(p) : nothing;
}

void ir_regex(ir *g, const char *pattern, size_t size, int32_t nodes[IR_BOUNDS]) {
    regex p = {.g = g, .text = pattern, .size = size};
    const part whole = parse(&p);
    memcpy(nodes, whole.nodes, sizeof whole.nodes);
    mem_free(g->mem, p.parts);
    mem_free(g->mem, p.branches);
    mem_free(g->mem, p.groups);
}

int32_t ingot_grammar_builder_regex(ingot_grammar_builder *g, const char *pattern, size_t size, bool search) {
    regex p = {.g = g, .text = pattern, .size = size};
    int32_t nodes[IR_BOUNDS], out = -1;
    ir_regex(g, pattern, size, nodes);
    int32_t any = search && ok(&p) ? ingot_grammar_builder_repeat(g, ir_class(g, NULL, 0, true), 0, -1) : -1;
    for (int b = 0; b < IR_BOUNDS && ok(&p); b++) {
        int32_t node = nodes[b];
        if (node < 0)
            continue;
        if (search && !(b & IR_BEGINS))
            node = pair(&p, any, node);
        if (search && !(b & IR_ENDS))
            node = pair(&p, node, any);
        out = either(&p, out, node);
    }
    return ok(&p) ? out : -1;
}
