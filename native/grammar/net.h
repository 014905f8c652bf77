// A compiled grammar: a network of rules, each a small automaton whose edges take a lexeme (a term, see
// rx.h), a token, or a whole rule. What is regular was made part of lexemes, so a network has few states.
//
// Rules that count (repetitions of what isn't regular, sets) have a number, their data: how many rounds are
// behind, or which members (a number of the matchers' table, see data.h). Steps are edges that take nothing
// but look at the data or change it.
#ifndef INGOT_GRAMMAR_NET_H
#define INGOT_GRAMMAR_NET_H

#include "grammar/analyse.h"
#include "grammar/members.h"

typedef enum edge_kind {
    EDGE_EMPTY,
    EDGE_LEXEME, // arg: a term
    EDGE_CALL,   // arg: a rule
    EDGE_SOME,   // arg: a rule, of which the empty text doesn't count
    EDGE_TOKENS, // arg: a set of tokens
    EDGE_ENTER,  // arg: a tag begins
    EDGE_LEAVE,  // arg: it ends
    EDGE_ROUND,  // begins another round, if there may be one
    EDGE_COUNT,  // ends it
    EDGE_ENOUGH, // passes if there were rounds enough
    EDGE_FIRST,  // passes if no member of a set was taken
    EDGE_NEXT,   // passes if one was and another one can come
    EDGE_TAKE,   // arg: a member is taken, if it may be
    EDGE_DONE,   // passes if no member is missing
} edge_kind;

typedef struct net_edge {
    uint8_t kind;
    uint32_t arg;
    uint32_t target; // a state
    uint32_t state;  // where it begins
} net_edge;

typedef struct net_state {
    uint32_t first_edge; // edges[first_edge .. the next state's]
    uint32_t rule;
    uint32_t rest; // bytes from here to the rule's end at least, if its data asks for nothing
    bool final;    // the rule's end, which has no edges
    bool tail;     // leads to it in any case, and nowhere else
} net_state;

typedef enum rule_kind {
    RULE_PLAIN,
    RULE_COUNT,
    RULE_SET,
} rule_kind;

typedef struct net_rule {
    uint8_t kind;
    bool nullable;
    uint32_t start, end; // states
    uint32_t round;      // of rules that count: the state between rounds or members
    uint32_t choose;     // of sets: the state before a member
    uint32_t min, max;   // rounds
    uint32_t each;       // bytes of a round at least
    uint32_t shortest;   // of the whole rule
    uint32_t set;        // of rules of that kind
    uint32_t name;       // the rule of the builder's that it is part of; ANALYSE_NONE: the root's node
} net_rule;

typedef struct token_set {
    uint32_t first, n; // ranges, words[first + 2 * i] to words[first + 2 * i + 1]
    bool negated;
} token_set;

typedef struct net {
    const ingot_allocator *mem;
    net_edge *edges;
    size_t n_edges, edges_capacity;
    net_state *states; // [n_states + 1]
    size_t n_states, states_capacity;
    net_rule *rules; // the first is the root's
    size_t n_rules, rules_capacity;
    member_set *sets;
    size_t n_sets, sets_capacity;
    set_member *members; // of all sets
    size_t n_members, members_capacity;
    token_set *token_sets;
    size_t n_token_sets, token_sets_capacity;
    uint32_t *words;
    size_t n_words, words_capacity;
    char *names; // of the builder's rules: name[i] to name[i + 1]
    uint32_t *name;
    bool tagged; // has EDGE_ENTER
} net;

ingot_status net_build(const ir *g, uint32_t root, analysis *a, rx_pool *pool, net *out, ingot_error *err);
void net_free(net *n);

// Bytes from a state with this data to its rule's end at least; `taken`: what a set's data stands for.
uint32_t net_rest(const net *n, uint32_t state, uint32_t data, const uint32_t *taken);

// The name of a rule, for messages.
ingot_str net_rule_name(const net *n, uint32_t rule);

// Whether the set holds this token. One that `ends` generation must be named.
bool net_has_token(const net *n, uint32_t set, int32_t token, bool ends);

#endif
