/* SPDX-License-Identifier: Apache-2.0
 * The service itself, "s3://" without a bucket: its buckets are what it lists (ListBuckets), and there is nothing
 * else to be done with it. Stores of old send all of them at once, AWS in pages when asked to. Loop thread. */
#include "backend/s3/s3.h"
#include "base/str.h"

enum { REPLY_BYTES = 8 << 20, NAME_MAX_BYTES = 255, TOKEN_BYTES = 16 << 10 };

struct buckets {
    struct orb_buf token; /* of the reply at hand; empty: the first */
    uint64_t skip;        /* buckets of that reply that were given already */
};

struct buckets_op {
    struct orb_s3_op base; /* first */
    struct buckets *cursor;
    orbit_page *page;
    bool is_list, full;
    uint64_t seen, given;
    char name[NAME_MAX_BYTES + 1];
    orbit_entry entry;
    struct orb_buf next;
    orbit_status status; /* why reading was stopped */
};

bool orb_s3_is_service(const struct orb_s3 *s3)
{
    return !s3->bucket[0];
}

/* ---- the reply ----------------------------------------------------------------------------------- */

static void on_begin(void *ctx, unsigned depth, const char *name)
{
    struct buckets_op *op = ctx;
    if (depth == 1) {
        op->is_list = orb_s3_answers(name, "ListAllMyBucketsResult", "ListBuckets");
    } else if (depth == 3 && strcmp(name, "Bucket") == 0) {
        op->name[0] = '\0';
        op->entry = (orbit_entry){.depth = 1, .metadata = {.kind = ORBIT_KIND_DIRECTORY}};
    }
}

static bool give(struct buckets_op *op)
{
    if (op->full || op->seen++ < op->cursor->skip || !op->name[0])
        return true;
    op->entry.path = op->name;
    op->entry.path_length = strlen(op->name);
    orbit_status status = orbit_page_add(op->page, &op->entry, 0);
    op->full = status == ORBIT_END;
    op->given += status >= 0 && !op->full;
    op->status = status < 0 ? status : ORBIT_OK;
    return status >= 0;
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct buckets_op *op = ctx;
    if (depth == 3 && strcmp(name, "Bucket") == 0)
        return give(op);
    if (depth == 4 && strcmp(name, "Name") == 0 && length <= NAME_MAX_BYTES && !memchr(text, '/', length))
        memcpy(op->name, text, length + 1);
    else if (depth == 4 && strcmp(name, "CreationDate") == 0 && orb_parse_time(text, &op->entry.metadata.mtime_ns))
        op->entry.metadata.fields |= ORBIT_HAS_MTIME;
    else if (depth == 2 && strcmp(name, "ContinuationToken") == 0)
        return orb_buf_append(&op->next, text, length);
    return true;
}

static void listed(struct orb_s3_op *base)
{
    static const struct orb_xml_events events = {on_begin, on_end};
    struct buckets_op *op = (struct buckets_op *)base;
    struct buckets *cursor = op->cursor;
    orbit_error error;
    if (!orb_s3_fine(base))
        return;
    orbit_status status = orb_s3_parse(base, &events, op, &error);
    if (status >= 0 && !op->is_list)
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's reply is not a list of buckets");
    if (status == ORBIT_END || op->status < 0 || op->next.failed)
        status = orb_fail_memory(&error);
    if (status >= 0 && op->full && !op->given)
        status = orb_fail(&error, ORBIT_E_LIMIT, 0, "a bucket's name does not fit into a page");
    if (status >= 0 && op->next.length && orb_str_equal(orb_buf_string(&op->next), orb_buf_string(&cursor->token)))
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's list of buckets does not come to an end");
    if (status >= 0 && op->full) {
        cursor->skip += op->given;
        orbit_page_more(op->page, true);
    } else if (status >= 0 && op->next.length) {
        orb_buf_reset(&cursor->token);
        orb_buf_append(&cursor->token, op->next.bytes, op->next.length);
        cursor->skip = 0;
        orbit_page_more(op->page, true);
    }
    orb_s3_op_end(base, status, &error);
}

/* ---- the list -------------------------------------------------------------------------------------- */

static void free_op(struct orb_s3_op *base)
{
    orb_buf_release(&((struct buckets_op *)base)->next);
}

void orb_s3_buckets_page(struct orb_s3 *s3, orbit_op *op, void *handle, orbit_page *page)
{
    struct buckets_op *buckets = orb_s3_op_new(s3, op, sizeof *buckets, ORB_S3_SERVICE_VERB, NULL);
    if (!buckets)
        return;
    struct orb_s3_op *base = &buckets->base;
    base->release = free_op;
    base->http.memory.max = REPLY_BYTES;
    base->http.large = true;
    buckets->cursor = handle;
    buckets->page = page;
    orb_buf_init(&buckets->next, TOKEN_BYTES);
    orb_s3_begin(base, "GET", NULL);
    orb_s3_param(base, "continuation-token",
                 buckets->cursor->token.length ? orb_buf_string(&buckets->cursor->token) : NULL);
    orb_s3_param(base, "max-buckets", s3->store->is_aws ? "1000" : NULL);
    orb_s3_send(base, listed);
}

void orb_s3_buckets_begin(struct orb_s3 *s3, orbit_op *op, const orbit_list_request *request, void **handle)
{
    orbit_error error;
    *handle = NULL;
    (void)s3;
    if (request->path[0]) {
        orbit_status status = orb_fail(&error, ORBIT_E_CONFIG, 0, "cannot list 's3://%.100s' through 's3://': %s",
                                       request->path, "name the bucket when opening");
        orbit_op_done(op, status, &error);
        return;
    }
    struct buckets *cursor = orb_calloc(1, sizeof *cursor);
    if (!cursor) {
        orbit_op_done(op, orb_fail_memory(&error), &error);
        return;
    }
    orb_buf_init(&cursor->token, TOKEN_BYTES);
    *handle = cursor;
    orbit_op_done(op, ORBIT_OK, NULL);
}

void orb_s3_buckets_end(void *handle)
{
    struct buckets *cursor = handle;
    if (!cursor)
        return;
    orb_buf_release(&cursor->token);
    orb_free(cursor);
}
