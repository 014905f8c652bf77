#include "quantize/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_text size_show(uint64_t bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 999.5 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1000;
    size_text s;
    snprintf(s.text, sizeof s.text, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
    return s;
}

static double bits(uint64_t bytes, uint64_t weights) {
    return weights > 0 ? 8.0 * (double)bytes / (double)weights : 0.0;
}

static uint64_t weights_of(const recipe_tensor *t) {
    return t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
}

static const char *type_name(int32_t type) {
    return quant_type_get(type)->name;
}

// The tensors of one type in the output.
typedef struct type_sum {
    size_t tensors;
    uint64_t weights, bytes;
    double error; // relative; negative if nothing was encoded to it
} type_sum;

static type_sum sum_type(const plan *p, const result *r, int32_t type) {
    type_sum sum = {.error = -1};
    for (size_t i = 0; i < p->n; i++)
        if (p->tensors[i].to == type) {
            sum.tensors++;
            sum.weights += weights_of(&p->tensors[i]);
            sum.bytes += p->details[i].bytes;
        }
    if (r && r->types[type].squares > 0)
        sum.error = sqrt(r->types[type].error / r->types[type].squares);
    return sum;
}

static void print_tensors(const plan *p) {
    printf("%-36s %-22s %-8s %-8s %14s %6s\n", "tensor", "shape", "from", "to", "bytes", "bits");
    for (size_t i = 0; i < p->n; i++) {
        const recipe_tensor *t = &p->tensors[i];
        char shape[96];
        int n = p->details[i].source->n_dims, at = 0;
        for (int d = 0; d < (n > 0 ? n : 1); d++)
            at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%" PRIu64, d ? " x " : "", t->shape[d]);
        printf("%-36s %-22s %-8s %-8s %14" PRIu64 " %6.2f%s\n", t->name, shape, type_name(t->from),
               type_name(t->to), p->details[i].bytes, bits(p->details[i].bytes, weights_of(t)),
               t->to != t->wanted ? "  (rows too uneven for more)" : "");
    }
    printf("\n");
}

static void print_types(const plan *p, const result *r) {
    printf("%-8s %8s %16s %12s %6s%s\n", "type", "tensors", "weights", "size", "bits",
           r ? "  relative error" : "");
    for (int32_t i = 0; quant_type_at(i); i++) {
        int32_t type = quant_type_at(i)->id;
        type_sum s = sum_type(p, r, type);
        if (s.tensors == 0)
            continue;
        printf("%-8s %8zu %16" PRIu64 " %12s %6.2f", type_name(type), s.tensors, s.weights,
               size_show(s.bytes).text, bits(s.bytes, s.weights));
        if (s.error >= 0)
            printf("  %.5f", s.error);
        printf("\n");
    }
}

void report_table(const plan *p, const result *r, const char *problem) {
    if (problem)
        fprintf(stderr, "quantize: without --dry-run this would fail: %s\n", problem);
    if (!r)
        print_tensors(p);
    print_types(p, r);
    printf("\n%s: %s of weights, %.2f bits each\n", p->options->input, size_show(p->bytes_before).text,
           bits(p->bytes_before, p->weights));
    printf("%s%s %s, %.2f bits each", r ? p->options->output : p->options->target->name,
           r ? ":" : " would take", size_show(p->bytes).text, bits(p->bytes, p->weights));
    if (r)
        printf(", in %.1f s", r->seconds);
    printf("\n");
}

void report_json_text(FILE *file, const char *text) {
    putc('"', file);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20)
            fprintf(file, "\\u%04x", *c);
        else
            fprintf(file, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    putc('"', file);
}

static void json_text(const char *text) {
    report_json_text(stdout, text);
}

void report_warning(bool json, const char *format, ...) {
    char text[2 * sizeof((ingot_error){0}.message)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!json) {
        fprintf(stderr, "quantize: %s\n", text);
        return;
    }
    fprintf(stderr, "{\"warning\": ");
    report_json_text(stderr, text);
    fprintf(stderr, "}\n");
}

void report_error(bool json, const ingot_error *err) {
    if (!json) {
        fprintf(stderr, "quantize: %s\n", err->message);
        return;
    }
    fprintf(stderr, "{\"error\": ");
    report_json_text(stderr, err->message);
    fprintf(stderr, ", \"status\": \"%s\"}\n", ingot_status_name(err->status));
}

void report_warnings(const plan *p) {
    const options *o = p->options;
    if (p->n_fallbacks > 0)
        report_warning(
            o->json, "%zu of %zu tensors have rows that the wanted types' blocks don't divide and get others",
            p->n_fallbacks, p->n);
    if (p->n_apart > 0)
        report_warning(o->json,
                       "--effort high does nothing for %zu of the tensors: their types have codes of several "
                       "weights",
                       p->n_apart);
    if (p->n_uncorrelated > 0)
        report_warning(o->json,
                       "--effort high does nothing for %zu of the tensors: %s has no correlations of "
                       "them",
                       p->n_uncorrelated, o->imatrix);
    if (p->n_unimportant > 0)
        report_warning(o->json, "%s has no entry for %zu of the tensors that are quantised", o->imatrix,
                       p->n_unimportant);
}

static void json_tensors(const plan *p) {
    printf("\"tensors\": [");
    for (size_t i = 0; i < p->n; i++) {
        const recipe_tensor *t = &p->tensors[i];
        printf("%s\n{\"name\": ", i ? "," : "");
        json_text(t->name);
        printf(", \"shape\": [");
        for (int d = 0; d < p->details[i].source->n_dims; d++)
            printf("%s%" PRIu64, d ? ", " : "", t->shape[d]);
        printf("], \"from\": \"%s\", \"to\": \"%s\", \"wanted\": \"%s\", \"bytes_before\": %" PRIu64
               ", \"bytes\": %" PRIu64 ", \"bits_per_weight\": %.4f, \"importance\": %s, \"feedback\": %s}",
               type_name(t->from), type_name(t->to), type_name(t->wanted), p->details[i].source->bytes,
               p->details[i].bytes, bits(p->details[i].bytes, weights_of(t)),
               p->details[i].importance ? "true" : "false", p->details[i].feedback ? "true" : "false");
    }
    printf("],\n");
}

static void json_types(const plan *p, const result *r) {
    printf("\"types\": [");
    const char *comma = "";
    for (int32_t i = 0; quant_type_at(i); i++) {
        int32_t type = quant_type_at(i)->id;
        type_sum s = sum_type(p, r, type);
        if (s.tensors == 0)
            continue;
        printf("%s\n{\"type\": \"%s\", \"tensors\": %zu, \"weights\": %" PRIu64 ", \"bytes\": %" PRIu64
               ", \"relative_error\": ",
               comma, type_name(type), s.tensors, s.weights, s.bytes);
        if (s.error >= 0 && isfinite(s.error))
            printf("%.9g}", s.error);
        else
            printf("null}");
        comma = ",";
    }
    printf("],\n");
}

void report_json(const plan *p, const result *r, const char *problem) {
    printf("{\"input\": ");
    json_text(p->options->input);
    printf(", \"output\": ");
    json_text(p->options->output);
    printf(", \"file_type\": \"%s\", \"file_type_id\": %d, \"dry_run\": %s,\n", p->options->target->name,
           p->file_type, r ? "false" : "true");
    json_tensors(p);
    json_types(p, r);
    printf("\"weights\": %" PRIu64 ", \"bytes_before\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"bits_per_weight\": %.4f, \"seconds\": ",
           p->weights, p->bytes_before, p->bytes, bits(p->bytes, p->weights));
    if (r)
        printf("%.3f", r->seconds);
    else
        printf("null");
    printf(", \"problem\": ");
    if (problem)
        json_text(problem);
    else
        printf("null");
    printf("}\n");
}
