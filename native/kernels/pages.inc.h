// Keys and values of one head of a page, as each type stores them.
//
// Values are rows of the type's blocks as in a file, [token][dim]. Keys are the same blocks taken apart: what
// the tokens' blocks have at one place lies side by side, a slot for each token, so that a page is unpacked
// in lanes. So for each block of dimensions there are
//
//   F32, F16, BF16 (a block is one number)   KERNELS_PAGE numbers
//   Q8_0 (32 dimensions)   32 x KERNELS_PAGE codes, then KERNELS_PAGE half scales
//   Q4_0 (32 dimensions)   16 x KERNELS_PAGE bytes, each with dimensions j and j + 16 of a token, then
//                          KERNELS_PAGE half scales
//
// No byte belongs to two tokens: threads may store tokens of one page at the same time.

enum {
    PAGE_VECS = KERNELS_PAGE / VEC_LANES,
    PIECE = 64, // numbers that are converted before they are spread
};

// Numbers of a row's block, and its bytes.
INLINE int page_block(int type) {
    return type == QUANT_Q8_0 || type == QUANT_Q4_0 ? 32 : 1;
}

INLINE int64_t page_block_bytes(int type) {
    return type == QUANT_Q8_0   ? (int64_t)sizeof(block_q8_0)
           : type == QUANT_Q4_0 ? (int64_t)sizeof(block_q4_0)
                                : float_size(type);
}

// Numbers of blocks that are a scale and 32 codes: those of code `j`, the next code `apart` bytes after it.
INLINE vec block_numbers(int type, const uint8_t *codes, int j, int apart, vec scale) {
    if (type == QUANT_Q8_0)
        return vec_mul(scale, veci_to_float(veci_load_bytes(codes + j * apart)));
    ivec bytes = veci_load_bytes(codes + j % 16 * apart);
    ivec nibbles = veci_and(j < 16 ? bytes : veci_shr(bytes, 4), veci_set1(15));
    return vec_mul(scale, veci_to_float(veci_sub(nibbles, veci_set1(8))));
}

// The tokens' scales of a block of keys; not used where a block is one number.
INLINE void key_scales(int type, const uint8_t *block, vec scale[PAGE_VECS]) {
    const uint8_t *scales = block + (page_block_bytes(type) - 2) * KERNELS_PAGE;
    for (int i = 0; i < PAGE_VECS; i++)
        scale[i] = page_block(type) == 1 ? vec_set1(1.0f) : load_floats(QUANT_F16, scales, i * VEC_LANES);
}

// Dimension `j` of a block of keys, of the i-th VEC_LANES tokens.
INLINE vec page_keys(int type, const uint8_t *block, int j, int i, vec scale) {
    return page_block(type) == 1 ? load_floats(type, block, i * VEC_LANES)
                                 : block_numbers(type, block + i * VEC_LANES, j, KERNELS_PAGE, scale);
}

// A row's numbers from `at` on, which is constant; blocks begin at `row`.
INLINE vec page_values(int type, const uint8_t *row, int at) {
    if (page_block(type) == 1)
        return load_floats(type, row, at);
    const uint8_t *block = row + at / 32 * page_block_bytes(type);
    return block_numbers(type, block + 2, at % 32, 1, vec_set1_f16(load_u16(block)));
}

// Puts `n` items into the slot that `to` points to.
INLINE void spread_8(const uint8_t *items, int64_t n, uint8_t *to) {
    for (int64_t i = 0; i < n; i++)
        to[i * KERNELS_PAGE] = items[i];
}

INLINE void spread_16(const uint16_t *items, int64_t n, uint16_t *to) {
    for (int64_t i = 0; i < n; i++)
        to[i * KERNELS_PAGE] = items[i];
}

// ------------------------------------------------------------------------------------------------- F32

static void f32_store_key(const float *k, int64_t k_dim, int64_t slot, void *keys) {
    float *to = (float *)keys + slot;
    for (int64_t d = 0; d < k_dim; d++)
        to[d * KERNELS_PAGE] = k[d];
}

static void f32_store_value(const float *v, int64_t v_dim, void *row) {
    memcpy(row, v, (size_t)v_dim * sizeof *v);
}

// ------------------------------------------------------------------------------------------------- F16, BF16

static void f16_store_value(const float *v, int64_t v_dim, void *row) {
    uint16_t *to = row;
    int64_t i = 0;
    for (; i + VEC_LANES <= v_dim; i += VEC_LANES)
        vec_store_f16(to + i, vec_load(v + i));
    for (; i < v_dim; i++)
        to[i] = half_encode(v[i]);
}

// A loop of integers that compilers put into vectors by themselves.
static void bf16_store_value(const float *restrict v, int64_t v_dim, void *restrict row) {
    uint16_t *to = row;
    for (int64_t i = 0; i < v_dim; i++)
        to[i] = bfloat_encode(v[i]);
}

INLINE void load_numbers(int type, const void *from, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        vec_store(out + i, load_floats(type, from, i));
    for (; i < n; i++)
        out[i] = load_float(type, from, i);
}

// Keys of both are [dim][slot], which loads as values do.
#define PAGES_16(name, type)                                                                                 \
    static void name##_load_values(const void *values, int64_t n, float *out) {                              \
        load_numbers(type, values, n, out);                                                                  \
    }                                                                                                        \
    static void name##_store_key(const float *k, int64_t k_dim, int64_t slot, void *keys) {                  \
        uint16_t piece[PIECE];                                                                               \
        for (int64_t d = 0; d < k_dim; d += PIECE) {                                                         \
            int64_t n = k_dim - d < PIECE ? k_dim - d : PIECE;                                               \
            name##_store_value(k + d, n, piece);                                                             \
            spread_16(piece, n, (uint16_t *)keys + d * KERNELS_PAGE + slot);                                 \
        }                                                                                                    \
    }                                                                                                        \
    static void name##_load_keys(const void *keys, int64_t k_dim, float *out) {                              \
        name##_load_values(keys, k_dim *KERNELS_PAGE, out);                                                  \
    }
PAGES_16(f16, QUANT_F16)
PAGES_16(bf16, QUANT_BF16)
#undef PAGES_16

// ----------------------------------------------------------------------------------------- Q8_0, Q4_0

INLINE void block_encode(int type, const float *x, uint8_t *block) {
    if (type == QUANT_Q8_0)
        q8_0_encode(x, (block_q8_0 *)block);
    else
        q4_0_encode(x, (block_q4_0 *)block);
}

INLINE void store_key_32(int type, const float *k, int64_t k_dim, int64_t slot, uint8_t *keys) {
    const int64_t codes = page_block_bytes(type) - 2;
    uint8_t block[sizeof(block_q8_0)];
    for (int64_t d = 0; d < k_dim; d += 32, keys += page_block_bytes(type) * KERNELS_PAGE) {
        block_encode(type, k + d, block);
        spread_8(block + 2, codes, keys + slot);
        memcpy(keys + codes * KERNELS_PAGE + 2 * slot, block, 2);
    }
}

INLINE void store_value_32(int type, const float *v, int64_t v_dim, uint8_t *row) {
    for (int64_t d = 0; d < v_dim; d += 32, row += page_block_bytes(type))
        block_encode(type, v + d, row);
}

INLINE void load_keys_32(int type, const uint8_t *keys, int64_t k_dim, float *out) {
    for (int64_t d = 0; d < k_dim; d += 32, keys += page_block_bytes(type) * KERNELS_PAGE) {
        vec scale[PAGE_VECS];
        key_scales(type, keys, scale);
        for (int j = 0; j < 32; j++, out += KERNELS_PAGE)
            for (int i = 0; i < PAGE_VECS; i++)
                vec_store(out + i * VEC_LANES, page_keys(type, keys, j, i, scale[i]));
    }
}

INLINE void load_values_32(int type, const uint8_t *values, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i += 32, values += page_block_bytes(type))
        for (int j = 0; j < 32; j += VEC_LANES)
            vec_store(out + i + j, page_values(type, values, j));
}

#define PAGES_32(name, type)                                                                                 \
    static void name##_store_key(const float *k, int64_t k_dim, int64_t slot, void *keys) {                  \
        store_key_32(type, k, k_dim, slot, keys);                                                            \
    }                                                                                                        \
    static void name##_store_value(const float *v, int64_t v_dim, void *row) {                               \
        store_value_32(type, v, v_dim, row);                                                                 \
    }                                                                                                        \
    static void name##_load_keys(const void *keys, int64_t k_dim, float *out) {                              \
        load_keys_32(type, keys, k_dim, out);                                                                \
    }                                                                                                        \
    static void name##_load_values(const void *values, int64_t n, float *out) {                              \
        load_values_32(type, values, n, out);                                                                \
    }
PAGES_32(q8_0, QUANT_Q8_0)
PAGES_32(q4_0, QUANT_Q4_0)
#undef PAGES_32
