// Integer products of every instruction set that this machine can run, for every tensor type that has one:
// against float64 over the decoded weights, and few columns against many, bit for bit.
#include "check.h"
#include "each_isa.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "quant/quant.h"
#include "quant/scalar.h"

static uint32_t state = 99;

static uint32_t random_bits(void) {
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

static float random_float(void) {
    return (float)random_bits() / 8388608.0f - 1.0f;
}

enum { MAX_K = 1536, MAX_COLUMNS = 25 };

static uint8_t *rows; // no byte more than there are, so that a sanitizer sees who reads on
static float decoded[KERNELS_MAX_ROWS * MAX_K];

// Whether a block's weights are all finite and of ordinary size: halves inside it are what decides.
static bool good_block(const quant_type *type, const uint8_t *block, float *y) {
    float most = 0.0f;
    bool finite = true;
    type->decode(block, y, (uint64_t)type->block_size);
    for (int i = 0; i < type->block_size; i++) {
        finite = finite && isfinite(y[i]);
        most = fabsf(y[i]) > most ? fabsf(y[i]) : most;
    }
    return finite && most < 4000.0f && most > 1e-3f;
}

// Random blocks; in the first row, of codes as large as can be.
static void make_rows(const quant_type *type, int n_rows, int64_t k) {
    int64_t row_bytes = k / type->block_size * type->block_bytes;
    for (int r = 0; r < n_rows; r++) {
        for (int64_t b = 0; b < k / type->block_size; b++) {
            uint8_t *block = rows + r * row_bytes + b * type->block_bytes;
            float *y = decoded + r * k + b * type->block_size;
            do {
                for (int i = 0; i < type->block_bytes; i++)
                    block[i] = (uint8_t)random_bits();
                if (type->id == QUANT_MXFP4)
                    block[0] = (uint8_t)(118 + random_bits() % 12);
            } while (!good_block(type, block, y));
            for (int i = 0; r == 0 && i < type->block_bytes; i++) {
                const uint8_t byte = block[i];
                block[i] = 0xff;
                if (!good_block(type, block, y))
                    block[i] = byte;
            }
            type->decode(block, y, (uint64_t)type->block_size);
        }
    }
}

// A tile whose columns hold what is no number before they are written.
static uint8_t *new_tile(int64_t bytes) {
    uint8_t *tile = malloc((size_t)bytes);
    memset(tile, 0xff, (size_t)bytes);
    return tile;
}

// What the tiles stand for, column by column.
typedef struct columns {
    int64_t k;
    int n;
    columns_kind kind;
    float x[MAX_COLUMNS][MAX_K];
    float rounded[MAX_COLUMNS][MAX_K];
    uint8_t *tiles[MAX_COLUMNS];
    int width[MAX_COLUMNS];
} columns;

static void make_columns(const kernels *k, columns *c, columns_kind kind, int64_t n_k, int n) {
    c->k = n_k;
    c->n = n;
    c->kind = kind;
    for (int i = 0; i < n; i++)
        for (int64_t j = 0; j < n_k; j++)
            c->x[i][j] = i == 1   ? 5.0f // as large as can be, and as small
                         : i == 2 ? -5.0f
                                  : random_float() * (i == 3 && j / 256 == 0 ? 0.0f
                                                      : i == 4               ? 1e-6f
                                                                             : 5.0f);
    for (int first = 0, t = 0; first < n; first += KERNELS_TILE, t++) {
        const int some = n - first < KERNELS_TILE ? n - first : KERNELS_TILE;
        c->width[t] = kernels_tile_width(some, n);
        size_t bytes = (size_t)kernels_tile_bytes(kind, n_k, c->width[t]);
        c->tiles[t] = new_tile((int64_t)bytes);
        for (int i = 0; i < some; i++) {
            k->quantize(kind, c->x[first + i], n_k, i, c->width[t], c->tiles[t]);
            if (kind == COLUMNS_FLOAT) {
                memcpy(c->rounded[first + i], c->x[first + i], (size_t)n_k * sizeof(float));
                continue;
            }
            if (kind == COLUMNS_BF16) {
                const uint16_t *halves = (const uint16_t *)(void *)c->tiles[t];
                for (int64_t j = 0; j < n_k; j++) {
                    c->rounded[first + i][j] =
                        bfloat_decode(halves[(j / 32 * c->width[t] + i) * 32 + j % 32]);
                    CHECK(fabsf(c->rounded[first + i][j] - c->x[first + i][j]) <=
                          0x1p-8f * fabsf(c->x[first + i][j]));
                }
                continue;
            }
            const int32_t *codes = (const int32_t *)(void *)c->tiles[t];
            const float *scale = (const float *)(void *)(codes + n_k / 4 * c->width[t]);
            int block = kind == COLUMNS_32 ? 32 : 256;
            for (int64_t j = 0; j < n_k; j++) {
                int8_t bytes4[4];
                memcpy(bytes4, &codes[j / 4 * c->width[t] + i], 4);
                c->rounded[first + i][j] = scale[j / block * c->width[t] + i] * (float)bytes4[j % 4];
                CHECK(fabsf(c->rounded[first + i][j] - c->x[first + i][j]) <=
                      0.501f * scale[j / block * c->width[t] + i]);
            }
        }
    }
}

static void free_columns(columns *c) {
    for (int t = 0; t * KERNELS_TILE < c->n; t++)
        free(c->tiles[t]);
}

static void check_exact(const kernels *k, const columns *c, const float *out) {
    for (int i = 0; i < c->n; i++) {
        for (int r = 0; r < k->rows; r++) {
            double sum = 0.0, size = 0.0;
            for (int64_t j = 0; j < c->k; j++) {
                double term = (double)decoded[r * c->k + j] * (double)c->rounded[i][j];
                sum += term;
                size += fabs(term);
            }
            CHECK(fabs((double)out[i * KERNELS_MAX_ROWS + r] - sum) <= 1e-6 * size + 1e-30);
        }
    }
}

static void test_type(const kernels *k, const quant_type *type, int64_t n_k, int n) {
    static columns c;
    static float out[MAX_COLUMNS * KERNELS_MAX_ROWS];
    const kernels_product *p = k->products[type->id];
    const int64_t row_bytes = n_k / type->block_size * type->block_bytes;
    rows = malloc((size_t)(k->rows * row_bytes));
    make_rows(type, k->rows, n_k);
    const kernels_rows all = {rows, row_bytes, rows, row_bytes};
    make_columns(k, &c, p->columns, n_k, n);
    void *panel = malloc((size_t)p->panel_bytes(n_k));
    p->pack(all, n_k, panel);
    memset(out, 0, sizeof out);
    for (int first = 0, t = 0; first < n; first += KERNELS_TILE, t++) {
        // A tile may be wider than the columns that are left: what it computes then goes nowhere.
        float wide[KERNELS_TILE * KERNELS_MAX_ROWS];
        int some = n - first < KERNELS_TILE ? n - first : KERNELS_TILE;
        if (n > KERNELS_FEW)
            p->many(panel, n_k, c.tiles[t], c.width[t], wide, KERNELS_MAX_ROWS);
        else
            p->few(all, n_k, c.tiles[t], c.width[t], wide, KERNELS_MAX_ROWS);
        memcpy(out + first * KERNELS_MAX_ROWS, wide, (size_t)some * KERNELS_MAX_ROWS * sizeof *out);
    }
    check_exact(k, &c, out);
    // Each column alone gives the same bits, from the file's layout and from a panel.
    for (int i = 0; i < n; i++) {
        uint8_t *tile = new_tile(kernels_tile_bytes(p->columns, n_k, 1));
        uint8_t *wide = new_tile(kernels_tile_bytes(p->columns, n_k, 4));
        float alone[KERNELS_MAX_ROWS], again[4 * KERNELS_MAX_ROWS];
        k->quantize(p->columns, c.x[i], n_k, i % 4, 4, wide);
        p->many(panel, n_k, wide, 4, again, KERNELS_MAX_ROWS);
        free(wide);
        k->quantize(p->columns, c.x[i], n_k, 0, 1, tile);
        p->few(all, n_k, tile, 1, alone, KERNELS_MAX_ROWS);
        CHECK(memcmp(alone, out + i * KERNELS_MAX_ROWS, (size_t)k->rows * sizeof *alone) == 0);
        CHECK(memcmp(alone, again + i % 4 * KERNELS_MAX_ROWS, (size_t)k->rows * sizeof *alone) == 0);
        free(tile);
    }
    free(panel);
    free(rows);
    free_columns(&c);
}

// A row length that the type's product takes.
static int64_t some_k(columns_kind kind, const quant_type *type, int i) {
    static const int64_t short_rows[] = {1, 7, 8, 15, 16, 17, 31, 33};
    if (kind == COLUMNS_FLOAT || kind == COLUMNS_BF16)
        return i <= 8 ? short_rows[i - 1] : 1 + 37 * i;
    return type->block_size * (kind == COLUMNS_32 ? 1 + i % 5 : 1 + i % 3);
}

static void test_all(const kernels *k) {
    CHECK(k->rows <= KERNELS_MAX_ROWS);
    int n_types = 0;
    for (int t = 0; quant_type_at(t); t++) {
        const quant_type *type = quant_type_at(t);
        if (type->id >= KERNELS_TYPES || !k->products[type->id])
            continue;
        n_types++;
        int failures = check_failures;
        for (int n = 1; n <= MAX_COLUMNS; n += n < 13 ? 1 : 4)
            test_type(k, type, some_k(k->products[type->id]->columns, type, n), n);
        test_type(k, type, MAX_K, 5);
        if (check_failures > failures)
            printf("  %s\n", type->name);
    }
    CHECK(n_types > 10);
}

int main(void) {
    for_each_isa(test_all);
    return check_report();
}
