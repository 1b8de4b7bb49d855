/* SPDX-License-Identifier: Apache-2.0
 * Listings: one request a page, parsed as it arrives, entries straight into the page. The parser runs on the lane
 * while the request is under way; cursors (s3_cursor.c) are the loop's otherwise.
 *
 * Where directories are asked for (a delimiter), S3 tells the objects of a page first and the common prefixes behind
 * them; both are kept in pages of their own and merged by key. A page that is fuller than the caller's page can hold
 * is cut, and the next request goes on after the last key that was taken.
 *
 * Most stores say how keys are encoded before the first key, some behind the last, some not at all. Where it matters
 * and is not known when a key comes, the page is read to its end to find out, and asked for once more. So is one
 * that is no XML because the store repeats a prefix or writes its token with characters that XML cannot carry, as
 * Ceph does: those are blotted out then, keys come encoded, and the listing goes on after the last of them.
 *
 * Versions come by ListObjectVersions, the latest of a key first: the same document with other names, gone on with
 * after a key and one of its versions. */
#include "backend/s3/s3_list.h"
#include "base/clock.h"
#include "base/str.h"

enum { ENCODED_KEY_MAX = 3 * ORB_S3_KEY_MAX, DOCUMENT_MAX = 64 << 20, SCRATCH_MAX = 64 << 20 };

struct page_op {
    struct orb_s3_op base; /* first */
    struct orb_s3_cursor *cursor;
    orbit_page *page;
    struct orbit_page objects, prefixes; /* where there is a delimiter */

    /* The reply so far. */
    bool is_list, encoded, truncated, full;
    bool is_error;      /* and no list: `storage_class` and `etag` are its code and message */
    bool end_told;      /* whether there is more */
    bool encoding_told; /* now, or learned from an earlier page */
    bool doubtful;      /* a key came that could mean two things: this page is asked for again */
    bool ill_formed;    /* what came is no XML: asked for again, and blotted */
    bool in_object, in_prefix, is_deleted, is_latest;
    struct orb_buf next; /* NextContinuationToken or NextMarker */
    char key[ENCODED_KEY_MAX + 1], last[ORB_S3_KEY_MAX + 1];
    size_t key_length;
    bool has_last;
    bool passed; /* entries that cannot be read came behind `last` */
    char etag[256], storage_class[64];
    char version[ORB_S3_VERSION_MAX + 1], last_version[ORB_S3_VERSION_MAX + 1], next_version[ORB_S3_VERSION_MAX + 1];
    orbit_entry entry;
    orbit_status status; /* why reading was stopped */
};

/* ---- entries --------------------------------------------------------------------------------------- */

static bool stop(struct page_op *op, orbit_status status)
{
    op->status = status;
    return false;
}

static void remember(struct page_op *op, const char *key, size_t length)
{
    memcpy(op->last, key, length);
    op->last[length] = '\0';
    memcpy(op->last_version, op->version, sizeof op->version);
    op->has_last = true;
    op->passed = false;
}

/* Whether the entry at hand lies behind the place the page was asked for: the store need not know start-after, and
 * common prefixes may come again. Other versions of the last key do come. */
static bool is_ahead(const struct page_op *op)
{
    const struct orb_s3_cursor *cursor = op->cursor;
    int order = cursor->has_after ? strcmp(op->key, orb_buf_string(&cursor->after)) : 1;
    return order > 0 || (order == 0 && *cursor->after_version && strcmp(op->version, cursor->after_version) != 0);
}

/* A name that no C string can hold, or a broken escape: told as an entry that failed. */
static bool add_unreadable(struct page_op *op, orbit_page *page)
{
    orbit_error error;
    char name[200];
    (void)snprintf(name, sizeof name, "%.199s", op->key);
    (void)orb_fail(&error, ORBIT_E_PATH, 0, "the key '%s' (percent-encoded) cannot be a path here", name);
    orbit_status status = orbit_page_add_failed(page, name, strlen(name), &error, 0);
    op->passed = true;
    return status >= 0 || stop(op, status);
}

/* The key of an object or a common prefix is complete. */
static bool add_key(struct page_op *op, bool is_prefix)
{
    struct orb_s3_cursor *cursor = op->cursor;
    orbit_entry *entry = &op->entry;
    orbit_page *page = !cursor->delimiter ? op->page : is_prefix ? &op->prefixes : &op->objects;
    size_t length = op->key_length;
    if (!op->encoding_told && (memchr(op->key, '%', length) || memchr(op->key, '+', length)))
        op->doubtful = true;
    if (op->full || op->doubtful)
        return true;
    bool blotted = cursor->blots && memchr(op->key, '?', length); /* encoded keys have none */
    if (blotted || (op->encoded && (length = orb_percent_decode(op->key, length, true)) == SIZE_MAX))
        return add_unreadable(op, page);
    op->key[length] = '\0';
    if (length > ORB_S3_KEY_MAX || length < cursor->skip ||
        memcmp(op->key, orb_buf_string(&cursor->prefix), cursor->skip) != 0)
        return stop(op, ORBIT_E_PROTOCOL);
    if (!is_ahead(op) || length < cursor->prefix.length ||
        memcmp(op->key, orb_buf_string(&cursor->prefix), cursor->prefix.length) != 0)
        return true;
    const char *path = op->key + cursor->skip;
    size_t path_length = length - cursor->skip;
    if (!path_length) { /* the marker of the listed directory itself */
        remember(op, op->key, length);
        return true;
    }
    bool slash = path[path_length - 1] == '/';
    entry->flags = slash && !is_prefix ? (uint32_t)ORBIT_ENTRY_MARKER : 0;
    entry->flags |= op->is_deleted ? (uint32_t)ORBIT_ENTRY_DELETED : 0;
    entry->flags |= op->is_latest ? (uint32_t)ORBIT_ENTRY_LATEST : 0;
    entry->metadata.kind = is_prefix || slash ? ORBIT_KIND_DIRECTORY : ORBIT_KIND_FILE;
    entry->depth = 1;
    for (const char *c = path; (c = memchr(c, '/', (size_t)(path + path_length - c))) && c + 1 < path + path_length;
         c++)
        entry->depth++;
    if (slash && path_length > 1 && path[path_length - 2] != '/') /* of a directory without a name it stays */
        path_length--;
    char cut = op->key[cursor->skip + path_length];
    op->key[cursor->skip + path_length] = '\0';
    entry->path = path;
    entry->path_length = path_length;
    orbit_status status = orbit_page_add(page, entry, 0);
    op->key[cursor->skip + path_length] = cut;
    if (status == ORBIT_END) {
        op->full = true;
        return true;
    }
    if (status < 0)
        return stop(op, status);
    remember(op, op->key, length);
    return true;
}

static bool object_field(struct page_op *op, const char *name, char *text, size_t length)
{
    orbit_metadata *metadata = &op->entry.metadata;
    const char *bare = text;
    switch (name[0]) {
    case 'K':
        if (strcmp(name, "Key") != 0)
            break;
        if (length > ENCODED_KEY_MAX)
            return stop(op, ORBIT_E_PROTOCOL);
        memcpy(op->key, text, length + 1);
        op->key_length = length;
        break;
    case 'S':
        if (strcmp(name, "Size") == 0) {
            if (!length) /* not told: whoever needs it asks for the object */
                break;
            if (!orb_parse_u64(text, &metadata->size))
                return stop(op, ORBIT_E_PROTOCOL);
            metadata->fields |= ORBIT_HAS_SIZE;
        } else if (strcmp(name, "StorageClass") == 0 && length < sizeof op->storage_class) {
            memcpy(op->storage_class, text, length + 1);
            metadata->storage_class = op->storage_class;
        }
        break;
    case 'L':
        if (strcmp(name, "LastModified") == 0 && orb_parse_time(text, &metadata->mtime_ns))
            metadata->fields |= ORBIT_HAS_MTIME;
        break;
    case 'E':
        if (strcmp(name, "ETag") == 0 && orb_s3_bare_etag(&bare, &length)) {
            memcpy(op->etag, bare, length);
            op->etag[length] = '\0';
            metadata->etag = op->etag;
        }
        break;
    case 'V':
        if (strcmp(name, "VersionId") != 0)
            break;
        if (length > ORB_S3_VERSION_MAX)
            return stop(op, ORBIT_E_PROTOCOL);
        memcpy(op->version, text, length + 1);
        metadata->version_id = op->version;
        break;
    case 'I':
        op->is_latest |= strcmp(name, "IsLatest") == 0 && strcmp(text, "true") == 0;
        break;
    default:
        break;
    }
    return true;
}

/* ---- the document ---------------------------------------------------------------------------------- */

/* A store that does not know versions answers with a listing of objects, which has none. gofakes3 has a name of its
 * own. */
static bool is_listing(const struct page_op *op, const char *root)
{
    if (!op->cursor->versions)
        return orb_s3_answers(root, "ListBucketResult", "ListObjects");
    return orb_s3_answers(root, "ListVersionsResult", "ListObjectVersions") ||
           strcmp(root, "ListBucketVersionsResult") == 0;
}

static void on_begin(void *ctx, unsigned depth, const char *name)
{
    struct page_op *op = ctx;
    if (depth == 2) {
        op->is_deleted = op->cursor->versions && strcmp(name, "DeleteMarker") == 0;
        op->in_object = op->is_deleted || strcmp(name, op->cursor->versions ? "Version" : "Contents") == 0;
        op->is_latest = false;
        op->version[0] = '\0';
        op->in_prefix = !op->in_object && strcmp(name, "CommonPrefixes") == 0;
        if (op->in_object || op->in_prefix) {
            op->entry = (orbit_entry){0};
            op->key_length = 0;
            op->key[0] = '\0';
        }
    } else if (depth == 1) {
        op->is_list = is_listing(op, name);
        op->is_error = !op->is_list && strcmp(name, "Error") == 0;
    }
}

static const char *next_name(const struct page_op *op)
{
    if (op->cursor->versions)
        return "NextKeyMarker";
    return op->base.listing ? "NextContinuationToken" : "NextMarker";
}

static void error_field(struct page_op *op, const char *name, const char *text)
{
    if (strcmp(name, "Code") == 0)
        (void)snprintf(op->storage_class, sizeof op->storage_class, "%s", text);
    else if (strcmp(name, "Message") == 0)
        (void)snprintf(op->etag, sizeof op->etag, "%s", text);
}

static bool list_field(struct page_op *op, const char *name, char *text, size_t length)
{
    if (op->is_error) {
        error_field(op, name, text);
    } else if (strcmp(name, "IsTruncated") == 0) {
        op->truncated = orb_s3_says_more(text);
        op->end_told = true;
    } else if (strcmp(name, "EncodingType") == 0) {
        op->encoded = strcmp(text, "url") == 0;
        op->encoding_told = true;
    } else if (op->cursor->versions && strcmp(name, "NextVersionIdMarker") == 0) {
        if (length > ORB_S3_VERSION_MAX)
            return stop(op, ORBIT_E_PROTOCOL);
        memcpy(op->next_version, text, length + 1);
    } else if (strcmp(name, next_name(op)) == 0) {
        orb_buf_reset(&op->next);
        if (!orb_buf_append(&op->next, text, length))
            return stop(op, length > ORB_S3_TOKEN_MAX ? ORBIT_E_PROTOCOL : ORBIT_E_MEMORY);
    }
    return true;
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct page_op *op = ctx;
    if (depth == 3 && op->in_object)
        return object_field(op, name, text, length);
    if (depth == 3 && op->in_prefix && strcmp(name, "Prefix") == 0) {
        if (length > ENCODED_KEY_MAX)
            return stop(op, ORBIT_E_PROTOCOL);
        memcpy(op->key, text, length + 1);
        op->key_length = length;
        return add_key(op, true);
    }
    if (depth == 2 && op->in_object)
        return op->key_length ? add_key(op, false) : stop(op, ORBIT_E_PROTOCOL);
    if (depth == 2 && !op->in_prefix)
        return list_field(op, name, text, length);
    if (depth == 1 && !op->is_list)
        return stop(op, ORBIT_E_PROTOCOL);
    return true;
}

static const struct orb_xml_events list_events = {on_begin, on_end};

/* ---- the request ----------------------------------------------------------------------------------- */

static orbit_status on_head(struct orb_http_request *request, enum orb_http_take *take)
{
    *take = request->http_status == 200 ? ORB_HTTP_FEED : ORB_HTTP_MEMORY;
    return ORBIT_OK;
}

static orbit_status stopped(struct page_op *op, orbit_error *error)
{
    if (op->status == ORBIT_E_MEMORY)
        return orb_fail_memory(error);
    return orb_fail(error, op->status, 0, "the store's reply is not a listing of what was asked for");
}

static orbit_status on_feed(struct orb_http_request *request, const void *bytes, size_t length)
{
    struct page_op *op = (struct page_op *)request;
    uint64_t begun_ns = orb_now_ns();
    orbit_status status = orb_xml_feed(op->cursor->xml, bytes, length, &request->error);
    op->page->busy_ns += orb_now_ns() - begun_ns;
    op->ill_formed = status == ORBIT_E_PROTOCOL;
    return status == ORBIT_END ? stopped(op, &request->error) : status;
}

static const struct orb_http_events page_events = {
    .header = orb_s3_on_header, .head = on_head, .feed = on_feed, .silent = orb_s3_on_silent, .done = orb_s3_on_done};

/* What follows a path in its key: a directory's ends in '/', whether its path shows that or not. */
static unsigned char behind_path(const orbit_entry *entry)
{
    return entry->metadata.kind == ORBIT_KIND_DIRECTORY && entry->path[entry->path_length - 1] != '/' ? '/' : 0;
}

static int compare_entries(const orbit_entry *a, const orbit_entry *b)
{
    size_t shorter = a->path_length < b->path_length ? a->path_length : b->path_length;
    int order = memcmp(a->path, b->path, shorter);
    if (order)
        return order;
    unsigned char next_a = behind_path(a), next_b = behind_path(b);
    if (a->path_length > shorter)
        next_a = (unsigned char)a->path[shorter];
    if (b->path_length > shorter)
        next_b = (unsigned char)b->path[shorter];
    return next_a - next_b;
}

static orbit_status merge(struct page_op *op)
{
    struct orb_page_cursor at_object = {0}, at_prefix = {0};
    struct orb_page_item object, prefix;
    struct orb_s3_cursor *cursor = op->cursor;
    bool has_object = orb_page_next(&op->objects, &at_object, &object);
    bool has_prefix = orb_page_next(&op->prefixes, &at_prefix, &prefix);
    op->has_last = false;
    while (has_object || has_prefix) {
        bool take_object = has_object && (!has_prefix || compare_entries(&object.entry, &prefix.entry) <= 0);
        struct orb_page_item *item = take_object ? &object : &prefix;
        orbit_status status;
        if (item->failed)
            status = orbit_page_add_failed(op->page, item->entry.path, item->entry.path_length, item->error, 0);
        else
            status = orbit_page_add(op->page, &item->entry, 0);
        if (status < 0)
            return status;
        if (status == ORBIT_END) {
            op->full = true;
            return ORBIT_OK;
        }
        size_t length = cursor->skip + item->entry.path_length;
        if (!item->failed && length + 1 < sizeof op->last) {
            memcpy(op->last, orb_buf_string(&cursor->prefix), cursor->skip);
            memcpy(op->last + cursor->skip, item->entry.path, item->entry.path_length);
            if (item->entry.metadata.kind == ORBIT_KIND_DIRECTORY && op->last[length - 1] != '/' &&
                strcmp(cursor->delimiter, "/") == 0)
                op->last[length++] = '/';
            op->last[length] = '\0';
            const char *version = item->entry.metadata.version_id;
            (void)snprintf(op->last_version, sizeof op->last_version, "%s", version ? version : "");
            op->has_last = true;
        }
        if (take_object)
            has_object = orb_page_next(&op->objects, &at_object, &object);
        else
            has_prefix = orb_page_next(&op->prefixes, &at_prefix, &prefix);
    }
    return ORBIT_OK;
}

/* From where the next page is asked for. */
static orbit_status next_place(struct page_op *op, orbit_error *error)
{
    struct orb_s3_cursor *cursor = op->cursor;
    if (op->full) {
        if (!op->has_last || !cursor->ordered)
            return orb_fail(error, ORBIT_E_LIMIT, 0,
                            "the store's page of a listing does not fit into memory: ask for fewer entries a page");
        return orb_s3_cursor_after(cursor, op->last, op->last_version, error);
    }
    if (!op->truncated)
        return ORBIT_OK;
    if (op->base.listing && !(cursor->blots && cursor->ordered && op->has_last && !op->passed))
        return op->next.length
                   ? orb_s3_cursor_token(cursor, orb_buf_string(&op->next), op->has_last ? op->last : "", error)
                   : orb_s3_list_endless(error, "says that there is more and not where");
    /* Any store goes on after the last key; NextMarker is a riddle at some, and left out where there is no
     * delimiter. */
    if (op->has_last && !op->passed)
        return orb_s3_cursor_after(cursor, op->last, op->last_version, error);
    if (op->next.length && op->encoded) {
        size_t length = orb_percent_decode(op->next.bytes, op->next.length, true);
        if (length == SIZE_MAX)
            return orb_fail(error, ORBIT_E_PROTOCOL, 0, "the store's NextMarker is not percent-encoded as it says");
        op->next.length = length;
        op->next.bytes[length] = '\0';
    }
    if (!op->next.length)
        return orb_s3_list_endless(error, "says that there is more and not where");
    return orb_s3_cursor_after(cursor, orb_buf_string(&op->next), op->next_version, error);
}

static void listed(struct orb_s3_op *base);

/* One page. It may be asked for twice. */
static void ask(struct page_op *list)
{
    struct orb_s3_op *base = &list->base;
    struct orb_s3_cursor *cursor = list->cursor;
    enum orb_s3_encoding learned = base->s3->ways.listed;
    orbit_error error;
    char entries[16];
    orb_buf_reset(&list->next);
    orb_page_reset(&list->objects);
    orb_page_reset(&list->prefixes);
    orb_page_reset(list->page);
    list->ill_formed = false;
    list->is_error = list->end_told = false;
    list->storage_class[0] = list->etag[0] = '\0';
    list->is_list = list->truncated = list->full = list->doubtful = list->has_last = list->passed = false;
    list->encoding_told = learned != ORB_S3_ENCODING_UNKNOWN;
    list->encoded = learned == ORB_S3_ENCODING_URL;
    orbit_status status = orb_xml_start(cursor->xml, &list_events, list, DOCUMENT_MAX, &error);
    if (status < 0) {
        orb_s3_op_end(base, status, &error);
        return;
    }
    if (cursor->blots)
        orb_xml_blots(cursor->xml);
    bool v1 = base->s3->ways.list_v1, versions = cursor->versions;
    list->next_version[0] = '\0';
    orb_s3_begin(base, "GET", NULL);
    orb_s3_param(base, "versions", versions ? "" : NULL);
    if (!versions)
        orb_s3_list_params(base);
    orb_s3_param(base, "encoding-type", "url");
    orb_s3_param(base, "prefix", cursor->asked.length ? orb_buf_string(&cursor->asked) : NULL);
    orb_s3_param(base, "delimiter", cursor->delimiter);
    (void)snprintf(entries, sizeof entries, "%u", cursor->page_entries);
    orb_s3_param(base, "max-keys", entries);
    if (cursor->has_token)
        orb_s3_param(base, "continuation-token", orb_buf_string(&cursor->token));
    else if (cursor->from_after)
        orb_s3_param(base, versions ? "key-marker" : v1 ? "marker" : "start-after", orb_buf_string(&cursor->after));
    if (cursor->from_after && *cursor->after_version)
        orb_s3_param(base, "version-id-marker", cursor->after_version);
    orb_s3_account_headers(base, NULL);
    orb_s3_send(base, listed);
}

static void listed(struct orb_s3_op *base)
{
    struct page_op *op = (struct page_op *)base;
    orbit_error error;
    if (op->ill_formed && !op->cursor->blots && !orbit_op_cancelled(base->op)) {
        op->cursor->blots = true;
        ask(op);
        return;
    }
    if (op->is_error && base->http.status != ORBIT_E_CANCELLED) {
        (void)orb_s3_fail_code(base, base->path, op->storage_class, op->etag, 200, &error);
        error.flags |= error.status == ORBIT_E_PROTOCOL ? ORBIT_ERROR_RETRIABLE : 0; /* a code that nobody knows */
        orb_s3_op_end(base, (orbit_status)error.status, &error);
        return;
    }
    if (!orb_s3_fine(base))
        return;
    orbit_status status = orb_xml_finish(op->cursor->xml, &error);
    if (status == ORBIT_END)
        status = stopped(op, &error);
    if (status >= 0 && !op->is_list)
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the reply is not that of an S3 store");
    if (status >= 0 && op->doubtful) {
        base->s3->ways.listed = op->encoded ? ORB_S3_ENCODING_URL : ORB_S3_ENCODING_NONE;
        ask(op);
        return;
    }
    op->truncated |= !op->end_told && base->listing && op->next.length; /* a token says it all the same */
    if (status >= 0 && op->cursor->delimiter && (status = merge(op)) < 0)
        (void)orb_fail_memory(&error);
    if (status >= 0)
        status = next_place(op, &error);
    if (status < 0) {
        char name[240];
        orb_error_prefix(&error, "cannot list '%s'", orb_s3_name(base->s3, base->path, name, sizeof name));
    } else {
        orbit_page_more(op->page, op->truncated || op->full);
    }
    orb_s3_op_end(base, status, &error);
}

static void free_page_op(struct orb_s3_op *base)
{
    struct page_op *op = (struct page_op *)base;
    orb_buf_release(&op->next);
    orb_page_release(&op->objects);
    orb_page_release(&op->prefixes);
}

void orb_s3_list_page(void *self, orbit_op *op, void *handle, orbit_page *page)
{
    if (orb_s3_is_service(self)) {
        orb_s3_buckets_page(self, op, handle, page);
        return;
    }
    struct page_op *list = orb_s3_op_new(self, op, sizeof *list, "list", NULL);
    if (!list)
        return;
    list->base.release = free_page_op;
    list->base.http.events = &page_events;
    list->cursor = handle;
    list->page = page;
    orb_buf_init(&list->next, ORB_S3_TOKEN_MAX);
    orb_page_init(&list->objects, NULL, UINT32_MAX, SCRATCH_MAX);
    orb_page_init(&list->prefixes, NULL, UINT32_MAX, SCRATCH_MAX);
    ask(list);
}
