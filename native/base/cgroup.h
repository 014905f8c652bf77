// Limits that a container or a service manager sets through control groups.
// Formats: https://docs.kernel.org/admin-guide/cgroup-v2.html (v2), .../cgroup-v1/memory.html and the CFS
// bandwidth page (v1).
#ifndef INGOT_BASE_CGROUP_H
#define INGOT_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cgroup_limits {
    double cpus;               // processors' worth of time; 0: no quota
    uint64_t memory;           // bytes that may be used; UINT64_MAX: no limit
    uint64_t memory_available; // bytes that are left of them; UINT64_MAX: no limit
} cgroup_limits;

// The limits of the process whose /proc/self/cgroup reads `membership`: the tightest of its group and all
// groups above, v1 and v2, below `root` (normally "/sys/fs/cgroup").
void cgroup_read(const char *membership, const char *root, cgroup_limits *out);

// cpu.max of v2: "150000 100000" gives 1.5; "max 100000" is no quota: false, as is malformed text.
bool cgroup_parse_cpu_max(const char *text, double *cpus);

// memory.max and such: a number of bytes; false for "max" and malformed text.
bool cgroup_parse_bytes(const char *text, uint64_t *bytes);

// The group's path ("/user.slice/x") for a v1 `controller` ("cpu"), or in the v2 hierarchy (""); false if
// `membership` has none or `capacity` bytes don't hold it.
bool cgroup_path(const char *membership, const char *controller, char *path, size_t capacity);

#endif
