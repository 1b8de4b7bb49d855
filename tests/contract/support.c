/* SPDX-License-Identifier: Apache-2.0
 * What the contract's tests share: bytes, checks, scripted sources, listings. The test's thread. */
#include "contract.h"

#include <dirent.h>
#include <stdio.h>
#include <time.h>

void must_be(orbit_status expected, orbit_status status, const orbit_error *error, const char *what, const char *file,
             int line)
{
    if (status == expected && (status >= 0 || error->status == status))
        return;
    print_error("%s\n  gave %s (%s), expected %s\n  error: status %d, code '%s', message '%s'\n", what,
                orbit_status_word(status), orbit_status_text(status), orbit_status_word(expected), error->status,
                error->code, error->message);
    _fail(file, line);
}

bool supports(orbit_operation operation)
{
    return orbit_backend_supports(contract.backend, operation);
}

int new_scope(void **state)
{
    static unsigned number;
    (void)state;
    snprintf(contract.scope, sizeof(contract.scope), "case%u", ++number);
    return 0;
}

const char *at(const char *name)
{
    static char paths[8][2048];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", contract.scope, name);
    return path;
}

uint8_t *make_bytes(size_t length, uint32_t seed)
{
    uint8_t *bytes = malloc(length + 1);
    uint64_t state = 0x9e3779b97f4a7c15u * (seed + 1u) | 1;
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
    return bytes;
}

void put(const char *path, const void *bytes, size_t length)
{
    MUST(orbit_write(contract.backend, path, orbit_source_memory(bytes, length), length, NULL, NULL, error));
}

void put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}

void check_bytes(const char *path, const void *bytes, size_t length)
{
    orbit_reader *reader = NULL;
    const uint8_t *expected = bytes;
    size_t done = 0;
    MUST(orbit_read(&reader, contract.backend, path, NULL, error));
    const orbit_metadata *metadata = orbit_reader_metadata(reader);
    assert_non_null(metadata);
    if (metadata->fields & ORBIT_HAS_SIZE)
        assert_int_equal(metadata->size, length);
    for (;;) {
        const void *piece;
        size_t piece_length = 0;
        orbit_error told = {0};
        orbit_status status = orbit_reader_next(reader, &piece, &piece_length, &told);
        if (status == ORBIT_END)
            break;
        must_be(ORBIT_OK, status, &told, "orbit_reader_next", __FILE__, __LINE__);
        assert_true(piece_length > 0);
        assert_true(piece_length <= length - done);
        assert_memory_equal(piece, expected + done, piece_length);
        done += piece_length;
    }
    assert_int_equal(done, length);
    orbit_reader_close(reader);
}

void check_text(const char *path, const char *text)
{
    check_bytes(path, text, strlen(text));
}

bool exists(const char *path)
{
    bool there = false;
    MUST(orbit_exists(contract.backend, path, NULL, &there, error));
    return there;
}

static void check_no_temporaries(void)
{
    char path[700];
    snprintf(path, sizeof(path), "%s/%s", contract.root, contract.scope);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strncmp(entry->d_name, ".orbit-", 7) == 0)
            fail_msg("a temporary file is left: %s/%s", path, entry->d_name);
    closedir(directory);
}

void check_nothing_left(const char *path)
{
    assert_false(exists(path));
    if (contract.root[0] != '\0')
        check_no_temporaries();
    if (contract.kind->fixture != NULL && strcmp(contract.kind->fixture, "s3d") == 0) {
        char scope[64];
        snprintf(scope, sizeof(scope), "%s/", contract.scope);
        assert_int_equal(endpoint_uploads(&contract.endpoint, scope), 0);
    }
}

/* ---- sources ------------------------------------------------------------------------------------------------ */

static orbit_status scripted_read(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    struct scripted_source *script = ctx;
    size_t left = script->length - script->given;
    if (script->each != NULL)
        script->each(script->ctx);
    if (script->delay_ms > 0) {
        struct timespec wait = {script->delay_ms / 1000, script->delay_ms % 1000 * 1000000L};
        nanosleep(&wait, NULL);
    }
    if (script->given >= script->fail_at)
        return orbit_error_set(error, ORBIT_E_IO, 5, "the source broke on purpose");
    if (script->fail_at - script->given < left)
        left = script->fail_at - script->given;
    if (left > room)
        left = room;
    if (script->most > 0 && left > script->most)
        left = script->most;
    *length = left;
    if (left == 0)
        return script->end_by_ok ? ORBIT_OK : ORBIT_END;
    memcpy(buffer, script->bytes + script->given, left);
    script->given += left;
    return ORBIT_OK;
}

static void scripted_close(void *ctx)
{
    struct scripted_source *script = ctx;
    script->closed++;
}

orbit_source scripted(struct scripted_source *script)
{
    orbit_source source = orbit_source_function(scripted_read, script);
    source.close = scripted_close;
    if (script->fail_at == 0)
        script->fail_at = SIZE_MAX;
    return source;
}

/* ---- listings -------------------------------------------------------------------------------------------------- */

orbit_status list_all(struct listing *listing, orbit_backend *backend, const char *path,
                      const orbit_list_options *options, orbit_error *error)
{
    orbit_lister *lister = NULL;
    orbit_entry entry;
    memset(listing, 0, sizeof(*listing));
    orbit_status status = orbit_list(&lister, backend, path, options, error);
    while (status >= 0 && (status = orbit_lister_next(lister, &entry, error)) != ORBIT_END) {
        if (status != ORBIT_OK)
            continue;
        size_t i = listing->count;
        assert_true(i < COUNT_OF(listing->paths));
        assert_int_equal(strlen(entry.path), entry.path_length);
        while (i > 0 && strcmp(listing->paths[i - 1], entry.path) > 0) {
            listing->paths[i] = listing->paths[i - 1];
            listing->kinds[i] = listing->kinds[i - 1];
            listing->flags[i] = listing->flags[i - 1];
            listing->depths[i] = listing->depths[i - 1];
            listing->sizes[i] = listing->sizes[i - 1];
            i--;
        }
        listing->paths[i] = strdup(entry.path);
        listing->kinds[i] = entry.metadata.kind;
        listing->flags[i] = entry.flags;
        listing->depths[i] = entry.depth;
        listing->sizes[i] = entry.metadata.size;
        listing->count++;
    }
    listing->failed = lister == NULL ? 0 : orbit_lister_failed(lister);
    orbit_lister_close(lister);
    return status == ORBIT_END ? ORBIT_OK : status;
}

void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->paths[i]);
    listing->count = 0;
}

void check_listing(const char *path, const orbit_list_options *options, ...)
{
    static struct listing listing;
    va_list names;
    size_t count = 0;
    bool right = true;
    MUST(list_all(&listing, contract.backend, path, options, error));
    va_start(names, options);
    for (const char *name; (name = va_arg(names, const char *)) != NULL; count++) {
        bool found = false;
        for (size_t i = 0; i < listing.count; i++)
            found |= strcmp(listing.paths[i], name) == 0;
        if (!found)
            print_error("'%s' is not listed\n", name);
        right &= found;
    }
    va_end(names);
    right &= count == listing.count;
    for (size_t i = 0; i < listing.count && !right; i++)
        print_error("  listed: '%s'\n", listing.paths[i]);
    listing_free(&listing);
    if (!right)
        fail_msg("the listing of '%s' is not as expected (%zu entries expected)", path, count);
}
