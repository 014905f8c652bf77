#include "grammar/members.h"

#include <string.h>

#define IMPOSSIBLE UINT32_MAX

member_set members_of(const set_member *members, const ir_node *node, uint32_t separator) {
    const uint32_t max = separator == IMPOSSIBLE && node->max > 1 ? 1 : node->max;
    return (member_set){members, node->n, node->min, max, separator, node->negated};
}

static bool has(const uint32_t *taken, uint32_t i) {
    return taken[2 + i / 32] >> (i % 32) & 1;
}

// Whether a member that exists may still come.
static bool is_open(const member_set *s, const uint32_t *taken, uint32_t i) {
    bool repeatable = s->members[i].flags & IR_REPEATABLE;
    if (s->members[i].shortest == IMPOSSIBLE || (has(taken, i) && !repeatable))
        return false;
    return !s->ordered || i + 1 > taken[1] || (repeatable && i + 1 == taken[1]);
}

typedef struct outlook {
    uint32_t missing; // required members that didn't come
    uint32_t others;  // members that may come besides; IMPOSSIBLE: any number
    uint64_t bytes;   // of the missing ones
    bool lost;        // one is missing that can't come any more
} outlook;

static bool is_missing(const member_set *s, const uint32_t *taken, uint32_t i) {
    return s->members[i].flags & IR_REQUIRED && !has(taken, i);
}

// How often a member may come besides the missing ones; IMPOSSIBLE: any number of times.
static uint32_t spare(const member_set *s, const uint32_t *taken, uint32_t i) {
    if (!is_open(s, taken, i))
        return 0;
    return s->members[i].flags & IR_REPEATABLE ? IMPOSSIBLE : !is_missing(s, taken, i);
}

static uint32_t add(uint32_t a, uint32_t b) {
    return a > IMPOSSIBLE - b ? IMPOSSIBLE : a + b;
}

static outlook look(const member_set *s, const uint32_t *taken) {
    outlook o = {0, 0, 0, false};
    for (uint32_t i = 0; i < s->n; i++) {
        bool missing = is_missing(s, taken, i);
        o.lost = o.lost || (missing && !is_open(s, taken, i));
        o.missing += missing;
        o.bytes += missing ? s->members[i].shortest : 0;
        o.others = add(o.others, spare(s, taken, i));
    }
    return o;
}

// How many members must come besides the missing ones; IMPOSSIBLE if that many can't.
static uint32_t more(const member_set *s, const uint32_t *taken, const outlook *o) {
    uint64_t members = (uint64_t)taken[0] + o->missing;
    if (o->lost || members > s->max || s->min > s->max)
        return IMPOSSIBLE;
    uint64_t wanted = members < s->min ? s->min - members : 0;
    return wanted > o->others ? IMPOSSIBLE : (uint32_t)wanted;
}

void members_take(const member_set *s, uint32_t *taken, uint32_t i) {
    // What doesn't matter isn't told apart.
    uint32_t most = s->max != IR_UNBOUNDED ? s->max : s->min > 1 ? s->min : 1;
    taken[0] = taken[0] < most ? taken[0] + 1 : most;
    taken[1] = s->ordered ? i + 1 : 0;
    if (!(s->members[i].flags & IR_REPEATABLE) || s->members[i].flags & IR_REQUIRED)
        taken[2 + i / 32] |= 1u << (i % 32);
}

bool members_may_take(const member_set *s, const uint32_t *taken, uint32_t i) {
    if (taken[0] >= s->max || !is_open(s, taken, i))
        return false;
    if (!s->ordered && s->max == IR_UNBOUNDED)
        return true;                             // taking one never closes the way of another
    if (s->max == IR_UNBOUNDED && s->min == 0) { // nor does it here, but for those that were passed over
        for (uint32_t k = taken[1]; k < i; k++)
            if (s->members[k].flags & IR_REQUIRED && !has(taken, k))
                return false;
        return true;
    }
    uint32_t words[MEMBERS_WORDS(MEMBERS_MOST)];
    memcpy(words, taken, MEMBERS_WORDS(s->n) * sizeof *words);
    members_take(s, words, i);
    outlook o = look(s, words);
    return more(s, words, &o) != IMPOSSIBLE;
}

bool members_may_go_on(const member_set *s, const uint32_t *taken) {
    if (taken[0] == 0)
        return false;
    for (uint32_t i = 0; i < s->n; i++)
        if (members_may_take(s, taken, i))
            return true;
    return false;
}

bool members_done(const member_set *s, const uint32_t *taken) {
    outlook o = look(s, taken);
    return o.missing == 0 && taken[0] >= s->min;
}

// The bytes of the `n` cheapest members that may come besides the missing ones; there are that many. The
// dearest of them is found by halving.
static uint64_t cheapest(const member_set *s, const uint32_t *taken, uint32_t n) {
    uint32_t low = 0, high = n > 0 ? IMPOSSIBLE - 1 : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, enough = 0;
        for (uint32_t i = 0; i < s->n; i++)
            enough = s->members[i].shortest <= middle ? add(enough, spare(s, taken, i)) : enough;
        high = enough >= n ? middle : high;
        low = enough >= n ? low : middle + 1;
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->n && n > 0; i++)
        if (s->members[i].shortest < high && spare(s, taken, i)) {
            bytes += s->members[i].shortest;
            n--;
        }
    return bytes + (uint64_t)n * high;
}

uint32_t members_shortest(const member_set *s, const uint32_t *taken, bool next) {
    outlook o = look(s, taken);
    uint32_t extra = more(s, taken, &o);
    if (extra == IMPOSSIBLE)
        return IMPOSSIBLE;
    uint64_t members = (uint64_t)o.missing + extra;
    if (next && members == 0) {
        if (o.others == 0 || taken[0] >= s->max)
            return IMPOSSIBLE;
        members = extra = 1;
    }
    uint64_t separators = members > 0 && (next || taken[0] == 0) ? members - 1 : members;
    uint64_t bytes = o.bytes + cheapest(s, taken, extra) + (separators > 0 ? separators * s->separator : 0);
    return bytes >= IMPOSSIBLE ? IMPOSSIBLE - 1 : (uint32_t)bytes;
}
