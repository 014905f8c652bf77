// Numbers of F32, F16 and BF16 as they are stored, and elementary functions on vectors.

INLINE int float_size(int type) {
    return type == QUANT_F32 ? 4 : 2;
}

// Those from number `i` on.
INLINE vec load_floats(int type, const void *numbers, int64_t i) {
    return type == QUANT_F32   ? vec_load((const float *)numbers + i)
           : type == QUANT_F16 ? vec_load_f16((const uint16_t *)numbers + i)
                               : vec_load_bf16((const uint16_t *)numbers + i);
}

INLINE float load_float(int type, const void *numbers, int64_t i) {
    return type == QUANT_F32   ? ((const float *)numbers)[i]
           : type == QUANT_F16 ? half_decode(((const uint16_t *)numbers)[i])
                               : bfloat_decode(((const uint16_t *)numbers)[i]);
}

// The lanes are added pairwise, always in the same order; without a loop over halves, which compilers leave
// one.
INLINE float vec_sum(vec a) {
    float lane[VEC_LANES];
    vec_store(lane, a);
#if VEC_LANES >= 16
    for (int i = 0; i < 8; i++)
        lane[i] += lane[i + 8];
#endif
#if VEC_LANES >= 8
    for (int i = 0; i < 4; i++)
        lane[i] += lane[i + 4];
#endif
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

// exp(x) for -87 <= x <= 88: 2^n times a polynomial of what is left, |r| <= ln(2) / 2 (coefficients: the
// Taylor series, whose seventh term is below rounding there).
INLINE vec vec_exp_bounded(vec x) {
    ivec n = vec_round(vec_mul(x, vec_set1(1.44269504088896341f)));
    vec whole = veci_to_float(n);
    vec r = vec_fma(whole, vec_set1(-0.693359375f), x); // ln 2 in two parts
    r = vec_fma(whole, vec_set1(2.12194440e-4f), r);
    vec y = vec_set1(1.0f / 5040.0f);
    y = vec_fma(y, r, vec_set1(1.0f / 720.0f));
    y = vec_fma(y, r, vec_set1(1.0f / 120.0f));
    y = vec_fma(y, r, vec_set1(1.0f / 24.0f));
    y = vec_fma(y, r, vec_set1(1.0f / 6.0f));
    y = vec_fma(y, r, vec_set1(0.5f));
    y = vec_fma(y, r, vec_set1(1.0f));
    y = vec_fma(y, r, vec_set1(1.0f));
    return vec_mul(y, veci_as_float(veci_shl(veci_add(n, veci_set1(127)), 23)));
}

// Below -87 it is 0, above 88 infinity's neighbour.
INLINE vec vec_exp(vec x) {
    const vec low = vec_set1(-87.0f), high = vec_set1(88.0f);
    return vec_where_less(x, low, vec_set1(0.0f), vec_exp_bounded(vec_min(vec_max(x, low), high)));
}

// 1 / (1 + exp(-x))
INLINE vec vec_sigmoid(vec x) {
    const vec one = vec_set1(1.0f);
    return vec_div(one, vec_add(one, vec_exp(vec_sub(vec_set1(0.0f), x))));
}

INLINE vec vec_tanh(vec x) {
    return vec_sub(vec_mul(vec_set1(2.0f), vec_sigmoid(vec_add(x, x))), vec_set1(1.0f));
}
