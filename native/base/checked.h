// Arithmetic on sizes that come from a file: each returns false instead of wrapping.
#ifndef INGOT_BASE_CHECKED_H
#define INGOT_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *sum) {
    if (a > UINT64_MAX - b)
        return false;
    *sum = a + b;
    return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *product) {
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *product = a * b;
    return true;
}

// Rounds `value` up to a multiple of `align`, which must not be zero.
static inline bool checked_align(uint64_t value, uint64_t align, uint64_t *out) {
    uint64_t rest = value % align;
    return rest == 0 ? (*out = value, true) : checked_add(value, align - rest, out);
}

static inline bool checked_size(uint64_t value, size_t *out) {
    if (value > SIZE_MAX / 2)
        return false;
    *out = (size_t)value;
    return true;
}

#endif
