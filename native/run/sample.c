#include "run/sample.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "run/rng.h"
#include "run/stages.h"

// ------------------------------------------------------------------------------------------------- the table

static const ingot_sampler_param rows[] = {
#define PARAM(id, value, low, high, whole, words)                                                            \
    {.name = #id, .default_value = (value), .min = (low), .max = (high), .integer = (whole), .doc = (words)},
#define STAGE(name, usual, doc)
#include "run/samplers.def"
#undef PARAM
#undef STAGE
};

enum { N_PARAMS = (int)(sizeof rows / sizeof *rows) };

const ingot_sampler_param *ingot_sampler_param_at(int32_t i) {
    return i >= 0 && i < N_PARAMS ? &rows[i] : NULL;
}

typedef ingot_status (*stage_fn)(sample_work *s, const sample_settings *set, const sample_input *in,
                                 ingot_error *err);

static const struct {
    ingot_sampler_stage row;
    stage_fn apply;
} stages[] = {
#define PARAM(name, value, min, max, integer, doc)
#define STAGE(id, by_default, words)                                                                         \
    {.row = {.name = #id, .usual = (by_default), .doc = (words)}, .apply = stage_##id},
#include "run/samplers.def"
#undef PARAM
#undef STAGE
};

enum {
#define PARAM(name, value, min, max, integer, doc)
#define STAGE(name, usual, doc) AT_##name,
#include "run/samplers.def"
#undef PARAM
#undef STAGE
    N_STAGES,
};

const ingot_sampler_stage *ingot_sampler_stage_at(int32_t i) {
    return i >= 0 && i < N_STAGES ? &stages[i].row : NULL;
}

// ------------------------------------------------------------------------------------------------- settings

static ingot_status read_params(const ingot_sampling *from, sample_params *out, ingot_error *err) {
    double all[N_PARAMS];
    if (from->values && from->n_values > N_PARAMS)
        return fail(err, INGOT_ERR_INVALID, "%zu sampling values were given, there are %d", from->n_values,
                    N_PARAMS);
    for (int i = 0; i < N_PARAMS; i++) {
        const ingot_sampler_param *row = &rows[i];
        all[i] = from->values && (size_t)i < from->n_values ? from->values[i] : row->default_value;
        if (!(all[i] >= row->min && all[i] <= row->max) || (row->integer && all[i] != floor(all[i])))
            return fail(err, INGOT_ERR_INVALID, "%s is %g, expected %s from %g to %g", row->name, all[i],
                        row->integer ? "an integer" : "a number", row->min, row->max);
    }
    int i = 0;
#define PARAM(name, value, min, max, integer, doc) out->name = all[i++];
#define STAGE(name, usual, doc)
#include "run/samplers.def"
#undef PARAM
#undef STAGE
    return INGOT_OK;
}

static ingot_status read_order(sample_settings *s, const ingot_sampling *from, const vocab *v,
                               ingot_error *err) {
    if (from->n_order > SAMPLE_STAGES_MAX)
        return fail(err, INGOT_ERR_INVALID, "%zu samplers were given, at most %d are taken", from->n_order,
                    SAMPLE_STAGES_MAX);
    for (size_t i = 0; i < from->n_order && from->order; i++) {
        if (from->order[i] < 0 || from->order[i] >= N_STAGES)
            return fail(err, INGOT_ERR_INVALID, "sampler %zu of the order is number %d, expected 0 to %d", i,
                        from->order[i], N_STAGES - 1);
        s->stages[s->n_stages++] = (uint8_t)from->order[i];
    }
    for (int i = 0; i < N_STAGES && !from->order; i++)
        if (stages[i].row.usual)
            s->stages[s->n_stages++] = (uint8_t)i;
    if (s->params.mirostat > 0.0) { // in the place of all others
        s->n_stages = 1;
        s->stages[0] = AT_temperature;
    }
    for (int32_t i = 0; i < s->n_stages; i++) {
        s->greedy = s->greedy || (s->stages[i] == AT_temperature && s->params.temperature == 0.0);
        if (s->stages[i] == AT_infill && !v)
            return fail(err, INGOT_ERR_INVALID, "the sampler infill needs a model: it reads tokens' texts");
    }
    return INGOT_OK;
}

static ingot_status copy_breakers(sample_settings *s, const ingot_sampling *from, ingot_error *err) {
    static const ingot_str usual[] = {{"\n", 1}, {":", 1}, {"\"", 1}, {"*", 1}};
    const ingot_str *texts = from->dry_breakers ? from->dry_breakers : usual;
    const size_t n = from->dry_breakers ? from->n_dry_breakers : sizeof usual / sizeof *usual;
    if (n > DRY_BREAKERS_MAX)
        return fail(err, INGOT_ERR_INVALID, "%zu breakers were given for DRY, at most %d are taken", n,
                    DRY_BREAKERS_MAX);
    s->breakers = mem_alloc(s->mem, n, sizeof *s->breakers);
    s->breaker_sizes = mem_alloc(s->mem, n, sizeof *s->breaker_sizes);
    if (!s->breakers || !s->breaker_sizes)
        return fail_memory(err, n * sizeof *s->breakers, "breakers for DRY");
    for (; s->n_breakers < n; s->n_breakers++) {
        const ingot_str text = texts[s->n_breakers];
        if (text.size == 0 || text.size > DRY_BREAKER_BYTES)
            return fail(err, INGOT_ERR_INVALID, "breaker %zu for DRY has %zu bytes, expected 1 to %d",
                        s->n_breakers, text.size, DRY_BREAKER_BYTES);
        memcpy(s->breakers[s->n_breakers], text.data, text.size);
        s->breaker_sizes[s->n_breakers] = (uint8_t)text.size;
    }
    return INGOT_OK;
}

ingot_status sample_settings_init(sample_settings *s, const ingot_sampling *from, const vocab *v,
                                  const ingot_allocator *mem, ingot_error *err) {
    *s = (sample_settings){.mem = mem, .seed = from->seed, .sample = from->sample};
    ingot_status status = read_params(from, &s->params, err);
    if (status == INGOT_OK)
        status = read_order(s, from, v, err);
    if (status == INGOT_OK)
        status = copy_breakers(s, from, err);
    if (status != INGOT_OK)
        sample_settings_free(s);
    return status;
}

void sample_settings_free(sample_settings *s) {
    mem_free(s->mem, s->breakers);
    mem_free(s->mem, s->breaker_sizes);
    s->breakers = NULL;
    s->breaker_sizes = NULL;
    s->n_breakers = 0;
}

sample_state sample_state_begin(const sample_params *p) {
    const double weight = 1.0 / (1.0 - p->adaptive_decay);
    return (sample_state){
        .mu = 2.0 * p->mirostat_tau, .weighted_sum = p->adaptive_target * weight, .total_weight = weight};
}

// ------------------------------------------------------------------------------------------------- choosing

ingot_status sample_init(sample_work *s, const struct kernels *k, int32_t n_vocab, const ingot_allocator *mem,
                         ingot_error *err) {
    *s = (sample_work){.mem = mem};
    TRY(candidates_init(&s->list, k, n_vocab, mem, err));
    s->counts = mem_alloc(mem, (size_t)n_vocab, sizeof *s->counts);
    if (s->counts)
        return INGOT_OK;
    sample_free(s);
    return fail_memory(err, (uint64_t)n_vocab * sizeof *s->counts, "a sampler");
}

void sample_free(sample_work *s) {
    candidates_free(&s->list);
    mem_free(s->mem, s->counts);
    mem_free(s->mem, s->window);
    mem_free(s->mem, s->text);
    *s = (sample_work){.mem = s->mem};
}

// Lists the tokens of both sets of bits, and takes their logits. Whether there were NaNs.
static bool take_allowed(candidates *c, const sample_input *in) {
    const uint32_t *a = in->allowed[0] ? in->allowed[0] : in->allowed[1];
    const uint32_t *b = in->allowed[1] ? in->allowed[1] : a;
    int32_t n = 0;
    for (size_t w = 0; w < in->words; w++)
        for (uint32_t bits = a[w] & b[w]; bits != 0; bits &= bits - 1) {
            const int32_t token = (int32_t)(32 * w) + __builtin_ctz(bits);
            if (token < in->n_vocab)
                c->tokens[n++] = token;
        }
    return candidates_take(c, in->logits, c->tokens, n);
}

static ingot_status take(candidates *c, const sample_input *in, ingot_error *err) {
    const bool some = in->allowed[0] || in->allowed[1];
    const bool nan = some ? take_allowed(c, in) : candidates_take_all(c, in->logits, in->n_vocab);
    if (c->max > -INFINITY)
        return INGOT_OK;
    if (nan)
        return fail(err, INGOT_ERR_FORMAT,
                    "the model computed no number for any token: its file may be damaged");
    return some
               ? fail(
                     err, INGOT_ERR_INVALID,
                     "every token that the grammar or the list of tokens allows is banned by logit_bias or a "
                     "banned text")
               : fail(err, INGOT_ERR_INVALID, "every token of the vocabulary is banned");
}

// Whether the likeliest token may be another one than that of the largest logit.
static bool moves_the_best(const sample_settings *set) {
    const sample_params *p = &set->params;
    bool moves = p->adaptive_target >= 0.0;
    for (int32_t i = 0; i < set->n_stages; i++)
        moves = moves || (set->stages[i] == AT_penalties && penalties_active(p)) ||
                (set->stages[i] == AT_dry && dry_active(p)) || (set->stages[i] == AT_xtc && xtc_active(p)) ||
                (set->stages[i] == AT_typical_p && p->typical_p < 1.0) || set->stages[i] == AT_infill;
    return moves;
}

ingot_status sample_prepare(sample_work *s, const sample_settings *set, const sample_state *state,
                            const sample_input *in, ingot_error *err) {
    const sample_params *p = &set->params;
    TRY(take(&s->list, in, err));
    for (int32_t i = 0; i < set->n_stages; i++)
        TRY(stages[set->stages[i]].apply(s, set, in, err));
    if (p->mirostat > 0.0)
        mirostat_prepare(s, p, state, in->n_vocab);
    else if (p->adaptive_target >= 0.0)
        adaptive_prepare(s, p, state);
    else
        candidates_weigh(&s->list);
    return INGOT_OK;
}

void sample_draw(sample_work *s, const sample_settings *set, sample_state *state, uint64_t number,
                 int32_t *index) {
    const sample_params *p = &set->params;
    const candidates *c = &s->list;
    *index = candidates_draw(c, rng_uniform(set->seed, number, set->sample, RNG_DRAW));
    if (p->mirostat > 0.0) {
        const double surprise = -log2((double)c->weights[*index] / c->total);
        state->mu -= p->mirostat_eta * (surprise - p->mirostat_tau);
    } else if (p->adaptive_target >= 0.0) {
        state->weighted_sum = (double)c->keys[*index] + p->adaptive_decay * state->weighted_sum;
        state->total_weight = 1.0 + p->adaptive_decay * state->total_weight;
    }
}

ingot_status sample_choose(sample_work *s, const sample_settings *set, sample_state *state,
                           const sample_input *in, int32_t *token, ingot_error *err) {
    if (set->greedy && set->params.mirostat == 0.0 && !moves_the_best(set)) {
        TRY(take(&s->list, in, err));
        *token = candidate_token(&s->list, candidates_best(&s->list));
        return INGOT_OK;
    }
    int32_t index;
    TRY(sample_prepare(s, set, state, in, err));
    sample_draw(s, set, state, in->index, &index);
    *token = candidate_token(&s->list, index);
    return INGOT_OK;
}
