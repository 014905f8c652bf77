// The program: the process's affairs, which the rest of it knows nothing of.
#include <signal.h>
#include <stdlib.h>

#include "quantize/run.h"

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
    stopped = 1;
    signal(number, SIG_DFL); // the second time it ends at once
}

static bool stop(void) {
    return stopped != 0;
}

#ifdef SIGPIPE
// Nobody reads how it goes on any more. Further lines aren't read either, and shall not kill us meanwhile.
static void on_pipe(int number) {
    stopped = 1;
    signal(number, SIG_IGN);
}
#endif

// What the caller has us ignore (nohup, a shell's background) stays ignored.
static void listen(int number, void (*handler)(int)) {
    if (signal(number, handler) == SIG_IGN)
        signal(number, SIG_IGN);
}

int main(int argc, char **argv) {
    listen(SIGINT, on_signal);
    listen(SIGTERM, on_signal);
#ifdef SIGPIPE
    listen(SIGPIPE, on_pipe);
#endif
#ifdef SIGHUP
    listen(SIGHUP, on_signal);
#endif
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); // a file that may not grow is an error of its write
#endif
    const char *isa = getenv("INGOT_ISA");
    return quantize_main(argc, argv, isa && *isa ? isa : NULL, stop);
}
