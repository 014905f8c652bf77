// The Walsh-Hadamard transform of groups of neighbours.
//
// Stages whose partners lie closer than 16 would need a shuffle for each instruction set: they are one sum of
// 16 terms x[j] * +-1 instead. A term isn't rounded, so sums are the same whether products and sums are fused
// or not, and all instruction sets give the same bits.

enum {
    ROTATE_NEAR = 16, // numbers that a sum takes together
    ROTATE_VECS = ROTATE_NEAR / VEC_LANES,
    ROTATE_SUMS = VEC_LANES == 16 ? 4 : 1, // independent of each other, side by side
};

// [j][i] is -1 where the binary digits that i and j have in common are odd in number.
#define ROTATE_SIGN(i, j)                                                                                    \
    ((((i) & (j)) ^ ((i) & (j)) >> 1 ^ ((i) & (j)) >> 2 ^ ((i) & (j)) >> 3) & 1 ? -1.0f : 1.0f)
#define ROTATE_ROW(j)                                                                                        \
    {                                                                                                        \
        ROTATE_SIGN(0, j), ROTATE_SIGN(1, j), ROTATE_SIGN(2, j), ROTATE_SIGN(3, j), ROTATE_SIGN(4, j),       \
            ROTATE_SIGN(5, j), ROTATE_SIGN(6, j), ROTATE_SIGN(7, j), ROTATE_SIGN(8, j), ROTATE_SIGN(9, j),   \
            ROTATE_SIGN(10, j), ROTATE_SIGN(11, j), ROTATE_SIGN(12, j), ROTATE_SIGN(13, j),                  \
            ROTATE_SIGN(14, j), ROTATE_SIGN(15, j),                                                          \
    }
static const float rotate_signs[ROTATE_NEAR][ROTATE_NEAR] = {
    ROTATE_ROW(0),  ROTATE_ROW(1),  ROTATE_ROW(2),  ROTATE_ROW(3), ROTATE_ROW(4),  ROTATE_ROW(5),
    ROTATE_ROW(6),  ROTATE_ROW(7),  ROTATE_ROW(8),  ROTATE_ROW(9), ROTATE_ROW(10), ROTATE_ROW(11),
    ROTATE_ROW(12), ROTATE_ROW(13), ROTATE_ROW(14), ROTATE_ROW(15)};
#undef ROTATE_ROW
#undef ROTATE_SIGN

// `n` times 16 neighbours.
INLINE void rotate_near(float *x, int n) {
    vec sum[ROTATE_SUMS][ROTATE_VECS];
    for (int k = 0; k < n; k++)
        for (int i = 0; i < ROTATE_VECS; i++)
            sum[k][i] = vec_set1(x[k * ROTATE_NEAR]);
    for (int j = 1; j < ROTATE_NEAR; j++)
        for (int k = 0; k < n; k++)
            for (int i = 0; i < ROTATE_VECS; i++)
                sum[k][i] = vec_fma(vec_set1(x[k * ROTATE_NEAR + j]),
                                    vec_load(rotate_signs[j] + i * VEC_LANES), sum[k][i]);
    for (int k = 0; k < n; k++)
        for (int i = 0; i < ROTATE_VECS; i++)
            vec_store(x + k * ROTATE_NEAR + i * VEC_LANES, sum[k][i]);
}

// x[i], x[i + apart] = (x[i] + x[i + apart]) * scale, (x[i] - x[i + apart]) * scale
INLINE void rotate_far(float *x, int64_t group, int64_t apart, float scale) {
    const vec s = vec_set1(scale);
    for (int64_t at = 0; at < group; at += 2 * apart)
        for (int64_t i = at; i < at + apart; i += VEC_LANES) {
            vec a = vec_load(x + i), b = vec_load(x + i + apart);
            vec_store(x + i, vec_mul(s, vec_add(a, b)));
            vec_store(x + i + apart, vec_mul(s, vec_sub(a, b)));
        }
}

static void rotate(float *x, int64_t n, int64_t group) {
    int64_t i = 0;
    for (; i + ROTATE_SUMS * ROTATE_NEAR <= n; i += ROTATE_SUMS * ROTATE_NEAR)
        rotate_near(x + i, ROTATE_SUMS);
    for (; i < n; i += ROTATE_NEAR)
        rotate_near(x + i, 1);
    const float scale = 1.0f / sqrtf((float)group);
    for (i = 0; i < n; i += group) {
        int64_t apart = ROTATE_NEAR;
        for (; 2 * apart < group; apart *= 2)
            rotate_far(x + i, group, apart, 1.0f);
        rotate_far(x + i, group, apart, scale);
    }
}
