/* SPDX-License-Identifier: Apache-2.0
 * Many at once: bounds, fairness between large and small, and how a transfer ends. */
#include "transfer_fixture.h"

/* ---- bounds and fairness --------------------------------------------------------------------------- */

struct endless {
    const char *path;
    uint64_t given, large_at, limit;
    struct seen *seen;
    bool fail_one, closed;
};

static orbit_status endless_next(void *ctx, orbit_job *job, orbit_error *why)
{
    struct endless *endless = ctx;
    static char name[32];
    uint64_t n = __atomic_fetch_add(&endless->given, 1, __ATOMIC_SEQ_CST);
    if (n >= endless->limit || (endless->seen && __atomic_load_n(&endless->seen->large, __ATOMIC_SEQ_CST)))
        return ORBIT_END;
    snprintf(name, sizeof(name), "copy-%u", (unsigned)n);
    job->operation = ORBIT_JOB_COPY;
    job->from_backend = from;
    job->to_backend = to;
    job->from = endless->large_at && n == endless->large_at ? "large" : endless->path;
    job->to = name;
    job->bytes = job->from == endless->path ? 10 : LARGE;
    if (!endless->fail_one || n != 1)
        return ORBIT_OK;
    orbit_error_set(why, ORBIT_E_PERMISSION, 0, "this one cannot be read");
    return ORBIT_ENTRY_FAILED;
}

static void endless_close(void *ctx)
{
    ((struct endless *)ctx)->closed = true;
}

static void jobs_are_read_only_as_there_is_room(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have(from, "small", 10);
    struct endless endless = {.path = "small", .limit = 1000000};
    orbit_job_source jobs = {endless_next, NULL, endless_close, &endless};
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    orbit_transfer *transfer = NULL;
    options.jobs_held_max = 50;
    must(orbit_transfer_open(&transfer, client, &jobs, &options, &error), "open");
    do { /* nobody takes a result */
        usleep(1000);
        must(orbit_transfer_get_totals(transfer, &totals), "totals");
    } while (totals.done < 50);
    usleep(20000);
    assert_in_range(__atomic_load_n(&endless.given, __ATOMIC_SEQ_CST), 50, 51);
    assert_true(memory_used() < (uint64_t)200 * 1024);
    orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
    for (int i = 0; i < 200; i++)
        assert_int_equal(orbit_transfer_next(transfer, &result, &error), ORBIT_OK);
    assert_true(__atomic_load_n(&endless.given, __ATOMIC_SEQ_CST) <= 200 + 51);
    orbit_transfer_close(transfer);
    assert_true(endless.closed);
}

static void an_entry_that_failed_is_a_result_and_the_rest_goes_on(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have(from, "small", 10);
    struct endless endless = {.path = "small", .limit = 4, .fail_one = true};
    orbit_job_source jobs = {endless_next, NULL, endless_close, &endless};
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    struct seen seen = {0};
    options.each = each;
    options.each_ctx = &seen;
    must(orbit_transfer_run(client, &jobs, &options, NULL, &error), "run");
    assert_int_equal(seen.well, 3);
    assert_int_equal(seen.failed, 1);
    assert_non_null(strstr(seen.last, "this one cannot be read"));
}

static void small_ones_that_keep_coming_do_not_starve_a_large_one(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have(from, "small", 10);
    have(from, "large", LARGE);
    struct seen seen = {0};
    struct endless endless = {.path = "small", .limit = 2000000, .large_at = 40, .seen = &seen};
    orbit_job_source jobs = {endless_next, NULL, endless_close, &endless};
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    options.each = each;
    options.each_ctx = &seen;
    options.concurrency = 4;
    must(orbit_transfer_run(client, &jobs, &options, NULL, &error), "run");
    assert_true(seen.large);
    assert_true(endless.given < endless.limit);
}

static void large_ones_that_stand_still_do_not_block_small_ones(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have(from, "small", 10);
    have(from, "large", LARGE);
    /* The first reads hang: those of large objects, as many as may run at once. */
    chaos_plan(&chaos, &(struct chaos_plan){.operations = CHAOS_READ, .hang_percent = 100, .faults_max = 2});
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_transfer *transfer = NULL;
    orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
    orbit_job job;
    char name[32];
    options.concurrency = 4;
    must(orbit_transfer_open(&transfer, client, NULL, &options, &error), "open");
    for (int i = 0; i < 108; i++) {
        orbit_job_init(&job);
        snprintf(name, sizeof(name), "c%d", i);
        job.operation = ORBIT_JOB_COPY;
        job.from_backend = from;
        job.to_backend = to;
        job.from = i < 8 ? "large" : "small";
        job.to = name;
        job.bytes = i < 8 ? LARGE : 10;
        must(orbit_transfer_add(transfer, &job, &error), "add");
        if (i == 7) /* before any of the others */
            while (chaos_count(&chaos.faults) < 2)
                usleep(1000);
    }
    orbit_transfer_end(transfer);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(orbit_transfer_next(transfer, &result, &error), ORBIT_OK);
        assert_string_equal(result.from, "small");
    }
    assert_int_equal(orbit_transfer_add(transfer, &job, &error), ORBIT_E_MISUSE);
    orbit_transfer_close(transfer);
    assert_false(is_there(to, "c0"));
}

/* ---- ends ------------------------------------------------------------------------------------------- */

static void a_cancelled_transfer_ends_soon_and_leaves_nothing_behind(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 300);
    uint64_t before = chaos_count(&chaos.candidates);
    chaos_plan(&chaos, &(struct chaos_plan){.operations = CHAOS_READ, .hang_percent = 100, .skip = before + 100});
    orbit_job_source jobs;
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_transfer *transfer = NULL;
    orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
    orbit_status status;
    unsigned well = 0, failed = 0;
    options.cancel = orbit_cancel_new();
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_open(&transfer, client, &jobs, &options, &error), "open");
    while ((status = orbit_transfer_next(transfer, &result, &error)) >= 0 && status != ORBIT_END) {
        well += status == ORBIT_OK;
        failed += status == ORBIT_ENTRY_FAILED;
        if (status == ORBIT_ENTRY_FAILED)
            assert_int_equal(error.status, ORBIT_E_CANCELLED);
        if (well == 100)
            orbit_cancel_fire(options.cancel);
    }
    assert_int_equal(status, ORBIT_E_CANCELLED);
    assert_int_equal(well, 100);
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    must(orbit_transfer_get_totals(transfer, &totals), "totals");
    assert_int_equal(failed, totals.found - 100); /* whether they were under way or never begun */
    assert_in_range(failed, 1, 200);
    assert_int_equal(orbit_transfer_next(transfer, &result, &error), ORBIT_E_CANCELLED);
    orbit_job job;
    orbit_job_init(&job);
    job.operation = ORBIT_JOB_REMOVE;
    job.from_backend = from;
    job.from = "x";
    assert_int_equal(orbit_transfer_add(transfer, &job, &error), ORBIT_E_CANCELLED);
    orbit_transfer_close(transfer);

    transfer = NULL; /* a token that has fired before */
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_open(&transfer, client, &jobs, &options, &error), "open");
    assert_int_equal(orbit_transfer_next(transfer, &result, &error), ORBIT_E_CANCELLED);
    orbit_transfer_close(transfer);
    orbit_cancel_free(options.cancel);
}

/* Gives out jobs whose ctx is their number, until it is stopped. */
struct numbered {
    uintptr_t given;
    uint32_t operation;
    bool stopped, closed;
};

static orbit_status numbered_next(void *ctx, orbit_job *job, orbit_error *why)
{
    struct numbered *numbered = ctx;
    if (__atomic_load_n(&numbered->stopped, __ATOMIC_SEQ_CST)) {
        orbit_error_set(why, ORBIT_E_CANCELLED, 0, "stopped");
        return ORBIT_E_CANCELLED;
    }
    job->operation = numbered->operation;
    job->from_backend = from;
    job->to_backend = numbered->operation == ORBIT_JOB_REMOVE ? NULL : to;
    job->from = "tree/d1/f00001";
    job->to = "target";
    job->ctx = (void *)++numbered->given;
    return ORBIT_OK;
}

static void numbered_stop(void *ctx)
{
    __atomic_store_n(&((struct numbered *)ctx)->stopped, true, __ATOMIC_SEQ_CST);
}

static void numbered_close(void *ctx)
{
    ((struct numbered *)ctx)->closed = true;
}

static void every_job_of_a_cancelled_transfer_gives_its_ctx_back(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 8);
    chaos_plan(&chaos, &(struct chaos_plan){.operations = CHAOS_READ | CHAOS_REMOVE, .hang_percent = 100});
    for (unsigned turn = 0; turn < 8; turn++) {
        struct numbered numbered = {.operation = turn % 2 ? ORBIT_JOB_REMOVE : ORBIT_JOB_COPY};
        orbit_job_source jobs = {numbered_next, numbered_stop, numbered_close, &numbered};
        orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
        orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
        orbit_transfer *transfer = NULL;
        orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
        orbit_status status;
        uint8_t back[512] = {0};
        options.jobs_held_max = turn < 4 ? 300 : 30; /* the source is never at its end: it waits for room */
        options.missing_ok = turn >= 4;
        options.cancel = orbit_cancel_new();
        must(orbit_transfer_open(&transfer, client, &jobs, &options, &error), "open");
        while (totals.found < (turn < 4 ? 300u : 30u)) {
            usleep(1000);
            must(orbit_transfer_get_totals(transfer, &totals), "totals");
        }
        orbit_cancel_fire(options.cancel);
        unsigned count = 0;
        while ((status = orbit_transfer_next(transfer, &result, &error)) == ORBIT_ENTRY_FAILED) {
            assert_int_equal(error.status, ORBIT_E_CANCELLED);
            assert_in_range((uintptr_t)result.ctx, 1, sizeof(back) - 1);
            back[(uintptr_t)result.ctx]++;
            count++;
        }
        assert_int_equal(status, ORBIT_E_CANCELLED);
        assert_true(numbered.closed);
        assert_int_equal(count, numbered.given); /* the one that waited for room, too */
        for (uintptr_t i = 1; i <= numbered.given; i++)
            assert_int_equal(back[i], 1);
        orbit_transfer_close(transfer);
        orbit_cancel_free(options.cancel);
    }
}

static void a_transfer_that_is_closed_early_ends(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 300);
    for (unsigned take = 0; take < 40; take += 3) {
        orbit_job_source jobs;
        orbit_transfer *transfer = NULL;
        orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
        use_tree(&jobs, take % 2 ? ORBIT_JOB_COPY : ORBIT_JOB_MOVE, "tree");
        must(orbit_transfer_open(&transfer, client, &jobs, NULL, &error), "open");
        for (unsigned i = 0; i < take; i++)
            (void)orbit_transfer_next(transfer, &result, &error);
        orbit_transfer_close(transfer);
        assert_int_equal(memory_used(), 0);
    }
}

static void a_failing_store_fails_some_and_the_others_arrive(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 90);
    chaos_plan(&chaos, &(struct chaos_plan){.seed = 5, .operations = CHAOS_READ, .fail_before_percent = 60});
    orbit_job_source jobs;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_run(client, &jobs, NULL, &totals, &error), "run");
    assert_true(totals.failed > 2 && totals.done > 20);
    assert_int_equal(totals.failed + totals.done, 90);
    assert_int_equal(count_below(to, "into"), totals.done);
}

static void a_listing_that_breaks_off_is_how_the_transfer_ends(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 50);
    chaos_plan(&chaos, &(struct chaos_plan){.operations = CHAOS_LIST, .fail_before_percent = 100});
    orbit_job_source jobs;
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    assert_int_equal(orbit_transfer_run(client, &jobs, NULL, NULL, &error), ORBIT_E_NETWORK);
}

static void finished(void *ctx, orbit_task *task, orbit_status status, const orbit_error *why)
{
    (void)task;
    (void)why;
    *(orbit_status *)ctx = status;
}

static void a_task_tells_its_results_on_the_loop(void **state)
{
    (void)state;
    open_stores("object", "object", true);
    have_many("tree", 60);
    orbit_job_source jobs;
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    orbit_task *task = NULL;
    orbit_status ended = ORBIT_AGAIN;
    struct seen seen = {0};
    options.each = each;
    options.each_ctx = &seen;
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_start(&task, client, &jobs, &options, &totals, finished, &ended, &error), "start");
    must(orbit_task_wait(task, &error), "wait");
    orbit_task_free(task);
    assert_int_equal(ended, ORBIT_OK);
    assert_int_equal(seen.well, 60);
    assert_int_equal(totals.done, 60);
}

/* Whatever allocation fails, each job has a result or the transfer says why not, and nothing is lost. */
static void no_allocation_that_fails_breaks_it(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 5);
    bool failed = true;
    for (uint64_t n = 1; failed && n < 2000; n++) {
        orbit_job_source jobs = {0};
        orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
        orb_mem_fail_at(n);
        orbit_status status =
            orbit_jobs_tree(&jobs, n % 2 ? ORBIT_JOB_COPY : ORBIT_JOB_MOVE, from, "tree", to, "into", NULL, &error);
        if (status >= 0)
            status = orbit_transfer_run(client, &jobs, NULL, &totals, &error);
        failed = orb_mem_count() >= n;
        orb_mem_fail_at(0);
        if (status < 0)
            assert_int_equal(status, ORBIT_E_MEMORY);
        have_many("tree", 5);
    }
    assert_false(failed);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(jobs_are_read_only_as_there_is_room),
        T(an_entry_that_failed_is_a_result_and_the_rest_goes_on),
        T(small_ones_that_keep_coming_do_not_starve_a_large_one),
        T(large_ones_that_stand_still_do_not_block_small_ones),
        T(a_cancelled_transfer_ends_soon_and_leaves_nothing_behind),
        T(every_job_of_a_cancelled_transfer_gives_its_ctx_back),
        T(a_transfer_that_is_closed_early_ends),
        T(a_failing_store_fails_some_and_the_others_arrive),
        T(a_listing_that_breaks_off_is_how_the_transfer_ends),
        T(a_task_tells_its_results_on_the_loop),
        T(no_allocation_that_fails_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
