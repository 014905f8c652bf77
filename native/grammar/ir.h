// A grammar as front ends build it: an arena of nodes, children before their parents except through rules.
//
//   ir.c        the builder's calls             analyse.c   what nodes match at least, which are regular
//   regex.c     ) front ends: text              rtn.c       nodes to a network of rules over lexemes
//   gbnf.c      ) to nodes                      compile.c   all of it in turn
#ifndef INGOT_GRAMMAR_IR_H
#define INGOT_GRAMMAR_IR_H

#include "base/mem.h"
#include "base/status.h"

#define IR_MAX_NODES   (1u << 22)
#define IR_MAX_WORDS   (1u << 25)
#define IR_MAX_COUNT   1000000000 // of repetitions
#define IR_MAX_MESSAGE 200        // bytes of a warning
#define IR_UNBOUNDED   UINT32_MAX

typedef enum ir_kind {
    IR_LITERAL, // bytes[first .. first + n]
    IR_CLASS,   // characters in n ranges: words[first + 2 * i] to words[first + 2 * i + 1], ascending, apart
    IR_BYTE,    // one byte of n such ranges
    IR_SEQUENCE,
    IR_CHOICE,
    IR_REPEAT,     // words[first], min to max times
    IR_BOTH,       // all of words[first .. first + n]
    IR_COMPLEMENT, // UTF-8 texts that aren't words[first]
    IR_RULE,       // rules[first]
    IR_TOKENS,     // one of n ids, ascending; `negated`: another one
    IR_TAG,        // words[first], reported as `min`
    IR_SET,        // the separator, then n members: node and flags
} ir_kind;

enum { IR_REQUIRED = 1, IR_REPEATABLE = 2 };

typedef struct ir_node {
    uint8_t kind;
    bool negated; // IR_SET: ordered
    uint32_t first;
    uint32_t n;
    uint32_t min;
    uint32_t max; // IR_UNBOUNDED: without end
} ir_node;

typedef struct ir_rule {
    uint32_t name; // in `bytes`
    uint32_t name_size;
    uint32_t body; // a node; IR_UNBOUNDED until it is defined
} ir_rule;

typedef struct ingot_grammar_builder {
    const ingot_allocator *mem;
    const ingot_token_trie *trie;
    ir_node *nodes;
    size_t n_nodes, nodes_capacity;
    uint32_t *words;
    size_t n_words, words_capacity;
    char *bytes;
    size_t n_bytes, bytes_capacity;
    ir_rule *rules;
    size_t n_rules, rules_capacity;
    char **warnings;
    size_t n_warnings, warnings_capacity;
    ingot_status status; // of the first failure
    ingot_error err;
} ir;

ingot_status ir_new(const ingot_allocator *mem, const ingot_token_trie *trie, ir **out, ingot_error *err);

// Remembers a failure unless there was one; -1, which is what a builder's call returns then.
int32_t ir_fail(ir *g, ingot_status status, const char *fmt, ...) PRINTF_LIKE(3, 4);

// Remembers what is odd about a text that was read.
void ir_warn(ir *g, const char *fmt, ...) PRINTF_LIKE(2, 3);

// Characters within ranges in any order, overlapping perhaps; as ingot_grammar_builder_class otherwise.
int32_t ir_class(ir *g, const uint32_t *ranges, size_t n, bool negated);

// Reads a regular expression: a node for what matches anywhere, and for what the anchors ^ and $ bind to the
// text's beginning, its end, or both; -1 where there is none, and after a failure.
enum { IR_FREE = 0, IR_BEGINS = 1, IR_ENDS = 2, IR_BOUNDS = 4 };
void ir_regex(ir *g, const char *pattern, size_t size, int32_t nodes[IR_BOUNDS]);

// The words of a node; NULL if it has none.
static inline const uint32_t *ir_children(const ir *g, const ir_node *node) {
    return node->first < g->n_words ? g->words + node->first : NULL;
}

// A rule's name, for messages: at most 60 bytes of it.
static inline int ir_name_size(const ir_rule *rule) {
    return rule->name_size < 60 ? (int)rule->name_size : 60;
}

#endif
