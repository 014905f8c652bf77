// The runtime: what the models of a process share.
#ifndef INGOT_RUN_RUNTIME_H
#define INGOT_RUN_RUNTIME_H

#include "backend/backend.h"

struct ingot_runtime {
    backend_params env;
    log_sink log;
    int64_t process; // that made it: threads don't survive a fork
};

// INGOT_ERR_STATE in a process other than the one that made the runtime.
ingot_status runtime_check(const ingot_runtime *r, ingot_error *err);

#endif
