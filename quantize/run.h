// Carrying out a plan: rows are read, decoded, encoded and written a few at a time.
#ifndef INGOT_QUANTIZE_RUN_H
#define INGOT_QUANTIZE_RUN_H

#include "quantize/report.h"

// Whether the user wants to stop; asked between pieces of work.
typedef bool (*stop_fn)(void);

// Writes the output. INGOT_ERR_CANCELLED if `stop` said so; whatever fails, nothing is left behind.
ingot_status run_plan(const plan *p, ingot_runtime *runtime, stop_fn stop, result *out, ingot_error *err);

// The program: reads the arguments, does the work, reports; returns the exit status. `isa` may be NULL.
int quantize_main(int argc, char **argv, const char *isa, stop_fn stop);

#endif
