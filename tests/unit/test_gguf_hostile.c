// Files made to do harm: each trap that other readers fell into (named by its CVE where there is one), and
// each rule of the format. Every one must be an error that says what is wrong, and cost no memory to speak
// of.
#include "check.h"
#include "failing_mem.h"
#include "gguf_bytes.h"

static gguf_bytes b;

// An allocator that refuses to hold more than a small multiple of the file's size: a reader that believes a
// hostile count gets INGOT_ERR_MEMORY from it, which the checks below don't accept.
typedef struct bounded_mem {
    ingot_allocator allocator;
    size_t most;
} bounded_mem;

static void *bounded_resize(void *user, void *old, size_t size) {
    const bounded_mem *m = user;
    if (size == 0) {
        free(old);
        return NULL;
    }
    return size <= m->most ? realloc(old, size) : NULL;
}

// Opens `b`, which must be refused with `status` and a message that contains both parts.
static void refuse_line(int line, ingot_status status, const char *part, const char *part2) {
    bounded_mem m = {.most = 4 * b.size + 8192};
    m.allocator = (ingot_allocator){.user = &m, .resize = bounded_resize};
    ingot_error err;
    ingot_status got = try_open(&b, &m.allocator, &err);
    CHECK(got == status);
    CHECK_CONTAINS(err.message, "test.gguf");
    CHECK_CONTAINS(err.message, part);
    CHECK_CONTAINS(err.message, part2);
    if (got != status)
        fprintf(stderr, "  in line %d: status %d, '%s'\n", line, got, err.message);
}

#define REFUSE(status, part, part2) refuse_line(__LINE__, status, part, part2)

static void begin(uint64_t n_tensors, uint64_t n_keys) {
    put_header(&b, 3, n_tensors, n_keys);
}

static void put_one_tensor(uint32_t n_dims, const uint64_t *shape, uint32_t type, uint64_t offset) {
    begin(1, 0);
    put_tensor(&b, "weights", n_dims, shape, type, offset);
    put_padding(&b, 32);
    put_fill(&b, 0, 256);
}

static void test_magic_and_version(void) {
    b.size = 0;
    REFUSE(INGOT_ERR_FORMAT, "empty", "");
    put(&b, "GGU", 3);
    REFUSE(INGOT_ERR_FORMAT, "magic", "byte 0");
    b.size = 0;
    put(&b, "abcdefgh", 8);
    REFUSE(INGOT_ERR_FORMAT, "not a GGUF file", "61 62 63 64");
    b.size = 0;
    put(&b, "version https://git-lfs.github.com/spec/v1", 42);
    REFUSE(INGOT_ERR_FORMAT, "Git LFS pointer", "git lfs pull");
    b.size = 0;
    put(&b, "ggjt\1\0\0\0", 8);
    REFUSE(INGOT_ERR_FORMAT, "before GGUF", "");
    put_header(&b, 1, 0, 0);
    REFUSE(INGOT_ERR_UNSUPPORTED, "version 1, expected 2 to 3", "convert");
    put_header(&b, 4, 0, 0);
    REFUSE(INGOT_ERR_UNSUPPORTED, "version 4", "");
    put_header(&b, 0, 0, 0);
    REFUSE(INGOT_ERR_UNSUPPORTED, "version 0", "");
    put_header(&b, 0x03000000, 0, 0);
    REFUSE(INGOT_ERR_UNSUPPORTED, "big-endian", "");
}

// CVE-2024-21802, 21825, 21836, 23496, 23605: counts and lengths in the header that overflow when multiplied
// or added.
static void test_header_length_overflow(void) {
    static const uint64_t counts[] = {
        1, 2, 1000, 65536, 1u << 17, 1ull << 32, 1ull << 58, 1ull << 60, (uint64_t)INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        bool capped = counts[i] > 65536;
        begin(0, counts[i]);
        REFUSE(capped ? INGOT_ERR_LIMIT : INGOT_ERR_FORMAT, "keys", "byte");
        capped = counts[i] > 1 << 17;
        begin(counts[i], 0);
        REFUSE(capped ? INGOT_ERR_LIMIT : INGOT_ERR_FORMAT, "tensors", "byte");
    }
    static const uint64_t lengths[] = {2,         1ull << 31, 1ull << 32, UINT64_MAX - 31, UINT64_MAX - 7,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        begin(0, 1);
        put_u64(&b, lengths[i]);
        put(&b, "k", 1);
        put_fill(&b, 0, i == 0 ? 0 : 32);
        REFUSE(INGOT_ERR_FORMAT, "key", "");
        begin(0, 1);
        put_str(&b, "text");
        put_u32(&b, INGOT_GGUF_STRING);
        put_u64(&b, lengths[i]);
        put(&b, "x", 1);
        REFUSE(INGOT_ERR_FORMAT, "key 'text'", "the file ends after 1 more");
        begin(1, 0);
        put_u64(&b, lengths[i]);
        put_fill(&b, 0, i == 0 ? 1 : 40);
        REFUSE(INGOT_ERR_FORMAT, "tensor", "");
    }
}

// CVE-2025-0315 (unbounded allocation), CVE-2025-53630 and its bypass CVE-2026-27940 (sizes that overflow
// when multiplied or summed), CVE-2025-49847 and 2025-52566 (counts cut off to 32 bits or read as negative).
static void test_array_counts(void) {
    static const uint64_t counts[] = {1000,       1ull << 31,       (1ull << 32) + 1, 1ull << 58,
                                      1ull << 60, (1ull << 60) + 1, (1ull << 61) + 1, 1ull << 63,
                                      UINT64_MAX};
    for (uint32_t type = 0; type <= INGOT_GGUF_F64; type++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            begin(0, 1);
            put_kv_array(&b, "list", type, counts[i]);
            put_fill(&b, 0, 500);
            REFUSE(INGOT_ERR_FORMAT, "key 'list'", "items of type");
        }
    begin(0, 1); // 16 items fit by count, but the 3rd string doesn't
    put_kv_array(&b, "list", INGOT_GGUF_STRING, 3);
    put_str(&b, "one");
    put_str(&b, "two");
    put_u64(&b, UINT64_MAX);
    REFUSE(INGOT_ERR_FORMAT, "key 'list'", "a string takes 18446744073709551615 bytes");
}

static void test_nesting(void) {
    begin(0, 1);
    put_str(&b, "deep");
    put_u32(&b, INGOT_GGUF_ARRAY);
    for (int depth = 0; depth < 1000; depth++) {
        put_u32(&b, INGOT_GGUF_ARRAY);
        put_u64(&b, 1);
    }
    put_fill(&b, 0, 64);
    REFUSE(INGOT_ERR_LIMIT, "key 'deep'", "nested deeper than 4 levels");
    begin(0, 1); // a thousand siblings of which the last is cut off
    put_kv_array(&b, "wide", INGOT_GGUF_ARRAY, 1000);
    for (int i = 0; i < 999; i++) {
        put_u32(&b, INGOT_GGUF_U8);
        put_u64(&b, 0);
    }
    put_u32(&b, INGOT_GGUF_U8);
    put_u64(&b, 1);
    REFUSE(INGOT_ERR_FORMAT, "key 'wide'", "1 items of type u8");
}

// CVE-2024-12055: types read as indexes out of bounds.
static void test_types(void) {
    static const uint32_t bad[] = {13, 14, 255, 65536, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(0, 1);
        put_kv(&b, "k", bad[i], "\0\0\0\0\0\0\0\0", 8);
        REFUSE(INGOT_ERR_FORMAT, "key 'k'", "a value type is");
        begin(0, 1);
        put_kv_array(&b, "k", bad[i], 1);
        put_fill(&b, 0, 64);
        REFUSE(INGOT_ERR_FORMAT, "key 'k'", "an array's item type is");
    }
    static const uint32_t retired[] = {4,  5,  31,   32,         33,         36,        37,
                                       38, 43, 1000, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof retired / sizeof *retired; i++) {
        put_one_tensor(1, (uint64_t[]){256}, retired[i], 0);
        REFUSE(INGOT_ERR_UNSUPPORTED, "tensor 'weights'", "tensor type");
    }
    begin(0, 1);
    put_kv(&b, "flag", INGOT_GGUF_BOOL, "\2", 1);
    REFUSE(INGOT_ERR_FORMAT, "key 'flag'", "bool");
    begin(0, 1);
    put_kv_array(&b, "flags", INGOT_GGUF_BOOL, 3);
    put(&b, "\1\0\377", 3);
    REFUSE(INGOT_ERR_FORMAT, "key 'flags'", "bool");
}

// Alignments that divide by zero or overflow what they align.
static void test_alignment(void) {
    static const uint32_t bad[] = {0, 1, 2, 3, 4, 7, 12, 33, 1u << 21, 1u << 30, 1u << 31, 0xffffffff};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(0, 1);
        put_kv_u32(&b, "general.alignment", bad[i]);
        REFUSE(INGOT_ERR_FORMAT, "general.alignment is", "power of two");
    }
    begin(0, 1);
    put_kv_str(&b, "general.alignment", "32");
    REFUSE(INGOT_ERR_FORMAT, "general.alignment is of type string", "u32");
    begin(0, 1);
    put_kv(&b, "general.alignment", INGOT_GGUF_U64, &(uint64_t){32}, 8);
    REFUSE(INGOT_ERR_FORMAT, "general.alignment is of type u64", "u32");
    begin(0, 1);
    put_kv_array(&b, "general.alignment", INGOT_GGUF_U32, 0);
    REFUSE(INGOT_ERR_FORMAT, "general.alignment is of type array", "u32");
}

// CVE-2026-33298 (a tensor's size that overflows), CVE-2025-0317 and 2024-8063 (division by a zero that the
// file supplies), negative and absurd dimensions.
static void test_shapes(void) {
    static const uint64_t huge[][4] = {
        {1ull << 63, 1, 1, 1},
        {1ull << 32, 1ull << 32, 1, 1},
        {1ull << 62, 1ull << 1, 1, 1},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
        {1ull << 16, 1ull << 16, 1ull << 16, 1ull << 16},
        {INT64_MAX, 1, 1, 1},              // fits as a count, not in bytes
        {3074457345618258603ull, 6, 1, 1}, // 2 after wrapping
        {1ull << 61, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        put_one_tensor(4, huge[i], 0, 0);
        REFUSE(INGOT_ERR_FORMAT, "tensor 'weights'", "overflow");
    }
    for (uint32_t zero = 0; zero < 4; zero++) {
        uint64_t shape[4] = {32, 1, 1, 1};
        shape[zero] = 0;
        put_one_tensor(4, shape, 8, 0);
        REFUSE(INGOT_ERR_FORMAT, "tensor 'weights'", "is 0, expected at least 1");
    }
    static const uint32_t n_dims[] = {5, 255, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof n_dims / sizeof *n_dims; i++) {
        put_one_tensor(n_dims[i], (uint64_t[]){1, 1, 1, 1, 1, 1, 1, 1}, 0, 0);
        REFUSE(INGOT_ERR_FORMAT, "tensor 'weights'", "dimensions, expected at most 4");
    }
    put_one_tensor(1, (uint64_t[]){33}, 8, 0);
    REFUSE(INGOT_ERR_FORMAT, "33 weights aren't whole blocks of 32", "Q8_0");
    put_one_tensor(2, (uint64_t[]){128, 2}, 12, 0);
    REFUSE(INGOT_ERR_FORMAT, "128 weights aren't whole blocks of 256", "Q4_K");
    put_one_tensor(0, NULL, 8, 0);
    REFUSE(INGOT_ERR_FORMAT, "1 weights aren't whole blocks of 32", "");
}

// CVE-2026-7482: tensors whose extent leaves the file, and those that leave their place in it.
static void test_extents(void) {
    put_one_tensor(1, (uint64_t[]){64}, 0, 0); // 256 bytes: the whole data
    ingot_error err;
    CHECK(try_open(&b, NULL, &err) == INGOT_OK);
    b.size--;
    REFUSE(INGOT_ERR_FORMAT, "tensor 'weights'", "cut off");
    put_one_tensor(1, (uint64_t[]){65}, 0, 0);
    REFUSE(INGOT_ERR_FORMAT, "tensor 'weights'", "its 260 bytes");
    put_one_tensor(1, (uint64_t[]){1ull << 60}, 0, 0);
    REFUSE(INGOT_ERR_FORMAT, "tensor 'weights'", "cut off");
    static const uint64_t offsets[] = {1, 32, 256, 1ull << 40, UINT64_MAX - 31, UINT64_MAX};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        put_one_tensor(1, (uint64_t[]){8}, 0, offsets[i]);
        REFUSE(INGOT_ERR_FORMAT, "tensor 'weights'", "expected 0 (after");
    }
    begin(2, 0); // two in the same place
    put_tensor(&b, "a", 1, (uint64_t[]){8}, 0, 0);
    put_tensor(&b, "b", 1, (uint64_t[]){8}, 0, 0);
    put_padding(&b, 32);
    put_fill(&b, 0, 256);
    REFUSE(INGOT_ERR_FORMAT, "tensor 'b'", "has offset 0, expected 32");
    begin(3, 0); // sizes that sum up to 2^64 and a bit
    put_tensor(&b, "a", 1, (uint64_t[]){INT64_MAX - 31}, 24, 0);
    put_tensor(&b, "b", 1, (uint64_t[]){INT64_MAX - 31}, 24, INT64_MAX - 31);
    put_tensor(&b, "c", 1, (uint64_t[]){128}, 24, 2 * (uint64_t)(INT64_MAX - 31));
    put_padding(&b, 32);
    put_fill(&b, 0, 256);
    REFUSE(INGOT_ERR_FORMAT, "test.gguf", "");
    begin(1, 0); // the directory ends where the file does
    put_tensor(&b, "a", 1, (uint64_t[]){1}, 24, 0);
    REFUSE(INGOT_ERR_FORMAT, "tensor 'a'", "cut off");
}

static void test_names(void) {
    begin(0, 2);
    put_kv_u32(&b, "same", 1);
    put_kv_u32(&b, "same", 2);
    REFUSE(INGOT_ERR_FORMAT, "key 'same' appears twice", "");
    begin(2, 0);
    put_tensor(&b, "same", 1, (uint64_t[]){8}, 0, 0);
    put_tensor(&b, "same", 1, (uint64_t[]){8}, 0, 32);
    put_padding(&b, 32);
    put_fill(&b, 0, 64);
    REFUSE(INGOT_ERR_FORMAT, "tensor 'same' appears twice", "");
    static const char *const bad[] = {"", "a\xff", "\xc0\x80", "half\xe2\x82"};
    static const char *const why[] = {"is empty", "isn't UTF-8", "isn't UTF-8", "isn't UTF-8"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(0, 1);
        put_kv_u32(&b, bad[i], 1);
        put_fill(&b, 0, 8);
        REFUSE(INGOT_ERR_FORMAT, "key 0: ", why[i]);
        begin(1, 0);
        put_tensor(&b, bad[i], 1, (uint64_t[]){8}, 0, 0);
        put_fill(&b, 0, 64);
        REFUSE(INGOT_ERR_FORMAT, "tensor 0: ", why[i]);
    }
    begin(0, 1);
    put_u64(&b, 3);
    put(&b, "a\0b", 3);
    put_fill(&b, 0, 64);
    REFUSE(INGOT_ERR_FORMAT, "key 0: ", "NUL");
    begin(1, 0);
    put_u64(&b, 256);
    put_fill(&b, 'n', 256);
    put_fill(&b, 0, 64);
    REFUSE(INGOT_ERR_FORMAT, "tensor 0: ", "is too long");
}

// A key as long as the format allows, and one byte more. Messages show the beginning of long names only.
static void test_long_key(void) {
    enum { MOST = 65535 };
    size_t size = 24 + 8 + MOST + 1 + 4 + 1;
    for (uint64_t length = MOST; length <= MOST + 1; length++) {
        begin(0, 1);
        put_u64(&b, length);
        uint8_t *image = calloc(1, size + 64);
        uint8_t *aligned = image + (64 - (uintptr_t)image % 64) % 64;
        memcpy(aligned, b.data, b.size);
        memset(aligned + b.size, 'k', length); // then type u8 and the value 0
        ingot_gguf *g = NULL;
        ingot_error err = {0};
        ingot_status status = gguf_open_memory(NULL, aligned, size, "test.gguf", &g, &err);
        CHECK(status == (length == MOST ? INGOT_OK : INGOT_ERR_FORMAT));
        if (length > MOST)
            CHECK_CONTAINS(err.message, "its name of 65536 bytes is too long");
        ingot_gguf_close(g);
        free(image);
    }
    char key[1001] = "";
    memset(key, 'k', 1000);
    begin(0, 1);
    put_kv(&b, key, 99, "", 0);
    put_fill(&b, 0, 8);
    REFUSE(INGOT_ERR_FORMAT, "kkk': byte ", "a value type is 99");
}

// CVE-2025-0312 (null dereference): what is missing or empty isn't a pointer to follow.
static void test_missing(void) {
    begin(0, 2);
    put_kv_array(&b, "tokenizer.ggml.tokens", INGOT_GGUF_STRING, 0);
    put_kv_array(&b, "tokenizer.ggml.scores", INGOT_GGUF_ARRAY, 0);
    void *image = image_new(b.data, b.size);
    ingot_gguf *g = NULL;
    ingot_error err;
    CHECK(gguf_open_memory(NULL, image, b.size, "test.gguf", &g, &err) == INGOT_OK);
    CHECK(!ingot_gguf_find(g, "general.architecture") && !ingot_gguf_find_tensor(g, "token_embd.weight"));
    const ingot_gguf_value *v = NULL;
    CHECK(gguf_get_array(g, "tokenizer.ggml.tokens", true, INGOT_GGUF_STRING, &v, &err) == INGOT_OK);
    CHECK(v && v->count == 0 && v->data);
    CHECK(gguf_get_array(g, "tokenizer.ggml.scores", true, INGOT_GGUF_F32, &v, &err) == INGOT_ERR_FORMAT);
    uint32_t n = 3;
    CHECK(gguf_get_u32_per_layer(g, "tokenizer.ggml.tokens", true, 0, 9, 0, &n, &err) == INGOT_OK);
    CHECK(n == 3);
    ingot_gguf_close(g);
    ingot_gguf_close(NULL);
    free(image);
}

// Wrong array types: a value of a type that isn't the one asked for is never reinterpreted. Division by zero
// (CVE-2024-8063): a number that must not be 0 is refused by its range.
static void test_wrong_types(void) {
    begin(0, 5);
    put_kv_array(&b, "tokens", INGOT_GGUF_F32, 2);
    put_fill(&b, 0, 8);
    put_kv_array(&b, "scores", INGOT_GGUF_STRING, 1);
    put_str(&b, "1.0");
    put_kv_u32(&b, "block_count", 0);
    put_kv(&b, "head_count", INGOT_GGUF_I64, &(int64_t){(1ll << 32) + 8}, 8); // 8 when cut off to 32 bits
    put_kv_array(&b, "kv", INGOT_GGUF_I32, 2);
    put(&b, (int32_t[]){4, -1}, 8);
    void *image = image_new(b.data, b.size);
    ingot_gguf *g = NULL;
    ingot_error err;
    CHECK(gguf_open_memory(NULL, image, b.size, "test.gguf", &g, &err) == INGOT_OK);
    const ingot_gguf_value *v = NULL;
    uint32_t n[2];
    CHECK(gguf_get_array(g, "tokens", true, INGOT_GGUF_STRING, &v, &err) == INGOT_ERR_FORMAT);
    CHECK(gguf_get_array(g, "scores", true, INGOT_GGUF_F32, &v, &err) == INGOT_ERR_FORMAT);
    CHECK(!v);
    CHECK(gguf_get_u32(g, "block_count", true, 1, 512, n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "is 0, expected 1 to 512");
    CHECK(gguf_get_u32(g, "head_count", true, 1, 512, n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "is 4294967304, expected 1 to 512");
    CHECK(gguf_get_u32_per_layer(g, "kv", true, 0, 512, 2, n, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "(item 1) is -1, expected 0 to 512");
    ingot_gguf_close(g);
    free(image);
}

// CVE-2024-32878: memory that a broken file left uninitialised must not be freed. Every failure halfway, with
// every allocation failing, must free what there is and nothing else.
static void test_failure_halfway(void) {
    begin(1, 3);
    put_kv_array(&b, "strings", INGOT_GGUF_STRING, 2);
    put_str(&b, "one");
    put_str(&b, "two");
    put_kv_array(&b, "nested", INGOT_GGUF_ARRAY, 2);
    put_u32(&b, INGOT_GGUF_U32);
    put_u64(&b, 1);
    put_u32(&b, 1);
    put_u32(&b, 77); // no such type
    put_fill(&b, 0, 100);
    long n = 0;
    for (failing_mem m;; n++) {
        ingot_error err;
        failing_mem_init(&m, n);
        ingot_status status = try_open(&b, &m.allocator, &err);
        CHECK(failing_mem_live(&m) == 0);
        CHECK(status == (failing_mem_failed(&m) ? INGOT_ERR_MEMORY : INGOT_ERR_FORMAT));
        if (!failing_mem_failed(&m))
            break;
    }
    CHECK(n >= 3);
}

int main(void) {
    test_magic_and_version();
    test_header_length_overflow();
    test_array_counts();
    test_nesting();
    test_types();
    test_alignment();
    test_shapes();
    test_extents();
    test_names();
    test_long_key();
    test_missing();
    test_wrong_types();
    test_failure_halfway();
    return check_report();
}
