// libFuzzer target: any bytes, opened as an importance matrix, are an error or entries that can be read to
// the last.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *image; // of exactly this size, so that reading past the end is seen
    if (posix_memalign(&image, 64, size > 0 ? size : 1) != 0)
        return 0;
    if (size > 0)
        memcpy(image, data, size);
    imatrix m;
    ingot_error err = {0};
    ingot_status status = imatrix_read(image, size, "fuzz.imatrix", &m, &err);
    free(image); // nothing is borrowed
    if (status != INGOT_OK && (err.status != status || err.message[0] == '\0' || m.n != 0))
        abort(); // an error without its message, or with entries
    static const char *const parts[] = {"attn", "0"};
    for (size_t i = 0; i < m.n; i++) {
        if (imatrix_find(&m, m.entries[i].name) != &m.entries[i])
            abort();
        for (uint64_t k = 0; k < m.entries[i].n; k++)
            if (!isfinite(m.entries[i].values[k]) || m.entries[i].values[k] < 0)
                abort();
    }
    imatrix_filter(&m, parts, sizeof parts / sizeof *parts, size % 2 == 0);
    imatrix_free(&m);
    return 0;
}
