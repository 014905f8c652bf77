// Attention of one query head over one page of one key/value head.

static inline __attribute__((always_inline)) vec load_either(const void *p, int64_t i, bool half) {
    return half ? vec_load_f16((const uint16_t *)p + i) : vec_load((const float *)p + i);
}

static inline float scalar_either(const void *p, int64_t i, bool half) {
    return half ? quant_f16_decode(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static inline __attribute__((always_inline)) float attn_score(const float *q, const void *k, int64_t at,
                                                              bool half, int64_t dim) {
    vec even = vec_set1(0.0f), odd = even;
    int64_t i = 0;
    for (; i + 2 * VEC_LANES <= dim; i += 2 * VEC_LANES) {
        even = vec_fma(vec_load(q + i), load_either(k, at + i, half), even);
        odd = vec_fma(vec_load(q + i + VEC_LANES), load_either(k, at + i + VEC_LANES, half), odd);
    }
    float sum = vec_sum(vec_add(even, odd));
    for (; i < dim; i++)
        sum = scalar_fma(q[i], scalar_either(k, at + i, half), sum);
    return sum;
}

static inline __attribute__((always_inline)) void attend_typed(attn_state *state, const float *q,
                                                               const void *k, const void *v, bool half,
                                                               int64_t n, int64_t k_dim, int64_t v_dim,
                                                               const attn_scores *s) {
    float score[KERNELS_MAX_PAGE];
    float max = state->max;
    for (int64_t p = 0; p < n; p++) {
        score[p] = attn_score(q, k, p * k_dim, half, k_dim) * s->scale;
        if (s->soft_cap > 0.0f)
            score[p] = s->soft_cap * tanhf(score[p] / s->soft_cap);
        if (s->bias)
            score[p] += s->bias[p];
        max = score[p] > max ? score[p] : max;
    }
    float rescale = expf(state->max - max);
    state->max = max;
    state->sum *= rescale;
    for (int64_t p = 0; p < n; p++) {
        score[p] = expf(score[p] - max);
        state->sum += score[p];
    }
    int64_t i = 0;
    for (; i + VEC_LANES <= v_dim; i += VEC_LANES) {
        vec acc = vec_mul(vec_load(state->acc + i), vec_set1(rescale));
        for (int64_t p = 0; p < n; p++)
            acc = vec_fma(vec_set1(score[p]), load_either(v, p * v_dim + i, half), acc);
        vec_store(state->acc + i, acc);
    }
    for (; i < v_dim; i++) {
        float acc = state->acc[i] * rescale;
        for (int64_t p = 0; p < n; p++)
            acc = scalar_fma(score[p], scalar_either(v, p * v_dim + i, half), acc);
        state->acc[i] = acc;
    }
}

static void attend(attn_state *state, const float *q, const void *k, const void *v, bool half, int64_t n,
                   int64_t k_dim, int64_t v_dim, const attn_scores *scores) {
    if (half)
        attend_typed(state, q, k, v, true, n, k_dim, v_dim, scores);
    else
        attend_typed(state, q, k, v, false, n, k_dim, v_dim, scores);
}
