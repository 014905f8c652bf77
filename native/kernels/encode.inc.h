// Encoding of weights: a block of each lane, so that a search runs for as many blocks as there are lanes,
// without a branch and without a sum across them. encode_*.inc.h have the types.
//
// What is sought is the least weighted squared error of the decoded weights. Scales come from a search over
// many candidates, each with the least-squares scale of the codes that it gives; scales of groups and of
// blocks of groups are then improved by turns, each against the codes that come out of it.

enum { ENCODE_MAX = 256 }; // weights of a block

// Blocks, side by side: number j of each, and how much its error matters.
typedef struct encode_lanes {
    vec x[ENCODE_MAX], w[ENCODE_MAX];
} encode_lanes;

INLINE vec vec_nearest(vec a) {
    return veci_to_float(vec_round(a));
}

INLINE vec vec_clamp(vec a, float low, float high) {
    return vec_min(vec_max(a, vec_set1(low)), vec_set1(high));
}

INLINE ivec veci_as_int(vec a) {
    ivec bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}

INLINE vec vec_negate(vec a) {
    return vec_sub(vec_set1(0.0f), a);
}

// a / b, or 0 where b is 0.
INLINE vec vec_ratio(vec a, vec b) {
    return vec_where_less(vec_set1(0.0f), vec_abs(b), vec_div(a, b), vec_set1(0.0f));
}

// The nearest halves.
INLINE vec vec_as_half(vec a) {
    uint16_t halves[VEC_LANES];
    vec_store_f16(halves, a);
    return vec_load_f16(halves);
}

INLINE ivec bits_of_half(vec a) {
    uint16_t halves[VEC_LANES];
    int32_t lane[VEC_LANES];
    vec_store_f16(halves, a);
    for (int i = 0; i < VEC_LANES; i++)
        lane[i] = halves[i];
    return veci_load(lane);
}

// ------------------------------------------------------------------------------------------------- in and
// out

// Where encoded blocks go: `n` of them (up to VEC_LANES), `bytes` long.
typedef struct encode_out {
    uint8_t *dst;
    int64_t bytes;
    int n;
} encode_out;

INLINE void put_words(const encode_out *out, int64_t at, ivec words) {
    int32_t lane[VEC_LANES];
    veci_store(lane, words);
    for (int i = 0; i < out->n; i++)
        memcpy(out->dst + i * out->bytes + at, &lane[i], 4);
}

INLINE void put_halves(const encode_out *out, int64_t at, ivec halves) {
    int32_t lane[VEC_LANES];
    veci_store(lane, halves);
    for (int i = 0; i < out->n; i++)
        memcpy(out->dst + i * out->bytes + at, &lane[i], 2);
}

INLINE void put_first_bytes(const encode_out *out, int64_t at, ivec bytes) {
    int32_t lane[VEC_LANES];
    veci_store(lane, bytes);
    for (int i = 0; i < out->n; i++)
        out->dst[i * out->bytes + at] = (uint8_t)lane[i];
}

// Four numbers below 256 as the bytes of a word.
INLINE ivec word_of(ivec a, ivec b, ivec c, ivec d) {
    return veci_or(veci_or(a, veci_shl(b, 8)), veci_or(veci_shl(c, 16), veci_shl(d, 24)));
}

INLINE void put_bytes(const encode_out *out, int64_t at, const ivec *bytes, int n) {
    for (int i = 0; i < n; i += 4)
        put_words(out, at + i, word_of(bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]));
}

// `size` floats (a multiple of 8) of each of VEC_LANES blocks that lie one after the other.
INLINE void turn_blocks(const float *blocks, int size, vec *out) {
    for (int i = 0; i < size; i += 8) {
        ivec words[8];
        veci_load8((const uint8_t *)(const void *)(blocks + i), size * 4, words);
        for (int j = 0; j < 8; j++)
            out[i + j] = veci_as_float(words[j]);
    }
}

// How squared errors of a type's weights are weighed. A large weight has more to say than a small one; and an
// importance of columns counts a little less than in proportion, since columns aren't independent of each
// other.
typedef enum encode_weights {
    WEIGH_COLUMNS, // all the same, or the importance alone
    WEIGH_EVENLY,  // all the same, or importance^(7/8) * sqrt(2 mean of x^2 + x^2)
    WEIGH_MORE,    // sqrt(mean of x^2) + |x|, or importance^(7/8) * sqrt(mean of x^2 + x^2)
    WEIGH_SQUARE,  // x^2, or as WEIGH_MORE
} encode_weights;

INLINE void weigh_errors(encode_weights kind, int size, bool importance, encode_lanes *b) {
    vec sum = vec_set1(0.0f);
    for (int i = 0; i < size; i++)
        sum = vec_fma(b->x[i], b->x[i], sum);
    const vec mean = vec_mul(sum, vec_set1(1.0f / (float)size)), root = vec_sqrt(mean);
    const vec part = kind == WEIGH_EVENLY ? vec_add(mean, mean) : mean;
    for (int i = 0; i < size; i++) {
        const vec square = vec_mul(b->x[i], b->x[i]);
        if (importance && kind != WEIGH_COLUMNS) {
            const vec half = vec_sqrt(b->w[i]), quarter = vec_sqrt(half), eighth = vec_sqrt(quarter);
            b->w[i] = vec_mul(vec_mul(vec_mul(half, quarter), eighth), vec_sqrt(vec_add(part, square)));
        } else if (!importance) {
            b->w[i] = kind == WEIGH_MORE     ? vec_add(root, vec_abs(b->x[i]))
                      : kind == WEIGH_SQUARE ? square
                                             : vec_set1(1.0f);
        }
    }
}

// `n` blocks that begin `stride` apart, the first at `x` and column `column`; those that are missing to
// VEC_LANES are the last one again.
INLINE void load_blocks(const float *x, int n, int size, int64_t stride, const float *importance,
                        int64_t width, int64_t column, encode_lanes *b) {
    float rows[VEC_LANES * ENCODE_MAX];
    for (int i = 0; i < VEC_LANES; i++)
        memcpy(rows + i * size, x + (i < n ? i : n - 1) * stride, (size_t)size * sizeof *x);
    turn_blocks(rows, size, b->x);
    for (int i = 0; importance && i < VEC_LANES; i++)
        memcpy(rows + i * size, importance + (column + (i < n ? i : n - 1) * stride) % width,
               (size_t)size * sizeof *x);
    if (importance)
        turn_blocks(rows, size, b->w);
}

// Weights of a block.
enum {
#define QUANT_TYPE(name, type, id, size, bytes, coding) type##_block_weights = (size),
#include "quant/types.def"
#undef QUANT_TYPE
};

// <type>_encode_blocks: a kernels_encode that does `prepare` once and `encode_lanes` for `lanes`, to `out`.
#define ENCODE_BLOCKS(type, weights, prepare, encode_lanes_of_type)                                          \
    static void type##_encode_blocks(const float *x, int64_t n_blocks, const float *importance,              \
                                     int64_t width, int64_t column, void *dst) {                             \
        const int size = type##_block_weights;                                                               \
        const int64_t bytes = (int64_t)sizeof(block_##type);                                                 \
        prepare;                                                                                             \
        for (int64_t b = 0; b < n_blocks; b += VEC_LANES) {                                                  \
            const int n = n_blocks - b < VEC_LANES ? (int)(n_blocks - b) : VEC_LANES;                        \
            const encode_out out = {(uint8_t *)dst + b * bytes, bytes, n};                                   \
            encode_lanes lanes;                                                                              \
            load_blocks(x + b * size, n, size, size, importance, width, column + b * size, &lanes);          \
            weigh_errors(weights, size, importance != NULL, &lanes);                                         \
            encode_lanes_of_type;                                                                            \
        }                                                                                                    \
    }

// ------------------------------------------------------------------------------------------------- searches

// What a weight may be, times its scale: whole numbers, or those of a sorted table.
typedef struct code_range {
    float low, high, step; // `step` is what scales are tried by
    const int8_t *values;
    int n_values;
} code_range;

#define WHOLE(low, high) ((code_range){(low), (high), 0.1f, NULL, 0})

INLINE vec nearest_code(vec x, vec inverse, code_range r) {
    const vec v = vec_mul(x, inverse);
    if (!r.values)
        return vec_clamp(vec_nearest(v), r.low, r.high);
    vec q = vec_set1(r.values[0]);
    for (int i = 1; i < r.n_values; i++)
        q = vec_where_less(vec_set1(0.5f * (float)(r.values[i - 1] + r.values[i])), v, vec_set1(r.values[i]),
                           q);
    return q;
}

// Such a number counted from the lowest on.
INLINE ivec number_of(vec q, code_range r) {
    if (!r.values)
        return vec_round(vec_sub(q, vec_set1(r.low)));
    vec n = vec_set1(0.0f);
    for (int i = 1; i < r.n_values; i++)
        n = vec_where_less(vec_set1(0.5f * (float)(r.values[i - 1] + r.values[i])), q, vec_set1((float)i), n);
    return vec_round(n);
}

// Sums over a group's codes, of which scales follow by least squares.
typedef struct fit_sums {
    vec wxq, wqq;
} fit_sums;

INLINE fit_sums fit_codes(const vec *x, const vec *w, int n, vec inverse, code_range r) {
    fit_sums s = {vec_set1(0.0f), vec_set1(0.0f)};
    for (int i = 0; i < n; i++) {
        const vec q = nearest_code(x[i], inverse, r), wq = vec_mul(w[i], q);
        s.wxq = vec_fma(wq, x[i], s.wxq);
        s.wqq = vec_fma(wq, q, s.wqq);
    }
    return s;
}

// The weighted squared error with codes that are nearest.
INLINE vec scale_error(const vec *x, const vec *w, int n, vec d, code_range r) {
    const vec inverse = vec_ratio(vec_set1(1.0f), d);
    vec error = vec_set1(0.0f);
    for (int i = 0; i < n; i++) {
        const vec e = vec_fma(vec_negate(d), nearest_code(x[i], inverse, r), x[i]);
        error = vec_fma(vec_mul(w[i], e), e, error);
    }
    return error;
}

// What is taken off the sum of w x^2, which is to be as large as can be.
typedef struct best_scale {
    vec d, gain;
} best_scale;

INLINE void try_scale(const vec *x, const vec *w, int n, vec inverse, code_range r, best_scale *best) {
    const fit_sums s = fit_codes(x, w, n, inverse, r);
    const vec d = vec_ratio(s.wxq, s.wqq), gain = vec_mul(d, s.wxq);
    best->d = vec_where_less(best->gain, gain, d, best->d);
    best->gain = vec_max(best->gain, gain);
}

// The scale of a group: the weight of the largest magnitude is put near either end of the grid, in `steps`
// steps to both sides; the best scale is then fitted to the codes that it gives.
INLINE vec search_scale(const vec *x, const vec *w, int n, code_range r, int steps) {
    vec most = vec_set1(0.0f), largest = vec_set1(0.0f);
    for (int i = 0; i < n; i++) {
        const vec a = vec_abs(x[i]);
        largest = vec_where_less(most, a, x[i], largest);
        most = vec_max(most, a);
    }
    const vec one = vec_ratio(vec_set1(1.0f), largest);
    best_scale best = {vec_set1(0.0f), vec_set1(0.0f)};
    for (int s = -steps; s <= steps; s++) {
        try_scale(x, w, n, vec_mul(one, vec_set1(r.low - r.step * (float)s)), r, &best);
        try_scale(x, w, n, vec_mul(one, vec_set1(r.high + r.step * (float)s)), r, &best);
    }
    for (int round = 0; round < 3; round++)
        try_scale(x, w, n, vec_ratio(vec_set1(1.0f), best.d), r, &best);
    return best.d;
}

// Codes from 0 on with an offset: weight = d * code - m.
typedef struct scale_min {
    vec d, m;
} scale_min;

typedef struct best_scale_min {
    scale_min at;
    vec gain;
} best_scale_min;

// Fits d and m to the codes that `inverse` and `m` give; m stays 0 or more if it has to.
INLINE void try_scale_min(const vec *x, const vec *w, int n, vec inverse, vec m, float high, bool positive,
                          best_scale_min *best) {
    const code_range r = WHOLE(0.0f, high);
    const vec zero = vec_set1(0.0f);
    vec sw = zero, swx = zero, swq = zero, swqq = zero, swxq = zero;
    for (int i = 0; i < n; i++) {
        const vec q = nearest_code(vec_add(x[i], m), inverse, r), wq = vec_mul(w[i], q);
        sw = vec_add(sw, w[i]);
        swx = vec_fma(w[i], x[i], swx);
        swq = vec_add(swq, wq);
        swqq = vec_fma(wq, q, swqq);
        swxq = vec_fma(wq, x[i], swxq);
    }
    const vec det = vec_sub(vec_mul(sw, swqq), vec_mul(swq, swq));
    const vec alone = vec_ratio(swxq, swqq);
    vec d = vec_ratio(vec_sub(vec_mul(sw, swxq), vec_mul(swx, swq)), det);
    vec least = vec_ratio(vec_sub(vec_mul(swqq, swx), vec_mul(swq, swxq)), det); // -m
    // Codes that are all the same leave the system without a solution.
    const vec singular = vec_mul(vec_set1(1e-6f), vec_mul(sw, swqq));
    d = vec_where_less(singular, det, d, alone);
    least = vec_where_less(singular, det, least, zero);
    if (positive) {
        d = vec_where_less(zero, least, alone, d);
        least = vec_min(least, zero);
    }
    const vec gain = vec_fma(d, swxq, vec_mul(least, swx));
    best->at.d = vec_where_less(best->gain, gain, d, best->at.d);
    best->at.m = vec_where_less(best->gain, gain, vec_negate(least), best->at.m);
    best->gain = vec_max(best->gain, gain);
}

// As search_scale, with the range of the weights put on codes 0 to `high`, and `parts` of it.
INLINE scale_min search_scale_min(const vec *x, const vec *w, int n, float high, bool positive, int steps,
                                  int parts) {
    vec least = x[0], most = x[0];
    for (int i = 1; i < n; i++) {
        least = vec_min(least, x[i]);
        most = vec_max(most, x[i]);
    }
    if (positive)
        least = vec_min(least, vec_set1(0.0f));
    best_scale_min best = {{vec_set1(0.0f), vec_set1(0.0f)}, vec_set1(0.0f)};
    const vec range = vec_sub(most, least);
    // All weights the same: code 0 and an offset, or code 1 where that can't be.
    if (!positive)
        best.at.m = vec_negate(least);
    try_scale_min(x, w, n, vec_ratio(vec_set1(1.0f), most), vec_set1(0.0f), high, positive, &best);
    for (int part = 0; part < parts; part++) {
        const vec m = vec_mul(least, vec_set1(-1.0f + 0.6f / (float)parts * (float)part));
        for (int s = -steps; s <= steps; s++)
            try_scale_min(x, w, n, vec_ratio(vec_set1(high + 0.1f * (float)s), range), m, high, positive,
                          &best);
    }
    for (int round = 0; round < 4; round++)
        try_scale_min(x, w, n, vec_ratio(vec_set1(1.0f), best.at.d), best.at.m, high, positive, &best);
    return best.at;
}

INLINE vec scale_min_error(const vec *x, const vec *w, int n, scale_min at, float high) {
    const code_range r = WHOLE(0.0f, high);
    const vec inverse = vec_ratio(vec_set1(1.0f), at.d);
    vec error = vec_set1(0.0f);
    for (int i = 0; i < n; i++) {
        const vec q = nearest_code(vec_add(x[i], at.m), inverse, r);
        const vec e = vec_add(vec_fma(vec_negate(at.d), q, x[i]), at.m);
        error = vec_fma(vec_mul(w[i], e), e, error);
    }
    return error;
}

// ------------------------------------------------------------------------------------------------- groups

// Blocks of groups whose scales are codes too: weight = d * scale * code, or d * scale * code - e * minimum.
typedef struct encode_groups {
    int n, size;                // groups, weights of each
    code_range codes, scales;   // minimums are in the range of scales
    vec scale[16], minimum[16]; // of groups, whole numbers
    vec d, e;                   // halves
} encode_groups;

enum { ENCODE_ROUNDS = 2 };

// The scale d, given the groups' scales and the codes that follow.
INLINE void refit_scale(const encode_lanes *b, encode_groups *g) {
    vec sxa = vec_set1(0.0f), saa = sxa;
    for (int k = 0; k < g->n; k++) {
        const vec inverse = vec_ratio(vec_set1(1.0f), vec_mul(g->d, g->scale[k]));
        const fit_sums s = fit_codes(b->x + k * g->size, b->w + k * g->size, g->size, inverse, g->codes);
        sxa = vec_fma(g->scale[k], s.wxq, sxa);
        saa = vec_fma(vec_mul(g->scale[k], g->scale[k]), s.wqq, saa);
    }
    const vec d = vec_as_half(vec_ratio(sxa, saa));
    g->d = vec_where_less(vec_set1(0.0f), vec_abs(d), d, g->d);
}

INLINE void improve_scales(const encode_lanes *b, encode_groups *g) {
    for (int k = 0; k < g->n; k++) {
        const vec *x = b->x + k * g->size, *w = b->w + k * g->size, now = g->scale[k];
        vec least = scale_error(x, w, g->size, vec_mul(g->d, now), g->codes);
        for (int step = -1; step <= 1; step += 2) {
            const vec s = vec_clamp(vec_add(now, vec_set1((float)step)), g->scales.low, g->scales.high);
            const vec error = scale_error(x, w, g->size, vec_mul(g->d, s), g->codes);
            g->scale[k] = vec_where_less(error, least, s, g->scale[k]);
            least = vec_min(error, least);
        }
    }
}

// Scales of groups, and theirs: the largest is put on the far end of its range.
INLINE void encode_scales(const encode_lanes *b, encode_groups *g, int steps) {
    vec d[16], most = vec_set1(0.0f), largest = most;
    for (int k = 0; k < g->n; k++) {
        d[k] = search_scale(b->x + k * g->size, b->w + k * g->size, g->size, g->codes, steps);
        largest = vec_where_less(most, vec_abs(d[k]), d[k], largest);
        most = vec_max(most, vec_abs(d[k]));
    }
    g->d = vec_as_half(vec_mul(largest, vec_set1(1.0f / g->scales.low)));
    const vec inverse = vec_ratio(vec_set1(1.0f), g->d);
    for (int k = 0; k < g->n; k++)
        g->scale[k] = nearest_code(d[k], inverse, g->scales);
    for (int round = 0; round < ENCODE_ROUNDS; round++) {
        refit_scale(b, g);
        improve_scales(b, g);
    }
}

INLINE scale_min group_scale_min(const encode_groups *g, vec scale, vec minimum) {
    return (scale_min){vec_mul(g->d, scale), vec_mul(g->e, minimum)};
}

// d and e together, given all else.
INLINE void refit_scale_min(const encode_lanes *b, encode_groups *g) {
    const vec zero = vec_set1(0.0f);
    vec saa = zero, sab = zero, sbb = zero, sxa = zero, sxb = zero; // a: scale * code, b: minimum
    for (int k = 0; k < g->n; k++) {
        const vec *x = b->x + k * g->size, *w = b->w + k * g->size;
        const scale_min at = group_scale_min(g, g->scale[k], g->minimum[k]);
        const vec inverse = vec_ratio(vec_set1(1.0f), at.d);
        vec sw = zero, swx = zero, swq = zero, swqq = zero, swxq = zero;
        for (int i = 0; i < g->size; i++) {
            const vec q = nearest_code(vec_add(x[i], at.m), inverse, g->codes), wq = vec_mul(w[i], q);
            sw = vec_add(sw, w[i]);
            swx = vec_fma(w[i], x[i], swx);
            swq = vec_add(swq, wq);
            swqq = vec_fma(wq, q, swqq);
            swxq = vec_fma(wq, x[i], swxq);
        }
        const vec s = g->scale[k], m = g->minimum[k];
        saa = vec_fma(vec_mul(s, s), swqq, saa);
        sab = vec_fma(vec_mul(s, m), swq, sab);
        sbb = vec_fma(vec_mul(m, m), sw, sbb);
        sxa = vec_fma(s, swxq, sxa);
        sxb = vec_fma(m, swx, sxb);
    }
    // The least of sum w (x - d a + e b)^2.
    const vec det = vec_sub(vec_mul(saa, sbb), vec_mul(sab, sab));
    const vec singular = vec_mul(vec_set1(1e-6f), vec_mul(saa, sbb));
    vec d = vec_ratio(vec_sub(vec_mul(sxa, sbb), vec_mul(sab, sxb)), det);
    vec e = vec_ratio(vec_sub(vec_mul(sab, sxa), vec_mul(saa, sxb)), det);
    d = vec_where_less(singular, det, d, vec_ratio(vec_fma(g->e, sab, sxa), saa));
    e = vec_where_less(singular, det, e, g->e);
    d = vec_as_half(d), e = vec_as_half(e);
    // Neither may turn round.
    const vec least = vec_min(d, e);
    g->d = vec_where_less(least, zero, g->d, d);
    g->e = vec_where_less(least, zero, g->e, e);
}

INLINE void improve_scales_mins(const encode_lanes *b, encode_groups *g) {
    for (int k = 0; k < g->n; k++) {
        const vec *x = b->x + k * g->size, *w = b->w + k * g->size;
        const vec s0 = g->scale[k], m0 = g->minimum[k];
        vec least = scale_min_error(x, w, g->size, group_scale_min(g, s0, m0), g->codes.high);
        for (int step = 0; step < 9; step++) {
            if (step == 4)
                continue;
            const vec s = vec_clamp(vec_add(s0, vec_set1((float)(step % 3 - 1))), 0.0f, g->scales.high);
            const vec m = vec_clamp(vec_add(m0, vec_set1((float)(step / 3 - 1))), 0.0f, g->scales.high);
            const vec error = scale_min_error(x, w, g->size, group_scale_min(g, s, m), g->codes.high);
            g->scale[k] = vec_where_less(error, least, s, g->scale[k]);
            g->minimum[k] = vec_where_less(error, least, m, g->minimum[k]);
            least = vec_min(error, least);
        }
    }
}

INLINE void encode_scales_mins(const encode_lanes *b, encode_groups *g, int steps) {
    scale_min at[16];
    vec most_d = vec_set1(0.0f), most_m = most_d;
    for (int k = 0; k < g->n; k++) {
        at[k] =
            search_scale_min(b->x + k * g->size, b->w + k * g->size, g->size, g->codes.high, true, steps, 4);
        most_d = vec_max(most_d, at[k].d);
        most_m = vec_max(most_m, at[k].m);
    }
    g->d = vec_as_half(vec_mul(most_d, vec_set1(1.0f / g->scales.high)));
    g->e = vec_as_half(vec_mul(most_m, vec_set1(1.0f / g->scales.high)));
    const vec inverse_d = vec_ratio(vec_set1(1.0f), g->d), inverse_e = vec_ratio(vec_set1(1.0f), g->e);
    for (int k = 0; k < g->n; k++) {
        g->scale[k] = nearest_code(at[k].d, inverse_d, g->scales);
        g->minimum[k] = nearest_code(at[k].m, inverse_e, g->scales);
    }
    for (int round = 0; round < ENCODE_ROUNDS; round++) {
        improve_scales_mins(b, g);
        refit_scale_min(b, g);
    }
    improve_scales_mins(b, g);
}

// ------------------------------------------------------------------------------------------------- codes

enum { ENCODE_GROUPS = ENCODE_MAX / 16 };

// What codes stand for: weight = d * code - m, with a d and an m for each group of weights.
typedef struct encode_grid {
    int n, size; // groups, weights of each
    vec d[ENCODE_GROUPS], m[ENCODE_GROUPS];
} encode_grid;

INLINE encode_grid grid_of(const encode_groups *g) {
    encode_grid grid = {.n = g->n, .size = g->size};
    for (int k = 0; k < g->n; k++) {
        const scale_min at = group_scale_min(g, g->scale[k], g->minimum[k]);
        grid.d[k] = at.d;
        grid.m[k] = at.m;
    }
    return grid;
}

// Each weight's nearest code, as whole numbers from 0 on.
INLINE void nearest_codes(const vec *x, int n, const encode_grid *g, code_range r, ivec *codes) {
    for (int k = 0; k < n / g->size; k++) {
        const vec inverse = vec_ratio(vec_set1(1.0f), g->d[k]);
        for (int i = k * g->size; i < (k + 1) * g->size; i++)
            codes[i] = number_of(nearest_code(vec_add(x[i], g->m[k]), inverse, r), r);
    }
}
