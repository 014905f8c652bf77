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

// Texts that many places of grammars allow: characters of UTF-8, of the ASCII ones those in `ascii`. Where
// all of them are allowed, so are these tokens, and the trie of the others is what is left to walk.
typedef struct trie_slice {
    uint64_t ascii[2];
    uint32_t longest; // bytes of its tokens at most
    uint32_t *bits;
    trie_nodes others;
} trie_slice;

#define TRIE_SLICES 5

struct ingot_token_trie {
    const ingot_allocator *mem;
    int32_t n_tokens;
    size_t words;     // of a mask
    char *bytes;      // of all tokens, text[i] to text[i + 1]
    uint32_t *text;   // [n_tokens + 1]
    uint8_t *roles;   // [n_tokens]
    int32_t *same;    // [n_tokens] another token with the same bytes, -1
    uint32_t *ends;   // bits of the tokens that end generation
    trie_nodes nodes; // of all tokens of text
    int32_t *tall;    // [n_tall] tokens that are too long for it
    size_t n_tall;
    trie_slice slices[TRIE_SLICES];
};

ingot_status token_trie_new(const ingot_allocator *mem, const ingot_str *texts, const uint8_t *roles,
                            int32_t n, ingot_token_trie **out, ingot_error *err);

int32_t token_trie_size(const ingot_token_trie *t);

// The bytes, or the name, of a token.
ingot_str token_trie_text(const ingot_token_trie *t, int32_t token);

// The token of this text, those of control first; -1 if there is none.
int32_t token_trie_find(const ingot_token_trie *t, const char *text, size_t size);

// The state of a walk over characters of a slice after a byte: 0 between characters, others inside of one, -1
// where the slice ends.
int slice_step(const trie_slice *s, int state, unsigned byte);

#define SLICE_STATES 8

#endif
