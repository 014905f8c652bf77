// Adapters: low-rank changes of a model's linear maps and its embedding, from GGUF files as llama.cpp writes
// them (general.type "adapter", adapter.type "lora"). Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large
// Language Models".
//
// A tensor "<name of the model's>.lora_a" is [rank][width], "<...>.lora_b" [rows][rank]; of token_embd, A has
// a row of `rank` numbers for each token. What is added is B A x, times alpha / rank (1 if alpha is 0), times
// the scale that a request gives.
#ifndef INGOT_MODEL_ADAPTER_H
#define INGOT_MODEL_ADAPTER_H

#include <stdatomic.h>

#include "model/model.h"

// What an adapter adds to one map.
typedef struct adapter_part {
    backend_low_rank *pair; // NULL: nothing
    float factor;
} adapter_part;

struct ingot_adapter {
    const ingot_model *model;
    ingot_gguf *file;
    atomic_int users; // whoever loaded it, and requests
    ingot_adapter_info info;
    float alpha;
    adapter_part *parts; // [n_weights + 1] by the numbers of the plan's maps
    adapter_part embedding;
};

// An adapter and its weight.
typedef struct adapter_use {
    ingot_adapter *adapter;
    float scale;
} adapter_use;

// The adapters of a sequence, in the order of their serial numbers, each once.
typedef struct adapter_list {
    const adapter_use *uses;
    int32_t n;
} adapter_list;

ingot_status adapter_load(ingot_model *m, const char *path, ingot_progress_fn progress, void *user,
                          ingot_adapter **out, ingot_error *err);

// Counts another user, and one less: the last one frees it.
void adapter_keep(ingot_adapter *a);
void adapter_release(ingot_adapter *a);

// A number for a list: 0 for an empty one, else as good as never the same as another list's of this model.
uint64_t adapter_list_key(adapter_list list);

#endif
