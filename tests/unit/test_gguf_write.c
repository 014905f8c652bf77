// The writer: what it writes is what the format says and what the reader reads; misuse is refused; a file
// that isn't complete never appears.
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "check.h"
#include "failing_mem.h"
#include "gguf_bytes.h"
#include "temp.h"

static gguf_bytes b;
static temp_dir dir;

// Whether the file holds exactly the bytes of `b`.
static bool file_is_b(temp_path path) {
    static uint8_t found[sizeof b.data + 1];
    FILE *f = fopen(path.text, "rb");
    if (!f)
        return false;
    size_t n = fread(found, 1, sizeof found, f);
    fclose(f);
    return n == b.size && memcmp(found, b.data, n) == 0;
}

static bool part_exists(temp_path path) {
    strcat(path.text, ".part");
    return file_exists(path.text);
}

static ingot_gguf_value scalar(ingot_gguf_type type, const void *data) {
    return (ingot_gguf_value){.type = type, .item_type = type, .count = 1, .data = data};
}

static ingot_gguf_value array(ingot_gguf_type type, uint64_t count, const void *data) {
    return (ingot_gguf_value){.type = INGOT_GGUF_ARRAY, .item_type = type, .count = count, .data = data};
}

static ingot_status add_u32(ingot_gguf_writer *w, const char *key, uint32_t number, ingot_error *err) {
    ingot_gguf_value value = scalar(INGOT_GGUF_U32, &number);
    return ingot_gguf_writer_kv(w, key, &value, err);
}

static ingot_status add_str(ingot_gguf_writer *w, const char *key, const char *text, ingot_error *err) {
    ingot_str str = {.data = text, .size = strlen(text)};
    ingot_gguf_value value = scalar(INGOT_GGUF_STRING, &str);
    return ingot_gguf_writer_kv(w, key, &value, err);
}

static ingot_gguf_writer *writer_new(temp_path path, const ingot_gguf_writer_params *params) {
    ingot_gguf_writer *w = NULL;
    CHECK(gguf_writer_new(NULL, path.text, params, &w, NULL) == INGOT_OK);
    return w;
}

// Byte for byte: scalars, arrays, nested arrays, padding, data in uneven pieces.
static void test_bytes(void) {
    put_header(&b, 3, 2, 4);
    put_kv_str(&b, "general.architecture", "llama");
    put_kv(&b, "yes", INGOT_GGUF_BOOL, "\1", 1);
    put_kv_array(&b, "nested", INGOT_GGUF_ARRAY, 2);
    put_u32(&b, INGOT_GGUF_U16);
    put_u64(&b, 2);
    put(&b, "\1\0\2\0", 4);
    put_u32(&b, INGOT_GGUF_STRING);
    put_u64(&b, 1);
    put_str(&b, "x");
    put_kv_array(&b, "empty", INGOT_GGUF_F64, 0);
    put_tensor(&b, "a.weight", 3, (uint64_t[]){32, 2, 1}, 8, 0); // Q8_0, 68 bytes
    put_tensor(&b, "b.weight", 1, (uint64_t[]){3}, 0, 96);
    put_padding(&b, 32);
    put_fill(&b, 5, 68);
    put_padding(&b, 32);
    put_fill(&b, 6, 12);
    put_padding(&b, 32);

    temp_path path = temp_join(&dir, "bytes.gguf");
    ingot_gguf_writer *w = writer_new(path, NULL);
    CHECK(add_str(w, "general.architecture", "llama", NULL) == INGOT_OK);
    ingot_gguf_value value = scalar(INGOT_GGUF_BOOL, "\1");
    CHECK(ingot_gguf_writer_kv(w, "yes", &value, NULL) == INGOT_OK);
    ingot_str x = {.data = "x", .size = 1};
    ingot_gguf_value inner[2] = {array(INGOT_GGUF_U16, 2, "\1\0\2"), array(INGOT_GGUF_STRING, 1, &x)};
    value = array(INGOT_GGUF_ARRAY, 2, inner);
    CHECK(ingot_gguf_writer_kv(w, "nested", &value, NULL) == INGOT_OK);
    value = array(INGOT_GGUF_F64, 0, NULL);
    CHECK(ingot_gguf_writer_kv(w, "empty", &value, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_tensor(w, "a.weight", 8, 3, (uint64_t[]){32, 2, 1}, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_tensor(w, "b.weight", 0, 1, (uint64_t[]){3}, NULL) == INGOT_OK);
    uint8_t fives[68], sixes[12];
    memset(fives, 5, sizeof fives);
    memset(sixes, 6, sizeof sixes);
    CHECK(ingot_gguf_writer_data(w, NULL, 0, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_data(w, fives, 67, NULL) == INGOT_OK);
    CHECK(part_exists(path) && !file_exists(path.text));
    CHECK(ingot_gguf_writer_data(w, fives, 1, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_data(w, sixes, 12, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_data(w, NULL, 0, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_finish(w, NULL) == INGOT_OK);
    CHECK(file_is_b(path) && !part_exists(path));
}

// Metadata alone: no padding follows it.
static void test_no_tensors(void) {
    put_header(&b, 3, 0, 1);
    put_kv_u32(&b, "n", 7);
    temp_path path = temp_join(&dir, "vocab.gguf");
    ingot_gguf_writer *w = writer_new(path, NULL);
    CHECK(add_u32(w, "n", 7, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_finish(w, NULL) == INGOT_OK);
    CHECK(file_is_b(path));
}

// Writes one small tensor and opens the file again.
static ingot_gguf *write_and_open(temp_path path, ingot_gguf_writer *w) {
    ingot_gguf *g = NULL;
    CHECK(ingot_gguf_writer_tensor(w, "t", 0, 1, (uint64_t[]){1}, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_data(w, &(float){2}, 4, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_finish(w, NULL) == INGOT_OK);
    CHECK(gguf_open(NULL, path.text, NULL, NULL, NULL, &g, NULL) == INGOT_OK);
    CHECK(g && *(const float *)ingot_gguf_tensor_at(g, 0)->data == 2);
    return g;
}

static void test_alignment(void) {
    ingot_error err;
    ingot_gguf_writer *w = NULL;
    temp_path path = temp_join(&dir, "aligned.gguf");
    static const uint64_t bad[] = {1, 4, 48, 1 << 21, 1ull << 32, UINT64_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(gguf_writer_new(NULL, path.text, &(ingot_gguf_writer_params){.alignment = bad[i]}, &w, &err) ==
              INGOT_ERR_INVALID);
    for (uint32_t alignment = 8; alignment <= 4096; alignment *= 8) { // given, added, both
        for (int way = 1; way <= 3; way++) {
            w = writer_new(path, &(ingot_gguf_writer_params){.alignment = way & 1 ? alignment : 0});
            if (way & 2)
                CHECK(add_u32(w, "general.alignment", alignment, NULL) == INGOT_OK);
            ingot_gguf *g = write_and_open(path, w);
            CHECK(ingot_gguf_alignment(g) == alignment && ingot_gguf_kv_count(g) == 1);
            CHECK(ingot_gguf_tensor_at(g, 0)->offset % alignment == 0);
            ingot_gguf_close(g);
        }
    }
    w = writer_new(path, &(ingot_gguf_writer_params){.alignment = 64});
    CHECK(add_u32(w, "general.alignment", 32, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "32, but the writer was made for 64");
    CHECK(add_str(w, "general.alignment", "64", &err) == INGOT_ERR_INVALID);
    CHECK(add_u32(w, "general.alignment", 3, &err) == INGOT_ERR_INVALID);
    CHECK(add_u32(w, "general.alignment", 64, &err) == INGOT_OK);
    ingot_gguf_writer_abort(w);
}

static void test_bad_values(void) {
    ingot_error err;
    temp_path path = temp_join(&dir, "values.gguf");
    ingot_gguf_writer *w = writer_new(path, NULL);
    ingot_gguf_value deep[5];
    deep[0] = array(INGOT_GGUF_U8, 1, "\1");
    for (int i = 1; i < 5; i++)
        deep[i] = array(INGOT_GGUF_ARRAY, 1, &deep[i - 1]);
    ingot_gguf_value within = scalar(INGOT_GGUF_U8, "\1");
    const ingot_gguf_value bad[] = {
        scalar((ingot_gguf_type)13, "\0\0\0\0"),
        array((ingot_gguf_type)13, 1, "\0\0\0\0"),
        array((ingot_gguf_type)-1, 1, "\0\0\0\0"),
        array(INGOT_GGUF_ARRAY, 1, &within), // a scalar within an array of arrays
        array(INGOT_GGUF_BOOL, 2, "\1\2"),
        array(INGOT_GGUF_U64, UINT64_MAX / 4, NULL),
        scalar(INGOT_GGUF_BOOL, "\2"),
        {.type = INGOT_GGUF_U8, .item_type = INGOT_GGUF_U8, .count = 2, .data = "\1\2"},
        {.type = INGOT_GGUF_U8, .item_type = INGOT_GGUF_U16, .count = 1, .data = "\1\2"},
        deep[4],
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(ingot_gguf_writer_kv(w, "key", &bad[i], &err) == INGOT_ERR_INVALID);
        CHECK_CONTAINS(err.message, "key 'key': ");
    }
    CHECK(ingot_gguf_writer_kv(w, "key", &deep[3], &err) == INGOT_OK); // what failed left nothing behind
    ingot_gguf *g = write_and_open(path, w);
    CHECK(ingot_gguf_kv_count(g) == 1 && ingot_gguf_find(g, "key")->item_type == INGOT_GGUF_ARRAY);
    ingot_gguf_close(g);
}

static void test_bad_declarations(void) {
    ingot_error err;
    ingot_gguf_writer *w = writer_new(temp_join(&dir, "bad.gguf"), NULL);
    CHECK(add_u32(w, "n", 1, NULL) == INGOT_OK);
    CHECK(add_u32(w, "n", 1, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "key 'n' was added before");
    CHECK(add_u32(w, "", 1, &err) == INGOT_ERR_INVALID);
    CHECK(add_u32(w, "\xff", 1, &err) == INGOT_ERR_INVALID);
    CHECK(add_u32(w, "split.count", 1, &err) == INGOT_ERR_INVALID);
    CHECK(add_u32(w, "split.no", 1, &err) == INGOT_ERR_INVALID);
    CHECK(add_u32(w, "split.tensors.count", 1, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "leave it out");
    static const uint64_t shape[5] = {32, 1, 1, 1, 1}, zero[2] = {32, 0}, huge[2] = {1ull << 62, 4};
    CHECK(ingot_gguf_writer_tensor(w, "t", 8, 2, shape, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_tensor(w, "t", 8, 2, shape, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "tensor 't' was added before");
    CHECK(ingot_gguf_writer_tensor(w, "u", 4, 2, shape, &err) == INGOT_ERR_INVALID);
    CHECK(ingot_gguf_writer_tensor(w, "u", -1, 2, shape, &err) == INGOT_ERR_INVALID);
    CHECK(ingot_gguf_writer_tensor(w, "u", 12, 2, shape, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "whole blocks of 256");
    CHECK(ingot_gguf_writer_tensor(w, "u", 8, 0, shape, &err) == INGOT_ERR_INVALID);
    CHECK(ingot_gguf_writer_tensor(w, "u", 8, -1, shape, &err) == INGOT_ERR_INVALID);
    CHECK(ingot_gguf_writer_tensor(w, "u", 8, 5, shape, &err) == INGOT_ERR_INVALID);
    CHECK(ingot_gguf_writer_tensor(w, "u", 8, 2, zero, &err) == INGOT_ERR_INVALID);
    CHECK(ingot_gguf_writer_tensor(w, "u", 8, 2, huge, &err) == INGOT_ERR_INVALID);
    CHECK(ingot_gguf_writer_tensor(w, "", 8, 2, shape, &err) == INGOT_ERR_INVALID);
    ingot_gguf_writer_abort(w);
    ingot_gguf_writer_abort(NULL);
}

static void test_data_misuse(void) {
    ingot_error err;
    uint8_t data[64] = {0};
    temp_path path = temp_join(&dir, "misuse.gguf");
    ingot_gguf_writer *w = writer_new(path, NULL);
    CHECK(ingot_gguf_writer_data(w, data, 1, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "all 0 tensors are complete");
    CHECK(ingot_gguf_writer_tensor(w, "t", 0, 1, (uint64_t[]){8}, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_tensor(w, "u", 0, 1, (uint64_t[]){8}, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_data(w, data, 33, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "tensor 't': 33 bytes of data, but only 32 of its 32");
    CHECK(ingot_gguf_writer_data(w, data, 20, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_data(w, data, 13, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "only 12 of its 32");
    CHECK(ingot_gguf_writer_tensor(w, "v", 0, 1, (uint64_t[]){8}, &err) == INGOT_ERR_STATE);
    CHECK(add_u32(w, "n", 1, &err) == INGOT_ERR_STATE);
    CHECK_CONTAINS(err.message, "after the data has begun");
    CHECK(ingot_gguf_writer_finish(w, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "tensor 't' has 20 of 32 bytes, and 1 tensors after it have none");
    CHECK(!file_exists(path.text) && !part_exists(path));

    w = writer_new(path, NULL);
    CHECK(ingot_gguf_writer_tensor(w, "t", 0, 1, (uint64_t[]){8}, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_data(w, data, 32, NULL) == INGOT_OK);
    CHECK(part_exists(path));
    ingot_gguf_writer_abort(w);
    CHECK(!file_exists(path.text) && !part_exists(path));

    w = writer_new(temp_join(&dir, "no/such/folder.gguf"), NULL);
    CHECK(ingot_gguf_writer_finish(w, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "no/such/folder.gguf");
}

// A disk that is full, played by a limit on file sizes: an error at the write or at the end, and no file.
static void test_disk_full(void) {
    static uint8_t data[1 << 20];
    ingot_error err;
    temp_path path = temp_join(&dir, "full.gguf");
    struct rlimit before, small;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    small = before;
    small.rlim_cur = 1 << 19;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    ingot_gguf_writer *w = writer_new(path, NULL);
    CHECK(ingot_gguf_writer_tensor(w, "t", 0, 1, (uint64_t[]){1 << 19}, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_data(w, data, sizeof data, &err) == INGOT_ERR_IO);
    CHECK(ingot_gguf_writer_data(w, data, sizeof data, &err) == INGOT_ERR_STATE);
    CHECK_CONTAINS(err.message, "an earlier write failed");
    CHECK(ingot_gguf_writer_finish(w, &err) != INGOT_OK);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(!file_exists(path.text) && !part_exists(path));
}

static ingot_status write_all(const ingot_allocator *mem, const char *path, uint64_t max_split_bytes,
                              ingot_error *err) {
    ingot_gguf_writer *w = NULL;
    ingot_gguf_writer_params params = {.alignment = 64, .max_split_bytes = max_split_bytes};
    uint8_t data[64] = {0};
    TRY(gguf_writer_new(mem, path, &params, &w, err));
    ingot_status status = INGOT_OK;
    char name[32];
    for (int i = 0; i < 40 && status == INGOT_OK; i++) {
        snprintf(name, sizeof name, "key.%d", i);
        status = add_str(w, name, "a text of some length, so that buffers grow", err);
        snprintf(name, sizeof name, "tensor.%d", i);
        if (status == INGOT_OK)
            status = ingot_gguf_writer_tensor(w, name, 0, 1, (uint64_t[]){8}, err);
    }
    for (int i = 0; i < 40 && status == INGOT_OK; i++)
        status = ingot_gguf_writer_data(w, data, 32, err);
    if (status == INGOT_OK)
        return ingot_gguf_writer_finish(w, err);
    ingot_gguf_writer_abort(w);
    return status;
}

static void test_failing_allocations(void) {
    for (uint64_t max_split_bytes = 0; max_split_bytes <= 1024; max_split_bytes += 1024) {
        for (long n = 0;; n++) {
            failing_mem m;
            ingot_error err;
            temp_path path = temp_join(&dir, max_split_bytes ? "fail" : "fail.gguf");
            failing_mem_init(&m, n);
            ingot_status status = write_all(&m.allocator, path.text, max_split_bytes, &err);
            strcat(path.text, max_split_bytes ? "-00001-of-00003.gguf" : "");
            CHECK(file_exists(path.text) == (status == INGOT_OK) && !part_exists(path));
            if (!failing_mem_end(&m, status)) {
                CHECK(n > 10);
                break;
            }
        }
    }
}

int main(void) {
    dir = temp_dir_make();
    test_bytes();
    test_no_tensors();
    test_alignment();
    test_bad_values();
    test_bad_declarations();
    test_data_misuse();
    test_disk_full();
    test_failing_allocations();
    temp_dir_remove(&dir);
    return check_report();
}
