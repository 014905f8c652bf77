// How errors of a row's weights make up for each other, window after window of its columns.
#ifndef INGOT_RUN_FEEDBACK_H
#define INGOT_RUN_FEEDBACK_H

#include "quant/quant.h"

struct ingot_feedback {
    uint64_t width;
    int64_t n_windows;
    float *shares; // [n_windows][2][QUANT_WINDOW][QUANT_WINDOW]: first, next
};

quant_feedback feedback_window(const ingot_feedback *f, int64_t window);

#endif
