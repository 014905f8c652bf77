// Logarithms of the probabilities that a row of logits gives.
#ifndef INGOT_RUN_LOGPROBS_H
#define INGOT_RUN_LOGPROBS_H

#include "run/candidates.h"

// Looks at `logits` [n] with `list`; returns what is to be subtracted from a logit.
double logprobs_begin(candidates *list, const float *logits, int32_t n);

// The `k` likeliest tokens of the list that was begun, likeliest first, equal ones by number. Those that are
// banned count too.
void logprobs_top(candidates *list, double subtract, int32_t k, int32_t *tokens, float *logprobs);

#endif
