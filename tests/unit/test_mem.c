/* SPDX-License-Identifier: Apache-2.0
 * The memory backend, operation by operation, in all its profiles. */
#include "mem_fixture.h"

/* ---- bytes, in every profile ---- */

static char *pattern(size_t length)
{
    char *bytes = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
    return bytes;
}

static void bytes_come_back_whatever_their_number(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4095, 262143, 262144, 262145, 3000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *bytes = pattern(sizes[i]);
        OK(ophost_put(store, "file", NULL, bytes, sizes[i], NULL, &error));
        assert_holds("file", bytes, sizes[i]);
        free(bytes);
    }
}

static void ranges_are_cut_at_the_end(void **state)
{
    (void)state;
    char *bytes = pattern(600000);
    OK(ophost_put(store, "file", NULL, bytes, 600000, NULL, &error));
    static const uint64_t ranges[][3] = {{0, 10, 10},         {262140, 10, 10},
                                         {599999, 10, 1},     {600000, 10, 0},
                                         {UINT64_MAX, 10, 0}, {500000, ORBIT_TO_END, 100000},
                                         {10, 0, 0},          {100, UINT64_MAX - 1, 599900}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        orbit_read_request request = {.path = "file", .offset = ranges[i][0], .length = ranges[i][1]};
        orbit_read_reply reply;
        char *got;
        size_t length;
        OK(ophost_read(store, &request, &got, &length, &reply, &error));
        assert_int_equal(length, ranges[i][2]);
        assert_int_equal(reply.length, ranges[i][2]);
        assert_int_equal(reply.metadata.size, 600000);
        if (length)
            assert_memory_equal(got, bytes + ranges[i][0], length);
        orbit_metadata_release(&reply.metadata);
        free(got);
    }
    free(bytes);
}

static void start_read(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct windowed *w = call->ctx;
    ops->read(self, op, &w->read, &w->sink.sink, &w->read_reply);
}

static void small_windows_and_pauses_do_no_harm(void **state)
{
    (void)state;
    char *bytes = pattern(400000);
    struct windowed w = {.put = {.path = "file", .options = &plain_write},
                         .read = {.path = "file", .length = ORBIT_TO_END}};
    w.call.ctx = &w;
    w.call.start = start_put;
    ophost_body_init(&w.body, &w.call, bytes, 400000);
    w.body.window = 1000;
    w.body.starve_every = 3;
    ophost_start(&w.call, store);
    OK(ophost_wait(&w.call, &error));
    orbit_metadata_release(&w.put_reply);

    w.call.start = start_read;
    ophost_sink_init(&w.sink, &w.call);
    w.sink.window = 777;
    w.sink.starve_every = 2;
    ophost_start(&w.call, store);
    OK(ophost_wait(&w.call, &error));
    assert_int_equal(w.call.head_count, 1);
    assert_int_equal(w.sink.length, 400000);
    assert_memory_equal(w.sink.bytes, bytes, 400000);
    orbit_metadata_release(&w.read_reply.metadata);
    ophost_sink_release(&w.sink);
    free(bytes);
}

static void failing_body_or_sink_ends_the_operation(void **state)
{
    (void)state;
    char *bytes = pattern(400000);
    struct windowed w = {.put = {.path = "file", .options = &plain_write},
                         .read = {.path = "other", .length = ORBIT_TO_END}};
    w.call.ctx = &w;
    w.call.start = start_put;
    ophost_body_init(&w.body, &w.call, bytes, 400000);
    w.body.fail_at = 200000;
    ophost_start(&w.call, store);
    assert_int_equal(ophost_wait(&w.call, &error), ORBIT_E_IO);
    assert_missing("file");

    ophost_body_init(&w.body, &w.call, bytes, 400000);
    w.body.length = 300000; /* fewer than the length says */
    ophost_start(&w.call, store);
    assert_int_equal(ophost_wait(&w.call, &error), ORBIT_E_MISUSE);
    assert_missing("file");

    OK(ophost_put(store, "other", NULL, bytes, 400000, NULL, &error));
    w.call.start = start_read;
    ophost_sink_init(&w.sink, &w.call);
    w.sink.fail_at = 100000;
    ophost_start(&w.call, store);
    assert_int_equal(ophost_wait(&w.call, &error), ORBIT_E_IO);
    orbit_metadata_release(&w.read_reply.metadata);
    ophost_sink_release(&w.sink);
    free(bytes);
}

static void *acquire_nothing(orbit_sink *sink, size_t want, size_t *room)
{
    (void)sink, (void)want, (void)room;
    return NULL;
}

static void cancel_ends_what_is_paused(void **state)
{
    (void)state;
    struct windowed w = {.put = {.path = "file", .options = &plain_write},
                         .read = {.path = "other", .length = ORBIT_TO_END}};
    w.call.ctx = &w;
    w.call.start = start_put;
    ophost_body_init(&w.body, &w.call, "hello", 5);
    w.body.body.peek = peek_nothing;
    ophost_start(&w.call, store);
    ophost_cancel(&w.call);
    assert_int_equal(ophost_wait(&w.call, &error), ORBIT_E_CANCELLED);
    assert_missing("file");

    put_text("other", "hello");
    w.call.start = start_read;
    ophost_sink_init(&w.sink, &w.call);
    w.sink.sink.acquire = acquire_nothing;
    ophost_start(&w.call, store);
    ophost_cancel(&w.call);
    assert_int_equal(ophost_wait(&w.call, &error), ORBIT_E_CANCELLED);
    orbit_metadata_release(&w.read_reply.metadata);
    ophost_sink_release(&w.sink);
}

static void pinned_read_notices_a_change(void **state)
{
    (void)state;
    orbit_read_request request = {.path = "file", .length = 2};
    orbit_read_reply reply, second;
    put_text("file", "first");
    OK(ophost_read(store, &request, NULL, NULL, &reply, &error));
    request.pin = &reply.metadata;
    request.offset = 2;
    OK(ophost_read(store, &request, NULL, NULL, &second, &error));
    orbit_metadata_release(&second.metadata);
    put_text("file", "other");
    assert_int_equal(ophost_read(store, &request, NULL, NULL, NULL, &error), ORBIT_E_CHANGED);
    OK(ophost_remove(store, "file", false, false, &error));
    assert_int_equal(ophost_read(store, &request, NULL, NULL, NULL, &error), ORBIT_E_CHANGED);
    request.pin = NULL;
    assert_int_equal(ophost_read(store, &request, NULL, NULL, NULL, &error), ORBIT_E_NOT_FOUND);
    orbit_metadata_release(&reply.metadata);
}

static void no_overwrite_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    OK(ophost_put(store, "file", &options, "one", 3, NULL, &error));
    assert_int_equal(ophost_put(store, "file", &options, "two", 3, NULL, &error), ORBIT_E_EXISTS);
    assert_text("file", "one");
    /* An upload that was begun before the name was taken. */
    orbit_begin_reply begun;
    OK(ophost_begin(store, "late", &options, 5, 5, NULL, &begun, &error));
    put_text("late", "early");
    OK(ophost_part(store, begun.upload, 1, 0, "later", 5, NULL, &error));
    assert_int_equal(ophost_finish(store, begun.upload, 5, 1, NULL, &error), ORBIT_E_EXISTS);
    OK(ophost_abort(store, begun.upload, &error));
    ophost_release(store, begun.upload);
    assert_text("late", "early");
}

/* ---- uploads ---- */

static void parts_become_visible_all_at_once(void **state)
{
    (void)state;
    char *bytes = pattern(1000000);
    orbit_begin_reply begun;
    orbit_metadata m = ORBIT_METADATA_INIT;
    OK(ophost_begin(store, "big", NULL, 1000000, 400000, NULL, &begun, &error));
    assert_non_null(begun.upload_id);
    OK(ophost_part(store, begun.upload, 1, 0, bytes, 400000, NULL, &error));
    OK(ophost_part(store, begun.upload, 2, 400000, bytes + 1, 400000, NULL, &error));
    assert_missing("big");
    OK(ophost_part(store, begun.upload, 2, 400000, bytes + 400000, 400000, NULL, &error)); /* again: replaces */
    assert_int_equal(ophost_finish(store, begun.upload, 1000000, 3, NULL, &error),
                     store->caps.random_access ? ORBIT_OK : ORBIT_E_MISUSE);
    if (!store->caps.random_access) {
        orbit_part_reply part;
        OK(ophost_part(store, begun.upload, 3, 800000, bytes + 800000, 200000, &part, &error));
        assert_true(orb_checksum_value(&part.checksum) == orb_crc64nvme(0, bytes + 800000, 200000));
        assert_missing("big");
        OK(ophost_finish(store, begun.upload, 1000000, 3, &m, &error));
        OK(ophost_finish(store, begun.upload, 1000000, 3, NULL, &error)); /* the reply was lost */
        assert_holds("big", bytes, 1000000);
        assert_int_equal(m.size, 1000000);
    } else { /* what no part covered is a hole */
        memset(bytes + 800000, 0, 200000);
        assert_holds("big", bytes, 1000000);
    }
    orbit_metadata_release(&m);
    OK(ophost_abort(store, begun.upload, &error)); /* over: nothing happens */
    assert_int_equal(ophost_part(store, begun.upload, 4, 0, "x", 1, NULL, &error), ORBIT_E_NOT_FOUND);
    ophost_release(store, begun.upload);
    assert_int_equal(kind_of("big"), ORBIT_KIND_FILE);
    free(bytes);
}

static void aborted_upload_leaves_nothing(void **state)
{
    (void)state;
    orbit_begin_reply begun;
    put_text("file", "old");
    OK(ophost_begin(store, "file", NULL, 8, 4, NULL, &begun, &error));
    OK(ophost_part(store, begun.upload, 1, 0, "aaaa", 4, NULL, &error));
    OK(ophost_abort(store, begun.upload, &error));
    OK(ophost_abort(store, begun.upload, &error));
    assert_int_equal(ophost_finish(store, begun.upload, 4, 1, NULL, &error), ORBIT_E_NOT_FOUND);
    ophost_release(store, begun.upload);
    assert_text("file", "old");
    orbit_space_reply before, after;
    OK(ophost_space(store, "", &before, &error));
    OK(ophost_remove(store, "file", false, false, &error));
    OK(ophost_space(store, "", &after, &error));
    assert_int_equal(after.free_bytes - before.free_bytes, 3);
    assert_int_equal(after.free_bytes, after.total_bytes);
}

static unsigned told_parts, told_uploads;
static char told_id[64];

static void on_part(void *ctx, const orbit_stored_part *part)
{
    (void)ctx;
    told_parts = told_parts * 10 + part->part.number;
}

static void on_upload(void *ctx, const orbit_upload_entry *entry)
{
    (void)ctx;
    told_uploads++;
    snprintf(told_id, sizeof(told_id), "%s", entry->upload_id);
}

static void upload_is_taken_up_again_by_its_id(void **state)
{
    (void)state;
    orbit_begin_reply begun, again;
    bool more = true;
    told_parts = told_uploads = 0;
    OK(ophost_begin(store, "dir/file", NULL, 8, 4, NULL, &begun, &error));
    OK(ophost_part(store, begun.upload, 1, 0, "aaaa", 4, NULL, &error));
    ophost_release(store, begun.upload); /* the program went away */

    orbit_uploads_request uploads = {.prefix = "dir/", .each = on_upload};
    OK(ophost_uploads(store, &uploads, &more, &error));
    assert_int_equal(told_uploads, 1);
    assert_false(more);
    uploads.prefix = "other/";
    OK(ophost_uploads(store, &uploads, &more, &error));
    assert_int_equal(told_uploads, 1);
    assert_int_equal(ophost_begin(store, "dir/file", NULL, 8, 4, "nonsense", &again, &error), ORBIT_E_NOT_FOUND);
    OK(ophost_begin(store, "dir/file", NULL, 8, 4, told_id, &again, &error));
    orbit_parts_request parts = {.upload = again.upload, .each = on_part};
    OK(ophost_parts(store, &parts, &more, &error));
    assert_int_equal(told_parts, 1);
    OK(ophost_part(store, again.upload, 2, 4, "bbbb", 4, NULL, &error));
    OK(ophost_finish(store, again.upload, 8, 2, NULL, &error));
    ophost_release(store, again.upload);
    assert_text("dir/file", "aaaabbbb");
}

int main(void)
{
#define IN(profile, test)                                                \
    {                                                                    \
#test " (" #profile ")", test, open_##profile, close_store, NULL \
    }
#define IN_ALL(test) IN(object, test), IN(files, test), IN(sequential, test)
    const struct CMUnitTest tests[] = {
        IN_ALL(bytes_come_back_whatever_their_number),
        IN_ALL(ranges_are_cut_at_the_end),
        IN_ALL(small_windows_and_pauses_do_no_harm),
        IN_ALL(failing_body_or_sink_ends_the_operation),
        IN_ALL(cancel_ends_what_is_paused),
        IN_ALL(pinned_read_notices_a_change),
        IN_ALL(no_overwrite_is_refused_and_changes_nothing),
        IN_ALL(parts_become_visible_all_at_once),
        IN_ALL(aborted_upload_leaves_nothing),
        IN_ALL(upload_is_taken_up_again_by_its_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
