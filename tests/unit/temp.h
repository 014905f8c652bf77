// A folder for a test's files, removed with all that lies in it.
#ifndef INGOT_TESTS_TEMP_H
#define INGOT_TESTS_TEMP_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct temp_dir {
    char path[256];
} temp_dir;

typedef struct temp_path {
    char text[1024];
} temp_path;

static inline temp_dir temp_dir_make(void) {
    temp_dir dir;
    const char *base = getenv("TMPDIR");
    snprintf(dir.path, sizeof dir.path, "%s/ingot-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(dir.path)) {
        perror(dir.path);
        exit(2);
    }
    return dir;
}

// DIR/NAME.
static inline temp_path temp_join(const temp_dir *dir, const char *name) {
    temp_path path;
    snprintf(path.text, sizeof path.text, "%s/%s", dir->path, name);
    return path;
}

// Writes DIR/NAME, making the folders above it.
static inline temp_path temp_write(const temp_dir *dir, const char *name, const void *data, size_t size) {
    temp_path path = temp_join(dir, name);
    for (char *slash = path.text + strlen(dir->path) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path.text, 0777);
        *slash = '/';
    }
    FILE *f = fopen(path.text, "wb");
    if (!f || (size > 0 && fwrite(data, size, 1, f) != 1) || fclose(f) != 0) {
        perror(path.text);
        exit(2);
    }
    return path;
}

static inline temp_path temp_text(const temp_dir *dir, const char *name, const char *text) {
    return temp_write(dir, name, text, strlen(text));
}

static inline int temp_remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void temp_dir_remove(const temp_dir *dir) {
    nftw(dir->path, temp_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
