// Element-wise operations and norms over rows of floats.

static void rms_norm(const float *x, const float *w, float eps, int64_t n, float *out) {
    float squares;
    dots_tile(1, x, x, 0, n, &squares, 0);
    float scale = 1.0f / sqrtf(squares / (float)n + eps);
    for (int64_t i = 0; i < n; i++)
        out[i] = w ? x[i] * scale * w[i] : x[i] * scale;
}

static void swiglu(const float *gate, const float *up, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++)
        out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static void axpy(float a, const float *x, int64_t n, float *y) {
    vec va = vec_set1(a);
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        vec_store(y + i, vec_fma(va, vec_load(x + i), vec_load(y + i)));
    for (; i < n; i++)
        y[i] = scalar_fma(a, x[i], y[i]);
}

static void softmax(float *x, int64_t n) {
    float max = x[0], sum = 0.0f;
    for (int64_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] = expf(x[i] - max);
    for (int64_t i = 0; i < n; i++)
        x[i] /= sum;
}

static void f16_to_f32(const uint16_t *src, int64_t n, float *dst) {
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        vec_store(dst + i, vec_load_f16(src + i));
    for (; i < n; i++)
        dst[i] = quant_f16_decode(src[i]);
}

static void f32_to_f16(const float *src, int64_t n, uint16_t *dst) {
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        vec_store_f16(dst + i, vec_load(src + i));
    for (; i < n; i++)
        dst[i] = quant_f16_encode(src[i]);
}
