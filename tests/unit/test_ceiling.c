// The measuring of ceilings: arguments, memory. That a rate is right only other tools can say.
#include "check.h"

#include "base/status.h"
#include "failing_mem.h"

static ingot_status measure(const ingot_allocator *mem, uint64_t bytes, double *rate, ingot_error *err) {
    ingot_runtime_params params = ingot_runtime_default_params();
    params.threads = 2;
    params.allocator = mem;
    ingot_runtime *runtime;
    TRY(ingot_runtime_new(&params, &runtime, err));
    ingot_status status = ingot_measure_read(runtime, bytes, rate, err);
    ingot_runtime_free(runtime);
    return status;
}

static void test_read(void) {
    double rate = 0;
    ingot_error err;
    CHECK(measure(NULL, 16000000, &rate, &err) == INGOT_OK);
    CHECK(rate > 1e7 && rate < 1e14);
    CHECK(measure(NULL, 4160000, &rate, &err) == INGOT_OK);
    CHECK(measure(NULL, 4159999, &rate, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "bytes is 4159999; expected at least 4160000");
    CHECK(measure(NULL, UINT64_MAX, &rate, &err) == INGOT_ERR_MEMORY);
}

static void test_int8(void) {
    for (int i = 0; ingot_isa_name(i); i++) {
        double rate = 0;
        ingot_runtime *runtime = NULL;
        if (!ingot_isa_usable(i))
            continue;
        CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = 2, .isa = ingot_isa_name(i)}, &runtime,
                                NULL) == INGOT_OK);
        CHECK(ingot_measure_int8(runtime, &rate, NULL) == INGOT_OK);
        CHECK(rate > 1e6 && rate < 1e16);
        printf("%s: %.0f GOP/s\n", ingot_isa_name(i), rate * 1e-9);
        ingot_runtime_free(runtime);
    }
}

static void test_product(void) {
    static uint8_t rows[32][34 * 8]; // Q8_0: 256 weights each
    ingot_runtime *runtime = NULL;
    ingot_error err;
    double rate;
    const ingot_product_sample good = {.type = 8, .rows = rows, .n_rows = 32, .width = 256, .columns = 1};
    CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = 1}, &runtime, NULL) == INGOT_OK);
    static const int32_t columns[] = {0, 1, 2, 4, 8, 12};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        ingot_product_sample s = good;
        s.columns = columns[i];
        rate = 0;
        CHECK(ingot_measure_product(runtime, &s, &rate, &err) == INGOT_OK);
        CHECK(rate > 1e5 && rate < 1e14);
    }
    const struct {
        ingot_product_sample sample;
        ingot_status status;
        const char *message;
    } bad[] = {
        {{5, rows, 32, 256, 1}, INGOT_ERR_NOT_FOUND, "type is 5, which is no tensor type"},
        {{8, NULL, 32, 256, 1}, INGOT_ERR_INVALID, "rows is NULL"},
        {{8, rows, 24, 256, 1}, INGOT_ERR_INVALID, "n_rows is 24, expected a multiple of 16"},
        {{8, rows, 0, 256, 1}, INGOT_ERR_INVALID, "n_rows is 0"},
        {{8, rows, 32, 40, 1}, INGOT_ERR_INVALID, "width is 40, expected a multiple of 32 (a block of Q8_0)"},
        {{8, rows, 32, 1 << 21, 1}, INGOT_ERR_INVALID, "up to 1048576"},
        {{8, rows, 32, 256, 3}, INGOT_ERR_INVALID, "columns is 3, expected 0, 1, 2, 4, 8 or 12"},
        {{26, rows, 32, 8, 1}, INGOT_ERR_NOT_FOUND, "no product for rows of 8 weights of type I32"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(ingot_measure_product(runtime, &bad[i].sample, &rate, &err) == bad[i].status);
        CHECK_CONTAINS(err.message, bad[i].message);
    }
    ingot_runtime_free(runtime);
}

static void test_memory(void) {
    for (long n = 0;; n++) {
        failing_mem m;
        double rate;
        failing_mem_init(&m, n);
        ingot_status status = measure(&m.allocator, 8400000, &rate, NULL);
        if (!failing_mem_end(&m, status))
            break;
    }
}

int main(void) {
    test_read();
    test_int8();
    test_product();
    test_memory();
    return check_report();
}
