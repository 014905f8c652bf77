// Vector primitives for 64-bit ARM with products of small matrices of bytes: those of dot products, and sums
// of two rows with two columns in one instruction where there are many columns.
#define VEC_NAME neon_i8mm

#include "kernels/vec/neon_dotprod.h"

#define VEC_DOT_RUN

#include "kernels/kernels.h"

// Of two words of all columns, matrices of two columns each; one that is left over is left out.
INLINE void column_pairs(int width, const int32_t *x, int8x16_t *pairs) {
    int c = 0;
    for (; c + 4 <= width; c += 4) {
        ivec first = vld1q_s32(x + c), second = vld1q_s32(x + width + c);
        pairs[c / 2] = vreinterpretq_s8_s32(vzip1q_s32(first, second));
        pairs[c / 2 + 1] = vreinterpretq_s8_s32(vzip2q_s32(first, second));
    }
    if (c + 2 <= width) {
        int32x2x2_t words = vzip_s32(vld1_s32(x + c), vld1_s32(x + width + c));
        pairs[c / 2] = vreinterpretq_s8_s32(vcombine_s32(words.val[0], words.val[1]));
    }
}

// dot[c] + the products of `n` words of a panel with those of column c, signed or not.
INLINE void veci_dot_run(int n, int width, const int32_t *panel, const int32_t *x, ivec *dot) {
    ivec low[KERNELS_TILE / 2], high[KERNELS_TILE / 2]; // sums of rows 0 and 1, of rows 2 and 3
    for (int c = 0; c + 2 <= width; c += 2)
        low[c / 2] = high[c / 2] = veci_zero();
    for (int i = 0; i < n; i += 2, x += 2 * width) {
        ivec first = veci_load(panel + i * VEC_LANES), second = veci_load(panel + (i + 1) * VEC_LANES);
        int8x16_t rows01 = vreinterpretq_s8_s32(vzip1q_s32(first, second));
        int8x16_t rows23 = vreinterpretq_s8_s32(vzip2q_s32(first, second));
        int8x16_t pairs[KERNELS_TILE / 2];
        column_pairs(width, x, pairs);
        for (int c = 0; c + 2 <= width; c += 2) {
            low[c / 2] = vmmlaq_s32(low[c / 2], rows01, pairs[c / 2]);
            high[c / 2] = vmmlaq_s32(high[c / 2], rows23, pairs[c / 2]);
        }
        if (width % 2) {
            dot[width - 1] = veci_dot_signed(dot[width - 1], first, veci_set1(x[width - 1]));
            dot[width - 1] = veci_dot_signed(dot[width - 1], second, veci_set1(x[2 * width - 1]));
        }
    }
    for (int c = 0; c + 2 <= width; c += 2) {
        dot[c] = veci_add(dot[c], vuzp1q_s32(low[c / 2], high[c / 2]));
        dot[c + 1] = veci_add(dot[c + 1], vuzp2q_s32(low[c / 2], high[c / 2]));
    }
}
