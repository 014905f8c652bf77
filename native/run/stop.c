#include "run/stop.h"

#include <string.h>

enum { MAX_STOPS = 256 };

static size_t advance(const stop_text *t, size_t matched, char byte) {
    if (matched == t->size)
        matched = t->border[matched - 1];
    while (matched > 0 && t->text[matched] != byte)
        matched = t->border[matched - 1];
    return t->text[matched] == byte ? matched + 1 : 0;
}

static ingot_status init_text(stop_text *t, ingot_str s, const char *what, const ingot_allocator *mem,
                              ingot_error *err) {
    if (s.size == 0)
        return fail(err, INGOT_ERR_INVALID, "a %s text is empty", what);
    t->text = mem_alloc(mem, s.size, 1);
    t->border = mem_alloc(mem, s.size, sizeof *t->border);
    if (!t->text || !t->border)
        return fail_memory(err, s.size * sizeof *t->border, "a stop text");
    memcpy(t->text, s.data, s.size);
    t->size = s.size;
    for (size_t i = 1; i < s.size; i++)
        t->border[i] = advance(t, t->border[i - 1], t->text[i]);
    return INGOT_OK;
}

ingot_status stop_set_init(stop_set *s, const ingot_str *texts, size_t n, const char *what,
                           const ingot_allocator *mem, ingot_error *err) {
    *s = (stop_set){.mem = mem};
    if (n > MAX_STOPS)
        return fail(err, INGOT_ERR_INVALID, "%zu %s texts were given, at most %d are taken", n, what,
                    MAX_STOPS);
    s->texts = mem_alloc(mem, n, sizeof *s->texts);
    if (!s->texts)
        return fail_memory(err, n * sizeof *s->texts, "stop texts");
    for (s->n = 0; s->n < n; s->n++) {
        ingot_status status = init_text(&s->texts[s->n], texts[s->n], what, mem, err);
        if (status != INGOT_OK) {
            s->n++;
            stop_set_free(s);
            return status;
        }
    }
    return INGOT_OK;
}

void stop_set_free(stop_set *s) {
    for (size_t i = 0; i < s->n; i++) {
        mem_free(s->mem, s->texts[i].text);
        mem_free(s->mem, s->texts[i].border);
    }
    mem_free(s->mem, s->texts);
    *s = (stop_set){.mem = s->mem};
}

int stop_set_feed(stop_set *s, char byte) {
    int found = -1;
    for (size_t i = 0; i < s->n; i++) {
        stop_text *t = &s->texts[i];
        t->matched = advance(t, t->matched, byte);
        if (t->matched == t->size && (found < 0 || t->size > s->texts[found].size))
            found = (int)i;
    }
    return found;
}

void stop_set_reset(stop_set *s) {
    for (size_t i = 0; i < s->n; i++)
        s->texts[i].matched = 0;
}

int stop_set_shorter(const stop_set *s, int stop) {
    int found = -1;
    for (size_t i = 0; i < s->n; i++) {
        const stop_text *t = &s->texts[i];
        if (t->matched == t->size && t->size < s->texts[stop].size &&
            (found < 0 || t->size > s->texts[found].size))
            found = (int)i;
    }
    return found;
}

size_t stop_set_held(const stop_set *s) {
    size_t held = 0;
    for (size_t i = 0; i < s->n; i++)
        held = s->texts[i].matched > held ? s->texts[i].matched : held;
    return held;
}
