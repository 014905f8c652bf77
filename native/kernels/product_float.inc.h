// Float products, a row in each lane as in product.inc.h: for F32, F16 and BF16, and for whatever is decoded
// to F32.
//
// Terms are added in order in two sums, of even and of odd places, and these to the result every FLOAT_BLOCK
// terms: the same for any number of rows and columns.

enum { FLOAT_BLOCK = 256 };

typedef struct float_sums {
    vec even[KERNELS_TILE], odd[KERNELS_TILE];
} float_sums;

INLINE void float_clear(int width, float_sums *s) {
    for (int c = 0; c < width; c++)
        s->even[c] = s->odd[c] = vec_set1(0.0f);
}

INLINE void float_add(int width, int64_t k, vec w, const float *x, float_sums *s) {
    for (int c = 0; c < width; c++) {
        vec *sum = k % 2 == 0 ? &s->even[c] : &s->odd[c];
        *sum = vec_fma(w, vec_set1(x[k * width + c]), *sum);
    }
}

INLINE void float_flush(int width, float_sums *s, vec *result) {
    for (int c = 0; c < width; c++)
        result[c] = vec_add(result[c], vec_add(s->even[c], s->odd[c]));
    float_clear(width, s);
}

// Sixteen bytes of each row: four or eight weights in order.
INLINE void f32_unpack(const uint8_t *p, int64_t stride, vec w[4]) {
    ivec words[4];
    veci_load4(p, stride, words);
    for (int i = 0; i < 4; i++)
        w[i] = veci_as_float(words[i]);
}

INLINE void f16_unpack(const uint8_t *p, int64_t stride, vec w[8]) {
    ivec words[4];
    veci_load4(p, stride, words);
    for (int i = 0; i < 4; i++) {
        w[2 * i] = veci_half(words[i]);
        w[2 * i + 1] = veci_half(veci_shr(words[i], 16));
    }
}

INLINE void bf16_unpack(const uint8_t *p, int64_t stride, vec w[8]) {
    ivec words[4];
    veci_load4(p, stride, words);
    for (int i = 0; i < 4; i++) {
        w[2 * i] = veci_as_float(veci_shl(words[i], 16));
        w[2 * i + 1] = veci_as_float(veci_and(words[i], veci_set1((int32_t)0xffff0000)));
    }
}

INLINE void many_float_width(int width, const void *panel, int64_t k, const void *tile, float *out,
                             int64_t out_stride) {
    const float *w = panel, *x = tile;
    vec result[KERNELS_TILE];
    float_sums sums;
    float_clear(width, &sums);
    for (int c = 0; c < width; c++)
        result[c] = vec_set1(0.0f);
    for (int64_t block = 0; block < k; block += FLOAT_BLOCK) {
        const int64_t end = k - block < FLOAT_BLOCK ? k : block + FLOAT_BLOCK;
        int64_t i = block;
        for (; i + 2 <= end; i += 2) {
            for (int c = 0; c < width; c++)
                sums.even[c] = vec_fma(vec_load(w + i * VEC_LANES), vec_set1(x[i * width + c]), sums.even[c]);
            for (int c = 0; c < width; c++)
                sums.odd[c] =
                    vec_fma(vec_load(w + (i + 1) * VEC_LANES), vec_set1(x[(i + 1) * width + c]), sums.odd[c]);
        }
        if (i < end)
            float_add(width, i, vec_load(w + i * VEC_LANES), x, &sums);
        float_flush(width, &sums, result);
    }
    for (int c = 0; c < width; c++)
        vec_store(out + c * out_stride, result[c]);
}

static void many_float(const void *panel, int64_t k, const void *tile, int width, float *out,
                       int64_t out_stride) {
    FOR_WIDTHS_MANY(many_float_width, panel, k, tile, out, out_stride)
}

static int64_t many_float_bytes(int64_t k) {
    return k * VEC_LANES * 4;
}

// A type of `size` bytes a weight; rows are multiples of sixteen bytes, or of one weight if it is F32.
#define PRODUCT_FLOAT(type, size)                                                                            \
    INLINE void type##_few_width(int width, kernels_rows rows, int64_t k, const void *tile, float *out,      \
                                 int64_t out_stride) {                                                       \
        enum { STEP = 16 / (size) };                                                                         \
        vec result[KERNELS_FEW];                                                                             \
        float_sums sums;                                                                                     \
        float_clear(width, &sums);                                                                           \
        for (int c = 0; c < width; c++)                                                                      \
            result[c] = vec_set1(0.0f);                                                                      \
        for (int64_t block = 0; block < k; block += FLOAT_BLOCK) {                                           \
            const int64_t end = k - block < FLOAT_BLOCK ? k : block + FLOAT_BLOCK;                           \
            int64_t i = block;                                                                               \
            for (; i + STEP <= end; i += STEP) {                                                             \
                vec w[STEP];                                                                                 \
                if (i % (LINE / (size)) == 0)                                                                \
                    fetch_ahead(rows, k *(size), i *(size), LINE, 0, 1);                                     \
                type##_unpack(rows.data + i * (size), rows.step, w);                                         \
                UNROLL(8)                                                                                    \
                for (int j = 0; j < STEP; j++)                                                               \
                    float_add(width, i + j, w[j], tile, &sums);                                              \
            }                                                                                                \
            for (; i < end; i++)                                                                             \
                float_add(width, i, veci_as_float(veci_load1(rows.data + i * (size), rows.step)), tile,      \
                          &sums);                                                                            \
            float_flush(width, &sums, result);                                                               \
        }                                                                                                    \
        for (int c = 0; c < width; c++)                                                                      \
            vec_store(out + c * out_stride, result[c]);                                                      \
    }                                                                                                        \
    static void type##_few(kernels_rows rows, int64_t k, const void *tile, int width, float *out,            \
                           int64_t out_stride) {                                                             \
        FOR_WIDTHS_FEW(type##_few_width, rows, k, tile, out, out_stride)                                     \
    }                                                                                                        \
    static void type##_pack(kernels_rows rows, int64_t k, void *panel) {                                     \
        enum { STEP = 16 / (size) };                                                                         \
        float *p = panel;                                                                                    \
        int64_t i = 0;                                                                                       \
        for (; i + STEP <= k; i += STEP) {                                                                   \
            vec w[STEP];                                                                                     \
            if (i % (LINE / (size)) == 0)                                                                    \
                fetch_ahead(rows, k *(size), i *(size), LINE, 0, 1);                                         \
            type##_unpack(rows.data + i * (size), rows.step, w);                                             \
            for (int j = 0; j < STEP; j++)                                                                   \
                vec_store(p + (i + j) * VEC_LANES, w[j]);                                                    \
        }                                                                                                    \
        for (; i < k; i++)                                                                                   \
            vec_store(p + i * VEC_LANES, veci_as_float(veci_load1(rows.data + i * (size), rows.step)));      \
    }                                                                                                        \
    static const kernels_product type##_product = {COLUMNS_FLOAT, type##_few, many_float_bytes, type##_pack, \
                                                   many_float};

PRODUCT_FLOAT(f32, 4)
PRODUCT_FLOAT(f16, 2)
PRODUCT_FLOAT(bf16, 2)
