#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"

enum { MAPS_MAX = 1024, DATA_ALIGN = 64 };

static const uint64_t piece_bytes = 16 << 20; // between two calls of `progress`

// ------------------------------------------------------------------------------------------------- the guard

typedef struct map_slot {
    bool used;                // under the lock
    int fd;                   // of the file, to ask for its size and time
    struct timespec modified; // when it was mapped
    _Atomic uintptr_t begin;  // 0: nothing here. Read by the handler
    _Atomic uintptr_t end;
    atomic_bool broken; // set by the handler
} map_slot;

// The library's one piece of mutable state that belongs to no object. A signal handler gets no argument of
// ours and there is one per process, so what it looks up can't live anywhere else.
static struct guard {
    pthread_mutex_t lock; // for all but the handler
    uintptr_t page_size;
    struct sigaction previous; // the action that ours took the place of
    atomic_bool stepped_aside;
    map_slot slots[MAPS_MAX];
} guard = {.lock = PTHREAD_MUTEX_INITIALIZER};

// Whether `address` lies in the slot's map; *end is where the map ends then.
static bool slot_has(map_slot *slot, uintptr_t address, uintptr_t *end) {
    uintptr_t begin = atomic_load(&slot->begin);
    *end = atomic_load(&slot->end);
    // A begin that stayed the same makes a pair with the end that was read in between.
    return begin != 0 && address >= begin && address < *end && atomic_load(&slot->begin) == begin;
}

// Replaces what the file no longer backs by zeros: the page at `address` and all after it, of which a file
// that was cut off has none either (else each of a large map's pages would be a fault of its own).
static bool mend(uintptr_t address) {
    for (size_t i = 0; i < MAPS_MAX; i++) {
        map_slot *slot = &guard.slots[i];
        uintptr_t end;
        if (!slot_has(slot, address, &end))
            continue;
        atomic_store(&slot->broken, true);
        uintptr_t page = address & ~(guard.page_size - 1);
        void *got = mmap((void *)page, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        return got != MAP_FAILED;
    }
    return false;
}

// Makes room for the action that was there before ours, once: if it is met again, it didn't help, and the
// default must end the process. A fault repeats by itself on return; a signal that was sent has to be sent
// again.
static void step_aside(bool fault) {
    struct sigaction action;
    if (atomic_exchange(&guard.stepped_aside, true)) {
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
    } else {
        action = guard.previous;
    }
    sigaction(SIGBUS, &action, NULL);
    if (!fault)
        raise(SIGBUS);
}

// A signal that somebody sent goes to the action that was there before ours, which stays in place.
static void forward_sent(int number, siginfo_t *info, void *context) {
    const struct sigaction *previous = &guard.previous;
    if (previous->sa_flags & SA_SIGINFO)
        previous->sa_sigaction(number, info, context);
    else if (previous->sa_handler == SIG_DFL)
        step_aside(false);
    else if (previous->sa_handler != SIG_IGN)
        previous->sa_handler(number);
}

static void on_sigbus(int number, siginfo_t *info, void *context) {
    int saved = errno;
    bool fault = info->si_code > 0; // raised by the kernel for an access
    if (!fault)
        forward_sent(number, info, context);
    else if (!mend((uintptr_t)info->si_addr))
        step_aside(true);
    errno = saved;
}

// Installs the handler unless it is the current one: other code in the process may have replaced it since.
static void guard_install(void) {
    struct sigaction current;
    if (sigaction(SIGBUS, NULL, &current) == 0 && (current.sa_flags & SA_SIGINFO) &&
        current.sa_sigaction == on_sigbus)
        return;
    guard.page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    guard.previous = current;
    atomic_store(&guard.stepped_aside, false);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

// Puts a map under guard; -1 if the table is full. Keeps `fd`.
static int guard_add(const void *data, uint64_t size, int fd, struct timespec modified) {
    int found = -1;
    pthread_mutex_lock(&guard.lock);
    guard_install();
    for (int i = 0; i < MAPS_MAX && found < 0; i++) {
        map_slot *slot = &guard.slots[i];
        if (slot->used)
            continue;
        found = i;
        slot->used = true;
        slot->fd = fd;
        slot->modified = modified;
        atomic_store(&slot->broken, false);
        atomic_store(&slot->end, (uintptr_t)data + (uintptr_t)size);
        atomic_store(&slot->begin, (uintptr_t)data);
    }
    pthread_mutex_unlock(&guard.lock);
    return found;
}

static void guard_remove(int i) {
    map_slot *slot = &guard.slots[i];
    pthread_mutex_lock(&guard.lock);
    atomic_store(&slot->begin, 0);
    atomic_store(&slot->end, 0);
    close(slot->fd);
    slot->used = false;
    pthread_mutex_unlock(&guard.lock);
}

// ------------------------------------------------------------------------------------------------- opening

static ingot_status failed(ingot_error *err, const char *what, const char *path) {
    return fail(err, INGOT_ERR_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

static ingot_status open_regular(const char *path, int *fd, uint64_t *size, ingot_error *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO without a writer would block
    if (*fd < 0)
        return failed(err, "open", path);
    struct stat st;
    ingot_status status = INGOT_OK;
    if (fstat(*fd, &st) != 0)
        status = failed(err, "examine", path);
    else if (S_ISDIR(st.st_mode))
        status = fail(err, INGOT_ERR_IO, "%s is a directory, expected a file", path);
    else if (!S_ISREG(st.st_mode))
        status = fail(err, INGOT_ERR_IO, "%s is not a regular file (a pipe, socket or device)", path);
    else if (st.st_size <= 0)
        status = fail(err, INGOT_ERR_FORMAT, "%s is empty", path);
    if (status != INGOT_OK) {
        close(*fd);
        return status;
    }
    *size = (uint64_t)st.st_size;
    return INGOT_OK;
}

// The allocation that `data` lies in is remembered right before it.
static uint8_t *aligned_alloc_bytes(const ingot_allocator *mem, uint64_t size) {
    uint64_t padded;
    size_t total;
    if (!checked_add(size, DATA_ALIGN + sizeof(void *), &padded) || !checked_size(padded, &total))
        return NULL;
    uint8_t *block = mem_resize(mem, NULL, total, 1);
    if (!block)
        return NULL;
    uint8_t *data = block + sizeof(void *);
    data += (DATA_ALIGN - (uintptr_t)data % DATA_ALIGN) % DATA_ALIGN;
    memcpy(data - sizeof(void *), &block, sizeof(void *));
    return data;
}

static void aligned_free_bytes(const ingot_allocator *mem, const uint8_t *data) {
    uint8_t *block;
    memcpy(&block, data - sizeof(void *), sizeof(void *));
    mem_free(mem, block);
}

static ingot_status report(ingot_progress_fn progress, void *user, uint64_t done, uint64_t size,
                           const char *path, ingot_error *err) {
    if (progress && !progress(user, (double)done / (double)size))
        return fail(err, INGOT_ERR_CANCELLED, "loading %s was cancelled", path);
    return INGOT_OK;
}

static ingot_status read_all(int fd, const char *path, uint8_t *data, uint64_t size,
                             ingot_progress_fn progress, void *user, ingot_error *err) {
    uint64_t done = 0;
    while (done < size) {
        uint64_t want = size - done < piece_bytes ? size - done : piece_bytes;
        ssize_t n = pread(fd, data + done, (size_t)want, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(err, "read", path);
        if (n == 0)
            return fail(err, INGOT_ERR_IO,
                        "%s was cut off while it was read: it ended at byte %" PRIu64 " of %" PRIu64, path,
                        done, size);
        done += (uint64_t)n;
        TRY(report(progress, user, done, size, path, err));
    }
    return INGOT_OK;
}

static ingot_status lock_failed(const char *path, uint64_t size, ingot_error *err) {
    int code = errno;
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return fail(err, INGOT_ERR_LIMIT,
                    "cannot lock %" PRIu64
                    " bytes of %s in memory: %s (RLIMIT_MEMLOCK is unlimited: is there "
                    "enough memory?); load it without locking",
                    size, path, strerror(code));
    return fail(err, INGOT_ERR_LIMIT,
                "cannot lock %" PRIu64 " bytes of %s in memory: %s (RLIMIT_MEMLOCK is %" PRIu64
                " bytes); raise that limit (ulimit -l) or load it without locking",
                size, path, strerror(code), (uint64_t)limit.rlim_cur);
}

// Locking reads the file in, so it is done in pieces too.
static ingot_status lock_all(const char *path, const file_map *map, ingot_progress_fn progress, void *user,
                             ingot_error *err) {
    for (uint64_t done = 0; done < map->size;) {
        uint64_t n = map->size - done < piece_bytes ? map->size - done : piece_bytes;
        if (mlock(map->data + done, (size_t)n) != 0)
            return lock_failed(path, map->size, err);
        done += n;
        if (map->mapped)
            TRY(report(progress, user, done, map->size, path, err));
    }
    return INGOT_OK;
}

static ingot_status map_file(int fd, const char *path, file_map *map, ingot_error *err) {
    size_t size;
    if (!checked_size(map->size, &size))
        return fail(err, INGOT_ERR_LIMIT, "%s has %" PRIu64 " bytes: more than can be addressed", path,
                    map->size);
    struct stat st;
    if (fstat(fd, &st) != 0)
        return failed(err, "look at", path);
    void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return failed(err, "map", path);
    map->slot = guard_add(data, map->size, fd, st.st_mtim);
    if (map->slot < 0) {
        munmap(data, size);
        return fail(err, INGOT_ERR_LIMIT, "%s: %d files are mapped already; read it into memory (no_map)",
                    path, MAPS_MAX);
    }
    map->data = data;
    map->mapped = true;
    return INGOT_OK;
}

ingot_status file_map_open(const char *path, bool no_map, bool lock, const ingot_allocator *mem,
                           ingot_progress_fn progress, void *user, file_map *out, ingot_error *err) {
    *out = (file_map){.slot = -1};
    file_map map = {.slot = -1};
    int fd;
    TRY(open_regular(path, &fd, &map.size, err));
    ingot_status status = INGOT_OK;
    if (!no_map) {
        status = map_file(fd, path, &map, err);
    } else {
        uint8_t *data = aligned_alloc_bytes(mem, map.size);
        map.data = data;
        status =
            data ? read_all(fd, path, data, map.size, progress, user, err) : fail_memory(err, map.size, path);
    }
    if (!map.mapped)
        close(fd);
    if (status == INGOT_OK && lock)
        status = lock_all(path, &map, progress, user, err);
    if (status != INGOT_OK) {
        file_map_close(&map, mem);
        return status;
    }
    *out = map;
    return INGOT_OK;
}

void file_map_close(file_map *map, const ingot_allocator *mem) {
    if (map->mapped) {
        guard_remove(map->slot);
        munmap((void *)(uintptr_t)map->data, (size_t)map->size);
    } else if (map->data) {
        munlock(map->data, (size_t)map->size); // in case it was: the heap hands these pages out again
        aligned_free_bytes(mem, map->data);
    }
    *map = (file_map){.slot = -1};
}

static bool same_time(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool file_map_intact(const file_map *map) {
    if (!map->mapped)
        return true;
    map_slot *slot = &guard.slots[map->slot];
    struct stat st;
    return !atomic_load(&slot->broken) && fstat(slot->fd, &st) == 0 && (uint64_t)st.st_size >= map->size &&
           same_time(st.st_mtim, slot->modified);
}
