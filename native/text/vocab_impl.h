// What a vocabulary consists of: shared by the files of native/text that read one and tokenise with it.
//
//   vocab_load.c    metadata to the fields below           spm.c        )
//   roles.c         special tokens and their settings      bpe.c        )  one kind of
//   special.c       finds special tokens in a text         wordpiece.c  )  tokenizer each
//   detokenize.c    tokens to text                         unigram.c    )
//   vocab.c         making, freeing, tokenising
#ifndef INGOT_TEXT_VOCAB_IMPL_H
#define INGOT_TEXT_VOCAB_IMPL_H

#include "base/utf8.h"
#include "gguf/gguf.h"
#include "text/charsmap.h"
#include "text/merge.h"
#include "text/pre.h"
#include "text/regex.h"
#include "text/strmap.h"
#include "text/trie.h"
#include "text/vocab.h"

#define VOCAB_SPACE "\xE2\x96\x81" // U+2581, which stands for a space in most vocabularies

// Longer tokens of WordPiece and Unigram, and longer special tokens of every kind, are never matched, so that
// tokenising stays linear (in bytes; the longest of real vocabularies have some dozens).
#define VOCAB_MAX_TRIE_TOKEN 256

typedef enum vocab_model {
    VOCAB_SPM,
    VOCAB_BPE,
    VOCAB_WORDPIECE,
    VOCAB_UNIGRAM,
} vocab_model;

enum {
    VOCAB_ENDS_GENERATION = 1,
    VOCAB_STRIP_LEFT = 2,  // a special token that takes the white space before it
    VOCAB_STRIP_RIGHT = 4, // and after it
};

typedef struct merge_rule {
    int32_t left;
    int32_t right;
    int32_t merged;
} merge_rule;

// Tokens that are found in a text before anything else.
typedef struct special_set {
    trie automaton;  // value: place in
    int32_t *order;  // this list of them, [n], the longest first
    uint32_t *nodes; // [n] their nodes
    size_t n;
} special_set;

struct vocab {
    const ingot_allocator *mem;
    vocab_model model;
    int32_t n_tokens;
    const ingot_str *texts; // [n_tokens], the file's
    float *scores;          // [n_tokens]
    uint8_t *kinds;         // [n_tokens] of ingot_token_kind
    uint8_t *flags;         // [n_tokens]
    ingot_special_tokens special;

    // What tokens look like in a text: the file's spelling, or for GPT-2's byte alphabet the bytes that it
    // stands for (nothing if it isn't of that alphabet). BPE files the strings that occur in merges alone
    // after them. WordPiece and Unigram use `tokens` instead.
    strmap map;
    size_t longest; // bytes of the longest token
    // What a byte is when nothing longer is found: its token <0xXX>, or with the byte alphabet the entry of
    // that byte alone. -1: nothing.
    int32_t byte_ids[256];

    const pre_row *pre; // BPE
    regex *expressions[PRE_MAX_EXPRESSIONS];
    merge_rule *merges; // [n_merges], by rank
    size_t n_merges;
    uint64_t *merge_slots; // hash table by pair: 32 bits of the hash, then the rank + 1; 0: free
    size_t n_merge_slots;
    uint64_t merge_key;
    bool raw; // U+2581 and <0xXX> tokens rather than the byte alphabet

    trie tokens;   // WordPiece and Unigram: all tokens
    trie prefixes; // Unigram: user-defined tokens, which the normaliser leaves alone
    charsmap normalizer;
    double unknown_score;

    bool add_space_prefix;
    bool remove_extra_spaces;
    bool tidy; // remove spaces before punctuation from decoded text
    bool lowercase;
    bool strip_accents;

    special_set user_specials; // user-defined tokens
    special_set all_specials;  // and control tokens and the unknown token
};

// ------------------------------------------------------------------------------------------ loading

// Reads what all kinds have; then bpe_load and others, then roles_load, then special_load.
ingot_status vocab_load(vocab *v, const ingot_gguf *gguf, const char *pre, ingot_error *err);
ingot_status bpe_load(vocab *v, const ingot_gguf *gguf, ingot_error *err);
ingot_status wordpiece_load(vocab *v, const ingot_gguf *gguf, ingot_error *err);
ingot_status unigram_load(vocab *v, const ingot_gguf *gguf, ingot_error *err);
ingot_status roles_load(vocab *v, const ingot_gguf *gguf, ingot_error *err);
ingot_status special_load(vocab *v, ingot_error *err);
void special_free(vocab *v);

// Sets the 256 byte_ids from tokens spelled <0xXX>, or else as that byte alone.
void byte_tokens_load(vocab *v);

// Adds the tokens whose kind's bit is in `kinds`, those that are too long to be matched apart.
ingot_status trie_add_tokens(const vocab *v, trie *t, unsigned kinds, ingot_error *err);

// The bytes that `text` stands for in GPT-2's byte alphabet, at most `text.size` of them; -1 if it has other
// characters.
int64_t bpe_decode(ingot_str text, char *bytes);

// ------------------------------------------------------------------------------------------ tokenising

// One text on its way to tokens. Buffers are kept from one fragment to the next.
typedef struct session {
    const vocab *v;
    ingot_error *err;
    int32_t *tokens;
    size_t capacity;
    size_t n; // tokens so far, of which `capacity` at most are stored

    char *text; // the fragment as the tokenizer sees it
    size_t text_capacity;
    uint8_t *cuts;
    uint8_t *classes;
    uint16_t *states;
    size_t split_capacity;
    merger merger;
    void *paths; // Unigram
    size_t paths_capacity;
} session;

// A part of a text: a special token, or bytes to be tokenised (token is -1).
typedef struct segment {
    uint32_t start;
    uint32_t size;
    int32_t token;
} segment;

// How many bytes the first character of `text` takes; 1 for what isn't UTF-8.
static inline size_t character_size(const char *text, size_t size) {
    int n;
    utf8_decode(text, size, &n);
    return (size_t)n;
}

static inline void session_add(session *s, int32_t token) {
    if (s->n < s->capacity)
        s->tokens[s->n] = token;
    s->n++;
}

// The rule for two entries of `map`; NULL if they don't merge. Its rank is its place in `merges`.
const merge_rule *bpe_find_merge(const vocab *v, int32_t left, int32_t right);

// Adds the tokens of the `size` bytes that no token stands for: their byte tokens, for those that have
// none the unknown token.
void session_add_bytes(session *s, const char *bytes, size_t size);

// Copies `text` to s->text, with spaces replaced by U+2581 and one in front if `prefix`.
ingot_status session_escape(session *s, const char *text, size_t size, bool prefix, size_t *escaped);

// Makes s->text hold `size` bytes.
ingot_status session_reserve(session *s, size_t size);

// Cuts a text into segments, [*n] to be freed by the caller.
ingot_status special_split(const vocab *v, const char *text, size_t size, bool control, segment **segments,
                           size_t *n, ingot_error *err);

ingot_status spm_tokenize(session *s, const char *text, size_t size, bool prefix);
ingot_status bpe_tokenize(session *s, const char *text, size_t size);
ingot_status wordpiece_tokenize(session *s, const char *text, size_t size);
ingot_status unigram_tokenize(session *s, const char *text, size_t size);

#endif
