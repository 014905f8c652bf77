// Reading GGUF metadata with types checked: what model/ and text/ use on top of ingot_gguf_find.
#ifndef INGOT_GGUF_GGUF_H
#define INGOT_GGUF_GGUF_H

#include "base/mem.h"
#include "base/status.h"

// What opening needs of the machine, so that fuzzers and tests can open bytes in memory: `image` of `size`
// bytes is borrowed and must be aligned to 64.
ingot_status gguf_open_memory(const ingot_allocator *mem, const void *image, size_t size, const char *name,
                              ingot_gguf **out, ingot_error *err);
ingot_status gguf_open(const ingot_allocator *mem, const char *path, const ingot_gguf_params *params,
                       ingot_progress_fn progress, void *user, ingot_gguf **out, ingot_error *err);
ingot_status gguf_writer_new(const ingot_allocator *mem, const char *path,
                             const ingot_gguf_writer_params *params, ingot_gguf_writer **out,
                             ingot_error *err);

// The file's name for messages.
const char *gguf_name(const ingot_gguf *gguf);

// Typed look-ups. `required` false: a missing key leaves *out as it is and succeeds. A value of another type,
// or out of the range asked for, is INGOT_ERR_FORMAT and names file, key, what was found and expected.
// Integers of any width are accepted where the value fits; for floats F32 and F64; a bool must be a bool.
ingot_status gguf_get_u32(const ingot_gguf *gguf, const char *key, bool required, uint32_t min, uint32_t max,
                          uint32_t *out, ingot_error *err);
ingot_status gguf_get_f32(const ingot_gguf *gguf, const char *key, bool required, float *out,
                          ingot_error *err);
ingot_status gguf_get_bool(const ingot_gguf *gguf, const char *key, bool required, bool *out,
                           ingot_error *err);
ingot_status gguf_get_str(const ingot_gguf *gguf, const char *key, bool required, ingot_str *out,
                          ingot_error *err);

// An array whose items are of `item_type`; *out is NULL if it is missing and not required.
ingot_status gguf_get_array(const ingot_gguf *gguf, const char *key, bool required, ingot_gguf_type item_type,
                            const ingot_gguf_value **out, ingot_error *err);

// A number per layer: an array of `n` integers, or one integer for all of them.
ingot_status gguf_get_u32_per_layer(const ingot_gguf *gguf, const char *key, bool required, uint32_t min,
                                    uint32_t max, uint32_t n, uint32_t *out, ingot_error *err);

#endif
