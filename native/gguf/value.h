// Metadata values between their form in a file and ingot_gguf_value.
#ifndef INGOT_GGUF_VALUE_H
#define INGOT_GGUF_VALUE_H

#include "gguf/buffer.h"
#include "gguf/cursor.h"
#include "gguf/store.h"

// Reads a value type and the value. Numbers are copied into `store`, strings point into the file. Refused:
// unknown types, bools that are neither 0 nor 1, arrays nested deeper than GGUF_MAX_DEPTH, counts that the
// rest of the file can't hold (before anything is allocated for them).
ingot_status value_read(cursor *c, store *s, const ingot_allocator *mem, ingot_gguf_value *out,
                        ingot_error *err);

// Appends the type and the value to `b`; the reverse of value_read. A value that value_read would refuse is
// INGOT_ERR_INVALID, and `b` holds a piece of it then.
ingot_status value_write(buffer *b, const ingot_allocator *mem, const ingot_gguf_value *value,
                         ingot_error *err);

#endif
