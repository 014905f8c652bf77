// The names of the files of a split: STEM-00001-of-00003.gguf.
#ifndef INGOT_GGUF_SPLIT_H
#define INGOT_GGUF_SPLIT_H

#include "base/mem.h"

// Takes `path` apart: the length of its stem, the file's number (from 1) and how many there are. False if it
// isn't named like a part of a split.
bool split_name_parse(const char *path, size_t *stem, uint32_t *number, uint32_t *count);

// The name of file `number` (from 1) of `count` (both at most 99999), to be freed with mem_free.
ingot_status split_name_new(const ingot_allocator *mem, const char *stem, size_t stem_size, uint32_t number,
                            uint32_t count, char **out, ingot_error *err);

#endif
