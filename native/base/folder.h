// Folders, and what happens to files in them by their names alone.
#ifndef INGOT_BASE_FOLDER_H
#define INGOT_BASE_FOLDER_H

#include "base/status.h"

// Makes a folder for its owner's eyes, and those above it, unless they are there.
ingot_status folder_make(const char *path, ingot_error *err);

// A regular file of a folder: its name, bytes, and nanoseconds of its last change since 1970.
typedef struct folder_file {
    const char *name;
    uint64_t bytes;
    int64_t changed;
} folder_file;

typedef bool (*folder_fn)(const folder_file *file, void *user);

// Calls `each` for the regular files of a folder, in no order, until it returns false.
ingot_status folder_list(const char *path, folder_fn each, void *user, ingot_error *err);

// Now, as a file's time.
int64_t folder_now(void);

// Says when a file was changed last; removes one. What isn't there stays so.
void folder_touch(const char *path, int64_t changed);
void folder_remove(const char *path);

#endif
