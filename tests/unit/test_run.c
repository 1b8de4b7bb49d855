/* SPDX-License-Identifier: Apache-2.0
 * The loop (own thread and external), timers, the pool and the lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "run/lanes.h"
#include "run/loop.h"
#include "run/pool.h"
#include "support/descriptors.h"

/* Waits until *flag is `value`; a test that waits in vain fails by its time-out. */
static void wait_for(_Atomic unsigned *flag, unsigned value)
{
    struct timespec nap = {0, 1000000};
    while (atomic_load(flag) < value)
        nanosleep(&nap, NULL);
}

static struct orb_loop *new_loop(bool external)
{
    struct orb_loop *loop = NULL;
    orbit_error error;
    assert_int_equal(orb_loop_new(&loop, "test-loop-with-a-long-name", external, &error), ORBIT_OK);
    assert_int_equal(orb_loop_start(loop, &error), ORBIT_OK);
    return loop;
}

/* ---- messages ---- */

#define THREADS  4
#define MESSAGES 5000

struct numbered {
    struct orb_message message;
    unsigned thread, number;
};
static struct numbered numbered[THREADS][MESSAGES];
static struct orb_loop *posted_to;
static unsigned next_number[THREADS];
static _Atomic unsigned delivered;
static _Atomic unsigned wrong;

static void deliver_numbered(struct orb_message *message)
{
    struct numbered *it = (struct numbered *)(void *)message;
    if (it->number != next_number[it->thread]++ || !orb_loop_is_current(posted_to))
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&delivered, 1);
}

static void *post_many(void *ctx)
{
    unsigned thread = (unsigned)(uintptr_t)ctx;
    for (unsigned i = 0; i < MESSAGES; i++) {
        numbered[thread][i] = (struct numbered){{NULL, deliver_numbered}, thread, i};
        orb_loop_post(posted_to, &numbered[thread][i].message);
    }
    return NULL;
}

static void start_posters(pthread_t *threads)
{
    memset(next_number, 0, sizeof(next_number));
    delivered = 0;
    wrong = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(orb_thread_start(&threads[i], "poster", post_many, (void *)i), 0);
}

static void messages_arrive_in_the_order_of_posting(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    pthread_t threads[THREADS];
    posted_to = new_loop(false);
    assert_false(orb_loop_is_current(posted_to));
    start_posters(threads);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    orb_loop_free(posted_to); /* delivers what is still queued */
    assert_int_equal(delivered, THREADS * MESSAGES);
    assert_int_equal(wrong, 0);
    assert_int_equal(open_descriptors(), before);
}

struct reposting {
    struct orb_message message;
    struct orb_loop *loop;
    unsigned left;
    _Atomic unsigned done;
};

static void repost(struct orb_message *message)
{
    struct reposting *it = (struct reposting *)(void *)message;
    if (it->left--)
        orb_loop_post(it->loop, message);
    else
        atomic_store(&it->done, 1);
}

static unsigned timer_fired;
static void on_fire(void *ctx)
{
    timer_fired++;
    if (ctx)
        atomic_store((_Atomic unsigned *)ctx, 1);
}

static void message_may_post_itself_again(void **state)
{
    (void)state;
    struct orb_loop *loop = new_loop(false);
    struct reposting it = {{NULL, repost}, loop, 1000, 0};
    orb_loop_post(loop, &it.message);
    wait_for(&it.done, 1);
    orb_loop_free(loop);

    loop = new_loop(false); /* and what it posts during the end is delivered, too */
    it = (struct reposting){{NULL, repost}, loop, 1000, 0};
    orb_loop_post(loop, &it.message);
    orb_loop_free(loop);
    assert_int_equal(it.done, 1);
}

/* ---- timers ---- */

struct timer_test {
    struct orb_message message;
    struct orb_loop *loop;
    struct orb_timer *cancelled;
    _Atomic unsigned fired;
    uint64_t started_ns, fired_ns;
};

static void on_late(void *ctx)
{
    struct timer_test *test = ctx;
    test->fired_ns = orb_now_ns();
    orb_timer_cancel(test->cancelled);
    atomic_store(&test->fired, 1);
}

static void start_timers(struct orb_message *message)
{
    struct timer_test *test = (struct timer_test *)(void *)message;
    struct timespec nap = {0, 30000000};
    nanosleep(&nap, NULL); /* the loop's notion of now is old by then: timers count from here all the same */
    test->started_ns = orb_now_ns();
    orb_timer_start(test->loop, 40, on_late, test);
    test->cancelled = orb_timer_start(test->loop, 5000, on_fire, NULL);
    orb_timer_start(test->loop, 100000, on_fire, NULL); /* closed by the end of the loop */
    orb_timer_cancel(NULL);
    orb_mem_fail_at(1);
    if (orb_timer_start(test->loop, 1, on_fire, NULL))
        timer_fired += 100;
    orb_mem_fail_at(0);
}

static void timers_fire_late_enough_and_are_cancelled(void **state)
{
    (void)state;
    timer_fired = 0;
    struct timer_test test = {{NULL, start_timers}, new_loop(false), NULL, 0, 0, 0};
    orb_loop_post(test.loop, &test.message);
    wait_for(&test.fired, 1);
    orb_loop_free(test.loop);
    assert_int_equal(timer_fired, 0);
    assert_true(test.fired_ns - test.started_ns >= 38 * ORB_MS);
}

/* ---- external driving ---- */

static void external_loop_wakes_its_descriptor(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    struct orb_loop *loop = new_loop(true);
    struct reposting it = {{NULL, repost}, loop, 0, 0};
    struct pollfd fd = {orb_loop_fd(loop), POLLIN, 0};

    assert_true(fd.fd >= 0);
    orb_loop_turn(loop, false);
    assert_int_equal(orb_loop_timeout_ms(loop), -1);
    assert_int_equal(poll(&fd, 1, 0), 0);
    orb_loop_post(loop, &it.message);
    assert_int_equal(poll(&fd, 1, 1000), 1);
    assert_false(orb_loop_is_current(loop));
    orb_loop_turn(loop, false);
    assert_int_equal(it.done, 1);
    assert_int_equal(poll(&fd, 1, 0), 0);
    orb_loop_free(loop);
    assert_int_equal(open_descriptors(), before);
}

static void start_external_timer(struct orb_message *message)
{
    struct timer_test *test = (struct timer_test *)(void *)message;
    orb_timer_start(test->loop, 30, on_late, test);
}

static void external_loop_tells_when_its_timer_is_due(void **state)
{
    (void)state;
    struct timer_test test = {{NULL, start_external_timer}, new_loop(true), NULL, 0, 0, 0};
    orb_loop_post(test.loop, &test.message);
    orb_loop_turn(test.loop, false);
    int timeout = orb_loop_timeout_ms(test.loop);
    assert_in_range(timeout, 1, 30);
    struct timespec nap = {0, 40000000};
    nanosleep(&nap, NULL);
    assert_int_equal(orb_loop_timeout_ms(test.loop), 0);
    orb_loop_turn(test.loop, false);
    assert_int_equal(test.fired, 1);
    orb_loop_free(test.loop);
}

struct driver {
    struct orb_loop *loop;
    _Atomic unsigned *stop;
    _Atomic unsigned *sleeping;
};

static void *drive_until_stopped(void *ctx)
{
    struct driver *driver = ctx;
    while (!atomic_load(driver->stop)) {
        atomic_fetch_add(driver->sleeping, 1);
        orb_loop_turn(driver->loop, true);
    }
    return NULL;
}

static void several_threads_may_drive_one_external_loop(void **state)
{
    (void)state;
    _Atomic unsigned stop = 0, sleeping = 0;
    pthread_t posters[THREADS], drivers[3];
    posted_to = new_loop(true);
    struct driver driver = {posted_to, &stop, &sleeping};
    for (int i = 0; i < 3; i++)
        assert_int_equal(orb_thread_start(&drivers[i], "driver", drive_until_stopped, &driver), 0);
    start_posters(posters);
    for (int i = 0; i < THREADS; i++)
        pthread_join(posters[i], NULL);
    wait_for(&delivered, THREADS * MESSAGES);
    assert_int_equal(wrong, 0);
    atomic_store(&stop, 1);
    orb_loop_wake(posted_to); /* one turn ends, the sleepers see it and leave */
    for (int i = 0; i < 3; i++) {
        struct timespec limit;
        do {
            orb_loop_wake(posted_to);
            clock_gettime(CLOCK_REALTIME, &limit);
            limit.tv_nsec += 10000000;
            if (limit.tv_nsec >= 1000000000) {
                limit.tv_nsec -= 1000000000;
                limit.tv_sec++;
            }
        } while (pthread_timedjoin_np(drivers[i], NULL, &limit) != 0);
    }
    orb_loop_free(posted_to);
}

static void turn_from_a_callback_does_nothing(struct orb_message *message)
{
    struct reposting *it = (struct reposting *)(void *)message;
    if (orb_loop_is_current(it->loop)) {
        orb_loop_turn(it->loop, true); /* must neither block nor recurse */
        atomic_store(&it->done, 1);
    }
}

static void loop_knows_the_thread_that_drives_it(void **state)
{
    (void)state;
    struct orb_loop *loop = new_loop(true);
    struct reposting it = {{NULL, turn_from_a_callback_does_nothing}, loop, 0, 0};
    orb_loop_post(loop, &it.message);
    orb_loop_turn(loop, true);
    assert_int_equal(it.done, 1);
    orb_loop_free(loop);
}

static void loop_reports_failed_allocation(void **state)
{
    (void)state;
    struct orb_loop *loop = NULL;
    struct orb_pool *pool = NULL;
    struct orb_lanes *lanes = NULL;
    orbit_error error;
    orb_mem_fail_at(1);
    assert_int_equal(orb_loop_new(&loop, "x", false, &error), ORBIT_E_MEMORY);
    assert_null(loop);
    orb_mem_fail_at(1);
    assert_int_equal(orb_pool_new(&pool, 2, &error), ORBIT_E_MEMORY);
    orb_mem_fail_at(1);
    assert_int_equal(orb_lanes_new(&lanes, 2, NULL, &error), ORBIT_E_MEMORY);
    orb_mem_fail_at(0);
    orb_loop_free(NULL);
    orb_pool_free(NULL);
    orb_lanes_free(NULL);
}

static void *look_at_own_thread(void *ctx)
{
    sigset_t mask;
    char name[16];
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    unsigned *seen = ctx;
    *seen = sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD);
    struct timespec nap = {0, 20000000};
    nanosleep(&nap, NULL); /* the name is set by the starting thread */
    pthread_getname_np(pthread_self(), name, sizeof(name));
    *seen += strcmp(name, "a-very-long-nam") == 0 ? 2 : 0;
    return NULL;
}

static void threads_block_signals_and_have_names(void **state)
{
    (void)state;
    pthread_t thread;
    unsigned seen = 0;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(orb_thread_start(&thread, "a-very-long-name", look_at_own_thread, &seen), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    pthread_join(thread, NULL);
    assert_int_equal(seen, 3);
    assert_int_equal(sigismember(&after, SIGINT), sigismember(&before, SIGINT));
}

/* ---- pool ---- */

struct counted_job {
    struct orb_job job;
    struct orb_pool *pool;
    unsigned again;
    unsigned order;
};
static _Atomic unsigned jobs_run, inside_now, inside_peak;

static void run_counted(struct orb_job *job)
{
    struct counted_job *it = (struct counted_job *)(void *)job;
    unsigned now = atomic_fetch_add(&inside_now, 1) + 1;
    unsigned peak = atomic_load(&inside_peak);
    while (peak < now && !atomic_compare_exchange_weak(&inside_peak, &peak, now))
        ;
    struct timespec nap = {0, 50000};
    nanosleep(&nap, NULL);
    atomic_fetch_sub(&inside_now, 1);
    bool more = it->again-- > 0;
    it->order = atomic_fetch_add(&jobs_run, 1);
    if (more)
        orb_pool_submit(it->pool, job);
}

static void pool_runs_everything_on_at_most_its_workers(void **state)
{
    (void)state;
    static struct counted_job jobs[100];
    struct orb_pool *pool = NULL;
    orbit_error error;
    jobs_run = inside_peak = 0;
    assert_int_equal(orb_pool_new(&pool, 3, &error), ORBIT_OK);
    for (size_t i = 0; i < 100; i++) {
        jobs[i] = (struct counted_job){{NULL, run_counted}, pool, 2, 0};
        orb_pool_submit(pool, &jobs[i].job);
    }
    orb_pool_free(pool); /* runs what is queued, also what jobs submit meanwhile */
    assert_int_equal(jobs_run, 300);
    assert_in_range(inside_peak, 1, 3);
}

static void resubmitted_job_goes_to_the_end(void **state)
{
    (void)state;
    static struct counted_job jobs[3];
    struct orb_pool *pool = NULL;
    orbit_error error;
    jobs_run = 0;
    assert_int_equal(orb_pool_new(&pool, 1, &error), ORBIT_OK);
    for (size_t i = 0; i < 3; i++)
        jobs[i] = (struct counted_job){{NULL, run_counted}, pool, i == 0 ? 1 : 0, 0};
    for (size_t i = 0; i < 3; i++)
        orb_pool_submit(pool, &jobs[i].job);
    orb_pool_free(pool);
    assert_true(jobs[0].order > jobs[1].order || jobs[1].order > 1); /* its second run came behind a queued one */
    assert_int_equal(jobs_run, 4);
}

/* ---- brief jobs ---- */

struct brief_job {
    struct orb_job job;
    struct orb_pool *pool;
    sem_t *ran, *stay; /* stay: nullable */
    struct brief_job *follower;
    uint64_t calls; /* for its follower */
};

static void run_brief(struct orb_job *job)
{
    struct brief_job *it = (struct brief_job *)job;
    if (it->follower) {
        uint64_t before = orb_pool_calls(it->pool);
        orb_pool_submit(it->pool, &it->follower->job);
        it->calls = orb_pool_calls(it->pool) - before;
    }
    if (it->stay)
        sem_wait(it->stay);
    sem_post(it->ran);
}

/* Two workers, and jobs that have lately been brief. */
static struct orb_pool *brief_pool(sem_t *ran)
{
    struct orb_pool *pool = NULL;
    orbit_error error;
    sem_t stay;
    sem_init(ran, 0, 0);
    sem_init(&stay, 0, 0);
    assert_int_equal(orb_pool_new(&pool, 2, &error), ORBIT_OK);
    struct brief_job both[2];
    for (int i = 0; i < 2; i++) { /* each of them stays until both are there */
        both[i] = (struct brief_job){{NULL, run_brief}, pool, ran, &stay, NULL, 0};
        orb_pool_submit(pool, &both[i].job);
    }
    sem_post(&stay);
    sem_post(&stay);
    for (int i = 0; i < 2; i++)
        sem_wait(ran);
    for (int i = 0; i < 40; i++) {
        struct brief_job job = {{NULL, run_brief}, pool, ran, NULL, NULL, 0};
        orb_pool_submit(pool, &job.job);
        sem_wait(ran);
    }
    sem_destroy(&stay);
    return pool;
}

static void brief_jobs_are_left_to_the_worker_that_is_busy(void **state)
{
    (void)state;
    sem_t ran;
    struct orb_pool *pool = brief_pool(&ran);
    unsigned left = 0;
    for (int i = 0; i < 100; i++) { /* not all of them: on a busy machine some job takes long */
        struct brief_job second = {{NULL, run_brief}, pool, &ran, NULL, NULL, 0};
        struct brief_job first = {{NULL, run_brief}, pool, &ran, NULL, &second, 0};
        orb_pool_submit(pool, &first.job);
        sem_wait(&ran);
        sem_wait(&ran);
        left += first.calls == 0;
    }
    assert_true(left > 0);
    orb_pool_free(pool);
}

static void a_brief_job_behind_one_that_hangs_is_seen_to(void **state)
{
    (void)state;
    sem_t ran, stay;
    struct orb_pool *pool = brief_pool(&ran);
    sem_init(&stay, 0, 0);
    for (int i = 0; i < 20; i++) {
        struct brief_job second = {{NULL, run_brief}, pool, &ran, NULL, NULL, 0};
        struct brief_job first = {{NULL, run_brief}, pool, &ran, &stay, &second, 0};
        orb_pool_submit(pool, &first.job);
        sem_wait(&ran); /* the second: the first waits */
        sem_post(&stay);
        sem_wait(&ran);
    }
    orb_pool_free(pool);
}

static void unused_pool_starts_nothing(void **state)
{
    (void)state;
    struct orb_pool *pool = NULL;
    orbit_error error;
    assert_int_equal(orb_pool_new(&pool, 8, &error), ORBIT_OK);
    DIR *dir = opendir("/proc/self/task");
    unsigned threads = 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        threads += entry->d_name[0] != '.';
    closedir(dir);
    assert_in_range(threads, 1, 2); /* a sanitizer may have one of its own */
    orb_pool_free(pool);
}

/* ---- lanes ---- */

struct lane_message {
    struct orb_message message;
    struct orb_loop *loop;
    _Atomic unsigned current;
};

static void deliver_on_lane(struct orb_message *message)
{
    struct lane_message *it = (struct lane_message *)(void *)message;
    atomic_store(&it->current, orb_loop_is_current(it->loop) ? 1 : 2);
}

static void lanes_are_loops_of_their_own(void **state)
{
    (void)state;
    for (unsigned count = 0; count <= 2; count++) {
        unsigned before = open_descriptors();
        struct orb_loop *main_loop = new_loop(false);
        struct orb_lanes *lanes = NULL;
        orbit_error error;
        assert_int_equal(orb_lanes_new(&lanes, count, main_loop, &error), ORBIT_OK);
        assert_int_equal(orb_lanes_count(lanes), count ? count : 1);
        struct orb_loop *first = orb_lanes_loop(lanes, 0, &error);
        struct orb_loop *second = orb_lanes_loop(lanes, 1, &error);
        assert_ptr_equal(orb_lanes_loop(lanes, 0, &error), first);
        assert_int_equal(first == main_loop, count == 0);
        assert_int_equal(first == second, count < 2);
        struct lane_message it = {{NULL, deliver_on_lane}, second, 0};
        orb_loop_post(second, &it.message);
        wait_for(&it.current, 1);
        assert_int_equal(it.current, 1);
        orb_lanes_free(lanes);
        orb_loop_free(main_loop);
        assert_int_equal(open_descriptors(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unused_pool_starts_nothing),
        cmocka_unit_test(messages_arrive_in_the_order_of_posting),
        cmocka_unit_test(message_may_post_itself_again),
        cmocka_unit_test(timers_fire_late_enough_and_are_cancelled),
        cmocka_unit_test(external_loop_wakes_its_descriptor),
        cmocka_unit_test(external_loop_tells_when_its_timer_is_due),
        cmocka_unit_test(several_threads_may_drive_one_external_loop),
        cmocka_unit_test(loop_knows_the_thread_that_drives_it),
        cmocka_unit_test(loop_reports_failed_allocation),
        cmocka_unit_test(threads_block_signals_and_have_names),
        cmocka_unit_test(pool_runs_everything_on_at_most_its_workers),
        cmocka_unit_test(brief_jobs_are_left_to_the_worker_that_is_busy),
        cmocka_unit_test(a_brief_job_behind_one_that_hangs_is_seen_to),
        cmocka_unit_test(resubmitted_job_goes_to_the_end),
        cmocka_unit_test(lanes_are_loops_of_their_own),
    };
    /* libuv opens a few descriptors of its own with the first loop; they stay. */
    orb_loop_free(new_loop(true));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
