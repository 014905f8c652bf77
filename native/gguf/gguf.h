// GGUF files for the rest of the library: opening, writing, and metadata with its types checked (what model/
// and text/ use on top of ingot_gguf_find). Format and caps: format.h.
//
// What the reader refuses although the format's text may allow it: keys and tensors named twice; names that
// are empty, aren't UTF-8 or hold a NUL; dimensions of 0; tensor data in another order than the directory's,
// or with gaps. What it accepts although the text may forbid it: tensors without dimensions (shown as a row
// of one weight), and files that end without the padding after the last tensor.
#ifndef INGOT_GGUF_GGUF_H
#define INGOT_GGUF_GGUF_H

#include "base/mem.h"
#include "base/status.h"

// Opens the `size` bytes of `image`, which are borrowed and must be aligned to 64. `name` is for messages. A
// file of a split is INGOT_ERR_UNSUPPORTED.
ingot_status gguf_open_memory(const ingot_allocator *mem, const void *image, size_t size, const char *name,
                              ingot_gguf **out, ingot_error *err);

// As ingot_gguf_open. `mem` (may be NULL) is borrowed until the file is closed. A tensor's data is aligned to
// general.alignment, but at most to a page when mapped and to 64 bytes when read. With no_data the file is
// mapped in any case, never read or locked.
ingot_status gguf_open(const ingot_allocator *mem, const char *path, const ingot_gguf_params *params,
                       ingot_progress_fn progress, void *user, ingot_gguf **out, ingot_error *err);

// As ingot_gguf_writer_new. `mem` (may be NULL) is borrowed until the writer is freed. Nothing is created on
// disk before the first data or, without any, finish.
ingot_status gguf_writer_new(const ingot_allocator *mem, const char *path,
                             const ingot_gguf_writer_params *params, ingot_gguf_writer **out,
                             ingot_error *err);

// Tensors that are declared from here on lie in a further file of a split, whatever max_split_bytes says; a
// file that gets none has no more than metadata. The first call must come before the first tensor: it begins
// the first file, and the writer's path is the stem of a split's names then.
void gguf_writer_next_file(ingot_gguf_writer *writer);

// The file's name for messages.
const char *gguf_name(const ingot_gguf *gguf);

// The name of the file of a split in which tensors with this `split` lie.
const char *gguf_file_name(const ingot_gguf *gguf, int32_t split);

// A hash of the metadata, of the tensors' names, types and shapes, and of a sample of each one's data: with
// the same weights and settings it is the same, wherever the file lies.
uint64_t gguf_hash(const ingot_gguf *gguf);

// Typed look-ups. `required` false: a missing key leaves *out as it is and succeeds. A value of another type,
// or out of the range asked for, is INGOT_ERR_FORMAT and names file, key, what was found and expected.
// Integers of any width are accepted where the value fits; for floats F32 and F64, if finite; a bool must be
// a bool.
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
