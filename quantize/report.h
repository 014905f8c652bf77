// What the user sees: progress while a file is made, tables or JSON afterwards.
#ifndef INGOT_QUANTIZE_REPORT_H
#define INGOT_QUANTIZE_REPORT_H

#include <stdio.h>

#include "quantize/plan.h"

enum { REPORT_MAX_TYPES = 64 };

// The squared error of the weights that were encoded to a type, over the rows that were looked at.
typedef struct type_error {
    double error;   // sum((x - y)^2)
    double squares; // sum(x^2)
} type_error;

typedef struct result {
    type_error types[REPORT_MAX_TYPES]; // by tensor type
    double seconds;
} result;

// On a terminal a line that is written again and again; elsewhere, with --json, lines of JSON.
typedef struct progress {
    bool terminal, lines;
    double begin, last; // seconds
    uint64_t total;     // bytes of the input
    uint64_t done;
} progress;

progress progress_begin(const plan *p);
void progress_step(progress *g, const plan *p, size_t tensor, uint64_t bytes);
void progress_end(progress *g);

// Prints what was done, or with --dry-run would be: `r` is NULL then, and `problem` what would make the work
// fail (NULL: nothing).
void report_table(const plan *p, const result *r, const char *problem);
void report_json(const plan *p, const result *r, const char *problem);

// What a user should know of a plan.
void report_warnings(const plan *p);

// Lines of stderr: "quantize: ...", or with `json` {"warning": ...} and {"error": ..., "status": ...}.
void report_warning(bool json, const char *format, ...) PRINTF_LIKE(2, 3);
void report_error(bool json, const ingot_error *err);

// A string of JSON. Bytes that are no UTF-8 stay what they are.
void report_json_text(FILE *file, const char *text);

// "1.5 GB" in a static sized buffer that the caller gives.
typedef struct size_text {
    char text[24];
} size_text;
size_text size_show(uint64_t bytes);

#endif
