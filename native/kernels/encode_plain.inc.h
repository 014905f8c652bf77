// Encoders of types whose codes are numbers: 4- to 6-bit ones, k-quants, ternary weights, small floats.
// quant/<type>.inc.h describes the layouts.

// Each type brings
//   void <type>_fit(blocks, where to, grid)  finds the scales, puts them there, and fills in the grid
//   void <type>_put(where to, codes)            puts the codes, which it may change
// and what its codes stand for.
#define ENCODER(type, weights, codes_range)                                                                  \
    static NOINLINE void type##_fit_lanes(const encode_lanes *b, const encode_out *out, encode_grid *g) {    \
        type##_fit(b, out, g);                                                                               \
    }                                                                                                        \
    INLINE void type##_encode_lanes(const encode_lanes *b, const encode_out *out) {                          \
        encode_grid grid;                                                                                    \
        ivec codes[type##_block_weights];                                                                    \
        type##_fit_lanes(b, out, &grid);                                                                     \
        nearest_codes(b->x, type##_block_weights, &grid, codes_range, codes);                                \
        type##_put(out, codes);                                                                              \
    }                                                                                                        \
    ENCODE_BLOCKS(type, weights, (void)0, type##_encode_lanes(&lanes, &out))                                 \
    ENCODE_WINDOWS(type, weights, codes_range)

enum { ENCODE_STEPS = 9 };

// ------------------------------------------------------------------------------------------------- Q4_0 to
// Q5_1

INLINE void put_nibbles(const encode_out *out, int64_t at, const ivec *codes, int apart, int n) {
    const ivec mask = veci_set1(15);
    ivec bytes[128];
    for (int i = 0; i < n; i++)
        bytes[i] = veci_or(veci_and(codes[i], mask), veci_shl(veci_and(codes[i + apart], mask), 4));
    put_bytes(out, at, bytes, n);
}

// Bit 4 of 32 codes.
INLINE void put_fifth_bits(const encode_out *out, int64_t at, const ivec *codes) {
    ivec bits = veci_zero();
    for (int i = 0; i < 32; i++)
        bits = veci_or(bits, veci_shl(veci_and(veci_shr(codes[i], 4), veci_set1(1)), i));
    put_words(out, at, bits);
}

// One scale for all weights of a block.
INLINE void one_scale(encode_grid *g, int size, vec d, vec m) {
    *g = (encode_grid){.n = 1, .size = size};
    g->d[0] = d;
    g->m[0] = m;
}

// Codes around zero.
INLINE void scaled_32(const encode_lanes *b, code_range r, const encode_out *out, encode_grid *g) {
    const vec d = vec_as_half(search_scale(b->x, b->w, 32, r, 2 * ENCODE_STEPS));
    put_halves(out, 0, bits_of_half(d));
    one_scale(g, 32, d, vec_set1(0.0f));
}

// Codes from a minimum on.
INLINE void scaled_min_32(const encode_lanes *b, code_range r, const encode_out *out, encode_grid *g) {
    const scale_min at = search_scale_min(b->x, b->w, 32, r.high, false, ENCODE_STEPS, 8);
    const vec d = vec_as_half(at.d), m = vec_as_half(vec_negate(at.m));
    put_halves(out, 0, bits_of_half(d));
    put_halves(out, 2, bits_of_half(m));
    one_scale(g, 32, d, vec_negate(m));
}

#define Q4_0_CODES WHOLE(-8.0f, 7.0f)
#define Q5_0_CODES WHOLE(-16.0f, 15.0f)
#define FOUR_BITS  WHOLE(0.0f, 15.0f)
#define FIVE_BITS  WHOLE(0.0f, 31.0f)

INLINE void q4_0_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    scaled_32(b, Q4_0_CODES, out, g);
}

INLINE void q4_0_put(const encode_out *out, ivec *codes) {
    put_nibbles(out, 2, codes, 16, 16);
}

INLINE void q5_0_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    scaled_32(b, Q5_0_CODES, out, g);
}

INLINE void q5_0_put(const encode_out *out, ivec *codes) {
    put_fifth_bits(out, 2, codes);
    put_nibbles(out, 6, codes, 16, 16);
}

INLINE void q4_1_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    scaled_min_32(b, FOUR_BITS, out, g);
}

INLINE void q4_1_put(const encode_out *out, ivec *codes) {
    put_nibbles(out, 4, codes, 16, 16);
}

INLINE void q5_1_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    scaled_min_32(b, FIVE_BITS, out, g);
}

INLINE void q5_1_put(const encode_out *out, ivec *codes) {
    put_fifth_bits(out, 4, codes);
    put_nibbles(out, 8, codes, 16, 16);
}

ENCODER(q4_0, WEIGH_EVENLY, Q4_0_CODES)
ENCODER(q4_1, WEIGH_EVENLY, FOUR_BITS)
ENCODER(q5_0, WEIGH_EVENLY, Q5_0_CODES)
ENCODER(q5_1, WEIGH_EVENLY, FIVE_BITS)

// ------------------------------------------------------------------------------------------------- k-quants

// Bits `shift` and up of codes i, i + 32, ... i + 32 (n - 1), `bits` of each, in byte i; of runs of 32 n
// codes.
INLINE void put_strided(const encode_out *out, int64_t at, const ivec codes[256], int shift, int bits,
                        int n) {
    const ivec mask = veci_set1((1 << bits) - 1);
    ivec bytes[64];
    for (int run = 0; run < 8 / n; run++)
        for (int i = 0; i < 32; i++) {
            ivec byte = veci_zero();
            for (int t = 0; t < n; t++)
                byte = veci_or(
                    byte, veci_shl(veci_and(veci_shr(codes[32 * (n * run + t) + i], shift), mask), bits * t));
            bytes[32 * run + i] = byte;
        }
    put_bytes(out, at, bytes, 256 / n);
}

// The numbers of groups, from 0 on.
INLINE void scale_codes(const encode_groups *g, const vec *scale, ivec *codes) {
    for (int k = 0; k < g->n; k++)
        codes[k] = vec_round(vec_sub(scale[k], vec_set1(g->scales.low)));
}

INLINE void put_scales_mins_6(const encode_out *out, int64_t at, const encode_groups *g) {
    const ivec four = veci_set1(15);
    ivec s[8], m[8], bytes[12];
    scale_codes(g, g->scale, s);
    scale_codes(g, g->minimum, m);
    for (int i = 0; i < 4; i++) {
        bytes[i] = veci_or(s[i], veci_shl(veci_shr(s[4 + i], 4), 6));
        bytes[4 + i] = veci_or(m[i], veci_shl(veci_shr(m[4 + i], 4), 6));
        bytes[8 + i] = veci_or(veci_and(s[4 + i], four), veci_shl(veci_and(m[4 + i], four), 4));
    }
    put_bytes(out, at, bytes, 12);
}

// Q4_K and Q5_K.
INLINE void scaled_min_k(const encode_lanes *b, code_range r, const encode_out *out, encode_grid *grid) {
    encode_groups g = {.n = 8, .size = 32, .codes = r, .scales = WHOLE(0.0f, 63.0f)};
    encode_scales_mins(b, &g, ENCODE_STEPS);
    put_halves(out, 0, bits_of_half(g.d));
    put_halves(out, 2, bits_of_half(g.e));
    put_scales_mins_6(out, 4, &g);
    *grid = grid_of(&g);
}

INLINE void put_nibble_runs(const encode_out *out, int64_t at, const ivec codes[256]) {
    for (int run = 0; run < 4; run++)
        put_nibbles(out, at + 32 * run, codes + 64 * run, 32, 32);
}

INLINE void q4_k_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    scaled_min_k(b, FOUR_BITS, out, g);
}

INLINE void q4_k_put(const encode_out *out, ivec *codes) {
    put_nibble_runs(out, 16, codes);
}

INLINE void q5_k_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    scaled_min_k(b, FIVE_BITS, out, g);
}

INLINE void q5_k_put(const encode_out *out, ivec *codes) {
    put_strided(out, 16, codes, 4, 1, 8);
    put_nibble_runs(out, 48, codes);
}

#define TWO_BITS   WHOLE(0.0f, 3.0f)
#define Q3_K_CODES WHOLE(-4.0f, 3.0f)
#define Q6_K_CODES WHOLE(-32.0f, 31.0f)

INLINE void q2_k_fit(const encode_lanes *b, const encode_out *out, encode_grid *grid) {
    encode_groups g = {.n = 16, .size = 16, .codes = TWO_BITS, .scales = WHOLE(0.0f, 15.0f)};
    ivec s[16], m[16];
    encode_scales_mins(b, &g, ENCODE_STEPS);
    scale_codes(&g, g.scale, s);
    scale_codes(&g, g.minimum, m);
    for (int k = 0; k < 16; k++)
        s[k] = veci_or(s[k], veci_shl(m[k], 4));
    put_bytes(out, 0, s, 16);
    put_halves(out, 80, bits_of_half(g.d));
    put_halves(out, 82, bits_of_half(g.e));
    *grid = grid_of(&g);
}

INLINE void q2_k_put(const encode_out *out, ivec *codes) {
    put_strided(out, 16, codes, 0, 2, 4);
}

// Groups without minimums.
INLINE encode_groups scaled_groups(const encode_lanes *b, int n, code_range codes, code_range scales) {
    encode_groups g = {.n = n, .size = 256 / n, .codes = codes, .scales = scales, .e = vec_set1(0.0f)};
    for (int k = 0; k < n; k++)
        g.minimum[k] = vec_set1(0.0f);
    encode_scales(b, &g, ENCODE_STEPS);
    return g;
}

INLINE void q3_k_fit(const encode_lanes *b, const encode_out *out, encode_grid *grid) {
    const encode_groups g = scaled_groups(b, 16, Q3_K_CODES, WHOLE(-32.0f, 31.0f));
    const ivec four = veci_set1(15);
    ivec s[16], bytes[12];
    scale_codes(&g, g.scale, s);
    for (int i = 0; i < 8; i++)
        bytes[i] = veci_or(veci_and(s[i], four), veci_shl(veci_and(s[8 + i], four), 4));
    for (int i = 0; i < 4; i++)
        bytes[8 + i] =
            veci_or(veci_or(veci_shr(s[i], 4), veci_shl(veci_shr(s[4 + i], 4), 2)),
                    veci_or(veci_shl(veci_shr(s[8 + i], 4), 4), veci_shl(veci_shr(s[12 + i], 4), 6)));
    put_bytes(out, 96, bytes, 12);
    put_halves(out, 108, bits_of_half(g.d));
    *grid = grid_of(&g);
}

INLINE void q3_k_put(const encode_out *out, ivec *codes) {
    put_strided(out, 0, codes, 2, 1, 8);
    put_strided(out, 32, codes, 0, 2, 4);
}

INLINE void q6_k_fit(const encode_lanes *b, const encode_out *out, encode_grid *grid) {
    const encode_groups g = scaled_groups(b, 16, Q6_K_CODES, WHOLE(-128.0f, 127.0f));
    ivec s[16];
    for (int k = 0; k < 16; k++)
        s[k] = veci_and(vec_round(g.scale[k]), veci_set1(255));
    put_bytes(out, 192, s, 16);
    put_halves(out, 208, bits_of_half(g.d));
    *grid = grid_of(&g);
}

INLINE void q6_k_put(const encode_out *out, ivec *codes) {
    for (int run = 0; run < 2; run++)
        put_nibbles(out, 64 * run, codes + 128 * run, 64, 64);
    put_strided(out, 128, codes, 4, 2, 4);
}

ENCODER(q2_k, WEIGH_MORE, TWO_BITS)
ENCODER(q3_k, WEIGH_SQUARE, Q3_K_CODES)
ENCODER(q4_k, WEIGH_MORE, FOUR_BITS)
ENCODER(q5_k, WEIGH_MORE, FIVE_BITS)
ENCODER(q6_k, WEIGH_SQUARE, Q6_K_CODES)

// ------------------------------------------------------------------------------------------------- IQ4_NL,
// IQ4_XS

#define IQ4_VALUES ((code_range){-127.0f, 113.0f, 1.2f, codebook_iq4, 16})

INLINE void iq4_nl_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    scaled_32(b, IQ4_VALUES, out, g);
}

INLINE void iq4_nl_put(const encode_out *out, ivec *codes) {
    put_nibbles(out, 2, codes, 16, 16);
}

INLINE void iq4_xs_fit(const encode_lanes *b, const encode_out *out, encode_grid *grid) {
    const encode_groups g = scaled_groups(b, 8, IQ4_VALUES, WHOLE(-32.0f, 31.0f));
    ivec s[8], high = veci_zero(), low = veci_zero();
    scale_codes(&g, g.scale, s);
    for (int k = 0; k < 8; k++) {
        high = veci_or(high, veci_shl(veci_shr(s[k], 4), 2 * k));
        low = veci_or(low, veci_shl(veci_and(s[k], veci_set1(15)), 4 * k));
    }
    put_halves(out, 0, bits_of_half(g.d));
    put_halves(out, 2, high);
    put_words(out, 4, low);
    *grid = grid_of(&g);
}

INLINE void iq4_xs_put(const encode_out *out, ivec *codes) {
    for (int k = 0; k < 8; k++)
        put_nibbles(out, 8 + 16 * k, codes + 32 * k, 16, 16);
}

ENCODER(iq4_nl, WEIGH_EVENLY, IQ4_VALUES)
ENCODER(iq4_xs, WEIGH_EVENLY, IQ4_VALUES)

// ------------------------------------------------------------------------------------------------- MXFP4,
// NVFP4

// codebook_e2m1 in order.
static const int8_t e2m1_sorted[15] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};

#define E2M1_VALUES ((code_range){-12.0f, 12.0f, 0.3f, e2m1_sorted, 15})

// Numbers counted from the lowest on, as 4-bit floats.
INLINE void e2m1_codes(ivec *codes, int n) {
    for (int i = 0; i < n; i++) {
        const ivec below = veci_sar(veci_sub(codes[i], veci_set1(7)), 31); // all bits of the negative ones
        const ivec magnitude = veci_sub(veci_xor(veci_sub(codes[i], veci_set1(7)), below), below);
        codes[i] = veci_or(magnitude, veci_and(below, veci_set1(8)));
    }
}

// Of the powers of two near the largest magnitude's the best.
INLINE void mxfp4_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    vec most = vec_set1(0.0f);
    for (int i = 0; i < 32; i++)
        most = vec_max(most, vec_abs(b->x[i]));
    const ivec exponent = veci_shr(veci_as_int(most), 23);
    ivec best = veci_zero();
    vec least = vec_set1(INFINITY), scale = vec_set1(0.0f);
    for (int step = -4; step <= -1; step++) {
        const ivec e = veci_max(veci_add(exponent, veci_set1(step)), veci_set1(2));
        const vec d = veci_as_float(veci_shl(veci_sub(e, veci_set1(1)), 23));
        const vec error = scale_error(b->x, b->w, 32, d, E2M1_VALUES);
        best = vec_round(vec_where_less(error, least, veci_to_float(e), veci_to_float(best)));
        scale = vec_where_less(error, least, d, scale);
        least = vec_min(error, least);
    }
    // Nothing but zeros: the smallest scale.
    best = vec_round(vec_where_less(vec_set1(0.0f), most, veci_to_float(best), vec_set1(0.0f)));
    put_first_bytes(out, 0, best);
    one_scale(g, 32, scale, vec_set1(0.0f));
}

INLINE void mxfp4_put(const encode_out *out, ivec *codes) {
    e2m1_codes(codes, 32);
    put_nibbles(out, 1, codes, 16, 16);
}

// A scale's float of 4 exponent and 3 mantissa bits, next to d from below, for half of its value.
INLINE ivec ue4m3_below(vec d) {
    const ivec normal = veci_sub(veci_shr(veci_as_int(d), 20), veci_set1(119 << 3));
    const ivec small = vec_round(vec_sub(vec_mul(d, vec_set1(1024.0f)), vec_set1(0.5f)));
    const vec which = vec_where_less(d, vec_set1(0x1p-7f), veci_to_float(small), veci_to_float(normal));
    return vec_round(vec_clamp(which, 0.0f, 125.0f));
}

INLINE void nvfp4_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    ivec scales[4];
    *g = (encode_grid){.n = 4, .size = 16};
    for (int k = 0; k < 4; k++) {
        const vec *x = b->x + 16 * k, *w = b->w + 16 * k;
        const vec d = vec_abs(search_scale(x, w, 16, E2M1_VALUES, ENCODE_STEPS));
        const ivec below = ue4m3_below(d), above = veci_add(below, veci_set1(1));
        const vec d_below = small_float(below), d_above = small_float(above);
        const vec error_below = scale_error(x, w, 16, d_below, E2M1_VALUES);
        const vec error_above = scale_error(x, w, 16, d_above, E2M1_VALUES);
        scales[k] =
            vec_round(vec_where_less(error_above, error_below, veci_to_float(above), veci_to_float(below)));
        g->d[k] = small_float(scales[k]);
        g->m[k] = vec_set1(0.0f);
    }
    put_bytes(out, 0, scales, 4);
}

INLINE void nvfp4_put(const encode_out *out, ivec *codes) {
    e2m1_codes(codes, 64);
    for (int k = 0; k < 4; k++)
        put_nibbles(out, 4 + 8 * k, codes + 16 * k, 8, 8);
}

ENCODER(mxfp4, WEIGH_EVENLY, E2M1_VALUES)
ENCODER(nvfp4, WEIGH_EVENLY, E2M1_VALUES)

// ----------------------------------------------------------------------------------------- a bit or two

// Weights of -1, 0 and 1, and of 2 too: scales reach down to a fraction of the largest magnitude.
#define TERNARY     ((code_range){-1.0f, 1.0f, 0.25f, NULL, 0})
#define TERNARY_TWO ((code_range){-1.0f, 2.0f, 0.25f, NULL, 0})

INLINE void few_codes(const encode_lanes *b, int n, code_range r, const encode_out *out, int64_t at,
                      encode_grid *g) {
    vec d = search_scale(b->x, b->w, n, r, 2 * ENCODE_STEPS);
    d = vec_as_half(r.low == -r.high ? vec_abs(d) : d);
    put_halves(out, at, bits_of_half(d));
    one_scale(g, n, d, vec_set1(0.0f));
}

INLINE void tq2_0_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    few_codes(b, 256, TERNARY, out, 64, g);
}

INLINE void tq2_0_put(const encode_out *out, ivec *codes) {
    put_strided(out, 0, codes, 0, 2, 4);
}

// Bytes of five digits that stand `apart`, as fractions of 256; of four, the last is 0.
INLINE void put_digits(const encode_out *out, int64_t at, const ivec *codes, int apart, int n) {
    const vec three = vec_set1(3.0f);
    ivec bytes[32];
    for (int i = 0; i < apart; i++) {
        vec number = vec_set1(0.0f);
        for (int k = 0; k < 5; k++)
            number = vec_fma(number, three, k < n ? veci_to_float(codes[i + k * apart]) : vec_set1(0.0f));
        // 256 / 243 of it, rounded up: the quotient of whole numbers, rounded down.
        const vec quotient = vec_div(vec_fma(number, vec_set1(256.0f), vec_set1(242.0f)), vec_set1(243.0f));
        bytes[i] = vec_round(vec_sub(quotient, vec_set1(0.498f)));
    }
    put_bytes(out, at, bytes, apart);
}

INLINE void tq1_0_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    few_codes(b, 256, TERNARY, out, 52, g);
}

INLINE void tq1_0_put(const encode_out *out, ivec *codes) {
    put_digits(out, 0, codes, 32, 5);
    put_digits(out, 32, codes + 160, 16, 5);
    put_digits(out, 48, codes + 240, 4, 4);
}

INLINE void q2_0_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    few_codes(b, 64, TERNARY_TWO, out, 0, g);
}

INLINE void q2_0_put(const encode_out *out, ivec *codes) {
    ivec bytes[16];
    for (int i = 0; i < 16; i++)
        bytes[i] = veci_or(veci_or(codes[4 * i], veci_shl(codes[4 * i + 1], 2)),
                           veci_or(veci_shl(codes[4 * i + 2], 4), veci_shl(codes[4 * i + 3], 6)));
    put_bytes(out, 2, bytes, 16);
}

static const int8_t both_signs[2] = {-1, 1};

#define SIGNS ((code_range){-1.0f, 1.0f, 0.0f, both_signs, 2})

INLINE void q1_0_fit(const encode_lanes *b, const encode_out *out, encode_grid *g) {
    vec sum = vec_set1(0.0f), weight = sum;
    for (int i = 0; i < 128; i++) {
        sum = vec_fma(b->w[i], vec_abs(b->x[i]), sum);
        weight = vec_add(weight, b->w[i]);
    }
    const vec d = vec_as_half(vec_ratio(sum, weight));
    put_halves(out, 0, bits_of_half(d));
    one_scale(g, 128, d, vec_set1(0.0f));
}

INLINE void q1_0_put(const encode_out *out, ivec *codes) {
    ivec bytes[16];
    for (int i = 0; i < 16; i++) {
        bytes[i] = veci_zero();
        for (int k = 0; k < 8; k++)
            bytes[i] = veci_or(bytes[i], veci_shl(codes[8 * i + k], k));
    }
    put_bytes(out, 2, bytes, 16);
}

ENCODER(tq1_0, WEIGH_COLUMNS, TERNARY)
ENCODER(tq2_0, WEIGH_COLUMNS, TERNARY)
ENCODER(q1_0, WEIGH_COLUMNS, SIGNS)
ENCODER(q2_0, WEIGH_COLUMNS, TERNARY_TWO)
