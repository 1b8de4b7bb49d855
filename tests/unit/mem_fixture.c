/* SPDX-License-Identifier: Apache-2.0
 * A memory store, opened in one of its profiles. */
#include "mem_fixture.h"

struct ophost host;
struct orb_backend *store;
orbit_error error;

static int open_profile(const char *settings)
{
    ophost_open(&host, 0);
    store = ophost_backend(&host, &orb_mem_ops, "", "", NULL, settings, NULL, &error);
    return store ? 0 : -1;
}

int open_object(void **state)
{
    (void)state;
    return open_profile("profile=object&part_min=4");
}

int open_files(void **state)
{
    (void)state;
    return open_profile("profile=files");
}

int open_sequential(void **state)
{
    (void)state;
    return open_profile("profile=sequential");
}

int open_dropping(void **state)
{
    (void)state;
    return open_profile("profile=dropping&drop_every=3");
}

int close_store(void **state)
{
    (void)state;
    orb_mem_fail_at(0);
    ophost_backend_close(store);
    ophost_close(&host);
    return 0;
}

void put_text(const char *path, const char *text)
{
    OK(ophost_put(store, path, NULL, text, strlen(text), NULL, &error));
}

void assert_holds(const char *path, const void *bytes, size_t length)
{
    char *got = NULL;
    size_t got_length = 0;
    OK(ophost_read_all(store, path, &got, &got_length, &error));
    assert_int_equal(got_length, length);
    assert_memory_equal(got, bytes, length);
    free(got);
}

void assert_text(const char *path, const char *text)
{
    assert_holds(path, text, strlen(text));
}

void assert_missing(const char *path)
{
    orbit_metadata m = ORBIT_METADATA_INIT;
    assert_int_equal(ophost_stat(store, path, &m, &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "mem://"));
}

uint32_t kind_of(const char *path)
{
    orbit_metadata m = ORBIT_METADATA_INIT;
    OK(ophost_stat(store, path, &m, &error));
    uint32_t kind = m.kind;
    orbit_metadata_release(&m);
    return kind;
}

void start_put(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct windowed *w = call->ctx;
    ops->put(self, op, &w->put, &w->body.body, &w->put_reply);
}

const orbit_write_options plain_write = ORBIT_WRITE_OPTIONS_INIT;

orbit_status peek_nothing(orbit_body *body, const void **data, size_t *length)
{
    (void)body, (void)data, (void)length;
    return ORBIT_AGAIN;
}
