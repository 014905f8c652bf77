// What a tensor is for, read off its name: the rules of a recipe speak of roles.
#ifndef INGOT_QUANTIZE_ROLES_H
#define INGOT_QUANTIZE_ROLES_H

#include <stdbool.h>
#include <stdint.h>

typedef enum tensor_role {
    ROLE_OTHER = 0,
    ROLE_OUTPUT,     // the head
    ROLE_TOKEN_EMBD, // also of single layers
    ROLE_ATTN_Q,
    ROLE_ATTN_K,
    ROLE_ATTN_V, // also fused: Q, K and V, or MLA's K and V
    ROLE_ATTN_OUT,
    ROLE_FFN_UP,
    ROLE_FFN_GATE,
    ROLE_FFN_DOWN,
    ROLE_COUNT,
} tensor_role;

tensor_role role_of(const char *name);

// Whether a tensor is a matrix of weights that may be quantised, and not a norm, a router, a table of
// positions or something else that is small and needs its precision. `shape` has 4 entries.
bool role_quantizable(const char *arch, const char *name, const uint64_t *shape);

// Whether a tensor of this architecture is better not coded in fewer bits than Q8_0.
bool role_sensitive(const char *arch, const char *name);

// The number in "blk.N.", -1 for names that don't begin so.
int32_t role_layer(const char *name);

#endif
