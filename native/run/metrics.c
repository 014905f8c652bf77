#include "run/metrics.h"

#include <math.h>

double ingot_histogram_bound(int32_t i) {
    static const double leading[] = {1.0, 2.0, 5.0};
    if (i < 0 || i >= INGOT_BUCKETS - 1)
        return i < 0 ? 0.0 : (double)INFINITY;
    double bound = 0.001 * leading[i % 3];
    for (int32_t k = 0; k < i / 3; k++)
        bound *= 10.0;
    return bound;
}

void histogram_add(ingot_histogram *h, double seconds) {
    int32_t i = 0;
    while (seconds > ingot_histogram_bound(i))
        i++;
    h->counts[i]++;
    h->n++;
    h->seconds += seconds;
}
