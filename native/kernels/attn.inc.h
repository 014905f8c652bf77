// Attention of some queries over one page of one key/value head. What is computed for a query never depends
// on the others: scores are sums along the head's dimensions in order, values sums along positions in order.

enum {
    PAGE_VECS = KERNELS_PAGE / VEC_LANES,
    QUERIES = VEC_LANES == 16 ? 6 : 2, // whose sums are kept in registers
    VALUE_VECS = 4,
};

INLINE void fetch_bytes(const uint8_t *p, int64_t n) {
    for (int64_t at = 0; at < n; at += LINE)
        vec_prefetch(p + at);
}

// scores[i][p] = q_i . k_p
INLINE void score_queries(float_kind kind, int n, const attn_query *queries, const attn_page *page,
                          int64_t k_dim, float *scores) {
    vec sum[QUERIES][PAGE_VECS];
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAGE_VECS; p++)
            sum[i][p] = vec_set1(0.0f);
    for (int64_t d = 0; d < k_dim; d++) {
        vec keys[PAGE_VECS];
        fetch_bytes(page->next_k + d * page->k_step, page->k_step);
        for (int p = 0; p < PAGE_VECS; p++)
            keys[p] = load_floats(kind, page->k, d * KERNELS_PAGE + p * VEC_LANES);
        for (int i = 0; i < n; i++) {
            vec q = vec_set1(queries[i].q[d]);
            for (int p = 0; p < PAGE_VECS; p++)
                sum[i][p] = vec_fma(q, keys[p], sum[i][p]);
        }
    }
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAGE_VECS; p++)
            vec_store(scores + i * KERNELS_PAGE + p * VEC_LANES, sum[i][p]);
}

// Turns a query's scores into weights; returns what its values so far are to be multiplied by.
INLINE float weigh(attn_query *query, float *scores, int64_t first, int64_t end, float soft_cap) {
    const vec nothing = vec_set1(-INFINITY);
    vec s[PAGE_VECS], most = nothing, total = vec_set1(0.0f);
    float lane[VEC_LANES], max = query->max;
    for (int p = 0; p < PAGE_VECS; p++) {
        s[p] = vec_mul(vec_load(scores + p * VEC_LANES), vec_set1(query->scale));
        if (soft_cap > 0.0f)
            s[p] = vec_mul(vec_set1(soft_cap), vec_tanh(vec_div(s[p], vec_set1(soft_cap))));
        if (query->slope > 0.0f) {
            for (int i = 0; i < VEC_LANES; i++)
                lane[i] = -query->slope * fabsf(query->position - (float)(p * VEC_LANES + i));
            s[p] = vec_add(s[p], vec_load(lane));
        }
        int64_t from = first - p * VEC_LANES, to = end - p * VEC_LANES;
        from = from < 0 ? 0 : from > VEC_LANES ? VEC_LANES : from;
        to = to < 0 ? 0 : to > VEC_LANES ? VEC_LANES : to;
        s[p] = vec_first(from, nothing, vec_first(to, s[p], nothing));
        most = vec_max(most, s[p]);
    }
    vec_store(lane, most);
    for (int i = 0; i < VEC_LANES; i++)
        max = lane[i] > max ? lane[i] : max;
    for (int p = 0; p < PAGE_VECS; p++) {
        s[p] = vec_exp(vec_sub(s[p], vec_set1(max)));
        vec_store(scores + p * VEC_LANES, s[p]);
        total = vec_add(total, s[p]);
    }
    float rescale = expf(query->max - max);
    query->max = max;
    query->sum = query->sum * rescale + vec_sum(total);
    return rescale;
}

// acc_i[at..] = acc_i * rescale_i + sum over p of weight[i][p] * v_p, for `vecs` vectors of each.
INLINE void value_queries(float_kind kind, int n, int vecs, attn_query *queries, const float *rescale,
                          const float *weight, const attn_page *page, int64_t at, int64_t first, int64_t end,
                          int64_t v_dim) {
    vec sum[QUERIES][VALUE_VECS];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < vecs; j++)
            sum[i][j] = vec_mul(vec_load(queries[i].acc + at + j * VEC_LANES), vec_set1(rescale[i]));
    for (int64_t p = first; p < end; p++) {
        vec values[VALUE_VECS];
        if (at == 0)
            fetch_bytes(page->next_v + p * page->v_step, page->v_step);
        for (int j = 0; j < vecs; j++)
            values[j] = load_floats(kind, page->v, p * v_dim + at + j * VEC_LANES);
        for (int i = 0; i < n; i++) {
            vec w = vec_set1(weight[i * KERNELS_PAGE + p]);
            for (int j = 0; j < vecs; j++)
                sum[i][j] = vec_fma(w, values[j], sum[i][j]);
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < vecs; j++)
            vec_store(queries[i].acc + at + j * VEC_LANES, sum[i][j]);
}

INLINE void attend_some(float_kind kind, int n, attn_query *queries, const attn_page *page, int64_t first,
                        int64_t end, int64_t k_dim, int64_t v_dim, float soft_cap, float *work) {
    float rescale[QUERIES];
    score_queries(kind, n, queries, page, k_dim, work);
    for (int i = 0; i < n; i++)
        rescale[i] = weigh(&queries[i], work + i * KERNELS_PAGE, first, end, soft_cap);
    int64_t at = 0;
    for (; at + VALUE_VECS * VEC_LANES <= v_dim; at += VALUE_VECS * VEC_LANES)
        value_queries(kind, n, VALUE_VECS, queries, rescale, work, page, at, first, end, v_dim);
    for (; at + VEC_LANES <= v_dim; at += VEC_LANES)
        value_queries(kind, n, 1, queries, rescale, work, page, at, first, end, v_dim);
    for (; at < v_dim; at++) {
        for (int i = 0; i < n; i++) {
            float sum = queries[i].acc[at] * rescale[i];
            for (int64_t p = first; p < end; p++)
                sum = scalar_fma(work[i * KERNELS_PAGE + p], load_float(kind, page->v, p * v_dim + at), sum);
            queries[i].acc[at] = sum;
        }
    }
}

INLINE void attend(float_kind kind, attn_query *queries, int64_t n, const attn_page *page, int64_t first,
                   int64_t end, int64_t k_dim, int64_t v_dim, float soft_cap, float *work) {
    attn_page p = *page;
    int64_t i = 0;
    for (; i + QUERIES <= n; i += QUERIES, p.k_step = p.v_step = 0) // what is fetched is fetched once
        attend_some(kind, QUERIES, queries + i, &p, first, end, k_dim, v_dim, soft_cap, work);
    for (; QUERIES > 4 && i + 4 <= n; i += 4, p.k_step = p.v_step = 0)
        attend_some(kind, 4, queries + i, &p, first, end, k_dim, v_dim, soft_cap, work);
    for (; i + 2 <= n; i += 2, p.k_step = p.v_step = 0)
        attend_some(kind, 2, queries + i, &p, first, end, k_dim, v_dim, soft_cap, work);
    for (; i < n; i++, p.k_step = p.v_step = 0)
        attend_some(kind, 1, queries + i, &p, first, end, k_dim, v_dim, soft_cap, work);
}

#define ATTEND(name, kind)                                                                                   \
    static void name(attn_query *queries, int64_t n, const attn_page *page, int64_t first, int64_t end,      \
                     int64_t k_dim, int64_t v_dim, float soft_cap, float *work) {                            \
        attend(kind, queries, n, page, first, end, k_dim, v_dim, soft_cap, work);                            \
    }
ATTEND(f32_attend, FLOATS_F32)
ATTEND(f16_attend, FLOATS_F16)
ATTEND(bf16_attend, FLOATS_BF16)
#undef ATTEND
