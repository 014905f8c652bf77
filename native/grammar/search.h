// The first match of a regular expression in a stream of bytes: of those that are complete first, the one
// that begins earliest.
#ifndef INGOT_GRAMMAR_SEARCH_H
#define INGOT_GRAMMAR_SEARCH_H

#include "base/mem.h"

typedef struct search search;

// INGOT_ERR_INVALID for an expression that matches the empty text, or that $ binds to the end: there is none.
ingot_status search_new(const ingot_allocator *mem, const char *pattern, size_t size, search **out,
                        ingot_error *err);
void search_free(search *s);

// Takes the stream's next byte. If a match ends with it, *length is how many bytes it has, else 0.
ingot_status search_feed(search *s, char byte, size_t *length, ingot_error *err);

// Back to the stream's beginning.
void search_reset(search *s);

// How many of the last bytes may be the beginning of a match.
size_t search_held(const search *s);

#endif
