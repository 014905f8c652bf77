#include <stdio.h>

#include "base/file.h"
#include "base/thread.h"
#include "quantize/report.h"

static const double PAUSE = 0.1; // seconds between two lines

progress progress_begin(const plan *p) {
    bool terminal = file_is_terminal(2);
    return (progress){.terminal = terminal,
                      .lines = !terminal && p->options->json,
                      .begin = clock_seconds(),
                      .total = p->bytes_before};
}

static void show(const progress *g, const plan *p, size_t tensor, double spent) {
    double rate = spent > 0 ? (double)g->done / spent : 0;
    double left = rate > 0 ? (double)(g->total - g->done) / rate : 0;
    const recipe_tensor *t = &p->tensors[tensor];
    fprintf(stderr, "\r[%zu/%zu] %.40s %s -> %s  %.0f %%  %s/s  %d:%02d left\033[K", tensor + 1, p->n,
            t->name, quant_type_get(t->from)->name, quant_type_get(t->to)->name,
            100.0 * (double)g->done / (double)(g->total ? g->total : 1), size_show((uint64_t)rate).text,
            (int)(left / 60), (int)left % 60);
}

// {"progress": share, "tensor": name, "number": from 1, "of": tensors}
static void show_line(const progress *g, const plan *p, size_t tensor) {
    fprintf(stderr, "{\"progress\": %.4f, \"tensor\": ", (double)g->done / (double)g->total);
    report_json_text(stderr, p->tensors[tensor].name);
    fprintf(stderr, ", \"number\": %zu, \"of\": %zu}\n", tensor + 1, p->n);
}

void progress_step(progress *g, const plan *p, size_t tensor, uint64_t bytes) {
    g->done += bytes;
    double now = clock_seconds();
    bool last = g->lines && g->done == g->total;
    if (!(g->terminal || g->lines) || (now - g->last < PAUSE && !last))
        return;
    g->last = now;
    if (g->terminal)
        show(g, p, tensor, now - g->begin);
    else
        show_line(g, p, tensor);
    fflush(stderr);
}

void progress_end(progress *g) {
    if (g->terminal && g->last > 0)
        fprintf(stderr, "\r\033[K");
    *g = (progress){0};
}
