// Rotary position embedding (Su et al. 2021, "RoFormer") and the ways of stretching it to longer contexts:
// linear (Chen et al. 2023), YaRN (Peng et al. 2023), factors per pair (Llama 3), and longrope (Ding et al.
// 2024).
#include "model/binder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct rope_scaling {
    ingot_str type; // "", none, linear, yarn, longrope
    float factor;
    float attn_factor;
    float ext_factor; // of YaRN: how much of the ramp is applied
    float beta_fast, beta_slow;
    float log_multiplier; // of YaRN: 0, or part of the magnitude is taken back
    int32_t original;     // context before stretching
} rope_scaling;

static bool is(ingot_str s, const char *text) {
    return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static ingot_status read_scaling(binder *b, rope_scaling *s) {
    char key[BINDER_NAME];
    *s = (rope_scaling){.type = {"linear", 6}, // by 1; some files give a factor and no type
                        .factor = 1.0f,
                        .attn_factor = 1.0f,
                        .ext_factor = 1.0f,
                        .beta_fast = 32.0f,
                        .beta_slow = 1.0f,
                        .original = b->plan->n_ctx_train};
    TRY(gguf_get_str(b->gguf, binder_key(b, "rope.scaling.type", key), false, &s->type, b->err));
    if (!is(s->type, "none") && !is(s->type, "linear") && !is(s->type, "yarn") && !is(s->type, "longrope"))
        return fail(b->err, INGOT_ERR_UNSUPPORTED,
                    "%s: key '%s' is '%.*s', expected none, linear, yarn or longrope", gguf_name(b->gguf),
                    key, (int)(s->type.size < 40 ? s->type.size : 40), s->type.data);
    if (ingot_gguf_find(b->gguf, binder_key(b, "rope.scale_linear", key))) { // older files
        TRY(binder_positive(b, "rope.scale_linear", false, &s->factor));
        s->type = (ingot_str){"linear", 6};
    }
    float factor = 0.0f; // some files say 0 for none
    TRY(gguf_get_f32(b->gguf, binder_key(b, "rope.scaling.factor", key), false, &factor, b->err));
    if (factor != 0.0f)
        TRY(binder_positive(b, "rope.scaling.factor", false, &s->factor));
    TRY(binder_positive(b, "rope.scaling.attn_factor", false, &s->attn_factor));
    TRY(binder_positive(b, "rope.scaling.yarn_beta_fast", false, &s->beta_fast));
    TRY(binder_positive(b, "rope.scaling.yarn_beta_slow", false, &s->beta_slow));
    TRY(gguf_get_f32(b->gguf, binder_key(b, "rope.scaling.yarn_ext_factor", key), false, &s->ext_factor,
                     b->err));
    if (s->ext_factor < 0.0f) // "not given"
        s->ext_factor = 1.0f;
    TRY(binder_option(b, "rope.scaling.yarn_log_multiplier", &s->log_multiplier));
    return binder_u32(b, "rope.scaling.original_context_length", false, 1, 1u << 30, &s->original);
}

// The pair (as a real number) that turns `rotations` times within the original context.
static double yarn_pair(double n_dims, double base, double original, double rotations) {
    return n_dims * log(original / (rotations * 2.0 * 3.14159265358979323846)) / (2.0 * log(base));
}

static void apply_yarn(plan_rope *rope, const rope_scaling *s, double base) {
    double n_dims = 2.0 * rope->n_freqs;
    double low = floor(yarn_pair(n_dims, base, s->original, (double)s->beta_fast));
    double high = ceil(yarn_pair(n_dims, base, s->original, (double)s->beta_slow));
    low = low < 0.0 ? 0.0 : low;
    high = high > n_dims - 1.0 ? n_dims - 1.0 : high;
    double span = high - low > 0.0 ? high - low : 0.001;
    for (int32_t i = 0; i < rope->n_freqs; i++) {
        double ramp = (i - low) / span;
        ramp = ramp < 0.0 ? 0.0 : ramp > 1.0 ? 1.0 : ramp;
        double kept = (1.0 - ramp) * (double)s->ext_factor; // share of the unstretched frequency
        double freq = (double)rope->freqs[i];
        rope->freqs[i] = (float)(freq / (double)s->factor * (1.0 - kept) + freq * kept);
    }
    if (s->ext_factor != 0.0f)
        rope->magnitude *=
            (0.1f * logf(s->factor) + 1.0f) / (0.1f * s->log_multiplier * logf(s->factor) + 1.0f);
}

// Divides freqs by the tensor's numbers, if the file has it.
static ingot_status apply_factors(binder *b, const char *name, float *freqs, int32_t n) {
    float *factors;
    TRY(binder_floats(b, name, n, &factors));
    ingot_status status = INGOT_OK;
    for (int32_t i = 0; factors && i < n; i++) {
        if (!isfinite(factors[i]) || factors[i] == 0.0f)
            status = fail(b->err, INGOT_ERR_FORMAT,
                          "%s: tensor '%s.weight' has %g at %d, expected a finite number but 0",
                          gguf_name(b->gguf), name, (double)factors[i], i);
        freqs[i] /= factors[i];
    }
    mem_free(b->mem, factors);
    return status;
}

static ingot_status apply_longrope(binder *b, plan_rope *rope, const rope_scaling *s) {
    rope->freqs_long = mem_alloc(b->mem, (size_t)rope->n_freqs, sizeof(float));
    if (!rope->freqs_long)
        return fail_memory(b->err, (uint64_t)rope->n_freqs * sizeof(float), "rope frequencies");
    memcpy(rope->freqs_long, rope->freqs, (size_t)rope->n_freqs * sizeof(float));
    rope->long_from = s->original;
    TRY(apply_factors(b, "rope_factors_long", rope->freqs_long, rope->n_freqs));
    return apply_factors(b, "rope_factors_short", rope->freqs, rope->n_freqs);
}

static ingot_status make_rope(binder *b, plan_rope *rope, int32_t n_dims, float base) {
    rope->n_freqs = n_dims / 2;
    rope->magnitude = 1.0f;
    rope->freqs = mem_alloc(b->mem, (size_t)rope->n_freqs, sizeof(float));
    if (!rope->freqs)
        return fail_memory(b->err, (uint64_t)rope->n_freqs * sizeof(float), "rope frequencies");
    for (int32_t i = 0; i < rope->n_freqs; i++)
        rope->freqs[i] = (float)pow((double)base, -2.0 * i / n_dims);
    return INGOT_OK;
}

static ingot_status scale_rope(binder *b, plan_rope *rope, const rope_scaling *scaling, float base) {
    rope->magnitude = scaling->attn_factor;
    if (is(scaling->type, "yarn") && base != 1.0f)
        apply_yarn(rope, scaling, (double)base);
    else if (is(scaling->type, "linear"))
        for (int32_t i = 0; i < rope->n_freqs; i++)
            rope->freqs[i] /= scaling->factor;
    if (is(scaling->type, "longrope") || binder_has(b, NO_LAYER, "rope_factors_long"))
        return apply_longrope(b, rope, scaling);
    return apply_factors(b, "rope_freqs", rope->freqs, rope->n_freqs);
}

// Layers with a window may have a base of their own; their positions are never stretched.
ingot_status binder_rope(binder *b) {
    plan *p = b->plan;
    int32_t n_dims = p->k_dim;
    float base = 10000.0f, local_base = b->row->local_base;
    rope_scaling scaling;
    char key[BINDER_NAME];
    p->rope_kind = b->row->rope;
    if (p->rope_kind == ROPE_NONE)
        return INGOT_OK;
    // M-RoPE (Wang et al. 2024, "Qwen2-VL") gives sections of a head positions of their own, which are all
    // the same in a text; its files have the pairs in halves.
    if (ingot_gguf_find(b->gguf, binder_key(b, "rope.dimension_sections", key)))
        p->rope_kind = ROPE_NEOX;
    TRY(binder_u32(b, "rope.dimension_count", false, 2, (uint32_t)p->k_dim, &n_dims));
    TRY(binder_positive(b, "rope.freq_base", false, &base));
    TRY(binder_option(b, "rope.freq_base_swa", &local_base));
    if (b->row->local_plain && local_base == 0.0f)
        local_base = base;
    TRY(read_scaling(b, &scaling));
    if (n_dims % 2 != 0)
        return fail(b->err, INGOT_ERR_FORMAT,
                    "%s: key '%s' (or the head size) is %d, expected an even number", gguf_name(b->gguf),
                    binder_key(b, "rope.dimension_count", key), n_dims);
    TRY(make_rope(b, &p->ropes[0], n_dims, base));
    TRY(scale_rope(b, &p->ropes[0], &scaling, base));
    return local_base > 0.0f ? make_rope(b, &p->ropes[1], n_dims, local_base) : INGOT_OK;
}
