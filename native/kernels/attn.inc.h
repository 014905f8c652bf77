// Attention of some queries over one page of one key/value head. What is computed for a query never depends
// on the others: scores are sums along the head's dimensions in order, values sums along positions in order.

enum {
    QUERIES = VEC_LANES == 16 ? 6 : 2,   // whose sums are kept in registers
    VALUE_VECS = VEC_LANES == 4 ? 8 : 4, // a block of 32, or more
};

INLINE void fetch_bytes(const uint8_t *p, int64_t n) {
    for (int64_t at = 0; at < n; at += LINE)
        vec_prefetch(p + at);
}

// scores[i][p] = q_i . k_p
INLINE void score_queries(int type, int n, const attn_query *queries, const attn_page *page, int64_t k_dim,
                          float *scores) {
    vec sum[QUERIES][PAGE_VECS];
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAGE_VECS; p++)
            sum[i][p] = vec_set1(0.0f);
    const uint8_t *block = page->k;
    for (int64_t d = 0; d < k_dim; block += page_block_bytes(type) * KERNELS_PAGE) {
        vec scale[PAGE_VECS];
        key_scales(type, block, scale);
        for (int j = 0; j < page_block(type); j++, d++) {
            vec keys[PAGE_VECS];
            fetch_bytes(page->next_k + d * page->k_step, page->k_step);
            for (int p = 0; p < PAGE_VECS; p++)
                keys[p] = page_keys(type, block, j, p, scale[p]);
            for (int i = 0; i < n; i++) {
                vec q = vec_set1(queries[i].q[d]);
                for (int p = 0; p < PAGE_VECS; p++)
                    sum[i][p] = vec_fma(q, keys[p], sum[i][p]);
            }
        }
    }
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAGE_VECS; p++)
            vec_store(scores + i * KERNELS_PAGE + p * VEC_LANES, sum[i][p]);
}

// Turns a query's scores into weights.
INLINE void weigh(attn_query *query, float *scores, int64_t first, int64_t end, float soft_cap) {
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
    query->rescale = expf(query->max - max);
    query->max = max;
    query->sum = query->sum * query->rescale + vec_sum(total);
}

// acc_i[at..] = acc_i * rescale_i + sum over p of weight[i][p] * v_p, for `vecs` vectors of each; `at` begins
// a block.
INLINE void value_queries(int type, int n, int vecs, attn_query *queries, const float *weight,
                          const attn_page *page, int64_t at, int64_t first, int64_t end, int64_t v_dim) {
    vec sum[QUERIES][VALUE_VECS];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < vecs; j++)
            sum[i][j] = vec_mul(vec_load(queries[i].acc + at + j * VEC_LANES), vec_set1(queries[i].rescale));
    for (int64_t p = first; p < end; p++) {
        const uint8_t *row =
            (const uint8_t *)page->v + (p * v_dim + at) / page_block(type) * page_block_bytes(type);
        vec values[VALUE_VECS];
        if (at == 0)
            fetch_bytes(page->next_v + p * page->v_step, page->v_step);
        for (int j = 0; j < vecs; j++)
            values[j] = page_values(type, row, j * VEC_LANES);
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

INLINE void weigh_some(int type, int n, attn_query *queries, const attn_page *page, int64_t first,
                       int64_t end, int64_t k_dim, float soft_cap, float *weights) {
    score_queries(type, n, queries, page, k_dim, weights);
    for (int i = 0; i < n; i++)
        weigh(&queries[i], weights + i * KERNELS_PAGE, first, end, soft_cap);
}

INLINE void add_some(int type, int n, attn_query *queries, const attn_page *page, int64_t first, int64_t end,
                     int64_t v_dim, float *weights) {
    int64_t at = 0;
    for (; at + VALUE_VECS * VEC_LANES <= v_dim; at += VALUE_VECS * VEC_LANES)
        value_queries(type, n, VALUE_VECS, queries, weights, page, at, first, end, v_dim);
    const int vecs = page_block(type) > VEC_LANES ? page_block(type) / VEC_LANES : 1;
    for (; at + vecs * VEC_LANES <= v_dim; at += vecs * VEC_LANES)
        value_queries(type, n, vecs, queries, weights, page, at, first, end, v_dim);
    for (; at < v_dim; at++) {
        for (int i = 0; i < n; i++) {
            float sum = queries[i].acc[at] * queries[i].rescale;
            for (int64_t p = first; p < end; p++)
                sum =
                    scalar_fma(weights[i * KERNELS_PAGE + p], load_float(type, page->v, p * v_dim + at), sum);
            queries[i].acc[at] = sum;
        }
    }
}

INLINE void fold_some(int type, bool keys, int n, attn_query *queries, const attn_page *page, int64_t first,
                      int64_t end, int64_t dim, float soft_cap, float *weights) {
    if (keys)
        weigh_some(type, n, queries, page, first, end, dim, soft_cap, weights);
    else
        add_some(type, n, queries, page, first, end, dim, weights);
}

// So many queries at a time that their sums stay in registers; what is fetched is fetched once.
INLINE void fold(int type, bool keys, attn_query *queries, int64_t n, const attn_page *page, int64_t first,
                 int64_t end, int64_t dim, float soft_cap, float *weights) {
    attn_page p = *page;
    int64_t i = 0;
    for (; i + QUERIES <= n; i += QUERIES, weights += QUERIES * KERNELS_PAGE, p.k_step = p.v_step = 0)
        fold_some(type, keys, QUERIES, queries + i, &p, first, end, dim, soft_cap, weights);
    for (; QUERIES > 4 && i + 4 <= n; i += 4, weights += 4 * KERNELS_PAGE, p.k_step = p.v_step = 0)
        fold_some(type, keys, 4, queries + i, &p, first, end, dim, soft_cap, weights);
    for (; i + 2 <= n; i += 2, weights += 2 * KERNELS_PAGE, p.k_step = p.v_step = 0)
        fold_some(type, keys, 2, queries + i, &p, first, end, dim, soft_cap, weights);
    for (; i < n; i++, weights += KERNELS_PAGE, p.k_step = p.v_step = 0)
        fold_some(type, keys, 1, queries + i, &p, first, end, dim, soft_cap, weights);
}

#define PAGE_ATTENTION(name, type)                                                                           \
    static void name##_weigh_keys(attn_query *queries, int64_t n, const attn_page *page, int64_t first,      \
                                  int64_t end, int64_t k_dim, float soft_cap, float *weights) {              \
        fold(type, true, queries, n, page, first, end, k_dim, soft_cap, weights);                            \
    }                                                                                                        \
    static void name##_add_values(attn_query *queries, int64_t n, const attn_page *page, int64_t first,      \
                                  int64_t end, int64_t v_dim, float *weights) {                              \
        fold(type, false, queries, n, page, first, end, v_dim, 0.0f, weights);                               \
    }
PAGE_ATTENTION(f32, QUANT_F32)
PAGE_ATTENTION(f16, QUANT_F16)
PAGE_ATTENTION(bf16, QUANT_BF16)
PAGE_ATTENTION(q8_0, QUANT_Q8_0)
PAGE_ATTENTION(q4_0, QUANT_Q4_0)
#undef PAGE_ATTENTION

static const kernels_page_type f32_pages = {
    f32_store_key, f32_store_value, NULL, NULL, f32_weigh_keys, f32_add_values, INT64_MAX,
};

// Blocks with scales are taken apart anew for every QUERIES queries: for more, that is done once, beforehand.
#define PAGES(name, direct)                                                                                  \
    static const kernels_page_type name##_pages = {                                                          \
        name##_store_key,  name##_store_value, name##_load_keys, name##_load_values,                         \
        name##_weigh_keys, name##_add_values,  direct,                                                       \
    }
PAGES(f16, INT64_MAX);
PAGES(bf16, INT64_MAX);
PAGES(q8_0, QUERIES);
PAGES(q4_0, QUERIES);
#undef PAGES
