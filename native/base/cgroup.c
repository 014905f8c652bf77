#include "base/cgroup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"

enum { PATH_SIZE = 4096, TEXT_SIZE = 8192 };

bool cgroup_parse_bytes(const char *text, uint64_t *bytes) {
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    *bytes = strtoull(text, &end, 10);
    return *end == '\0' || *end == '\n';
}

bool cgroup_parse_cpu_max(const char *text, double *cpus) {
    uint64_t quota, period;
    if (sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period) != 2 || *text == '-')
        return false;
    if (quota == 0 || period == 0)
        return false;
    *cpus = (double)quota / (double)period;
    return true;
}

// Whether the comma-separated `list` of `size` bytes has `item`; "" is in an empty list.
static bool list_has(const char *list, size_t size, const char *item) {
    size_t want = strlen(item);
    for (;;) {
        const char *comma = memchr(list, ',', size);
        size_t n = comma ? (size_t)(comma - list) : size;
        if (n == want && memcmp(list, item, n) == 0)
            return true;
        if (!comma)
            return false;
        list += n + 1;
        size -= n + 1;
    }
}

bool cgroup_path(const char *membership, const char *controller, char *path, size_t capacity) {
    // Lines of "hierarchy:controllers:path".
    for (const char *line = membership; *line;) {
        size_t size = strcspn(line, "\n");
        const char *first = memchr(line, ':', size);
        const char *second = first ? memchr(first + 1, ':', size - (size_t)(first + 1 - line)) : NULL;
        if (second && list_has(first + 1, (size_t)(second - first - 1), controller)) {
            size_t n = size - (size_t)(second + 1 - line);
            if (n >= capacity)
                return false;
            memcpy(path, second + 1, n);
            path[n] = '\0';
            return true;
        }
        line += size + (line[size] == '\n');
    }
    return false;
}

// Reads the file `name` of a group; false if there is none.
static bool group_text(const char *group, const char *name, char *text, size_t capacity) {
    char path[PATH_SIZE + 64];
    int n = snprintf(path, sizeof path, "%s/%s", group, name);
    return n > 0 && (size_t)n < sizeof path && file_read_text(path, text, capacity);
}

static bool group_bytes(const char *group, const char *name, uint64_t *bytes) {
    char text[64];
    return group_text(group, name, text, sizeof text) && cgroup_parse_bytes(text, bytes);
}

static void limit_cpus(cgroup_limits *limits, double cpus) {
    if (limits->cpus == 0 || cpus < limits->cpus)
        limits->cpus = cpus;
}

// `used` counts cached files too; `cached` of them can be dropped at any time.
static void limit_memory(cgroup_limits *limits, uint64_t max, uint64_t used, uint64_t cached) {
    uint64_t held = used > cached ? used - cached : 0;
    uint64_t left = max > held ? max - held : 0;
    if (max < limits->memory)
        limits->memory = max;
    if (left < limits->memory_available)
        limits->memory_available = left;
}

static void read_v2(const char *group, cgroup_limits *limits) {
    char text[TEXT_SIZE];
    double cpus;
    if (group_text(group, "cpu.max", text, sizeof text) && cgroup_parse_cpu_max(text, &cpus))
        limit_cpus(limits, cpus);
    uint64_t max, used = 0, cached = 0;
    if (!group_bytes(group, "memory.max", &max))
        return;
    group_bytes(group, "memory.current", &used);
    if (group_text(group, "memory.stat", text, sizeof text))
        cpu_parse_field(text, "inactive_file", &cached);
    limit_memory(limits, max, used, cached);
}

static void read_v1_cpu(const char *group, cgroup_limits *limits) {
    uint64_t quota, period; // a quota of -1 is none, and no number of bytes either
    if (group_bytes(group, "cpu.cfs_quota_us", &quota) && group_bytes(group, "cpu.cfs_period_us", &period) &&
        quota > 0 && period > 0)
        limit_cpus(limits, (double)quota / (double)period);
}

static void read_v1_memory(const char *group, cgroup_limits *limits) {
    const uint64_t no_limit = UINT64_C(1) << 60; // the kernel's word for none is a page below 2^63
    char text[TEXT_SIZE];
    uint64_t max, used = 0, cached = 0;
    if (!group_bytes(group, "memory.limit_in_bytes", &max) || max >= no_limit)
        return;
    group_bytes(group, "memory.usage_in_bytes", &used);
    if (group_text(group, "memory.stat", text, sizeof text))
        cpu_parse_field(text, "total_inactive_file", &cached);
    limit_memory(limits, max, used, cached);
}

typedef void (*group_fn)(const char *group, cgroup_limits *limits);

// Visits the group `path` below `mount` and all groups above it. Inside a container the path may name what
// only the host sees; the walk then comes down to the mount itself, which is the container's own group.
static void walk_up(const char *root, const char *mount, const char *path, group_fn visit,
                    cgroup_limits *limits) {
    char group[PATH_SIZE];
    int base = snprintf(group, sizeof group, "%s%s", root, mount);
    if (base <= 0 || (size_t)base >= sizeof group)
        return;
    size_t end = (size_t)base;
    if (!strstr(path, "/..") && strcmp(path, "/") != 0 && strlen(path) < sizeof group - end) {
        memcpy(group + end, path, strlen(path) + 1);
        end += strlen(path);
    }
    for (;;) {
        group[end] = '\0';
        visit(group, limits);
        if (end <= (size_t)base)
            return;
        do
            end--;
        while (end > (size_t)base && group[end] != '/');
    }
}

void cgroup_read(const char *membership, const char *root, cgroup_limits *out) {
    // Which hierarchies there are, and where distributions mount them.
    static const struct {
        const char *controller;
        const char *mount;
        group_fn visit;
    } places[] = {
        {"", "", read_v2},
        {"", "/unified", read_v2},
        {"cpu", "/cpu", read_v1_cpu},
        {"cpu", "/cpu,cpuacct", read_v1_cpu},
        {"memory", "/memory", read_v1_memory},
    };
    *out = (cgroup_limits){.cpus = 0, .memory = UINT64_MAX, .memory_available = UINT64_MAX};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[PATH_SIZE];
        if (cgroup_path(membership, places[i].controller, path, sizeof path))
            walk_up(root, places[i].mount, path, places[i].visit, out);
    }
}
