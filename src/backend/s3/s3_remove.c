/* SPDX-License-Identifier: Apache-2.0
 * remove: many keys in one request where that is possible, else one by one. Loop thread.
 *
 * A batch cannot carry keys that XML 1.0 has no way to write. Removing what is not there is success, as S3 has it.
 * Where missing_ok is false a name is looked at first: if no object has it, it may be a directory's, which then loses
 * its marker when nothing else is below. A version is not looked at: it may be the marker of a removal, which stores
 * answer a HEAD of as if nothing were there. */
#include "backend/s3/s3.h"
#include "base/hash.h"
#include "base/str.h"

enum { BATCH_MAX = 8 << 20, REPLY_MAX = 8 << 20, ONE_ERROR_MAX = 64 << 10 };

struct remove_op {
    struct orb_s3_op base; /* first */
    orbit_remove_request request;
    size_t left;  /* items before this one may have single ones left; the one under way is the first behind */
    bool *singly; /* by item: not in the batch, or not gone with it */
    struct orb_buf body, key; /* key: the marker's path, "dir/" */
    struct orb_http_bytes bytes;
    /* A reply that is being read. */
    bool is_result, in_error;
    bool astray; /* it tells of an error, and of a key that was not asked for */
    orbit_error astray_error;
    struct orb_buf error_key;
    char code[48], message[200], version[256];
    size_t keys_seen;
    bool marker_seen;
};

static void next_single(struct remove_op *remove);

static orbit_remove_item *current(struct remove_op *remove)
{
    return &remove->request.items[remove->left];
}

static void free_remove(struct orb_s3_op *op)
{
    struct remove_op *remove = (struct remove_op *)op;
    orb_free(remove->singly);
    orb_buf_release(&remove->body);
    orb_buf_release(&remove->key);
    orb_buf_release(&remove->error_key);
}

static orbit_status read_reply(struct remove_op *remove, const struct orb_xml_events *events, orbit_error *error)
{
    remove->is_result = false;
    orbit_status status = orb_s3_parse_beside_key(&remove->base, events, remove, error);
    if (status == ORBIT_END)
        status = orb_fail_memory(error);
    if (status >= 0 && !remove->is_result)
        status = orb_fail(error, ORBIT_E_PROTOCOL, 0, "the store's reply is not that to the request");
    return status;
}

/* ---- one by one ------------------------------------------------------------------------------------ */

static void item_done(struct remove_op *remove, orbit_status status, const orbit_error *error)
{
    orbit_remove_item *item = current(remove);
    item->status = status;
    if (status < 0)
        item->error = *error;
    if (status == ORBIT_E_CANCELLED)
        orb_s3_op_end(&remove->base, status, error);
    else
        next_single(remove);
}

static void removed(struct orb_s3_op *op)
{
    struct remove_op *remove = (struct remove_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status == ORBIT_E_NOT_FOUND && op->http.http_status == 404 && strcmp(error.code, "NoSuchBucket") != 0)
        status = ORBIT_OK;
    item_done(remove, status, &error);
}

static void send_delete(struct remove_op *remove, const char *path)
{
    struct orb_s3_op *op = &remove->base;
    orb_s3_begin(op, "DELETE", path);
    orb_s3_param(op, "versionId", current(remove)->version_id);
    orb_s3_account_headers(op, NULL);
    orb_s3_send(op, removed);
}

static void directory_begin(void *ctx, unsigned depth, const char *name)
{
    struct remove_op *remove = ctx;
    if (depth == 1)
        remove->is_result = orb_s3_answers(name, "ListBucketResult", "ListObjects");
}

static bool directory_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct remove_op *remove = ctx;
    if (depth == 3 && strcmp(name, "Key") == 0) {
        const char *marker = orb_buf_string(&remove->body);
        bool plain = length == remove->body.length && memcmp(text, marker, length) == 0; /* not encoded at all */
        size_t decoded = orb_percent_decode(text, length, true);
        remove->keys_seen++;
        if (plain || (decoded == remove->body.length && memcmp(text, marker, decoded) == 0))
            remove->marker_seen = true;
    }
    return true;
}

/* At most two keys begin with "dir/": its marker and something in it. */
static void directory_listed(struct orb_s3_op *op)
{
    static const struct orb_xml_events events = {directory_begin, directory_end};
    struct remove_op *remove = (struct remove_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    remove->keys_seen = 0;
    remove->marker_seen = false;
    if (status < 0 && strcmp(error.code, "KeyTooLongError") == 0) { /* a '/' more than fits: no directory */
        item_done(remove, ORBIT_OK, NULL);
        return;
    }
    if (status >= 0)
        status = read_reply(remove, &events, &error);
    if (status >= 0 && remove->keys_seen == 1 && remove->marker_seen)
        send_delete(remove, orb_buf_string(&remove->key));
    else
        item_done(remove, status, &error);
}

/* body: the full key of the marker; key: its path. */
static void look_at_directory(struct remove_op *remove)
{
    struct orb_s3_op *op = &remove->base;
    const char *path = current(remove)->path;
    orb_buf_reset(&remove->key);
    orb_buf_reset(&remove->body);
    orb_buf_text(&remove->key, path);
    orb_buf_char(&remove->key, '/');
    orb_s3_key(op->s3, orb_buf_string(&remove->key), &remove->body);
    orb_s3_begin(op, "GET", NULL);
    op->url.failed |= remove->body.failed || remove->key.failed;
    orb_s3_list_params(op);
    orb_s3_param(op, "max-keys", "2");
    orb_s3_param(op, "encoding-type", "url");
    orb_s3_param(op, "prefix", orb_buf_string(&remove->body));
    orb_s3_account_headers(op, NULL);
    orb_s3_send(op, directory_listed);
}

static void looked(struct orb_s3_op *op)
{
    struct remove_op *remove = (struct remove_op *)op;
    orbit_remove_item *item = current(remove);
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status == ORBIT_E_NOT_FOUND && op->http.http_status == 404 && *item->path && !orb_str_suffix(item->path, "/"))
        look_at_directory(remove);
    else if (status < 0)
        item_done(remove, status, &error);
    else
        send_delete(remove, item->path);
}

/* The last first: on stores whose keys are paths, what is below a key that ends in '/' goes before it. */
static void next_single(struct remove_op *remove)
{
    struct orb_s3_op *op = &remove->base;
    while (remove->left && !remove->singly[remove->left - 1])
        remove->left--;
    if (!remove->left) {
        orb_s3_op_end(op, ORBIT_OK, NULL);
        return;
    }
    remove->left--;
    orbit_remove_item *item = current(remove);
    op->path = item->path;
    if (!*item->path) {
        orbit_error error;
        (void)orb_fail(&error, ORBIT_E_PATH, 0, "cannot remove 's3://%s': it is a bucket", op->s3->bucket);
        item_done(remove, ORBIT_E_PATH, &error);
        return;
    }
    if (remove->request.missing_ok || item->version_id) {
        send_delete(remove, item->path);
        return;
    }
    orb_s3_begin(op, "HEAD", item->path);
    orb_s3_account_headers(op, NULL);
    orb_s3_send(op, looked);
}

/* ---- many at once ---------------------------------------------------------------------------------- */

static void batch_begin(void *ctx, unsigned depth, const char *name)
{
    struct remove_op *remove = ctx;
    if (depth == 1)
        remove->is_result = orb_s3_answers(name, "DeleteResult", "DeleteObjects");
    if (depth == 2) {
        remove->in_error = strcmp(name, "Error") == 0;
        orb_buf_reset(&remove->error_key);
        remove->code[0] = remove->message[0] = remove->version[0] = '\0';
    }
}

static bool is_blamed(const struct remove_op *remove, size_t i, const char *path)
{
    const orbit_remove_item *item = &remove->request.items[i];
    return !remove->singly[i] && strcmp(item->path, path) == 0 &&
           (!remove->version[0] || !item->version_id || strcmp(item->version_id, remove->version) == 0);
}

static void blame(struct remove_op *remove)
{
    const char *key = orb_buf_string(&remove->error_key), *prefix = remove->base.s3->prefix;
    size_t skip = strlen(prefix);
    bool ours = strncmp(key, prefix, skip) == 0, found = false;
    if (strcmp(remove->code, "NoSuchKey") == 0 || strcmp(remove->code, "NoSuchVersion") == 0)
        return;
    for (size_t i = 0; ours && i < remove->request.count; i++) {
        orbit_remove_item *item = &remove->request.items[i];
        if (!is_blamed(remove, i, key + skip))
            continue;
        found = true;
        if (strstr(remove->code, "DirectoryNotEmpty")) /* "dir/" came before "dir/file" did: again, when that is gone */
            remove->singly[i] = true;
        else
            item->status =
                orb_s3_fail_code(&remove->base, item->path, remove->code, remove->message, 200, &item->error);
    }
    if (!found && !remove->astray)
        (void)orb_s3_fail_code(&remove->base, NULL, remove->code, remove->message, 200, &remove->astray_error);
    remove->astray |= !found;
}

/* Which of them it was is not known: none of what else went well is believed. */
static void blame_all(struct remove_op *remove)
{
    for (size_t i = 0; i < remove->request.count; i++) {
        orbit_remove_item *item = &remove->request.items[i];
        if (!remove->singly[i] && item->status == ORBIT_OK) {
            item->error = remove->astray_error;
            item->status = (orbit_status)item->error.status;
        }
    }
}

static bool batch_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct remove_op *remove = ctx;
    if (depth == 2 && remove->in_error) {
        blame(remove);
        remove->in_error = false;
    } else if (depth == 3 && remove->in_error) {
        if (strcmp(name, "Key") == 0)
            return orb_buf_append(&remove->error_key, text, length);
        if (strcmp(name, "Code") == 0)
            (void)snprintf(remove->code, sizeof remove->code, "%.47s", text);
        else if (strcmp(name, "Message") == 0)
            (void)snprintf(remove->message, sizeof remove->message, "%.199s", text);
        else if (strcmp(name, "VersionId") == 0)
            (void)snprintf(remove->version, sizeof remove->version, "%.255s", text);
    }
    return true;
}

/* Batches are not offered by every store. */
static bool not_offered(const orbit_error *error)
{
    return error->http_status == 501 || error->http_status == 405 || strcmp(error->code, "NotImplemented") == 0 ||
           (error->http_status == 400 && strcmp(error->code, "MalformedXML") == 0);
}

static void batch_sent(struct orb_s3_op *op)
{
    static const struct orb_xml_events events = {batch_begin, batch_end};
    struct remove_op *remove = (struct remove_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0 && not_offered(&error)) {
        orb_log(&op->s3->host->log, ORBIT_LOG_INFO, "s3: %s does not remove many keys at once: one by one",
                op->s3->address.authority);
        op->s3->ways.no_batches = true;
        for (size_t i = 0; i < remove->request.count; i++)
            remove->singly[i] = true;
        next_single(remove);
        return;
    }
    if (status >= 0)
        status = read_reply(remove, &events, &error);
    if (status < 0) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    if (remove->astray)
        blame_all(remove);
    next_single(remove);
}

static bool write_batch(struct remove_op *remove, size_t *count)
{
    struct orb_buf *body = &remove->body;
    *count = 0;
    orb_buf_text(body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < remove->request.count; i++) {
        const orbit_remove_item *item = &remove->request.items[i];
        remove->singly[i] =
            !*item->path || !orb_xml_can_carry(item->path) || !orb_xml_can_carry(remove->base.s3->prefix);
        if (remove->singly[i])
            continue;
        orb_buf_text(body, "<Object><Key>");
        orb_xml_escape(body, remove->base.s3->prefix);
        orb_xml_escape(body, item->path);
        orb_buf_text(body, "</Key>");
        if (item->version_id) {
            orb_buf_text(body, "<VersionId>");
            orb_xml_escape(body, item->version_id);
            orb_buf_text(body, "</VersionId>");
        }
        orb_buf_text(body, "</Object>");
        ++*count;
    }
    return orb_buf_text(body, "</Delete>");
}

static void send_batch(struct remove_op *remove)
{
    struct orb_s3_op *op = &remove->base;
    struct orb_buf *body = &remove->body;
    orb_s3_begin(op, "POST", NULL);
    orb_s3_param(op, "delete", "");
    orb_s3_header(op, "content-type", "application/xml");
    orb_s3_digest_header(op, body);
    orb_s3_account_headers(op, NULL);
    op->http.patient = true;
    orb_s3_send_bytes(op, &remove->bytes, body->bytes, body->length, batch_sent);
}

void orb_s3_remove(void *self, orbit_op *op, const orbit_remove_request *request)
{
    struct remove_op *remove = orb_s3_op_new(self, op, sizeof *remove, "remove", NULL);
    if (!remove)
        return;
    orbit_error error;
    size_t count = 0;
    remove->base.release = free_remove;
    remove->base.http.memory.max = REPLY_MAX;
    remove->request = *request;
    remove->left = request->count;
    orb_buf_init(&remove->body, BATCH_MAX);
    orb_buf_init(&remove->key, ORB_S3_KEY_MAX + 1);
    orb_buf_init(&remove->error_key, ONE_ERROR_MAX);
    remove->singly = orb_calloc(request->count ? request->count : 1, sizeof *remove->singly);
    bool one_by_one = request->count < 2 || !request->missing_ok || remove->base.s3->ways.no_batches;
    bool fine = remove->singly && (one_by_one || write_batch(remove, &count));
    if (!fine) {
        orb_s3_op_end(&remove->base, orb_fail_memory(&error), &error);
        return;
    }
    for (size_t i = 0; i < request->count; i++) {
        request->items[i].status = ORBIT_OK;
        orb_error_clear(&request->items[i].error);
        if (one_by_one)
            remove->singly[i] = true;
    }
    if (count)
        send_batch(remove);
    else
        next_single(remove);
}
