#include "run/logprobs.h"

#include <math.h>

double logprobs_begin(candidates *list, const float *logits, int32_t n) {
    candidates_view(list, logits, n);
    candidates_weigh(list);
    return (double)list->max + log(list->total);
}

void logprobs_top(candidates *list, double subtract, int32_t k, int32_t *tokens, float *logprobs) {
    const int32_t *top = candidates_top(list, k);
    for (int32_t i = 0; i < k; i++) {
        tokens[i] = candidate_token(list, top[i]);
        logprobs[i] = (float)((double)list->logits[top[i]] - subtract);
    }
}
