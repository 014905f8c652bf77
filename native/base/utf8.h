// UTF-8: decoding one code point at a time, strictly (no overlong forms, surrogates or values past U+10FFFF).
#ifndef INGOT_BASE_UTF8_H
#define INGOT_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

// Decodes the code point at `text`, of which `size` >= 1 bytes are readable, and stores how many bytes it
// takes. An invalid byte gives *n = 1 and U+FFFD.
uint32_t utf8_decode(const char *text, size_t size, int *n);

// Encodes `cp` (<= U+10FFFF) into `out`, which has room for 4 bytes; returns the number of bytes.
int utf8_encode(uint32_t cp, char *out);

// The length of the longest prefix of `text` that doesn't end inside a code point that could still become
// valid: what may be shown now, the rest being held back.
size_t utf8_complete_prefix(const char *text, size_t size);

#endif
