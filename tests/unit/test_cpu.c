// The machine: parsers of the kernel's small texts, made-up machines, and this one.
#include "base/cgroup.h"
#include "base/cpu.h"
#include "base/file.h"
#include "check.h"
#include "temp.h"

// The ids of `set` as text: "0,2,3".
static const char *ids(const cpu_set *set, char *text, size_t capacity) {
    size_t n = 0;
    text[0] = '\0';
    for (int id = 0; id < CPU_MAX && n + 8 < capacity; id++)
        if (cpu_set_has(set, id))
            n += (size_t)snprintf(text + n, capacity - n, "%s%d", n ? "," : "", id);
    return text;
}

static void check_list(const char *text, bool ok, const char *expected) {
    cpu_set set;
    char buffer[256];
    memset(&set, 0xff, sizeof set);
    CHECK(cpu_parse_list(text, &set) == ok);
    CHECK(strcmp(ids(&set, buffer, sizeof buffer), expected) == 0);
}

static void test_parse_list(void) {
    check_list("0-3,8", true, "0,1,2,3,8");
    check_list("0-3,8\n", true, "0,1,2,3,8");
    check_list("5", true, "5");
    check_list("0,64,4095", true, "0,64,4095");
    check_list("", true, "");
    check_list("\n", true, "");
    static const char *const bad[] = {"x",    "1-",  "-1",     "3-1",         "1,",
                                      "1,,2", "1;2", "0-4096", "99999999999", "1 2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_list(bad[i], false, "");
    cpu_set set;
    CHECK(cpu_parse_list("0-4095", &set) && cpu_set_count(&set) == CPU_MAX);
    CHECK(!cpu_set_has(&set, -1) && !cpu_set_has(&set, CPU_MAX));
}

static void test_parse_field(void) {
    const char *text = "MemTotal:       25276516 kB\nMemFree:  1 kB\nMemAvailable:   24238067 kB\n";
    uint64_t value = 0;
    CHECK(cpu_parse_field(text, "MemTotal", &value) && value == 25276516);
    CHECK(cpu_parse_field(text, "MemAvailable", &value) && value == 24238067);
    CHECK(!cpu_parse_field(text, "Mem", &value) && !cpu_parse_field(text, "SwapFree", &value));
    CHECK(!cpu_parse_field("", "MemTotal", &value) && !cpu_parse_field("MemTotal:\n", "MemTotal", &value));
    CHECK(cpu_parse_field("total_inactive_file 5\ninactive_file 7", "inactive_file", &value) && value == 7);
    CHECK(!cpu_parse_field("a1 5", "a", &value));
}

static void test_parse_cgroup(void) {
    double cpus = 0;
    CHECK(cgroup_parse_cpu_max("150000 100000\n", &cpus) && cpus == 1.5);
    CHECK(cgroup_parse_cpu_max("50000 100000", &cpus) && cpus == 0.5);
    static const char *const none[] = {"max 100000\n", "",          "100000", "0 100000",
                                       "100000 0",     "-1 100000", "x y"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(!cgroup_parse_cpu_max(none[i], &cpus));
    uint64_t bytes = 0;
    CHECK(cgroup_parse_bytes("1073741824\n", &bytes) && bytes == 1 << 30);
    CHECK(!cgroup_parse_bytes("max\n", &bytes) && !cgroup_parse_bytes("", &bytes));
    CHECK(!cgroup_parse_bytes("-1", &bytes) && !cgroup_parse_bytes("12x", &bytes));
    const char *hybrid = "9:name=systemd:/s\n4:memory:/m/a:b\n2:cpu,cpuacct:/c\n1:cpuset:/t\n0::/two\n";
    char path[16];
    CHECK(cgroup_path(hybrid, "", path, sizeof path) && strcmp(path, "/two") == 0);
    CHECK(cgroup_path(hybrid, "cpu", path, sizeof path) && strcmp(path, "/c") == 0);
    CHECK(cgroup_path(hybrid, "cpuacct", path, sizeof path) && strcmp(path, "/c") == 0);
    CHECK(cgroup_path(hybrid, "memory", path, sizeof path) && strcmp(path, "/m/a:b") == 0);
    CHECK(!cgroup_path(hybrid, "io", path, sizeof path) && !cgroup_path("", "", path, sizeof path));
    CHECK(!cgroup_path(hybrid, "memory", path, 6) && !cgroup_path("nonsense\n0:\n", "", path, sizeof path));
}

static void test_cgroup_v2(void) {
    temp_dir dir = temp_dir_make();
    temp_text(&dir, "a/cpu.max", "250000 100000\n");
    temp_text(&dir, "a/b/cpu.max", "max 100000\n");
    temp_text(&dir, "a/b/c/cpu.max", "300000 100000\n");
    temp_text(&dir, "a/memory.max", "1000\n");
    temp_text(&dir, "a/memory.current", "900\n");
    temp_text(&dir, "a/memory.stat", "anon 400\ninactive_file 300\n");
    temp_text(&dir, "a/b/c/memory.max", "800\n");
    temp_text(&dir, "a/b/c/memory.current", "100\n");
    temp_text(&dir, "other/cpu.max", "1 100000\n");
    cgroup_limits limits;
    cgroup_read("0::/a/b/c\n", dir.path, &limits);
    CHECK(limits.cpus == 2.5 && limits.memory == 800 && limits.memory_available == 400);
    cgroup_read("0::/\n", dir.path, &limits);
    CHECK(limits.cpus == 0 && limits.memory == UINT64_MAX && limits.memory_available == UINT64_MAX);
    temp_text(&dir, "cpu.max",
              "10000 100000\n"); // the container's own group, its name known to the host alone
    cgroup_read("0::/docker/0123456789abcdef\n", dir.path, &limits);
    CHECK(limits.cpus == 0.1);
    cgroup_read("0::/../../elsewhere\n", dir.path, &limits);
    CHECK(limits.cpus == 0.1);
    cgroup_read("", dir.path, &limits);
    CHECK(limits.cpus == 0);
    temp_text(&dir, "a/memory.current", "5000\n");
    cgroup_read("0::/a", dir.path, &limits);
    CHECK(limits.memory_available == 0);
    temp_dir_remove(&dir);
}

static void test_cgroup_v1(void) {
    temp_dir dir = temp_dir_make();
    temp_text(&dir, "cpu,cpuacct/g/cpu.cfs_quota_us", "150000\n");
    temp_text(&dir, "cpu,cpuacct/g/cpu.cfs_period_us", "100000\n");
    temp_text(&dir, "cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    temp_text(&dir, "cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    temp_text(&dir, "memory/g/memory.limit_in_bytes", "4096\n");
    temp_text(&dir, "memory/g/memory.usage_in_bytes", "1024\n");
    temp_text(&dir, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    temp_text(&dir, "memory/memory.usage_in_bytes", "9223372036854771712\n");
    cgroup_limits limits;
    cgroup_read("3:memory:/g\n2:cpu,cpuacct:/g\n", dir.path, &limits);
    CHECK(limits.cpus == 1.5 && limits.memory == 4096 && limits.memory_available == 3072);
    cgroup_read("3:memory:/\n2:cpu,cpuacct:/\n", dir.path, &limits);
    CHECK(limits.cpus == 0 && limits.memory == UINT64_MAX);
    temp_dir_remove(&dir);
}

static void check_pick(const temp_dir *dir, const char *allowed, const char *expected) {
    cpu_set set, picked;
    char buffer[256];
    CHECK(cpu_parse_list(allowed, &set));
    cpu_pick_cores(dir->path, &set, &picked);
    ids(&picked, buffer, sizeof buffer);
    CHECK(strcmp(buffer, expected) == 0);
}

static void set_cpu(const temp_dir *dir, int id, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "devices/system/cpu/cpu%d/%s", id, name);
    temp_text(dir, path, text);
}

static void test_pick_cores(void) {
    temp_dir dir = temp_dir_make();
    check_pick(&dir, "0-3", "0,1,2,3"); // nothing known
    // Two cores of two threads and four small ones.
    for (int id = 0; id < 8; id++) {
        char own[8];
        snprintf(own, sizeof own, "%d\n", id);
        set_cpu(&dir, id, "topology/core_cpus_list", id < 2 ? "0-1\n" : id < 4 ? "2-3\n" : own);
    }
    check_pick(&dir, "0-7", "0,2,4,5,6,7");
    temp_text(&dir, "devices/cpu_core/cpus", "0-3\n");
    check_pick(&dir, "0-7", "0,2");
    check_pick(&dir, "1,3-5", "1,3");
    check_pick(&dir, "5-7", "5,6,7"); // small ones are all there are
    temp_dir_remove(&dir);
    dir = temp_dir_make();
    for (int id = 0; id < 8; id++)
        set_cpu(&dir, id, "cpu_capacity", id < 4 ? "250\n" : id < 7 ? "620\n" : "1024\n");
    set_cpu(&dir, 4, "topology/thread_siblings_list", "4\n");
    check_pick(&dir, "0-7", "4,5,6,7");
    check_pick(&dir, "0-2", "0,1,2");
    temp_dir_remove(&dir);
}

// What must hold on any machine.
static void test_this_machine(void) {
    int cores[CPU_MAX];
    memset(cores, 0xff, sizeof cores);
    int threads = cpu_thread_count(cores, CPU_MAX);
    CHECK(threads >= 1 && threads <= cpu_core_count());
    for (int i = 0; i < threads; i++)
        CHECK(cores[i] >= 0 && (i == 0 || cores[i] > cores[i - 1]));
    CHECK(cpu_thread_count(NULL, 0) == threads);
    uint64_t total = 0, available = 0;
    cpu_memory(&total, &available);
    CHECK(total >= UINT64_C(64) << 20 && available > 0 && available <= total);
    char name[128] = "", little[4];
    cpu_model_name(name, sizeof name);
    CHECK(strlen(name) > 0 && name[0] != ' ' && name[strlen(name) - 1] != ' ');
    cpu_model_name(little, sizeof little);
    CHECK(strncmp(name, little, 2) == 0 && strlen(little) <= 3);
    cpu_features f;
    cpu_detect(&f);
    CHECK(f.avx2_fma_f16c || !(f.avx512 || f.avx_vnni));
    CHECK(f.avx512 || !(f.avx512_vnni || f.avx512_bf16));
    CHECK(f.neon_dotprod || !f.neon_i8mm);
    printf("%s, %d threads, %d cores, %.1f of %.1f GB free\n", name, threads, cpu_core_count(),
           (double)available / 1e9, (double)total / 1e9);
}

#if defined(__x86_64__)
static const char flags_line[] = "\nflags\t";
#else
static const char flags_line[] = "\nFeatures\t"; // ARM
#endif

// Whether the kernel's list of features has all of these words.
static bool kernel_has(const char *flags, const char *const *words) {
    for (; *words; words++) {
        char word[32];
        snprintf(word, sizeof word, " %s ", *words);
        if (!strstr(flags, word))
            return false;
    }
    return true;
}

// The kernel's own account of the first CPU.
static void test_features_against_kernel(void) {
    static char text[1 << 14];
    char *flags = file_read_text("/proc/cpuinfo", text, sizeof text) ? strstr(text, flags_line) : NULL;
    if (!flags) {
        printf("features not compared: /proc/cpuinfo has none of this architecture\n");
        return;
    }
    char *end = strchr(++flags, '\n');
    if (end)
        memcpy(end, " ", 2);
    cpu_features f;
    cpu_detect(&f);
#define HAS(...) kernel_has(flags, (const char *const[]){__VA_ARGS__, NULL})
    CHECK(f.avx2_fma_f16c == HAS("avx2", "fma", "f16c"));
    CHECK(f.avx_vnni == HAS("avx_vnni"));
    CHECK(f.avx512 == HAS("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"));
    CHECK(f.avx512_vnni == HAS("avx512_vnni"));
    CHECK(f.avx512_bf16 == HAS("avx512_bf16"));
    CHECK(f.neon_dotprod == HAS("asimddp"));
    CHECK(f.neon_i8mm == HAS("asimddp", "i8mm"));
#undef HAS
}

int main(void) {
    test_parse_list();
    test_parse_field();
    test_parse_cgroup();
    test_cgroup_v2();
    test_cgroup_v1();
    test_pick_cores();
    test_this_machine();
    test_features_against_kernel();
    return check_report();
}
