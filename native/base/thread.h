// Threads, locks, clocks and virtual memory: the operating system's part of concurrency.
#ifndef INGOT_BASE_THREAD_H
#define INGOT_BASE_THREAD_H

#include <pthread.h>

#include "base/status.h"

typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition; // waits on the monotonic clock
typedef pthread_t thread;

ingot_status mutex_init(mutex *m, ingot_error *err);
void mutex_free(mutex *m);
void mutex_lock(mutex *m);
void mutex_unlock(mutex *m);

ingot_status condition_init(condition *c, ingot_error *err);
void condition_free(condition *c);
void condition_wake_all(condition *c);
void condition_wait(condition *c, mutex *m);

// Waits until clock_seconds() >= `deadline` at most; false when the time is over.
bool condition_wait_until(condition *c, mutex *m, double deadline);

// A monitor: a lock, and two conditions that are waited for under it. All of them are made, or none.
ingot_status monitor_init(mutex *lock, condition *one, condition *other, ingot_error *err);
void monitor_free(mutex *lock, condition *one, condition *other);

// Signals are blocked in the new thread, so that Ctrl-C reaches the program's own; those that a fault of the
// thread itself raises are not, since a blocked one can't be handled (see map.h). `name` is cut off at 15
// bytes. INGOT_ERR_MEMORY if the system has no thread left.
ingot_status thread_start(thread *t, void (*body)(void *), void *arg, const char *name, ingot_error *err);
void thread_join(thread t);

// Lets other threads that wait for this core run first.
void thread_yield(void);

// Binds the calling thread to a logical CPU; false where the system refuses or can't.
bool thread_bind(int core);

// Seconds on a monotonic clock.
double clock_seconds(void);

// Seconds of CPU time that the calling thread has had.
double thread_seconds(void);

// The process's id, to refuse work after a fork.
int64_t process_id(void);

// Reserves `size` bytes of zeroed memory of which pages become resident only when touched; NULL if refused or
// if `size` is 0.
void *vm_reserve(uint64_t size);

// Gives back a whole block of vm_reserve, with the size it was made with. NULL is allowed.
void vm_release(void *block, uint64_t size);

#endif
