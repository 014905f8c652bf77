// Recipes: which tensor gets which type in a file of a given type, from names, shapes and a few numbers of
// the model. The choices are data (recipe.def); this header is how they are asked.
#ifndef INGOT_QUANTIZE_RECIPE_H
#define INGOT_QUANTIZE_RECIPE_H

#include "base/status.h"
#include "quantize/filetype.h"

// Keys that every quantised file has.
#define RECIPE_KEY_FILE_TYPE "general.file_type"
#define RECIPE_KEY_VERSION   "general.quantization_version"
enum { RECIPE_QUANTIZATION_VERSION = 2, RECIPE_NO_TYPE = -1 };

// What a recipe wants to know of a model.
typedef struct recipe_model {
    const char *arch;     // general.architecture
    uint32_t n_layer;     // block_count
    uint32_t n_layer_mtp; // of them at the end, those that predict further tokens
    uint32_t n_head;      // of the first layer
    uint32_t n_head_kv;   // of the first layer; 0 where it has no attention
    uint32_t n_expert;
} recipe_model;

typedef struct recipe_options {
    const filetype *target;
    bool imatrix;           // there is an importance matrix
    bool pure;              // no rules: all matrices get the base type
    bool leave_output;      // the head stays as it is
    int32_t output_type;    // of the head, else RECIPE_NO_TYPE
    int32_t embedding_type; // of the token embeddings, else RECIPE_NO_TYPE
    // The type that the user wants for a tensor of this name, or RECIPE_NO_TYPE. NULL: no such wishes.
    int32_t (*wish)(void *user, const char *name);
    void *user;
} recipe_options;

typedef struct recipe_tensor {
    const char *name;
    uint64_t shape[4]; // row length first, 1 past the last dimension
    int32_t from;      // its type now
    // Set by recipe_apply:
    int32_t to;
    int32_t wanted;        // what `to` would be if its blocks fitted into the rows
    bool needs_importance; // without an importance matrix the result would be useless
} recipe_tensor;

// Orders tensors as the rules count them: those outside layers by name, then layer by layer by name.
int recipe_compare(const char *a, const char *b);

// Chooses all tensors' types. INGOT_ERR_INVALID if a type's blocks don't fit into a tensor's rows and there
// is no other to take its place.
ingot_status recipe_apply(const recipe_model *model, const recipe_options *options, recipe_tensor *tensors,
                          size_t n, ingot_error *err);

#endif
