// Encoders of every instruction set that this machine can run: errors that are as small as the type allows,
// blocks that don't depend on each other, the same bytes from all instruction sets with a fused multiply-add.
#include "check.h"
#include "each_isa.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "quant/quant.h"

enum { BLOCKS = 37, MAX_SIZE = 256, MAX_BYTES = 292 };

static float x[BLOCKS * MAX_SIZE], importance[BLOCKS * MAX_SIZE], decoded[BLOCKS * MAX_SIZE];
static uint8_t bytes[BLOCKS * MAX_BYTES], first_bytes[KERNELS_TYPES][2][BLOCKS * MAX_BYTES];
static bool have_first[KERNELS_TYPES][2], have_window[KERNELS_TYPES];
static uint8_t first_windows[KERNELS_TYPES][BLOCKS * MAX_BYTES * 4];
static float shares[2][QUANT_WINDOW * QUANT_WINDOW];

static uint32_t state = 7;

static float random_float(void) {
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

// Sums of three are about normal.
static void make_rows(int n) {
    state = 7;
    for (int i = 0; i < n; i++) {
        x[i] = random_float() + random_float() + random_float();
        importance[i] = 1.5f + random_float();
    }
}

// How large the error may be, of the weights' root mean square.
static double allowed(int32_t id) {
    switch (id) {
    case QUANT_Q1_0:
        return 0.62;
    case QUANT_IQ1_S:
    case QUANT_IQ1_M:
    case QUANT_TQ1_0:
    case QUANT_TQ2_0:
    case QUANT_Q2_0:
        return 0.55;
    case QUANT_IQ2_XXS:
    case QUANT_IQ2_XS:
    case QUANT_IQ2_S:
    case QUANT_Q2_K:
        return 0.38;
    case QUANT_IQ3_XXS:
    case QUANT_IQ3_S:
    case QUANT_Q3_K:
        return 0.22;
    case QUANT_Q6_K:
    case QUANT_Q5_K:
    case QUANT_Q5_0:
    case QUANT_Q5_1:
        return 0.06;
    default:
        return 0.13;
    }
}

static double relative_error(const quant_type *type, int n) {
    double error = 0.0, size = 0.0;
    type->decode(bytes, decoded, (uint64_t)n);
    for (int i = 0; i < n; i++) {
        error += pow((double)decoded[i] - (double)x[i], 2.0);
        size += pow((double)x[i], 2.0);
    }
    return sqrt(error / size);
}

static void test_errors(const kernels *k, const quant_type *type, bool weighed) {
    const int n = BLOCKS * type->block_size;
    const size_t n_bytes = (size_t)(BLOCKS * type->block_bytes);
    make_rows(n);
    const float *columns = weighed ? importance : NULL;
    k->encoders[type->id](x, BLOCKS, columns, n, 0, bytes);
    CHECK(relative_error(type, n) < allowed(type->id));
    // Two at a time, which leaves one at the end, gives the same.
    uint8_t alone[2 * MAX_BYTES];
    for (int b = 0; b < BLOCKS; b += 2) {
        const int some = BLOCKS - b < 2 ? 1 : 2;
        k->encoders[type->id](x + b * type->block_size, some, columns, n, b * type->block_size, alone);
        CHECK(memcmp(alone, bytes + b * type->block_bytes, (size_t)(some * type->block_bytes)) == 0);
    }
    if (strcmp(k->name, "generic") == 0) // it multiplies and adds apart
        return;
    if (have_first[type->id][weighed])
        CHECK(memcmp(bytes, first_bytes[type->id][weighed], n_bytes) == 0);
    memcpy(first_bytes[type->id][weighed], bytes, n_bytes);
    have_first[type->id][weighed] = true;
}

// Columns of a row begin again where the next row does.
static void test_rows(const kernels *k, const quant_type *type) {
    const int size = type->block_size;
    uint8_t rows[6 * MAX_BYTES], row[2 * MAX_BYTES];
    make_rows(6 * size);
    k->encoders[type->id](x, 6, importance, 2 * size, 0, rows);
    for (int r = 0; r < 3; r++) {
        k->encoders[type->id](x + 2 * r * size, 2, importance, 2 * size, 0, row);
        CHECK(memcmp(row, rows + 2 * r * type->block_bytes, (size_t)(2 * type->block_bytes)) == 0);
    }
}

// Rows of a window with no shares of errors are as blocks are, those of whole windows and of the last one.
static void test_windows(const kernels *k, const quant_type *type) {
    enum { N_ROWS = 19 };
    static uint8_t apart[N_ROWS * MAX_BYTES * 8], together[N_ROWS * MAX_BYTES * 8];
    const int width = type->block_size == 32 ? 96 : QUANT_WINDOW, blocks = width / type->block_size;
    const int row_bytes = blocks * type->block_bytes;
    make_rows(N_ROWS * width);
    memset(shares, 0, sizeof shares);
    const quant_feedback none = {width, shares[0], shares[1]};
    k->encoders[type->id](x, N_ROWS * blocks, importance, width, 0, apart);
    k->window_encoders[type->id](x, N_ROWS, width, importance, &none, together, row_bytes);
    CHECK(memcmp(apart, together, (size_t)(N_ROWS * row_bytes)) == 0);
    // With shares each row is still on its own.
    for (int j = 0; j < width; j++)
        for (int i = 0; i < width; i++) {
            shares[1][j * QUANT_WINDOW + i] = i == j ? 0.0f : 0.1f * random_float();
            shares[0][j * QUANT_WINDOW + i] = i < j ? shares[1][j * QUANT_WINDOW + i] : 0.0f;
        }
    k->window_encoders[type->id](x, N_ROWS, width, NULL, &none, apart, row_bytes);
    for (int row = 0; row < N_ROWS; row++) {
        k->window_encoders[type->id](x + row * width, 1, width, NULL, &none, together, row_bytes);
        CHECK(memcmp(apart + row * row_bytes, together, (size_t)row_bytes) == 0);
    }
    if (strcmp(k->name, "generic") == 0)
        return;
    if (have_window[type->id])
        CHECK(memcmp(apart, first_windows[type->id], (size_t)(N_ROWS * row_bytes)) == 0);
    memcpy(first_windows[type->id], apart, (size_t)(N_ROWS * row_bytes));
    have_window[type->id] = true;
}

// What has no code does no harm, and zeros stay zeros.
static void test_odd_numbers(const kernels *k, const quant_type *type) {
    const float odd[] = {0.0f, NAN, INFINITY, -INFINITY, 3e38f, 1e-40f, -0.0f, 65504.0f};
    const int n = BLOCKS * type->block_size;
    for (int weighed = 0; weighed < 2; weighed++)
        for (size_t o = 0; o < sizeof odd / sizeof *odd; o++) {
            make_rows(n);
            for (int i = 0; i < n; i += o < 4 ? 3 : 1)
                x[i] = odd[o];
            for (int i = 0; o == 0 && i < n; i++)
                x[i] = importance[i] = 0.0f;
            k->encoders[type->id](x, BLOCKS, weighed ? importance : NULL, n, 0, bytes);
            type->decode(bytes, decoded, (uint64_t)n);
            for (int i = 0; o == 0 && i < n; i++)
                CHECK(decoded[i] == 0.0f);
        }
}

static void test_all(const kernels *k) {
    int n_types = 0;
    for (int t = 0; quant_type_at(t); t++) {
        const quant_type *type = quant_type_at(t);
        if (type->id >= KERNELS_TYPES || !k->encoders[type->id])
            continue;
        n_types++;
        int failures = check_failures;
        test_errors(k, type, false);
        test_errors(k, type, true);
        test_rows(k, type);
        test_odd_numbers(k, type);
        CHECK(type->has_feedback == (k->window_encoders[type->id] != NULL));
        if (type->has_feedback)
            test_windows(k, type);
        if (check_failures > failures)
            printf("  %s\n", type->name);
    }
    CHECK(n_types == 24);
}

int main(void) {
    for_each_isa(test_all);
    return check_report();
}
