// Samplers that change how probabilities are spread.
#include <float.h>
#include <math.h>

#include "backend/backend.h"
#include "run/stages.h"

// The mean surprise of the distribution, in nats.
static double entropy(candidates *c) {
    candidates_weigh(c);
    return log(c->total) - candidates_mean(c);
}

// Between temperature - range and temperature + range, as the entropy is between nothing and the most that
// there can be: kalomaze 2023, "Dynamic Temperature".
static double dynamic(candidates *c, const sample_params *p) {
    const double low = fmax(0.0, p->temperature - p->dynatemp_range);
    const double high = p->temperature + p->dynatemp_range;
    const int32_t n = candidates_count(c);
    if (n < 2)
        return p->temperature;
    return low + (high - low) * pow(fmax(0.0, entropy(c)) / log(n), p->dynatemp_exponent);
}

// Where a temperature is so small that logits would overflow, the distance to the likeliest is divided: the
// same distribution. Else not, since penalties may follow, to which a logit's sign matters.
ingot_status stage_temperature(sample_work *s, const sample_settings *set, const sample_input *in,
                               ingot_error *err) {
    (void)in, (void)err;
    candidates *c = &s->list;
    const sample_params *p = &set->params;
    const bool moves = p->temperature > 0.0 && p->dynatemp_range > 0.0 && p->mirostat == 0.0;
    const double t = moves ? dynamic(c, p) : p->temperature;
    if (t <= 0.0) {
        candidates_keep_count(c, 1);
        return INGOT_OK;
    }
    const float by = (float)fmax(t, (double)FLT_MIN), most = FLT_MAX / 2.0f;
    const float from = fabsf(c->max) / by < most ? 0.0f : c->max;
    candidates_divide(c, from, by);
    return INGOT_OK;
}

// Basu et al. 2020, "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity". The first
// version estimates from the likeliest tokens how the probabilities fall (Zipf's exponent), and from that how
// many tokens give the wanted surprise; the second drops what surprises more.
enum { ZIPF_TOKENS = 100 };

static double zipf_count(candidates *c, double mu, int32_t n_vocab) {
    const int32_t count = candidates_count(c), n = count < ZIPF_TOKENS ? count : ZIPF_TOKENS;
    const int32_t *top = candidates_top(c, n);
    double products = 0.0, squares = 0.0;
    for (int32_t i = 0; i + 1 < n; i++) {
        const double t = log((double)(i + 2) / (double)(i + 1));
        products += t * ((double)c->logits[top[i]] - (double)c->logits[top[i + 1]]);
        squares += t * t;
    }
    const double s = products / squares, e = s - 1.0;
    return pow(e * exp2(mu) / (1.0 - pow(n_vocab, -e)), 1.0 / s);
}

void mirostat_prepare(sample_work *s, const sample_params *p, const sample_state *state, int32_t n_vocab) {
    candidates *c = &s->list;
    if (p->mirostat == 1.0) {
        const double k = zipf_count(c, state->mu, n_vocab);
        candidates_keep_count(c, k >= (double)c->n ? c->n : k >= 1.0 ? (int32_t)k : 1); // a NaN is 1
    } else {
        const int32_t n = c->n;
        candidates_weigh(c);
        candidates_keep_above(c, (double)c->max + log(c->total) - state->mu * log(2.0), 1);
        if (c->n == n)
            return;
    }
    candidates_weigh(c);
}

// llama.cpp's adaptive-p: a token is the better the closer its probability is to a target, which moves
// against the probabilities of the tokens chosen so far. c->keys keeps the probabilities as they were.
void adaptive_prepare(sample_work *s, const sample_params *p, const sample_state *state) {
    candidates *c = &s->list;
    const double target = 2.0 * p->adaptive_target - state->weighted_sum / state->total_weight;
    if (c->odd) // banned ones would be candidates again
        candidates_keep_above(c, -(double)FLT_MAX, 1);
    candidates_weigh(c);
    backend_row_adapt(c->k, c->weights, c->n, (float)(1.0 / c->total), (float)fmin(fmax(target, 0.0), 1.0),
                      c->keys, c->logits);
    candidates_changed(c);
    candidates_weigh(c);
}
