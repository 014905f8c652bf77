// The architecture table. bind.c alone turns a row into a plan; the name goes no further.
#ifndef INGOT_MODEL_ARCH_H
#define INGOT_MODEL_ARCH_H

#include "backend/backend.h"

typedef struct arch {
    const char *name;   // of general.architecture
    rope_kind rope;     // how pairs are laid out in a head
    router_kind router; // of mixtures of experts
} arch;

// The i-th row of archs.def, NULL past the last.
const arch *arch_at(int32_t i);

// The row called `name`; a missing one is INGOT_ERR_UNSUPPORTED with the list of those that exist.
ingot_status arch_find(ingot_str name, const arch **out, ingot_error *err);

#endif
