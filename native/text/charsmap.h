// SentencePiece's compiled normalisation rules (tokenizer.ggml.precompiled_charsmap): a byte count, that many
// bytes of a double-array trie in 32-bit units (S. Yata's darts-clone, whose units are explained in
// charsmap.c), then the NUL-terminated replacements that the trie's values are offsets into.
#ifndef INGOT_TEXT_CHARSMAP_H
#define INGOT_TEXT_CHARSMAP_H

#include "base/status.h"

typedef struct charsmap {
    const uint8_t *units; // little-endian, may be unaligned; borrowed
    size_t n_units;
    const char *replacements; // borrowed; the last byte is NUL
    size_t replacements_size;
} charsmap;

// Checks the sizes of `data`; every index is checked again when used. An empty one has no rules.
ingot_status charsmap_open(const void *data, size_t size, charsmap *out, ingot_error *err);

// The rule for the longest prefix of `text`: returns that prefix's length and sets *replacement, or 0.
size_t charsmap_find(const charsmap *map, const char *text, size_t size, ingot_str *replacement);

#endif
