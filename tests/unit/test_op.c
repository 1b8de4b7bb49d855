/* SPDX-License-Identifier: Apache-2.0
 * The plumbing of operations: done, head, cancel and runs on workers, with a backend made for it; attachments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "support/ophost.h"

/* ---- a backend whose stat() does what the test says ---- */

struct script {
    void (*stat)(struct script *script, orbit_op *op);
    void (*work)(void *self, orbit_op *op);
    struct ophost *host;
    _Atomic unsigned runs, inside, overlap, cancels, closed;
    unsigned runs_wanted;
    orbit_op *op;
};

static orbit_status scripted_open(void **self, orbit_host *host, const orbit_open_request *request,
                                  orbit_capabilities *capabilities, orbit_error *error)
{
    (void)host, (void)capabilities, (void)error;
    *self = request->ctx;
    return ORBIT_OK;
}

static void scripted_close(void *self, orbit_op *op)
{
    atomic_fetch_add(&((struct script *)self)->closed, 1);
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void scripted_cancel(void *self, orbit_op *op)
{
    (void)op;
    atomic_fetch_add(&((struct script *)self)->cancels, 1);
}

static void scripted_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply)
{
    (void)request, (void)reply;
    struct script *script = self;
    script->op = op;
    script->stat(script, op);
}

static const orbit_backend_ops scripted_ops = {.size = sizeof(orbit_backend_ops),
                                               .name = "scripted",
                                               .open = scripted_open,
                                               .close = scripted_close,
                                               .cancel = scripted_cancel,
                                               .stat = scripted_stat};

static void start_stat(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    (void)call;
    ops->stat(self, op, NULL, NULL);
}

struct bench {
    struct ophost host;
    struct script script;
    struct orb_backend *backend;
    struct ophost_call call;
};

static int bench_open(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    orbit_error error;
    ophost_open(&bench->host, 1);
    bench->script.host = &bench->host;
    bench->backend = ophost_backend(&bench->host, &scripted_ops, "", "", &bench->script, NULL, NULL, &error);
    bench->call.start = start_stat;
    *state = bench;
    return bench->backend ? 0 : -1;
}

static int bench_close(void **state)
{
    struct bench *bench = *state;
    ophost_backend_close(bench->backend);
    bool closed = bench->script.closed == 1;
    ophost_close(&bench->host);
    free(bench);
    return closed ? 0 : -1;
}

/* ---- done ---- */

static _Atomic unsigned done_inside_start;

static void finish_at_once(struct script *script, orbit_op *op)
{
    (void)script;
    orbit_op_head(op);
    orbit_op_done(op, ORBIT_OK, NULL);
    struct ophost_call *call = (struct ophost_call *)(void *)op; /* op.op is its first member */
    atomic_store(&done_inside_start, call->done_count + call->head_count);
}

static void done_inside_the_start_is_told_later(void **state)
{
    struct bench *bench = *state;
    bench->script.stat = finish_at_once;
    ophost_start(&bench->call, bench->backend);
    assert_int_equal(ophost_wait(&bench->call, NULL), ORBIT_OK);
    assert_int_equal(done_inside_start, 0);
    assert_int_equal(bench->call.head_count, 1);
    assert_false(bench->call.op.running);
}

static void fail_with_details(struct script *script, orbit_op *op)
{
    (void)script;
    orbit_error error;
    orb_fail(&error, ORBIT_E_NETWORK, 5, "lost");
    error.flags = ORBIT_ERROR_RETRIABLE;
    orbit_op_done(op, ORBIT_E_TIMEOUT, &error);
}

static void fail_without_details(struct script *script, orbit_op *op)
{
    (void)script;
    orbit_op_done(op, ORBIT_E_BUSY, NULL);
}

static void errors_travel_and_are_made_up_where_missing(void **state)
{
    struct bench *bench = *state;
    orbit_error error = {0};
    bench->script.stat = fail_with_details;
    ophost_start(&bench->call, bench->backend);
    assert_int_equal(ophost_wait(&bench->call, &error), ORBIT_E_TIMEOUT);
    assert_int_equal(error.status, ORBIT_E_TIMEOUT); /* the status of done counts */
    assert_string_equal(error.message, "lost");
    assert_true(orbit_error_retriable(&error));
    bench->script.stat = fail_without_details; /* the same call again */
    ophost_start(&bench->call, bench->backend);
    assert_int_equal(ophost_wait(&bench->call, &error), ORBIT_E_BUSY);
    assert_string_equal(error.message, "busy");
    assert_int_equal(error.flags, 0);
}

/* ---- runs ---- */

static void nap_ms(long ms)
{
    struct timespec nap = {0, ms * 1000000};
    nanosleep(&nap, NULL);
}

static void run_once_more_until_enough(void *self, orbit_op *op)
{
    struct script *script = self;
    if (atomic_fetch_add(&script->inside, 1))
        atomic_fetch_add(&script->overlap, 1);
    unsigned runs = atomic_fetch_add(&script->runs, 1) + 1;
    orbit_op_progress(op, 10);
    if (runs < script->runs_wanted) {
        orbit_op_run(op, run_once_more_until_enough); /* while running: follows this run */
        orbit_op_run(op, run_once_more_until_enough); /* and twice is once */
        nap_ms(1);
    }
    atomic_fetch_sub(&script->inside, 1);
    if (runs == script->runs_wanted)
        orbit_op_done(op, ORBIT_OK, NULL);
}

static void run_scripted(struct script *script, orbit_op *op)
{
    orbit_op_run(op, script->work);
}

static void runs_follow_one_another_and_never_overlap(void **state)
{
    struct bench *bench = *state;
    bench->script.stat = run_scripted;
    bench->script.work = run_once_more_until_enough;
    bench->script.runs_wanted = 50;
    ophost_start(&bench->call, bench->backend);
    assert_int_equal(ophost_wait(&bench->call, NULL), ORBIT_OK);
    assert_int_equal(bench->script.runs, 50);
    assert_int_equal(bench->script.overlap, 0);
    assert_int_equal(bench->call.op.progress, 500);
}

static void end_early_and_linger(void *self, orbit_op *op)
{
    struct script *script = self;
    orbit_op_done(op, ORBIT_OK, NULL);
    orbit_op_run(op, end_early_and_linger); /* over already: ignored */
    nap_ms(30);
    atomic_fetch_add(&script->runs, 1);
    (void)orbit_op_cancelled(op); /* the operation is still there */
}

static void done_waits_for_the_end_of_its_run(void **state)
{
    struct bench *bench = *state;
    bench->script.stat = run_scripted;
    bench->script.work = end_early_and_linger;
    ophost_start(&bench->call, bench->backend);
    assert_int_equal(ophost_wait(&bench->call, NULL), ORBIT_OK);
    assert_int_equal(bench->script.runs, 1); /* the run was over before done was told */
}

/* ---- cancel ---- */

static void work_until_cancelled(void *self, orbit_op *op)
{
    (void)self;
    while (!orbit_op_cancelled(op))
        nap_ms(1);
    orbit_op_done(op, ORBIT_E_CANCELLED, NULL);
}

static void cancel_reaches_work_and_backend_once(void **state)
{
    struct bench *bench = *state;
    bench->script.stat = run_scripted;
    bench->script.work = work_until_cancelled;
    ophost_start(&bench->call, bench->backend);
    nap_ms(5);
    assert_false(ophost_is_done(&bench->call));
    ophost_cancel(&bench->call);
    assert_int_equal(ophost_wait(&bench->call, NULL), ORBIT_E_CANCELLED);
    assert_int_equal(bench->script.cancels, 1);
    ophost_cancel(&bench->call); /* nothing when it is over */
    ophost_wait(&bench->call, NULL);
    assert_int_equal(bench->script.cancels, 1);
}

static void finish_then_cancel(struct script *script, orbit_op *op)
{
    (void)script;
    orbit_op_done(op, ORBIT_OK, NULL);
    orb_op_cancel((struct orb_op *)(void *)op); /* between done and its delivery */
}

static void cancel_after_done_does_not_reach_the_backend(void **state)
{
    struct bench *bench = *state;
    bench->script.stat = finish_then_cancel;
    ophost_start(&bench->call, bench->backend);
    assert_int_equal(ophost_wait(&bench->call, NULL), ORBIT_OK);
    assert_int_equal(bench->script.cancels, 0);
}

/* ---- entering: a run on another thread ---- */

static void work_that_ends(void *self, orbit_op *op)
{
    struct script *script = self;
    atomic_fetch_add(&script->runs, 1);
    orbit_op_done(op, ORBIT_OK, NULL);
}

static _Atomic bool entered, entered_twice, entered_late;

static void enter_and_ask_for_a_run(struct script *script, orbit_op *op)
{
    entered = orbit_op_enter(op);
    entered_twice = orbit_op_enter(op);
    orbit_op_run(op, work_that_ends);
    nap_ms(20);
    atomic_store(&script->inside, script->runs); /* not while somebody is inside */
    orbit_op_leave(op);
}

static void a_run_waits_for_who_has_entered(void **state)
{
    struct bench *bench = *state;
    bench->script.stat = enter_and_ask_for_a_run;
    ophost_start(&bench->call, bench->backend);
    assert_int_equal(ophost_wait(&bench->call, NULL), ORBIT_OK);
    assert_true(entered);
    assert_false(entered_twice);
    assert_int_equal(bench->script.inside, 0);
    assert_int_equal(bench->script.runs, 1);
}

static void end_and_enter(struct script *script, orbit_op *op)
{
    (void)script;
    orbit_op_done(op, ORBIT_OK, NULL);
    entered_late = orbit_op_enter(op);
}

static void nobody_enters_what_is_over(void **state)
{
    struct bench *bench = *state;
    bench->script.stat = end_and_enter;
    entered_late = true;
    ophost_start(&bench->call, bench->backend);
    assert_int_equal(ophost_wait(&bench->call, NULL), ORBIT_OK);
    assert_false(entered_late);
}

/* ---- attachments ---- */

static unsigned made, dropped[3], drop_count;
static int things[3];

static void *make_thing(struct orbit_host *host, orbit_error *error)
{
    (void)host, (void)error;
    return &things[made++];
}

static void *make_nothing(struct orbit_host *host, orbit_error *error)
{
    (void)host;
    orb_fail(error, ORBIT_E_CONFIG, 0, "nothing");
    return NULL;
}

static void drop_thing(void *thing)
{
    dropped[drop_count++] = (unsigned)((int *)thing - things);
}

static void attachments_are_made_once_and_dropped_in_reverse(void **state)
{
    (void)state;
    static const char key_a, key_b;
    struct ophost host;
    orbit_error error;
    ophost_open(&host, 0);
    orb_mem_fail_at(1);
    assert_null(orb_host_attach(&host.host, &key_a, make_thing, drop_thing, &error));
    orb_mem_fail_at(0);
    assert_int_equal(error.status, ORBIT_E_MEMORY);
    assert_null(orb_host_attach(&host.host, &key_a, make_nothing, drop_thing, &error));
    assert_int_equal(error.status, ORBIT_E_CONFIG);
    void *a = orb_host_attach(&host.host, &key_a, make_thing, drop_thing, &error);
    void *b = orb_host_attach(&host.host, &key_b, make_thing, drop_thing, &error);
    assert_ptr_equal(orb_host_attach(&host.host, &key_a, make_thing, drop_thing, &error), a);
    assert_ptr_not_equal(a, b);
    assert_int_equal(made, 2);
    orbit_host_log(&host.host, ORBIT_LOG_INFO, "made %d", 2);
    assert_true(ophost_logged(&host, "made 2"));
    ophost_close(&host);
    assert_int_equal(drop_count, 2);
    assert_int_equal(dropped[0], 1);
    assert_int_equal(dropped[1], 0);
}

int main(void)
{
#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_open, bench_close)
    const struct CMUnitTest tests[] = {
        WITH_BENCH(done_inside_the_start_is_told_later),
        WITH_BENCH(errors_travel_and_are_made_up_where_missing),
        WITH_BENCH(runs_follow_one_another_and_never_overlap),
        WITH_BENCH(done_waits_for_the_end_of_its_run),
        WITH_BENCH(cancel_reaches_work_and_backend_once),
        WITH_BENCH(cancel_after_done_does_not_reach_the_backend),
        WITH_BENCH(a_run_waits_for_who_has_entered),
        WITH_BENCH(nobody_enters_what_is_over),
        cmocka_unit_test(attachments_are_made_once_and_dropped_in_reverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
