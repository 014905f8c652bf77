// Every instruction set that this machine can run against plain float64, on odd sizes and random data.
#include "check.h"
#include "each_isa.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "quant/scalar.h"
#include "quant/quant.h"

static uint32_t state = 12345;

static float random_float(void) {
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static void fill(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        x[i] = random_float();
}

static bool near(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (1.0 + fabs(b));
}

enum { MAX_N = 200 };

static void test_ops(const kernels *k) {
    float x[MAX_N], w[MAX_N], y[MAX_N], before[MAX_N];
    for (int64_t n = 1; n <= MAX_N; n += 7) {
        fill(x, n);
        fill(w, n);
        double squares = 0.0, sum = 0.0;
        for (int64_t i = 0; i < n; i++)
            squares += (double)x[i] * (double)x[i];
        k->rms_norm(x, w, 1e-6f, n, y);
        for (int64_t i = 0; i < n; i++)
            CHECK(near((double)y[i], (double)x[i] / sqrt(squares / (double)n + 1e-6) * (double)w[i], 1e-5));
        k->rms_norm(x, NULL, 1e-6f, n, y);
        CHECK(near((double)y[0], (double)x[0] / sqrt(squares / (double)n + 1e-6), 1e-5));

        memcpy(before, y, sizeof before);
        k->axpy(0.3f, x, n, y);
        for (int64_t i = 0; i < n; i++)
            CHECK(near((double)y[i], (double)before[i] + 0.3 * (double)x[i], 1e-5));

        memcpy(y, x, sizeof y);
        k->softmax(y, n);
        for (int64_t i = 0; i < n; i++)
            sum += exp((double)x[i]);
        for (int64_t i = 0; i < n; i++)
            CHECK(near((double)y[i], exp((double)x[i]) / sum, 1e-5));
    }
}

// To the bit: the order of the rows is fixed, and their squares are exact.
static void test_add_squares(const kernels *k) {
    enum { N_ROWS = 9 };
    float x[N_ROWS][MAX_N];
    const float *rows[N_ROWS];
    for (int t = 0; t < N_ROWS; t++) {
        fill(x[t], MAX_N);
        rows[t] = x[t];
    }
    for (int64_t n = 1; n <= MAX_N; n += 7) {
        double sums[MAX_N] = {0}, expected[MAX_N] = {0};
        for (int t = 0; t < N_ROWS; t++)
            for (int64_t i = 0; i < n; i++)
                expected[i] += (double)x[t][i] * (double)x[t][i];
        k->add_squares(rows, 4, n, sums);
        k->add_squares(rows + 4, N_ROWS - 4, n, sums);
        CHECK(memcmp(sums, expected, sizeof sums) == 0);
    }
}

static void test_layer_norm(const kernels *k) {
    float x[MAX_N], w[MAX_N], b[MAX_N], y[MAX_N];
    for (int64_t n = 1; n <= MAX_N; n += 7) {
        fill(x, n);
        fill(w, n);
        fill(b, n);
        for (int64_t i = 0; i < n; i++)
            x[i] += 100.0f; // a large mean must not hide the rest
        double mean = 0.0, variance = 0.0;
        for (int64_t i = 0; i < n; i++)
            mean += (double)x[i] / (double)n;
        for (int64_t i = 0; i < n; i++)
            variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
        double scale = 1.0 / sqrt(variance + 1e-6);
        k->layer_norm(x, w, b, 1e-6f, n, y);
        for (int64_t i = 0; i < n; i++)
            CHECK(near((double)y[i], ((double)x[i] - mean) * scale * (double)w[i] + (double)b[i], 1e-4));
        k->layer_norm(x, NULL, NULL, 1e-6f, n, x);
        CHECK(near((double)x[0], n == 1 ? 0.0 : ((double)y[0] - (double)b[0]) / (double)w[0], 1e-2));
    }
}

static double silu(double x) {
    return x / (1.0 + exp(-x));
}

static double gelu(double x) {
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

static double gelu_erf(double x) {
    return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
}

static double relu_squared(double x) {
    return x > 0.0 ? x * x : 0.0;
}

static void test_activations(const kernels *k) {
    const struct {
        kernels_activation *kernel;
        double (*exact)(double);
    } all[] = {{k->silu, silu},
               {k->gelu, gelu},
               {k->gelu_erf, gelu_erf},
               {k->relu_squared, relu_squared},
               {k->tanh, tanh}};
    float x[MAX_N], up[MAX_N], y[MAX_N];
    fill(x, MAX_N);
    fill(up, MAX_N);
    for (int64_t i = 0; i < MAX_N; i++)
        x[i] *= i % 3 == 0 ? 30.0f : 3.0f;
    for (size_t a = 0; a < sizeof all / sizeof *all; a++) {
        for (int64_t n = 1; n <= MAX_N; n += 7) {
            all[a].kernel(x, up, n, y);
            for (int64_t i = 0; i < n; i++)
                CHECK(near((double)y[i], all[a].exact((double)x[i]) * (double)up[i], 1e-6));
            memcpy(y, x, sizeof y);
            all[a].kernel(y, NULL, n, y);
            for (int64_t i = 0; i < MAX_N; i++)
                CHECK(near((double)y[i], i < n ? all[a].exact((double)x[i]) : (double)x[i], 1e-6));
        }
    }
    for (int64_t i = 0; i < MAX_N; i++)
        up[i] *= 20.0f;
    k->swiglu_oai(x, up, MAX_N, y);
    for (int64_t i = 0; i < MAX_N; i++) {
        double g = fmin((double)x[i], 7.0), u = fmax(fmin((double)up[i], 7.0), -7.0);
        CHECK(near((double)y[i], g / (1.0 + exp(-1.702 * g)) * (u + 1.0), 1e-6));
    }
}

static void test_halves(const kernels *k) {
    static uint16_t halves[65536], back[65536];
    static float floats[65536];
    for (uint32_t i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    const kernels_page_type *f16 = k->page_types[QUANT_F16];
    f16->load_values(halves, 65536, floats);
    f16->store_value(floats, 65536, back);
    for (uint32_t i = 0; i < 65536; i++) {
        float expected = quant_f16_decode((uint16_t)i);
        CHECK(isnan(expected) ? isnan(floats[i]) : floats[i] == expected);
        CHECK(isnan(expected) || back[i] == halves[i]);
    }
    float odd[13];
    uint16_t rounded[13];
    fill(odd, 13);
    f16->store_value(odd, 13, rounded);
    for (int i = 0; i < 13; i++)
        CHECK(rounded[i] == quant_f16_encode(odd[i]));
}

enum { PAGE_DIM = 96, PAGE_BYTES = KERNELS_PAGE * PAGE_DIM * 4 };

// Every byte of a page of keys belongs to one slot, so that threads may store neighbours at the same time.
static void check_slots(const kernels_page_type *pages, int64_t dim, size_t bytes) {
    static uint8_t twice[2][PAGE_BYTES], owners[PAGE_BYTES];
    float key[PAGE_DIM];
    fill(key, dim);
    memset(owners, 0, bytes);
    for (int64_t slot = 0; slot < KERNELS_PAGE; slot++) {
        for (int i = 0; i < 2; i++) {
            memset(twice[i], i ? 0xff : 0, bytes);
            pages->store_key(key, dim, slot, twice[i]);
        }
        for (size_t i = 0; i < bytes; i++)
            owners[i] = (uint8_t)(owners[i] + (twice[0][i] == twice[1][i]));
    }
    for (size_t i = 0; i < bytes; i++)
        CHECK(owners[i] == 1);
}

// Keys and values come back from a page as from rows of the type.
static void check_page(const kernels *k, const quant_type *type, int64_t dim) {
    static float x[KERNELS_PAGE * PAGE_DIM], rows[KERNELS_PAGE * PAGE_DIM], out[KERNELS_PAGE * PAGE_DIM];
    static float keys[PAGE_BYTES / 4], values[PAGE_BYTES / 4]; // any type's, aligned for all
    static uint8_t encoded[PAGE_BYTES];
    const kernels_page_type *pages = k->page_types[type->id];
    const int64_t n = KERNELS_PAGE * dim;
    const size_t bytes = (size_t)quant_bytes(type, (uint64_t)n), row = bytes / KERNELS_PAGE;
    fill(x, n);
    for (int64_t i = 0; i < n; i++)
        x[i] *= i % 5 == 0 ? 100.0f : i % 7 == 0 ? 0.0f : 1.0f;
    type->encode(x, encoded, (uint64_t)n);
    type->decode(encoded, rows, (uint64_t)n);
    for (int64_t i = 0; i < KERNELS_PAGE; i++) {
        int64_t slot = 13 * i % KERNELS_PAGE;
        pages->store_key(x + slot * dim, dim, slot, keys);
        pages->store_value(x + slot * dim, dim, (uint8_t *)values + (size_t)slot * row);
    }
    CHECK(memcmp(values, encoded, bytes) == 0);
    if (pages->load_keys)
        pages->load_keys(keys, dim, out);
    else
        memcpy(out, keys, sizeof out);
    for (int64_t i = 0; i < n; i++)
        CHECK(out[i % dim * KERNELS_PAGE + i / dim] == rows[i]);
    for (int64_t end = 1; end <= KERNELS_PAGE && pages->load_values; end += 15) {
        memset(out, 0, sizeof out);
        pages->load_values(values, end * dim, out);
        for (int64_t i = 0; i < end * dim; i++)
            CHECK(out[i] == rows[i]);
    }
    check_slots(pages, dim, bytes);
}

static void test_pages(const kernels *k) {
    const int32_t types[] = {QUANT_F32, QUANT_F16, QUANT_BF16, QUANT_Q8_0, QUANT_Q4_0};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const quant_type *type = quant_type_get(types[t]);
        for (int64_t dim = type->block_size; dim <= PAGE_DIM; dim += type->block_size)
            check_page(k, type, dim);
    }
}

enum { MAX_DIM = 96, MAX_QUERIES = 9 };

// Stores random keys and values of a page in their types, and what they are then as floats.
static void fill_page(const kernels *k, const int32_t types[2], int64_t k_dim, int64_t v_dim,
                      float *const stored[2], float *keys, float *values) {
    const kernels_page_type *of_keys = k->page_types[types[0]], *of_values = k->page_types[types[1]];
    const size_t row = (size_t)quant_bytes(quant_type_get(types[1]), (uint64_t)v_dim);
    float x[MAX_DIM];
    for (int64_t slot = 0; slot < KERNELS_PAGE; slot++) {
        fill(x, k_dim);
        of_keys->store_key(x, k_dim, slot, stored[0]);
        fill(x, v_dim);
        of_values->store_value(x, v_dim, (uint8_t *)stored[1] + (size_t)slot * row);
    }
    if (of_keys->load_keys)
        of_keys->load_keys(stored[0], k_dim, keys);
    else
        memcpy(keys, stored[0], (size_t)(KERNELS_PAGE * k_dim) * sizeof *keys);
    if (of_values->load_values)
        of_values->load_values(stored[1], KERNELS_PAGE * v_dim, values);
    else
        memcpy(values, stored[1], (size_t)(KERNELS_PAGE * v_dim) * sizeof *values);
}

// `n` queries over positions [first, end) of one page, then over those of another one, against float64; and
// each query alone, of the same numbers as floats, bit for bit.
static void check_attend(const kernels *k, const int32_t types[2], bool plain, int64_t n, int64_t first,
                         int64_t end, int64_t k_dim, int64_t v_dim) {
    static float q[MAX_QUERIES * MAX_DIM], keys[2][KERNELS_PAGE * MAX_DIM], values[2][KERNELS_PAGE * MAX_DIM];
    static float acc[MAX_QUERIES * MAX_DIM], alone[MAX_DIM], work[MAX_QUERIES * KERNELS_PAGE];
    static float stored[2][2][KERNELS_PAGE * MAX_DIM];
    const kernels_page_type *f32 = k->page_types[QUANT_F32];
    const float cap = plain ? 0.0f : 0.5f;
    attn_query queries[MAX_QUERIES];
    attn_page pages[2];
    fill(q, n * k_dim);
    for (int page = 0; page < 2; page++) {
        fill_page(k, types, k_dim, v_dim, (float *const[]){stored[page][0], stored[page][1]}, keys[page],
                  values[page]);
        const uint8_t *anything = (const uint8_t *)stored[1 - page];
        pages[page] = (attn_page){stored[page][0], stored[page][1], anything, anything, 32, 2 * v_dim};
    }
    memset(acc, 0, sizeof acc);
    for (int64_t i = 0; i < n; i++)
        queries[i] =
            (attn_query){q + i * k_dim, 0.7f + 0.1f * (float)i, plain ? 0.0f : 0.25f, 0.0f, -INFINITY, 0.0f,
                         0.0f,          acc + i * v_dim};
    for (int page = 0; page < 2; page++) {
        for (int64_t i = 0; i < n; i++)
            queries[i].position = (float)(40 - KERNELS_PAGE * page);
        k->page_types[types[0]]->weigh_keys(queries, n, &pages[page], first, end, k_dim, cap, work);
        k->page_types[types[1]]->add_values(queries, n, &pages[page], first, end, v_dim, work);
    }
    for (int64_t i = 0; i < n; i++) {
        double weight[2][KERNELS_PAGE], total = 0.0;
        attn_query one = {q + i * k_dim, queries[i].scale, queries[i].slope, 0.0f, -INFINITY, 0.0f, 0.0f,
                          alone};
        memset(alone, 0, sizeof alone);
        for (int page = 0; page < 2; page++) {
            one.position = (float)(40 - KERNELS_PAGE * page);
            const attn_page floats = {.k = keys[page], .v = values[page]};
            f32->weigh_keys(&one, 1, &floats, first, end, k_dim, cap, work);
            f32->add_values(&one, 1, &floats, first, end, v_dim, work);
            for (int64_t p = first; p < end; p++) {
                double score = 0.0;
                for (int64_t d = 0; d < k_dim; d++)
                    score += (double)q[i * k_dim + d] * (double)keys[page][d * KERNELS_PAGE + p];
                score *= (double)queries[i].scale;
                if (!plain)
                    score = (double)cap * tanh(score / (double)cap) -
                            0.25 * fabs(40.0 - (double)(KERNELS_PAGE * page + p));
                total += weight[page][p] = exp(score);
            }
        }
        CHECK(memcmp(alone, queries[i].acc, (size_t)v_dim * sizeof *alone) == 0 &&
              one.sum == queries[i].sum && one.max == queries[i].max);
        for (int64_t d = 0; d < v_dim; d++) {
            double expected = 0.0;
            for (int page = 0; page < 2; page++)
                for (int64_t p = first; p < end; p++)
                    expected += weight[page][p] / total * (double)values[page][p * v_dim + d];
            CHECK(near((double)(queries[i].acc[d] / queries[i].sum), expected, 1e-5));
        }
    }
}

// All pairs of types of keys and of values.
static void test_attend(const kernels *k) {
    enum { TYPES = 5 };
    const int32_t all[TYPES] = {QUANT_F32, QUANT_F16, QUANT_BF16, QUANT_Q8_0, QUANT_Q4_0};
    for (int pair = 0; pair < TYPES * TYPES; pair++) {
        const int32_t types[2] = {all[pair / TYPES], all[pair % TYPES]};
        const int64_t k_block = quant_type_get(types[0])->block_size;
        const int64_t block = quant_type_get(types[1])->block_size > k_block ? 32 : k_block;
        for (int64_t dim = block; dim <= MAX_DIM; dim += block > 1 ? block : dim < 20 ? 1 : 17) {
            for (int64_t n = 1; n <= MAX_QUERIES; n++) {
                check_attend(k, types, n % 2, n, 0, KERNELS_PAGE, dim, dim);
                check_attend(k, types, n % 2, n, 5, 6 + dim % 26, dim, MAX_DIM + block - dim);
            }
        }
    }
}

// By the definition: the sign is that of the number of binary digits that both places have.
static double hadamard(int64_t i, int64_t j) {
    int odd = 0;
    for (int64_t both = i & j; both; both &= both - 1)
        odd = !odd;
    return odd ? -1.0 : 1.0;
}

// Against float64; a group by itself, and on any instruction set, has the same bits; the inverse is itself.
static void test_rotate(const kernels *k) {
    enum { N = 3 * 256 };
    const kernels *generic = kernels_at(0);
    float x[N], y[N], alone[256], plain[N];
    for (int64_t group = KERNELS_ROTATE; group <= 256; group *= 2) {
        fill(x, N);
        x[group + 5] = 100.0f;
        memcpy(y, x, sizeof y);
        memcpy(plain, x, sizeof plain);
        memcpy(alone, x + group, (size_t)group * sizeof *alone);
        k->rotate(y, 3 * group, group);
        k->rotate(alone, group, group);
        generic->rotate(plain, 3 * group, group);
        CHECK(memcmp(alone, y + group, (size_t)group * sizeof *alone) == 0);
        CHECK(memcmp(plain, y, (size_t)(3 * group) * sizeof *y) == 0);
        for (int64_t i = 0; i < 3 * group; i++) {
            double expected = 0.0;
            for (int64_t j = 0; j < group; j++)
                expected += hadamard(i % group, j) * (double)x[i / group * group + j];
            CHECK(near((double)y[i], expected / sqrt((double)group), 1e-5));
        }
        k->rotate(y, 3 * group, group);
        for (int64_t i = 0; i < 3 * group; i++)
            CHECK(near((double)y[i], (double)x[i], 1e-4));
    }
}

static void test_exp(const kernels *k) {
    float x[MAX_N], y[MAX_N];
    for (int64_t i = 0; i < MAX_N; i++)
        x[i] = -86.0f + (float)i * 0.87f;
    k->silu(x, NULL, MAX_N, y);
    for (int64_t i = 0; i < MAX_N; i++)
        CHECK(fabs((double)y[i] - silu((double)x[i])) <= 3e-7 * fabs(silu((double)x[i])) + 1e-37);
}

static bool compiled_in(const char *name) {
    for (int i = 0; kernels_at(i); i++)
        if (strcmp(kernels_at(i)->name, name) == 0)
            return true;
    return false;
}

// Whether a machine with these features runs `name` if nobody forces another.
static bool best_is(const char *name, cpu_features cpu) {
    const kernels *k;
    return kernels_choose(NULL, &cpu, &k, NULL) == INGOT_OK && strcmp(k->name, name) == 0;
}

static void test_choice(void) {
    const kernels *k;
    ingot_error err;
    CHECK(kernels_choose(NULL, NULL, &k, NULL) == INGOT_OK && k);
    // Whoever knows what this machine can run may say so.
    const char *expected = getenv("INGOT_EXPECTED_ISA");
    if (expected && k)
        CHECK(strcmp(k->name, expected) == 0);
    CHECK(best_is("generic", (cpu_features){0}));
    CHECK(kernels_choose("generic", NULL, &k, NULL) == INGOT_OK && strcmp(k->name, "generic") == 0);
    CHECK(kernels_choose("abacus", NULL, &k, &err) == INGOT_ERR_NOT_FOUND);
    CHECK_CONTAINS(err.message, "'abacus'");
    CHECK_CONTAINS(err.message, "usable: generic");
    CHECK(kernels_at(-1) == NULL && kernels_at(100) == NULL);
    CHECK(!kernels_usable(-1, NULL) && !kernels_usable(100, NULL));
}

static void test_choice_on_arm(void) {
    if (!compiled_in("neon_dotprod"))
        return;
    CHECK(best_is("neon_dotprod", (cpu_features){.neon_dotprod = true}));
    CHECK(best_is(compiled_in("neon_i8mm") ? "neon_i8mm" : "neon_dotprod",
                  (cpu_features){.neon_dotprod = true, .neon_i8mm = true}));
}

static void test_choice_on_x86_64(void) {
    if (!compiled_in("avx2") || !compiled_in("avx512"))
        return;
    cpu_features cpu = {.avx2_fma_f16c = true};
    const kernels *k;
    ingot_error err;
    CHECK(best_is("avx2", cpu));
    CHECK(kernels_choose("avx512", &cpu, &k, &err) == INGOT_ERR_NOT_FOUND && !k);
    CHECK_CONTAINS(err.message, "'avx512' is not usable on this machine; usable: generic, avx2");
    cpu.avx_vnni = true;
    CHECK(best_is(compiled_in("avxvnni") ? "avxvnni" : "avx2", cpu));
    cpu.avx_vnni = false;
    cpu.avx512 = cpu.avx512_bf16 = true; // without VNNI it is no use
    CHECK(best_is("avx2", cpu));
    cpu.avx512_vnni = cpu.avx_vnni = true;
    CHECK(best_is("avx512_bf16", cpu));
    cpu.avx512_bf16 = false;
    CHECK(best_is("avx512", cpu));
    CHECK(kernels_choose("avx2", &cpu, &k, NULL) == INGOT_OK && strcmp(k->name, "avx2") == 0);
}

static void test_all(const kernels *k) {
    test_ops(k);
    test_add_squares(k);
    test_layer_norm(k);
    test_activations(k);
    test_halves(k);
    test_pages(k);
    test_attend(k);
    test_rotate(k);
    test_exp(k);
}

int main(void) {
    test_choice();
    test_choice_on_arm();
    test_choice_on_x86_64();
    for_each_isa(test_all);
    return check_report();
}
