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

// Halves are added to halves, which is one order for all instruction sets.
INLINE double row_lanes(const vec *sums) {
    vec left[ROW_VECS];
    for (int v = 0; v < ROW_VECS; v++)
        left[v] = sums[v];
    for (int half = ROW_VECS / 2; half > 0; half /= 2)
        for (int v = 0; v < half; v++)
            left[v] = vec_add(left[v], left[v + half]);
    return (double)vec_sum(left[0]);
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
                vec_where_less(low, distance, vec_exp_bounded(vec_max(distance, low)), zero); // NaN: 0
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

static void row_divide(float *x, int64_t n, float from, float by) {
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        vec_store(x + i, vec_div(vec_sub(vec_load(x + i), vec_set1(from)), vec_set1(by)));
    for (; i < n; i++)
        x[i] = (x[i] - from) / by;
}

INLINE vec adapted(vec probability, float target) {
    const vec distance = vec_mul(vec_abs(vec_sub(probability, vec_set1(target))), vec_set1(1.0f / 0.3f));
    const vec square = vec_mul(vec_mul(distance, distance), vec_set1(10.0f));
    return vec_sub(vec_set1(5.0f), vec_div(square, vec_add(vec_set1(1.0f), distance)));
}

static void row_adapt(const float *weights, int64_t n, float scale, float target, float *probabilities,
                      float *logits) {
    float p[VEC_LANES] = {0.0f}, x[VEC_LANES];
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES) {
        const vec probability = vec_mul(vec_load(weights + i), vec_set1(scale));
        vec_store(probabilities + i, probability);
        vec_store(logits + i, adapted(probability, target));
    }
    for (int64_t j = i; j < n; j++)
        p[j - i] = probabilities[j] = weights[j] * scale;
    vec_store(x, adapted(vec_load(p), target));
    for (int64_t j = i; j < n; j++)
        logits[j] = x[j - i];
}
