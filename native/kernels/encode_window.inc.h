// Encoding windows of columns in which the errors of codes make up for each other: a row in each lane.
//
// Scales are those that blocks get alone. Then the codes of a window are chosen one after the other, each
// nearest to its weight plus what the errors of other columns call for (quant_feedback). The first sweep is
// that of Frantar et al. 2022, "GPTQ", in the form of Chee et al. 2023, "QuIP" (LDLQ); the others are
// coordinate descent on the squared error of the products.

enum { WINDOW_SWEEPS = 5 };

typedef struct encode_window {
    vec x[ENCODE_MAX];
    encode_grid grid;
    ivec codes[ENCODE_MAX];
} encode_window;

// A block's weights and grid, from column `at` on.
INLINE void window_add(encode_window *w, int at, int size, const encode_lanes *b, const encode_grid *g) {
    memcpy(w->x + at, b->x, (size_t)size * sizeof *w->x);
    memcpy(w->grid.d + at / g->size, g->d, (size_t)g->n * sizeof *g->d);
    memcpy(w->grid.m + at / g->size, g->m, (size_t)g->n * sizeof *g->m);
    w->grid.size = g->size;
}

enum { WINDOW_STEP = 8 }; // columns whose sums are made together, which divides all numbers of columns

// Adds up what the errors of the first `n` columns call for in columns [at, at + WINDOW_STEP).
INLINE void call_for(const float *shares, const vec *error, int n, int at, vec sum[WINDOW_STEP]) {
    for (int i = 0; i < WINDOW_STEP; i++)
        sum[i] = vec_set1(0.0f);
    for (int k = 0; k < n; k++)
        for (int i = 0; i < WINDOW_STEP; i++)
            sum[i] = vec_fma(vec_set1(shares[(at + i) * QUANT_WINDOW + k]), error[k], sum[i]);
}

static NOINLINE void feed_back(encode_window *w, const quant_feedback *f, code_range r) {
    const encode_grid *g = &w->grid;
    vec error[ENCODE_MAX], sum[WINDOW_STEP];
    for (int j = 0; j < f->columns; j++)
        error[j] = vec_set1(0.0f);
    for (int sweep = 0; sweep < WINDOW_SWEEPS; sweep++) {
        const float *shares = sweep == 0 ? f->first : f->next;
        for (int at = 0; at < f->columns; at += WINDOW_STEP) {
            call_for(shares, error, sweep == 0 ? at : f->columns, at, sum);
            for (int i = 0; i < WINDOW_STEP; i++) {
                const int j = at + i;
                const vec d = g->d[j / g->size], xm = vec_add(w->x[j], g->m[j / g->size]);
                const vec q = nearest_code(vec_add(xm, sum[i]), vec_ratio(vec_set1(1.0f), d), r);
                const vec now = vec_fma(vec_negate(d), q, xm), change = vec_sub(now, error[j]);
                for (int k = i + 1; k < WINDOW_STEP; k++)
                    sum[k] = vec_fma(vec_set1(shares[(at + k) * QUANT_WINDOW + j]), change, sum[k]);
                error[j] = now;
                w->codes[j] = number_of(q, r);
            }
        }
    }
}

// <type>_encode_window: a kernels_encode_window.
#define ENCODE_WINDOWS(type, weights, codes_range)                                                           \
    static void type##_encode_window(const float *x, int64_t n_rows, int64_t width, const float *importance, \
                                     const quant_feedback *f, void *dst, int64_t row_bytes) {                \
        const int size = type##_block_weights, bytes = (int)sizeof(block_##type);                            \
        for (int64_t row = 0; row < n_rows; row += VEC_LANES) {                                              \
            const int n = n_rows - row < VEC_LANES ? (int)(n_rows - row) : VEC_LANES;                        \
            encode_window window;                                                                            \
            encode_out out = {(uint8_t *)dst + row * row_bytes, row_bytes, n};                               \
            for (int at = 0; at < f->columns; at += size, out.dst += bytes) {                                \
                encode_lanes lanes;                                                                          \
                encode_grid grid;                                                                            \
                load_blocks(x + row * width + at, n, size, width, importance, width, at, &lanes);            \
                weigh_errors(weights, size, importance != NULL, &lanes);                                     \
                type##_fit_lanes(&lanes, &out, &grid);                                                       \
                window_add(&window, at, size, &lanes, &grid);                                                \
            }                                                                                                \
            feed_back(&window, f, codes_range);                                                              \
            out.dst = (uint8_t *)dst + row * row_bytes;                                                      \
            for (int at = 0; at < f->columns; at += size, out.dst += bytes)                                  \
                type##_put(&out, window.codes + at);                                                         \
        }                                                                                                    \
    }
