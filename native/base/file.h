// Files: written with a buffer, to NAME.part first, renamed when complete and on disk; and read in pieces.
#ifndef INGOT_BASE_FILE_H
#define INGOT_BASE_FILE_H

#include "base/mem.h"
#include "base/status.h"

typedef struct file_out file_out;

// Creates `path`.part (truncating it; one that somebody is writing is INGOT_ERR_IO). Copies `path`. A link is
// followed; what exists and is no regular file is refused.
ingot_status file_out_open(const char *path, const ingot_allocator *mem, file_out **out, ingot_error *err);

// Appends. After a failure the file can only be aborted, or fail to be committed.
ingot_status file_out_write(file_out *f, const void *data, uint64_t size, ingot_error *err);

uint64_t file_out_size(const file_out *f);

// Flushes to disk, renames onto `path` and frees; on failure the .part file is removed and `f` freed too.
ingot_status file_out_commit(file_out *f, ingot_error *err);

// The same without waiting for the disk: after a power cut the file may be there in part, or not at all.
ingot_status file_out_commit_soon(file_out *f, ingot_error *err);

// Removes the .part file and frees. NULL is allowed.
void file_out_abort(file_out *f);

// A file that is read here and there.
typedef struct file_in file_in;

// Opens a regular file. Copies `path`.
ingot_status file_in_open(const char *path, const ingot_allocator *mem, file_in **out, ingot_error *err);

// Reads exactly `size` bytes at `offset`; INGOT_ERR_IO where the file ends before.
ingot_status file_in_read(file_in *f, uint64_t offset, void *data, uint64_t size, ingot_error *err);

// Its bytes when it was opened.
uint64_t file_in_size(const file_in *f);

// NULL is allowed.
void file_in_close(file_in *f);

bool file_exists(const char *path);

// Whether both names lead to one file, be it by links. False where one doesn't exist.
bool file_same(const char *a, const char *b);

// The bytes that may be written in the folder of `path`; false if the system doesn't say.
bool file_space(const char *path, uint64_t *out);

// Whether the descriptor (1: output, 2: messages) is a terminal.
bool file_is_terminal(int descriptor);

// Reads a small text file, such as the kernel's in /proc and /sys: at most `capacity` - 1 bytes, and a NUL
// after them. False, and an empty text, if it can't be read. `capacity` must not be 0.
bool file_read_text(const char *path, char *text, size_t capacity);

#endif
