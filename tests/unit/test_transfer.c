/* SPDX-License-Identifier: Apache-2.0
 * Many at once: bounds, fairness between large and small, results, cancel, and what a name may not do. The source is a
 * memory store behind the chaos backend, the target another memory store. */
#include "transfer_fixture.h"

/* ---- what is moved --------------------------------------------------------------------------------- */

static void a_tree_arrives_and_each_object_has_one_result(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 700);
    have(from, "tree/large", LARGE);
    orbit_job_source jobs;
    orbit_transfer *transfer = NULL;
    orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    unsigned results = 0;
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_open(&transfer, client, &jobs, NULL, &error), "open");
    orbit_status status;
    while ((status = orbit_transfer_next(transfer, &result, &error)) == ORBIT_OK) {
        assert_int_equal(result.outcome, ORBIT_JOB_DONE);
        assert_memory_equal(result.from, "tree/", 5);
        assert_string_equal(result.from + 5, result.to + 5);
        results++;
    }
    assert_int_equal(status, ORBIT_END);
    assert_int_equal(orbit_transfer_next(transfer, &result, &error), ORBIT_END);
    must(orbit_transfer_get_totals(transfer, &totals), "totals");
    orbit_transfer_close(transfer);
    assert_int_equal(results, 701);
    assert_int_equal(totals.done, 701);
    assert_int_equal(totals.found, 701);
    assert_true(totals.all_found && totals.sizes_known);
    assert_int_equal(totals.bytes_done, totals.bytes_total);
    assert_int_equal(count_below(to, "into"), 701);
}

static void a_move_removes_its_sources_in_batches(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 900);
    orbit_job_source jobs;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    use_tree(&jobs, ORBIT_JOB_MOVE, "tree");
    must(orbit_transfer_run(client, &jobs, NULL, &totals, &error), "run");
    assert_int_equal(totals.done, 900);
    assert_int_equal(count_below(to, "into"), 900);
    assert_int_equal(count_below(from, "tree"), 0);
    assert_true(chaos_count(&chaos.by_kind[8]) < 500); /* requests for removals */
}

/* Nothing runs before all jobs are there, so what is gathered does not depend on who is fast. */
static void removals_go_in_batches_and_each_has_its_result(void **state)
{
    (void)state;
    open_stores("object", "object", true);
    have_many("tree", 3000);
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_transfer *transfer = NULL;
    orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
    orbit_job job;
    char path[96];
    options.missing_ok = true;
    must(orbit_transfer_open(&transfer, client, NULL, &options, &error), "open");
    orbit_job_init(&job);
    job.operation = ORBIT_JOB_REMOVE;
    job.from_backend = from;
    job.from = path;
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "tree/d%u/f%05u", i % 7, i);
        assert_int_equal(orbit_transfer_try_add(transfer, &job, &error), ORBIT_OK);
    }
    orbit_transfer_end(transfer);
    unsigned count = 0;
    while (orbit_transfer_next(transfer, &result, &error) == ORBIT_OK)
        count++;
    orbit_transfer_close(transfer);
    assert_int_equal(count, 3000);
    assert_int_equal(count_below(from, "tree"), 0);
    assert_int_equal(chaos_count(&chaos.by_kind[8]), 3);
}

static void a_tree_of_objects_is_removed(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have_many("tree", 3000);
    orbit_job_source jobs;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    use_tree(&jobs, ORBIT_JOB_REMOVE, "tree");
    must(orbit_transfer_run(client, &jobs, NULL, &totals, &error), "run");
    assert_int_equal(totals.done, 3000);
    assert_int_equal(count_below(from, "tree"), 0);
}

static orbit_status run_names(uint32_t operation, const char *names, size_t length, char delimiter,
                              const orbit_transfer_options *given, struct seen *seen)
{
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_job_source jobs;
    if (given)
        options = *given;
    options.each = each;
    options.each_ctx = seen;
    must(orbit_jobs_names(&jobs, operation, from, "tree", to, "into", orbit_source_memory(names, length), delimiter,
                          &error),
         "names");
    return orbit_transfer_run(client, &jobs, &options, NULL, &error);
}

static void names_are_taken_as_they_are(void **state)
{
    (void)state;
    static const char names[] = "a b\n\n\nx\\ny\n #c\nmissing\n\xff\xfe\nlast";
    open_stores("object", "object", false);
    const char *keys[] = {"a b", "x\\ny", " #c", "\xff\xfe", "last"};
    for (size_t i = 0; i < 5; i++) {
        char path[32];
        snprintf(path, sizeof(path), "tree/%s", keys[i]);
        have(from, path, 10);
    }
    struct seen seen = {0};
    must(run_names(ORBIT_JOB_COPY, names, sizeof(names) - 1, '\n', NULL, &seen), "run");
    assert_int_equal(seen.well, 5);
    assert_int_equal(seen.failed, 1);
    assert_memory_equal(seen.last, "tree/missing: ", 14);
    assert_true(is_there(to, "into/\xff\xfe"));
    seen = (struct seen){0};
    must(run_names(ORBIT_JOB_REMOVE, "a b\0last\0", 9, '\0', NULL, &seen), "run");
    assert_int_equal(seen.well, 2);
    assert_int_equal(count_below(from, "tree"), 3);
}

static void a_name_that_is_too_long_is_one_failure(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have(from, "tree/after", 3);
    size_t length = 300 << 10;
    char *names = malloc(length + 8);
    memset(names, 'n', length);
    snprintf(names + length, 8, "\nafter\n");
    struct seen seen = {0};
    must(run_names(ORBIT_JOB_COPY, names, length + 7, '\n', NULL, &seen), "run");
    free(names);
    assert_int_equal(seen.well, 1);
    assert_int_equal(seen.failed, 1);
}

static void no_name_leaves_a_target_that_is_a_file_system(void **state)
{
    (void)state;
    static const char names[] = "../out\n/abs\na//b\n.\n..\na/./b\na/../b\nok\nok/..\n";
    open_stores("object", "files", false);
    const char *keys[] = {"tree/../out", "tree//abs",  "tree/a//b",   "tree/.",
                          "tree/..",     "tree/a/./b", "tree/a/../b", "tree/ok"};
    for (size_t i = 0; i < 8; i++)
        have(from, keys[i], 5);
    struct seen seen = {0};
    must(run_names(ORBIT_JOB_COPY, names, sizeof(names) - 1, '\n', NULL, &seen), "run");
    assert_int_equal(seen.well, 1);
    assert_int_equal(seen.failed, 8);
    assert_int_equal(count_below(to, ""), 1);
    assert_true(is_there(to, "into/ok"));

    orbit_job_source jobs;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    use_tree(&jobs, ORBIT_JOB_COPY, "tree"); /* what a listing finds is no better */
    must(orbit_transfer_run(client, &jobs, NULL, &totals, &error), "run");
    assert_int_equal(totals.done, 1);
    assert_true(totals.failed >= 6);
    assert_int_equal(count_below(to, ""), 1);
}

static void what_stands_at_the_target_stays_where_that_is_asked_for(void **state)
{
    (void)state;
    open_stores("object", "object", false);
    have(from, "tree/same", 10);
    have(from, "tree/other", 20);
    have(from, "tree/new", 30);
    have(to, "into/same", 10);
    have(to, "into/other", 5);
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_job_source jobs;
    struct seen seen = {0};
    options.each = each;
    options.each_ctx = &seen;
    options.no_clobber = options.dry_run = true;
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_run(client, &jobs, &options, NULL, &error), "dry run");
    assert_int_equal(seen.kept, 2);
    assert_int_equal(seen.well, 1);
    assert_false(is_there(to, "into/new"));

    options.dry_run = options.no_clobber = false;
    options.if_size_differ = true;
    seen = (struct seen){0};
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_run(client, &jobs, &options, NULL, &error), "run");
    assert_int_equal(seen.kept, 1);
    assert_int_equal(seen.well, 2);
    options.if_size_differ = false;
    options.no_clobber = true;
    seen = (struct seen){0};
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_run(client, &jobs, &options, NULL, &error), "run");
    assert_int_equal(seen.kept, 3);
}

static void directories_are_made_where_there_are_some(void **state)
{
    (void)state;
    open_stores("files", "files", false);
    orbit_call_options parents = ORBIT_CALL_OPTIONS_INIT;
    parents.recursive = true;
    must(orbit_mkdir(from, "tree/empty/below", &parents, &error), "mkdir");
    have(from, "tree/full/file", 3);
    orbit_job_source jobs;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    use_tree(&jobs, ORBIT_JOB_COPY, "tree");
    must(orbit_transfer_run(client, &jobs, NULL, &totals, &error), "run");
    assert_int_equal(totals.failed, 0);
    assert_true(is_there(to, "into/empty/below"));
    assert_true(is_there(to, "into/full/file"));
}

static orbit_status one_link_next(void *ctx, orbit_job *job, orbit_error *why)
{
    static const orbit_metadata link = {.kind = ORBIT_KIND_SYMLINK};
    (void)why;
    if ((*(unsigned *)ctx)++)
        return ORBIT_END;
    job->operation = ORBIT_JOB_COPY;
    job->from_backend = from;
    job->to_backend = to;
    job->from = "link";
    job->to = "into/new/link";
    job->metadata = &link;
    return ORBIT_OK;
}

static void a_link_makes_its_directories(void **state)
{
    (void)state;
    open_stores("files", "files", false);
    must(orbit_symlink(from, "../elsewhere", "link", NULL, &error), "symlink");
    for (int may_make = 0; may_make < 2; may_make++) {
        unsigned given = 0;
        orbit_job_source jobs = {one_link_next, NULL, NULL, &given};
        orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
        orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
        orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
        struct seen seen = {0};
        write.create_parents = may_make;
        copy.write = &write;
        options.copy = &copy;
        options.each = each;
        options.each_ctx = &seen;
        must(orbit_transfer_run(client, &jobs, &options, NULL, &error), "run");
        assert_int_equal(seen.well, may_make);
        assert_int_equal(seen.failed, !may_make);
    }
    char target[64] = "";
    must(orbit_readlink(to, "into/new/link", target, sizeof(target), NULL, &error), "readlink");
    assert_string_equal(target, "../elsewhere");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_tree_arrives_and_each_object_has_one_result),
        T(a_move_removes_its_sources_in_batches),
        T(removals_go_in_batches_and_each_has_its_result),
        T(a_tree_of_objects_is_removed),
        T(names_are_taken_as_they_are),
        T(a_name_that_is_too_long_is_one_failure),
        T(no_name_leaves_a_target_that_is_a_file_system),
        T(what_stands_at_the_target_stays_where_that_is_asked_for),
        T(directories_are_made_where_there_are_some),
        T(a_link_makes_its_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
