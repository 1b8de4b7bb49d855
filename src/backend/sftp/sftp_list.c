/* SPDX-License-Identifier: Apache-2.0
 * Listing one directory: several READDIRs under way on its handle, their names given out in the order they came. How
 * many grows while names keep coming and the way to the server is long. A cursor whose connection was lost opens the
 * directory again and passes over what was given out already, if that is still there; where what is listed is removed
 * it passes over nothing.
 *
 * Version 3 has no inodes. Where symlinks are followed a walk must know a directory that it lies in: there
 * directories have a number that is made of their real path (REALPATH), which is known of those that are no links
 * when it is of the one that is listed. Loop thread. */
#include <string.h>

#include "backend/sftp/sftp.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/temporary.h"

enum { AHEAD_FIRST = 2, BATCHES = 32, NAME_ROOM = 256 };
#define FAR_NS (1 * ORB_MS)

struct cursor;

struct batch {
    struct orb_sftp_request request; /* first */
    struct cursor *cursor;
    struct orb_buf names; /* the NAME reply behind its count */
    size_t at;
    uint32_t left;
    bool answered, end;
};

struct cursor {
    struct sftp_store *store;
    struct sftp_channel *channel;
    unsigned generation;
    char *path, *full, *prefix;
    char *real; /* where symlinks are followed; NULL: not known */
    bool want_metadata, follow, shrinks;
    uint32_t page_entries;
    struct orb_sftp_handle handle;
    struct batch batches[BATCHES];
    unsigned first, count, ahead; /* a ring; how many may be under way */
    bool ended;
    uint64_t given, skip; /* entries that came so far; that are to be passed over still */
    char last[NAME_ROOM]; /* the last one given: as it began */
    struct list_call *waiting;
    orbit_status status; /* of a reply that was bad */
    orbit_error error;
};

struct list_call {
    struct sftp_call call; /* first */
    struct cursor *cursor;
    struct orb_sftp_request open, look, real;
    const orbit_list_request *request;
    void **made;
    orbit_page *page;
    struct orb_sftp_attributes seen; /* of the entry at hand, asked for by itself */
    bool has_seen, missing;
    unsigned looks;      /* that are not answered */
    uint64_t identity;   /* of what a symlink leads to; 0: not known */
    orbit_status status; /* of an OPENDIR that failed */
    orbit_error error;
};

/* ---- cursors --------------------------------------------------------------------------------------- */

static struct orb_sftp *cursor_session(const struct cursor *cursor)
{
    return cursor->channel && cursor->channel->generation == cursor->generation ? cursor->channel->session : NULL;
}

/* Gives up what the server has of it. */
static void cursor_close(struct cursor *cursor)
{
    struct orb_sftp *session = cursor_session(cursor);
    for (unsigned i = 0; i < BATCHES; i++) {
        orb_sftp_forget(&cursor->batches[i].request);
        orb_sftp_request_release(&cursor->batches[i].request);
        orb_buf_release(&cursor->batches[i].names);
    }
    if (session && cursor->handle.length)
        orb_sftp_close_handle(session, &cursor->handle);
    cursor->handle.length = 0;
    cursor->count = cursor->first = 0;
}

void sftp_list_end(void *self, void *cursor_)
{
    struct cursor *cursor = cursor_;
    (void)self;
    if (!cursor)
        return;
    cursor_close(cursor);
    orb_free(cursor->path);
    orb_free(cursor->full);
    orb_free(cursor->real);
    orb_free(cursor->prefix);
    orb_free(cursor);
}

static void list_release(struct sftp_call *call)
{
    struct list_call *list = (struct list_call *)call;
    orb_sftp_forget(&list->open);
    orb_sftp_forget(&list->look);
    orb_sftp_forget(&list->real);
    orb_sftp_request_release(&list->open);
    orb_sftp_request_release(&list->look);
    orb_sftp_request_release(&list->real);
    if (list->cursor)
        list->cursor->waiting = NULL;
    if (list->made && list->cursor) /* it was not given away */
        sftp_list_end(call->store, list->cursor);
}

static void take_names(struct list_call *list);

static void batch_done(struct orb_sftp_request *request)
{
    struct batch *batch = (struct batch *)request;
    struct cursor *cursor = batch->cursor;
    struct orb_sftp_reader reply = request->reply;
    batch->answered = true;
    if (request->type == ORB_SFTP_NAME) {
        batch->left = orb_sftp_get_u32(&reply);
        orb_buf_init(&batch->names, ORB_SFTP_PACKET_MAX);
        if (!orb_buf_append(&batch->names, reply.at, reply.left) && cursor->status >= 0)
            cursor->status = orb_fail_memory(&cursor->error);
        if (orb_sftp_round_trip_ns(cursor_session(cursor)) > FAR_NS && cursor->ahead < BATCHES)
            cursor->ahead *= 2;
    } else if (sftp_is_status(request, ORB_SFTP_STATUS_EOF)) {
        batch->end = true;
    } else if (cursor->status >= 0) {
        struct sftp_call call = {.store = cursor->store, .verb = "list", .what = cursor->path};
        cursor->status = sftp_check(&call, request, ORB_SFTP_NAME, &cursor->error);
    }
    if (cursor->waiting && batch == &cursor->batches[cursor->first])
        take_names(cursor->waiting);
}

static void ask_ahead(struct cursor *cursor)
{
    struct orb_sftp *session = cursor_session(cursor);
    while (session && !cursor->ended && cursor->count < cursor->ahead) {
        struct batch *batch = &cursor->batches[(cursor->first + cursor->count) % BATCHES];
        cursor->count++;
        batch->cursor = cursor;
        batch->answered = batch->end = false;
        batch->at = 0;
        batch->left = 0;
        orb_buf_release(&batch->names);
        orb_sftp_on_handle(&batch->request, ORB_SFTP_READDIR, &cursor->handle);
        batch->request.done = batch_done;
        orb_sftp_start(session, &batch->request);
    }
}

/* ---- entries --------------------------------------------------------------------------------------- */

static bool is_listed(const struct cursor *cursor, const struct orb_sftp_name *name)
{
    const char *text = name->name;
    size_t length = name->length;
    if (length == 0 || (text[0] == '.' && (length == 1 || (length == 2 && text[1] == '.'))))
        return false;
    if (memchr(text, '/', length) || memchr(text, '\0', length) ||
        (length == ORB_TEMPORARY_LENGTH && orb_begins_as_temporary(text, length)))
        return false; /* no name of a file: it would lead elsewhere */
    size_t prefix = cursor->prefix ? strlen(cursor->prefix) : 0;
    return prefix == 0 || (length >= prefix && memcmp(text, cursor->prefix, prefix) == 0);
}

static bool needs_look(const struct cursor *cursor, const struct orb_sftp_name *name)
{
    uint32_t kind = sftp_kind(&name->attributes);
    return kind == ORBIT_KIND_UNKNOWN || (cursor->follow && kind == ORBIT_KIND_SYMLINK) ||
           (cursor->want_metadata && (name->attributes.flags & (ORB_SFTP_HAS_SIZE | ORB_SFTP_HAS_TIMES)) !=
                                         (ORB_SFTP_HAS_SIZE | ORB_SFTP_HAS_TIMES));
}

static char *real_path(const struct orb_sftp_request *request)
{
    struct orb_sftp_reader reply = request->reply;
    struct orb_sftp_name name;
    uint32_t count = request->type == ORB_SFTP_NAME ? orb_sftp_get_u32(&reply) : 0;
    return orb_sftp_get_name(&reply, &count, &name) ? orb_strndup(name.name, name.length) : NULL;
}

static uint64_t identity_of(const char *real, const char *name)
{
    size_t length = strlen(real);
    uint64_t crc = orb_crc64nvme(0, real, length);
    if (name && (length == 0 || real[length - 1] != '/'))
        crc = orb_crc64nvme(crc, "/", 1);
    return name ? orb_crc64nvme(crc, name, strlen(name)) : crc;
}

static void real_seen(struct orb_sftp_request *request)
{
    struct list_call *list = (struct list_call *)sftp_call_of(request);
    char *real = real_path(request);
    list->identity = real ? identity_of(real, NULL) : 0;
    orb_free(real);
    if (--list->looks == 0)
        take_names(list);
}

static void looked(struct orb_sftp_request *request)
{
    struct list_call *list = (struct list_call *)sftp_call_of(request);
    orbit_error error;
    orbit_status status = sftp_check(&list->call, request, ORB_SFTP_ATTRS, &error);
    if (sftp_lost(request)) {
        sftp_call_end(&list->call, status, &error);
        return;
    }
    list->has_seen = true;
    list->missing = status < 0;
    if (status >= 0)
        orb_sftp_get_attributes(&request->reply, &list->seen);
    if (--list->looks == 0)
        take_names(list);
}

static void look(struct list_call *list, const struct orb_sftp_name *name)
{
    struct orb_buf path;
    struct cursor *cursor = list->cursor;
    orb_buf_init(&path, ORB_SFTP_TEXT_MAX);
    orb_buf_text(&path, cursor->full);
    orb_buf_char(&path, '/');
    orb_buf_append(&path, name->name, name->length);
    if (path.failed) {
        sftp_call_end(&list->call, ORBIT_E_MEMORY, NULL);
    } else {
        orb_sftp_path(&list->look, cursor->follow ? ORB_SFTP_STAT : ORB_SFTP_LSTAT, orb_buf_string(&path));
        list->looks = 1;
        list->identity = 0;
        sftp_call_ask(&list->call, &list->look, looked);
        if (cursor->follow && sftp_kind(&name->attributes) != ORBIT_KIND_DIRECTORY) {
            list->looks++;
            orb_sftp_path(&list->real, ORB_SFTP_REALPATH, orb_buf_string(&path));
            sftp_call_ask(&list->call, &list->real, real_seen);
        }
    }
    orb_buf_release(&path);
}

static void remember(struct cursor *cursor, const struct orb_sftp_name *name)
{
    size_t length = name->length < NAME_ROOM - 1 ? name->length : NAME_ROOM - 1;
    memcpy(cursor->last, name->name, length);
    cursor->last[length] = '\0';
    cursor->given++;
}

static void identify(const struct list_call *list, const char *name, orbit_metadata *metadata)
{
    const struct cursor *cursor = list->cursor;
    if (!cursor->follow || metadata->kind != ORBIT_KIND_DIRECTORY)
        return;
    metadata->inode = list->has_seen && list->identity  ? list->identity
                      : !list->has_seen && cursor->real ? identity_of(cursor->real, name)
                                                        : 0;
    if (metadata->inode)
        metadata->fields |= ORBIT_HAS_INODE;
}

static orbit_status add(struct list_call *list, const struct orb_sftp_name *name)
{
    orbit_entry entry = {.path_length = name->length};
    char *text = orb_strndup(name->name, name->length);
    if (!text)
        return ORBIT_E_MEMORY;
    entry.path = text;
    sftp_describe(&entry.metadata, list->has_seen && !list->missing ? &list->seen : &name->attributes);
    identify(list, text, &entry.metadata);
    orbit_status status = orbit_page_add(list->page, &entry, 0);
    orb_free(text);
    return status;
}

static orbit_status fail_changed(struct list_call *list)
{
    return sftp_fail(&list->call, ORBIT_E_CHANGED, 0, "it changed while it was being listed", &list->cursor->error);
}

/* One entry. ORBIT_AGAIN: it is looked at first. ORBIT_END: the page is full. */
static orbit_status take_one(struct list_call *list, const struct orb_sftp_name *name)
{
    struct cursor *cursor = list->cursor;
    if (cursor->skip > 0) { /* given out before the connection was lost */
        if (--cursor->skip == 0 &&
            strncmp(cursor->last, name->name, name->length < NAME_ROOM - 1 ? name->length : NAME_ROOM - 1) != 0)
            return fail_changed(list);
        return ORBIT_OK;
    }
    if (!is_listed(cursor, name)) {
        remember(cursor, name);
        return ORBIT_OK;
    }
    if (needs_look(cursor, name) && !list->has_seen) {
        look(list, name);
        return ORBIT_AGAIN;
    }
    orbit_status status = ORBIT_OK;
    if (!list->missing || cursor->follow) /* gone meanwhile; a symlink that leads nowhere is listed as such */
        status = add(list, name);
    if (status == ORBIT_OK) {
        list->has_seen = list->missing = false;
        remember(cursor, name);
    } else if (status < 0) {
        orb_fail_memory(&cursor->error);
    }
    return status;
}

static void page_end(struct list_call *list, bool more)
{
    orbit_page_more(list->page, more);
    if (!more)
        cursor_close(list->cursor);
    sftp_call_end(&list->call, ORBIT_OK, NULL);
}

/* From the batches that are there, in order, until one is not. May end the call. */
static void take_names(struct list_call *list)
{
    struct cursor *cursor = list->cursor;
    struct orb_sftp_name name;
    cursor->waiting = list;
    while (cursor->status >= 0 && cursor->count > 0 && cursor->batches[cursor->first].answered) {
        struct batch *batch = &cursor->batches[cursor->first];
        struct orb_sftp_reader reader =
            orb_sftp_read((const uint8_t *)orb_buf_string(&batch->names) + batch->at, batch->names.length - batch->at);
        while (batch->left > 0) {
            uint32_t left = batch->left;
            if (!orb_sftp_get_name(&reader, &left, &name)) {
                cursor->status =
                    sftp_fail(&list->call, ORBIT_E_PROTOCOL, 0, "the server's list ends early", &cursor->error);
                break;
            }
            orbit_status status = take_one(list, &name);
            if (status == ORBIT_AGAIN)
                return;
            if (status == ORBIT_END) {
                page_end(list, true);
                return;
            }
            if (status < 0) {
                cursor->status = status;
                break;
            }
            batch->left = left;
            batch->at = batch->names.length - reader.left;
        }
        if (cursor->status < 0)
            break;
        cursor->ended |= batch->end;
        if (cursor->ended && cursor->skip > 0) { /* less than what was given out before */
            cursor->ended = false;
            cursor->status = fail_changed(list);
            break;
        }
        cursor->first = (cursor->first + 1) % BATCHES;
        cursor->count--;
        if (cursor->ended) {
            page_end(list, false);
            return;
        }
        ask_ahead(cursor);
    }
    if (cursor->status < 0) {
        orbit_error error = cursor->error;
        orbit_status status = cursor->status;
        cursor->status = ORBIT_OK; /* another try begins anew */
        cursor_close(cursor);
        sftp_call_end(&list->call, status, &error);
    } else if (orbit_page_count(list->page) > 0) {
        page_end(list, true);
    }
}

/* ---- opening --------------------------------------------------------------------------------------- */

static void opened(struct orb_sftp_request *request)
{
    struct list_call *list = (struct list_call *)sftp_call_of(request);
    struct cursor *cursor = list->cursor;
    struct sftp_call *call = &list->call;
    if (!sftp_fine(call, request, ORB_SFTP_HANDLE))
        return;
    orb_sftp_get_handle(&request->reply, &cursor->handle);
    cursor->channel = call->channel;
    cursor->generation = call->generation;
    cursor->ahead = AHEAD_FIRST;
    cursor->skip = cursor->shrinks ? 0 : cursor->given;
    ask_ahead(cursor);
    if (list->made) {
        *list->made = cursor;
        list->made = NULL;
        sftp_call_end(call, ORBIT_OK, NULL);
    } else {
        cursor->waiting = list;
    }
}

/* OPENDIR fails for a file in the same way as for much else. */
static void open_looked(struct orb_sftp_request *request)
{
    struct list_call *list = (struct list_call *)sftp_call_of(request);
    struct orb_sftp_attributes attributes;
    if (request->type == ORB_SFTP_ATTRS) {
        orb_sftp_get_attributes(&request->reply, &attributes);
        uint32_t kind = sftp_kind(&attributes);
        if (kind != ORBIT_KIND_DIRECTORY && kind != ORBIT_KIND_UNKNOWN) {
            sftp_end_with(&list->call, ORBIT_E_PATH, ORBIT_ERROR_NOT_DIRECTORY, "it is not a directory");
            return;
        }
    }
    if (sftp_lost(request))
        (void)sftp_fine(&list->call, request, ORB_SFTP_ATTRS);
    else
        sftp_call_end(&list->call, list->status, &list->error);
}

static void open_done(struct orb_sftp_request *request)
{
    struct list_call *list = (struct list_call *)sftp_call_of(request);
    struct cursor *cursor = list->cursor;
    if (request->type == ORB_SFTP_HANDLE) {
        opened(request);
    } else if (sftp_lost(request)) {
        (void)sftp_fine(&list->call, request, ORB_SFTP_HANDLE);
    } else {
        list->status = sftp_check(&list->call, request, ORB_SFTP_HANDLE, &list->error);
        orb_sftp_path(&list->look, ORB_SFTP_STAT, cursor->full);
        sftp_call_ask(&list->call, &list->look, open_looked);
    }
}

static void real_done(struct orb_sftp_request *request)
{
    struct list_call *list = (struct list_call *)sftp_call_of(request);
    orb_free(list->cursor->real);
    list->cursor->real = real_path(request);
}

static void open_go(struct sftp_call *call)
{
    struct list_call *list = (struct list_call *)call;
    if (list->cursor->follow) { /* answered first, or not needed that much */
        orb_sftp_path(&list->real, ORB_SFTP_REALPATH, list->cursor->full);
        sftp_call_ask(call, &list->real, real_done);
    }
    orb_sftp_path(&list->open, ORB_SFTP_OPENDIR, list->cursor->full);
    sftp_call_ask(call, &list->open, open_done);
}

void sftp_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **made)
{
    orbit_error error;
    struct list_call *list = sftp_call_new(self, op, sizeof(*list), "list", request->path, list_release);
    struct cursor *cursor = list ? orb_calloc(1, sizeof(*cursor)) : NULL;
    if (!list)
        return;
    orb_fail_memory(&error);
    list->request = request;
    list->cursor = cursor;
    list->made = made;
    if (cursor) {
        cursor->store = self;
        cursor->want_metadata = request->want_metadata;
        cursor->shrinks = request->shrinks;
        cursor->follow = request->follow_symlinks;
        cursor->path = orb_strdup(request->path);
        cursor->prefix = orb_strdup(request->prefix);
        cursor->full = sftp_full_path(self, request->path, &error);
    }
    if (!cursor || !cursor->path || !cursor->full || (request->prefix && !cursor->prefix))
        sftp_call_end(&list->call, (orbit_status)error.status, &error);
    else
        sftp_call_start(&list->call, open_go);
}

static void page_step(struct sftp_call *call)
{
    struct list_call *list = (struct list_call *)call;
    struct cursor *cursor = list->cursor;
    if (cursor->status >= 0 && cursor->handle.length && !cursor_session(cursor)) { /* lost while nobody looked */
        cursor_close(cursor);
    }
    if (cursor->status < 0 || cursor->handle.length)
        take_names(list);
    else if (cursor->ended)
        page_end(list, false);
    else
        sftp_call_start(call, open_go);
}

void sftp_list_page(void *self, orbit_op *op, void *cursor_, orbit_page *page)
{
    struct cursor *cursor = cursor_;
    struct list_call *list = sftp_call_new(self, op, sizeof(*list), "list", cursor->path, list_release);
    if (!list)
        return;
    list->cursor = cursor;
    list->page = page;
    list->call.channel = NULL;
    list->call.step = page_step;
    if (cursor->handle.length && cursor_session(cursor)) { /* looks at entries go where the cursor is */
        list->call.channel = cursor->channel;
        list->call.generation = cursor->generation;
    }
    page_step(&list->call);
}
