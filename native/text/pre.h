// The table of pre-tokenizers, pre.def.
#ifndef INGOT_TEXT_PRE_H
#define INGOT_TEXT_PRE_H

#include "base/status.h"

#define PRE_MAX_EXPRESSIONS 6

enum {
    PRE_WHOLE_WORDS = 1,
    PRE_ADD_BOS = 2,
    PRE_ADD_SEP = 4,
    PRE_NO_BOS = 8,
    PRE_AS_IS = 16,
    PRE_RAW = 32,
};

typedef struct pre_row {
    const char *names; // separated by spaces
    int flags;
    const char *expressions[PRE_MAX_EXPRESSIONS + 1]; // NULL after the last
} pre_row;

// The row of `name`; NULL if there is none.
const pre_row *pre_find(ingot_str name);

// Writes all names, separated by spaces, as far as `size` (> 0) bytes reach; NUL-terminated.
void pre_list(char *text, size_t size);

#endif
