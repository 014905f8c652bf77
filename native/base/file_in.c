#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct file_in {
    const ingot_allocator *mem;
    char *path;
    uint64_t size;
    int fd;
};

ingot_status file_in_open(const char *path, const ingot_allocator *mem, file_in **out, ingot_error *err) {
    *out = NULL;
    size_t size = strlen(path) + 1;
    file_in *f = mem_alloc(mem, 1, sizeof *f);
    if (!f)
        return fail_memory(err, sizeof *f, "an open file");
    *f = (file_in){.mem = mem, .path = mem_alloc(mem, size, 1), .fd = -1};
    if (!f->path) {
        file_in_close(f);
        return fail_memory(err, size, "a file's name");
    }
    memcpy(f->path, path, size);
    struct stat st;
    ingot_status status = INGOT_OK;
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe without a writer would block
    if (f->fd < 0 || fstat(f->fd, &st) != 0)
        status = fail(err, INGOT_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = fail(err, INGOT_ERR_IO, "cannot read %s: it is no regular file", path);
    if (status != INGOT_OK) {
        file_in_close(f);
        return status;
    }
    f->size = (uint64_t)st.st_size;
    *out = f;
    return INGOT_OK;
}

uint64_t file_in_size(const file_in *f) {
    return f->size;
}

ingot_status file_in_read(file_in *f, uint64_t offset, void *data, uint64_t size, ingot_error *err) {
    const uint64_t most = 1 << 30; // systems cut off what is much larger
    if (offset > INT64_MAX || size > (uint64_t)INT64_MAX - offset)
        return fail(err, INGOT_ERR_IO, "%s ends before byte %" PRIu64, f->path, offset);
    for (uint8_t *at = data; size > 0;) {
        ssize_t n = pread(f->fd, at, (size_t)(size < most ? size : most), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, INGOT_ERR_IO, "cannot read %s at byte %" PRIu64 ": %s", f->path, offset,
                        strerror(errno));
        if (n == 0)
            return fail(err, INGOT_ERR_IO,
                        "%s ends at byte %" PRIu64 ", but %" PRIu64 " more were expected: it was cut off",
                        f->path, offset, size);
        at += n;
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return INGOT_OK;
}

void file_in_close(file_in *f) {
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    mem_free(f->mem, f->path);
    mem_free(f->mem, f);
}

bool file_same(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool file_space(const char *path, uint64_t *out) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    char folder[PATH_MAX] = ".";
    if (n >= sizeof folder)
        return false;
    if (n > 0) {
        memcpy(folder, path, n);
        folder[n] = '\0';
    }
    struct statvfs st;
    if (statvfs(folder, &st) != 0 || st.f_blocks == 0)
        return false;
    *out = (uint64_t)st.f_bavail * st.f_frsize;
    return true;
}

bool file_is_terminal(int descriptor) {
    return isatty(descriptor) == 1;
}
