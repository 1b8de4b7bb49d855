/* SPDX-License-Identifier: Apache-2.0
 * Two scripted stores, a client and a directory of its own. */
#include "unit/write_fixture.h"

struct fixture fx;

int fixture_setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    wstore_init(&fx.store);
    wstore_init(&fx.other);
    snprintf(fx.directory, sizeof(fx.directory), "/tmp/orbit-write-XXXXXX");
    return mkdtemp(fx.directory) ? 0 : -1;
}

void fixture_open_with(const orbit_client_options *options, const orbit_backend_ops *ops,
                       const orbit_open_options *open_options)
{
    assert_int_equal(orbit_client_open(&fx.client, options, &fx.error), ORBIT_OK);
    assert_int_equal(orbit_register(fx.client, "target", ops ? ops : &wstore_ops, &fx.store, &fx.error), ORBIT_OK);
    assert_int_equal(orbit_register(fx.client, "source", ops ? ops : &wstore_ops, &fx.other, &fx.error), ORBIT_OK);
    assert_int_equal(orbit_open(&fx.backend, fx.client, "target://t", open_options, &fx.error), ORBIT_OK);
    assert_int_equal(orbit_open(&fx.from, fx.client, "source://s", open_options, &fx.error), ORBIT_OK);
}

void fixture_open(void)
{
    fixture_open_with(NULL, NULL, NULL);
}

uint64_t fixture_memory_used(void)
{
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    return stats.memory_used_bytes;
}

int fixture_teardown(void **state)
{
    (void)state;
    char command[128];
    if (fx.client) {
        assert_int_equal(fixture_memory_used(), 0);
        orbit_backend_close(fx.backend);
        orbit_backend_close(fx.from);
        orbit_client_close(fx.client);
    }
    assert_int_equal(fx.store.uploads_open, 0);
    assert_int_equal(fx.store.parts_running, 0);
    wstore_release(&fx.store);
    wstore_release(&fx.other);
    snprintf(command, sizeof(command), "rm -rf %s", fx.directory);
    return system(command) == 0 ? 0 : -1;
}

void assert_ok(orbit_status status)
{
    if (status != ORBIT_OK)
        fail_msg("%s: %s", orbit_status_word(status), fx.error.message);
}

char *fixture_file(const char *name, const void *bytes, uint64_t length)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", fx.directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    fclose(file);
    return path;
}
