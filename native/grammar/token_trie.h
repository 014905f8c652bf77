// A vocabulary's tokens as a trie of their bytes, and what is known of its tokens beforehand.
#ifndef INGOT_GRAMMAR_TOKEN_TRIE_H
#define INGOT_GRAMMAR_TOKEN_TRIE_H

#include "base/mem.h"
#include "base/status.h"

// A node, 64 bits: its token (n_tokens: it has none), where its children begin (0: it has none), whether
// other tokens have the same bytes, whether it is the last of its siblings, its byte. Siblings lie side by
// side, so what is behind a byte that can't come isn't touched. A walk with a stack of siblings whose parents
// were passed goes through memory in order.
#define TRIE_MAX_TOKENS  0xFFFFFFu
#define TRIE_MAX_NODES   (1u << 30)
#define TRIE_MAX_DEPTH   254 // longer tokens are in `tall`
#define TRIE_TOKEN(node) ((uint32_t)((node) >> 40))
#define TRIE_CHILD(node) ((uint32_t)((node) >> 10) & (TRIE_MAX_NODES - 1))
#define TRIE_TWIN        0x200u
#define TRIE_LAST        0x100u
#define TRIE_BYTE(node)  ((uint32_t)(node)&0xFFu)

typedef struct trie_nodes {
    uint64_t *items;
    size_t n, capacity;
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
    const void *source; // whose vocabulary it is, to be compared with; NULL: nobody's
    int32_t n_tokens;
    size_t words;   // of a mask
    char *bytes;    // of all tokens, text[i] to text[i + 1]
    uint32_t *text; // [n_tokens + 1]
    uint8_t *roles; // [n_tokens]
    int32_t *same;  // [n_tokens] another token with the same bytes, -1
    uint32_t *ends; // bits of the tokens that end generation
    int32_t *tall;  // [n_tall] tokens that are too long for a trie
    size_t n_tall;
    size_t max_open;                  // of siblings that a walk has on its stack
    bool spells;                      // every byte is a token: any text can be made of tokens
    token_group groups[TOKEN_GROUPS]; // every other token of text is in one of them
};

ingot_status token_trie_new(const ingot_allocator *mem, const ingot_str *texts, const uint8_t *roles,
                            int32_t n, ingot_token_trie **out, ingot_error *err);

int32_t token_trie_size(const ingot_token_trie *t);

// The bytes, or the name, of a token.
ingot_str token_trie_text(const ingot_token_trie *t, int32_t token);

// The token of this text, those of control first; -1 if there is none.
int32_t token_trie_find(const ingot_token_trie *t, const char *text, size_t size);

// The longest token of text that the text begins with; -1 if there is none.
int32_t token_trie_longest(const ingot_token_trie *t, const char *text, size_t size);

// The state of a walk over a text of a kind after a byte: 0 at the beginning, 1 between characters, others
// inside of one, -1 where the kind ends.
int token_kind_step(const token_kind *kind, int state, unsigned byte);

#define KIND_STATES 9

#endif
