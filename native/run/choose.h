// Choosing a slot's next tokens, and telling them.
#ifndef INGOT_RUN_CHOOSE_H
#define INGOT_RUN_CHOOSE_H

#include "run/generate.h"

// Chooses tokens from `logits` [n_vocab], which are changed: one, and those that a grammar leaves no choice
// of. They stand behind the slot's sequence then, unless *finish says that the last was among them. Where a
// banned text came of it the sequence is shorter than before, and its last token stands behind it again.
ingot_status choose_tokens(ingot_engine *e, slot *s, float *logits, ingot_finish *finish, ingot_error *err);

// Ends an answer that has no time left; one that a grammar holds is completed, if it was promised to be.
ingot_status choose_end(ingot_engine *e, slot *s, ingot_finish *finish, ingot_error *err);

// How many tokens may still be chosen: up to max_tokens, and to the one behind the context's last position.
int64_t slot_tokens_left(const ingot_engine *e, const slot *s);

// Whether a request's time is over.
bool slot_is_late(const slot *s);

#endif
