// The samplers, each a function that changes the list of candidates.
#ifndef INGOT_RUN_STAGES_H
#define INGOT_RUN_STAGES_H

#include "run/sample.h"

#define PARAM(name, value, min, max, integer, doc)
#define STAGE(name, usual, doc)                                                                              \
    ingot_status stage_##name(sample_work *s, const sample_settings *set, const sample_input *in,            \
                              ingot_error *err);
#include "run/samplers.def"
#undef PARAM
#undef STAGE

// At least how many candidates must be left.
static inline int32_t least_kept(const sample_settings *set) {
    return set->params.min_keep > 1.0 ? (int32_t)set->params.min_keep : 1;
}

static inline bool penalties_active(const sample_params *p) {
    return p->repeat_last_n != 0.0 &&
           (p->repeat_penalty != 1.0 || p->frequency_penalty != 0.0 || p->presence_penalty != 0.0);
}

static inline bool dry_active(const sample_params *p) {
    return p->dry_multiplier != 0.0 && p->dry_base >= 1.0 && p->dry_penalty_last_n != 0.0;
}

static inline bool xtc_active(const sample_params *p) {
    return p->xtc_probability > 0.0 && p->xtc_threshold <= 0.5;
}

// What stands in the place of other samplers or behind them; weighs the list.
void mirostat_prepare(sample_work *s, const sample_params *p, const sample_state *state, int32_t n_vocab);
void adaptive_prepare(sample_work *s, const sample_params *p, const sample_state *state);

#endif
