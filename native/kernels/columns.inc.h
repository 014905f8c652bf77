// Activations as products read them. A tile of floats is [k/16][width][16] and one of BF16 [k/32][width][32],
// with zeros where `k` ends; the others have parts, one after the other, each [...][width]:
//
//   of 32    codes, words of four [k/4]; scale [k/32]; minus the sum of codes [k/32]; scale times the sum
//            [k/32]; minus the sums of groups of 16 [k/16]
//   of 256   codes [k/4]; scale [k/256]; minus the sums of groups of 16 [16 k/256] and of 32 [8 k/256]; the
//            sums again, as pairs of 16 bits, of groups of 16 [8 k/256] and of 32 [4 k/256]

typedef struct tile_32 {
    const int32_t *codes;
    const float *scale;
    const int32_t *minus_sum;
    const float *scaled_sum;
    const int32_t *minus_sum16;
} tile_32;

typedef struct tile_256 {
    const int32_t *codes;
    const float *scale;
    const int32_t *minus_sum16, *minus_sum32;
    const int32_t *pairs16, *pairs32;
} tile_256;

INLINE tile_32 tile_32_of(const void *tile, int64_t k, int width) {
    tile_32 t = {.codes = tile};
    t.scale = (const float *)(t.codes + k / 4 * width);
    t.minus_sum = (const int32_t *)(t.scale + k / 32 * width);
    t.scaled_sum = (const float *)(t.minus_sum + k / 32 * width);
    t.minus_sum16 = (const int32_t *)(t.scaled_sum + k / 32 * width);
    return t;
}

INLINE tile_256 tile_256_of(const void *tile, int64_t k, int width) {
    const int64_t blocks = k / 256 * width;
    tile_256 t = {.codes = tile};
    t.scale = (const float *)(t.codes + k / 4 * width);
    t.minus_sum16 = (const int32_t *)(t.scale + blocks);
    t.minus_sum32 = t.minus_sum16 + 16 * blocks;
    t.pairs16 = t.minus_sum32 + 8 * blocks;
    t.pairs32 = t.pairs16 + 8 * blocks;
    return t;
}

// `n` activations to codes of -127 to 127; returns what a code of 1 stands for. All zeros, or a value that is
// no number, give a scale that says so.
INLINE float quantize_block(const float *x, int64_t n, int8_t *codes) {
    float lane[VEC_LANES], max = 0.0f;
    vec most = vec_set1(0.0f);
    for (int64_t i = 0; i < n; i += VEC_LANES)
        most = vec_max(most, vec_abs(vec_load(x + i)));
    vec_store(lane, most);
    for (int i = 0; i < VEC_LANES; i++)
        max = lane[i] > max ? lane[i] : max;
    const float inverse = max > 0.0f ? 127.0f / max : 0.0f;
    const vec scale = vec_set1(isfinite(inverse) ? inverse : 0.0f);
    for (int64_t i = 0; i < n; i += VEC_LANES)
        veci_store_bytes(codes + i, vec_round(vec_mul(vec_load(x + i), scale)));
    return max / 127.0f;
}

INLINE int32_t sum_of(const int8_t *codes, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += codes[i];
    return sum;
}

INLINE int32_t pair_of(int32_t low, int32_t high) {
    return (int32_t)(((uint32_t)low & 0xffff) | (uint32_t)high << 16);
}

INLINE void put_codes(const int8_t *codes, int64_t n, int width, int32_t *out) {
    for (int64_t i = 0; i < n / 4; i++)
        memcpy(out + i * width, codes + 4 * i, 4);
}

static void quantize_32(const float *x, int64_t k, int column, int width, void *tile) {
    int32_t *codes = (int32_t *)tile + column;
    float *scale = (float *)tile + k / 4 * width + column;
    int32_t *minus_sum = (int32_t *)tile + (k / 4 + k / 32) * width + column;
    float *scaled_sum = (float *)tile + (k / 4 + k / 32 * 2) * width + column;
    int32_t *sum16 = (int32_t *)tile + (k / 4 + k / 32 * 3) * width + column;
    int8_t block[32];
    for (int64_t b = 0; b < k / 32; b++) {
        float d = quantize_block(x + 32 * b, 32, block);
        int32_t first = sum_of(block, 16), second = sum_of(block + 16, 16), sum = first + second;
        put_codes(block, 32, width, codes + 8 * b * width);
        scale[b * width] = d;
        minus_sum[b * width] = -sum;
        scaled_sum[b * width] = d * (float)sum;
        sum16[2 * b * width] = -first;
        sum16[(2 * b + 1) * width] = -second;
    }
}

static void quantize_256(const float *x, int64_t k, int column, int width, void *tile) {
    const int64_t blocks = k / 256 * width;
    int32_t *codes = (int32_t *)tile + column;
    float *scale = (float *)tile + k / 4 * width + column;
    int32_t *sum16 = (int32_t *)tile + k / 4 * width + blocks + column, *sum32 = sum16 + 16 * blocks;
    int32_t *pairs16 = sum32 + 8 * blocks, *pairs32 = pairs16 + 8 * blocks;
    int8_t block[256];
    int32_t sums[16];
    for (int64_t b = 0; b < k / 256; b++) {
        scale[b * width] = quantize_block(x + 256 * b, 256, block);
        put_codes(block, 256, width, codes + 64 * b * width);
        for (int g = 0; g < 16; g++) {
            sums[g] = sum_of(block + 16 * g, 16);
            sum16[(16 * b + g) * width] = -sums[g];
        }
        for (int g = 0; g < 8; g++) {
            sum32[(8 * b + g) * width] = -sums[2 * g] - sums[2 * g + 1];
            pairs16[(8 * b + g) * width] = pair_of(sums[2 * g], sums[2 * g + 1]);
        }
        for (int g = 0; g < 4; g++)
            pairs32[(4 * b + g) * width] =
                pair_of(sums[4 * g] + sums[4 * g + 1], sums[4 * g + 2] + sums[4 * g + 3]);
    }
}

static void put_floats(const float *x, int64_t k, int column, int width, float *tile) {
    for (int64_t i = 0; i < k; i += KERNELS_FLOATS) {
        float *to = tile + i * width + KERNELS_FLOATS * column;
        const int64_t n = k - i < KERNELS_FLOATS ? k - i : KERNELS_FLOATS;
        memcpy(to, x + i, (size_t)n * sizeof *x);
        memset(to + n, 0, (size_t)(KERNELS_FLOATS - n) * sizeof *x);
    }
}

static void put_bfloats(const float *x, int64_t k, int column, int width, uint16_t *tile) {
    const int64_t part = 2 * KERNELS_FLOATS;
    for (int64_t i = 0; i < k; i += part) {
        uint16_t *to = tile + i * width + part * column;
        for (int64_t j = 0; j < part; j++)
            to[j] = i + j < k ? bfloat_encode(x[i + j]) : 0;
    }
}

static void quantize(columns_kind kind, const float *x, int64_t k, int column, int width, void *tile) {
    if (kind == COLUMNS_FLOAT)
        put_floats(x, k, column, width, tile);
    else if (kind == COLUMNS_BF16)
        put_bfloats(x, k, column, width, tile);
    else if (kind == COLUMNS_32)
        quantize_32(x, k, column, width, tile);
    else
        quantize_256(x, k, column, width, tile);
}
