#include "text/pre.h"

#include <string.h>

// The flags are written without their prefix in pre.def.
#define WHOLE_WORDS              PRE_WHOLE_WORDS
#define ADD_BOS                  PRE_ADD_BOS
#define ADD_SEP                  PRE_ADD_SEP
#define NO_BOS                   PRE_NO_BOS
#define AS_IS                    PRE_AS_IS
#define RAW                      PRE_RAW
#define PRE(names_, flags_, ...) {.names = names_, .flags = flags_, .expressions = {__VA_ARGS__}},

static const pre_row rows[] = {
#include "text/pre.def"
};

#define ROWS ((int)(sizeof rows / sizeof *rows))

const pre_row *pre_find(ingot_str name) {
    if (name.size == 0 || memchr(name.data, ' ', name.size))
        return NULL;
    for (int i = 0; i < ROWS; i++) {
        for (const char *at = rows[i].names; *at;) {
            size_t n = strcspn(at, " ");
            if (n == name.size && memcmp(at, name.data, n) == 0)
                return &rows[i];
            at += n + (at[n] == ' ');
        }
    }
    return NULL;
}

void pre_list(char *text, size_t size) {
    size_t n = 0;
    for (int i = 0; i < ROWS; i++) {
        if (n > 0 && n + 1 < size)
            text[n++] = ' ';
        for (const char *c = rows[i].names; *c && n + 1 < size; c++)
            text[n++] = *c;
    }
    text[n] = '\0';
}
