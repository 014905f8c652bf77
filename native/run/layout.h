// How an engine's pages hold keys and values: which types, how many bytes, which rotation.
#ifndef INGOT_RUN_LAYOUT_H
#define INGOT_RUN_LAYOUT_H

#include "model/model.h"

// The layout that the parameters ask for, but for the number of pages. Types that a head's width doesn't
// allow are INGOT_ERR_INVALID.
ingot_status layout_choose(const ingot_model *m, const ingot_engine_params *params, kv_layout *out,
                           ingot_error *err);

// What a token of context takes, in all layers.
uint64_t layout_token_bytes(const kv_layout *layout);

// How many neighbours in a head's keys are rotated together: the largest power of two that divides its width.
// 0 where the type rounds each number by itself, so that a rotation gains nothing.
int32_t layout_rotation(const kv_layout *layout);

#endif
