// The log sink of a runtime.
#ifndef INGOT_BASE_LOG_H
#define INGOT_BASE_LOG_H

#include "base/status.h"

typedef struct log_sink {
    ingot_log_fn fn; // NULL: silent
    void *user;
} log_sink;

void log_line(const log_sink *sink, ingot_log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
