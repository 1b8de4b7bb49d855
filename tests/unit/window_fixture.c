/* SPDX-License-Identifier: Apache-2.0
 * Readers of a store that does what it is told. */
#include "window_fixture.h"

int set_up(void **state)
{
    int status = world_open(state);
    ((struct world *)*state)->store.size = 10 * CHUNK + 123;
    return status;
}

orbit_reader *open_with(struct world *world, const orbit_read_options *options)
{
    orbit_reader *reader = NULL;
    orbit_read_options plain = ORBIT_READ_OPTIONS_INIT;
    plain.no_hedge = true;
    if (!options)
        options = &plain;
    assert_int_equal(orbit_read(&reader, world->backend, "it", options, &world->error), ORBIT_OK);
    assert_non_null(reader);
    return reader;
}

uint64_t drain(struct world *world, orbit_reader *reader, uint64_t at, orbit_status *status)
{
    const void *bytes;
    size_t length;
    while ((*status = orbit_reader_next(reader, &bytes, &length, &world->error)) == ORBIT_OK) {
        assert_true(length > 0);
        for (size_t i = 0; i < length; i++)
            if (((const uint8_t *)bytes)[i] != read_store_byte(at + i))
                fail_msg("byte %llu is wrong", (unsigned long long)(at + i));
        at += length;
    }
    return at;
}

void expect_all(struct world *world, orbit_reader *reader, uint64_t from, uint64_t to)
{
    orbit_status status;
    assert_int_equal(drain(world, reader, from, &status), to);
    assert_int_equal(status, ORBIT_END);
    assert_int_equal(drain(world, reader, to, &status), to);
    assert_int_equal(status, ORBIT_END);
}

void whole(struct world *world)
{
    orbit_reader *reader = open_with(world, NULL);
    expect_all(world, reader, 0, world->store.size);
    orbit_reader_close(reader);
}
