// Element-wise operations and norms over rows of floats.

INLINE float sum_of_squares(const float *x, int64_t n) {
    vec even = vec_set1(0.0f), odd = even;
    int64_t i = 0;
    for (; i + 2 * VEC_LANES <= n; i += 2 * VEC_LANES) {
        vec a = vec_load(x + i), b = vec_load(x + i + VEC_LANES);
        even = vec_fma(a, a, even);
        odd = vec_fma(b, b, odd);
    }
    float sum = vec_sum(vec_add(even, odd));
    for (; i < n; i++)
        sum = scalar_fma(x[i], x[i], sum);
    return sum;
}

static void rms_norm(const float *x, const float *w, float eps, int64_t n, float *out) {
    float scale = 1.0f / sqrtf(sum_of_squares(x, n) / (float)n + eps);
    for (int64_t i = 0; i < n; i++)
        out[i] = w ? x[i] * scale * w[i] : x[i] * scale;
}

// The mean first, then the squares of what is left of it: no cancellation when the mean is large.
static void layer_norm(const float *x, const float *w, const float *b, float eps, int64_t n, float *out) {
    double sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    float mean = (float)(sum / (double)n);
    for (int64_t i = 0; i < n; i++) {
        double left = (double)x[i] - (double)mean;
        squares += left * left;
    }
    float scale = 1.0f / sqrtf((float)(squares / (double)n) + eps);
    for (int64_t i = 0; i < n; i++)
        out[i] = (x[i] - mean) * scale * (w ? w[i] : 1.0f) + (b ? b[i] : 0.0f);
}

INLINE vec silu_of(vec x) {
    return vec_mul(x, vec_sigmoid(x));
}

// Hendrycks and Gimpel 2016, "Gaussian Error Linear Units": the common approximation x/2 * (1 + tanh(u)),
// which is x * sigmoid(2u); and, below, the thing itself.
INLINE vec gelu_of(vec x) {
    vec cube = vec_mul(vec_mul(x, x), x);
    vec u = vec_mul(vec_fma(vec_set1(0.044715f), cube, x), vec_set1(2.0f * 0.7978845608028654f));
    return vec_mul(x, vec_sigmoid(u));
}

// So et al. 2021, "Primer".
INLINE vec relu_squared_of(vec x) {
    vec positive = vec_max(x, vec_set1(0.0f));
    return vec_mul(positive, positive);
}

// Applies f to all; what is left over goes through a vector of its own, so that a number's result doesn't
// depend on where it stands.
#define ACTIVATION(name, f)                                                                                  \
    static void name(const float *x, const float *up, int64_t n, float *out) {                               \
        int64_t i = 0;                                                                                       \
        for (; i + VEC_LANES <= n; i += VEC_LANES) {                                                         \
            vec y = f(vec_load(x + i));                                                                      \
            vec_store(out + i, up ? vec_mul(y, vec_load(up + i)) : y);                                       \
        }                                                                                                    \
        if (i == n)                                                                                          \
            return;                                                                                          \
        float rest[VEC_LANES] = {0};                                                                         \
        memcpy(rest, x + i, (size_t)(n - i) * sizeof *rest);                                                 \
        vec_store(rest, f(vec_load(rest)));                                                                  \
        for (int64_t j = i; j < n; j++)                                                                      \
            out[j] = up ? rest[j - i] * up[j] : rest[j - i];                                                 \
    }
ACTIVATION(silu, silu_of)
ACTIVATION(gelu, gelu_of)
ACTIVATION(relu_squared, relu_squared_of)
ACTIVATION(tanh_all, vec_tanh)
#undef ACTIVATION

static void gelu_erf(const float *x, const float *up, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) {
        float y = 0.5f * x[i] * (1.0f + erff(x[i] * 0.7071067811865476f));
        out[i] = up ? y * up[i] : y;
    }
}

// As OpenAI's gpt-oss defines it (Agarwal et al. 2025, "gpt-oss-120b & gpt-oss-20b Model Card").
static void swiglu_oai(const float *x, const float *up, int64_t n, float *out) {
    const float limit = 7.0f;
    for (int64_t i = 0; i < n; i++) {
        float g = x[i] < limit ? x[i] : limit;
        float u = up[i] < -limit ? -limit : up[i] < limit ? up[i] : limit;
        out[i] = g / (1.0f + expf(-1.702f * g)) * (u + 1.0f);
    }
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

// Four rows of sums by two vectors at a time.
static void add_moments(const float *rows, int64_t n_rows, float *sums) {
    enum { ROWS = 4, VECTORS = 2, STEP = VECTORS * VEC_LANES };
    for (int i = 0; i < QUANT_WINDOW; i += ROWS)
        for (int j = 0; j < (i / 32 + 1) * 32; j += STEP) {
            float *to = sums + i * QUANT_WINDOW + j;
            vec sum[ROWS][VECTORS];
            for (int r = 0; r < ROWS; r++)
                for (int k = 0; k < VECTORS; k++)
                    sum[r][k] = vec_load(to + r * QUANT_WINDOW + k * VEC_LANES);
            for (int64_t t = 0; t < n_rows; t++) {
                const float *row = rows + t * QUANT_WINDOW;
                for (int r = 0; r < ROWS; r++)
                    for (int k = 0; k < VECTORS; k++)
                        sum[r][k] =
                            vec_fma(vec_set1(row[i + r]), vec_load(row + j + k * VEC_LANES), sum[r][k]);
            }
            for (int r = 0; r < ROWS; r++)
                for (int k = 0; k < VECTORS; k++)
                    vec_store(to + r * QUANT_WINDOW + k * VEC_LANES, sum[r][k]);
        }
}

// Some columns at a time stay in registers while the rows go by.
static void add_squares(const float *const *rows, int64_t n_rows, int64_t n, double *sums) {
    enum { VECTORS = 8 };
    int64_t i = 0;
    for (; i + VECTORS * VEC_DOUBLES <= n; i += VECTORS * VEC_DOUBLES) {
        vec_double sum[VECTORS];
        for (int k = 0; k < VECTORS; k++)
            sum[k] = vec_double_load(sums + i + k * VEC_DOUBLES);
        for (int64_t t = 0; t < n_rows; t++)
            for (int k = 0; k < VECTORS; k++)
                sum[k] = vec_double_add_square(sum[k], rows[t] + i + k * VEC_DOUBLES);
        for (int k = 0; k < VECTORS; k++)
            vec_double_store(sums + i + k * VEC_DOUBLES, sum[k]);
    }
    for (; i < n; i++)
        for (int64_t t = 0; t < n_rows; t++)
            sums[i] += (double)rows[t][i] * (double)rows[t][i];
}
