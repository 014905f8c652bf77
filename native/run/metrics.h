// What an engine counts. The engine thread writes, under the engine's lock; callers copy.
#ifndef INGOT_RUN_METRICS_H
#define INGOT_RUN_METRICS_H

#include "ingot.h"

void histogram_add(ingot_histogram *h, double seconds);

// How long steps take: what a step of answers alone takes, and each token of a prompt that comes with them.
// Running means, 0 as long as nothing is known.
typedef struct pace {
    double answer_seconds, token_seconds;
} pace;

// Notes a step with so many tokens of prompts, and (or without) answers.
void pace_note(pace *p, int32_t n_prompt_tokens, bool answers, double seconds);

// How many tokens of prompts a step with answers may have to take no longer than `step_seconds` (0: than
// twice what it takes without).
int32_t pace_room(const pace *p, double step_seconds);

#endif
