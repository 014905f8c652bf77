// Status codes and error messages.
//
// Every fallible function returns ingot_status and takes an `ingot_error *err` last, which may be NULL. On
// failure it writes one message there that names what failed (file, key, byte offset), what was found, what
// was expected and, where there is one, the remedy. On success `err` is left alone.
#ifndef INGOT_BASE_STATUS_H
#define INGOT_BASE_STATUS_H

#include "ingot.h"

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#else
#define PRINTF_LIKE(fmt_index, first_arg)
#endif

// Sets `err` (may be NULL) to `status` and the formatted message, cut off at the buffer's size on a UTF-8
// boundary, with control characters and invalid bytes replaced by '?' (names come from hostile files).
// Returns `status`.
ingot_status fail(ingot_error *err, ingot_status status, const char *fmt, ...) PRINTF_LIKE(3, 4);

// Puts "prefix: " before the message that `err` already holds (for adding a file's name). Returns err's
// status.
ingot_status fail_prefix(ingot_error *err, ingot_status status, const char *fmt, ...) PRINTF_LIKE(3, 4);

// Leaves the calling function with the status of `call` unless it is INGOT_OK.
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        ingot_status try_status_ = (call);                                                                   \
        if (try_status_ != INGOT_OK)                                                                         \
            return try_status_;                                                                              \
    } while (0)

#endif
