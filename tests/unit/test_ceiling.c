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

static void test_memory(void) {
    for (long n = 0;; n++) {
        failing_mem m;
        double rate;
        failing_mem_init(&m, n);
        ingot_status status = measure(&m.allocator, 8400000, &rate, NULL);
        CHECK(failing_mem_live(&m) == 0);
        if (!failing_mem_failed(&m)) {
            CHECK(status == INGOT_OK);
            break;
        }
        CHECK(status == INGOT_ERR_MEMORY);
    }
}

int main(void) {
    test_read();
    test_int8();
    test_memory();
    return check_report();
}
