// Writing files: buffered, to NAME.part first, renamed when complete and on disk.
#ifndef INGOT_BASE_FILE_H
#define INGOT_BASE_FILE_H

#include "base/mem.h"
#include "base/status.h"

typedef struct file_out file_out;

// Creates `path`.part (truncating it). Copies `path`.
ingot_status file_out_open(const char *path, const ingot_allocator *mem, file_out **out, ingot_error *err);
ingot_status file_out_write(file_out *f, const void *data, uint64_t size, ingot_error *err);

// Overwrites bytes that were written before, at `offset` from the start.
ingot_status file_out_patch(file_out *f, uint64_t offset, const void *data, uint64_t size, ingot_error *err);
uint64_t file_out_size(const file_out *f);

// Flushes to disk, renames onto `path` and frees; on failure the .part file is removed and `f` freed too.
ingot_status file_out_commit(file_out *f, ingot_error *err);

// Removes the .part file and frees. NULL is allowed.
void file_out_abort(file_out *f);

bool file_exists(const char *path);

#endif
