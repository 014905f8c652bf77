// File types: what a user asks for ("Q4_K_M"), and what stands under general.file_type.
#ifndef INGOT_QUANTIZE_FILETYPE_H
#define INGOT_QUANTIZE_FILETYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/quant.h"

typedef struct filetype {
    const char *name; // "Q4_K_M"
    int32_t id;       // general.file_type
    int32_t base;     // the tensor type of most matrices
    const char *bits; // per weight of a typical model, as text
} filetype;

// FILETYPE_Q4_K_M, ...: the ids.
enum {
#define FILETYPE(name, id, base, bits) FILETYPE_##name = (id),
#include "quantize/filetypes.def"
#undef FILETYPE
    FILETYPE_COPY = -1, // no id of a file: all tensors stay as they are
};

// The file type called `name`: any case, an alias (Q4_K for Q4_K_M), a number, or COPY. NULL if there is
// none.
const filetype *filetype_find(const char *name);

// The i-th row of filetypes.def, NULL past the last.
const filetype *filetype_at(int32_t i);

// The id that a file gets whose weights are mostly of the tensor type `type`.
int32_t filetype_of_tensor_type(int32_t type);

#endif
