#include "grammar/members.h"

#include <string.h>

#define IMPOSSIBLE UINT32_MAX

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
    uint32_t cheapest;
    uint64_t bytes; // of the missing ones
    bool lost;      // one is missing that can't come any more
} outlook;

static outlook look(const member_set *s, const uint32_t *taken) {
    outlook o = {0, 0, IMPOSSIBLE, 0, false};
    for (uint32_t i = 0; i < s->n; i++) {
        const set_member *m = &s->members[i];
        bool missing = m->flags & IR_REQUIRED && !has(taken, i), open = is_open(s, taken, i);
        o.lost = o.lost || (missing && !open);
        o.missing += missing;
        o.bytes += missing ? m->shortest : 0;
        if (!open || (missing && !(m->flags & IR_REPEATABLE)))
            continue;
        o.others = m->flags & IR_REPEATABLE ? IMPOSSIBLE : o.others == IMPOSSIBLE ? IMPOSSIBLE : o.others + 1;
        o.cheapest = m->shortest < o.cheapest ? m->shortest : o.cheapest;
    }
    return o;
}

// How many members must come besides the missing ones; IMPOSSIBLE if that many can't.
static uint32_t more(const member_set *s, const uint32_t *taken, const outlook *o) {
    uint64_t members = (uint64_t)taken[0] + o->missing;
    if (o->lost || members > s->max)
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
    if (separators > 0 && s->separator == IMPOSSIBLE)
        return IMPOSSIBLE;
    uint64_t bytes = o.bytes + (extra > 0 ? (uint64_t)extra * o.cheapest : 0) +
                     (separators > 0 ? separators * s->separator : 0);
    return bytes >= IMPOSSIBLE ? IMPOSSIBLE - 1 : (uint32_t)bytes;
}
