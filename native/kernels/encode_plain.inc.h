// Encoders of types whose codes are numbers: 4- to 6-bit ones, k-quants, ternary weights, small floats.
// quant/<type>.inc.h describes the layouts.

// Each type brings <type>_encode_lanes(blocks, where to).
#define ENCODER(type, weights) ENCODE_BLOCKS(type, weights, (void)0, type##_encode_lanes(&lanes, &out))

enum { ENCODE_STEPS = 9 };

// ------------------------------------------------------------------------------------------------- Q4_0 to
// Q5_1

// The codes of weights: whole numbers from 0 on.
INLINE void codes_of(const vec *x, int n, vec d, vec m, code_range r, ivec *codes) {
    const vec inverse = vec_ratio(vec_set1(1.0f), d);
    for (int i = 0; i < n; i++)
        codes[i] = number_of(nearest_code(vec_sub(x[i], m), inverse, r), r);
}

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

// Codes around zero.
INLINE void scaled_32(const encode_lanes *b, code_range r, const encode_out *out, ivec codes[32]) {
    const vec d = vec_as_half(search_scale(b->x, b->w, 32, r, 2 * ENCODE_STEPS));
    put_halves(out, 0, bits_of_half(d));
    codes_of(b->x, 32, d, vec_set1(0.0f), r, codes);
}

// Codes from a minimum on.
INLINE void scaled_min_32(const encode_lanes *b, float high, const encode_out *out, ivec codes[32]) {
    const scale_min at = search_scale_min(b->x, b->w, 32, high, false, ENCODE_STEPS, 8);
    const vec d = vec_as_half(at.d), m = vec_as_half(vec_negate(at.m));
    put_halves(out, 0, bits_of_half(d));
    put_halves(out, 2, bits_of_half(m));
    codes_of(b->x, 32, d, m, WHOLE(0.0f, high), codes);
}

INLINE void q4_0_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[32];
    scaled_32(b, WHOLE(-8.0f, 7.0f), out, codes);
    put_nibbles(out, 2, codes, 16, 16);
}

INLINE void q5_0_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[32];
    scaled_32(b, WHOLE(-16.0f, 15.0f), out, codes);
    put_fifth_bits(out, 2, codes);
    put_nibbles(out, 6, codes, 16, 16);
}

INLINE void q4_1_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[32];
    scaled_min_32(b, 15.0f, out, codes);
    put_nibbles(out, 4, codes, 16, 16);
}

INLINE void q5_1_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[32];
    scaled_min_32(b, 31.0f, out, codes);
    put_fifth_bits(out, 4, codes);
    put_nibbles(out, 8, codes, 16, 16);
}

ENCODER(q4_0, WEIGH_EVENLY)
ENCODER(q4_1, WEIGH_EVENLY)
ENCODER(q5_0, WEIGH_EVENLY)
ENCODER(q5_1, WEIGH_EVENLY)

// ------------------------------------------------------------------------------------------------- k-quants

INLINE void all_codes(const encode_lanes *b, const encode_groups *g, ivec codes[256]) {
    for (int k = 0; k < g->n; k++)
        group_codes(b, g, k, codes + k * g->size);
}

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
INLINE void scaled_min_k(const encode_lanes *b, float high, const encode_out *out, ivec codes[256]) {
    encode_groups g = {.n = 8, .size = 32, .codes = WHOLE(0.0f, high), .scales = WHOLE(0.0f, 63.0f)};
    encode_scales_mins(b, &g, ENCODE_STEPS);
    put_halves(out, 0, bits_of_half(g.d));
    put_halves(out, 2, bits_of_half(g.e));
    put_scales_mins_6(out, 4, &g);
    all_codes(b, &g, codes);
}

INLINE void put_nibble_runs(const encode_out *out, int64_t at, const ivec codes[256]) {
    for (int run = 0; run < 4; run++)
        put_nibbles(out, at + 32 * run, codes + 64 * run, 32, 32);
}

INLINE void q4_k_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[256];
    scaled_min_k(b, 15.0f, out, codes);
    put_nibble_runs(out, 16, codes);
}

INLINE void q5_k_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[256];
    scaled_min_k(b, 31.0f, out, codes);
    put_strided(out, 16, codes, 4, 1, 8);
    put_nibble_runs(out, 48, codes);
}

INLINE void q2_k_encode_lanes(const encode_lanes *b, const encode_out *out) {
    encode_groups g = {.n = 16, .size = 16, .codes = WHOLE(0.0f, 3.0f), .scales = WHOLE(0.0f, 15.0f)};
    ivec s[16], m[16], codes[256];
    encode_scales_mins(b, &g, ENCODE_STEPS);
    scale_codes(&g, g.scale, s);
    scale_codes(&g, g.minimum, m);
    for (int k = 0; k < 16; k++)
        s[k] = veci_or(s[k], veci_shl(m[k], 4));
    put_bytes(out, 0, s, 16);
    all_codes(b, &g, codes);
    put_strided(out, 16, codes, 0, 2, 4);
    put_halves(out, 80, bits_of_half(g.d));
    put_halves(out, 82, bits_of_half(g.e));
}

// Groups without minimums.
INLINE encode_groups scaled_groups(const encode_lanes *b, int n, code_range codes, code_range scales) {
    encode_groups g = {.n = n, .size = 256 / n, .codes = codes, .scales = scales, .e = vec_set1(0.0f)};
    for (int k = 0; k < n; k++)
        g.minimum[k] = vec_set1(0.0f);
    encode_scales(b, &g, ENCODE_STEPS);
    return g;
}

INLINE void q3_k_encode_lanes(const encode_lanes *b, const encode_out *out) {
    const encode_groups g = scaled_groups(b, 16, WHOLE(-4.0f, 3.0f), WHOLE(-32.0f, 31.0f));
    const ivec four = veci_set1(15);
    ivec s[16], bytes[12], codes[256];
    scale_codes(&g, g.scale, s);
    for (int i = 0; i < 8; i++)
        bytes[i] = veci_or(veci_and(s[i], four), veci_shl(veci_and(s[8 + i], four), 4));
    for (int i = 0; i < 4; i++)
        bytes[8 + i] =
            veci_or(veci_or(veci_shr(s[i], 4), veci_shl(veci_shr(s[4 + i], 4), 2)),
                    veci_or(veci_shl(veci_shr(s[8 + i], 4), 4), veci_shl(veci_shr(s[12 + i], 4), 6)));
    all_codes(b, &g, codes);
    put_strided(out, 0, codes, 2, 1, 8);
    put_strided(out, 32, codes, 0, 2, 4);
    put_bytes(out, 96, bytes, 12);
    put_halves(out, 108, bits_of_half(g.d));
}

INLINE void q6_k_encode_lanes(const encode_lanes *b, const encode_out *out) {
    const encode_groups g = scaled_groups(b, 16, WHOLE(-32.0f, 31.0f), WHOLE(-128.0f, 127.0f));
    ivec s[16], codes[256];
    all_codes(b, &g, codes);
    for (int run = 0; run < 2; run++)
        put_nibbles(out, 64 * run, codes + 128 * run, 64, 64);
    put_strided(out, 128, codes, 4, 2, 4);
    for (int k = 0; k < 16; k++)
        s[k] = veci_and(vec_round(g.scale[k]), veci_set1(255));
    put_bytes(out, 192, s, 16);
    put_halves(out, 208, bits_of_half(g.d));
}

ENCODER(q2_k, WEIGH_MORE)
ENCODER(q3_k, WEIGH_SQUARE)
ENCODER(q4_k, WEIGH_MORE)
ENCODER(q5_k, WEIGH_MORE)
ENCODER(q6_k, WEIGH_SQUARE)

// ------------------------------------------------------------------------------------------------- IQ4_NL,
// IQ4_XS

#define IQ4_VALUES ((code_range){-127.0f, 113.0f, 1.2f, codebook_iq4, 16})

INLINE void iq4_nl_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[32];
    scaled_32(b, IQ4_VALUES, out, codes);
    put_nibbles(out, 2, codes, 16, 16);
}

INLINE void iq4_xs_encode_lanes(const encode_lanes *b, const encode_out *out) {
    const encode_groups g = scaled_groups(b, 8, IQ4_VALUES, WHOLE(-32.0f, 31.0f));
    ivec s[8], high = veci_zero(), low = veci_zero(), codes[256];
    scale_codes(&g, g.scale, s);
    for (int k = 0; k < 8; k++) {
        high = veci_or(high, veci_shl(veci_shr(s[k], 4), 2 * k));
        low = veci_or(low, veci_shl(veci_and(s[k], veci_set1(15)), 4 * k));
    }
    put_halves(out, 0, bits_of_half(g.d));
    put_halves(out, 2, high);
    put_words(out, 4, low);
    all_codes(b, &g, codes);
    for (int k = 0; k < 8; k++)
        put_nibbles(out, 8 + 16 * k, codes + 32 * k, 16, 16);
}

ENCODER(iq4_nl, WEIGH_EVENLY)
ENCODER(iq4_xs, WEIGH_EVENLY)

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
INLINE void mxfp4_encode_lanes(const encode_lanes *b, const encode_out *out) {
    vec most = vec_set1(0.0f);
    for (int i = 0; i < 32; i++)
        most = vec_max(most, vec_abs(b->x[i]));
    const ivec exponent = veci_shr(veci_as_int(most), 23);
    ivec best = veci_zero(), codes[32];
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
    codes_of(b->x, 32, scale, vec_set1(0.0f), E2M1_VALUES, codes);
    e2m1_codes(codes, 32);
    put_first_bytes(out, 0, best);
    put_nibbles(out, 1, codes, 16, 16);
}

// A scale's float of 4 exponent and 3 mantissa bits, next to d from below, for half of its value.
INLINE ivec ue4m3_below(vec d) {
    const ivec normal = veci_sub(veci_shr(veci_as_int(d), 20), veci_set1(119 << 3));
    const ivec small = vec_round(vec_sub(vec_mul(d, vec_set1(1024.0f)), vec_set1(0.5f)));
    const vec which = vec_where_less(d, vec_set1(0x1p-7f), veci_to_float(small), veci_to_float(normal));
    return vec_round(vec_clamp(which, 0.0f, 125.0f));
}

INLINE void nvfp4_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec scales[4];
    for (int k = 0; k < 4; k++) {
        const vec *x = b->x + 16 * k, *w = b->w + 16 * k;
        const vec d = vec_abs(search_scale(x, w, 16, E2M1_VALUES, ENCODE_STEPS));
        const ivec below = ue4m3_below(d), above = veci_add(below, veci_set1(1));
        const vec d_below = small_float(below), d_above = small_float(above);
        const vec error_below = scale_error(x, w, 16, d_below, E2M1_VALUES);
        const vec error_above = scale_error(x, w, 16, d_above, E2M1_VALUES);
        ivec codes[16];
        scales[k] =
            vec_round(vec_where_less(error_above, error_below, veci_to_float(above), veci_to_float(below)));
        codes_of(x, 16, small_float(scales[k]), vec_set1(0.0f), E2M1_VALUES, codes);
        e2m1_codes(codes, 16);
        put_nibbles(out, 4 + 8 * k, codes, 8, 8);
    }
    put_bytes(out, 0, scales, 4);
}

ENCODER(mxfp4, WEIGH_EVENLY)
ENCODER(nvfp4, WEIGH_EVENLY)

// ----------------------------------------------------------------------------------------- a bit or two

// Weights of -1, 0 and 1, and of 2 too: scales reach down to a fraction of the largest magnitude.
#define TERNARY     ((code_range){-1.0f, 1.0f, 0.25f, NULL, 0})
#define TERNARY_TWO ((code_range){-1.0f, 2.0f, 0.25f, NULL, 0})

INLINE vec few_codes(const encode_lanes *b, int n, code_range r, ivec *codes) {
    vec d = search_scale(b->x, b->w, n, r, 2 * ENCODE_STEPS);
    d = vec_as_half(r.low == -r.high ? vec_abs(d) : d);
    codes_of(b->x, n, d, vec_set1(0.0f), r, codes);
    return d;
}

INLINE void tq2_0_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[256];
    const vec d = few_codes(b, 256, TERNARY, codes);
    put_strided(out, 0, codes, 0, 2, 4);
    put_halves(out, 64, bits_of_half(d));
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

INLINE void tq1_0_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[256];
    const vec d = few_codes(b, 256, TERNARY, codes);
    put_digits(out, 0, codes, 32, 5);
    put_digits(out, 32, codes + 160, 16, 5);
    put_digits(out, 48, codes + 240, 4, 4);
    put_halves(out, 52, bits_of_half(d));
}

INLINE void q2_0_encode_lanes(const encode_lanes *b, const encode_out *out) {
    ivec codes[64], bytes[16];
    const vec d = few_codes(b, 64, TERNARY_TWO, codes);
    for (int i = 0; i < 16; i++)
        bytes[i] = veci_or(veci_or(codes[4 * i], veci_shl(codes[4 * i + 1], 2)),
                           veci_or(veci_shl(codes[4 * i + 2], 4), veci_shl(codes[4 * i + 3], 6)));
    put_halves(out, 0, bits_of_half(d));
    put_bytes(out, 2, bytes, 16);
}

INLINE void q1_0_encode_lanes(const encode_lanes *b, const encode_out *out) {
    vec sum = vec_set1(0.0f), weight = sum;
    ivec bytes[16];
    for (int i = 0; i < 128; i++) {
        sum = vec_fma(b->w[i], vec_abs(b->x[i]), sum);
        weight = vec_add(weight, b->w[i]);
    }
    for (int i = 0; i < 16; i++) {
        bytes[i] = veci_zero();
        for (int k = 0; k < 8; k++) {
            const vec bit = vec_where_less(b->x[8 * i + k], vec_set1(0.0f), vec_set1(0.0f), vec_set1(1.0f));
            bytes[i] = veci_or(bytes[i], veci_shl(vec_round(bit), k));
        }
    }
    put_halves(out, 0, bits_of_half(vec_ratio(sum, weight)));
    put_bytes(out, 2, bytes, 16);
}

ENCODER(tq1_0, WEIGH_COLUMNS)
ENCODER(tq2_0, WEIGH_COLUMNS)
ENCODER(q1_0, WEIGH_COLUMNS)
ENCODER(q2_0, WEIGH_COLUMNS)
