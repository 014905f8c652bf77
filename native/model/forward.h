// The forward pass: one for all architectures, over backend.h.
#ifndef INGOT_MODEL_FORWARD_H
#define INGOT_MODEL_FORWARD_H

#include <stdatomic.h>

#include "model/adapter.h"
#include "model/plan.h"

// Rows given to a sink are computed this many at a time: never [tokens x vocabulary].
enum { FORWARD_TILE = 24 };

// So many rows of the output head, of those that some tokens need alone, are worth being sought out.
enum { FORWARD_FEW = 1024 };

// The activations of a forward pass of at most `max_tokens` tokens. Belongs to one thread at a time.
typedef struct forward forward;

typedef struct forward_params {
    int32_t max_tokens;
    int32_t n_ctx; // decides between the frequency tables of models that have two
    // Neighbours in a head's keys that are rotated together (backend.h: rotate), and in its queries: their
    // products stay the same but for rounding. 0: none. Ashkboos et al. 2024, "QuaRot: Outlier-Free 4-Bit
    // Inference in Rotated LLMs".
    int32_t k_rotation;
} forward_params;

ingot_status forward_new(const plan *p, backend *device, const ingot_allocator *mem,
                         const forward_params *params, forward **out, ingot_error *err);
void forward_free(forward *f);

// What is computed of a token once the layers are done.
typedef enum forward_result {
    FORWARD_LOGITS, // [n_vocab]
    FORWARD_HIDDEN, // [n_embd] after the last norm
    FORWARD_SCORES, // [n_label] of the classifier
} forward_result;

// Takes the result of row `i` of those that were asked for; borrowed until it returns.
typedef void (*row_sink)(void *user, int32_t i, const float *row);

// Which logits of row `i` are wanted: those of *n <= FORWARD_FEW tokens (ascending, borrowed), or all: NULL.
// Asked when the layers are done.
typedef const int32_t *(*row_choice)(void *user, int32_t i, int32_t *n);

// The tokens of a batch whose results are wanted, by their index in it.
typedef struct forward_rows {
    const int32_t *rows;
    int32_t n_rows;
    forward_result result;
    row_choice choose; // NULL: all logits of all rows
    row_sink sink;     // of chosen logits it gets those, one after the other
    void *user;
} forward_rows;

// Computes `tokens` and stores their keys and values in `kv`; then, tile by tile, the wanted rows. `adapters`
// are those of each sequence; NULL: none has any. `cancel` is looked at before every block:
// INGOT_ERR_CANCELLED.
ingot_status forward_run(forward *f, const backend_batch *tokens, backend_kv *kv, const forward_rows *wanted,
                         const adapter_list *adapters, const atomic_bool *cancel, ingot_error *err);

#endif
