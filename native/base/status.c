#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

// Makes a truncated or hostile message one line of UTF-8: no half code point at the end, and a '?' for each
// control character and invalid byte.
static void sanitize(char *message) {
    size_t size = utf8_complete_prefix(message, strlen(message));
    size_t out = 0;
    int n;
    for (size_t i = 0; i < size; i += (size_t)n) {
        uint32_t cp = utf8_decode(message + i, size - i, &n);
        if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp == 0xfffd && n == 1)) {
            message[out++] = '?';
        } else {
            memmove(message + out, message + i, (size_t)n);
            out += (size_t)n;
        }
    }
    message[out] = '\0';
}

ingot_status fail(ingot_error *err, ingot_status status, const char *fmt, ...) {
    if (!err)
        return status;
    va_list args;
    va_start(args, fmt);
    err->status = status;
    vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    sanitize(err->message);
    return status;
}

ingot_status fail_prefix(ingot_error *err, ingot_status status, const char *fmt, ...) {
    if (!err)
        return status;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    err->status = status;
    size_t at = n < 0 ? 0 : (size_t)n;
    for (const char *rest = ": "; *rest && at + 1 < sizeof err->message; rest++)
        err->message[at++] = *rest;
    for (const char *rest = old; *rest && at + 1 < sizeof err->message; rest++)
        err->message[at++] = *rest;
    if (at < sizeof err->message)
        err->message[at] = '\0';
    sanitize(err->message);
    return status;
}
