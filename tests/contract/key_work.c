/* SPDX-License-Identifier: Apache-2.0
 * What the tests of hostile keys share. Several keys go side by side: a store that writes each to a disk would take
 * minutes for them one by one. What a store cannot take stands in `limits`, with why. */
#include "keys.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* No path of a file: an empty component, one of dots or one that is too long, or above it a key that is an object,
 * too. */
static bool no_path(const char *key)
{
    size_t count, length;
    const char *const *keys = hostile_keys(&count);
    if (*key == '/' || strchr(key, '\\'))
        return true;
    for (const char *at = key; *at; at += length + (at[length] == '/')) {
        length = strcspn(at, "/");
        bool dots = (length == 1 && at[0] == '.') || (length == 2 && at[0] == '.' && at[1] == '.');
        if (!length || length > 255 || dots || (at[length] == '/' && !at[length + 1]))
            return true;
    }
    for (size_t i = 0; i < count; i++) {
        length = strlen(keys[i]);
        if (strncmp(keys[i], key, length) == 0 && key[length] == '/')
            return true;
    }
    return false;
}

/* What XML 1.0 cannot carry: stores write something else in its place. */
static bool no_xml(const char *key)
{
    for (const unsigned char *at = (const unsigned char *)key; *at; at++)
        if ((*at < ' ' && *at != '\t' && *at != '\n' && *at != '\r') ||
            (at[0] == 0xef && at[1] == 0xbf && (at[2] == 0xbe || at[2] == 0xbf)))
            return true;
    return false;
}

static bool no_source(const char *key)
{
    return strstr(key, "?versionId=") != NULL;
}

static bool no_text(const char *key)
{
    return !hostile_key_is_text(key);
}

/* What a store does not take, or takes for another key. */
static const struct limit {
    const char *store;
    bool (*hits)(const char *key);
    unsigned work;
    const char *why;
} limits[] = {
    {"s3_rgw", no_text, ALL, "refused with InvalidObjectName, as S3 does"},
    {"s3_minio", no_text, ALL, "refused, as S3 does"},
    {"s3_minio", no_path, ALL, "keys are paths of its disks"},
    {"s3_minio", no_xml, UPLOADS, "told with U+FFFD in their place, and not encoded"},
    {"s3_versitygw", no_text, ALL, "refused, as S3 does"},
    {"s3_versitygw", no_path, ALL, "keys are paths of a file system"},
    {"s3_versitygw", no_xml, ALL, "listed with U+FFFD in their place, and not encoded"},
    {"s3_versitygw", no_source, ALL, "taken for a version, however it is encoded"},
};

unsigned keys_wrong;
static pthread_mutex_t blame_mutex = PTHREAD_MUTEX_INITIALIZER;

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
        if ((limits[i].work & work) && strcmp(limits[i].store, contract.kind->name) == 0 && limits[i].hits(key))
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
    assert_true(*count > (contract.kind->paths ? 80 : 150));
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
