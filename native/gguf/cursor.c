#include "gguf/cursor.h"

#include <inttypes.h>
#include <string.h>

ingot_status cursor_bytes(cursor *c, uint64_t n, const char *what, const void **out, ingot_error *err) {
    if (n > cursor_left(c))
        return fail(err, INGOT_ERR_FORMAT,
                    "byte %" PRIu64 ": %s takes %" PRIu64 " bytes, but the file ends after %" PRIu64
                    " more; was the file cut off?",
                    c->at, what, n, cursor_left(c));
    *out = c->data + c->at;
    c->at += n;
    return INGOT_OK;
}

ingot_status cursor_u32(cursor *c, const char *what, uint32_t *out, ingot_error *err) {
    const void *bytes = NULL;
    TRY(cursor_bytes(c, sizeof *out, what, &bytes, err));
    memcpy(out, bytes, sizeof *out);
    return INGOT_OK;
}

ingot_status cursor_u64(cursor *c, const char *what, uint64_t *out, ingot_error *err) {
    const void *bytes = NULL;
    TRY(cursor_bytes(c, sizeof *out, what, &bytes, err));
    memcpy(out, bytes, sizeof *out);
    return INGOT_OK;
}

ingot_status cursor_str(cursor *c, const char *what, ingot_str *out, ingot_error *err) {
    uint64_t size = 0;
    const void *bytes = NULL;
    TRY(cursor_u64(c, what, &size, err));
    TRY(cursor_bytes(c, size, what, &bytes, err));
    *out = (ingot_str){.data = bytes, .size = (size_t)size}; // fits: it lies in memory
    return INGOT_OK;
}
