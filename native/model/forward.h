// The forward pass: one for all architectures, over backend.h.
#ifndef INGOT_MODEL_FORWARD_H
#define INGOT_MODEL_FORWARD_H

#include <stdatomic.h>

#include "model/plan.h"

// The activations of a forward pass of at most `max_tokens` tokens. Belongs to one thread at a time.
typedef struct forward forward;

// `n_ctx` decides between the frequency tables of models that have two.
ingot_status forward_new(const plan *p, backend *device, const ingot_allocator *mem, int32_t max_tokens,
                         int32_t n_ctx, forward **out, ingot_error *err);
void forward_free(forward *f);

// Takes the logits [n_vocab] of row `i` of those that were asked for; borrowed until it returns.
typedef void (*row_sink)(void *user, int32_t i, const float *logits);

// Computes `tokens` and stores their keys and values in `kv`; then, tile by tile, the logits of the `n_rows`
// tokens whose indices in the batch are `rows`. `cancel` is looked at before every block:
// INGOT_ERR_CANCELLED.
ingot_status forward_run(forward *f, const backend_batch *tokens, backend_kv *kv, const int32_t *rows,
                         int32_t n_rows, row_sink sink, void *user, const atomic_bool *cancel,
                         ingot_error *err);

#endif
