/* SPDX-License-Identifier: Apache-2.0
 * Writes with a condition whose reply is lost: the next try must not take what the first one wrote for somebody else's,
 * nor somebody else's for its own. Uploads in parts are in test_s3_write_faults.c. */
#include "s3fault.h"

#include <string.h>

enum { SMALL = 5, LARGER = 3 << 20 };

/* One way to write, with an object that it replaces where the condition is one of a version. */
struct way {
    const char *op; /* the endpoint's name of the request */
    size_t length;
    bool copies, by_etag;
};

static const struct way ways[] = {
    {"PutObject", SMALL, false, false},  {"PutObject", SMALL, false, true},  {"PutObject", LARGER, false, false},
    {"PutObject", LARGER, false, true},  {"CopyObject", SMALL, true, false}, {"CopyObject", SMALL, true, true},
    {"CopyObject", LARGER, true, false}, {"CopyObject", LARGER, true, true},
};

static orbit_status put(const char *key, const uint8_t *bytes, size_t length, const orbit_write_options *options)
{
    return orbit_write(at.store, key, orbit_source_memory(bytes, length), length, options, NULL, &told);
}

/* Begins anew; `bytes` are at "source", and what stands at "target" before is `stood` (NULL: nothing). */
static void begin(const struct way *way, const uint8_t *bytes, const uint8_t *stood, orbit_metadata *about)
{
    endpoint_reset(&at.endpoint);
    at.config.put_max_bytes = 4 << 20;
    at.options.chunk_size = 4 << 20;
    s3fault_reopen();
    OK(put("source", bytes, way->length, NULL));
    if (stood) {
        OK(put("target", stood, way->length, NULL));
        OK(orbit_stat(at.store, "target", NULL, about, &told));
    }
}

static orbit_status write_target(const struct way *way, const uint8_t *bytes, const char *if_match)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    options.overwrite = way->by_etag;
    options.if_match = way->by_etag ? if_match : NULL;
    copy.write = &options;
    memset(&told, 0, sizeof(told));
    return way->copies ? orbit_copy(at.store, "source", at.store, "target", &copy, NULL, &told)
                       : put("target", bytes, way->length, &options);
}

/* The request's connection is reset `when` the endpoint has, or has not, done it. */
static void each_is_done(const char *when)
{
    uint8_t *bytes = make_bytes(LARGER, 1), *old = make_bytes(LARGER, 2);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        orbit_metadata about = ORBIT_METADATA_INIT;
        begin(&ways[i], bytes, ways[i].by_etag ? old : NULL, &about);
        FAULT("op=%s&count=1&reset=%s", ways[i].op, when);
        OK(write_target(&ways[i], bytes, about.etag));
        OK(read_back("target", bytes, ways[i].length, &told));
        orbit_metadata_release(&about);
    }
    free(bytes);
    free(old);
}

static void what_was_written_is_found_done(void **state)
{
    (void)state;
    each_is_done("after");
}

static void what_was_not_written_is_written(void **state)
{
    (void)state;
    each_is_done("before");
}

/* Of the same size, and younger than the first try. */
static void what_somebody_else_wrote_is_a_conflict(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(LARGER, 1), *old = make_bytes(LARGER, 2);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        orbit_metadata about = ORBIT_METADATA_INIT;
        orbit_status expected = ways[i].by_etag ? ORBIT_E_CHANGED : ORBIT_E_EXISTS;
        begin(&ways[i], bytes, old, &about);
        FAULT("op=%s&count=1&reset=before", ways[i].op);
        EXPECT(expected, write_target(&ways[i], bytes, "0123456789abcdef0123456789abcdef"));
        assert_false(told.flags & ORBIT_ERROR_MAYBE_DONE);
        assert_null(strstr(told.message, "earlier attempt"));
        OK(read_back("target", old, ways[i].length, &told));
        orbit_metadata_release(&about);
    }
    free(bytes);
    free(old);
}

/* It may be either; so it is said. */
static void what_cannot_be_looked_at_is_told_as_that(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(LARGER, 1), *old = make_bytes(LARGER, 2);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        if (!ways[i].by_etag || !ways[i].copies)
            continue; /* the others look before they write */
        orbit_metadata about = ORBIT_METADATA_INIT;
        begin(&ways[i], bytes, old, &about);
        FAULT("op=%s&count=1&reset=after", ways[i].op);
        FAULT("op=HeadObject&key=target&status=403&code=AccessDenied");
        EXPECT(ORBIT_E_CHANGED, write_target(&ways[i], bytes, about.etag));
        assert_true(told.flags & ORBIT_ERROR_MAYBE_DONE);
        assert_non_null(strstr(told.message, "an earlier attempt, whose reply was lost, may have written it"));
        endpoint_control(&at.endpoint, "clear");
        OK(read_back("target", bytes, ways[i].length, &told));
        orbit_metadata_release(&about);
    }
    free(bytes);
    free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(what_was_written_is_found_done),
        FAULT_TEST(what_was_not_written_is_written),
        FAULT_TEST(what_somebody_else_wrote_is_a_conflict),
        FAULT_TEST(what_cannot_be_looked_at_is_told_as_that),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
