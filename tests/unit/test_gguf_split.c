// Splits: several files that are one. Written, read back, and broken in every way that a download can break.
#include <unistd.h>

#include "base/file.h"
#include "check.h"
#include "failing_mem.h"
#include "gguf_bytes.h"
#include "temp.h"

static gguf_bytes b;
static temp_dir dir;

static temp_path part_path(const char *stem, int number, int count) {
    char name[64];
    snprintf(name, sizeof name, "%s-%05d-of-%05d.gguf", stem, number, count);
    return temp_join(&dir, name);
}

enum { N_TENSORS = 7, ROWS = 10 };

static float weight(int tensor, int i) {
    return (float)(tensor * 1000 + i);
}

// Seven F32 tensors of 10 * (i + 1) weights (40 to 280 bytes).
static void write_split(const char *stem, uint64_t max_split_bytes, uint64_t alignment) {
    temp_path path = temp_join(&dir, stem);
    ingot_gguf_writer *w = NULL;
    ingot_gguf_writer_params params = {.alignment = alignment, .max_split_bytes = max_split_bytes};
    CHECK(gguf_writer_new(NULL, path.text, &params, &w, NULL) == INGOT_OK);
    ingot_gguf_value value = {
        .type = INGOT_GGUF_U32, .item_type = INGOT_GGUF_U32, .count = 1, .data = &(uint32_t){42}};
    CHECK(ingot_gguf_writer_kv(w, "answer", &value, NULL) == INGOT_OK);
    char name[16];
    for (int t = 0; t < N_TENSORS; t++) {
        snprintf(name, sizeof name, "t%d", t);
        CHECK(ingot_gguf_writer_tensor(w, name, 0, 1, (uint64_t[]){(uint64_t)(ROWS * (t + 1))}, NULL) ==
              INGOT_OK);
    }
    for (int t = 0; t < N_TENSORS; t++) {
        for (int i = 0; i < ROWS * (t + 1); i++)
            CHECK(ingot_gguf_writer_data(w, &(float){weight(t, i)}, 4, NULL) == INGOT_OK);
        CHECK(t == N_TENSORS - 1 || !file_exists(part_path(stem, 1, 4).text));
    }
    CHECK(ingot_gguf_writer_finish(w, NULL) == INGOT_OK);
}

static void check_split(const ingot_gguf *g, int files) {
    CHECK(ingot_gguf_split_count(g) == files && ingot_gguf_tensor_count(g) == N_TENSORS);
    uint32_t n = 0;
    CHECK(gguf_get_u32(g, "answer", true, 0, 100, &n, NULL) == INGOT_OK && n == 42);
    int right = 0, last = 0;
    for (int t = 0; t < N_TENSORS; t++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", t);
        const ingot_gguf_tensor *tensor = ingot_gguf_find_tensor(g, name);
        CHECK(tensor && tensor == ingot_gguf_tensor_at(g, (uint64_t)t));
        CHECK(tensor->split >= last && tensor->split < files);
        CHECK(tensor->offset % ingot_gguf_alignment(g) == 0);
        last = tensor->split;
        for (int i = 0; i < ROWS * (t + 1); i++)
            right += ((const float *)tensor->data)[i] == weight(t, i);
    }
    CHECK(last == files - 1 && right == ROWS * 28);
    CHECK(ingot_gguf_check(g, NULL) == INGOT_OK);
}

static bool never(void *user, double done) {
    double *last = user;
    CHECK(done >= *last && done <= 1);
    *last = done;
    return false;
}

static bool always(void *user, double done) {
    never(user, done);
    return true;
}

static void test_round_trip(void) {
    write_split("model", 400, 0); // padded: 64 + 96 + 128 | 160 + 224 | 256 | 288
    for (int way = 0; way < 2; way++) {
        ingot_gguf *g = NULL;
        double last = 0;
        ingot_error err = {0};
        CHECK(gguf_open(NULL, part_path("model", 1, 4).text, &(ingot_gguf_params){.no_map = way == 1}, always,
                        &last, &g, &err) == INGOT_OK);
        check_split(g, 4);
        ingot_gguf_close(g);
        CHECK(way == 0 || last == 1);
    }
    ingot_gguf *g = NULL;
    double last = 0;
    CHECK(gguf_open(NULL, part_path("model", 1, 4).text, &(ingot_gguf_params){.no_map = true}, never, &last,
                    &g, NULL) == INGOT_ERR_CANCELLED);
    write_split("aligned", 512, 256);
    CHECK(gguf_open(NULL, part_path("aligned", 1, 4).text, NULL, NULL, NULL, &g, NULL) == INGOT_OK);
    CHECK(ingot_gguf_alignment(g) == 256);
    check_split(g, 4);
    ingot_gguf_close(g);
    write_split("single", 1 << 20, 0);
    CHECK(gguf_open(NULL, part_path("single", 1, 1).text, NULL, NULL, NULL, &g, NULL) == INGOT_OK);
    check_split(g, 1);
    ingot_gguf_close(g);
}

static void refuse_line(int line, temp_path path, ingot_status status, const char *part, const char *part2) {
    ingot_gguf *g = NULL;
    ingot_error err = {0};
    ingot_status got = gguf_open(NULL, path.text, NULL, NULL, NULL, &g, &err);
    CHECK(got == status);
    CHECK_CONTAINS(err.message, part);
    CHECK_CONTAINS(err.message, part2);
    if (got != status)
        fprintf(stderr, "  in line %d: status %d, '%s'\n", line, got, err.message);
}

#define REFUSE(path, status, part, part2) refuse_line(__LINE__, path, status, part, part2)

// A writer that is told where files begin, the first and the last of them and one between without tensors.
static void test_files_as_wanted(void) {
    temp_path path = temp_join(&dir, "wanted");
    ingot_gguf_writer *w = NULL;
    CHECK(gguf_writer_new(NULL, path.text, NULL, &w, NULL) == INGOT_OK);
    static const int begins[] = {2, 0, 1, 2, 0};
    enum { COUNT = sizeof begins / sizeof *begins, FILES = 6 };
    for (int t = 0; t < COUNT; t++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", t);
        for (int n = 0; n < begins[t]; n++)
            gguf_writer_next_file(w);
        CHECK(ingot_gguf_writer_tensor(w, name, 0, 1, (uint64_t[]){4}, NULL) == INGOT_OK);
    }
    gguf_writer_next_file(w);
    for (int t = 0; t < COUNT; t++)
        CHECK(ingot_gguf_writer_data(w, (float[]){1, 2, 3, 4}, 16, NULL) == INGOT_OK);
    CHECK(ingot_gguf_writer_finish(w, NULL) == INGOT_OK);
    ingot_gguf *g = NULL;
    CHECK(gguf_open(NULL, part_path("wanted", 1, FILES).text, NULL, NULL, NULL, &g, NULL) == INGOT_OK);
    int file = -1;
    for (int t = 0; t < COUNT; t++) {
        file += begins[t];
        const ingot_gguf_tensor *tensor = ingot_gguf_tensor_at(g, (uint64_t)t);
        CHECK(tensor->split == file);
        CHECK(strcmp(gguf_file_name(g, tensor->split), part_path("wanted", file + 1, FILES).text) == 0);
    }
    ingot_gguf_close(g);
}

static void test_wrong_file(void) {
    write_split("wrong", 400, 0);
    REFUSE(part_path("wrong", 3, 4), INGOT_ERR_INVALID, "is file 3 of 4", "wrong-00001-of-00004.gguf");
    CHECK(rename(part_path("wrong", 3, 4).text, temp_join(&dir, "third.gguf").text) == 0);
    REFUSE(temp_join(&dir, "third.gguf"), INGOT_ERR_INVALID, "is file 3 of 4", "open the first");
    REFUSE(part_path("wrong", 1, 4), INGOT_ERR_IO, "file 3 of 4", "wrong-00003-of-00004.gguf");
    CHECK(rename(part_path("wrong", 2, 4).text, part_path("wrong", 3, 4).text) == 0);
    CHECK(link(part_path("wrong", 4, 4).text, part_path("wrong", 2, 4).text) == 0);
    REFUSE(part_path("wrong", 1, 4), INGOT_ERR_FORMAT, "says that it is file 4 of 4", "name says 2 of 4");
    CHECK(rename(part_path("wrong", 1, 4).text, temp_join(&dir, "first.gguf").text) == 0);
    REFUSE(temp_join(&dir, "first.gguf"), INGOT_ERR_INVALID, "first of a split of 4 files",
           "-00001-of-00004");
    CHECK(rename(temp_join(&dir, "first.gguf").text, part_path("wrong", 1, 5).text) == 0);
    REFUSE(part_path("wrong", 1, 5), INGOT_ERR_INVALID, "first of a split of 4 files", "-00001-of-00004");
}

// The metadata of a split's file, with one tensor of one weight.
static void build_part(uint16_t number, uint16_t count, int32_t total, const char *tensor) {
    put_header(&b, 3, 1, total >= 0 ? 3 : 2);
    put_kv(&b, "split.no", INGOT_GGUF_U16, &number, 2);
    put_kv(&b, "split.count", INGOT_GGUF_U16, &count, 2);
    if (total >= 0)
        put_kv(&b, "split.tensors.count", INGOT_GGUF_I32, &total, 4);
    put_tensor(&b, tensor, 1, (uint64_t[]){1}, 0, 0);
    put_padding(&b, 32);
    put_fill(&b, 0, 4);
}

static temp_path write_part(const char *stem, int number, int count) {
    temp_path path = part_path(stem, number, count);
    return temp_write(&dir, path.text + strlen(dir.path) + 1, b.data, b.size);
}

static void test_contradictions(void) {
    build_part(0, 2, 2, "a");
    temp_path first = write_part("two", 1, 2);
    build_part(1, 2, 2, "a");
    write_part("two", 2, 2);
    REFUSE(first, INGOT_ERR_FORMAT, "tensor 'a' appears twice", "two-00001");
    build_part(1, 3, 2, "b");
    write_part("two", 2, 2);
    REFUSE(first, INGOT_ERR_FORMAT, "file 2 of 3", "says 2 of 2");
    build_part(1, 2, 2, "b");
    write_part("two", 2, 2);
    ingot_gguf *g = NULL;
    CHECK(gguf_open(NULL, first.text, NULL, NULL, NULL, &g, NULL) == INGOT_OK);
    CHECK(ingot_gguf_tensor_count(g) == 2 && ingot_gguf_find_tensor(g, "b")->split == 1);
    ingot_gguf_close(g);
    build_part(0, 2, 3, "a");
    write_part("two", 1, 2);
    REFUSE(first, INGOT_ERR_FORMAT, "split.tensors.count is 3", "hold 2 tensors");
    build_part(0, 2, -1, "a"); // the count may be missing
    write_part("two", 1, 2);
    CHECK(gguf_open(NULL, first.text, NULL, NULL, NULL, &g, NULL) == INGOT_OK);
    ingot_gguf_close(g);
    build_part(5, 2, 2, "a");
    write_part("two", 1, 2);
    REFUSE(first, INGOT_ERR_FORMAT, "'split.no' is 5", "0 to 1");
    build_part(0, 60000, 2, "a");
    write_part("two", 1, 2);
    REFUSE(first, INGOT_ERR_FORMAT, "'split.count' is 60000", "0 to 1024");
    build_part(0, 0, 1, "a"); // "not split"
    write_part("two", 1, 2);
    CHECK(gguf_open(NULL, first.text, NULL, NULL, NULL, &g, NULL) == INGOT_OK);
    CHECK(ingot_gguf_split_count(g) == 1);
    ingot_gguf_close(g);
    ingot_error err;
    build_part(0, 2, 2, "a");
    CHECK(try_open(&b, NULL, &err) == INGOT_ERR_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "file 1 of 2");
}

static void test_too_many_files(void) {
    ingot_gguf_writer *w = NULL;
    ingot_error err;
    temp_path path = temp_join(&dir, "many");
    CHECK(gguf_writer_new(NULL, path.text, &(ingot_gguf_writer_params){.max_split_bytes = 1}, &w, NULL) ==
          INGOT_OK);
    char name[16];
    for (int i = 0; i < 1025; i++) {
        snprintf(name, sizeof name, "t%d", i);
        CHECK(ingot_gguf_writer_tensor(w, name, 0, 1, (uint64_t[]){1}, NULL) == INGOT_OK);
    }
    CHECK(ingot_gguf_writer_data(w, "\0\0\0", 4, &err) == INGOT_ERR_LIMIT);
    CHECK_CONTAINS(err.message, "1025 files");
    ingot_gguf_writer_abort(w);
}

static void test_failing_allocations(void) {
    write_split("memory", 400, 0);
    for (long n = 0;; n++) {
        failing_mem m;
        ingot_gguf *g = NULL;
        failing_mem_init(&m, n);
        ingot_status status =
            gguf_open(&m.allocator, part_path("memory", 1, 4).text, NULL, NULL, NULL, &g, NULL);
        ingot_gguf_close(g);
        if (!failing_mem_end(&m, status)) {
            CHECK(n > 20);
            break;
        }
    }
}

int main(void) {
    dir = temp_dir_make();
    test_round_trip();
    test_files_as_wanted();
    test_wrong_file();
    test_contradictions();
    test_too_many_files();
    test_failing_allocations();
    temp_dir_remove(&dir);
    return check_report();
}
