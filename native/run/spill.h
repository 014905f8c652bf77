// The prefix cache on disk: full pages that are forgotten, and those that are there when the engine ends, go
// to a folder, a file for each, and come back when a request begins with their tokens, in another process
// too. A file is named by the hash of the tokens that lead to the end of its page, and has them all, so that
// what is found is what was asked for. What requests with adapters computed isn't kept.
//
// Nothing depends on the folder: a file that is cut off, damaged or gone is a page that is computed again.
// Several processes may share it.
#ifndef INGOT_RUN_SPILL_H
#define INGOT_RUN_SPILL_H

#include <stdatomic.h>

#include "run/pages.h"
#include "run/request.h"

typedef struct ingot_engine ingot_engine;

typedef struct spilled {
    uint64_t hash; // of the tokens, the file's name
    uint64_t bytes;
    int64_t used; // the file's time
} spilled;

typedef struct spill {
    char *folder;   // of the model's files; NULL: nothing is spilled
    uint64_t model; // the hash of what keys and values depend on
    uint64_t max_bytes, bytes;
    spilled *files; // [n] in the order of their hashes
    size_t n, capacity;
    uint8_t *page;   // [page_bytes] read
    int32_t *tokens; // [n_ctx] those of a page that is written; virtual memory
    bool failed;     // the last file couldn't be written, as the log says

    // The pages that a request waits for.
    sequence wanted; // its tokens, and those of its pages that are there
    int32_t n_wanted;
    uint64_t request; // whose; 0: nobody's
    int64_t began;    // waiting, as a file's time
    int32_t n_came;   // pages, for it; a request doesn't wait for more than it has
    bool given_up;    // there is no room, or what was there isn't

    _Atomic uint64_t n_written, n_read; // pages
} spill;

// Begins with what the folder has for the engine's model and settings. `max_bytes` 0: a default.
ingot_status spill_open(ingot_engine *e, const char *folder, uint64_t max_bytes, ingot_error *err);

// Writes what the prefix tree has that isn't on disk, as far as there is room.
void spill_all(ingot_engine *e);
void spill_close(ingot_engine *e);

// Whether pages of a request are on disk alone; spill_restore brings them back then. The caller holds the
// lock.
bool spill_wants(ingot_engine *e, const request *r);

// Brings some of the wanted pages back, without holding others up for long. No lock is held.
void spill_restore(ingot_engine *e);

// The hash of all that an engine's keys and values depend on besides tokens.
uint64_t spill_model(const ingot_engine *e);

#endif
