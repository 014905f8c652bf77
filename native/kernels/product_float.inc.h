// Float products: for F32, F16 and BF16, and for whatever is decoded to F32.
//
// A product has sixteen sums: number l adds the terms l, l + 16, l + 32 and so on, in order, with a fused
// multiply-add each; then they are added pairwise, l and l + 8 first. Few columns keep the sums of a row side
// by side, so that rows are read as they lie; many keep those of a row in each lane, one sum after the other.
//
// Where an instruction set multiplies pairs of BF16, activations are rounded to BF16 too, and a pair of
// weights is what one float is elsewhere: a term.

enum {
    FLOAT_PAIRS = -1, // pairs of BF16, in place of a tensor type
    FLOAT_SUMS = KERNELS_FLOATS,
    FLOAT_VECS = FLOAT_SUMS / VEC_LANES,
    FLOAT_BLOCK = 16 * FLOAT_SUMS, // terms of a panel that lie together, ordered by their sums
    // Vectors of sums that fit into registers beside what is added to them; and rows that are read at a time:
    // no more than the first cache holds lines of one set.
    FLOAT_REGISTERS = VEC_LANES == 8 ? 8 : 16,
    FLOAT_ROWS = VEC_LANES < 8 ? VEC_LANES : 8,
};

INLINE int term_size(int type) {
    return type == FLOAT_PAIRS ? 4 : float_size(type);
}

INLINE vec multiply_add(int type, vec w, vec x, vec sum) {
#ifdef VEC_BF16
    if (type == FLOAT_PAIRS)
        return vec_dot_bf16(sum, w, x);
#endif
    (void)type;
    return vec_fma(w, x, sum);
}

// Number `i` of sixteen terms of each row, of which there are `words`.
INLINE vec float_lane(int type, const ivec *words, int i) {
    if (term_size(type) == 4)
        return veci_as_float(words[i]);
    const ivec word = words[i / 2];
    if (type == QUANT_F16)
        return veci_half(i % 2 ? veci_shr(word, 16) : word);
    return veci_as_float(i % 2 ? veci_and(word, veci_set1((int32_t)0xffff0000)) : veci_shl(word, 16));
}

// Adds sixteen terms to the sums of each column.
INLINE void float_add(int type, int width, const uint8_t *weights, const float *x, vec *sums) {
    for (int v = 0; v < FLOAT_VECS; v++) {
        const vec w = load_floats(type == FLOAT_PAIRS ? QUANT_F32 : type, weights, v * VEC_LANES);
        for (int c = 0; c < width; c++)
            sums[c * FLOAT_VECS + v] =
                multiply_add(type, w, vec_load(x + c * FLOAT_SUMS + v * VEC_LANES), sums[c * FLOAT_VECS + v]);
    }
}

INLINE float float_total(const vec sums[FLOAT_VECS]) {
    vec total[FLOAT_VECS];
    for (int v = 0; v < FLOAT_VECS; v++)
        total[v] = sums[v];
    for (int half = FLOAT_VECS / 2; half > 0; half /= 2)
        for (int v = 0; v < half; v++)
            total[v] = vec_add(total[v], total[v + half]);
    return vec_sum(total[0]);
}

// `width` is 1, 2 or 4.
INLINE int float_group(int width) {
    const int rows = FLOAT_REGISTERS / (width * FLOAT_VECS);
    return rows < 1 ? 1 : rows < FLOAT_ROWS ? rows : FLOAT_ROWS;
}

// `k` terms.
INLINE void many_float_width(int width, int type, const void *panel, int64_t k, const void *tile, float *out,
                             int64_t out_stride) {
    const float *w = panel, *x = tile;
    vec sums[FLOAT_SUMS][KERNELS_TILE];
    for (int l = 0; l < FLOAT_SUMS; l++)
        for (int c = 0; c < width; c++)
            sums[l][c] = vec_set1(0.0f);
    for (int64_t left = k; left > 0; left -= FLOAT_BLOCK) {
        const int64_t n =
            left < FLOAT_BLOCK ? (left + FLOAT_SUMS - 1) / FLOAT_SUMS : FLOAT_BLOCK / FLOAT_SUMS;
        for (int l = 0; l < FLOAT_SUMS; l++) {
            vec sum[KERNELS_TILE];
            for (int c = 0; c < width; c++)
                sum[c] = sums[l][c];
            for (int64_t j = 0; j < n; j++, w += VEC_LANES)
                for (int c = 0; c < width; c++)
                    sum[c] = multiply_add(type, vec_load(w), vec_set1(x[(j * width + c) * FLOAT_SUMS + l]),
                                          sum[c]);
            for (int c = 0; c < width; c++)
                sums[l][c] = sum[c];
        }
        x += n * width * FLOAT_SUMS;
    }
    for (int half = FLOAT_SUMS / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            for (int c = 0; c < width; c++)
                sums[l][c] = vec_add(sums[l][c], sums[l + half][c]);
    for (int c = 0; c < width; c++)
        vec_store(out + c * out_stride, sums[0][c]);
}

static void many_float(const void *panel, int64_t k, const void *tile, int width, float *out,
                       int64_t out_stride) {
    FOR_WIDTHS_MANY(many_float_width, QUANT_F32, panel, k, tile, out, out_stride)
}

static int64_t many_float_bytes(int64_t k) {
    return (k + FLOAT_SUMS - 1) / FLOAT_SUMS * FLOAT_SUMS * VEC_LANES * 4;
}

// Some rows of few columns. Each row's lines are read whole: rows may stand at a distance where all of them
// share the same sets of the first cache. What is missing in the last sixteen terms counts as zeros.
INLINE void float_rows(int type, int n, int width, kernels_rows rows, int64_t row_bytes, const float *x,
                       float *out, int64_t out_stride) {
    const int bytes = FLOAT_SUMS * term_size(type), of_row = width * FLOAT_VECS;
    vec sums[16];
    int64_t at = 0;
    for (int s = 0; s < n * of_row; s++)
        sums[s] = vec_set1(0.0f);
    for (; at + LINE <= row_bytes; at += LINE) {
        fetch_ahead(rows, row_bytes, at, LINE, 0, n);
        UNROLL(16)
        for (int r = 0; r < n; r++) {
            UNROLL(2)
            for (int part = 0; part < LINE; part += bytes)
                float_add(type, width, rows.data + r * rows.step + at + part,
                          x + part / term_size(type) * width, sums + r * of_row);
        }
        x += LINE / bytes * FLOAT_SUMS * width;
    }
    for (; at < row_bytes; at += bytes, x += FLOAT_SUMS * width) {
        const int64_t left = row_bytes - at < bytes ? row_bytes - at : bytes;
        for (int r = 0; r < n; r++) {
            uint8_t last[FLOAT_SUMS * 4] = {0};
            memcpy(last, rows.data + r * rows.step + at, (size_t)left);
            float_add(type, width, last, x, sums + r * of_row);
        }
    }
    for (int r = 0; r < n; r++)
        for (int c = 0; c < width; c++)
            out[c * out_stride + r] = float_total(sums + r * of_row + c * FLOAT_VECS);
}

INLINE void few_float(int type, int width, kernels_rows rows, int64_t row_bytes, const void *tile, float *out,
                      int64_t out_stride) {
    const int n = float_group(width);
    for (int r = 0; r < VEC_LANES; r += n) {
        kernels_rows group = rows;
        group.data += r * rows.step;
        if (r + n < VEC_LANES) {
            group.next = group.data + n * rows.step;
            group.next_step = rows.step;
        }
        float_rows(type, n, width, group, row_bytes, tile, out + r, out_stride);
    }
}

// Sixteen terms of each row, to vectors that stand `apart` floats from each other.
INLINE void pack_sixteen(int type, const uint8_t *data, int64_t stride, float *out, int64_t apart) {
    ivec words[FLOAT_SUMS];
    for (int at = 0; at < term_size(type) / 2; at++)
        veci_load8(data + 32 * at, stride, words + 8 * at);
    UNROLL(16)
    for (int l = 0; l < FLOAT_SUMS; l++)
        vec_store(out + l * apart, float_lane(type, words, l));
}

// A panel's blocks, each [FLOAT_SUMS][terms of a sum][VEC_LANES].
INLINE void pack_float(int type, kernels_rows rows, int64_t row_bytes, float *panel) {
    const int64_t bytes = FLOAT_SUMS * term_size(type), block_bytes = FLOAT_BLOCK * term_size(type);
    for (int64_t block = 0; block < row_bytes; block += block_bytes) {
        const int64_t end = row_bytes - block < block_bytes ? row_bytes : block + block_bytes;
        const int64_t apart = (end - block + bytes - 1) / bytes * VEC_LANES;
        float *p = panel;
        int64_t at = block;
        for (; at + bytes <= end; at += bytes, p += VEC_LANES) {
            if (at % LINE == 0)
                fetch_ahead(rows, row_bytes, at, LINE, 0, VEC_LANES);
            pack_sixteen(type, rows.data + at, rows.step, p, apart);
        }
        if (at < end) {
            uint8_t last[VEC_LANES][FLOAT_SUMS * 4] = {{0}};
            for (int r = 0; r < VEC_LANES; r++)
                memcpy(last[r], rows.data + r * rows.step + at, (size_t)(end - at));
            pack_sixteen(type, last[0], sizeof last[0], p, apart);
        }
        panel += FLOAT_SUMS * apart;
    }
}

// `weight_size` in bytes; `columns`, `bytes` and `many` belong together.
#define PRODUCT_FLOAT(name, type, weight_size, columns, bytes, many)                                         \
    INLINE void name##_few_width(int width, kernels_rows rows, int64_t k, const void *tile, float *out,      \
                                 int64_t out_stride) {                                                       \
        few_float(type, width, rows, k *(weight_size), tile, out, out_stride);                               \
    }                                                                                                        \
    static void name##_few(kernels_rows rows, int64_t k, const void *tile, int width, float *out,            \
                           int64_t out_stride) {                                                             \
        FOR_WIDTHS_FEW(name##_few_width, rows, k, tile, out, out_stride)                                     \
    }                                                                                                        \
    static void name##_pack(kernels_rows rows, int64_t k, void *panel) {                                     \
        pack_float(type, rows, k *(weight_size), panel);                                                     \
    }                                                                                                        \
    static const kernels_product name##_product = {columns, name##_few, bytes, name##_pack, many};

PRODUCT_FLOAT(f32, QUANT_F32, 4, COLUMNS_FLOAT, many_float_bytes, many_float)
PRODUCT_FLOAT(f16, QUANT_F16, 2, COLUMNS_FLOAT, many_float_bytes, many_float)
PRODUCT_FLOAT(bf16, QUANT_BF16, 2, COLUMNS_FLOAT, many_float_bytes, many_float)

#ifdef VEC_BF16

static void many_pairs(const void *panel, int64_t k, const void *tile, int width, float *out,
                       int64_t out_stride) {
    FOR_WIDTHS_MANY(many_float_width, FLOAT_PAIRS, panel, (k + 1) / 2, tile, out, out_stride)
}

static int64_t many_pairs_bytes(int64_t k) {
    return many_float_bytes((k + 1) / 2);
}

PRODUCT_FLOAT(bf16_pairs, FLOAT_PAIRS, 2, COLUMNS_BF16, many_pairs_bytes, many_pairs)

#endif
