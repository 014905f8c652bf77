// How long steps take, as an engine measures it while it goes: what the lengths of prompts' parts and of
// drafts depend on, and no result. The engine thread's own.
#ifndef INGOT_RUN_PACE_H
#define INGOT_RUN_PACE_H

#include "base/status.h"

enum { PACE_STEPS = 64 };
#define PACE_PATIENCE 2.0

// Running averages; 0 where nothing is known.
typedef struct pace {
    double
        steps[PACE_STEPS]; // seconds of a step with logits of so many tokens; [0]: of a token in larger ones
    double prompt_token;   // seconds that each token of a prompt adds
} pace;

// Notes a step: `n_prompt` of its `n_tokens` were of prompts, and of `n_rows` it gave logits.
void pace_note(pace *p, int32_t n_tokens, int32_t n_prompt, int32_t n_rows, double seconds);

// The seconds of a step with logits of `n` tokens, as measured; 0: it wasn't.
double pace_measured(const pace *p, int32_t n);

// The same between those that were measured; 0: nobody knows.
double pace_expected(const pace *p, int32_t n);

// The most tokens that a step may have without surprise: twice as many as were ever tried.
int32_t pace_tried(const pace *p);

// How many tokens of prompts may join `n_answers` tokens of answers in a step that takes no longer than
// `step_seconds`; 0: than PACE_PATIENCE times what it takes when all `n_active` requests answer, which is
// what their readers will have to get used to.
int32_t pace_room(const pace *p, int32_t n_answers, int32_t n_active, double step_seconds);

#endif
