#include "run/masks.h"

#include "grammar/grammar.h"

ingot_status masks_init(masks *m, ingot_error *err) {
    *m = (masks){.locks = false};
    TRY(monitor_init(&m->lock, &m->work, &m->news, err));
    m->locks = true;
    return INGOT_OK;
}

void masks_free(masks *m) {
    if (!m->locks)
        return;
    if (m->running) {
        mutex_lock(&m->lock);
        m->stopping = true;
        condition_wake_all(&m->work);
        mutex_unlock(&m->lock);
        thread_join(m->thread);
    }
    monitor_free(&m->lock, &m->work, &m->news);
}

// Computes the next mask of the list, with the lock given back meanwhile.
static void compute_next(masks *m) {
    wanted_mask *mask = m->first;
    m->first = mask->next;
    mutex_unlock(&m->lock);
    mask->status = ingot_matcher_mask(mask->matcher, mask->bits, mask->words, &mask->n_allowed, &mask->err);
    mutex_lock(&m->lock);
    m->n_open--;
    condition_wake_all(&m->news);
}

static void run(void *arg) {
    masks *m = arg;
    mutex_lock(&m->lock);
    while (!m->stopping) {
        if (m->first)
            compute_next(m);
        else
            condition_wait(&m->work, &m->lock);
    }
    mutex_unlock(&m->lock);
}

void masks_want(masks *m, wanted_mask *mask) {
    mask->status = INGOT_OK;
    if (matcher_known_mask(mask->matcher, mask->bits, &mask->n_allowed))
        return;
    mutex_lock(&m->lock);
    mask->next = m->first;
    m->first = mask;
    m->n_open++;
    mutex_unlock(&m->lock);
}

void masks_begin(masks *m) {
    mutex_lock(&m->lock);
    // Without a thread masks are computed by masks_wait.
    if (m->first && !m->running)
        m->running = thread_start(&m->thread, run, m, "ingot-masks", NULL) == INGOT_OK;
    if (m->first)
        condition_wake_all(&m->work);
    mutex_unlock(&m->lock);
}

void masks_wait(masks *m) {
    mutex_lock(&m->lock);
    while (m->n_open > 0) {
        if (m->first)
            compute_next(m);
        else
            condition_wait(&m->news, &m->lock);
    }
    mutex_unlock(&m->lock);
}
