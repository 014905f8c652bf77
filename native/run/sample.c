#include "run/sample.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "run/rng.h"

static const ingot_sampler_param rows[] = {
#define PARAM(id, value, low, high, whole, words)                                                            \
    {.name = #id, .default_value = (value), .min = (low), .max = (high), .integer = (whole), .doc = (words)},
#define STAGE(name)
#include "run/samplers.def"
#undef PARAM
#undef STAGE
};

enum { N_PARAMS = (int)(sizeof rows / sizeof *rows) };

const ingot_sampler_param *ingot_sampler_param_at(int32_t i) {
    return i >= 0 && i < N_PARAMS ? &rows[i] : NULL;
}

ingot_status sample_params_read(const double *values, size_t n, sample_params *out, ingot_error *err) {
    double all[N_PARAMS];
    if (values && n > N_PARAMS)
        return fail(err, INGOT_ERR_INVALID, "%zu sampling values were given, there are %d", n, N_PARAMS);
    for (int i = 0; i < N_PARAMS; i++) {
        const ingot_sampler_param *row = &rows[i];
        all[i] = values && (size_t)i < n ? values[i] : row->default_value;
        if (!(all[i] >= row->min && all[i] <= row->max) || (row->integer && all[i] != floor(all[i])))
            return fail(err, INGOT_ERR_INVALID, "%s is %g, expected %s from %g to %g", row->name, all[i],
                        row->integer ? "an integer" : "a number", row->min, row->max);
    }
    int i = 0;
#define PARAM(name, value, min, max, integer, doc) out->name = all[i++];
#define STAGE(name)
#include "run/samplers.def"
#undef PARAM
#undef STAGE
    return INGOT_OK;
}

ingot_status sampler_init(sampler *s, int32_t n_vocab, const ingot_allocator *mem, ingot_error *err) {
    *s = (sampler){.mem = mem, .n_vocab = n_vocab};
    s->candidates = mem_resize(mem, NULL, (size_t)n_vocab, sizeof *s->candidates);
    s->counts = mem_alloc(mem, (size_t)n_vocab, sizeof *s->counts);
    if (s->candidates && s->counts)
        return INGOT_OK;
    sampler_free(s);
    return fail_memory(err, (uint64_t)n_vocab * sizeof *s->candidates, "a sampler");
}

void sampler_free(sampler *s) {
    mem_free(s->mem, s->candidates);
    mem_free(s->mem, s->counts);
    s->candidates = NULL;
    s->counts = NULL;
}

// Likelier first; equal logits by token, so that the order never depends on the sorting algorithm.
static bool before(const candidate *a, const candidate *b) {
    return a->logit > b->logit || (a->logit == b->logit && a->token < b->token);
}

static int compare(const void *a, const void *b) {
    return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

static void sort_all(sampler *s) {
    if (!s->sorted)
        qsort(s->candidates, (size_t)s->n, sizeof *s->candidates, compare);
    s->sorted = true;
}

static void swap(candidate *a, candidate *b) {
    candidate t = *a;
    *a = *b;
    *b = t;
}

// Restores a heap with the worst of `n` candidates on top, where only heap[i] may be out of place.
static void sift_down(candidate *heap, int32_t n, int32_t i) {
    for (;;) {
        int32_t worst = i, left = 2 * i + 1;
        if (left < n && before(&heap[worst], &heap[left]))
            worst = left;
        if (left + 1 < n && before(&heap[worst], &heap[left + 1]))
            worst = left + 1;
        if (worst == i)
            return;
        swap(&heap[i], &heap[worst]);
        i = worst;
    }
}

static double highest(const sampler *s) {
    float max = s->candidates[0].logit;
    for (int32_t i = 1; i < s->n && !s->sorted; i++)
        max = s->candidates[i].logit > max ? s->candidates[i].logit : max; // fmax crashes GCC 12 for ARM
    return (double)max;
}

static bool penalizes(const sample_params *p) {
    return p->repeat_penalty != 1.0 || p->frequency_penalty != 0.0 || p->presence_penalty != 0.0;
}

static void stage_penalties(sampler *s, const sample_params *p, const int32_t *recent, int32_t n_recent) {
    if (!penalizes(p))
        return;
    int32_t n = p->repeat_last_n < 0 || p->repeat_last_n > n_recent ? n_recent : (int32_t)p->repeat_last_n;
    const int32_t *window = recent + n_recent - n;
    for (int32_t i = 0; i < n; i++)
        s->counts[window[i]]++;
    for (int32_t i = 0; i < s->n; i++) {
        candidate *c = &s->candidates[i];
        int32_t count = s->counts[c->token];
        if (count == 0)
            continue;
        c->logit = (float)(c->logit > 0.0f ? c->logit / p->repeat_penalty : c->logit * p->repeat_penalty);
        c->logit -= (float)(count * p->frequency_penalty + p->presence_penalty);
    }
    for (int32_t i = 0; i < n; i++)
        s->counts[window[i]] = 0;
}

static void stage_top_k(sampler *s, const sample_params *p, const int32_t *recent, int32_t n_recent) {
    (void)recent, (void)n_recent;
    int32_t k = (int32_t)p->top_k;
    if (k <= 0 || k >= s->n)
        return;
    candidate *c = s->candidates;
    for (int32_t i = k / 2; i >= 0; i--)
        sift_down(c, k, i);
    for (int32_t i = k; i < s->n; i++) {
        if (before(&c[i], &c[0])) {
            swap(&c[i], &c[0]);
            sift_down(c, k, 0);
        }
    }
    s->n = k;
    sort_all(s);
}

static void stage_top_p(sampler *s, const sample_params *p, const int32_t *recent, int32_t n_recent) {
    (void)recent, (void)n_recent;
    if (p->top_p >= 1.0)
        return;
    sort_all(s);
    double total = 0.0, sum = 0.0, max = highest(s);
    for (int32_t i = 0; i < s->n; i++)
        total += s->candidates[i].p = exp((double)s->candidates[i].logit - max);
    for (int32_t i = 0; i < s->n; i++) {
        sum += s->candidates[i].p;
        if (sum >= p->top_p * total) {
            s->n = i + 1;
            return;
        }
    }
}

static void stage_min_p(sampler *s, const sample_params *p, const int32_t *recent, int32_t n_recent) {
    (void)recent, (void)n_recent;
    if (p->min_p <= 0.0)
        return;
    double least = highest(s) + log(p->min_p);
    int32_t n = 0;
    for (int32_t i = 0; i < s->n; i++)
        if ((double)s->candidates[i].logit >= least)
            s->candidates[n++] = s->candidates[i];
    s->n = n;
}

// The distance to the likeliest is divided: the same distribution, and no overflow however small the
// temperature.
static void stage_temperature(sampler *s, const sample_params *p, const int32_t *recent, int32_t n_recent) {
    (void)recent, (void)n_recent;
    double max = highest(s);
    for (int32_t i = 0; i < s->n; i++)
        s->candidates[i].logit = (float)(((double)s->candidates[i].logit - max) / p->temperature);
}

static int32_t best(const sampler *s) {
    int32_t at = 0;
    for (int32_t i = 1; i < s->n; i++)
        if (before(&s->candidates[i], &s->candidates[at]))
            at = i;
    return s->candidates[at].token;
}

static int32_t draw(const sampler *s, double u) {
    double total = 0.0, sum = 0.0, max = highest(s);
    for (int32_t i = 0; i < s->n; i++)
        total += s->candidates[i].p = exp((double)s->candidates[i].logit - max);
    for (int32_t i = 0; i < s->n; i++) {
        sum += s->candidates[i].p;
        if (u * total < sum)
            return s->candidates[i].token;
    }
    return best(s);
}

// Takes a token's logit unless it is banned; tells of NaN.
static bool take(sampler *s, int32_t token, float logit) {
    if (logit > -INFINITY) // false for NaN too
        s->candidates[s->n++] = (candidate){.token = token, .logit = fminf(logit, FLT_MAX)};
    return isnan(logit);
}

static ingot_status take_candidates(sampler *s, const sample_input *in, ingot_error *err) {
    bool nan = false;
    s->n = 0;
    s->sorted = false;
    for (int32_t i = 0; i < s->n_vocab && !in->allowed; i++)
        nan = take(s, i, in->logits[i]) || nan;
    for (size_t w = 0; w < in->words && in->allowed; w++)
        for (uint32_t bits = in->allowed[w]; bits != 0; bits &= bits - 1) {
            const int32_t i = (int32_t)(32 * w) + __builtin_ctz(bits);
            nan = take(s, i, in->logits[i]) || nan;
        }
    if (s->n > 0)
        return INGOT_OK;
    if (nan)
        return fail(err, INGOT_ERR_FORMAT,
                    "the model computed no number for any token: its file may be damaged");
    return in->allowed
               ? fail(err, INGOT_ERR_INVALID, "every token that the grammar allows is banned by logit_bias")
               : fail(err, INGOT_ERR_INVALID, "every token of the vocabulary is banned");
}

// What best() chooses of take_candidates(), without the list; false if every token is banned.
static bool likeliest(const sample_input *in, int32_t n_vocab, int32_t *token) {
    float max = -INFINITY;
    for (int32_t first = 0; first < n_vocab; first += 32) {
        const size_t word = (size_t)first / 32; // of padding there are none
        const uint32_t bits = !in->allowed ? UINT32_MAX : word < in->words ? in->allowed[word] : 0;
        const int32_t end = n_vocab - first < 32 ? n_vocab : first + 32;
        for (int32_t i = first; bits != 0 && i < end; i++) {
            const float logit = in->logits[i] > FLT_MAX ? FLT_MAX : in->logits[i];
            if (logit > max && bits >> (i - first) & 1) { // false for NaN
                max = logit;
                *token = i;
            }
        }
    }
    return max > -INFINITY;
}

ingot_status sampler_choose(sampler *s, const sample_params *params, uint64_t seed, uint64_t index,
                            const sample_input *in, int32_t *token, ingot_error *err) {
    const bool greedy = params->temperature == 0.0;
    if (greedy && !penalizes(params) && likeliest(in, s->n_vocab, token))
        return INGOT_OK;
    TRY(take_candidates(s, in, err));
    if (greedy) {
        stage_penalties(s, params, in->recent, in->n_recent);
        *token = best(s);
        return INGOT_OK;
    }
#define PARAM(name, value, min, max, integer, doc)
#define STAGE(name) stage_##name(s, params, in->recent, in->n_recent);
#include "run/samplers.def"
#undef PARAM
#undef STAGE
    *token = draw(s, rng_uniform(seed, index));
    return INGOT_OK;
}
