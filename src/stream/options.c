/* SPDX-License-Identifier: Apache-2.0
 * Option structs of the write side: defaults, deep copies, results. Any thread. */
#include "stream/options.h"

#include <stdalign.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/options.h"

#define KEY_BYTES  32
#define PAIRS_MAX  4096
#define STRING_MAX ((size_t)64 << 10)

/* The members that are strings. */
static const size_t strings[] = {
    offsetof(orbit_write_options, if_match),
    offsetof(orbit_write_options, content_type),
    offsetof(orbit_write_options, content_encoding),
    offsetof(orbit_write_options, content_disposition),
    offsetof(orbit_write_options, content_language),
    offsetof(orbit_write_options, cache_control),
    offsetof(orbit_write_options, expires),
    offsetof(orbit_write_options, storage_class),
    offsetof(orbit_write_options, acl),
    offsetof(orbit_write_options, tagging),
    offsetof(orbit_write_options, sse),
    offsetof(orbit_write_options, sse_kms_key_id),
    offsetof(orbit_write_options, sse_kms_context),
    offsetof(orbit_write_options, expected_bucket_owner),
    offsetof(orbit_write_options, state_dir),
    offsetof(orbit_write_options, resume_upload),
    offsetof(orbit_write_options, object_lock_mode),
    offsetof(orbit_write_options, object_lock_until),
    offsetof(orbit_write_options, object_lock_legal_hold),
};
#define STRINGS (sizeof(strings) / sizeof(strings[0]))

struct block {
    size_t bytes; /* in all */
    alignas(max_align_t) unsigned char room[];
};

static const char **string_at(orbit_write_options *options, size_t i)
{
    return (const char **)(void *)((char *)options + strings[i]);
}

static bool add(size_t *total, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    if (length > STRING_MAX)
        return false;
    *total += text ? length + 1 : 0;
    return true;
}

static bool measure(orbit_write_options *options, size_t *total)
{
    *total = options->metadata_count * sizeof(orbit_pair) + KEY_BYTES;
    for (size_t i = 0; i < STRINGS; i++)
        if (!add(total, *string_at(options, i)))
            return false;
    for (size_t i = 0; i < options->metadata_count; i++)
        if (!add(total, options->metadata[i].name) || !add(total, options->metadata[i].value))
            return false;
    return true;
}

static const char *keep(unsigned char **at, const char *text)
{
    if (!text)
        return NULL;
    size_t bytes = strlen(text) + 1;
    char *kept = memcpy(*at, text, bytes);
    *at += bytes;
    return kept;
}

orbit_status orb_write_options_keep(orbit_write_options *kept, void **place, const orbit_write_options *given,
                                    orbit_error *error)
{
    *place = NULL;
    orbit_write_options_init(kept);
    orbit_status status = orb_options_take(kept, sizeof(*kept), given, "orbit_write_options", error);
    if (status < 0)
        return status;
    if (kept->metadata_count > PAIRS_MAX || (kept->metadata_count && !kept->metadata))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_write_options has %zu pairs of metadata%s",
                        kept->metadata_count, kept->metadata ? "" : " but no list of them");
    for (size_t i = 0; i < kept->metadata_count; i++)
        if (!kept->metadata[i].name || !kept->metadata[i].value)
            return orb_fail(error, ORBIT_E_MISUSE, 0, "pair %zu of the user metadata has no %s", i,
                            kept->metadata[i].name ? "value" : "name");
    if (kept->checksum > ORBIT_CHECKSUM_MD5)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_write_options.checksum is %u, which means nothing",
                        kept->checksum);
    if (kept->sync > ORBIT_SYNC_DIRECTORY)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_write_options.sync is %u, which means nothing", kept->sync);
    size_t total = 0;
    if (!measure(kept, &total))
        return orb_fail(error, ORBIT_E_LIMIT, 0, "a string in orbit_write_options is longer than %zu bytes",
                        STRING_MAX);
    struct block *block = orb_malloc(sizeof(*block) + total);
    if (!block)
        return orb_fail_memory(error);
    block->bytes = total;
    *place = block;

    orbit_pair *pairs = (orbit_pair *)(void *)block->room;
    unsigned char *at = block->room + kept->metadata_count * sizeof(orbit_pair);
    for (size_t i = 0; i < kept->metadata_count; i++) {
        pairs[i].name = keep(&at, kept->metadata[i].name);
        pairs[i].value = keep(&at, kept->metadata[i].value);
    }
    if (kept->metadata_count)
        kept->metadata = pairs;
    for (size_t i = 0; i < STRINGS; i++)
        *string_at(kept, i) = keep(&at, *string_at(kept, i));
    if (kept->sse_customer_key)
        kept->sse_customer_key = memcpy(at, kept->sse_customer_key, KEY_BYTES);
    return ORBIT_OK;
}

void orb_write_options_drop(orbit_write_options *kept, void **place)
{
    struct block *block = *place;
    if (!block)
        return;
    explicit_bzero(block->room, block->bytes);
    orb_free(block);
    *place = NULL;
    kept->sse_customer_key = NULL;
}

/* ---- defaults --------------------------------------------------------------------------------------- */

void orbit_write_options_init(orbit_write_options *options)
{
    if (options)
        *options = (orbit_write_options)ORBIT_WRITE_OPTIONS_INIT;
}

void orbit_copy_options_init(orbit_copy_options *options)
{
    if (options)
        *options = (orbit_copy_options)ORBIT_COPY_OPTIONS_INIT;
}

void orbit_download_options_init(orbit_download_options *options)
{
    if (options)
        *options = (orbit_download_options)ORBIT_DOWNLOAD_OPTIONS_INIT;
}

/* ---- results ---------------------------------------------------------------------------------------- */

orbit_status orb_write_result_check(const orbit_write_result *result, orbit_error *error)
{
    if (result && result->size < sizeof(*result))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_write_result has no size: start it with its INIT macro");
    return ORBIT_OK;
}

orbit_status orb_download_result_check(const orbit_download_result *result, orbit_error *error)
{
    if (result && result->size < sizeof(*result))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_download_result has no size: start it with its INIT macro");
    return ORBIT_OK;
}

void orb_write_result_fill(orbit_write_result *result, uint64_t bytes, uint32_t parts, bool multipart,
                           orbit_metadata *metadata)
{
    if (!result) {
        orbit_metadata_release(metadata);
        return;
    }
    result->bytes = bytes;
    result->parts = parts;
    result->multipart = multipart;
    result->metadata = *metadata;
    *metadata = (orbit_metadata)ORBIT_METADATA_INIT;
}

void orbit_write_result_release(orbit_write_result *result)
{
    if (result)
        orbit_metadata_release(&result->metadata);
}

void orbit_download_result_release(orbit_download_result *result)
{
    if (result)
        orbit_metadata_release(&result->metadata);
}
