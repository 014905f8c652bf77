// A plan: what is to be done with each tensor and key, decided before anything is written.
#ifndef INGOT_QUANTIZE_PLAN_H
#define INGOT_QUANTIZE_PLAN_H

#include "gguf/store.h"
#include "quantize/imatrix.h"
#include "quantize/options.h"
#include "quantize/recipe.h"

typedef struct plan_tensor {
    const ingot_gguf_tensor *source;
    const imatrix_entry *importance; // for each matrix of the tensor; NULL: none
    bool feedback;                   // errors of its weights make up for each other
    uint64_t bytes;                  // in the output
} plan_tensor;

typedef struct plan {
    const options *options;
    ingot_gguf *input; // opened without data
    imatrix imatrix;
    recipe_model model;
    recipe_tensor *tensors; // [n] in the output's order, with the output's names
    plan_tensor *details;   // [n]
    size_t n;
    int32_t file_type;     // general.file_type
    size_t n_fallbacks;    // tensors whose rows the wanted type's blocks don't divide
    size_t n_apart;        // of high effort, tensors whose type has codes of several weights
    size_t n_uncorrelated; // and those of which the importance matrix has no correlations
    size_t n_unimportant;  // tensors that are quantised without an entry of the importance matrix
    uint64_t bytes_before; // of all tensors
    uint64_t bytes;
    uint64_t weights;
    store store; // names
} plan;

// Reads the input and the importance matrix and decides. `runtime` is used for reading alone.
ingot_status quantize_plan_make(const options *o, ingot_runtime *runtime, plan *out, ingot_error *err);
void quantize_plan_free(plan *p);

// What would keep the plan from being carried out well: encoders that this build lacks, importance that is
// missing, what was quantised before, an output that is the input, a full disk.
ingot_status quantize_plan_check(const plan *p, ingot_error *err);

// How many files the output has, and the name of the i-th (from 0), to be freed with mem_free.
uint32_t quantize_plan_file_count(const plan *p);
ingot_status quantize_plan_file_name(const plan *p, uint32_t i, char **out, ingot_error *err);

// Adds the output's metadata to the writer (metadata.c).
ingot_status metadata_write(const plan *p, ingot_gguf_writer *writer, ingot_error *err);

#endif
