/* SPDX-License-Identifier: Apache-2.0
 * The loop: a libuv loop with a message queue, timers and (unless the caller drives it) a thread. Owns its
 * libuv handles; knows nothing of what its messages are about. Posting: any thread; the rest: loop thread. */
#include "run/loop.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

#define THREAD_STACK_BYTES ((size_t)512 << 10)
#define NAME_ROOM          16 /* what Linux takes for a thread's name, NUL included */
/* Rounds of messages that were posted by messages, and passes of one external turn, before the sockets have
 * their turn again. */
#define ROUNDS_MAX 16

struct orb_timer {
    uv_timer_t handle;
    struct orb_timer *next, **link; /* loop->timers */
    void (*fire)(void *ctx);
    void *ctx;
};

struct orb_loop {
    uv_loop_t uv;
    /* Wakes the loop. Not an uv_async_t: its receiver spins while a sender that has written is not yet done, and on few
     * cores the sender is what the receiver keeps from being done. */
    uv_poll_t wakeup;
    int wakeup_fd;
    atomic_uint waking;       /* threads that are about to write to wakeup_fd: the loop is not freed under them */
    struct orb_timer *timers; /* loop thread only */
    pthread_t thread;
    bool external;
    bool started;
    char name[NAME_ROOM];

    pthread_mutex_t mutex;
    pthread_cond_t turned; /* a turn has ended */
    struct {
        struct orb_message *first, **last;
        bool awake; /* a wakeup is on its way, or the queue is being delivered */
        bool stopping;
        bool driven; /* some thread is inside its turn */
        uint64_t turns;
    } locked; /* by mutex */
};

/* The loops that this thread is inside of. A chain: a callback of one client may drive another client's loop. */
struct inside {
    const struct orb_loop *loop;
    struct inside *outer;
};
static _Thread_local struct inside *insides;

static void enter(struct inside *inside, const struct orb_loop *loop)
{
    *inside = (struct inside){loop, insides};
    insides = inside;
}

static void leave(struct inside *inside)
{
    insides = inside->outer;
}

bool orb_loop_is_current(const struct orb_loop *loop)
{
    for (const struct inside *inside = insides; inside; inside = inside->outer)
        if (inside->loop == loop)
            return true;
    return false;
}

/* ---- messages ------------------------------------------------------------------------------------- */

static void wake(struct orb_loop *loop)
{
    (void)eventfd_write(loop->wakeup_fd, 1); /* fails only when the counter is full, and then it is readable */
}

/* The wakeup comes after the mutex, for which the woken thread would otherwise wait at once. By then the message may be
 * delivered and the loop on its way to be freed: `waking` holds that up. */
void orb_loop_post(struct orb_loop *loop, struct orb_message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&loop->mutex);
    *loop->locked.last = message;
    loop->locked.last = &message->next;
    bool asleep = !loop->locked.awake;
    loop->locked.awake = true;
    if (asleep)
        atomic_fetch_add(&loop->waking, 1);
    pthread_mutex_unlock(&loop->mutex);
    if (!asleep)
        return;
    wake(loop);
    atomic_fetch_sub(&loop->waking, 1);
}

void orb_loop_wake(struct orb_loop *loop)
{
    wake(loop);
}

/* All that is queued, in order; NULL puts the queue to sleep. */
static struct orb_message *take_messages(struct orb_loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    struct orb_message *first = loop->locked.first;
    loop->locked.first = NULL;
    loop->locked.last = &loop->locked.first;
    loop->locked.awake = first != NULL;
    pthread_mutex_unlock(&loop->mutex);
    return first;
}

static void deliver_messages(struct orb_loop *loop)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct orb_message *message = take_messages(loop);
        if (!message)
            return;
        while (message) {
            struct orb_message *next = message->next; /* the message may be gone after its delivery */
            message->deliver(message);
            message = next;
        }
    }
    wake(loop); /* still awake: come back after the sockets were looked at */
}

static void on_wakeup(uv_poll_t *wakeup, int status, int events)
{
    (void)status;
    (void)events;
    struct orb_loop *loop = wakeup->data;
    eventfd_t count;
    (void)eventfd_read(loop->wakeup_fd, &count);
    deliver_messages(loop);
    pthread_mutex_lock(&loop->mutex);
    bool stop = loop->locked.stopping && !loop->locked.first;
    pthread_mutex_unlock(&loop->mutex);
    if (stop)
        uv_stop(&loop->uv);
}

/* ---- life ----------------------------------------------------------------------------------------- */

/* An errno. */
static int watch_wakeups(struct orb_loop *loop)
{
    loop->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wakeup_fd < 0)
        return errno;
    int failed = uv_poll_init(&loop->uv, &loop->wakeup, loop->wakeup_fd);
    if (failed) {
        close(loop->wakeup_fd);
        return -failed;
    }
    loop->wakeup.data = loop;
    uv_poll_start(&loop->wakeup, UV_READABLE, on_wakeup);
    return 0;
}

orbit_status orb_loop_new(struct orb_loop **made, const char *name, bool external, orbit_error *error)
{
    *made = NULL;
    struct orb_loop *loop = orb_calloc(1, sizeof(*loop));
    if (!loop)
        return orb_fail_memory(error);
    loop->external = external;
    loop->locked.last = &loop->locked.first;
    memcpy(loop->name, name, strnlen(name, NAME_ROOM - 1));

    int failed = uv_loop_init(&loop->uv);
    if (failed) {
        orb_free(loop);
        return orb_fail_errno(error, -failed, "cannot make an event loop");
    }
    failed = watch_wakeups(loop);
    if (failed) {
        uv_loop_close(&loop->uv);
        orb_free(loop);
        return orb_fail_errno(error, failed, "cannot make an event loop");
    }
    pthread_mutex_init(&loop->mutex, NULL);
    pthread_cond_init(&loop->turned, NULL);
    if (external) /* libuv tells epoll of the wakeup descriptor only inside uv_run() */
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    *made = loop;
    return ORBIT_OK;
}

static void *loop_main(void *ctx)
{
    struct orb_loop *loop = ctx;
    struct inside inside;
    enter(&inside, loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    leave(&inside);
    return NULL;
}

orbit_status orb_loop_start(struct orb_loop *loop, orbit_error *error)
{
    if (loop->external || loop->started)
        return ORBIT_OK;
    int failed = orb_thread_start(&loop->thread, loop->name, loop_main, loop);
    if (failed)
        return orb_fail_errno(error, failed, "cannot start the thread '%s'", loop->name);
    loop->started = true;
    return ORBIT_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    orb_free(handle->data);
}

static void timer_close(struct orb_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    uv_close((uv_handle_t *)&timer->handle, on_timer_closed);
}

/* A handle that its owner forgot would keep the loop alive for ever. */
static void close_left_over(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void orb_loop_free(struct orb_loop *loop)
{
    if (!loop)
        return;
    if (loop->started) {
        pthread_mutex_lock(&loop->mutex);
        loop->locked.stopping = true;
        pthread_mutex_unlock(&loop->mutex);
        wake(loop);
        pthread_join(loop->thread, NULL);
    }
    while (atomic_load(&loop->waking) > 0)
        sched_yield();
    /* From here on this thread is the loop's. */
    struct inside inside;
    enter(&inside, loop);
    uv_run(&loop->uv, UV_RUN_NOWAIT); /* an external or never started loop may hold messages */
    for (;;) {
        deliver_messages(loop);
        pthread_mutex_lock(&loop->mutex);
        bool empty = !loop->locked.first;
        pthread_mutex_unlock(&loop->mutex);
        if (empty)
            break;
    }
    while (loop->timers)
        timer_close(loop->timers);
    uv_walk(&loop->uv, close_left_over, NULL); /* the wakeup among them */
    while (uv_loop_close(&loop->uv) == UV_EBUSY)
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    leave(&inside);
    close(loop->wakeup_fd);
    pthread_cond_destroy(&loop->turned);
    pthread_mutex_destroy(&loop->mutex);
    orb_free(loop);
}

uv_loop_t *orb_loop_uv(struct orb_loop *loop)
{
    return &loop->uv;
}

/* ---- external driving ------------------------------------------------------------------------------ */

int orb_loop_fd(struct orb_loop *loop)
{
    return uv_backend_fd(&loop->uv);
}

int orb_loop_timeout_ms(struct orb_loop *loop)
{
    int timeout;
    pthread_mutex_lock(&loop->mutex);
    if (loop->locked.driven) {
        timeout = 50; /* another thread is at it and serves the timers: look again soon */
    } else {
        uv_update_time(&loop->uv);
        timeout = uv_backend_timeout(&loop->uv);
    }
    pthread_mutex_unlock(&loop->mutex);
    return timeout;
}

void orb_loop_turn(struct orb_loop *loop, bool wait)
{
    if (orb_loop_is_current(loop))
        return; /* from inside a callback of the turn */
    pthread_mutex_lock(&loop->mutex);
    if (loop->locked.driven) {
        uint64_t turns = loop->locked.turns;
        while (wait && loop->locked.driven && loop->locked.turns == turns)
            pthread_cond_wait(&loop->turned, &loop->mutex);
        pthread_mutex_unlock(&loop->mutex);
        return; /* what this thread waits for may have happened in that turn */
    }
    loop->locked.driven = true;
    pthread_mutex_unlock(&loop->mutex);

    struct inside inside;
    enter(&inside, loop);
    uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    /* Watchers that callbacks have added reach epoll in the next pass; without it the descriptor that the
     * caller polls would stay silent. */
    for (int pass = 0; pass < ROUNDS_MAX && uv_backend_timeout(&loop->uv) == 0; pass++)
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    leave(&inside);

    pthread_mutex_lock(&loop->mutex);
    loop->locked.driven = false;
    loop->locked.turns++;
    pthread_cond_broadcast(&loop->turned);
    pthread_mutex_unlock(&loop->mutex);
}

/* ---- timers ---------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *handle)
{
    struct orb_timer *timer = handle->data;
    void (*fire)(void *) = timer->fire;
    void *ctx = timer->ctx;
    timer_close(timer);
    fire(ctx);
}

struct orb_timer *orb_timer_start(struct orb_loop *loop, uint64_t ms, void (*fire)(void *ctx), void *ctx)
{
    struct orb_timer *timer = orb_malloc(sizeof(*timer));
    if (!timer)
        return NULL;
    uv_timer_init(&loop->uv, &timer->handle);
    timer->handle.data = timer;
    timer->fire = fire;
    timer->ctx = ctx;
    timer->next = loop->timers;
    timer->link = &loop->timers;
    if (timer->next)
        timer->next->link = &timer->next;
    loop->timers = timer;
    uv_update_time(&loop->uv); /* libuv counts from its last look at the clock: after long work, too early */
    uv_timer_start(&timer->handle, on_timer, ms, 0);
    return timer;
}

void orb_timer_cancel(struct orb_timer *timer)
{
    if (timer)
        timer_close(timer);
}

/* ---- threads --------------------------------------------------------------------------------------- */

int orb_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *ctx)
{
    pthread_attr_t attr;
    int failed = pthread_attr_init(&attr);
    if (failed)
        return failed;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need more stack */
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
#endif
    /* The new thread inherits the mask: the program's signals are for the program's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(thread, &attr, run, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (failed)
        return failed;
    char cut[NAME_ROOM] = {0};
    memcpy(cut, name, strnlen(name, NAME_ROOM - 1));
    pthread_setname_np(*thread, cut); /* a missing name is no failure */
    return 0;
}
