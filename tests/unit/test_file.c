// Writing files: whole or not at all.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "check.h"
#include "failing_mem.h"
#include "temp.h"

// Reads a file whole; the size, or -1 if there is none.
static long slurp(temp_path path, uint8_t *data, size_t capacity) {
    FILE *f = fopen(path.text, "rb");
    if (!f)
        return -1;
    size_t n = fread(data, 1, capacity, f);
    fclose(f);
    return (long)n;
}

static temp_path part_of(temp_path path) {
    strcat(path.text, ".part");
    return path;
}

enum { LARGE = 3 << 20 };

static uint8_t expected[LARGE], found[LARGE + 1];

// Writes of all sizes around the buffer's; nobody else can write the file meanwhile.
static void test_write(const temp_dir *dir) {
    static const uint64_t sizes[] = {0, 1, 7, 4096, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 20, 3, 0, 11};
    temp_path path = temp_join(dir, "out");
    file_out *f = NULL;
    CHECK(file_out_open(path.text, NULL, &f, NULL) == INGOT_OK);
    uint64_t size = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint64_t k = 0; k < sizes[i]; k++)
            expected[size + k] = (uint8_t)((size + k) * 7 % 253);
        CHECK(file_out_write(f, expected + size, sizes[i], NULL) == INGOT_OK);
        size += sizes[i];
        CHECK(file_out_size(f) == size);
        CHECK(!file_exists(path.text) && file_exists(part_of(path).text));
    }
    file_out *second = NULL;
    ingot_error err;
    CHECK(file_out_open(path.text, NULL, &second, &err) == INGOT_ERR_IO && !second);
    CHECK_CONTAINS(err.message, "out.part is being written by somebody else");
    CHECK(file_out_commit(f, NULL) == INGOT_OK);
    CHECK(!file_exists(part_of(path).text));
    CHECK(slurp(path, found, sizeof found) == (long)size && memcmp(found, expected, size) == 0);
}

static void test_replace_or_leave(const temp_dir *dir) {
    temp_path path = temp_text(dir, "kept", "old");
    file_out *f = NULL;
    CHECK(file_out_open(path.text, NULL, &f, NULL) == INGOT_OK);
    CHECK(file_out_write(f, "new!", 4, NULL) == INGOT_OK);
    file_out_abort(f);
    CHECK(slurp(path, found, sizeof found) == 3 && memcmp(found, "old", 3) == 0);
    CHECK(!file_exists(part_of(path).text));
    temp_text(dir, "kept.part", "what a crash left behind");
    CHECK(file_out_open(path.text, NULL, &f, NULL) == INGOT_OK);
    CHECK(file_out_write(f, "new!", 4, NULL) == INGOT_OK);
    CHECK(file_out_commit(f, NULL) == INGOT_OK);
    CHECK(slurp(path, found, sizeof found) == 4 && memcmp(found, "new!", 4) == 0);
    file_out_abort(NULL);
}

static void test_refused(const temp_dir *dir) {
    file_out *f = NULL;
    ingot_error err;
    temp_path path = temp_join(dir, "no/such/folder");
    CHECK(file_out_open(path.text, NULL, &f, &err) == INGOT_ERR_IO && !f);
    CHECK_CONTAINS(err.message, path.text);
    CHECK_CONTAINS(err.message, "No such file or directory");
    path = temp_join(dir, "folder");
    CHECK(file_out_open(path.text, NULL, &f, NULL) == INGOT_OK);
    CHECK(mkdir(path.text, 0777) == 0);
    CHECK(file_out_commit(f, &err) == INGOT_ERR_IO); // a file can't take a folder's place
    CHECK_CONTAINS(err.message, "cannot rename");
    CHECK(!file_exists(part_of(path).text) && file_exists(path.text));
}

// A limit on file sizes stands for the full disk.
static void test_disk_full(const temp_dir *dir) {
    struct rlimit old, little;
    getrlimit(RLIMIT_FSIZE, &old);
    little = old;
    little.rlim_cur = 1 << 19;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &little) == 0);
    temp_path path = temp_join(dir, "full");
    file_out *f = NULL;
    ingot_error err;
    CHECK(file_out_open(path.text, NULL, &f, NULL) == INGOT_OK);
    CHECK(file_out_write(f, expected, 1 << 18, NULL) == INGOT_OK);
    CHECK(file_out_write(f, expected, 1 << 20, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "full.part at byte 524288: File too large");
    CHECK(file_out_commit(f, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "an earlier write failed");
    CHECK(!file_exists(path.text) && !file_exists(part_of(path).text));
    // What is still in the buffer is written, and fails, when the file is committed.
    little.rlim_cur = 100;
    CHECK(setrlimit(RLIMIT_FSIZE, &little) == 0);
    CHECK(file_out_open(path.text, NULL, &f, NULL) == INGOT_OK);
    CHECK(file_out_write(f, expected, 1000, NULL) == INGOT_OK);
    CHECK(file_out_commit(f, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "full.part at byte 100: File too large");
    CHECK(!file_exists(path.text) && !file_exists(part_of(path).text));
    setrlimit(RLIMIT_FSIZE, &old);
}

static void test_out_of_memory(const temp_dir *dir) {
    temp_path path = temp_join(dir, "memory");
    for (long n = 0;; n++) {
        failing_mem m;
        failing_mem_init(&m, n);
        file_out *f = NULL;
        ingot_error err;
        ingot_status status = file_out_open(path.text, &m.allocator, &f, &err);
        file_out_abort(f);
        CHECK((status == INGOT_OK || !f) && !file_exists(part_of(path).text));
        if (!failing_mem_end(&m, status))
            break;
    }
}

static void test_read_text(const temp_dir *dir) {
    char text[8];
    CHECK(file_read_text(temp_text(dir, "text", "1234567").text, text, sizeof text));
    CHECK(strcmp(text, "1234567") == 0);
    CHECK(file_read_text(temp_text(dir, "text", "12345678").text, text, sizeof text));
    CHECK(strcmp(text, "1234567") == 0);
    CHECK(file_read_text(temp_text(dir, "text", "").text, text, sizeof text) && text[0] == '\0');
    text[0] = 'x';
    CHECK(!file_read_text(temp_join(dir, "none").text, text, sizeof text) && text[0] == '\0');
    CHECK(!file_read_text(dir->path, text, sizeof text) && text[0] == '\0');
}

// What stands under the name already: a link is followed, what is no regular file is refused and left alone.
static void test_targets(const temp_dir *dir) {
    struct stat st;
    char text[16];
    ingot_error err;
    file_out *f = NULL;
    temp_path real = temp_text(dir, "real", "old"), link = temp_join(dir, "link"),
              pipe = temp_join(dir, "pipe");
    temp_path nowhere = temp_join(dir, "nowhere"), gone = temp_join(dir, "gone");
    CHECK(symlink(real.text, link.text) == 0 && symlink(gone.text, nowhere.text) == 0);
    CHECK(mkfifo(pipe.text, 0600) == 0);

    CHECK(file_out_open(link.text, NULL, &f, NULL) == INGOT_OK);
    CHECK(file_out_write(f, "new", 3, NULL) == INGOT_OK && file_out_commit(f, NULL) == INGOT_OK);
    CHECK(lstat(link.text, &st) == 0 && S_ISLNK(st.st_mode));
    CHECK(file_read_text(real.text, text, sizeof text) && strcmp(text, "new") == 0);

    CHECK(file_out_open(pipe.text, NULL, &f, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "no regular file");
    CHECK(file_out_open(dir->path, NULL, &f, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "no regular file");
    CHECK(file_out_open("/dev/null", NULL, &f, &err) == INGOT_ERR_IO);
    CHECK(file_out_open(nowhere.text, NULL, &f, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "doesn't exist");
}

// Reading in pieces, and asking about files.
static void test_read_pieces(const temp_dir *dir) {
    temp_path path = temp_text(dir, "pieces", "0123456789"), link = temp_join(dir, "pieces-link");
    char data[4] = "";
    file_in *f = NULL;
    ingot_error err = {0};
    CHECK(file_in_open(path.text, NULL, &f, &err) == INGOT_OK);
    CHECK(file_in_read(f, 7, data, 3, &err) == INGOT_OK && memcmp(data, "789", 3) == 0);
    CHECK(file_in_read(f, 0, data, 2, &err) == INGOT_OK && memcmp(data, "019", 3) == 0);
    CHECK(file_in_read(f, 8, data, 3, &err) == INGOT_ERR_IO);
    CHECK_CONTAINS(err.message, "ends at byte 10, but 1 more");
    CHECK(file_in_read(f, UINT64_MAX, data, 3, &err) == INGOT_ERR_IO);
    file_in_close(f);
    CHECK(file_in_open(dir->path, NULL, &f, &err) == INGOT_ERR_IO && !f);
    CHECK_CONTAINS(err.message, "no regular file");
    CHECK(file_in_open(temp_join(dir, "none").text, NULL, &f, &err) == INGOT_ERR_IO && !f);

    CHECK(symlink(path.text, link.text) == 0);
    CHECK(file_same(path.text, link.text) && file_same(path.text, path.text));
    CHECK(!file_same(path.text, dir->path) && !file_same(path.text, temp_join(dir, "none").text));
    uint64_t space = 0;
    CHECK(file_space(path.text, &space) && space > 0);
    CHECK(file_space("here", &space) && !file_space(temp_join(dir, "none/x").text, &space));
}

int main(void) {
    temp_dir dir = temp_dir_make();
    test_write(&dir);
    test_replace_or_leave(&dir);
    test_refused(&dir);
    test_disk_full(&dir);
    test_out_of_memory(&dir);
    test_read_text(&dir);
    test_targets(&dir);
    test_read_pieces(&dir);
    temp_dir_remove(&dir);
    return check_report();
}
