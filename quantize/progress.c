#include <stdio.h>

#include "base/file.h"
#include "base/thread.h"
#include "quantize/report.h"

static const double PAUSE = 0.1; // seconds between two lines

progress progress_begin(const plan *p) {
    return (progress){.shown = file_is_terminal(2), .begin = clock_seconds(), .total = p->bytes_before};
}

void progress_step(progress *g, const plan *p, size_t tensor, uint64_t bytes) {
    g->done += bytes;
    double now = clock_seconds(), spent = now - g->begin;
    if (!g->shown || now - g->last < PAUSE)
        return;
    g->last = now;
    double rate = spent > 0 ? (double)g->done / spent : 0;
    double left = rate > 0 ? (double)(g->total - g->done) / rate : 0;
    const recipe_tensor *t = &p->tensors[tensor];
    fprintf(stderr, "\r[%zu/%zu] %.40s %s -> %s  %.0f %%  %s/s  %d:%02d left\033[K", tensor + 1, p->n,
            t->name, quant_type_get(t->from)->name, quant_type_get(t->to)->name,
            100.0 * (double)g->done / (double)(g->total ? g->total : 1), size_show((uint64_t)rate).text,
            (int)(left / 60), (int)left % 60);
    fflush(stderr);
}

void progress_end(progress *g) {
    if (g->shown && g->last > 0)
        fprintf(stderr, "\r\033[K");
    g->shown = false;
}
