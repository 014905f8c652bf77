// Reading a file's bytes front to back. Nothing is taken that doesn't lie in the file; messages say at which
// byte, what was wanted and how much is left.
#ifndef INGOT_GGUF_CURSOR_H
#define INGOT_GGUF_CURSOR_H

#include "base/status.h"

typedef struct cursor {
    const uint8_t *data;
    uint64_t size;
    uint64_t at; // <= size
} cursor;

static inline uint64_t cursor_left(const cursor *c) {
    return c->size - c->at;
}

// Stores where the next `n` bytes lie and steps over them. `what` names them in the message.
ingot_status cursor_bytes(cursor *c, uint64_t n, const char *what, const void **out, ingot_error *err);
ingot_status cursor_u32(cursor *c, const char *what, uint32_t *out, ingot_error *err);
ingot_status cursor_u64(cursor *c, const char *what, uint64_t *out, ingot_error *err);

// A u64 length and as many bytes; *out points into the file.
ingot_status cursor_str(cursor *c, const char *what, ingot_str *out, ingot_error *err);

#endif
