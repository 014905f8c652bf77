// A vocabulary's tokens as a trie of their bytes that lies in memory in the order in which it is walked, and
// what is known of its tokens beforehand.
#ifndef INGOT_GRAMMAR_TOKEN_TRIE_H
#define INGOT_GRAMMAR_TOKEN_TRIE_H

#include "base/mem.h"
#include "base/status.h"

// A node, 64 bits: its token, how many nodes it and those below it are, its depth, its byte. Nodes below
// follow it at once.
#define TRIE_NO_TOKEN    0xFFFFFFu
#define TRIE_MAX_DEPTH   254 // longer tokens are in `tall`
#define TRIE_TOKEN(node) ((uint32_t)((node) >> 40))
#define TRIE_SIZE(node)  ((uint32_t)((node) >> 16) & 0xFFFFFFu)
#define TRIE_DEPTH(node) ((uint32_t)((node) >> 8) & 0xFFu)
#define TRIE_BYTE(node)  ((uint32_t)(node)&0xFFu)

typedef struct trie_nodes {
    uint64_t *items;
    size_t n, capacity;
    uint32_t depth; // of the deepest
} trie_nodes;

// Texts that many places of grammars allow whole: a character of UTF-8 that may begin, then others. Of the
// ASCII ones those in the sets, and the rest if `wide`.
typedef struct token_kind {
    uint64_t first[2], next[2];
    bool wide;
} token_kind;

// Tokens of one kind and length, with a trie of their own: where all of the kind's texts that are so long may
// follow, so may they, and the trie needn't be walked.
typedef struct token_group {
    const token_kind *kind; // NULL: tokens of no kind
    uint32_t longest;       // bytes of its tokens at most
    uint32_t *bits;
    trie_nodes nodes;
} token_group;

#define TOKEN_KINDS   13
#define TOKEN_LENGTHS 3
#define TOKEN_GROUPS  (TOKEN_KINDS * TOKEN_LENGTHS + 1)

struct ingot_token_trie {
    const ingot_allocator *mem;
    int32_t n_tokens;
    size_t words;   // of a mask
    char *bytes;    // of all tokens, text[i] to text[i + 1]
    uint32_t *text; // [n_tokens + 1]
    uint8_t *roles; // [n_tokens]
    int32_t *same;  // [n_tokens] another token with the same bytes, -1
    uint32_t *ends; // bits of the tokens that end generation
    int32_t *tall;  // [n_tall] tokens that are too long for a trie
    size_t n_tall;
    token_group groups[TOKEN_GROUPS]; // every other token of text is in one of them
};

ingot_status token_trie_new(const ingot_allocator *mem, const ingot_str *texts, const uint8_t *roles,
                            int32_t n, ingot_token_trie **out, ingot_error *err);

int32_t token_trie_size(const ingot_token_trie *t);

// The bytes, or the name, of a token.
ingot_str token_trie_text(const ingot_token_trie *t, int32_t token);

// The token of this text, those of control first; -1 if there is none.
int32_t token_trie_find(const ingot_token_trie *t, const char *text, size_t size);

// The state of a walk over a text of a kind after a byte: 0 at the beginning, 1 between characters, others
// inside of one, -1 where the kind ends.
int token_kind_step(const token_kind *kind, int state, unsigned byte);

#define KIND_STATES 9

#endif
