#include <errno.h>
#include <stdio.h>

#include "quantize/run.h"

enum { DONE = 0, FAILED = 1, WRONG_USAGE = 2, INTERRUPTED = 130 };

static int complain(bool json, const ingot_error *err) {
    report_error(json, err);
    return err->status == INGOT_ERR_CANCELLED ? INTERRUPTED : FAILED;
}

// What was printed must have arrived.
static int finish_output(void) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return DONE;
    if (errno != EPIPE) // else the reader wanted no more
        fprintf(stderr, "quantize: the report couldn't be written\n");
    return FAILED;
}

static int report(const plan *p, const result *r, const char *problem) {
    (p->options->json ? report_json : report_table)(p, r, problem);
    return finish_output();
}

static int carry_out(const plan *p, ingot_runtime *runtime, stop_fn stop) {
    ingot_error err = {0};
    result r;
    report_warnings(p);
    if (p->options->dry_run) {
        bool sound = quantize_plan_check(p, &err) == INGOT_OK;
        return report(p, NULL, sound ? NULL : err.message);
    }
    if (quantize_plan_check(p, &err) != INGOT_OK || run_plan(p, runtime, stop, &r, &err) != INGOT_OK)
        return complain(p->options->json, &err);
    return report(p, &r, NULL);
}

static int with_options(const options *o, const char *isa, stop_fn stop) {
    ingot_error err = {0};
    ingot_runtime_params params = ingot_runtime_default_params();
    ingot_runtime *runtime = NULL;
    plan p;
    params.threads = o->dry_run ? 1 : o->threads;
    params.isa = isa;
    if (ingot_runtime_new(&params, &runtime, &err) != INGOT_OK)
        return complain(o->json, &err);
    int code;
    if (quantize_plan_make(o, runtime, &p, &err) == INGOT_OK) {
        code = carry_out(&p, runtime, stop);
        quantize_plan_free(&p);
    } else {
        code = complain(o->json, &err);
    }
    ingot_runtime_free(runtime);
    return code;
}

int quantize_main(int argc, char **argv, const char *isa, stop_fn stop) {
    ingot_error err = {0};
    options o;
    int code;
    ingot_status status = options_read(argc - 1, argv + 1, &o, &err);
    if (status == INGOT_ERR_INVALID) {
        report_error(o.json, &err);
        if (!o.json)
            fprintf(stderr,
                    "usage: quantize [options] IN.gguf [OUT.gguf] TYPE [THREADS]; --help says more\n");
        code = WRONG_USAGE;
    } else if (status != INGOT_OK) { // a file of options that can't be read
        code = complain(o.json, &err);
    } else if (o.help) {
        help_print();
        code = finish_output();
    } else {
        code = with_options(&o, isa, stop);
    }
    options_free(&o);
    return code;
}
