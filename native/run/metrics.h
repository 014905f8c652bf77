// What an engine counts. The engine thread writes, under the engine's lock; callers copy.
#ifndef INGOT_RUN_METRICS_H
#define INGOT_RUN_METRICS_H

#include "ingot.h"

void histogram_add(ingot_histogram *h, double seconds);

#endif
