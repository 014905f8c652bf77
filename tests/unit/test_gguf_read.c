// What the reader gives for well-formed files, and its typed look-ups.
#include <math.h>
#include <unistd.h>

#include "check.h"
#include "failing_mem.h"
#include "gguf_bytes.h"
#include "temp.h"
#include "../fuzz/gguf_visit.h"

static gguf_bytes b; // larger than a stack frame should be

static void put_array_u16(const char *key, const uint16_t *items, uint64_t count) {
    put_kv_array(&b, key, INGOT_GGUF_U16, count);
    put(&b, items, count * sizeof *items);
}

// A key of each type, an array of each kind, three levels of nesting and two tensors.
static void build_everything(uint32_t version) {
    static const uint16_t numbers[] = {1, 2, 65535};
    static const uint8_t yes = 1;
    put_header(&b, version, 2, 19);
    put_kv(&b, "u8", INGOT_GGUF_U8, &(uint8_t){200}, 1);
    put_kv(&b, "i8", INGOT_GGUF_I8, &(int8_t){-100}, 1);
    put_kv(&b, "u16", INGOT_GGUF_U16, &(uint16_t){60000}, 2);
    put_kv(&b, "i16", INGOT_GGUF_I16, &(int16_t){-30000}, 2);
    put_kv_u32(&b, "u32", 4000000000u);
    put_kv(&b, "i32", INGOT_GGUF_I32, &(int32_t){-2000000000}, 4);
    put_kv(&b, "f32", INGOT_GGUF_F32, &(float){1.5f}, 4);
    put_kv(&b, "bool", INGOT_GGUF_BOOL, &yes, 1);
    put_kv_str(&b, "string", "hello");
    put_kv(&b, "u64", INGOT_GGUF_U64, &(uint64_t){1ull << 63}, 8);
    put_kv(&b, "i64", INGOT_GGUF_I64, &(int64_t){INT64_MIN}, 8);
    put_kv(&b, "f64", INGOT_GGUF_F64, &(double){-0.25}, 8);
    put_array_u16("numbers", numbers, 3);
    put_kv_array(&b, "bools", INGOT_GGUF_BOOL, 2);
    put(&b, "\0\1", 2);
    put_kv_array(&b, "strings", INGOT_GGUF_STRING, 3);
    put_str(&b, "a");
    put_str(&b, "");
    put_str(&b, "ccc");
    put_array_u16("empty", NULL, 0);
    put_kv_str(&b, "empty string", "");
    put_kv_array(&b, "nested", INGOT_GGUF_ARRAY, 2);
    put_u32(&b, INGOT_GGUF_ARRAY); // [[[7, 8], []]
    put_u64(&b, 2);
    put_u32(&b, INGOT_GGUF_U8);
    put_u64(&b, 2);
    put(&b, "\7\10", 2);
    put_u32(&b, INGOT_GGUF_STRING);
    put_u64(&b, 0);
    put_u32(&b, INGOT_GGUF_STRING); // ["end"]]
    put_u64(&b, 1);
    put_str(&b, "end");
    put_kv_u32(&b, "last", 5);
    put_tensor(&b, "matrix", 2, (uint64_t[]){32, 3}, 8, 0); // Q8_0: 3 blocks of 34 bytes
    put_tensor(&b, "vector", 1, (uint64_t[]){5}, 0, 128);
    put_padding(&b, 32);
    put_fill(&b, 0x11, 102);
    put_padding(&b, 32);
    put_fill(&b, 0x22, 20);
}

static void check_scalars(const ingot_gguf *g) {
    CHECK(*(const uint8_t *)ingot_gguf_find(g, "u8")->data == 200);
    CHECK(*(const int8_t *)ingot_gguf_find(g, "i8")->data == -100);
    CHECK(*(const uint16_t *)ingot_gguf_find(g, "u16")->data == 60000);
    CHECK(*(const int16_t *)ingot_gguf_find(g, "i16")->data == -30000);
    CHECK(*(const uint32_t *)ingot_gguf_find(g, "u32")->data == 4000000000u);
    CHECK(*(const int32_t *)ingot_gguf_find(g, "i32")->data == -2000000000);
    CHECK(*(const float *)ingot_gguf_find(g, "f32")->data == 1.5f);
    CHECK(*(const uint8_t *)ingot_gguf_find(g, "bool")->data == 1);
    CHECK(*(const uint64_t *)ingot_gguf_find(g, "u64")->data == 1ull << 63);
    CHECK(*(const int64_t *)ingot_gguf_find(g, "i64")->data == INT64_MIN);
    CHECK(*(const double *)ingot_gguf_find(g, "f64")->data == -0.25);
    const ingot_str *text = ingot_gguf_find(g, "string")->data;
    CHECK(text->size == 5 && memcmp(text->data, "hello", 5) == 0);
    CHECK(((const ingot_str *)ingot_gguf_find(g, "empty string")->data)->size == 0);
    for (uint64_t i = 0; i < ingot_gguf_kv_count(g); i++)
        CHECK((uintptr_t)ingot_gguf_kv_at(g, i)->value.data % 8 == 0);
}

static void check_arrays(const ingot_gguf *g) {
    const ingot_gguf_value *v = ingot_gguf_find(g, "numbers");
    CHECK(v->type == INGOT_GGUF_ARRAY && v->item_type == INGOT_GGUF_U16 && v->count == 3);
    CHECK(((const uint16_t *)v->data)[2] == 65535);
    v = ingot_gguf_find(g, "bools");
    CHECK(v->count == 2 && memcmp(v->data, "\0\1", 2) == 0);
    v = ingot_gguf_find(g, "strings");
    CHECK(v->count == 3 && ((const ingot_str *)v->data)[2].size == 3);
    v = ingot_gguf_find(g, "empty");
    CHECK(v->count == 0 && v->data != NULL);
    v = ingot_gguf_find(g, "nested");
    CHECK(v->type == INGOT_GGUF_ARRAY && v->item_type == INGOT_GGUF_ARRAY && v->count == 2);
    const ingot_gguf_value *outer = v->data, *inner = outer[0].data;
    CHECK(outer[0].item_type == INGOT_GGUF_ARRAY && outer[0].count == 2);
    CHECK(inner[0].item_type == INGOT_GGUF_U8 && memcmp(inner[0].data, "\7\10", 2) == 0);
    CHECK(inner[1].item_type == INGOT_GGUF_STRING && inner[1].count == 0);
    CHECK(outer[1].count == 1 && memcmp(((const ingot_str *)outer[1].data)->data, "end", 3) == 0);
}

static void check_tensors(const ingot_gguf *g) {
    CHECK(ingot_gguf_tensor_count(g) == 2 && !ingot_gguf_tensor_at(g, 2));
    const ingot_gguf_tensor *t = ingot_gguf_find_tensor(g, "matrix");
    CHECK(t == ingot_gguf_tensor_at(g, 0));
    CHECK(t->type == 8 && t->n_dims == 2 && t->shape[0] == 32 && t->shape[1] == 3 && t->shape[2] == 1);
    CHECK(t->bytes == 102 && ((const uint8_t *)t->data)[101] == 0x11 && t->split == 0);
    CHECK((uintptr_t)t->data % 32 == 0);
    t = ingot_gguf_find_tensor(g, "vector");
    CHECK(t->bytes == 20 && t->offset % 32 == 0 && ((const uint8_t *)t->data)[19] == 0x22);
    CHECK(!ingot_gguf_find_tensor(g, "vecto") && !ingot_gguf_find_tensor(g, ""));
}

static void test_everything(uint32_t version) {
    build_everything(version);
    void *image = image_new(b.data, b.size);
    ingot_gguf *g = NULL;
    CHECK(gguf_open_memory(NULL, image, b.size, "test.gguf", &g, NULL) == INGOT_OK);
    CHECK(ingot_gguf_version(g) == version && ingot_gguf_alignment(g) == 32);
    CHECK(ingot_gguf_kv_count(g) == 19 && !ingot_gguf_kv_at(g, 19) && ingot_gguf_split_count(g) == 1);
    CHECK(strcmp(gguf_name(g), "test.gguf") == 0);
    CHECK(!ingot_gguf_find(g, "") && !ingot_gguf_find(g, "u") && !ingot_gguf_find(g, "u320"));
    check_scalars(g);
    check_arrays(g);
    check_tensors(g);
    CHECK(ingot_gguf_check(g, NULL) == INGOT_OK);
    ingot_gguf_close(g);
    free(image);
}

// The same file from disk: mapped, read, and without data.
static void test_ways_of_opening(void) {
    temp_dir dir = temp_dir_make();
    build_everything(3);
    temp_path path = temp_write(&dir, "all.gguf", b.data, b.size);
    static const ingot_gguf_params ways[] = {{0}, {.no_map = true}, {.no_data = true}};
    uint64_t sums[2];
    for (int i = 0; i < 3; i++) {
        ingot_gguf *g = NULL;
        CHECK(gguf_open(NULL, path.text, i == 0 ? NULL : &ways[i], NULL, NULL, &g, NULL) == INGOT_OK);
        check_scalars(g);
        check_arrays(g);
        if (i < 2)
            check_tensors(g);
        else
            CHECK(!ingot_gguf_tensor_at(g, 0)->data && ingot_gguf_tensor_at(g, 0)->bytes == 102);
        if (i < 2)
            sums[i] = visit_gguf(g);
        CHECK(ingot_gguf_check(g, NULL) == INGOT_OK);
        ingot_gguf_close(g);
    }
    CHECK(sums[0] == sums[1]);
    ingot_gguf *g = NULL;
    ingot_error err;
    CHECK(gguf_open(NULL, path.text, NULL, NULL, NULL, &g, NULL) == INGOT_OK);
    CHECK(truncate(path.text, 16) == 0);
    CHECK(ingot_gguf_check(g, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "cut off");
    ingot_gguf_close(g);
    CHECK(gguf_open(NULL, "no/such/file.gguf", NULL, NULL, NULL, &g, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "no/such/file.gguf");
    temp_dir_remove(&dir);
}

static void test_alignment(uint32_t alignment) {
    put_header(&b, 3, 2, 1);
    put_kv_u32(&b, "general.alignment", alignment);
    put_tensor(&b, "a", 1, (uint64_t[]){3}, 0, 0);
    put_tensor(&b, "b", 1, (uint64_t[]){1}, 0, alignment < 12 ? 16 : alignment);
    put_padding(&b, alignment);
    put_fill(&b, 1, 12);
    put_padding(&b, alignment);
    put_fill(&b, 2, 4);
    void *image = image_new(b.data, b.size);
    ingot_gguf *g = NULL;
    CHECK(gguf_open_memory(NULL, image, b.size, "test", &g, NULL) == INGOT_OK);
    CHECK(ingot_gguf_alignment(g) == alignment);
    const ingot_gguf_tensor *t = ingot_gguf_find_tensor(g, "b");
    CHECK(t->offset % alignment == 0 && *(const uint8_t *)t->data == 2);
    ingot_gguf_close(g);
    free(image);
}

static void test_odd_but_accepted(void) {
    ingot_error err;
    put_header(&b, 3, 0, 0); // nothing at all
    CHECK(try_open(&b, NULL, &err) == INGOT_OK);
    put_header(&b, 3, 1, 0); // a scalar
    put_tensor(&b, "scalar", 0, NULL, 0, 0);
    put_padding(&b, 32);
    put_fill(&b, 0, 4);
    CHECK(try_open(&b, NULL, &err) == INGOT_OK);
    put_fill(&b, 9, 100); // bytes behind the data
    CHECK(try_open(&b, NULL, &err) == INGOT_OK);
    CHECK(gguf_open_memory(NULL, b.data + 1 + (64 - (uintptr_t)b.data % 64) % 64, 24, "test",
                           &(ingot_gguf *){NULL}, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "aligned");
}

static void test_get_u32(const ingot_gguf *g) {
    ingot_error err;
    uint32_t n = 77;
    CHECK(gguf_get_u32(g, "u8", true, 0, 255, &n, &err) == INGOT_OK && n == 200);
    CHECK(gguf_get_u32(g, "u16", true, 0, UINT32_MAX, &n, &err) == INGOT_OK && n == 60000);
    CHECK(gguf_get_u32(g, "u32", true, 0, UINT32_MAX, &n, &err) == INGOT_OK && n == 4000000000u);
    CHECK(gguf_get_u32(g, "last", true, 5, 5, &n, &err) == INGOT_OK && n == 5);
    CHECK(gguf_get_u32(g, "absent", false, 0, 1, &n, &err) == INGOT_OK && n == 5);
    CHECK(gguf_get_u32(g, "absent", true, 0, 1, &n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "test.gguf: the key 'absent' is missing");
    CHECK(gguf_get_u32(g, "u8", true, 0, 199, &n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "'u8' is 200, expected 0 to 199");
    CHECK(gguf_get_u32(g, "u64", false, 0, UINT32_MAX, &n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "9223372036854775808");
    CHECK(gguf_get_u32(g, "i8", true, 0, UINT32_MAX, &n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "is -100, expected");
    CHECK(gguf_get_u32(g, "i16", true, 0, UINT32_MAX, &n, &err) == INGOT_ERR_FORMAT);
    CHECK(gguf_get_u32(g, "i32", true, 0, UINT32_MAX, &n, &err) == INGOT_ERR_FORMAT);
    CHECK(gguf_get_u32(g, "i64", true, 0, UINT32_MAX, &n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "is -9223372036854775808, expected");
    CHECK(gguf_get_u32(g, "f32", true, 0, UINT32_MAX, &n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "'f32' is of type f32, expected an integer");
    CHECK(gguf_get_u32(g, "bool", true, 0, UINT32_MAX, &n, &err) == INGOT_ERR_FORMAT);
    CHECK(gguf_get_u32(g, "numbers", true, 0, UINT32_MAX, &n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "array of 3 items of type u16");
    CHECK(n == 5);
}

static void test_get_others(const ingot_gguf *g) {
    ingot_error err;
    float f = 3;
    CHECK(gguf_get_f32(g, "f32", true, &f, &err) == INGOT_OK && f == 1.5f);
    CHECK(gguf_get_f32(g, "f64", true, &f, &err) == INGOT_OK && f == -0.25f);
    CHECK(gguf_get_f32(g, "absent", false, &f, &err) == INGOT_OK && f == -0.25f);
    CHECK(gguf_get_f32(g, "u8", true, &f, &err) == INGOT_ERR_FORMAT);
    bool yes = false;
    CHECK(gguf_get_bool(g, "bool", true, &yes, &err) == INGOT_OK && yes);
    CHECK(gguf_get_bool(g, "u8", false, &yes, &err) == INGOT_ERR_FORMAT);
    ingot_str s = {0};
    CHECK(gguf_get_str(g, "string", true, &s, &err) == INGOT_OK && s.size == 5);
    CHECK(gguf_get_str(g, "strings", true, &s, &err) == INGOT_ERR_FORMAT);
    const ingot_gguf_value *v = NULL;
    CHECK(gguf_get_array(g, "strings", true, INGOT_GGUF_STRING, &v, &err) == INGOT_OK && v->count == 3);
    CHECK(gguf_get_array(g, "absent", false, INGOT_GGUF_STRING, &v, &err) == INGOT_OK && !v);
    CHECK(gguf_get_array(g, "absent", true, INGOT_GGUF_STRING, &v, &err) == INGOT_ERR_FORMAT);
    CHECK(gguf_get_array(g, "string", true, INGOT_GGUF_STRING, &v, &err) == INGOT_ERR_FORMAT);
    CHECK(gguf_get_array(g, "numbers", true, INGOT_GGUF_STRING, &v, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "expected an array of string");
}

static void test_get_per_layer(const ingot_gguf *g) {
    ingot_error err;
    uint32_t n[4] = {0};
    CHECK(gguf_get_u32_per_layer(g, "numbers", true, 0, 65535, 3, n, &err) == INGOT_OK);
    CHECK(n[0] == 1 && n[1] == 2 && n[2] == 65535);
    CHECK(gguf_get_u32_per_layer(g, "u8", true, 0, 255, 4, n, &err) == INGOT_OK);
    CHECK(n[0] == 200 && n[3] == 200);
    CHECK(gguf_get_u32_per_layer(g, "numbers", true, 0, 65534, 3, n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "(item 2) is 65535");
    CHECK(gguf_get_u32_per_layer(g, "numbers", true, 0, 65535, 4, n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "array of 4 integers");
    CHECK(gguf_get_u32_per_layer(g, "strings", true, 0, 65535, 3, n, &err) == INGOT_ERR_FORMAT);
    CHECK(gguf_get_u32_per_layer(g, "f32", true, 0, 65535, 3, n, &err) == INGOT_ERR_FORMAT);
    CHECK(gguf_get_u32_per_layer(g, "absent", false, 0, 65535, 3, n, &err) == INGOT_OK);
    CHECK(gguf_get_u32_per_layer(g, "absent", true, 0, 65535, 3, n, &err) == INGOT_ERR_FORMAT);
}

static void test_getters(void) {
    build_everything(3);
    void *image = image_new(b.data, b.size);
    ingot_gguf *g = NULL;
    CHECK(gguf_open_memory(NULL, image, b.size, "test.gguf", &g, NULL) == INGOT_OK);
    test_get_u32(g);
    test_get_others(g);
    test_get_per_layer(g);
    ingot_gguf_close(g);
    free(image);
    put_header(&b, 3, 0, 2);
    put_kv(&b, "nan", INGOT_GGUF_F32, &(float){NAN}, 4);
    put_kv(&b, "large", INGOT_GGUF_F64, &(double){1e300}, 8);
    image = image_new(b.data, b.size);
    CHECK(gguf_open_memory(NULL, image, b.size, "test.gguf", &g, NULL) == INGOT_OK);
    ingot_error err;
    float f;
    CHECK(gguf_get_f32(g, "nan", false, &f, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "finite");
    CHECK(gguf_get_f32(g, "large", false, &f, &err) == INGOT_ERR_FORMAT);
    ingot_gguf_close(g);
    free(image);
}

// Names that a poor hash or a naive sort would stumble over, found again one by one.
static void test_many_names(void) {
    enum { N = 1000 };
    put_header(&b, 3, 0, N);
    char name[32];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%s.%d", i % 2 ? "blk" : "b", i * 7919 % N);
        put_kv_u32(&b, name, (uint32_t)i);
    }
    void *image = image_new(b.data, b.size);
    ingot_gguf *g = NULL;
    CHECK(gguf_open_memory(NULL, image, b.size, "test", &g, NULL) == INGOT_OK);
    int found = 0;
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%s.%d", i % 2 ? "blk" : "b", i * 7919 % N);
        uint32_t value = N;
        found += gguf_get_u32(g, name, true, 0, N, &value, NULL) == INGOT_OK && value == (uint32_t)i;
    }
    CHECK(found == N);
    ingot_gguf_close(g);
    free(image);
}

static void test_truncation(void) {
    build_everything(3);
    size_t whole = b.size;
    int opened = 0;
    for (size_t size = 0; size < whole; size++) {
        ingot_error err;
        b.size = size;
        ingot_status status = try_open(&b, NULL, &err);
        opened += status == INGOT_OK;
        if (status != INGOT_ERR_FORMAT || strncmp(err.message, "test.gguf: ", 11) != 0) {
            fprintf(stderr, "cut off at %zu: status %d, '%s'\n", size, status, err.message);
            CHECK(false);
        }
    }
    CHECK(opened == 0);
}

static void test_failing_allocations(void) {
    build_everything(3);
    void *image = image_new(b.data, b.size);
    temp_dir dir = temp_dir_make();
    temp_path path = temp_write(&dir, "all.gguf", b.data, b.size);
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        for (long n = 0;; n++) {
            failing_mem m;
            ingot_error err = {0};
            ingot_gguf *g = NULL;
            failing_mem_init(&m, n);
            ingot_status status = on_disk
                                      ? gguf_open(&m.allocator, path.text,
                                                  &(ingot_gguf_params){.no_map = n % 2}, NULL, NULL, &g, &err)
                                      : gguf_open_memory(&m.allocator, image, b.size, "test", &g, &err);
            ingot_gguf_close(g);
            if (!failing_mem_end(&m, status)) {
                CHECK(n > 5);
                break;
            }
            CHECK_CONTAINS(err.message, "cannot allocate");
        }
    }
    temp_dir_remove(&dir);
    free(image);
}

int main(void) {
    test_everything(2);
    test_everything(3);
    test_ways_of_opening();
    test_alignment(8);
    test_alignment(64);
    test_alignment(4096);
    test_odd_but_accepted();
    test_getters();
    test_many_names();
    test_truncation();
    test_failing_allocations();
    return check_report();
}
