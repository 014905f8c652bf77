#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Makes a truncated or hostile message printable: no control bytes, no half code point at the end.
static void sanitize(char *message) {
    size_t n = strlen(message);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)message[i];
        if (c < 0x20 || c == 0x7f)
            message[i] = '?';
    }
    size_t start = n;
    while (start > 0 && ((unsigned char)message[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)message[start - 1];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (n - (start - 1) < need)
        message[start - 1] = '\0';
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
