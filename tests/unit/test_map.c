// File maps: what is there, what isn't, and what is cut off under our feet.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "base/thread.h"
#include "check.h"
#include "failing_mem.h"
#include "temp.h"

enum { SIZE = 1 << 20 };

static temp_path make_file(const temp_dir *dir, const char *name, size_t size) {
    uint8_t *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(1 + i % 251);
    temp_path path = temp_write(dir, name, data, size);
    free(data);
    return path;
}

static bool right(const file_map *map, uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; i++)
        if (map->data[i] != 1 + i % 251)
            return false;
    return true;
}

static bool zeros(const file_map *map, uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; i++)
        if (map->data[i] != 0)
            return false;
    return true;
}

static ingot_status open_map(temp_path path, bool no_map, file_map *map, ingot_error *err) {
    return file_map_open(path.text, no_map, false, NULL, NULL, NULL, map, err);
}

static void test_open(const temp_dir *dir, bool no_map) {
    static const size_t sizes[] = {1, 63, 4096, 4097, SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        temp_path path = make_file(dir, "a", sizes[i]);
        file_map map;
        CHECK(open_map(path, no_map, &map, NULL) == INGOT_OK);
        CHECK(map.size == sizes[i] && map.mapped == !no_map && right(&map, 0, map.size));
        CHECK((uintptr_t)map.data % 64 == 0);
        CHECK(file_map_intact(&map));
        file_map_close(&map, NULL);
        CHECK(!map.data && map.size == 0);
        file_map_close(&map, NULL);
    }
}

static void check_refused(temp_path path, ingot_status status, const char *message) {
    for (int no_map = 0; no_map < 2; no_map++) {
        file_map map;
        ingot_error err;
        CHECK(open_map(path, no_map, &map, &err) == status);
        CHECK_CONTAINS(err.message, path.text);
        CHECK_CONTAINS(err.message, message);
        CHECK(!map.data);
        file_map_close(&map, NULL);
    }
}

static void test_refused(const temp_dir *dir) {
    check_refused(temp_join(dir, "missing"), INGOT_ERR_IO, "No such file or directory");
    check_refused(temp_join(dir, "."), INGOT_ERR_IO, "is a directory");
    check_refused(temp_text(dir, "empty", ""), INGOT_ERR_FORMAT, "is empty");
    temp_path fifo = temp_join(dir, "fifo");
    CHECK(mkfifo(fifo.text, 0600) == 0);
    check_refused(fifo, INGOT_ERR_IO, "is not a regular file");
}

// A file that gets shorter: what lay past the new end reads as zeros.
static void test_cut_off(const temp_dir *dir) {
    temp_path path = make_file(dir, "cut", SIZE), other = make_file(dir, "other", SIZE);
    file_map map, whole;
    CHECK(open_map(path, false, &map, NULL) == INGOT_OK && open_map(other, false, &whole, NULL) == INGOT_OK);
    CHECK(file_map_intact(&map) && right(&map, 0, SIZE));
    const size_t end = SIZE / 2;
    CHECK(truncate(path.text, (off_t)end) == 0);
    CHECK(!file_map_intact(&map)); // seen before any access
    CHECK(right(&map, 0, end));
    CHECK(zeros(&map, end, SIZE));
    CHECK(truncate(path.text, SIZE) == 0);
    CHECK(!file_map_intact(&map)); // the mark stays: the bytes are gone
    CHECK(file_map_intact(&whole) && right(&whole, 0, SIZE));
    file_map_close(&map, NULL);
    file_map_close(&whole, NULL);
    file_map again; // a slot that was broken serves again
    path = make_file(dir, "cut", SIZE);
    CHECK(open_map(path, false, &again, NULL) == INGOT_OK && file_map_intact(&again));
    file_map_close(&again, NULL);
}

typedef struct reader {
    const file_map *map;
    bool zeros;
} reader;

static void read_tail(void *arg) {
    reader *r = arg;
    r->zeros = zeros(r->map, SIZE / 2, SIZE);
}

// A fault in a thread of ours, which has signals blocked, and in several threads at once.
static void test_cut_off_in_threads(const temp_dir *dir) {
    temp_path path = make_file(dir, "threads", SIZE);
    file_map map;
    CHECK(open_map(path, false, &map, NULL) == INGOT_OK);
    CHECK(truncate(path.text, 0) == 0);
    reader readers[4];
    thread threads[4];
    for (int i = 0; i < 4; i++) {
        readers[i] = (reader){.map = &map};
        CHECK(thread_start(&threads[i], read_tail, &readers[i], "reader", NULL) == INGOT_OK);
    }
    for (int i = 0; i < 4; i++) {
        thread_join(threads[i]);
        CHECK(readers[i].zeros);
    }
    CHECK(!file_map_intact(&map));
    file_map_close(&map, NULL);
}

// A map that isn't ours, cut off: a byte of it can't be read.
static const volatile char *foreign_page(const temp_dir *dir) {
    temp_path path = make_file(dir, "foreign", SIZE);
    int fd = open(path.text, O_RDONLY);
    const volatile char *data = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return data != MAP_FAILED && truncate(path.text, 0) == 0 ? data + SIZE / 2 : NULL;
}

static void leave_42(int number) {
    (void)number;
    _exit(42);
}

// Runs `what` in a child with one of our maps open; its wait status. `before` is the host's own handler,
// `after` one that the host installs later.
typedef enum deed { TOUCH_FOREIGN, SEND_SIGNAL, TOUCH_OURS, SEND_THEN_TOUCH_OURS } deed;

static int child(const temp_dir *dir, void (*before)(int), void (*after)(int), deed what) {
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGBUS, before);
        alarm(20); // a loop of handlers would never end
        file_map map, second;
        temp_path path = make_file(dir, "child", SIZE);
        if (open_map(path, false, &map, NULL) != INGOT_OK)
            _exit(1);
        if (after != SIG_DFL) {
            signal(SIGBUS, after);
            if (open_map(path, false, &second, NULL) != INGOT_OK) // puts ours in front again
                _exit(1);
        }
        if (what == TOUCH_FOREIGN)
            _exit(*foreign_page(dir));
        if (what == SEND_SIGNAL || what == SEND_THEN_TOUCH_OURS)
            raise(SIGBUS);
        if (what == TOUCH_OURS || what == SEND_THEN_TOUCH_OURS)
            _exit(truncate(path.text, 0) == 0 && zeros(&map, 0, SIZE) && !file_map_intact(&map) ? 7 : 1);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

// A file that was overwritten in place has its old size, but not its old time.
static void test_rewritten(const temp_dir *dir) {
    file_map map;
    temp_path path = make_file(dir, "rewritten", SIZE);
    CHECK(open_map(path, false, &map, NULL) == INGOT_OK);
    CHECK(file_map_intact(&map));
    struct timespec pause = {0, 20000000}; // more than a tick of the file system's clock
    nanosleep(&pause, NULL);
    make_file(dir, "rewritten", SIZE);
    CHECK(!file_map_intact(&map));
    file_map_close(&map, NULL);
}

static void test_other_faults(const temp_dir *dir) {
    int status = child(dir, SIG_IGN, SIG_DFL, SEND_THEN_TOUCH_OURS);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = child(dir, SIG_DFL, SIG_DFL, TOUCH_FOREIGN);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = child(dir, SIG_DFL, SIG_DFL, SEND_SIGNAL);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = child(dir, leave_42, SIG_DFL, TOUCH_FOREIGN);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    status = child(dir, leave_42, SIG_DFL, SEND_SIGNAL);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    status = child(dir, SIG_DFL, leave_42, TOUCH_FOREIGN);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    status = child(dir, leave_42, leave_42, TOUCH_OURS);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

typedef struct watcher {
    int calls;
    int stop_at; // the call that cancels, counted from 1; 0: none
    double last;
    bool falls;
} watcher;

static bool watch(void *user, double done) {
    watcher *w = user;
    w->falls = w->falls || done < w->last || done > 1;
    w->last = done;
    return ++w->calls != w->stop_at;
}

static void test_progress(const temp_dir *dir) {
    temp_path path = make_file(dir, "large", 40 << 20); // a few pieces
    watcher w = {0};
    file_map map;
    ingot_error err;
    CHECK(file_map_open(path.text, true, false, NULL, watch, &w, &map, NULL) == INGOT_OK);
    CHECK(w.calls >= 2 && w.last == 1 && !w.falls && right(&map, 0, map.size));
    file_map_close(&map, NULL);
    failing_mem m;
    failing_mem_init(&m, -1);
    w = (watcher){.stop_at = 2};
    CHECK(file_map_open(path.text, true, false, &m.allocator, watch, &w, &map, &err) == INGOT_ERR_CANCELLED);
    CHECK_CONTAINS(err.message, path.text);
    CHECK(w.calls == 2 && !map.data && failing_mem_live(&m) == 0);
    failing_mem_init(&m, 0);
    CHECK(file_map_open(path.text, true, false, &m.allocator, NULL, NULL, &map, &err) == INGOT_ERR_MEMORY);
    CHECK(failing_mem_live(&m) == 0);
}

// Cuts the file down between two pieces.
static bool cut_meanwhile(void *user, double done) {
    (void)done;
    return truncate(user, 17 << 20) == 0;
}

static void test_cut_while_read(const temp_dir *dir) {
    temp_path path = make_file(dir, "shrinks", 40 << 20);
    file_map map;
    ingot_error err;
    CHECK(file_map_open(path.text, true, false, NULL, cut_meanwhile, path.text, &map, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "it ended at byte 17825792 of 41943040");
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MLOCK_WORKS = 0 }; // sanitizers replace it by nothing
#elif defined(__has_feature)
enum { MLOCK_WORKS = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer) };
#else
enum { MLOCK_WORKS = 1 };
#endif

// As somebody who may not lock more than a page.
static void test_lock_refused(const temp_dir *dir) {
    make_file(dir, "locked", 64 << 10);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit little = {4096, 4096};
        file_map map;
        ingot_error err = {0};
        if (chdir(dir->path) != 0 || setrlimit(RLIMIT_MEMLOCK, &little) != 0 ||
            (getuid() == 0 && setuid(65534) != 0))
            _exit(1);
        ingot_status status = file_map_open("locked", false, true, NULL, NULL, NULL, &map, &err);
        if (!MLOCK_WORKS)
            _exit(status == INGOT_OK ? 9 : 1);
        _exit(status == INGOT_ERR_LIMIT && strstr(err.message, "RLIMIT_MEMLOCK is 4096 bytes") ? 9 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static void test_lock(const temp_dir *dir) {
    temp_path path = make_file(dir, "locked", 64 << 10);
    for (int no_map = 0; no_map < 2; no_map++) {
        file_map map;
        ingot_error err = {0};
        ingot_status status = file_map_open(path.text, no_map, true, NULL, NULL, NULL, &map, &err);
        if (status == INGOT_OK)
            CHECK(right(&map, 0, map.size));
        else
            CHECK_CONTAINS(err.message, "RLIMIT_MEMLOCK");
        file_map_close(&map, NULL);
    }
}

// As many maps as there are slots, and one more.
static void test_many(const temp_dir *dir) {
    enum { MOST = 1024 };
    static file_map maps[MOST + 1];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    temp_path path = make_file(dir, "many", 100);
    int n = 0;
    ingot_error err = {0};
    while (n <= MOST && open_map(path, false, &maps[n], &err) == INGOT_OK)
        n++;
    CHECK(n > 0 && n <= MOST);
    if (n == MOST) {
        CHECK(err.status == INGOT_ERR_LIMIT);
        CHECK_CONTAINS(err.message, "1024 files are mapped already");
    } else {
        CHECK_CONTAINS(err.message, "Too many open files");
    }
    while (n > 0)
        file_map_close(&maps[--n], NULL);
    CHECK(open_map(path, false, &maps[0], &err) == INGOT_OK);
    file_map_close(&maps[0], NULL);
}

int main(void) {
    temp_dir dir = temp_dir_make();
    umask(022);
    chmod(dir.path, 0755); // for test_lock_refused
    test_open(&dir, false);
    test_open(&dir, true);
    test_refused(&dir);
    test_cut_off(&dir);
    test_cut_off_in_threads(&dir);
    test_rewritten(&dir);
    test_other_faults(&dir);
    test_progress(&dir);
    test_cut_while_read(&dir);
    test_lock(&dir);
    test_lock_refused(&dir);
    test_many(&dir);
    temp_dir_remove(&dir);
    return check_report();
}
