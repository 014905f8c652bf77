// base/: messages, checked arithmetic, UTF-8, memory, log, threads.
#include <math.h>
#include <stdint.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "check.h"
#include "failing_mem.h"

static void test_fail(void) {
    ingot_error err = {0};
    CHECK(fail(&err, INGOT_ERR_FORMAT, "key %s at byte %d", "a.b", 7) == INGOT_ERR_FORMAT);
    CHECK(err.status == INGOT_ERR_FORMAT);
    CHECK(strcmp(err.message, "key a.b at byte 7") == 0);
    CHECK(fail(NULL, INGOT_ERR_IO, "nobody listens") == INGOT_ERR_IO);
    CHECK(fail_prefix(NULL, INGOT_ERR_IO, "nobody listens") == INGOT_ERR_IO);
    CHECK(fail_prefix(&err, INGOT_ERR_IO, "file %d", 3) == INGOT_ERR_IO);
    CHECK(strcmp(err.message, "file 3: key a.b at byte 7") == 0);
    CHECK(err.status == INGOT_ERR_IO);
}

static void test_fail_hostile_names(void) {
    ingot_error err;
    fail(&err, INGOT_ERR_FORMAT, "%s", "a\nb\x1b[0m\x7f\xc2\x85z");
    CHECK(strcmp(err.message, "a?b?[0m??z") == 0);
    fail(&err, INGOT_ERR_FORMAT, "%s", "\xff\xc0\xaf \xe2\x82\xac \xed\xa0\x80.");
    CHECK(strcmp(err.message, "??? \xe2\x82\xac ???.") == 0);
}

static void test_fail_cut_off(void) {
    ingot_error err;
    char name[3000];
    for (size_t i = 0; i + 3 < sizeof name; i += 3)
        memcpy(name + i, "\xe2\x82\xac", 4);
    for (int pad = 0; pad < 3; pad++) {
        fail(&err, INGOT_ERR_FORMAT, "%.*s%s", pad, "xxx", name);
        size_t n = strlen(err.message);
        CHECK(n < sizeof err.message && n >= sizeof err.message - 4);
        CHECK((n - (size_t)pad) % 3 == 0);
        fail_prefix(&err, INGOT_ERR_FORMAT, "%.*s%s", pad, "xxx", name);
        CHECK((strlen(err.message) - (size_t)pad) % 3 == 0);
        fail(&err, INGOT_ERR_FORMAT, "%s", name);
        fail_prefix(&err, INGOT_ERR_FORMAT, "%.*s", pad, "xxx");
        n = strlen(err.message);
        CHECK(n < sizeof err.message && (n - 2 - (size_t)pad) % 3 == 0);
    }
}

static void test_checked(void) {
    uint64_t r = 1;
    size_t size = 1;
    CHECK(checked_add(UINT64_MAX - 1, 1, &r) && r == UINT64_MAX);
    CHECK(!checked_add(UINT64_MAX, 1, &r));
    CHECK(checked_mul(UINT64_C(1) << 32, UINT32_MAX, &r) && r == UINT64_C(0xffffffff00000000));
    CHECK(!checked_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &r));
    CHECK(checked_mul(UINT64_MAX, 0, &r) && r == 0);
    CHECK(checked_align(0, 32, &r) && r == 0);
    CHECK(checked_align(33, 32, &r) && r == 64);
    CHECK(checked_align(64, 32, &r) && r == 64);
    CHECK(!checked_align(UINT64_MAX, 32, &r));
    CHECK(checked_size(12, &size) && size == 12);
    CHECK(!checked_size(UINT64_MAX, &size));
}

// Every code point there is, both ways.
static void test_utf8_round_trip(void) {
    uint32_t wrong = 0;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char text[4];
        int n, size = utf8_encode(cp, text);
        uint32_t back = utf8_decode(text, (size_t)size, &n);
        bool surrogate = cp >= 0xd800 && cp <= 0xdfff;
        wrong += surrogate ? back != 0xfffd || n != 1 : back != cp || n != size;
        for (int cut = 1; cut < size && !surrogate; cut++) {
            wrong += utf8_decode(text, (size_t)cut, &n) != 0xfffd || n != 1;
            wrong += utf8_complete_prefix(text, (size_t)cut) != 0;
        }
        wrong += !surrogate && utf8_complete_prefix(text, (size_t)size) != (size_t)size;
    }
    CHECK(wrong == 0);
}

static void test_utf8_invalid(void) {
    static const char *const bad[] = {"\x80",         "\xbf",         "\xc0\x80",         "\xc1\xbf",
                                      "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80",     "\xf0\x80\x80\x80",
                                      "\xfe",         "\xff",         "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                                      "\xf5\x80",     "\xe2\x82x",    "\xe2(\xa1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int n = 0;
        CHECK(utf8_decode(bad[i], strlen(bad[i]), &n) == 0xfffd && n == 1);
        CHECK(utf8_complete_prefix(bad[i], strlen(bad[i])) == strlen(bad[i]));
    }
    CHECK(utf8_complete_prefix("", 0) == 0);
    CHECK(utf8_complete_prefix("ab\xf0\x9f\x98", 5) == 2);
    CHECK(utf8_complete_prefix("ab\xf0\x9f", 4) == 2);
    CHECK(utf8_complete_prefix("ab\xf0", 3) == 2);
    CHECK(utf8_complete_prefix("ab\xe0\x80", 4) == 4); // can't become valid any more
    CHECK(utf8_complete_prefix("\x80\x80\x80\x80", 4) == 4);
}

static void test_mem(void) {
    failing_mem m;
    failing_mem_init(&m, -1);
    uint8_t *block = mem_alloc(&m.allocator, 100, 3);
    uint32_t sum = 0;
    for (int i = 0; i < 300; i++)
        sum += block[i];
    CHECK(sum == 0);
    block[0] = 9;
    block = mem_resize(&m.allocator, block, 1000, 3);
    CHECK(block && block[0] == 9);
    CHECK(!mem_resize(&m.allocator, block, SIZE_MAX, 2));
    CHECK(block[0] == 9);
    CHECK(!mem_alloc(&m.allocator, SIZE_MAX / 2, 3));
    void *empty = mem_alloc(&m.allocator, 0, 8), *other = mem_alloc(&m.allocator, 0, 8);
    CHECK(empty && other && empty != other);
    mem_free(&m.allocator, empty);
    mem_free(&m.allocator, other);
    mem_free(&m.allocator, block);
    mem_free(&m.allocator, NULL);
    CHECK(failing_mem_live(&m) == 0);
    failing_mem_init(&m, 0);
    CHECK(!mem_alloc(&m.allocator, 1, 1));
    void *libc = mem_alloc(NULL, 1, 16);
    CHECK(libc);
    mem_free(NULL, libc);
    ingot_error err;
    CHECK(fail_memory(&err, 4096, "the table") == INGOT_ERR_MEMORY);
    CHECK(strcmp(err.message, "cannot allocate 4096 bytes for the table") == 0);
}

static void test_mem_reserve(void) {
    failing_mem m;
    failing_mem_init(&m, -1);
    uint32_t *items = NULL;
    size_t capacity = 0;
    CHECK(!mem_reserve(&m.allocator, &items, &capacity, SIZE_MAX / 2, sizeof *items) && !items);
    CHECK(capacity == 0 && mem_reserve(&m.allocator, &items, &capacity, 0, sizeof *items) && items);
    size_t grown = 0;
    for (size_t n = 0; n < 1000; n++) {
        size_t before = capacity;
        CHECK(mem_reserve(&m.allocator, &items, &capacity, n + 1, sizeof *items) && capacity > n);
        grown += capacity > before;
        items[n] = (uint32_t)n;
    }
    CHECK(grown > 0 && grown < 10); // by a share of what there is
    CHECK(mem_reserve(&m.allocator, &items, &capacity, 12345, sizeof *items) && capacity == 12345);
    uint32_t *before = items;
    CHECK(mem_reserve(&m.allocator, &items, &capacity, 12345, sizeof *items) && items == before);
    CHECK(!mem_reserve(&m.allocator, &items, &capacity, SIZE_MAX, sizeof *items));
    CHECK(!mem_reserve(&m.allocator, &items, &capacity, SIZE_MAX / sizeof *items, sizeof *items));
    m.fail_at = atomic_load(&m.calls);
    CHECK(!mem_reserve(&m.allocator, &items, &capacity, 12346, sizeof *items));
    CHECK(items == before && capacity == 12345);
    for (uint32_t n = 0; n < 1000; n++)
        CHECK(items[n] == n);
    mem_free(&m.allocator, items);
    CHECK(failing_mem_live(&m) == 0);
}

typedef struct heard {
    int count;
    ingot_log_level level;
    char line[64];
} heard;

static void listen(void *user, ingot_log_level level, const char *line) {
    heard *h = user;
    h->count++;
    h->level = level;
    snprintf(h->line, sizeof h->line, "%s", line);
}

static void test_log(void) {
    heard h = {0};
    log_sink sink = {.fn = listen, .user = &h};
    log_line(&sink, INGOT_LOG_WARN, "%d of %d", 1, 2);
    CHECK(h.count == 1 && h.level == INGOT_LOG_WARN && strcmp(h.line, "1 of 2") == 0);
    sink.fn = NULL;
    log_line(&sink, INGOT_LOG_WARN, "nobody");
    log_line(NULL, INGOT_LOG_WARN, "nobody");
    CHECK(h.count == 1);
}

typedef struct meeting {
    mutex lock;
    condition change;
    int arrived;
} meeting;

static void arrive(void *arg) {
    meeting *m = arg;
    mutex_lock(&m->lock);
    m->arrived++;
    condition_wake_all(&m->change);
    mutex_unlock(&m->lock);
}

static void test_threads(void) {
    meeting m = {.arrived = 0};
    ingot_error err;
    CHECK(mutex_init(&m.lock, &err) == INGOT_OK && condition_init(&m.change, &err) == INGOT_OK);
    double start = clock_seconds();
    mutex_lock(&m.lock);
    CHECK(!condition_wait_until(&m.change, &m.lock, start - 1)); // over before it began
    while (condition_wait_until(&m.change, &m.lock, start + 0.03)) {
    }
    CHECK(clock_seconds() >= start + 0.03);
    mutex_unlock(&m.lock);
    thread threads[8];
    for (int i = 0; i < 8; i++)
        CHECK(thread_start(&threads[i], arrive, &m, "a name that is too long for it", &err) == INGOT_OK);
    mutex_lock(&m.lock);
    bool in_time = true;
    while (m.arrived < 8 && in_time)
        in_time = condition_wait_until(&m.change, &m.lock, INFINITY);
    mutex_unlock(&m.lock);
    CHECK(m.arrived == 8);
    for (int i = 0; i < 8; i++)
        thread_join(threads[i]);
    condition_free(&m.change);
    mutex_free(&m.lock);
    CHECK(process_id() > 0);
    CHECK(!thread_bind(-1));
}

static void test_vm(void) {
    const uint64_t size = UINT64_C(1) << 32;
    uint8_t *block = vm_reserve(size); // far more than is touched
    CHECK(block);
    if (block) {
        CHECK(block[0] == 0 && block[size - 1] == 0);
        block[size / 2] = 1;
        CHECK(block[size / 2] == 1);
    }
    vm_release(block, size);
    CHECK(!vm_reserve(0));
    CHECK(!vm_reserve(UINT64_MAX));
    vm_release(NULL, 0);
}

int main(void) {
    test_fail();
    test_fail_hostile_names();
    test_fail_cut_off();
    test_checked();
    test_utf8_round_trip();
    test_utf8_invalid();
    test_mem();
    test_mem_reserve();
    test_log();
    test_threads();
    test_vm();
    return check_report();
}
