// What a request wants of the rows of logits after its prompt's tokens (ingot_prompt_rows).
#ifndef INGOT_RUN_PROMPT_ROWS_H
#define INGOT_RUN_PROMPT_ROWS_H

#include "run/candidates.h"

ingot_status prompt_rows_check(const ingot_request *r, int32_t n_vocab, ingot_error *err);

// Whether anything is wanted, and whether of the row after the token at `position`.
bool prompt_rows_any(const ingot_request *r);
bool prompt_rows_want(const ingot_request *r, int32_t position);

// Takes what is wanted of that row, `logits` [n_vocab]; `list` is scratch.
void prompt_rows_take(const ingot_request *r, int32_t position, const float *logits, int32_t n_vocab,
                      candidates *list);

#endif
