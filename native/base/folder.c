#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const int64_t NANO = 1000000000;

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

ingot_status folder_make(const char *path, ingot_error *err) {
    char part[PATH_MAX];
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return fail(err, INGOT_ERR_IO, "cannot make a folder with a name of %zu bytes, expected 1 to %zu", n,
                    sizeof part - 1);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && !is_folder(part))
            return fail(err, INGOT_ERR_IO, "cannot make the folder %s: %s", part, strerror(errno));
        part[i] = path[i];
    }
    return INGOT_OK;
}

ingot_status folder_list(const char *path, folder_fn each, void *user, ingot_error *err) {
    DIR *folder = opendir(path);
    if (!folder)
        return fail(err, INGOT_ERR_IO, "cannot list the folder %s: %s", path, strerror(errno));
    bool more = true;
    for (struct dirent *entry; more && (entry = readdir(folder));) {
        struct stat st;
        if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
#ifdef __APPLE__
        const struct timespec changed = st.st_mtimespec;
#else
        const struct timespec changed = st.st_mtim;
#endif
        const folder_file file = {entry->d_name, (uint64_t)st.st_size,
                                  (int64_t)changed.tv_sec * NANO + changed.tv_nsec};
        more = each(&file, user);
    }
    closedir(folder);
    return INGOT_OK;
}

int64_t folder_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * NANO + now.tv_nsec;
}

void folder_touch(const char *path, int64_t changed) {
    const struct timespec at = {.tv_sec = (time_t)(changed / NANO), .tv_nsec = (long)(changed % NANO)};
    utimensat(AT_FDCWD, path, (const struct timespec[]){at, at}, AT_SYMLINK_NOFOLLOW);
}

void folder_remove(const char *path) {
    unlink(path);
}
