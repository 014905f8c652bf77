#include "gguf/split.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// The end of a name, as a pattern in which '#' is a digit.
static const char pattern[] = "-#####-of-#####.gguf";

enum { PATTERN_SIZE = sizeof pattern - 1, NUMBER_AT = 1, COUNT_AT = 10, DIGITS = 5 };

static uint32_t digits_value(const char *digits) {
    uint32_t value = 0;
    for (int i = 0; i < DIGITS; i++)
        value = value * 10 + (uint32_t)(digits[i] - '0');
    return value;
}

bool split_name_parse(const char *path, size_t *stem, uint32_t *number, uint32_t *count) {
    size_t size = strlen(path);
    if (size < PATTERN_SIZE)
        return false;
    const char *end = path + size - PATTERN_SIZE;
    for (int i = 0; i < PATTERN_SIZE; i++)
        if (pattern[i] == '#' ? end[i] < '0' || end[i] > '9' : end[i] != pattern[i])
            return false;
    *stem = size - PATTERN_SIZE;
    *number = digits_value(end + NUMBER_AT);
    *count = digits_value(end + COUNT_AT);
    return true;
}

ingot_status split_name_new(const ingot_allocator *mem, const char *stem, size_t stem_size, uint32_t number,
                            uint32_t count, char **out, ingot_error *err) {
    size_t size = stem_size + PATTERN_SIZE + 1;
    *out = mem_alloc(mem, size, 1);
    if (!*out)
        return fail_memory(err, size, "a file's name");
    memcpy(*out, stem, stem_size);
    snprintf(*out + stem_size, PATTERN_SIZE + 1, "-%05" PRIu32 "-of-%05" PRIu32 ".gguf", number, count);
    return INGOT_OK;
}
