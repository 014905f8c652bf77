// Dot products of float rows with float columns.

// The lanes are added pairwise, always in the same order.
INLINE float vec_sum(vec a) {
    float lane[VEC_LANES];
    vec_store(lane, a);
    for (int half = VEC_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

// `cols` columns against one row: two accumulators each, so that a column's order of additions is the same
// whether it comes alone or among others.
INLINE void dots_tile(int cols, const float *w, const float *x, int64_t x_stride, int64_t n, float *out,
                      int64_t out_stride) {
    vec even[4], odd[4];
    for (int c = 0; c < cols; c++)
        even[c] = odd[c] = vec_set1(0.0f);
    int64_t i = 0;
    for (; i + 2 * VEC_LANES <= n; i += 2 * VEC_LANES) {
        vec w0 = vec_load(w + i), w1 = vec_load(w + i + VEC_LANES);
        for (int c = 0; c < cols; c++) {
            const float *xc = x + c * x_stride + i;
            even[c] = vec_fma(w0, vec_load(xc), even[c]);
            odd[c] = vec_fma(w1, vec_load(xc + VEC_LANES), odd[c]);
        }
    }
    for (int c = 0; c < cols; c++) {
        float sum = vec_sum(vec_add(even[c], odd[c]));
        for (int64_t j = i; j < n; j++)
            sum = scalar_fma(w[j], x[c * x_stride + j], sum);
        out[c * out_stride] = sum;
    }
}

static void dots(const float *w, const float *x, int64_t x_stride, int64_t n_cols, int64_t n, float *out,
                 int64_t out_stride) {
    int64_t c = 0;
    for (; c + 4 <= n_cols; c += 4)
        dots_tile(4, w, x + c * x_stride, x_stride, n, out + c * out_stride, out_stride);
    for (; c < n_cols; c++)
        dots_tile(1, w, x + c * x_stride, x_stride, n, out + c * out_stride, out_stride);
}
