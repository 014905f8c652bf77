// The smallest test harness: CHECK counts and goes on, main returns check_report().
#ifndef INGOT_TESTS_CHECK_H
#define INGOT_TESTS_CHECK_H

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_int check_failures; // tests check from several threads
static atomic_int check_count;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        check_count++;                                                                                       \
        if (!(condition)) {                                                                                  \
            check_failures++;                                                                                \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                          \
        }                                                                                                    \
    } while (0)

// Fails unless `text` contains `part`, and shows both.
#define CHECK_CONTAINS(text, part)                                                                           \
    do {                                                                                                     \
        check_count++;                                                                                       \
        if (!strstr((text), (part))) {                                                                       \
            check_failures++;                                                                                \
            fprintf(stderr, "%s:%d: \"%s\" doesn't contain \"%s\"\n", __FILE__, __LINE__, (text), (part));   \
        }                                                                                                    \
    } while (0)

static inline int check_report(void) {
    printf("%d checks, %d failed\n", check_count, check_failures);
    return check_failures != 0 || check_count == 0;
}

#endif
