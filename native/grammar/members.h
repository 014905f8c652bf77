// Sets of members that come in any order: which one may come next, and when all is there.
#ifndef INGOT_GRAMMAR_MEMBERS_H
#define INGOT_GRAMMAR_MEMBERS_H

#include "grammar/ir.h"

#define MEMBERS_MOST 8192

typedef struct set_member {
    uint32_t flags;    // IR_REQUIRED, IR_REPEATABLE
    uint32_t shortest; // bytes; RX_INF: nothing matches it
} set_member;

typedef struct member_set {
    const set_member *members; // [n]
    uint32_t n;
    uint32_t min, max;  // how many in all; IR_UNBOUNDED: without end
    uint32_t separator; // bytes at least
    bool ordered;
} member_set;

// What was taken, as words: how many members, as far as that matters, the number of the last one + 1 (of
// ordered sets), then a bit for each member.
#define MEMBERS_WORDS(n) (2 + ((n) + 31) / 32)

// The set of a node of kind IR_SET, whose separator has at least so many bytes; RX_INF: nothing matches it,
// so that no second member can come.
member_set members_of(const set_member *members, const ir_node *node, uint32_t separator);

// Whether member `i` may come after `taken` and leave a way to the end.
bool members_may_take(const member_set *s, const uint32_t *taken, uint32_t i);
void members_take(const member_set *s, uint32_t *taken, uint32_t i);

// Whether another member may come; whether none must.
bool members_may_go_on(const member_set *s, const uint32_t *taken);
bool members_done(const member_set *s, const uint32_t *taken);

// Bytes that are missing at least, with a separator before each member but the first of all; with `next` a
// member must come, whose separator is behind. UINT32_MAX if there is no way to the end.
uint32_t members_shortest(const member_set *s, const uint32_t *taken, bool next);

#endif
