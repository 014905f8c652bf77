// Files mapped read-only. A file that is cut off while it is mapped doesn't kill the process: a SIGBUS
// handler, installed with the first map, puts zeros where the file ended and marks the map as broken. A
// SIGBUS for any other address goes to the action that was installed before ours.
#ifndef INGOT_BASE_MAP_H
#define INGOT_BASE_MAP_H

#include "base/mem.h"
#include "base/status.h"

typedef struct file_map {
    const uint8_t *data; // aligned to the page size (mapped) or to 64 bytes (read); NULL if closed
    uint64_t size;
    bool mapped; // else read into memory
    int slot;    // in the table that the SIGBUS handler looks into
} file_map;

// Maps `path` whole, or reads it into memory (`no_map`). `lock` keeps it in physical memory; a refusal is an
// error that names the limit. Only regular files that aren't empty are taken. `progress` (may be NULL) is
// called while reading or locking. On failure *out is a closed map. Every message names the path.
ingot_status file_map_open(const char *path, bool no_map, bool lock, const ingot_allocator *mem,
                           ingot_progress_fn progress, void *user, file_map *out, ingot_error *err);

// A closed map may be closed again. `mem` as given to open.
void file_map_close(file_map *map, const ingot_allocator *mem);

// False once a page of the map was found missing, or if the file is now shorter than it was or was written to
// (its time of modification differs): then the bytes of the map may be neither the old ones nor the new.
bool file_map_intact(const file_map *map);

#endif
