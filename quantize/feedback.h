// Feedback of errors from what an importance matrix knows of columns' correlations.
#ifndef INGOT_QUANTIZE_FEEDBACK_H
#define INGOT_QUANTIZE_FEEDBACK_H

#include "quantize/imatrix.h"

// That of matrix `matrix` of a tensor of `width` columns, whose entry has correlations; `file` is the
// importance matrix. It takes 4096 bytes for each column while it is made, and half of them later.
ingot_status feedback_read(ingot_runtime *runtime, const char *file, const imatrix_entry *e, uint64_t matrix,
                           uint64_t width, ingot_feedback **out, ingot_error *err);

#endif
