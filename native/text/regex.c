#include "text/regex.h"

#include <string.h>

#include "base/utf8.h"
#include "text/regex_program.h"

#define MAX_STATES    16384 // of the automaton; jais-2 needs about 4000, the others under 200
#define MAX_CLASSES   128
#define NOT_A_START   0xFF // in `classes`: a byte inside a code point
#define STATE_AT_END  0
#define WORDS(n_bits) (((n_bits) + 63) / 64)

struct regex {
    uint16_t n_steps;
    regex_step *steps;
    // Code points that no set tells apart are one class. ascii[] has the class of the first 128, and
    // run_class[i] that of code points from run_first[i] on.
    uint8_t ascii[128];
    uint32_t *run_first;
    uint8_t *run_class;
    size_t n_runs;
    size_t n_classes;
    // State s of the automaton is the set of steps alive[s * words ..] from which a match can be completed;
    // next[s * n_classes + c] is the state one character of class c further left.
    size_t words;
    uint64_t *alive;
    uint16_t *next;
};

// ------------------------------------------------------------------------------------------ classes

typedef struct class_builder {
    const regex_program *program;
    regex *r;
    uint64_t signatures[MAX_CLASSES]; // of a class: bit i is set if set i has its characters
} class_builder;

// The next code point after `cp` at which some set may begin or end; `run` is the category run that holds
// `cp`.
static uint32_t next_boundary(const regex_program *program, uint32_t cp, const unicode_range *run) {
    uint32_t next = run->last + 1;
    for (int i = 0; i < program->n_ranges; i++) {
        const unicode_range *r = &program->ranges[i];
        if (r->first > cp && r->first < next)
            next = r->first;
        if (r->last >= cp && r->last + 1 < next)
            next = r->last + 1;
    }
    return cp < 128 && cp + 1 < next ? cp + 1 : next;
}

static ingot_status find_class(class_builder *b, uint64_t signature, uint8_t *class, ingot_error *err) {
    size_t c = 0;
    while (c < b->r->n_classes && b->signatures[c] != signature)
        c++;
    if (c == MAX_CLASSES)
        return fail(err, INGOT_ERR_LIMIT, "regular expression: too many kinds of characters");
    if (c == b->r->n_classes)
        b->signatures[b->r->n_classes++] = signature;
    *class = (uint8_t)c;
    return INGOT_OK;
}

// Counts the runs of equal class and, if there is room for them, stores them.
static ingot_status walk_runs(class_builder *b, ingot_error *err) {
    regex *r = b->r;
    r->n_runs = 0;
    int last_class = -1;
    size_t category_run = 0;
    unicode_range run = {0, 0};
    unicode_category category = UNICODE_CN;
    unicode_category_run(0, &run, &category);
    for (uint32_t cp = 0; cp <= UNICODE_MAX; cp = next_boundary(b->program, cp, &run)) {
        if (cp > run.last)
            unicode_category_run(++category_run, &run, &category);
        uint64_t signature = 0;
        for (int i = 0; i < b->program->n_sets; i++)
            if (regex_set_has(b->program, &b->program->sets[i], cp, category))
                signature |= UINT64_C(1) << i;
        uint8_t class = 0;
        TRY(find_class(b, signature, &class, err));
        if (cp < 128)
            r->ascii[cp] = class;
        if (class == last_class)
            continue;
        last_class = class;
        if (r->run_first) {
            r->run_first[r->n_runs] = cp;
            r->run_class[r->n_runs] = class;
        }
        r->n_runs++;
    }
    return INGOT_OK;
}

static ingot_status build_classes(class_builder *b, const ingot_allocator *mem, ingot_error *err) {
    regex *r = b->r;
    TRY(walk_runs(b, err));
    uint32_t *first = mem_alloc(mem, r->n_runs, sizeof *first);
    r->run_class = mem_alloc(mem, r->n_runs, sizeof *r->run_class);
    r->run_first = first;
    if (!first || !r->run_class)
        return fail_memory(err, r->n_runs * 5, "a regular expression");
    return walk_runs(b, err);
}

// ------------------------------------------------------------------------------------------ automaton

typedef struct automaton_builder {
    const class_builder *classes;
    regex *r;
    const ingot_allocator *mem;
    size_t n_states;
    size_t capacity;
    uint16_t *slots; // hash table of states + 1
    size_t n_slots;
    uint16_t moves[REGEX_MAX_STEPS]; // the steps that take no character
    size_t n_moves;
} automaton_builder;

static bool bit(const uint64_t *set, size_t i) {
    return (set[i / 64] >> (i % 64)) & 1;
}

static void put_bit(uint64_t *set, size_t i, bool value) {
    uint64_t mask = UINT64_C(1) << (i % 64);
    set[i / 64] = value ? set[i / 64] | mask : set[i / 64] & ~mask;
}

// Completes `alive`, where the steps that take a character are decided, for the steps that take none. They
// depend on one another without cycles (a loop always takes a character), so this settles.
static void settle(const automaton_builder *a, uint64_t *alive, bool at_end) {
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = a->n_moves; i-- > 0;) {
            size_t pc = a->moves[i];
            const regex_step *s = &a->r->steps[pc];
            bool value;
            switch (s->op) {
            case REGEX_FORK:
                value = bit(alive, s->x) || bit(alive, s->y);
                break;
            case REGEX_JUMP:
                value = bit(alive, s->x);
                break;
            case REGEX_LOOK:
                value = bit(alive, s->x) && bit(alive, s->y);
                break;
            case REGEX_LOOK_NOT:
                value = !bit(alive, s->x) && bit(alive, s->y);
                break;
            case REGEX_END:
                value = at_end && bit(alive, pc + 1);
                break;
            default:
                value = true;
                break;
            }
            if (value != bit(alive, pc)) {
                put_bit(alive, pc, value);
                changed = true;
            }
        }
    }
}

static size_t hash_words(const uint64_t *words, size_t n) {
    uint64_t h = 0;
    for (size_t i = 0; i < n; i++)
        h = (h ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15), h ^= h >> 29;
    return (size_t)h;
}

static ingot_status grow_states(automaton_builder *a, ingot_error *err) {
    regex *r = a->r;
    size_t capacity = a->capacity ? a->capacity * 2 : 64;
    uint64_t *alive = mem_resize(a->mem, r->alive, capacity * r->words, sizeof *alive);
    if (alive)
        r->alive = alive;
    uint16_t *next = mem_resize(a->mem, r->next, capacity * r->n_classes, sizeof *next);
    if (next)
        r->next = next;
    uint16_t *slots = mem_alloc(a->mem, capacity * 2, sizeof *slots);
    if (!alive || !next || !slots) {
        mem_free(a->mem, slots);
        return fail_memory(err, capacity * r->words * 8, "a regular expression");
    }
    mem_free(a->mem, a->slots);
    a->slots = slots;
    a->n_slots = capacity * 2;
    a->capacity = capacity;
    for (size_t s = 0; s < a->n_states; s++) {
        size_t i = hash_words(alive + s * r->words, r->words) & (a->n_slots - 1);
        while (slots[i])
            i = (i + 1) & (a->n_slots - 1);
        slots[i] = (uint16_t)(s + 1);
    }
    return INGOT_OK;
}

// The state for `set`, a new one if need be.
static ingot_status intern(automaton_builder *a, const uint64_t *set, uint16_t *state, ingot_error *err) {
    regex *r = a->r;
    if (a->n_states == a->capacity)
        TRY(grow_states(a, err));
    size_t i = hash_words(set, r->words) & (a->n_slots - 1);
    for (; a->slots[i]; i = (i + 1) & (a->n_slots - 1)) {
        size_t s = a->slots[i] - 1u;
        if (memcmp(r->alive + s * r->words, set, r->words * sizeof *set) == 0)
            return *state = (uint16_t)s, INGOT_OK;
    }
    if (a->n_states == MAX_STATES)
        return fail(err, INGOT_ERR_LIMIT, "regular expression: the automaton has over %d states", MAX_STATES);
    memcpy(r->alive + a->n_states * r->words, set, r->words * sizeof *set);
    *state = (uint16_t)a->n_states++;
    a->slots[i] = (uint16_t)(*state + 1);
    return INGOT_OK;
}

// The steps that take a character just left of where the state is `right`: those of `takers`, which can take
// it, whose next step is alive there.
static void take_character(const automaton_builder *a, const uint64_t *takers, const uint64_t *right,
                           uint64_t *set) {
    size_t words = a->r->words;
    for (size_t i = 0; i < words; i++) {
        uint64_t from_next_word = i + 1 < words ? right[i + 1] << 63 : 0;
        set[i] = (right[i] >> 1 | from_next_word) & takers[i];
    }
}

static ingot_status build_states(automaton_builder *a, const uint64_t *takers, ingot_error *err) {
    regex *r = a->r;
    uint64_t set[WORDS(REGEX_MAX_STEPS + 1)] = {0};
    uint16_t state = 0;
    settle(a, set, true);
    TRY(intern(a, set, &state, err));
    for (size_t s = 0; s < a->n_states; s++) {
        for (size_t c = 0; c < r->n_classes; c++) {
            take_character(a, takers + c * r->words, r->alive + s * r->words, set);
            settle(a, set, false);
            TRY(intern(a, set, &state, err));
            r->next[s * r->n_classes + c] = state;
        }
    }
    return INGOT_OK;
}

static ingot_status build_automaton(automaton_builder *a, ingot_error *err) {
    regex *r = a->r;
    uint64_t *takers = mem_alloc(a->mem, r->n_classes * r->words, sizeof *takers); // [class, words] of bits
    if (!takers)
        return fail_memory(err, r->n_classes * r->words * sizeof *takers, "a regular expression");
    for (size_t pc = 0; pc < r->n_steps; pc++) {
        if (r->steps[pc].op != REGEX_SET) {
            a->moves[a->n_moves++] = (uint16_t)pc;
            continue;
        }
        for (size_t c = 0; c < r->n_classes; c++)
            put_bit(takers + c * r->words, pc, (a->classes->signatures[c] >> r->steps[pc].x) & 1);
    }
    ingot_status status = build_states(a, takers, err);
    mem_free(a->mem, takers);
    mem_free(a->mem, a->slots);
    return status;
}

static ingot_status build(const char *pattern, regex_program *program, regex *r, const ingot_allocator *mem,
                          ingot_error *err) {
    TRY(regex_parse(pattern, program, err));
    r->n_steps = program->n_steps;
    r->words = WORDS(program->n_steps + 1u);
    r->steps = mem_alloc(mem, r->n_steps, sizeof *r->steps);
    if (!r->steps)
        return fail_memory(err, r->n_steps * sizeof *r->steps, "a regular expression");
    memcpy(r->steps, program->steps, r->n_steps * sizeof *r->steps);
    class_builder classes = {.program = program, .r = r};
    TRY(build_classes(&classes, mem, err));
    automaton_builder automaton = {.classes = &classes, .r = r, .mem = mem};
    return build_automaton(&automaton, err);
}

ingot_status regex_new(const char *pattern, const ingot_allocator *mem, regex **out, ingot_error *err) {
    *out = NULL;
    regex *r = mem_alloc(mem, 1, sizeof *r);
    regex_program *program = mem_alloc(mem, 1, sizeof *program);
    ingot_status status = INGOT_OK;
    if (!r || !program)
        status = fail_memory(err, sizeof *r + sizeof *program, "a regular expression");
    else
        status = build(pattern, program, r, mem, err);
    mem_free(mem, program);
    if (status == INGOT_OK)
        *out = r;
    else
        regex_free(r, mem);
    return status;
}

void regex_free(regex *r, const ingot_allocator *mem) {
    if (!r)
        return;
    mem_free(mem, r->steps);
    mem_free(mem, r->run_first);
    mem_free(mem, r->run_class);
    mem_free(mem, r->alive);
    mem_free(mem, r->next);
    mem_free(mem, r);
}

// ------------------------------------------------------------------------------------------ matching

static size_t find_run(const regex *r, uint32_t cp) {
    size_t low = 0;
    size_t high = r->n_runs;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (r->run_first[middle] <= cp)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void classify(const regex *r, const char *text, size_t size, uint8_t *classes) {
    size_t run = 0;
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)text[i];
        if (c < 128) {
            classes[i++] = r->ascii[c];
            continue;
        }
        int n;
        uint32_t cp = utf8_decode(text + i, size - i, &n);
        bool same_run = r->run_first[run] <= cp && (run + 1 == r->n_runs || cp < r->run_first[run + 1]);
        if (!same_run)
            run = find_run(r, cp);
        classes[i] = r->run_class[run];
        memset(classes + i + 1, NOT_A_START, (size_t)n - 1);
        i += (size_t)n;
    }
}

typedef struct piece {
    const regex *r;
    const regex_scratch *scratch;
    size_t end;
} piece;

static bool can_match(const piece *p, size_t pc, size_t at) {
    return bit(p->r->alive + p->scratch->states[at] * p->r->words, pc);
}

static size_t next_start(const piece *p, size_t at) {
    do
        at++;
    while (at < p->end && p->scratch->classes[at] == NOT_A_START);
    return at;
}

// The end of the match at `at`, where one is known to be.
static size_t follow(const piece *p, size_t at) {
    size_t pc = 0;
    for (;;) {
        const regex_step *s = &p->r->steps[pc];
        switch (s->op) {
        case REGEX_SET:
            at = next_start(p, at);
            pc++;
            break;
        case REGEX_FORK:
            pc = can_match(p, s->x, at) ? s->x : s->y;
            break;
        case REGEX_JUMP:
            pc = s->x;
            break;
        case REGEX_LOOK:
        case REGEX_LOOK_NOT:
            pc = s->y;
            break;
        case REGEX_END:
            pc++;
            break;
        default:
            return at;
        }
    }
}

static void split_piece(const piece *p, size_t begin, uint8_t *cuts) {
    const regex *r = p->r;
    uint16_t *states = p->scratch->states;
    uint16_t state = STATE_AT_END;
    states[p->end] = state;
    for (size_t i = p->end; i-- > begin;) {
        uint8_t class = p->scratch->classes[i];
        if (class == NOT_A_START)
            continue;
        state = r->next[state * r->n_classes + class];
        states[i] = state;
    }
    for (size_t at = begin; at < p->end;) {
        if (!can_match(p, 0, at)) {
            at = next_start(p, at);
            continue;
        }
        size_t end = follow(p, at);
        cuts[at] = 1;
        at = end > at ? end : next_start(p, at);
        if (at < p->end && end == at)
            cuts[at] = 1;
    }
}

void regex_split(const regex *r, const char *text, size_t size, uint8_t *cuts, const regex_scratch *scratch) {
    classify(r, text, size, scratch->classes);
    for (size_t begin = 0; begin < size;) {
        const uint8_t *cut = memchr(cuts + begin + 1, 1, size - begin - 1);
        piece p = {r, scratch, cut ? (size_t)(cut - cuts) : size};
        split_piece(&p, begin, cuts);
        begin = p.end;
    }
}
