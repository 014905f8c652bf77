// The prefix cache on disk, and sessions: what comes back is what was computed, and files that are cut off,
// damaged, strange or gone change nothing but the time.
#include <dirent.h>
#include <unistd.h>

#include "base/folder.h"
#include "run/kv_file.h"
#include "session.h"

enum { N_CTX = 1024, PAGE = 32, N_LONG = 10 * PAGE + 5, N_TEXTS = 6, PAGES_OF_RAM = 34 };

static temp_dir dir;
static temp_path dense, cache;
static int32_t texts[N_TEXTS][N_LONG]; // the first half of each is the same
static answer expected[N_TEXTS];

// ------------------------------------------------------------------------------------------------- files

enum { FILE_PAGES = 3, FILE_PAGE_BYTES = 100, FILE_TOKENS = 5 * PAGE + 7, FIRST_PAGE = 2 };

static ingot_status give_page(void *user, int32_t page, void *bytes, ingot_error *err) {
    (void)user;
    (void)err;
    memset(bytes, 'a' + page, FILE_PAGE_BYTES);
    return INGOT_OK;
}

static const kv_file_head file_head = {77, FILE_PAGE_BYTES, FILE_TOKENS, FIRST_PAGE, FILE_PAGES};

static ingot_status read_whole(const temp_path *path, const ingot_allocator *mem) {
    kv_file *f;
    uint8_t page[FILE_PAGE_BYTES];
    ingot_status status = kv_file_open(path->text, mem, file_head.model, FILE_PAGE_BYTES, &f, NULL);
    if (status != INGOT_OK)
        return status;
    for (int32_t i = 0; i < kv_file_get_head(f)->n_pages && status == INGOT_OK; i++) {
        status = kv_file_read(f, i, page, NULL);
        for (int k = 0; k < FILE_PAGE_BYTES && status == INGOT_OK; k++)
            CHECK(page[k] == 'a' + FIRST_PAGE + i);
    }
    kv_file_close(f);
    return status;
}

static void test_file(void) {
    static int32_t tokens[FILE_TOKENS];
    const temp_path path = temp_join(&dir, "file.kv");
    for (int32_t i = 0; i < FILE_TOKENS; i++)
        tokens[i] = i * i;
    CHECK(kv_file_write(path.text, NULL, &file_head, tokens, give_page, NULL, false, NULL) == INGOT_OK);
    CHECK(read_whole(&path, NULL) == INGOT_OK);
    kv_file *f;
    ingot_error err = {0};
    CHECK(kv_file_open(path.text, NULL, 78, FILE_PAGE_BYTES, &f, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "was written for another model");
    CHECK(kv_file_open(path.text, NULL, 77, FILE_PAGE_BYTES + 1, &f, &err) == INGOT_ERR_INVALID);
    for (long n = 0;; n++) {
        failing_mem mem;
        failing_mem_init(&mem, n);
        if (!failing_mem_end(&mem, read_whole(&path, &mem.allocator)))
            break;
    }

    // Every bit, and every length.
    uint8_t bytes[4096];
    FILE *file = fopen(path.text, "rb");
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    CHECK(size == kv_file_bytes(&file_head));
    for (size_t i = 0; i < 8 * size; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        const temp_path other = temp_write(&dir, "other.kv", bytes, size);
        CHECK(read_whole(&other, NULL) != INGOT_OK);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t n = 0; n < size; n++) {
        const temp_path other = temp_write(&dir, "other.kv", bytes, n);
        CHECK(read_whole(&other, NULL) != INGOT_OK);
    }
}

// ------------------------------------------------------------------------------------------------- the
// folder

static ingot_engine_params params(bool spills) {
    return (ingot_engine_params){PAGES(1), .n_ctx = N_CTX, .n_seqs = 2, .n_batch = 64,
                                 .cache_dir = spills ? cache.text : NULL};
}

static ingot_request ask(int text) {
    ingot_request r = simple(8);
    r.tokens = texts[text];
    r.n_tokens = N_LONG;
    return r;
}

typedef struct found {
    char names[200][32], folder[400];
    int n;
    uint64_t bytes;
} found;

static bool note(const folder_file *file, void *user) {
    found *f = user;
    snprintf(f->names[f->n++ % 200], sizeof f->names[0], "%s", file->name);
    f->bytes += file->bytes;
    return true;
}

// The files of the only model that has a folder.
static found list(void) {
    found f = {0};
    DIR *top = opendir(cache.text);
    CHECK(top != NULL);
    int n_folders = 0;
    for (struct dirent *entry; top && (entry = readdir(top));)
        if (entry->d_name[0] != '.') {
            snprintf(f.folder, sizeof f.folder, "%.300s/%.40s", cache.text, entry->d_name);
            n_folders++;
        }
    if (top)
        closedir(top);
    CHECK(n_folders == 1);
    CHECK(folder_list(f.folder, note, &f, NULL) == INGOT_OK);
    return f;
}

static ingot_engine_stats stats_of(const session *s) {
    ingot_engine_stats stats;
    ingot_engine_get_stats(s->engine, &stats);
    return stats;
}

static void check_answer(const session *s, int text, int32_t least_cached) {
    const answer a = run(s->engine, ask(text));
    CHECK(a.last.kind == INGOT_EVENT_DONE && same(&a, &expected[text]));
    CHECK(a.last.n_cached >= least_cached);
    if (a.last.n_cached < least_cached)
        fprintf(stderr, "text %d: %d tokens known, expected %d\n", text, a.last.n_cached, least_cached);
}

static void remove_cache(void) {
    nftw(cache.text, temp_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// What one engine leaves, another one takes.
static void test_restart(void) {
    remove_cache();
    session s = session_open(&dense, 1, params(true));
    for (int i = 0; i < 2; i++)
        check_answer(&s, i, i > 0 ? 5 * PAGE : 0);
    CHECK(stats_of(&s).n_spilled_pages == 0);
    session_close(&s);
    CHECK(list().n == 15); // of 325 + 8 tokens each, half of which are the same
    s = session_open(&dense, 1, params(true));
    for (int i = 0; i < 2; i++)
        check_answer(&s, i, 10 * PAGE);
    check_answer(&s, 2, 5 * PAGE);
    CHECK(stats_of(&s).n_restored_pages == 15);
    session_close(&s);
    CHECK(list().n == 20);
}

// What there is no memory for comes back.
static void test_little_memory(void) {
    remove_cache();
    ingot_engine_params p = params(true);
    ingot_engine_info info;
    session s = session_open(&dense, 1, p);
    ingot_engine_get_info(s.engine, &info);
    session_close(&s);
    p.kv_bytes = info.kv_token_bytes * PAGE * PAGES_OF_RAM;
    p.n_ctx = 400;
    s = session_open(&dense, 1, p);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < N_TEXTS; i++)
            check_answer(&s, i, round > 0 ? 10 * PAGE : 0);
    const ingot_engine_stats stats = stats_of(&s);
    CHECK(stats.n_evicted_pages > 0 && stats.n_restored_pages > 0);
    CHECK(stats.n_spilled_pages <= 5 + 5 * N_TEXTS);
    session_close(&s);
    CHECK(list().n == 5 + 5 * N_TEXTS);
}

// The folder has no more than it may, and what was used last is what stays.
static void test_bytes(void) {
    remove_cache();
    ingot_engine_params p = params(true);
    session s = session_open(&dense, 1, p);
    check_answer(&s, 0, 0);
    session_close(&s);
    const found whole = list();
    CHECK(whole.n == 10);
    p.cache_dir_bytes = whole.bytes;
    s = session_open(&dense, 1, p);
    check_answer(&s, 1, 5 * PAGE);
    session_close(&s);
    CHECK(list().bytes <= whole.bytes && list().n >= 9);
    s = session_open(&dense, 1, p);
    check_answer(&s, 1, 9 * PAGE);
    session_close(&s);
    p.cache_dir_bytes = whole.bytes / 3;
    s = session_open(&dense, 1, p);
    CHECK(list().bytes <= whole.bytes / 3);
    session_close(&s);
    p.cache_dir_bytes = 1;
    s = session_open(&dense, 1, p);
    check_answer(&s, 1, 0);
    session_close(&s);
    CHECK(list().n == 0);
}

static void test_damage(void) {
    for (int kind = 0; kind < 4; kind++) {
        remove_cache();
        session s = session_open(&dense, 1, params(true));
        check_answer(&s, 0, 0);
        session_close(&s);
        const found before = list();
        for (int i = 0; i < before.n; i++) {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", before.folder, before.names[i]);
            FILE *file = kind < 3 ? fopen(path, "r+b") : NULL;
            if (kind == 0)
                CHECK(fseek(file, 1000, SEEK_SET) == 0 && fputc(0x55, file) == 0x55);
            if (kind == 1)
                CHECK(ftruncate(fileno(file), 900 + i) == 0);
            if (kind == 2)
                CHECK(ftruncate(fileno(file), 0) == 0);
            if (file)
                fclose(file);
            else
                CHECK(unlink(path) == 0);
        }
        // What isn't the cache's stays, but for what it has left unfinished itself.
        char path[512];
        FILE *file;
        static const char *const others[] = {"0123456789abcdef.kv.part", "0123456789abcdef.txt", "note"};
        s = session_open(&dense, 1, params(false));
        session_close(&s);
        for (int i = 0; i < 3; i++) {
            snprintf(path, sizeof path, "%s/%s", before.folder, others[i]);
            CHECK((file = fopen(path, "wb")) && fclose(file) == 0);
        }
        s = session_open(&dense, 1, params(true));
        CHECK(list().n == before.n * (kind < 3) + 2);
        check_answer(&s, 0, 0);
        CHECK(stats_of(&s).n_restored_pages == 0);
        session_close(&s);
        s = session_open(&dense, 1, params(true)); // it was mended
        check_answer(&s, 0, 10 * PAGE);
        session_close(&s);
    }
}

// A page whose name says that it is another one is not taken.
static void test_other_tokens(void) {
    remove_cache();
    session s = session_open(&dense, 1, params(true));
    check_answer(&s, 0, 0);
    session_close(&s);
    const found before = list();
    char a[512], b[512], other[512];
    for (int i = 0; i + 1 < before.n; i += 2) {
        snprintf(a, sizeof a, "%s/%s", before.folder, before.names[i]);
        snprintf(b, sizeof b, "%s/%s", before.folder, before.names[i + 1]);
        snprintf(other, sizeof other, "%s/other", before.folder);
        CHECK(rename(a, other) == 0 && rename(b, a) == 0 && rename(other, b) == 0);
    }
    s = session_open(&dense, 1, params(true));
    check_answer(&s, 0, 0);
    CHECK(stats_of(&s).n_restored_pages == 0);
    session_close(&s);
}

// Other settings have another folder; a folder that can't be made is an error.
static void test_settings(void) {
    remove_cache();
    session s = session_open(&dense, 1, params(true));
    check_answer(&s, 0, 0);
    session_close(&s);
    ingot_engine_params p = params(true);
    p.k_type = 0;
    s = session_open(&dense, 1, p);
    const answer a = run(s.engine, ask(0));
    CHECK(a.last.kind == INGOT_EVENT_DONE && a.last.n_cached == 0);
    session_close(&s);
    const temp_path file = temp_text(&dir, "no folder", "");
    temp_path below;
    snprintf(below.text, sizeof below.text, "%.900s/cache", file.text);
    p.cache_dir = below.text;
    s = session_open(&dense, 1, params(false));
    ingot_engine *engine = NULL;
    ingot_error err = {0};
    CHECK(ingot_engine_new(s.model, &p, &engine, &err) == INGOT_ERR_IO && !engine);
    CHECK_CONTAINS(err.message, "cannot make the folder");
    session_close(&s);
}

// ------------------------------------------------------------------------------------------------- sessions

static void test_session(void) {
    const temp_path path = temp_join(&dir, "talk.session");
    session s = session_open(&dense, 1, params(false));
    int32_t tokens[N_CTX];
    size_t n_saved = 1, n = 0, n_known = 0;
    ingot_error err = {0};
    CHECK(ingot_engine_save(s.engine, texts[0], N_LONG, path.text, &n_saved, NULL) == INGOT_OK);
    CHECK(n_saved == 0); // nothing is known of it
    check_answer(&s, 0, 0);
    CHECK(ingot_engine_save(s.engine, texts[0], N_LONG, path.text, &n_saved, NULL) == INGOT_OK);
    CHECK(n_saved == 10 * PAGE);
    CHECK(stats_of(&s).n_pages_running == 0);
    session_close(&s);

    s = session_open(&dense, 1, params(false));
    for (int round = 0; round < 2; round++) {
        CHECK(ingot_engine_restore(s.engine, path.text, tokens, N_CTX, &n, &n_known, NULL) == INGOT_OK);
        CHECK(n == N_LONG && n_known == 10 * PAGE && memcmp(tokens, texts[0], N_LONG * sizeof *tokens) == 0);
    }
    CHECK(stats_of(&s).n_pages_cached == 10 && stats_of(&s).n_pages_running == 0);
    check_answer(&s, 0, 10 * PAGE);
    CHECK(ingot_engine_restore(s.engine, path.text, tokens, 10, &n, &n_known, &err) == INGOT_ERR_LIMIT);
    const temp_path nothing = temp_join(&dir, "nothing");
    CHECK(ingot_engine_restore(s.engine, nothing.text, tokens, N_CTX, &n, &n_known, &err) == INGOT_ERR_IO);
    const int32_t wrong = TINY_VOCAB;
    CHECK(ingot_engine_save(s.engine, &wrong, 1, path.text, &n_saved, &err) == INGOT_ERR_INVALID);
    session_close(&s);

    // Less room than it takes: a part of it; and a context that it doesn't fit into.
    ingot_engine_params p = params(false);
    p.n_ctx = 200;
    s = session_open(&dense, 1, p);
    CHECK(ingot_engine_restore(s.engine, path.text, tokens, N_CTX, &n, &n_known, &err) == INGOT_ERR_LIMIT);
    CHECK_CONTAINS(err.message, "the context 200");
    session_close(&s);

    // Damaged behind its first pages: those are known.
    FILE *file = fopen(path.text, "r+b");
    CHECK(file && fseek(file, -10, SEEK_END) == 0 && fputc(0x55, file) == 0x55 && fclose(file) == 0);
    s = session_open(&dense, 1, params(false));
    CHECK(ingot_engine_restore(s.engine, path.text, tokens, N_CTX, &n, &n_known, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "damaged");
    CHECK(stats_of(&s).n_pages_cached == 9 && stats_of(&s).n_pages_running == 0);
    check_answer(&s, 0, 9 * PAGE);
    session_close(&s);
}

// While others run, in as little memory as they need.
static void test_session_beside(void) {
    const temp_path path = temp_join(&dir, "beside.session");
    ingot_engine_params p = params(false);
    ingot_engine_info info;
    size_t n_saved = 0, n = 0, n_known = 0;
    int32_t tokens[N_CTX];
    session s = session_open(&dense, 2, p);
    check_answer(&s, 0, 0);
    CHECK(ingot_engine_save(s.engine, texts[0], N_LONG, path.text, &n_saved, NULL) == INGOT_OK);
    ingot_engine_get_info(s.engine, &info);
    session_close(&s);
    p.n_ctx = 400;
    p.kv_bytes = info.kv_token_bytes * PAGE * 16;
    s = session_open(&dense, 2, p);
    for (int round = 0; round < 8; round++) {
        uint64_t id;
        const ingot_request r = ask(1 + round % 5);
        CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
        CHECK(ingot_engine_restore(s.engine, path.text, tokens, N_CTX, &n, &n_known, NULL) == INGOT_OK);
        CHECK(ingot_engine_save(s.engine, texts[0], N_LONG, path.text, &n_saved, NULL) == INGOT_OK);
        if (n_saved < 10 * PAGE) { // what there was no room for isn't there either
            CHECK(n_known <= 10 * PAGE);
            session whole = session_open(&dense, 1, params(false));
            check_answer(&whole, 0, 0);
            CHECK(ingot_engine_save(whole.engine, texts[0], N_LONG, path.text, &n_saved, NULL) == INGOT_OK);
            session_close(&whole);
        }
        const answer a = collect(s.engine, id);
        CHECK(a.last.kind == INGOT_EVENT_DONE && same(&a, &expected[1 + round % 5]));
    }
    CHECK(stats_of(&s).n_pages_running == 0);
    session_close(&s);
}

int main(void) {
    dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    cache = temp_join(&dir, "deep/cache");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    for (int32_t i = 0; i < N_TEXTS; i++)
        for (int32_t k = 0; k < N_LONG; k++)
            texts[i][k] = 30 + (k < 5 * PAGE ? k % 71 : (k * (i + 2)) % 50);
    session s = session_open(&dense, 1, params(false));
    for (int i = 0; i < N_TEXTS; i++)
        expected[i] = run(s.engine, ask(i));
    session_close(&s);
    test_file();
    test_restart();
    test_little_memory();
    test_bytes();
    test_damage();
    test_other_tokens();
    test_settings();
    test_session();
    test_session_beside();
    temp_dir_remove(&dir);
    return check_report();
}
