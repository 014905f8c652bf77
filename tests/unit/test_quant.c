// quant/: halves, the table of types, decoding of golden and of hostile bytes, encoding.
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "check.h"
#include "quant/quant.h"

static uint32_t bits_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static bool is_quiet_nan(float f) {
    return isnan(f) && (bits_of(f) & 1u << 22);
}

// What the standard says of a finite half.
static float half_value(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double magnitude = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return (float)(half & 0x8000 ? -magnitude : magnitude);
}

static void test_half_decode(void) {
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t half = (uint16_t)h;
        float f = quant_f16_decode(half);
        if ((half & 0x7c00) != 0x7c00) {
            CHECK(bits_of(f) == bits_of(half_value(half)));
            CHECK(quant_f16_encode(f) == half);
        } else if ((half & 0x3ff) == 0) {
            CHECK(f == (half & 0x8000 ? -INFINITY : INFINITY));
            CHECK(quant_f16_encode(f) == half);
        } else {
            CHECK(is_quiet_nan(f) && !signbit(f) == !(half & 0x8000));
            CHECK(quant_f16_encode(f) == (half | 0x200));
        }
    }
}

// Between two neighbours the middle decides; the middle itself goes to the even one.
static void test_half_rounding(void) {
    for (uint32_t h = 0; h < 0x7c00; h++) {
        uint16_t low = (uint16_t)h, high = (uint16_t)(h + 1);
        float above = high == 0x7c00 ? 65536.0f : half_value(high);
        float middle = (half_value(low) + above) / 2;
        CHECK(quant_f16_encode(middle) == (h & 1 ? high : low));
        CHECK(quant_f16_encode(-middle) == ((h & 1 ? high : low) | 0x8000));
        CHECK(quant_f16_encode(nextafterf(middle, 0)) == low);
        CHECK(quant_f16_encode(nextafterf(middle, INFINITY)) == high);
    }
    CHECK(quant_f16_encode(FLT_MAX) == 0x7c00);
    CHECK(quant_f16_encode(-FLT_MAX) == 0xfc00);
    CHECK(quant_f16_encode(FLT_TRUE_MIN) == 0);
    CHECK(quant_f16_encode(-FLT_TRUE_MIN) == 0x8000);
    CHECK(quant_f16_encode(float_of(0x7f800001)) == 0x7e00); // the payload lies below what a half keeps
    CHECK(quant_f16_encode(float_of(0xffc02000)) == 0xfe01);
}

static uint16_t bf16_of(float f) {
    uint16_t upper;
    quant_type_get(QUANT_BF16)->encode(&f, &upper, 1);
    return upper;
}

static void test_bf16(void) {
    for (uint32_t u = 0; u < 65536; u++) {
        uint16_t upper = (uint16_t)u;
        float f;
        quant_type_get(QUANT_BF16)->decode(&upper, &f, 1);
        CHECK(bits_of(f) == u << 16);
        if ((upper & 0x7f80) == 0x7f80) {
            CHECK(bf16_of(f) == ((upper & 0x7f) ? (upper | 0x40) : upper));
            continue;
        }
        CHECK(bf16_of(f) == upper);
        CHECK(bf16_of(float_of(u << 16 | 0x7fff)) == upper);
        CHECK(bf16_of(float_of(u << 16 | 0x8000)) == (uint16_t)(upper + (upper & 1)));
        CHECK(bf16_of(float_of(u << 16 | 0x8001)) == (uint16_t)(upper + 1));
    }
    CHECK(bf16_of(float_of(0x7f800001)) == 0x7fc0); // rounding a signalling NaN must not make it infinite
    CHECK(bf16_of(float_of(0xffffffff)) == 0xffff);
}

// As the format has it: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
static const struct {
    const char *name;
    int32_t id, size, bytes;
} format[] = {
    {"F32", 0, 1, 4},         {"F16", 1, 1, 2},         {"Q4_0", 2, 32, 18},      {"Q4_1", 3, 32, 20},
    {"Q5_0", 6, 32, 22},      {"Q5_1", 7, 32, 24},      {"Q8_0", 8, 32, 34},      {"Q8_1", 9, 32, 36},
    {"Q2_K", 10, 256, 84},    {"Q3_K", 11, 256, 110},   {"Q4_K", 12, 256, 144},   {"Q5_K", 13, 256, 176},
    {"Q6_K", 14, 256, 210},   {"Q8_K", 15, 256, 292},   {"IQ2_XXS", 16, 256, 66}, {"IQ2_XS", 17, 256, 74},
    {"IQ3_XXS", 18, 256, 98}, {"IQ1_S", 19, 256, 50},   {"IQ4_NL", 20, 32, 18},   {"IQ3_S", 21, 256, 110},
    {"IQ2_S", 22, 256, 82},   {"IQ4_XS", 23, 256, 136}, {"I8", 24, 1, 1},         {"I16", 25, 1, 2},
    {"I32", 26, 1, 4},        {"I64", 27, 1, 8},        {"F64", 28, 1, 8},        {"IQ1_M", 29, 256, 56},
    {"BF16", 30, 1, 2},       {"TQ1_0", 34, 256, 54},   {"TQ2_0", 35, 256, 66},   {"MXFP4", 39, 32, 17},
    {"NVFP4", 40, 64, 36},    {"Q1_0", 41, 128, 18},    {"Q2_0", 42, 64, 18},
};

static void test_table(void) {
    int32_t n = (int32_t)(sizeof format / sizeof *format), known = 0;
    for (int32_t i = 0; i < n; i++) {
        const quant_type *type = quant_type_get(format[i].id);
        CHECK(type != NULL);
        if (!type)
            continue;
        CHECK(strcmp(type->name, format[i].name) == 0);
        CHECK(type->id == format[i].id);
        CHECK(type->block_size == format[i].size && type->block_bytes == format[i].bytes);
        CHECK(type->decode != NULL);
        CHECK(quant_type_at(i) == type);
        CHECK(quant_type_find(format[i].name) == type);
    }
    CHECK(quant_type_at(-1) == NULL && quant_type_at(n) == NULL && quant_type_at(INT32_MIN) == NULL);
    for (int32_t id = -300; id < 300; id++)
        known += quant_type_get(id) != NULL;
    CHECK(known == n);
    CHECK(quant_type_get(INT32_MIN) == NULL && quant_type_get(INT32_MAX) == NULL);
}

static void test_names(void) {
    CHECK(quant_type_find("q4_k") == quant_type_get(QUANT_Q4_K));
    CHECK(quant_type_find("Iq2_xXs") == quant_type_get(QUANT_IQ2_XXS));
    CHECK(quant_type_find("bf16") == quant_type_get(QUANT_BF16));
    const char *unknown[] = {"", "Q4", "Q4_K_", "Q4_KM", "Q4_K ", " F32", "Q4_2", "f3\xb2", "Q4@K"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        CHECK(quant_type_find(unknown[i]) == NULL);
}

static uint32_t random_next(uint32_t *state) {
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

// Bytes that no encoder writes: blocks at every alignment, whose ends the sanitizers watch.
static void test_hostile_bytes(void) {
    uint32_t state = 1;
    const quant_type *type;
    for (int32_t t = 0; (type = quant_type_at(t)); t++) {
        size_t blocks = 3, bytes = blocks * (size_t)type->block_bytes;
        size_t n = blocks * (size_t)type->block_size;
        for (size_t round = 0; round < 64; round++) {
            uint8_t *src = malloc(bytes + round % 8), *start = src + round % 8;
            float *whole = malloc(n * sizeof *whole), *single = malloc(n * sizeof *single);
            if (!src || !whole || !single)
                abort();
            for (size_t i = 0; i < bytes; i++)
                start[i] = round == 0 ? 0 : round == 1 ? 255 : (uint8_t)random_next(&state);
            type->decode(start, whole, n);
            for (size_t b = 0; b < blocks; b++)
                type->decode(start + b * (size_t)type->block_bytes, single + b * (size_t)type->block_size,
                             (uint64_t)type->block_size);
            CHECK(memcmp(whole, single, n * sizeof *whole) == 0);
            for (size_t i = 0; round == 0 && i < n; i++)
                CHECK(whole[i] == 0.0f);
            type->decode(start, whole, 0);
            CHECK(memcmp(whole, single, n * sizeof *whole) == 0);
            free(src);
            free(whole);
            free(single);
        }
    }
}

static bool same_value(float a, float b) {
    return bits_of(a) == bits_of(b) || (isnan(a) && isnan(b));
}

// Reads `count` items of `size` bytes into memory of their own.
static void *read_items(FILE *file, size_t count, size_t size) {
    void *items = malloc(count * size + 1);
    if (!items || fread(items, size, count, file) != count)
        abort();
    return items;
}

// tests/golden/make_quants.py describes the file.
static void test_golden(void) {
    FILE *file = fopen("tests/golden/quants.bin", "rb");
    CHECK(file != NULL);
    if (!file)
        return;
    int32_t records = 0, encoded_types = 0;
    char name[16];
    while (fread(name, sizeof name, 1, file) == 1) {
        uint32_t *counts = read_items(file, 3, sizeof *counts), n = counts[0];
        uint8_t *encoded = read_items(file, counts[1], 1);
        float *expected = read_items(file, n, sizeof *expected);
        float *source = read_items(file, counts[2], sizeof *source), *decoded = malloc(n * sizeof *decoded);
        const quant_type *type = quant_type_find(name);
        CHECK(type && decoded && counts[1] * (uint32_t)type->block_size == n * (uint32_t)type->block_bytes);
        if (!type || !decoded)
            abort();
        type->decode(encoded, decoded, n);
        uint32_t equal = 0;
        for (uint32_t i = 0; i < n; i++)
            equal += same_value(decoded[i], expected[i]);
        CHECK(equal == n);
        CHECK((type->encode != NULL) == (counts[2] == n));
        if (type->encode && counts[2] == n) {
            uint8_t *again = malloc(counts[1]);
            if (!again)
                abort();
            type->encode(source, again, n);
            CHECK(memcmp(again, encoded, counts[1]) == 0);
            encoded_types++;
            free(again);
        }
        free(counts);
        free(encoded);
        free(expected);
        free(source);
        free(decoded);
        records++;
    }
    fclose(file);
    CHECK(records == (int32_t)(sizeof format / sizeof *format));
    CHECK(encoded_types == 5);
}

// What no model should hold must neither be undefined nor come back as numbers that look right.
static void test_encode_hostile(const quant_type *type, float steps) {
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    float x[64], y[64];
    uint8_t block[68];
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < 64; i++)
            x[i] = (float)i - 20;
        x[7] = bad[k];
        type->encode(x, block, 64);
        type->decode(block, y, 64);
        for (size_t i = 0; i < 32; i++)
            CHECK(isnan(y[i]));
        for (size_t i = 32; i < 64; i++)
            CHECK(fabsf(y[i] - x[i]) <= 0.5f * 43.0f / steps + 0.01f);
    }

    const float extremes[] = {0, -0.0f, FLT_TRUE_MIN, FLT_MIN, 1e-38f, FLT_MAX, 1.0f};
    for (size_t k = 0; k < 7; k++) {
        for (size_t i = 0; i < 64; i++)
            x[i] = i % 3 == 0 ? extremes[k] : i % 3 == 1 ? -extremes[k] : 0;
        type->encode(x, block, 64);
        type->decode(block, y, 64);
        for (size_t i = 0; i < 64 && extremes[k] < 1e-30f; i++)
            CHECK(y[i] == 0);
    }
    CHECK(y[0] == steps * quant_f16_decode(quant_f16_encode(1.0f / steps)) && y[2] == 0);
}

// 2.5 steps go to 3 and -2.5 to -3; 0.49999997, which adding a half would round up, to 0.
static void test_q8_0_rounding(void) {
    float x[32] = {127, 2.5f, -2.5f, 0.49999997f, -0.49999997f, 0.5f, 1.5f, -126.5f, 126.49999f, -127};
    const int8_t expected[10] = {127, 3, -3, 0, 0, 1, 2, -127, 126, -127};
    uint8_t block[34];
    quant_type_get(QUANT_Q8_0)->encode(x, block, 32);
    CHECK(memcmp(block + 2, expected, sizeof expected) == 0);
}

// The first of the largest is -8 steps, whatever its sign: 8 steps the other way are one too many. Halves go
// up.
static void test_q4_0_rounding(void) {
    float x[32] = {-4, 8, -8, 1.5f, -1.5f, 0.49f, -7.51f, 7.4f, 7.5f}, y[32];
    const float expected[9] = {-4, 8, -7, 1, -2, 0, -7, 7, 7}; // of steps of -1
    uint8_t block[18];
    quant_type_get(QUANT_Q4_0)->encode(x, block, 32);
    quant_type_get(QUANT_Q4_0)->decode(block, y, 32);
    for (int i = 0; i < 9; i++)
        CHECK(y[i] == expected[i]);
}

int main(void) {
    test_half_decode();
    test_half_rounding();
    test_bf16();
    test_table();
    test_names();
    test_hostile_bytes();
    test_golden();
    test_encode_hostile(quant_type_get(QUANT_Q8_0), 127);
    test_encode_hostile(quant_type_get(QUANT_Q4_0), 8);
    test_q8_0_rounding();
    test_q4_0_rounding();
    return check_report();
}
