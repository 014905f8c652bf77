#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"

enum { BUFFER_SIZE = 1 << 18 };

struct file_out {
    const ingot_allocator *mem;
    char *path;
    char *part;
    uint8_t *buffer; // [BUFFER_SIZE]
    size_t buffered;
    uint64_t size; // with what is buffered
    int fd;
    bool broken; // a write failed: it can't be committed any more
};

static void file_out_free(file_out *f) {
    if (f->fd >= 0)
        close(f->fd);
    mem_free(f->mem, f->buffer);
    mem_free(f->mem, f->part);
    mem_free(f->mem, f->path);
    mem_free(f->mem, f);
}

static ingot_status buffers_init(file_out *f, const char *path, ingot_error *err) {
    size_t n = strlen(path);
    f->path = mem_alloc(f->mem, n + 1, 1);
    f->part = mem_alloc(f->mem, n + sizeof ".part", 1);
    f->buffer = mem_resize(f->mem, NULL, BUFFER_SIZE, 1);
    if (!f->path || !f->part || !f->buffer)
        return fail_memory(err, BUFFER_SIZE + 2 * (uint64_t)n, "a file's buffer");
    memcpy(f->path, path, n);
    memcpy(f->part, path, n);
    memcpy(f->part + n, ".part", sizeof ".part");
    return INGOT_OK;
}

// Follows links, so that the file behind them is replaced and not they, and refuses what is no plain file:
// renaming onto a device would put a file in its place. `real` has room for PATH_MAX bytes.
static ingot_status resolve_target(const char *path, char *real, const char **out, ingot_error *err) {
    struct stat st;
    *out = path;
    if (lstat(path, &st) != 0)
        return INGOT_OK; // nothing there yet; what else is wrong will be said when it is created
    if (S_ISLNK(st.st_mode)) {
        if (!realpath(path, real) || stat(real, &st) != 0)
            return fail(err, INGOT_ERR_IO, "cannot write %s: it is a link to %s", path,
                        errno == ENOENT ? "a file that doesn't exist" : strerror(errno));
        *out = real;
    }
    if (!S_ISREG(st.st_mode))
        return fail(err, INGOT_ERR_IO, "cannot write %s: it exists and is no regular file", path);
    return INGOT_OK;
}

ingot_status file_out_open(const char *path, const ingot_allocator *mem, file_out **out, ingot_error *err) {
    *out = NULL;
    file_out *f = mem_alloc(mem, 1, sizeof *f);
    if (!f)
        return fail_memory(err, sizeof *f, "a file's buffer");
    f->mem = mem;
    f->fd = -1;
    char real[PATH_MAX];
    const char *target;
    ingot_status status = resolve_target(path, real, &target, err);
    if (status == INGOT_OK)
        status = buffers_init(f, target, err);
    if (status == INGOT_OK) {
        f->fd = open(f->part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (f->fd < 0)
            status = fail(err, INGOT_ERR_IO, "cannot create %s: %s", f->part, strerror(errno));
        else if (flock(f->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            status = fail(err, INGOT_ERR_IO, "%s is being written by somebody else", f->part);
        else if (ftruncate(f->fd, 0) != 0)
            status = fail(err, INGOT_ERR_IO, "cannot write %s: %s", f->part, strerror(errno));
    }
    if (status != INGOT_OK) {
        file_out_free(f);
        return status;
    }
    *out = f;
    return INGOT_OK;
}

static ingot_status write_failed(file_out *f, uint64_t offset, ingot_error *err) {
    int code = errno;
    f->broken = true;
    return fail(err, INGOT_ERR_IO, "cannot write %s at byte %" PRIu64 ": %s", f->part, offset,
                strerror(code));
}

// Writes all of `data` at `offset`, past the buffer.
static ingot_status write_at(file_out *f, uint64_t offset, const uint8_t *data, uint64_t size,
                             ingot_error *err) {
    const uint64_t most = 1 << 30; // systems cut off what is much larger
    while (size > 0) {
        ssize_t n = pwrite(f->fd, data, (size_t)(size < most ? size : most), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return write_failed(f, offset, err);
        data += n;
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return INGOT_OK;
}

static ingot_status flush(file_out *f, ingot_error *err) {
    size_t n = f->buffered;
    f->buffered = 0;
    return write_at(f, f->size - n, f->buffer, n, err);
}

ingot_status file_out_write(file_out *f, const void *data, uint64_t size, ingot_error *err) {
    uint64_t end;
    if (!checked_add(f->size, size, &end) || end > INT64_MAX)
        return fail(err, INGOT_ERR_LIMIT, "%s would be larger than any file", f->path);
    if (size > BUFFER_SIZE - f->buffered)
        TRY(flush(f, err));
    if (size >= BUFFER_SIZE) {
        TRY(write_at(f, f->size, data, size, err));
    } else if (size > 0) {
        memcpy(f->buffer + f->buffered, data, (size_t)size);
        f->buffered += (size_t)size;
    }
    f->size = end;
    return INGOT_OK;
}

uint64_t file_out_size(const file_out *f) {
    return f->size;
}

// So that the new name survives a power cut too. Systems that can't do it for a folder say so: no matter.
static void sync_folder(char *path) {
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    int fd = open(slash ? path : ".", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static ingot_status finish(file_out *f, bool durable, ingot_error *err) {
    if (f->broken)
        return fail(err, INGOT_ERR_IO, "%s is not complete: an earlier write failed", f->path);
    TRY(flush(f, err));
    if (durable && fsync(f->fd) != 0)
        return write_failed(f, f->size, err);
    int closed = close(f->fd);
    f->fd = -1;
    if (closed != 0)
        return write_failed(f, f->size, err);
    if (rename(f->part, f->path) != 0)
        return fail(err, INGOT_ERR_IO, "cannot rename %s to %s: %s", f->part, f->path, strerror(errno));
    if (durable)
        sync_folder(f->path);
    return INGOT_OK;
}

static ingot_status commit(file_out *f, bool durable, ingot_error *err) {
    ingot_status status = finish(f, durable, err);
    if (status != INGOT_OK)
        unlink(f->part);
    file_out_free(f);
    return status;
}

ingot_status file_out_commit(file_out *f, ingot_error *err) {
    return commit(f, true, err);
}

ingot_status file_out_commit_soon(file_out *f, ingot_error *err) {
    return commit(f, false, err);
}

void file_out_abort(file_out *f) {
    if (!f)
        return;
    unlink(f->part);
    file_out_free(f);
}

bool file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_read_text(const char *path, char *text, size_t capacity) {
    text[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t size = 0;
    ssize_t n = 1;
    while (n != 0 && size + 1 < capacity) {
        n = read(fd, text + size, capacity - 1 - size);
        if (n < 0 && errno != EINTR)
            break;
        size += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    text[n < 0 ? 0 : size] = '\0';
    return n >= 0;
}
