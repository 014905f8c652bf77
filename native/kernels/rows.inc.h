// What sampling wants of rows of logits. Sums are made in KERNELS_ROW_LANES lanes whatever the instruction
// set, block after block, so that all with a fused multiply-add give the same bits.

enum { ROW_VECS = KERNELS_ROW_LANES / VEC_LANES };

// Block `b`, in `rest` if it isn't whole, which is filled up with `filler`.
INLINE const float *row_block(const float *x, int64_t n, int64_t b, float filler, float *rest) {
    const int64_t begin = b * KERNELS_ROW_BLOCK;
    if (n - begin >= KERNELS_ROW_BLOCK)
        return x + begin;
    for (int64_t i = 0; i < KERNELS_ROW_BLOCK; i++)
        rest[i] = begin + i < n ? x[begin + i] : filler;
    return rest;
}

INLINE double row_lanes(const vec *sums) {
    float lanes[KERNELS_ROW_LANES];
    double sum = 0.0;
    for (int v = 0; v < ROW_VECS; v++)
        vec_store(lanes + v * VEC_LANES, sums[v]);
    for (int i = 0; i < KERNELS_ROW_LANES; i++)
        sum += (double)lanes[i];
    return sum;
}

static float row_max(const float *x, int64_t n, float *block_max, bool *odd) {
    float rest[KERNELS_ROW_BLOCK], lanes[VEC_LANES], max = -INFINITY;
    const vec zero = vec_set1(0.0f);
    vec zeros = zero; // NaN in lanes that met what isn't finite
    for (int64_t b = 0; b * KERNELS_ROW_BLOCK < n; b++) {
        const float *from = row_block(x, n, b, x[n - 1], rest);
        vec most = vec_set1(-INFINITY);
        for (int i = 0; i < KERNELS_ROW_BLOCK; i += VEC_LANES) {
            const vec a = vec_load(from + i);
            most = vec_where_less(most, a, a, most); // not for NaN
            zeros = vec_fma(a, zero, zeros);
        }
        vec_store(lanes, most);
        block_max[b] = -INFINITY;
        for (int i = 0; i < VEC_LANES; i++)
            block_max[b] = lanes[i] > block_max[b] ? lanes[i] : block_max[b];
        max = block_max[b] > max ? block_max[b] : max;
    }
    vec_store(lanes, zeros);
    *odd = false;
    for (int i = 0; i < VEC_LANES; i++)
        *odd = *odd || lanes[i] != 0.0f;
    return max;
}

static double row_weigh(const float *x, int64_t n, float max, float *weights, double *block_sum) {
    float rest[KERNELS_ROW_BLOCK], own[KERNELS_ROW_BLOCK];
    const vec zero = vec_set1(0.0f), low = vec_set1(-87.0f);
    double total = 0.0;
    for (int64_t b = 0; b * KERNELS_ROW_BLOCK < n; b++) {
        const int64_t begin = b * KERNELS_ROW_BLOCK;
        const float *from = row_block(x, n, b, -INFINITY, rest);
        float *to = n - begin >= KERNELS_ROW_BLOCK ? weights + begin : own;
        vec sums[ROW_VECS];
        for (int v = 0; v < ROW_VECS; v++)
            sums[v] = zero;
        for (int i = 0; i < KERNELS_ROW_BLOCK; i += VEC_LANES) {
            const vec distance = vec_sub(vec_load(from + i), vec_set1(max));
            const vec weight =
                vec_where_less(low, distance, vec_exp(vec_min(distance, zero)), zero); // NaN: 0
            const int v = i / VEC_LANES % ROW_VECS;
            vec_store(to + i, weight);
            sums[v] = vec_add(sums[v], weight);
        }
        if (to == own)
            memcpy(weights + begin, own, (size_t)(n - begin) * sizeof *own);
        const double sum = row_lanes(sums);
        block_sum[b] = sum;
        total += sum;
    }
    return total;
}

static double row_mean(const float *x, int64_t n, float max, const float *weights) {
    float rest[KERNELS_ROW_BLOCK], own[KERNELS_ROW_BLOCK];
    const vec zero = vec_set1(0.0f), low = vec_set1(-87.0f); // what is farther weighs nothing
    double total = 0.0;
    for (int64_t b = 0; b * KERNELS_ROW_BLOCK < n; b++) {
        const float *from = row_block(x, n, b, -INFINITY, rest), *by = row_block(weights, n, b, 0.0f, own);
        vec sums[ROW_VECS];
        for (int v = 0; v < ROW_VECS; v++)
            sums[v] = zero;
        for (int i = 0; i < KERNELS_ROW_BLOCK; i += VEC_LANES) {
            const vec distance = vec_max(vec_sub(vec_load(from + i), vec_set1(max)), low);
            const int v = i / VEC_LANES % ROW_VECS;
            sums[v] = vec_fma(distance, vec_load(by + i), sums[v]);
        }
        total += row_lanes(sums);
    }
    return total;
}
