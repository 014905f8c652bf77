#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_line(const log_sink *sink, ingot_log_level level, const char *fmt, ...) {
    if (!sink || !sink->fn)
        return;
    char line[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    sink->fn(sink->user, level, line);
}
