/* SPDX-License-Identifier: Apache-2.0
 * Cursors of listings: made, moved on, given up. A store that sends the same place again, or an earlier one, is found
 * out here, in constant memory. Loop thread. */
#include "backend/s3/s3_list.h"
#include "base/str.h"

/* ---- moving on --------------------------------------------------------------------------------------- */

orbit_status orb_s3_list_endless(orbit_error *error, const char *what)
{
    return orb_fail(error, ORBIT_E_PROTOCOL, 0, "the store's listing goes on for ever: it %s", what);
}

/* A key is listed once, and so is the last key of a page. Not so a common prefix: stores that look at a thousand
 * keys at a time may tell it once for each thousand. */
static bool repeats_pages(struct orb_s3_cursor *cursor, const char *last)
{
    enum { KEYS_MAX = 2, PREFIXES_MAX = 10000 };
    if (*last && strcmp(orb_buf_string(&cursor->landmark_key), last) == 0)
        cursor->repeats++;
    return cursor->repeats >= (cursor->delimiter ? PREFIXES_MAX : KEYS_MAX);
}

orbit_status orb_s3_cursor_token(struct orb_s3_cursor *cursor, const char *token, const char *last, orbit_error *error)
{
    if (repeats_pages(cursor, last))
        return orb_s3_list_endless(error, "repeats its pages");
    if (cursor->has_token &&
        (strcmp(orb_buf_string(&cursor->token), token) == 0 || strcmp(orb_buf_string(&cursor->landmark), token) == 0))
        return orb_s3_list_endless(error, "repeats its continuation token");
    orb_buf_reset(&cursor->token);
    orb_buf_text(&cursor->token, token);
    if (cursor->token_count++ == cursor->next_landmark) {
        cursor->next_landmark = 2 * cursor->token_count;
        orb_buf_reset(&cursor->landmark);
        orb_buf_text(&cursor->landmark, token);
        orb_buf_reset(&cursor->landmark_key);
        orb_buf_text(&cursor->landmark_key, last);
    }
    if (cursor->token.failed || cursor->landmark.failed || cursor->landmark_key.failed)
        return orb_fail_memory(error);
    cursor->has_token = true;
    cursor->from_after = false;
    return ORBIT_OK;
}

/* `version` "": after all versions of the key. */
orbit_status orb_s3_cursor_after(struct orb_s3_cursor *cursor, const char *key, const char *version, orbit_error *error)
{
    int order = cursor->has_after ? strcmp(key, orb_buf_string(&cursor->after)) : 1;
    if (order < 0 || (order == 0 && (!*version || strcmp(version, cursor->after_version) == 0)))
        return orb_s3_list_endless(error, "does not advance");
    (void)snprintf(cursor->after_version, sizeof cursor->after_version, "%s", version);
    orb_buf_reset(&cursor->after);
    if (!orb_buf_text(&cursor->after, key))
        return orb_fail_memory(error);
    cursor->has_after = cursor->from_after = true;
    cursor->has_token = false;
    return ORBIT_OK;
}

/* ---- made and given up --------------------------------------------------------------------------------------- */

void orb_s3_list_end(void *self, void *handle)
{
    struct orb_s3_cursor *cursor = handle;
    if (orb_s3_is_service(self)) {
        orb_s3_buckets_end(handle);
        return;
    }
    if (!cursor)
        return;
    orb_xml_free(cursor->xml);
    orb_buf_release(&cursor->prefix);
    orb_buf_release(&cursor->asked);
    orb_buf_release(&cursor->after);
    orb_buf_release(&cursor->token);
    orb_buf_release(&cursor->landmark);
    orb_buf_release(&cursor->landmark_key);
    orb_free(cursor->delimiter);
    orb_free(cursor);
}

static orbit_status fill_cursor(struct orb_s3_cursor *cursor, const orbit_list_request *request, orbit_error *error)
{
    const char *path = request->path;
    if (strlen(cursor->s3->prefix) + strlen(path) + (request->prefix ? strlen(request->prefix) : 0) + 1 >=
        ORB_S3_KEY_MAX)
        return orb_fail(error, ORBIT_E_PATH, 0, "cannot list '%.60s...': the path is too long", path);
    orb_s3_key(cursor->s3, path, &cursor->prefix);
    if (*path && !orb_str_suffix(path, "/"))
        orb_buf_char(&cursor->prefix, '/');
    cursor->skip = cursor->prefix.length;
    if (request->start_after && *request->start_after) {
        orb_buf_append(&cursor->after, orb_buf_string(&cursor->prefix), cursor->prefix.length);
        orb_buf_text(&cursor->after, request->start_after);
        cursor->has_after = cursor->from_after = true;
    }
    orb_buf_text(&cursor->prefix, request->prefix ? request->prefix : "");
    orb_s3_asked_prefix(cursor->s3, &cursor->prefix, &cursor->asked);
    if (!request->recursive) {
        cursor->delimiter = orb_strdup(request->delimiter && *request->delimiter ? request->delimiter : "/");
        if (!cursor->delimiter)
            return orb_fail_memory(error);
    }
    if (cursor->prefix.failed || cursor->asked.failed || cursor->after.failed)
        return orb_fail_memory(error);
    return orb_xml_new(&cursor->xml, error);
}

void orb_s3_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **handle)
{
    struct orb_s3 *s3 = self;
    if (orb_s3_is_service(s3)) {
        orb_s3_buckets_begin(s3, op, request, handle);
        return;
    }
    struct orb_s3_cursor *cursor = orb_calloc(1, sizeof *cursor);
    orbit_error error;
    *handle = NULL;
    if (!cursor) {
        orbit_op_done(op, orb_fail_memory(&error), &error);
        return;
    }
    cursor->s3 = s3;
    cursor->versions = request->versions;
    cursor->ordered = !s3->address.is_directory;
    cursor->page_entries = request->page_entries && request->page_entries < s3->list_page_entries
                               ? request->page_entries
                               : s3->list_page_entries;
    orb_buf_init(&cursor->prefix, ORB_S3_KEY_MAX);
    orb_buf_init(&cursor->asked, ORB_S3_KEY_MAX);
    orb_buf_init(&cursor->after, (size_t)2 * ORB_S3_KEY_MAX);
    orb_buf_init(&cursor->token, ORB_S3_TOKEN_MAX);
    orb_buf_init(&cursor->landmark, ORB_S3_TOKEN_MAX);
    orb_buf_init(&cursor->landmark_key, ORB_S3_KEY_MAX + 1);
    orbit_status status = fill_cursor(cursor, request, &error);
    if (status < 0) {
        orb_s3_list_end(self, cursor);
        orbit_op_done(op, status, &error);
        return;
    }
    *handle = cursor;
    orbit_op_done(op, ORBIT_OK, NULL);
}
