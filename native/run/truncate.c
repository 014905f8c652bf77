// Samplers that drop candidates by their probability.
#include <float.h>
#include <math.h>

#include "run/rng.h"
#include "run/stages.h"

ingot_status stage_top_k(sample_work *s, const sample_settings *set, const sample_input *in,
                         ingot_error *err) {
    (void)in, (void)err;
    const int32_t k = (int32_t)set->params.top_k;
    if (k > 0)
        candidates_keep_count(&s->list, k);
    return INGOT_OK;
}

// Holtzman et al. 2019, "The Curious Case of Neural Text Degeneration".
ingot_status stage_top_p(sample_work *s, const sample_settings *set, const sample_input *in,
                         ingot_error *err) {
    (void)in, (void)err;
    if (set->params.top_p < 1.0)
        candidates_keep_mass(&s->list, set->params.top_p, least_kept(set));
    return INGOT_OK;
}

// Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs".
ingot_status stage_min_p(sample_work *s, const sample_settings *set, const sample_input *in,
                         ingot_error *err) {
    (void)in, (void)err;
    if (set->params.min_p > 0.0)
        candidates_keep_above(&s->list, (double)s->list.max + log(set->params.min_p), least_kept(set));
    return INGOT_OK;
}

// Meister et al. 2022, "Locally Typical Sampling". A token's surprise is log(total) - (logit - max), so
// surprises are as far from their mean, the entropy, as logits are from `center`.
ingot_status stage_typical_p(sample_work *s, const sample_settings *set, const sample_input *in,
                             ingot_error *err) {
    (void)in, (void)err;
    candidates *c = &s->list;
    if (set->params.typical_p >= 1.0)
        return INGOT_OK;
    candidates_weigh(c);
    const double center = (double)c->max + candidates_mean(c);
    candidates_keep_closest(c, center, set->params.typical_p, least_kept(set));
    return INGOT_OK;
}

// Tang et al. 2024, "Top-nσ: Not All Logits Are You Need".
ingot_status stage_top_n_sigma(sample_work *s, const sample_settings *set, const sample_input *in,
                               ingot_error *err) {
    (void)in, (void)err;
    candidates *c = &s->list;
    if (set->params.top_n_sigma <= 0.0 || c->n < 2)
        return INGOT_OK;
    double sum = 0.0, squares = 0.0;
    int32_t n = 0;
    for (int32_t i = 0; i < c->n; i++) {
        if (!(c->logits[i] > -INFINITY))
            continue;
        const double distance = (double)c->max - (double)c->logits[i];
        sum += distance;
        squares += distance * distance;
        n++;
    }
    const double mean = sum / n, variance = squares / n - mean * mean;
    const double sigma = variance > 0.0 ? sqrt(variance) : 0.0;
    candidates_keep_above(c, (double)c->max - set->params.top_n_sigma * sigma, least_kept(set));
    return INGOT_OK;
}

// p-e-w 2024, "Exclude Top Choices". Of the tokens above the threshold the least likely stays.
ingot_status stage_xtc(sample_work *s, const sample_settings *set, const sample_input *in, ingot_error *err) {
    (void)err;
    candidates *c = &s->list;
    const sample_params *p = &set->params;
    if (!xtc_active(p) || c->n < 2 ||
        rng_uniform(set->seed, in->index, set->sample, RNG_XTC) >= p->xtc_probability)
        return INGOT_OK;
    candidates_weigh(c);
    const double least = p->xtc_threshold * c->total;
    const int32_t n = candidates_above(c, least > 0.0 ? (double)c->max + log(least) : -(double)FLT_MAX);
    int32_t last = 0;
    for (int32_t i = 0; i < n; i++)
        last = c->logits[c->subset[i]] <= c->logits[c->subset[last]] ? i : last; // of equals the last
    if (n < 2 || candidates_count(c) - (n - 1) < least_kept(set))
        return INGOT_OK;
    for (int32_t i = last; i + 1 < n; i++)
        c->subset[i] = c->subset[i + 1];
    candidates_drop(c, c->subset, n - 1);
    return INGOT_OK;
}
