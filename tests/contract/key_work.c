/* SPDX-License-Identifier: Apache-2.0
 * What the tests of hostile keys share. Several keys go side by side: a store that writes each to a disk would take minutes
 * for them one by one. What a store cannot take stands in `limits`, with why. */
#include "keys.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* What a store does not take, or gets keys_wrong by itself. `key` NULL: all that are no UTF-8. */
static const struct limit {
    const char *store, *key;
    unsigned work;
    const char *why;
} limits[] = {
    {"s3_rgw", NULL, ALL, "refused with InvalidObjectName, as S3 does"},
};

unsigned keys_wrong;
static pthread_mutex_t blame_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Tells what is keys_wrong with a key, and goes on. Any thread. */
void key_blame(const char *key, const char *what, orbit_status status, const orbit_error *error)
{
    char shown[160];
    size_t used = 0;
    for (const unsigned char *at = (const unsigned char *)key; *at && used + 8 < sizeof shown; at++)
        used += (size_t)snprintf(shown + used, sizeof shown - used, *at > ' ' && *at < 127 ? "%c" : "\\x%02x", *at);
    pthread_mutex_lock(&blame_mutex);
    print_error("key \"%s\": %s: %s\n", shown, what,
                error && error->message[0] ? error->message : orbit_status_text(status));
    keys_wrong++;
    pthread_mutex_unlock(&blame_mutex);
}

bool key_fine(const char *key, const char *what, orbit_status status, const orbit_error *error)
{
    if (status != ORBIT_OK)
        key_blame(key, what, status, error);
    return status == ORBIT_OK;
}

static bool takes(const char *key, unsigned work)
{
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        bool meant = limits[i].key ? strcmp(limits[i].key, key) == 0 : !hostile_key_is_text(key);
        if (meant && (limits[i].work & work) && strcmp(limits[i].store, contract.kind->name) == 0)
            return false;
    }
    return true;
}

const char *const *keys_for(unsigned work, size_t *count)
{
    static const char *taken[1024];
    size_t all;
    const char *const *keys = hostile_keys(&all);
    *count = 0;
    assert_true(all <= COUNT_OF(taken));
    for (size_t i = 0; i < all; i++)
        if (takes(keys[i], work))
            taken[(*count)++] = keys[i];
    assert_true(*count > 150);
    return taken;
}

/* ---- side by side -------------------------------------------------------------------------------------------- */

struct crew {
    key_work *work;
    const char *const *keys;
    size_t count;
    _Atomic size_t next;
};

static void *run_crew(void *ctx)
{
    struct crew *crew = ctx;
    size_t at;
    while ((at = atomic_fetch_add(&crew->next, 1)) < crew->count)
        crew->work(crew->keys, crew->count, at);
    return NULL;
}

void each_key(const char *const *keys, size_t count, key_work *work)
{
    enum { SIDE_BY_SIDE = 8 };
    pthread_t threads[SIDE_BY_SIDE];
    struct crew crew = {.work = work, .keys = keys, .count = count};
    for (size_t i = 0; i < SIDE_BY_SIDE; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_crew, &crew), 0);
    for (size_t i = 0; i < SIDE_BY_SIDE; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- one object ---------------------------------------------------------------------------------------------- */

size_t key_contents(const char *key, const char *word, char bytes[HOSTILE_KEY_MAX + 64])
{
    return (size_t)snprintf(bytes, HOSTILE_KEY_MAX + 64, "%s|%s", word, key);
}

bool key_write(orbit_backend *backend, const char *key, const char *word)
{
    char bytes[HOSTILE_KEY_MAX + 64];
    size_t length = key_contents(key, word, bytes);
    orbit_error error = {0};
    orbit_status status = orbit_write(backend, key, orbit_source_memory(bytes, length), length, NULL, NULL, &error);
    return key_fine(key, "write", status, &error);
}

bool key_read(orbit_backend *backend, const char *key, const char *version, uint64_t offset, const char *bytes,
              size_t length)
{
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    orbit_error error = {0};
    char got[HOSTILE_KEY_MAX + 65];
    size_t have = 0, more = 0;
    options.version_id = version;
    options.offset = offset;
    options.length = length;
    orbit_status status = orbit_read(&reader, backend, key, &options, &error);
    while (status == ORBIT_OK &&
           (status = orbit_reader_read(reader, got + have, sizeof got - have, &more, &error)) == ORBIT_OK)
        have += more;
    orbit_reader_close(reader);
    if (!key_fine(key, "read", status == ORBIT_END ? ORBIT_OK : status, &error))
        return false;
    if (have == length && memcmp(got, bytes, length) == 0)
        return true;
    key_blame(key, "read other bytes", ORBIT_E_CHECKSUM, NULL);
    return false;
}
