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

enum { PIECE = 64 }; // numbers that are converted before they are spread

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

static const kernels_page_type f32_pages = {f32_store_key, f32_store_value, NULL, NULL, f32_attend};

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

INLINE void load_numbers(float_kind kind, const void *from, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + VEC_LANES <= n; i += VEC_LANES)
        vec_store(out + i, load_floats(kind, from, i));
    for (; i < n; i++)
        out[i] = load_float(kind, from, i);
}

// Keys of both are [dim][slot], which loads as values do.
#define PAGES_16(type, kind)                                                                                 \
    static void type##_load_values(const void *values, int64_t n, float *out) {                              \
        load_numbers(kind, values, n, out);                                                                  \
    }                                                                                                        \
    static void type##_store_key(const float *k, int64_t k_dim, int64_t slot, void *keys) {                  \
        uint16_t piece[PIECE];                                                                               \
        for (int64_t d = 0; d < k_dim; d += PIECE) {                                                         \
            int64_t n = k_dim - d < PIECE ? k_dim - d : PIECE;                                               \
            type##_store_value(k + d, n, piece);                                                             \
            spread_16(piece, n, (uint16_t *)keys + d * KERNELS_PAGE + slot);                                 \
        }                                                                                                    \
    }                                                                                                        \
    static void type##_load_keys(const void *keys, int64_t k_dim, float *out) {                              \
        type##_load_values(keys, k_dim *KERNELS_PAGE, out);                                                  \
    }                                                                                                        \
    static const kernels_page_type type##_pages = {type##_store_key, type##_store_value, type##_load_keys,   \
                                                   type##_load_values, type##_attend};
PAGES_16(f16, FLOATS_F16)
PAGES_16(bf16, FLOATS_BF16)
#undef PAGES_16

// --------------------------------------------------------------------------------------------- Q8_0, Q4_0

// Both have blocks of a half scale and 32 codes of `bits` bits.

INLINE int64_t code_bytes(int bits) {
    return 4 * bits;
}

INLINE int64_t page_block_bytes(int bits) {
    return (2 + code_bytes(bits)) * KERNELS_PAGE;
}

INLINE void block_encode(int bits, const float *x, uint8_t *block) {
    if (bits == 8)
        q8_0_encode(x, (block_q8_0 *)block);
    else
        q4_0_encode(x, (block_q4_0 *)block);
}

// Numbers of bytes of codes; of 4 bits those in the low halves, where `offset` is -8 times the scale: both
// steps are exact.
INLINE vec low_numbers(int bits, ivec bytes, vec scale, vec offset) {
    if (bits == 8)
        return vec_mul(scale, veci_to_float(bytes));
    return vec_fma(scale, veci_to_float(veci_and(bytes, veci_set1(15))), offset);
}

// Those of 4 bits in the high halves.
INLINE vec high_numbers(ivec bytes, vec scale, vec offset) {
    return low_numbers(4, veci_shr(bytes, 4), scale, offset);
}

INLINE void store_key_32(int bits, const float *k, int64_t k_dim, int64_t slot, uint8_t *keys) {
    uint8_t block[34];
    for (int64_t d = 0; d < k_dim; d += 32, keys += page_block_bytes(bits)) {
        block_encode(bits, k + d, block);
        spread_8(block + 2, code_bytes(bits), keys + slot);
        memcpy(keys + code_bytes(bits) * KERNELS_PAGE + 2 * slot, block, 2);
    }
}

INLINE void store_value_32(int bits, const float *v, int64_t v_dim, uint8_t *row) {
    for (int64_t d = 0; d < v_dim; d += 32, row += 2 + code_bytes(bits))
        block_encode(bits, v + d, row);
}

INLINE void load_keys_32(int bits, const uint8_t *keys, int64_t k_dim, float *out) {
    for (int64_t d = 0; d < k_dim; d += 32, keys += page_block_bytes(bits), out += 32 * KERNELS_PAGE) {
        const uint8_t *scales = keys + code_bytes(bits) * KERNELS_PAGE;
        vec scale[PAGE_VECS], offset[PAGE_VECS];
        for (int i = 0; i < PAGE_VECS; i++) {
            scale[i] = vec_load_f16((const uint16_t *)(const void *)scales + i * VEC_LANES);
            offset[i] = vec_mul(scale[i], vec_set1(-8.0f));
        }
        for (int64_t j = 0; j < code_bytes(bits); j++) {
            for (int i = 0; i < PAGE_VECS; i++) {
                const int64_t at = j * KERNELS_PAGE + i * VEC_LANES;
                ivec bytes = veci_load_bytes(keys + at);
                vec_store(out + at, low_numbers(bits, bytes, scale[i], offset[i]));
                if (bits == 4)
                    vec_store(out + 16 * KERNELS_PAGE + at, high_numbers(bytes, scale[i], offset[i]));
            }
        }
    }
}

INLINE void load_values_32(int bits, const uint8_t *values, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i += 32, values += 2 + code_bytes(bits)) {
        vec scale = vec_set1_f16(load_u16(values));
        vec offset = vec_mul(scale, vec_set1(-8.0f));
        for (int64_t j = 0; j < code_bytes(bits); j += VEC_LANES) {
            ivec bytes = veci_load_bytes(values + 2 + j);
            vec_store(out + i + j, low_numbers(bits, bytes, scale, offset));
            if (bits == 4)
                vec_store(out + i + 16 + j, high_numbers(bytes, scale, offset));
        }
    }
}

#define PAGES_32(type, bits)                                                                                 \
    static void type##_store_key(const float *k, int64_t k_dim, int64_t slot, void *keys) {                  \
        store_key_32(bits, k, k_dim, slot, keys);                                                            \
    }                                                                                                        \
    static void type##_store_value(const float *v, int64_t v_dim, void *row) {                               \
        store_value_32(bits, v, v_dim, row);                                                                 \
    }                                                                                                        \
    static void type##_load_keys(const void *keys, int64_t k_dim, float *out) {                              \
        load_keys_32(bits, keys, k_dim, out);                                                                \
    }                                                                                                        \
    static void type##_load_values(const void *values, int64_t n, float *out) {                              \
        load_values_32(bits, values, n, out);                                                                \
    }                                                                                                        \
    static const kernels_page_type type##_pages = {type##_store_key, type##_store_value, type##_load_keys,   \
                                                   type##_load_values, NULL};
PAGES_32(q8_0, 8)
PAGES_32(q4_0, 4)
#undef PAGES_32
