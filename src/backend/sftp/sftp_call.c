/* SPDX-License-Identifier: Apache-2.0
 * A call's life, what replies mean, and paths. A call is freed by a last message, behind its operation's done:
 * resume() may come from another thread until the engine has heard of the end. Loop thread, but for resume. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/sftp/sftp.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/temporary.h"

enum { NAME_BYTES = 255, PATH_BYTES = 4095 }; /* of the file systems that servers have */

/* ---- life ------------------------------------------------------------------------------------------ */

static void call_drop(struct sftp_call *call)
{
    if (--call->refs > 0)
        return;
    orb_free(call->why);
    orb_free(call);
}

static void deliver_last(struct orb_message *message)
{
    call_drop((struct sftp_call *)(void *)((char *)message - offsetof(struct sftp_call, last_message)));
}

static void deliver_step(struct orb_message *message)
{
    struct sftp_call *call = (struct sftp_call *)(void *)((char *)message - offsetof(struct sftp_call, step_message));
    if (call->over) { /* posted just before the end */
        call_drop(call);
        return;
    }
    atomic_store(&call->posted, false);
    if (!call->released)
        call->step(call);
}

void *sftp_call_new(struct sftp_store *store, orbit_op *op, size_t bytes, const char *verb, const char *what,
                    void (*release)(struct sftp_call *call))
{
    struct sftp_call *call = orb_calloc(1, bytes);
    if (!call) {
        orbit_op_done(op, ORBIT_E_MEMORY, NULL);
        return NULL;
    }
    call->store = store;
    call->op = op;
    call->verb = verb;
    call->what = *what ? what : ".";
    call->release = release;
    call->step_message.deliver = deliver_step;
    call->last_message.deliver = deliver_last;
    call->refs = 1;
    op->state = call;
    return call;
}

void sftp_call_end(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    orbit_error own;
    if (error) /* what is released may be where it lies */
        own = *error;
    bool asked = !call->released && sftp_why(call, status, error, sftp_call_end);
    if (!call->released) /* nothing more is heard of its requests */
        call->release(call);
    call->released = true;
    if (asked)
        return;
    sftp_call_leave(call);
    sftp_why_end(call);
    call->over = true;
    if (atomic_exchange(&call->posted, true)) /* for good: nobody posts it any more */
        call->refs++;
    struct orb_loop *loop = call->store->host->loop;
    orbit_op_done(call->op, status, status < 0 && error ? &own : NULL);
    orb_loop_post(loop, &call->last_message);
}

void sftp_call_cancel(void *self, orbit_op *op)
{
    (void)self;
    if (op->state)
        sftp_call_end(op->state, ORBIT_E_CANCELLED, NULL);
}

void sftp_call_again(struct sftp_call *call)
{
    if (!atomic_exchange(&call->posted, true))
        orb_loop_post(call->store->host->loop, &call->step_message);
}

static void resume(orbit_op *op)
{
    sftp_call_again(op->state);
}

void sftp_call_resumes(struct sftp_call *call)
{
    call->op->resume = resume;
}

/* ---- requests -------------------------------------------------------------------------------------- */

struct orb_sftp *sftp_call_session(const struct sftp_call *call)
{
    return call->channel && call->channel->generation == call->generation ? call->channel->session : NULL;
}

struct sftp_call *sftp_call_of(const struct orb_sftp_request *request)
{
    return request->ctx;
}

void sftp_call_ask(struct sftp_call *call, struct orb_sftp_request *request,
                   void (*done)(struct orb_sftp_request *request))
{
    request->ctx = call;
    request->done = done;
    orb_sftp_start(sftp_call_session(call), request);
}

/* ---- what replies mean ----------------------------------------------------------------------------- */

static const struct {
    uint32_t code;
    orbit_status status;
    uint32_t flags;
    const char *text;
} meanings[] = {
    {ORB_SFTP_STATUS_EOF, ORBIT_E_PROTOCOL, 0, "the server says that it ends where it does not"},
    {ORB_SFTP_STATUS_NO_SUCH_FILE, ORBIT_E_NOT_FOUND, 0, "no such file or directory"},
    {ORB_SFTP_STATUS_PERMISSION_DENIED, ORBIT_E_PERMISSION, 0, "permission denied"},
    {ORB_SFTP_STATUS_UNSUPPORTED, ORBIT_E_UNSUPPORTED, 0, "the server cannot do that"},
    {ORB_SFTP_STATUS_NO_SUCH_PATH, ORBIT_E_NOT_FOUND, 0, "no such file or directory"},
    {ORB_SFTP_STATUS_EXISTS, ORBIT_E_EXISTS, 0, "it exists already"},
    {ORB_SFTP_STATUS_WRITE_PROTECT, ORBIT_E_PERMISSION, 0, "it is protected from being written to there"},
    {ORB_SFTP_STATUS_NO_SPACE, ORBIT_E_NO_SPACE, 0, "its disk is full: make room there"},
    {ORB_SFTP_STATUS_QUOTA, ORBIT_E_QUOTA, 0, "a quota there is used up"},
    {ORB_SFTP_STATUS_LOCKED, ORBIT_E_BUSY, 0, "it is locked there by somebody else"},
    {ORB_SFTP_STATUS_NOT_EMPTY, ORBIT_E_NOT_EMPTY, 0, "the directory is not empty"},
    {ORB_SFTP_STATUS_NOT_DIRECTORY, ORBIT_E_PATH, ORBIT_ERROR_NOT_DIRECTORY, "what should be a directory is none"},
    {ORB_SFTP_STATUS_BAD_NAME, ORBIT_E_PATH, 0, "the server takes no such name"},
    {ORB_SFTP_STATUS_LINK_LOOP, ORBIT_E_PATH, 0, "a symlink leads from one to another without end"},
    {ORB_SFTP_STATUS_IS_DIRECTORY, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY, "it is a directory"},
};

orbit_status sftp_fail(const struct sftp_call *call, orbit_status status, uint32_t flags, const char *why,
                       orbit_error *error)
{
    size_t length = strlen(call->what);
    bool cut = length > 200;
    orb_fail(error, status, 0, "cannot %s '%s%s' on '%s': %s", call->verb, cut ? "..." : "",
             cut ? call->what + length - 200 : call->what, call->store->peer, why);
    if (error)
        error->flags |= flags;
    return status;
}

void sftp_end_with(struct sftp_call *call, orbit_status status, uint32_t flags, const char *why)
{
    orbit_error error;
    sftp_fail(call, status, flags, why, &error);
    sftp_call_end(call, status, &error);
}

bool sftp_is_status(const struct orb_sftp_request *request, uint32_t status)
{
    bool gone = status == ORB_SFTP_STATUS_NO_SUCH_FILE && request->status == ORB_SFTP_STATUS_NO_SUCH_PATH;
    return request->type == ORB_SFTP_STATUS && (request->status == status || gone);
}

bool sftp_lost(const struct orb_sftp_request *request)
{
    return request->type == 0;
}

/* OpenSSH says "bad message" of a name that its file system does not take. Whether that is for its length we can see: of
 * one name, or of all of them, with a temporary file's in the place of the last one. */
static const char *bad_name(const char *path)
{
    size_t longest = 0, whole = strlen(path);
    for (const char *name = path; *name; name += *name == '/') {
        size_t length = strcspn(name, "/");
        longest = length > longest ? length : longest;
        name += length;
    }
    if (longest > NAME_BYTES)
        return "a name in it has more than 255 bytes, which file systems do not take: use a shorter one";
    if (whole + 1 + ORB_TEMPORARY_LENGTH > PATH_BYTES)
        return "the path is too long there, with the name of a temporary file 4,095 bytes at most: use a shorter one";
    return "the server takes the request for malformed: it has perhaps no such names";
}

/* What comes from there is shown on a terminal: nothing but ASCII. */
static void take_words(struct sftp_call *call, struct orb_sftp_reader reply)
{
    size_t length;
    const char *said = orb_sftp_get_bytes(&reply, &length);
    if (length > sizeof(call->said) - 1)
        length = sizeof(call->said) - 1;
    for (size_t i = 0; i < length; i++)
        call->said[i] = said[i] >= ' ' && said[i] < 127 ? said[i] : '?';
    call->said[length] = '\0';
}

orbit_status sftp_check(struct sftp_call *call, const struct orb_sftp_request *request, uint8_t type,
                        orbit_error *error)
{
    if (request->type == type && (type != ORB_SFTP_STATUS || request->status == ORB_SFTP_STATUS_OK))
        return ORBIT_OK;
    if (request->type == 0 && request->error) {
        *error = *request->error;
        orb_error_prefix(error, "cannot %s '%.150s'", call->verb, call->what);
        return (orbit_status)error->status;
    }
    if (request->type != ORB_SFTP_STATUS || request->status == ORB_SFTP_STATUS_OK)
        return sftp_fail(call, ORBIT_E_PROTOCOL, 0, "the server's answer is of another kind", error);
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].code == request->status) {
            sftp_fail(call, meanings[i].status, meanings[i].flags, meanings[i].text, error);
            error->native = (int32_t)request->status;
            return meanings[i].status;
        }
    if (request->status == ORB_SFTP_STATUS_BAD_MESSAGE) {
        sftp_fail(call, ORBIT_E_PATH, 0, bad_name(call->what), error);
        error->native = (int32_t)request->status;
        return ORBIT_E_PATH;
    }
    char why[sizeof(call->said) + 64];
    take_words(call, request->reply);
    (void)snprintf(why, sizeof(why), "the server failed and says '%s' (status %u)", call->said,
                   (unsigned)request->status);
    sftp_fail(call, ORBIT_E_IO, 0, why, error);
    error->native = (int32_t)request->status;
    return ORBIT_E_IO;
}

bool sftp_fine(struct sftp_call *call, const struct orb_sftp_request *request, uint8_t type)
{
    orbit_error error;
    orbit_status status = sftp_check(call, request, type, &error);
    if (status < 0)
        sftp_call_end(call, status, &error);
    return status >= 0;
}

bool sftp_is_openssh(const struct orb_sftp *session)
{
    return orb_sftp_can(session, ORB_SFTP_CAN_LSETSTAT) || orb_sftp_can(session, ORB_SFTP_CAN_LIMITS);
}

/* ---- paths ----------------------------------------------------------------------------------------- */

/* Whether ".." components lead above where the path begins. */
static bool climbs_out(const char *path)
{
    long depth = 0;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.')
            depth--;
        else if (length > 0 && !(length == 1 && path[0] == '.'))
            depth++;
        if (depth < 0)
            return true;
        path += length;
        path += strspn(path, "/");
    }
    return false;
}

char *sftp_full_path(const struct sftp_store *store, const char *path, orbit_error *error)
{
    size_t root = store->root ? strlen(store->root) : 0, length = strlen(path);
    if (root + length + 2 > ORB_SFTP_TEXT_MAX) {
        orb_fail(error, ORBIT_E_PATH, 0, "a path of %zu bytes is longer than '%s' may take", length, store->peer);
        return NULL;
    }
    if (store->root && climbs_out(path)) {
        orb_fail(error, ORBIT_E_PATH, 0, "'%.200s' leads outside of the root '%.100s'", path, store->root);
        return NULL;
    }
    char *full = orb_malloc(root + length + 3);
    if (!full) {
        orb_fail_memory(error);
        return NULL;
    }
    size_t at = 0;
    if (root) {
        memcpy(full, store->root, root);
        at = root;
        if (length && full[at - 1] != '/')
            full[at++] = '/';
    }
    memcpy(full + at, path, length);
    at += length;
    if (at == 0)
        full[at++] = '.';
    full[at] = '\0';
    return full;
}

char *sftp_parent(const char *full)
{
    size_t length = strlen(full);
    while (length > 1 && full[length - 1] == '/')
        length--;
    while (length > 0 && full[length - 1] != '/')
        length--;
    while (length > 1 && full[length - 1] == '/')
        length--;
    return length == 0 || (length == 1 && full[1] == '\0') ? NULL : orb_strndup(full, length);
}

/* ---- attributes ------------------------------------------------------------------------------------ */

uint32_t sftp_kind(const struct orb_sftp_attributes *attributes)
{
    if (!(attributes->flags & ORB_SFTP_HAS_MODE))
        return ORBIT_KIND_UNKNOWN;
    switch (attributes->mode & S_IFMT) {
    case S_IFREG:
        return ORBIT_KIND_FILE;
    case S_IFDIR:
        return ORBIT_KIND_DIRECTORY;
    case S_IFLNK:
        return ORBIT_KIND_SYMLINK;
    case 0: /* permissions alone */
        return ORBIT_KIND_UNKNOWN;
    default:
        return ORBIT_KIND_OTHER;
    }
}

void sftp_describe(orbit_metadata *metadata, const struct orb_sftp_attributes *attributes)
{
    metadata->kind = sftp_kind(attributes);
    bool sized = metadata->kind != ORBIT_KIND_DIRECTORY && metadata->kind != ORBIT_KIND_OTHER;
    if ((attributes->flags & ORB_SFTP_HAS_SIZE) && sized) {
        metadata->fields |= ORBIT_HAS_SIZE;
        metadata->size = attributes->size;
    }
    if (attributes->flags & ORB_SFTP_HAS_TIMES) {
        metadata->fields |= ORBIT_HAS_MTIME | ORBIT_HAS_ATIME;
        metadata->mtime_ns = (int64_t)(attributes->mtime * ORB_S);
        metadata->atime_ns = (int64_t)(attributes->atime * ORB_S);
    }
    if (attributes->flags & ORB_SFTP_HAS_MODE) {
        metadata->fields |= ORBIT_HAS_MODE;
        metadata->mode = attributes->mode & 07777;
    }
    if (attributes->flags & ORB_SFTP_HAS_OWNER) {
        metadata->fields |= ORBIT_HAS_OWNER;
        metadata->uid = attributes->uid;
        metadata->gid = attributes->gid;
    }
}

static uint32_t seconds(int64_t ns)
{
    int64_t whole = ns < 0 ? 0 : ns / (int64_t)ORB_S;
    return whole > UINT32_MAX ? UINT32_MAX : (uint32_t)whole;
}

struct orb_sftp_attributes sftp_attributes(const orbit_metadata *metadata, uint32_t fields)
{
    struct orb_sftp_attributes attributes = {0};
    if (fields & ORBIT_HAS_MODE) {
        attributes.flags |= ORB_SFTP_HAS_MODE;
        attributes.mode = metadata->mode & 07777;
    }
    if (fields & ORBIT_HAS_OWNER) {
        attributes.flags |= ORB_SFTP_HAS_OWNER;
        attributes.uid = metadata->uid;
        attributes.gid = metadata->gid;
    }
    if (fields & (ORBIT_HAS_MTIME | ORBIT_HAS_ATIME)) { /* the protocol has both or none */
        int64_t now = orb_realtime_ns();
        attributes.flags |= ORB_SFTP_HAS_TIMES;
        attributes.mtime = seconds(fields & ORBIT_HAS_MTIME ? metadata->mtime_ns : now);
        attributes.atime = seconds(fields & ORBIT_HAS_ATIME ? metadata->atime_ns : now);
    }
    return attributes;
}
