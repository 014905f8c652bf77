// Which cores a process may use, and which of them pay; how much memory there is.
#include "base/cpu.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/file.h"

#if defined(__APPLE__)
#include <mach/mach.h>
#include <sys/sysctl.h>
#include <sys/types.h>
#else
#include <sched.h>
#endif

enum { LIST_SIZE = 16384 };

// ------------------------------------------------------------------------------------------------- parsing

bool cpu_set_has(const cpu_set *set, int id) {
    return id >= 0 && id < CPU_MAX && (set->words[id / 64] >> (id % 64) & 1) != 0;
}

void cpu_set_add(cpu_set *set, int id) {
    if (id >= 0 && id < CPU_MAX)
        set->words[id / 64] |= UINT64_C(1) << (id % 64);
}

int cpu_set_count(const cpu_set *set) {
    int n = 0;
    for (size_t i = 0; i < CPU_MAX / 64; i++)
        n += __builtin_popcountll(set->words[i]);
    return n;
}

// Reads an id below CPU_MAX; NULL if there is none.
static const char *parse_id(const char *text, int *id) {
    if (!isdigit((unsigned char)*text))
        return NULL;
    for (*id = 0; isdigit((unsigned char)*text); text++) {
        *id = *id * 10 + (*text - '0');
        if (*id >= CPU_MAX)
            return NULL;
    }
    return text;
}

// Reads "3" or "0-3" and adds them; NULL if it is neither.
static const char *parse_range(const char *text, cpu_set *out) {
    int first, last;
    text = parse_id(text, &first);
    if (!text)
        return NULL;
    last = first;
    if (*text == '-')
        text = parse_id(text + 1, &last);
    if (!text || last < first)
        return NULL;
    for (int id = first; id <= last; id++)
        cpu_set_add(out, id);
    return text;
}

bool cpu_parse_list(const char *text, cpu_set *out) {
    memset(out, 0, sizeof *out);
    while (*text && *text != '\n') {
        text = parse_range(text, out);
        if (text && *text == ',' && text[1] != '\n' && text[1] != '\0')
            text++;
        else if (!text || (*text != '\n' && *text != '\0')) {
            memset(out, 0, sizeof *out);
            return false;
        }
    }
    return true;
}

bool cpu_parse_field(const char *text, const char *key, uint64_t *out) {
    size_t size = strlen(key);
    while (*text) {
        if (strncmp(text, key, size) == 0) {
            const char *value = text + size;
            value += *value == ':';
            value += strspn(value, " \t");
            if (isdigit((unsigned char)*value) && value > text + size) {
                *out = strtoull(value, NULL, 10);
                return true;
            }
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return false;
}

// ------------------------------------------------------------------------------------------------- cores

// Reads the file SYS/devices/system/cpu/cpuID/NAME.
static bool cpu_text(const char *sys, int id, const char *name, char *text, size_t capacity) {
    char path[512];
    int n = snprintf(path, sizeof path, "%s/devices/system/cpu/cpu%d/%s", sys, id, name);
    return n > 0 && (size_t)n < sizeof path && file_read_text(path, text, capacity);
}

static uint64_t cpu_capacity(const char *sys, int id) {
    char text[32];
    return cpu_text(sys, id, "cpu_capacity", text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

// The performance cores of hybrid machines: x86 kernels list them; ARM kernels give each CPU a capacity, of
// which the efficiency cores have less than half of the largest. Empty if all are alike.
static void performance_cpus(const char *sys, const cpu_set *allowed, cpu_set *out) {
    char path[512], text[LIST_SIZE];
    snprintf(path, sizeof path, "%s/devices/cpu_core/cpus", sys);
    if (file_read_text(path, text, sizeof text) && cpu_parse_list(text, out))
        return;
    memset(out, 0, sizeof *out);
    uint64_t most = 0;
    for (int id = 0; id < CPU_MAX; id++)
        if (cpu_set_has(allowed, id)) {
            uint64_t capacity = cpu_capacity(sys, id);
            if (capacity == 0)
                return;
            most = capacity > most ? capacity : most;
        }
    for (int id = 0; id < CPU_MAX; id++)
        if (cpu_set_has(allowed, id) && cpu_capacity(sys, id) * 2 > most)
            cpu_set_add(out, id);
}

// Whether `id` is the first of its core's logical CPUs that `set` has.
static bool first_of_core(const char *sys, int id, const cpu_set *set) {
    char text[LIST_SIZE];
    cpu_set siblings;
    if (!cpu_text(sys, id, "topology/core_cpus_list", text, sizeof text) &&
        !cpu_text(sys, id, "topology/thread_siblings_list", text, sizeof text))
        return true;
    if (!cpu_parse_list(text, &siblings))
        return true;
    for (int other = 0; other < id; other++)
        if (cpu_set_has(&siblings, other) && cpu_set_has(set, other))
            return false;
    return true;
}

void cpu_pick_cores(const char *sys, const cpu_set *allowed, cpu_set *out) {
    cpu_set fast, set = *allowed;
    performance_cpus(sys, allowed, &fast);
    for (size_t i = 0; i < CPU_MAX / 64; i++)
        fast.words[i] &= allowed->words[i];
    if (cpu_set_count(&fast) > 0)
        set = fast;
    memset(out, 0, sizeof *out);
    for (int id = 0; id < CPU_MAX; id++)
        if (cpu_set_has(&set, id) && first_of_core(sys, id, &set))
            cpu_set_add(out, id);
}

#if defined(__APPLE__)

static uint64_t apple_number(const char *key) {
    uint64_t value = 0; // the low half is filled if the kernel has 32 bits for it
    size_t size = sizeof value;
    return sysctlbyname(key, &value, &size, NULL, 0) == 0 ? value : 0;
}

int cpu_core_count(void) {
    uint64_t n = apple_number("hw.physicalcpu");
    return n > 0 ? (int)n : 1;
}

int cpu_thread_count(int *cores, int capacity) {
    uint64_t fast = apple_number("hw.perflevel0.physicalcpu");
    int n = fast > 0 ? (int)fast : cpu_core_count();
    for (int i = 0; cores && i < n && i < capacity; i++)
        cores[i] = i;
    return n;
}

void cpu_memory(uint64_t *total, uint64_t *available) {
    vm_statistics64_data_t vm;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    *total = apple_number("hw.memsize");
    *available = 0;
    if (host_statistics64(mach_host_self(), HOST_VM_INFO64, (host_info64_t)&vm, &count) == KERN_SUCCESS)
        *available =
            ((uint64_t)vm.free_count + vm.inactive_count + vm.purgeable_count) * apple_number("hw.pagesize");
}

#else

static void limits_read(cgroup_limits *out) {
    char membership[LIST_SIZE];
    if (!file_read_text("/proc/self/cgroup", membership, sizeof membership))
        membership[0] = '\0';
    cgroup_read(membership, "/sys/fs/cgroup", out);
}

// CPUs that this process may run on.
static void allowed_cpus(cpu_set *out) {
    memset(out, 0, sizeof *out);
    if (sched_getaffinity(0, sizeof out->words, (cpu_set_t *)out->words) == 0 && cpu_set_count(out) > 0)
        return;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    for (int id = 0; id < (n > 0 ? n : 1); id++)
        cpu_set_add(out, id);
}

int cpu_thread_count(int *cores, int capacity) {
    cpu_set allowed, picked;
    allowed_cpus(&allowed);
    cpu_pick_cores("/sys", &allowed, &picked);
    int n = cpu_set_count(&picked);
    cgroup_limits limits;
    limits_read(&limits);
    if (limits.cpus > 0 && ceil(limits.cpus) < n)
        n = (int)ceil(limits.cpus);
    int filled = 0;
    for (int id = 0; cores && id < CPU_MAX && filled < n && filled < capacity; id++)
        if (cpu_set_has(&picked, id))
            cores[filled++] = id;
    return n > 0 ? n : 1;
}

int cpu_core_count(void) {
    char text[LIST_SIZE];
    cpu_set online;
    if (!file_read_text("/sys/devices/system/cpu/online", text, sizeof text) ||
        !cpu_parse_list(text, &online))
        allowed_cpus(&online);
    int n = 0;
    for (int id = 0; id < CPU_MAX; id++)
        n += cpu_set_has(&online, id) && first_of_core("/sys", id, &online);
    return n > 0 ? n : 1;
}

void cpu_memory(uint64_t *total, uint64_t *available) {
    char text[LIST_SIZE];
    uint64_t total_kib = 0, available_kib = 0;
    if (file_read_text("/proc/meminfo", text, sizeof text)) {
        cpu_parse_field(text, "MemTotal", &total_kib);
        cpu_parse_field(text, "MemAvailable", &available_kib);
    }
    cgroup_limits limits;
    limits_read(&limits);
    *total = total_kib * 1024 < limits.memory ? total_kib * 1024 : limits.memory;
    *available =
        available_kib * 1024 < limits.memory_available ? available_kib * 1024 : limits.memory_available;
}

#endif
