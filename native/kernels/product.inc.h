// Integer products, written once for all tensor types; unpack_*.inc.h says how each type's weights become
// codes. Everything with a constant width is inlined and unrolled.

// What the codes of a type are, beyond their scales.
typedef enum code_kind {
    CODES_MINIMUM, // weight = d * scale * code - e * minimum (blocks of 32: + e); codes are below 32
    CODES_OFFSET,  // weight = d * scale * (code - 2^shift); codes are below 16, or below 2^(shift + 1)
    CODES_SIGNED,  // weight = d * scale * code, of signed bytes
} code_kind;

// Columns of a tile that are multiplied at a time, where some of them are faster than all.
INLINE int columns_at_once(int width) {
#ifdef VEC_COLUMNS
    (void)width;
    return VEC_COLUMNS;
#else
    return width;
#endif
}

#if defined(VEC_DOT_RUN) && defined(VEC_COLUMNS)
#error "veci_dot_run takes all columns of a tile"
#endif

// dot[c] + the products of `n` words with those of `n_columns` columns of a tile of `width`.
#ifdef VEC_DOT_PAIRS

// How many words' sums of two products can be added in 16 bits: n words come to 2 n * 127 * code at most.
INLINE int pair_words(code_kind kind, int shift) {
    return kind == CODES_SIGNED || shift == 6    ? 1
           : kind == CODES_MINIMUM || shift == 4 ? 4
           : shift == 5                          ? 2
                                                 : 8;
}

INLINE ivec pairs_word(code_kind kind, ivec codes, int32_t x) {
    return kind == CODES_SIGNED ? veci_pairs_signed(codes, veci_set1(x)) : veci_pairs(codes, veci_set1(x));
}

INLINE void dot_words(code_kind kind, int shift, int n, int n_columns, int width, const ivec *codes,
                      const int32_t *x, ivec *dot) {
    const int run = pair_words(kind, shift);
    for (int i = 0; i < n; i += run) {
        ivec pairs[KERNELS_TILE];
        for (int c = 0; c < n_columns; c++)
            pairs[c] = pairs_word(kind, codes[i], x[i * width + c]);
        for (int j = i + 1; j < i + run && j < n; j++)
            for (int c = 0; c < n_columns; c++)
                pairs[c] = veci_add16(pairs[c], pairs_word(kind, codes[j], x[j * width + c]));
        for (int c = 0; c < n_columns; c++)
            dot[c] = veci_add_pairs(dot[c], pairs[c]);
    }
}

#else

INLINE void dot_words(code_kind kind, int shift, int n, int n_columns, int width, const ivec *codes,
                      const int32_t *x, ivec *dot) {
    (void)shift;
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < n_columns; c++) {
            const ivec word = veci_set1(x[i * width + c]);
            dot[c] = kind == CODES_SIGNED ? veci_dot_signed(dot[c], codes[i], word)
                                          : veci_dot_unsigned(dot[c], codes[i], word);
        }
    }
}

#endif

// Where a group's sum begins: minus the offset times the sum of its activations.
INLINE ivec dot_start(code_kind kind, int shift, int32_t minus_sum) {
    if (kind == CODES_OFFSET)
        return veci_shl(veci_set1(minus_sum), shift);
    if (kind == CODES_SIGNED && VEC_SIGNED_BIAS_BITS > 0)
        return veci_shl(veci_set1(minus_sum), VEC_SIGNED_BIAS_BITS);
    return veci_zero();
}

// ------------------------------------------------------------------------- blocks of 256 weights

// Indices of entries of a codebook, two in each lane. Most are read one by one, which costs much more as
// long as what was stored as a whole isn't in the first cache: so those of a whole block are stored
// beforehand.
typedef uint16_t entry_indices[2 * VEC_LANES];

typedef struct head_256 {
    vec d, e;
    ivec scale[16];    // of groups of 16 (or of 32: the first eight)
    ivec minimum[8];   // pairs of 16 bits
    ivec extra[24];    // what a type wants to keep for its codes
    entry_indices *at; // [32], to be filled by types that have a codebook
} head_256;

// Adds to `sums` the groups of a chunk of 64 weights whose first group of 16 is number `first` of its block.
INLINE void group_256(code_kind kind, int shift, int group, int width, const ivec *codes, const ivec *scale,
                      int first, const int32_t *x, const int32_t *minus_sum, ivec *sums) {
    const int at = first * 16 / group;
    ivec dot[KERNELS_TILE];
    for (int c = 0; c < width; c++)
        dot[c] = dot_start(kind, shift, minus_sum[at * width + c]);
    dot_words(kind, shift, group / 4, width, width, codes, x + 4 * first * width, dot);
    for (int c = 0; c < width; c++)
        sums[c] = veci_add(sums[c], veci_mul(dot[c], scale[at]));
}

// Adds a block's integers to the columns' results.
INLINE void finish_256(code_kind kind, int group, int n_columns, int width, vec d, vec e, const ivec *minimum,
                       const float *scale, const int32_t *pairs, const ivec *sums, vec *out) {
    for (int c = 0; c < n_columns; c++) {
        out[c] = vec_fma(veci_to_float(sums[c]), vec_mul(d, vec_set1(scale[c])), out[c]);
        if (kind != CODES_MINIMUM)
            continue;
        ivec m = veci_zero();
        for (int p = 0; p < 128 / group; p++)
            m = veci_dot16(m, minimum[p], veci_set1(pairs[p * width + c]));
        out[c] = vec_fma(veci_to_float(m), vec_mul(e, vec_set1(-scale[c])), out[c]);
    }
}

// A panel's block: codes [64], scales [256 / group], with minimums [128 / group], d, with minimums e; each an
// ivec or a vec.
#define PANEL_WORDS_256(kind, group)                                                                         \
    ((64 + 256 / (group) + ((kind) == CODES_MINIMUM ? 128 / (group) + 1 : 0) + 1) * VEC_LANES)

// Block `b` of a panel, at `p`, for columns from `first` on.
INLINE void block_256(code_kind kind, int shift, int group, int n_columns, int width, const int32_t *p,
                      const tile_256 *t, int64_t b, int first, vec *result) {
    const int32_t *minus_sum =
        (group == 16 ? t->minus_sum16 : t->minus_sum32) + 256 / group * b * width + first;
    const int32_t *pairs = (group == 16 ? t->pairs16 : t->pairs32) + 128 / group * b * width + first;
    const int32_t *x = t->codes + 64 * b * width + first;
    const int32_t *scale = p + 64 * VEC_LANES, *minimum = scale + 256 / group * VEC_LANES;
    const int32_t *d = minimum + (kind == CODES_MINIMUM ? 128 / group * VEC_LANES : 0);
    ivec sums[KERNELS_TILE], mins[8];
    for (int c = 0; c < n_columns; c++)
        sums[c] = veci_zero();
    for (int g = 0; g < 256 / group; g++) {
        const int32_t *words = p + g * group / 4 * VEC_LANES;
        ivec dot[KERNELS_TILE];
        for (int c = 0; c < n_columns; c++)
            dot[c] = dot_start(kind, shift, minus_sum[g * width + c]);
#ifdef VEC_DOT_RUN // more than a word and a column at a time
        veci_dot_run(group / 4, n_columns, words, x + g * group / 4 * width, dot);
#else
        ivec codes[8];
        for (int i = 0; i < group / 4; i++)
            codes[i] = veci_load(words + i * VEC_LANES);
        dot_words(kind, shift, group / 4, n_columns, width, codes, x + g * group / 4 * width, dot);
#endif
        ivec s = veci_load(scale + g * VEC_LANES);
        for (int c = 0; c < n_columns; c++)
            sums[c] = veci_add(sums[c], veci_mul(dot[c], s));
    }
    for (int i = 0; kind == CODES_MINIMUM && i < 128 / group; i++)
        mins[i] = veci_load(minimum + i * VEC_LANES);
    finish_256(kind, group, n_columns, width, vec_load((const float *)d),
               vec_load((const float *)d + (kind == CODES_MINIMUM ? VEC_LANES : 0)), mins,
               t->scale + b * width + first, pairs, sums, result + first);
}

INLINE void many_256(code_kind kind, int shift, int group, int width, const void *panel, int64_t k,
                     const void *tile, float *out, int64_t out_stride) {
    const tile_256 t = tile_256_of(tile, k, width);
    const int32_t *p = panel;
    vec result[KERNELS_TILE];
    for (int c = 0; c < width; c++)
        result[c] = vec_set1(0.0f);
    for (int64_t b = 0; b < k / 256; b++, p += PANEL_WORDS_256(kind, group))
        for (int first = 0; first < width; first += columns_at_once(width))
            block_256(kind, shift, group, columns_at_once(width), width, p, &t, b, first, result);
    for (int c = 0; c < width; c++)
        vec_store(out + c * out_stride, result[c]);
}

// ------------------------------------------------------------------------- blocks of 32 weights or more

typedef struct head_32 {
    vec d[4]; // of groups
    vec e;
    ivec extra[4]; // what a type wants to keep for its codes
} head_32;

// A panel's part of 32: codes [8], d [32 / group], with minimums e.
#define PANEL_WORDS_32(kind, group) ((8 + 32 / (group) + ((kind) == CODES_MINIMUM)) * VEC_LANES)

INLINE void part_32(code_kind kind, int shift, int group, int n_columns, int width, const ivec codes[8],
                    const vec *d, vec e, const tile_32 *t, int64_t part, int first, vec *out) {
    const int32_t *x = t->codes + 8 * part * width + first;
    const int32_t *minus_sum =
        (group == 16 ? t->minus_sum16 + 2 * part * width : t->minus_sum + part * width) + first;
    const float *scale = t->scale + part * width + first, *scaled_sum = t->scaled_sum + part * width + first;
    for (int g = 0; g < 32 / group; g++) {
        ivec dot[KERNELS_TILE];
        for (int c = 0; c < n_columns; c++)
            dot[c] = dot_start(kind, shift, minus_sum[g * width + c]);
        dot_words(kind, shift, group / 4, n_columns, width, codes + g * group / 4, x + g * group / 4 * width,
                  dot);
        for (int c = 0; c < n_columns; c++)
            out[first + c] =
                vec_fma(veci_to_float(dot[c]), vec_mul(d[g], vec_set1(scale[c])), out[first + c]);
    }
    for (int c = 0; kind == CODES_MINIMUM && c < n_columns; c++)
        out[first + c] = vec_fma(e, vec_set1(scaled_sum[c]), out[first + c]);
}

INLINE void many_32(code_kind kind, int shift, int group, int width, const void *panel, int64_t k,
                    const void *tile, float *out, int64_t out_stride) {
    const tile_32 t = tile_32_of(tile, k, width);
    const int32_t *p = panel;
    vec result[KERNELS_TILE];
    for (int c = 0; c < width; c++)
        result[c] = vec_set1(0.0f);
    for (int64_t part = 0; part < k / 32; part++, p += PANEL_WORDS_32(kind, group)) {
        const float *scales = (const float *)p + 8 * VEC_LANES;
        ivec codes[8];
        vec d[2], e = vec_set1(0.0f);
        for (int i = 0; i < 8; i++)
            codes[i] = veci_load(p + i * VEC_LANES);
        for (int g = 0; g < 32 / group; g++)
            d[g] = vec_load(scales + g * VEC_LANES);
        if (kind == CODES_MINIMUM)
            e = vec_load(scales + 32 / group * VEC_LANES);
        for (int first = 0; first < width; first += columns_at_once(width))
            part_32(kind, shift, group, columns_at_once(width), width, codes, d, e, &t, part, first, result);
    }
    for (int c = 0; c < width; c++)
        vec_store(out + c * out_stride, result[c]);
}

// ------------------------------------------------------------------------- one set of functions per type

// Each lane reads its rows in order, but stops and goes on, which hardware prefetchers follow badly. So what
// lies ahead of each lane is fetched, from its next row where this one ends; and again nearer where there are
// many lanes, because a core drops requests while too many are under way.
enum { FETCH_FAR = 1024, FETCH_NEAR = 256, LINE = 64 };

// The lines of lanes [first, end) that begin in `bytes` of the rows from `from` on; the rows are `row_bytes`
// long.
INLINE void fetch_lines(kernels_rows rows, int64_t row_bytes, int64_t from, int64_t bytes, int64_t first,
                        int64_t end) {
    for (int64_t at = (from + LINE - 1) / LINE * LINE; at < from + bytes; at += LINE) {
        const bool here = at < row_bytes;
        const uint8_t *p = here ? rows.data + at : rows.next + (at - row_bytes);
        for (int64_t lane = first; lane < end; lane++)
            vec_prefetch(p + lane * (here ? rows.step : rows.next_step));
    }
}

// For the `bytes` that are read at `at`.
INLINE void fetch_ahead(kernels_rows rows, int64_t row_bytes, int64_t at, int64_t bytes, int64_t first,
                        int64_t end) {
    if (VEC_LANES == 16)
        fetch_lines(rows, row_bytes, at + FETCH_NEAR, bytes, first, end);
    fetch_lines(rows, row_bytes, at + FETCH_FAR, bytes, first, end);
}

#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n)    PRAGMA(GCC unroll n)

// Calls `f` with the width as a constant, of those that tiles have; or once for all of them where unrolling
// gains nothing.
#if defined(VEC_ANY_WIDTH)
#define FOR_WIDTHS_FEW(f, ...)  f(width, __VA_ARGS__);
#define FOR_WIDTHS_MANY(f, ...) f(width, __VA_ARGS__);
#else
#define FOR_WIDTHS_FEW(f, ...)                                                                               \
    switch (width) {                                                                                         \
    case 1:                                                                                                  \
        f(1, __VA_ARGS__);                                                                                   \
        break;                                                                                               \
    case 2:                                                                                                  \
        f(2, __VA_ARGS__);                                                                                   \
        break;                                                                                               \
    case 4:                                                                                                  \
        f(4, __VA_ARGS__);                                                                                   \
        break;                                                                                               \
    default:                                                                                                 \
        break;                                                                                               \
    }

#define FOR_WIDTHS_MANY(f, ...)                                                                              \
    switch (width) {                                                                                         \
    case 4:                                                                                                  \
        f(4, __VA_ARGS__);                                                                                   \
        break;                                                                                               \
    case 8:                                                                                                  \
        f(8, __VA_ARGS__);                                                                                   \
        break;                                                                                               \
    case 12:                                                                                                 \
        f(12, __VA_ARGS__);                                                                                  \
        break;                                                                                               \
    default:                                                                                                 \
        break;                                                                                               \
    }
#endif

// many_<kind>_...: shared by all types of that kind.
#define MANY_256(name, kind, shift, group)                                                                   \
    INLINE void name##_width(int width, const void *panel, int64_t k, const void *tile, float *out,          \
                             int64_t out_stride) {                                                           \
        many_256(kind, shift, group, width, panel, k, tile, out, out_stride);                                \
    }                                                                                                        \
    static void name(const void *panel, int64_t k, const void *tile, int width, float *out,                  \
                     int64_t out_stride) {                                                                   \
        FOR_WIDTHS_MANY(name##_width, panel, k, tile, out, out_stride)                                       \
    }                                                                                                        \
    static int64_t name##_bytes(int64_t k) {                                                                 \
        return k / 256 * PANEL_WORDS_256(kind, group) * 4;                                                   \
    }

#define MANY_32(name, kind, shift, group)                                                                    \
    INLINE void name##_width(int width, const void *panel, int64_t k, const void *tile, float *out,          \
                             int64_t out_stride) {                                                           \
        many_32(kind, shift, group, width, panel, k, tile, out, out_stride);                                 \
    }                                                                                                        \
    static void name(const void *panel, int64_t k, const void *tile, int width, float *out,                  \
                     int64_t out_stride) {                                                                   \
        FOR_WIDTHS_MANY(name##_width, panel, k, tile, out, out_stride)                                       \
    }                                                                                                        \
    static int64_t name##_bytes(int64_t k) {                                                                 \
        return k / 32 * PANEL_WORDS_32(kind, group) * 4;                                                     \
    }

// A type with blocks of 256. It brings <type>_head(data, stride, &head), <type>_codes(data, stride, chunk,
// &head, codes), and GROUP(chunk, q): which group of 16 the q-th quarter of a chunk of 64 is.
#define PRODUCT_256(type, kind, shift, group, GROUP, many_name)                                              \
    INLINE void type##_few_width(int width, kernels_rows rows, int64_t k, const void *tile, float *out,      \
                                 int64_t out_stride) {                                                       \
        const tile_256 t = tile_256_of(tile, k, width);                                                      \
        const int64_t row_bytes = k / 256 * (int64_t)sizeof(block_##type);                                   \
        const int32_t *minus_sum = (group) == 16 ? t.minus_sum16 : t.minus_sum32;                            \
        const int32_t *pairs = (group) == 16 ? t.pairs16 : t.pairs32;                                        \
        vec result[KERNELS_FEW];                                                                             \
        for (int c = 0; c < width; c++)                                                                      \
            result[c] = vec_set1(0.0f);                                                                      \
        for (int64_t b = 0; b < k / 256; b++) {                                                              \
            const uint8_t *data = rows.data + b * (int64_t)sizeof(block_##type);                             \
            entry_indices at[32];                                                                            \
            head_256 h;                                                                                      \
            h.at = at;                                                                                       \
            ivec sums[KERNELS_FEW], codes[16];                                                               \
            for (int c = 0; c < width; c++)                                                                  \
                sums[c] = veci_zero();                                                                       \
            type##_head(data, rows.step, &h);                                                                \
            UNROLL(4)                                                                                        \
            for (int chunk = 0; chunk < 4; chunk++) {                                                        \
                fetch_ahead(rows, row_bytes, b *(int64_t)sizeof(block_##type),                               \
                            (int64_t)sizeof(block_##type), VEC_LANES *chunk / 4,                             \
                            VEC_LANES * (chunk + 1) / 4);                                                    \
                type##_codes(data, rows.step, chunk, &h, codes);                                             \
                UNROLL(4)                                                                                    \
                for (int q = 0; q < 4; q += (group) / 16)                                                    \
                    group_256(kind, shift, group, width, codes + 4 * q, h.scale, GROUP(chunk, q),            \
                              t.codes + 64 * b * width, minus_sum + 256 / (group)*b * width, sums);          \
            }                                                                                                \
            finish_256(kind, group, width, width, h.d, h.e, h.minimum, t.scale + b * width,                  \
                       pairs + 128 / (group)*b * width, sums, result);                                       \
        }                                                                                                    \
        for (int c = 0; c < width; c++)                                                                      \
            vec_store(out + c * out_stride, result[c]);                                                      \
    }                                                                                                        \
    static void type##_few(kernels_rows rows, int64_t k, const void *tile, int width, float *out,            \
                           int64_t out_stride) {                                                             \
        FOR_WIDTHS_FEW(type##_few_width, rows, k, tile, out, out_stride)                                     \
    }                                                                                                        \
    static void type##_pack(kernels_rows rows, int64_t k, void *panel) {                                     \
        const int64_t row_bytes = k / 256 * (int64_t)sizeof(block_##type);                                   \
        int32_t *p = panel;                                                                                  \
        for (int64_t b = 0; b < k / 256; b++) {                                                              \
            const uint8_t *data = rows.data + b * (int64_t)sizeof(block_##type);                             \
            entry_indices at[32];                                                                            \
            head_256 h;                                                                                      \
            h.at = at;                                                                                       \
            ivec codes[16];                                                                                  \
            type##_head(data, rows.step, &h);                                                                \
            UNROLL(4)                                                                                        \
            for (int chunk = 0; chunk < 4; chunk++) {                                                        \
                fetch_ahead(rows, row_bytes, b *(int64_t)sizeof(block_##type),                               \
                            (int64_t)sizeof(block_##type), VEC_LANES *chunk / 4,                             \
                            VEC_LANES * (chunk + 1) / 4);                                                    \
                type##_codes(data, rows.step, chunk, &h, codes);                                             \
                for (int i = 0; i < 16; i++)                                                                 \
                    veci_store(p + (4 * GROUP(chunk, i / 4) + i % 4) * VEC_LANES, codes[i]);                 \
            }                                                                                                \
            p += 64 * VEC_LANES;                                                                             \
            for (int g = 0; g < 256 / (group); g++, p += VEC_LANES)                                          \
                veci_store(p, h.scale[g]);                                                                   \
            for (int g = 0; (kind) == CODES_MINIMUM && g < 128 / (group); g++, p += VEC_LANES)               \
                veci_store(p, h.minimum[g]);                                                                 \
            vec_store((float *)p, h.d);                                                                      \
            p += VEC_LANES;                                                                                  \
            if ((kind) == CODES_MINIMUM) {                                                                   \
                vec_store((float *)p, h.e);                                                                  \
                p += VEC_LANES;                                                                              \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static const kernels_product type##_product = {COLUMNS_256, type##_few, many_name##_bytes, type##_pack,  \
                                                   many_name};

// A type with blocks of `parts` times 32, and a scale for each `group` (32 or 16) of them, or for the whole.
// It brings <type>_head(data, stride, &head) and <type>_part(data, stride, part, &head, codes).
#define PRODUCT_32(type, parts, kind, shift, group, many_name)                                               \
    INLINE void type##_few_width(int width, kernels_rows rows, int64_t k, const void *tile, float *out,      \
                                 int64_t out_stride) {                                                       \
        const tile_32 t = tile_32_of(tile, k, width);                                                        \
        const int64_t row_bytes = k / (32 * (parts)) * (int64_t)sizeof(block_##type);                        \
        vec result[KERNELS_FEW];                                                                             \
        for (int c = 0; c < width; c++)                                                                      \
            result[c] = vec_set1(0.0f);                                                                      \
        for (int64_t b = 0; b < k / (32 * (parts)); b++) {                                                   \
            const uint8_t *data = rows.data + b * (int64_t)sizeof(block_##type);                             \
            head_32 h;                                                                                       \
            ivec codes[8];                                                                                   \
            h.e = vec_set1(0.0f);                                                                            \
            type##_head(data, rows.step, &h);                                                                \
            for (int i = 0; i < (parts); i++) {                                                              \
                fetch_ahead(rows, row_bytes, b *(int64_t)sizeof(block_##type),                               \
                            (int64_t)sizeof(block_##type), VEC_LANES *i / (parts),                           \
                            VEC_LANES * (i + 1) / (parts));                                                  \
                type##_part(data, rows.step, i, &h, codes);                                                  \
                part_32(kind, shift, group, width, width, codes, h.d + i * (32 / (group)), h.e, &t,          \
                        (parts)*b + i, 0, result);                                                           \
            }                                                                                                \
        }                                                                                                    \
        for (int c = 0; c < width; c++)                                                                      \
            vec_store(out + c * out_stride, result[c]);                                                      \
    }                                                                                                        \
    static void type##_few(kernels_rows rows, int64_t k, const void *tile, int width, float *out,            \
                           int64_t out_stride) {                                                             \
        FOR_WIDTHS_FEW(type##_few_width, rows, k, tile, out, out_stride)                                     \
    }                                                                                                        \
    static void type##_pack(kernels_rows rows, int64_t k, void *panel) {                                     \
        const int64_t row_bytes = k / (32 * (parts)) * (int64_t)sizeof(block_##type);                        \
        int32_t *p = panel;                                                                                  \
        for (int64_t b = 0; b < k / (32 * (parts)); b++) {                                                   \
            const uint8_t *data = rows.data + b * (int64_t)sizeof(block_##type);                             \
            head_32 h;                                                                                       \
            ivec codes[8];                                                                                   \
            type##_head(data, rows.step, &h);                                                                \
            for (int i = 0; i < (parts); i++) {                                                              \
                fetch_ahead(rows, row_bytes, b *(int64_t)sizeof(block_##type),                               \
                            (int64_t)sizeof(block_##type), VEC_LANES *i / (parts),                           \
                            VEC_LANES * (i + 1) / (parts));                                                  \
                type##_part(data, rows.step, i, &h, codes);                                                  \
                for (int j = 0; j < 8; j++, p += VEC_LANES)                                                  \
                    veci_store(p, codes[j]);                                                                 \
                for (int g = 0; g < 32 / (group); g++, p += VEC_LANES)                                       \
                    vec_store((float *)p, h.d[i * (32 / (group)) + g]);                                      \
                if ((kind) == CODES_MINIMUM) {                                                               \
                    vec_store((float *)p, h.e);                                                              \
                    p += VEC_LANES;                                                                          \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static const kernels_product type##_product = {COLUMNS_32, type##_few, many_name##_bytes, type##_pack,   \
                                                   many_name};
