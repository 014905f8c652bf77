// Stop texts in a stream of bytes, matched over token borders in constant time per byte.
// Knuth, Morris, Pratt 1977, "Fast Pattern Matching in Strings".
#ifndef INGOT_RUN_STOP_H
#define INGOT_RUN_STOP_H

#include "base/mem.h"

typedef struct stop_text {
    char *text;     // [size]
    size_t *border; // [size] length of the longest proper border of text[0..i]
    size_t size;
    size_t matched; // how much of it the stream ends with
} stop_text;

typedef struct stop_set {
    const ingot_allocator *mem;
    stop_text *texts;
    size_t n;
} stop_set;

// Copies the texts. Empty ones and more than 256 are INGOT_ERR_INVALID; `what` they are ("stop") is for
// messages.
ingot_status stop_set_init(stop_set *s, const ingot_str *texts, size_t n, const char *what,
                           const ingot_allocator *mem, ingot_error *err);
void stop_set_free(stop_set *s);

// Takes the stream's next byte. If it completes a stop text, returns the text's index (the longest, if
// several end here), else -1.
int stop_set_feed(stop_set *s, char byte);

// Forgets the stream so far.
void stop_set_reset(stop_set *s);

// The longest stop text shorter than `stop` that ends here too, or -1.
int stop_set_shorter(const stop_set *s, int stop);

// How many of the last bytes may be the beginning of a stop text and must be held back.
size_t stop_set_held(const stop_set *s);

#endif
