// What adapters add to the products of a forward pass. The tokens that have an adapter are grouped: the
// model's weights are read once for all tokens, and an adapter's once for all that have it.
#ifndef INGOT_MODEL_ADAPT_H
#define INGOT_MODEL_ADAPT_H

#include "model/forward.h"

// The tokens that have an adapter: [first, first + n) of the lists.
typedef struct adapt_group {
    const ingot_adapter *adapter;
    int32_t first, n;
} adapt_group;

// Of a batch, or of a tile of its rows once the layers are done. Without adapters there are no groups, and
// nothing is done.
typedef struct adapt {
    const adapter_list *lists; // of sequences
    const int32_t *seqs;       // of the batch's tokens
    adapt_group *groups;       // in the order of the adapters' serial numbers
    int32_t n_groups;
    int32_t *tokens;
    float *scales;
    backend_addition *additions; // of the products that run next
    int32_t n_additions;
    backend_buffer *work;
    int64_t work_width, work_rows;
    size_t groups_capacity, tokens_capacity, scales_capacity, additions_capacity;
} adapt;

void adapt_free(adapt *a, backend *device, const ingot_allocator *mem);

// Begins with a batch; `lists` (NULL: there are no adapters) are borrowed until the next one.
ingot_status adapt_batch(adapt *a, backend *device, const ingot_allocator *mem, const backend_batch *batch,
                         const adapter_list *lists, ingot_error *err);

// From here on products are of `n` of the batch's tokens.
void adapt_tile(adapt *a, const int32_t *tokens, int32_t n);

// Whether some of the present tokens have an adapter that changes the map of this number.
bool adapt_changes(const adapt *a, int32_t number);

// Notes that `out` has what the map of this number gives.
void adapt_add(adapt *a, int32_t number, backend_buffer *out);

// Adds to the noted buffers, of maps with the input `in`.
void adapt_run(adapt *a, backend *device, const backend_buffer *in);

// Adds to the embeddings of tokens `ids`.
void adapt_embedding(adapt *a, backend *device, const int32_t *ids, backend_buffer *out);

// INGOT_ERR_IO if an adapter's file was cut off.
ingot_status adapt_check(const adapt *a, ingot_error *err);

#endif
