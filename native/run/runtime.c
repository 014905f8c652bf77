#include "run/runtime.h"

#include "base/cpu.h"
#include "base/thread.h"

enum { MAX_THREADS = 512 };

ingot_runtime_params ingot_runtime_default_params(void) {
    return (ingot_runtime_params){0};
}

ingot_status runtime_check(const ingot_runtime *r, ingot_error *err) {
    if (process_id() == r->process)
        return INGOT_OK;
    return fail(
        err, INGOT_ERR_STATE,
        "this object was made before fork() and its threads don't exist in the child process; make a new "
        "runtime there");
}

static ingot_status make_pool(ingot_runtime *r, const ingot_runtime_params *p, ingot_error *err) {
    int cores[MAX_THREADS];
    int usable = cpu_thread_count(cores, MAX_THREADS);
    int threads = p->threads > 0 ? p->threads : usable < MAX_THREADS ? usable : MAX_THREADS;
    bool pin = p->pin_threads && threads <= usable;
    if (p->pin_threads && !pin)
        log_line(&r->log, INGOT_LOG_WARN, "%d threads aren't bound to cores: this process may use %d",
                 threads, usable);
    return pool_new(threads, pin ? cores : NULL, r->env.mem, &r->env.threads, err);
}

ingot_status ingot_runtime_new(const ingot_runtime_params *params, ingot_runtime **out, ingot_error *err) {
    ingot_runtime_params p = params ? *params : ingot_runtime_default_params();
    if (p.threads < 0 || p.threads > MAX_THREADS)
        return fail(err, INGOT_ERR_INVALID, "threads is %d, expected 0 (choose) to %d", p.threads,
                    MAX_THREADS);
    const struct kernels *k;
    TRY(backend_isa_choose(p.isa, &k, err));
    ingot_runtime *r = mem_alloc(p.allocator, 1, sizeof *r);
    if (!r)
        return fail_memory(err, sizeof *r, "the runtime");
    r->log = (log_sink){p.log, p.log_user};
    r->process = process_id();
    r->env = (backend_params){BACKEND_VERSION, NULL, k, p.allocator, &r->log};
    ingot_status status = make_pool(r, &p, err);
    if (status != INGOT_OK) {
        mem_free(p.allocator, r);
        return status;
    }
    *out = r;
    return INGOT_OK;
}

void ingot_runtime_free(ingot_runtime *runtime) {
    // In a forked child the workers don't exist: there is nobody to join, and the memory goes with the
    // process.
    if (!runtime || process_id() != runtime->process)
        return;
    pool_free(runtime->env.threads);
    mem_free(runtime->env.mem, runtime);
}

int32_t ingot_runtime_threads(const ingot_runtime *runtime) {
    return pool_threads(runtime->env.threads);
}

const char *ingot_runtime_isa(const ingot_runtime *runtime) {
    return backend_isa_of(runtime->env.kernels);
}

const char *ingot_isa_name(int32_t i) {
    return backend_isa_name(i);
}

bool ingot_isa_usable(int32_t i) {
    return backend_isa_usable(i);
}

int32_t ingot_device_count(const ingot_runtime *runtime) {
    (void)runtime;
    int32_t n = 0;
    for (int32_t i = 0; backend_at(i); i++)
        n += backend_at(i)->device_count();
    return n;
}

ingot_status ingot_device_get(const ingot_runtime *runtime, int32_t i, ingot_device *out, ingot_error *err) {
    int32_t left = i;
    for (int32_t k = 0; left >= 0 && backend_at(k); k++) {
        if (left < backend_at(k)->device_count())
            return backend_at(k)->describe(&runtime->env, left, out, err);
        left -= backend_at(k)->device_count();
    }
    return fail(err, INGOT_ERR_NOT_FOUND, "there is no device %d; devices: %d", i,
                ingot_device_count(runtime));
}
