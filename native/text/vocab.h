// Vocabularies: text to tokens and back, for every tokenizer kind that a GGUF file may name in
// tokenizer.ggml.model (llama: SPM, gpt2: BPE, bert: WordPiece, t5: Unigram, gemma4: BPE with SPM spaces).
#ifndef INGOT_TEXT_VOCAB_H
#define INGOT_TEXT_VOCAB_H

#include "base/mem.h"
#include "base/status.h"

typedef struct vocab vocab;

// Reads tokenizer.ggml.* of `gguf`, of which the strings are borrowed: `gguf` must outlive the result. `pre`
// (may be NULL) replaces tokenizer.ggml.pre; an unknown one is an error that lists those that are known and
// names the option --pre. `mem` may be NULL.
ingot_status vocab_new(const ingot_gguf *gguf, const char *pre, const ingot_allocator *mem, vocab **out,
                       ingot_error *err);
void vocab_free(vocab *v);

int32_t vocab_size(const vocab *v);
ingot_status vocab_token(const vocab *v, int32_t token, ingot_token_info *out, ingot_error *err);
void vocab_specials(const vocab *v, ingot_special_tokens *out);
bool vocab_ends_generation(const vocab *v, int32_t token); // false for tokens out of range

// As ingot_tokenize.
ingot_status vocab_tokenize(const vocab *v, const char *text, size_t size, bool add_special,
                            bool parse_special, int32_t *tokens, size_t capacity, size_t *n,
                            ingot_error *err);

// As ingot_detokenize.
ingot_status vocab_detokenize(const vocab *v, const int32_t *tokens, size_t n, bool special, char *text,
                              size_t capacity, size_t *size, ingot_error *err);

// The bytes of one token as it stands inside a text (a space marker becomes a space, a byte token its byte, a
// control token nothing unless `special`): at most `capacity` bytes are stored; returns how many there are, 0
// for tokens out of range.
size_t vocab_piece(const vocab *v, int32_t token, bool special, char *bytes, size_t capacity);

#endif
