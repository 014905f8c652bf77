// libFuzzer target: any bytes, opened as a file of keys and values, are an error or tokens and pages that can
// be read to the last. The first byte says whether what no chance would hit is put right before: the magic,
// the model and the hash of the header.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "run/kv_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 48, HASHED = 40, PAGE_BYTES = 40 };
static const uint64_t MODEL = 5;

static void put_right(uint8_t *bytes, size_t size) {
    const uint64_t page_bytes = PAGE_BYTES;
    int32_t n_tokens;
    if (size < HEADER)
        return;
    memcpy(bytes, "INGOTKV1", 8);
    memcpy(bytes + 8, &MODEL, 8);
    memcpy(bytes + 16, &page_bytes, 8);
    memcpy(&n_tokens, bytes + 24, 4);
    if (n_tokens < 0 || (size_t)n_tokens > (size - HEADER) / 4)
        return;
    const uint64_t head = hash_bytes(0, bytes, HASHED);
    const uint64_t hash = hash_bytes(head, bytes + HEADER, 4 * (uint64_t)n_tokens);
    memcpy(bytes + HASHED, &hash, 8);
}

static void read_all(const char *path) {
    kv_file *f = NULL;
    ingot_error err = {0};
    uint8_t page[PAGE_BYTES];
    const ingot_status status = kv_file_open(path, NULL, MODEL, PAGE_BYTES, &f, &err);
    if (status != INGOT_OK) {
        if (f || err.status != status || err.message[0] == '\0')
            abort();
        return;
    }
    const kv_file_head *head = kv_file_get_head(f);
    int64_t sum = 0;
    for (int32_t i = 0; i < head->n_tokens; i++)
        sum += kv_file_tokens(f)[i];
    for (int32_t i = 0; i < head->n_pages; i++)
        if (kv_file_read(f, i, page, &err) == INGOT_OK)
            sum += page[0];
    if (head->first_page < 0 || head->n_pages < 0 || head->n_tokens < 0 || sum == INT64_MIN)
        abort();
    kv_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    if (size == 0)
        return 0;
    const int fd = memfd_create("fuzz.kv", 0);
    uint8_t *bytes = malloc(size);
    if (fd < 0 || !bytes)
        abort();
    memcpy(bytes, data, size);
    if (data[0] & 1)
        put_right(bytes + 1, size - 1);
    if (write(fd, bytes + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    read_all(path);
    free(bytes);
    close(fd);
    return 0;
}
