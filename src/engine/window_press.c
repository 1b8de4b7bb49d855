/* SPDX-License-Identifier: Apache-2.0
 * When memory is short: a consumer that stands still holds ranges that are complete and that nobody takes, as long
 * as it likes, while a stream that wants to open waits. So it gives up the last of them first, down to the one it
 * stands in: they are fetched again, pinned to the same version, when it goes on. Loop thread. */
#include "base/clock.h"
#include "engine/window_range.h"

#define STILL_NS ORB_S /* a consumer that took nothing for so long */

/* The queue without its last range, if that is complete, untouched and not the consumer's. */
static struct orb_range *last_unused(struct orb_window *window, uint64_t now_ns)
{
    struct orb_range *last = NULL;
    pthread_mutex_lock(&window->mutex);
    struct orb_range *before = window->locked.current, *tail = window->locked.tail;
    bool still = window->locked.opened && window->locked.stopped >= 0 && !window->locked.failing &&
                 window->locked.end_status >= 0 && !window->locked.wanted &&
                 now_ns - window->locked.moved_ns > STILL_NS;
    if (still && before && before != tail && tail->done && tail->locked.filled == tail->locked.length) {
        while (before->next != tail)
            before = before->next;
        before->next = NULL;
        window->locked.tail = before;
        window->locked.finished = window->locked.verified = false;
        last = tail;
    }
    pthread_mutex_unlock(&window->mutex);
    return last;
}

void orb_window_pressed(void *ctx)
{
    struct orb_window *window = ctx;
    struct orb_range *last;
    if (window->closing || window->failed || window->open_ended)
        return;
    orb_window_fold(window); /* in order: what is taken off the end is what was added last */
    while ((last = last_unused(window, orb_now_ns()))) {
        if (last->offset < window->verify_offset) {
            window->verify_offset = last->offset;
            window->crc = last->crc_before;
        }
        window->next_offset = last->offset;
        window->gave_up = true;
        orb_window_idle(window, last);
    }
    orb_window_give_back(window);
}
