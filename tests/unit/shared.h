// The large golden set, which lies beside the repository or in $INGOT_SHARED. Tests that need it skip without
// it, and say so; with CI=true its absence is a failure.
#ifndef INGOT_TESTS_SHARED_H
#define INGOT_TESTS_SHARED_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static inline const char *shared_folder(void) {
    const char *folder = getenv("INGOT_SHARED");
    return folder && *folder ? folder : "../shared";
}

// Whether the set is there. If not, the test must return at once with shared_skip().
static inline bool shared_present(void) {
    struct stat st;
    return stat(shared_folder(), &st) == 0 && S_ISDIR(st.st_mode);
}

static inline int shared_skip(void) {
    const char *ci = getenv("CI");
    bool must = ci && strcmp(ci, "true") == 0;
    fprintf(stderr, "%s: %s is missing; set INGOT_SHARED to the folder of the golden set\n",
            must ? "failed" : "skipped", shared_folder());
    return must ? 1 : 77; // what ctest takes for "skipped"
}

#endif
