/* SPDX-License-Identifier: Apache-2.0
 * A file under its temporary name, up to its RENAME (sftp_publish.c). What can be asked for together is: the temporary is
 * made while what stands at the name is looked at; attributes, fsync, FSTAT and CLOSE follow the last WRITE at once. Only
 * the rename waits for all of them, because a server does it whether or not they went well. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "backend/sftp/sftp_write.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/temporary.h"

#define LARGE ((uint64_t)64 << 20) /* bytes for which the room is looked at before */

enum { OPEN, LOOK, LINK, SPACE, STALE = SPACE, OWNER, FLUSH, ATTRIBUTES, STAT }; /* requests of a writing */

/* ---- targets --------------------------------------------------------------------------------------------------------- */

orbit_status sftp_target_init(struct sftp_target *target, struct sftp_store *store, const char *path,
                              const orbit_write_options *options, const orbit_metadata *preserve, orbit_error *error)
{
    size_t length = strlen(path);
    *target = (struct sftp_target){.store = store};
    if (options->if_match)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "cannot write '%.200s': files have no ETags to match", path);
    if (length > 0 && path[length - 1] == '/') {
        orb_fail(error, ORBIT_E_PATH, 0, "cannot write '%.200s': the path ends in '/', which names a directory", path);
        if (error)
            error->flags |= ORBIT_ERROR_IS_DIRECTORY;
        return ORBIT_E_PATH;
    }
    target->full = sftp_full_path(store, path, error);
    if (!target->full)
        return (orbit_status)error->status;
    target->create_parents = options->create_parents;
    target->overwrite = options->overwrite;
    target->sync = options->sync >= ORBIT_SYNC_FILE;
    enum { FIELDS = ORBIT_HAS_MODE | ORBIT_HAS_MTIME | ORBIT_HAS_ATIME | ORBIT_HAS_OWNER };
    uint32_t said = options->set & FIELDS, carried = preserve ? preserve->fields & FIELDS & ~said : 0;
    target->wanted =
        (orbit_metadata){.fields = said | carried,
                         .mode = said & ORBIT_HAS_MODE || !preserve ? options->mode : preserve->mode,
                         .uid = said & ORBIT_HAS_OWNER || !preserve ? options->uid : preserve->uid,
                         .gid = said & ORBIT_HAS_OWNER || !preserve ? options->gid : preserve->gid,
                         .mtime_ns = said & ORBIT_HAS_MTIME || !preserve ? options->mtime_ns : preserve->mtime_ns,
                         .atime_ns = said & ORBIT_HAS_ATIME || !preserve ? options->atime_ns : preserve->atime_ns};
    target->carried = carried;
    return ORBIT_OK;
}

void sftp_target_release(struct sftp_target *target)
{
    orb_free(target->full);
    orb_free(target->temporary);
    orb_extents_release(&target->news);
    orb_free(target->claims);
    target->full = target->temporary = NULL;
    target->claims = NULL;
}

static unsigned index_of(const struct sftp_call *call)
{
    return (unsigned)(call->channel - call->store->channels);
}

struct orb_sftp_handle *sftp_target_handle(struct sftp_target *target, const struct sftp_call *call)
{
    unsigned i = index_of(call);
    bool good = target->open[i].handle.length && target->open[i].generation == call->generation;
    return good ? &target->open[i].handle : NULL;
}

void sftp_target_keep_handle(struct sftp_target *target, const struct sftp_call *call,
                             const struct orb_sftp_handle *handle)
{
    if (sftp_target_handle(target, call)) { /* another call was quicker */
        orb_sftp_close_handle(sftp_call_session(call), handle);
        return;
    }
    target->open[index_of(call)].handle = *handle;
    target->open[index_of(call)].generation = call->generation;
}

/* The sessions on which it is open, one after the other, from *i on; NULL after the last. */
static struct orb_sftp *next_open(struct sftp_target *target, unsigned *i)
{
    for (; *i < SFTP_CHANNELS_MAX; (*i)++) {
        const struct sftp_channel *channel = &target->store->channels[*i];
        if (target->open[*i].handle.length && channel->session && target->open[*i].generation == channel->generation)
            return channel->session;
    }
    return NULL;
}

void sftp_target_close(struct sftp_target *target)
{
    struct orb_sftp *open;
    for (unsigned i = 0; (open = next_open(target, &i)); i++) {
        orb_sftp_close_handle(open, &target->open[i].handle);
        target->open[i].handle.length = 0;
    }
}

void sftp_target_drop(struct sftp_target *target, struct orb_sftp *session)
{
    sftp_target_close(target);
    if (session && target->temporary && !target->published)
        orb_sftp_remove_path(session, target->temporary);
    orb_free(target->temporary);
    target->temporary = NULL;
}

uint32_t sftp_temporary_mark(const char *name)
{
    return (uint32_t)orb_crc64nvme(0, name, strlen(name));
}

/* In the same directory, where a rename can reach it; never listed. Two writes of a file have two of them, for no server says
 * whether the other one is under way still. */
static char *name_temporary(const char *full)
{
    const char *name = orb_path_base(full);
    size_t kept = (size_t)(name - full);
    unsigned long long number = (unsigned long long)sftp_temporary_mark(name) << 32 | (orb_random_u64() & UINT32_MAX);
    size_t room = kept + ORB_TEMPORARY_LENGTH + 1;
    char *temporary = orb_malloc(room);
    if (temporary)
        (void)snprintf(temporary, room, "%.*s" ORB_TEMPORARY_FORMAT, (int)kept, full, number);
    return temporary;
}

/* ---- what all steps share -------------------------------------------------------------------------------------------- */

void sftp_writing_release(struct sftp_writing *writing)
{
    for (size_t i = 0; i < sizeof(writing->requests) / sizeof(writing->requests[0]); i++) {
        orb_sftp_forget(&writing->requests[i]);
        orb_sftp_request_release(&writing->requests[i]);
    }
    for (size_t i = 0; i < SFTP_CHANNELS_MAX; i++) {
        orb_sftp_forget(&writing->closing[i]);
        orb_sftp_request_release(&writing->closing[i]);
    }
    sftp_maker_release(&writing->maker);
}

void sftp_writing_begin(struct sftp_writing *writing,
                        void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    writing->then = then;
    writing->status = ORBIT_OK;
    writing->left = 0;
}

void sftp_writing_end(struct sftp_writing *writing)
{
    writing->then(writing->call, writing->status, writing->status < 0 ? &writing->error : NULL);
}

void sftp_writing_fail(struct sftp_writing *writing, orbit_status status, uint32_t flags, const char *why)
{
    writing->status = sftp_fail(writing->call, status, flags, why, &writing->error);
}

void sftp_writing_ask(struct sftp_writing *writing, struct orb_sftp_request *request,
                      void (*done)(struct orb_sftp_request *request))
{
    struct orb_sftp *session = sftp_call_session(writing->call);
    writing->left++;
    request->ctx = writing;
    request->done = done;
    orb_sftp_start(session, request);
}

bool sftp_writing_lost(struct sftp_writing *writing)
{
    if (sftp_call_session(writing->call))
        return false;
    sftp_writing_fail(writing, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, "the connection was lost");
    sftp_writing_end(writing);
    return true;
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

static void open_again(struct sftp_writing *writing);

static void parents_made(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct sftp_writing *writing = &((struct sftp_write_call *)call)->writing;
    if (status >= 0) {
        open_again(writing);
        return;
    }
    writing->status = status;
    writing->error = *error;
    sftp_writing_end(writing);
}

static void real_path_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct sftp_target *target = writing->target;
    struct orb_sftp_name name;
    writing->left--;
    uint32_t count = request->type == ORB_SFTP_NAME ? orb_sftp_get_u32(&request->reply) : 0;
    if (orb_sftp_get_name(&request->reply, &count, &name)) {
        char *full = orb_strndup(name.name, name.length);
        if (full) {
            orb_free(target->full);
            target->full = full;
        }
    }
    open_again(writing);
}

static void fail_for_room(struct sftp_writing *writing)
{
    char why[160];
    (void)snprintf(why, sizeof(why), "it has %llu MiB, and there are %llu MiB free: make room there",
                   (unsigned long long)(writing->need >> 20), (unsigned long long)(writing->room >> 20));
    sftp_writing_fail(writing, ORBIT_E_NO_SPACE, 0, why);
}

static void follow(struct sftp_writing *writing)
{
    struct sftp_target *target = writing->target;
    writing->followed = true; /* what it leads to is replaced, not the link */
    target->elsewhere = true;
    orb_sftp_path(&writing->requests[LOOK], ORB_SFTP_REALPATH, target->full);
    sftp_writing_ask(writing, &writing->requests[LOOK], real_path_done);
}

/* All have been answered. */
static void judge(struct sftp_writing *writing, bool stands)
{
    struct sftp_target *target = writing->target;
    uint32_t kind = !stands ? 0 : writing->link ? ORBIT_KIND_SYMLINK : sftp_kind(&target->old);
    if (stands && kind == ORBIT_KIND_DIRECTORY) {
        sftp_writing_fail(writing, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY, "a directory stands at the name");
    } else if (stands && !target->overwrite) {
        sftp_writing_fail(writing, ORBIT_E_EXISTS, 0, "the name is taken");
    } else if (stands && kind == ORBIT_KIND_OTHER) {
        sftp_writing_fail(writing, ORBIT_E_PATH, 0, "what stands at the name is no regular file");
    } else if (stands && kind == ORBIT_KIND_SYMLINK && !writing->followed && writing->status >= 0) {
        sftp_target_drop(target, sftp_call_session(writing->call));
        follow(writing);
        return;
    } else if ((writing->status == ORBIT_E_NOT_FOUND || writing->status == ORBIT_E_IO) && !stands &&
               target->create_parents && !writing->made_parents) {
        char *parent = sftp_parent(target->full);
        if (parent) {
            writing->made_parents = true;
            sftp_make_directories(writing->call, &writing->maker, parent, parents_made);
            orb_free(parent);
            return;
        }
    } else if (stands && kind == ORBIT_KIND_FILE) {
        target->replaces = true;
    }
    if (writing->status >= 0 && writing->room < writing->need)
        fail_for_room(writing);
    sftp_writing_end(writing);
}

/* What stands at the name is told by the end; what may not be used is out of the way. */
static void judge_resumed(struct sftp_writing *writing)
{
    struct sftp_target *target = writing->target;
    uint32_t kind = !writing->looking ? 0 : writing->link ? ORBIT_KIND_SYMLINK : sftp_kind(&target->old);
    uint32_t stale = sftp_kind(&writing->stale);
    bool lost = writing->status == ORBIT_E_NETWORK || writing->status == ORBIT_E_TIMEOUT;
    if (writing->status >= 0 && stale == ORBIT_KIND_FILE && (writing->stale.flags & ORB_SFTP_HAS_SIZE)) {
        if (kind == ORBIT_KIND_SYMLINK && !writing->followed) {
            follow(writing);
            return;
        }
        target->replaces = kind == ORBIT_KIND_FILE;
    } else if (!lost && sftp_call_session(writing->call)) {
        if (stale == ORBIT_KIND_FILE)
            orb_sftp_remove_path(sftp_call_session(writing->call), target->temporary);
        sftp_writing_fail(writing, ORBIT_E_NOT_FOUND, 0, "its temporary file is not there any more");
    }
    sftp_writing_end(writing);
}

static void open_answered(struct sftp_writing *writing)
{
    if (--writing->left > 0)
        return;
    if (writing->target->resumed)
        judge_resumed(writing);
    else
        judge(writing, writing->looking);
}

static void open_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_handle handle;
    orbit_status status = sftp_check(writing->call, request, ORB_SFTP_HANDLE, &writing->error);
    if (status >= 0) {
        orb_sftp_get_handle(&request->reply, &handle);
        sftp_target_keep_handle(writing->target, writing->call, &handle);
    } else {
        writing->status = status;
        if (!writing->target->resumed) {
            orb_free(writing->target->temporary);
            writing->target->temporary = NULL;
        }
    }
    open_answered(writing);
}

static void look_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->looking = request->type == ORB_SFTP_ATTRS;
    if (writing->looking)
        orb_sftp_get_attributes(&request->reply, &writing->target->old);
    open_answered(writing);
}

/* Where LSTAT may have told of what a symlink leads to. */
static void link_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->link = request->type == ORB_SFTP_NAME;
    open_answered(writing);
}

/* What is kept for root counts, since that may be who writes. */
static void space_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_space space;
    if (request->type == ORB_SFTP_EXTENDED_REPLY && orb_sftp_get_space(&request->reply, &space) && space.total_bytes)
        writing->room = space.spare_bytes;
    open_answered(writing);
}

/* A symlink, a FIFO, or whatever somebody else may have put there, is not ours to write to. */
static void stale_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->stale = (struct orb_sftp_attributes){0};
    if (request->type == ORB_SFTP_ATTRS)
        orb_sftp_get_attributes(&request->reply, &writing->stale);
    open_answered(writing);
}

static void open_again(struct sftp_writing *writing)
{
    struct sftp_target *target = writing->target;
    writing->status = ORBIT_OK;
    writing->room = UINT64_MAX;
    writing->looking = writing->link = false;
    if (sftp_writing_lost(writing))
        return;
    const struct orb_sftp *session = sftp_call_session(writing->call);
    bool doubt = !sftp_is_openssh(session);
    bool space = !target->resumed && writing->need >= LARGE && orb_sftp_can(session, ORB_SFTP_CAN_STATVFS);
    if (!target->resumed)
        target->temporary = name_temporary(target->full);
    if (!target->temporary) {
        writing->status = orb_fail_memory(&writing->error);
        sftp_writing_end(writing);
        return;
    }
    orb_sftp_open(&writing->requests[OPEN], target->temporary,
                  target->resumed ? ORB_SFTP_OPEN_READ | ORB_SFTP_OPEN_WRITE
                                  : ORB_SFTP_OPEN_WRITE | ORB_SFTP_OPEN_CREATE | ORB_SFTP_OPEN_EXCLUSIVE,
                  NULL);
    orb_sftp_path(&writing->requests[LOOK], ORB_SFTP_LSTAT, target->full);
    sftp_writing_ask(writing, &writing->requests[OPEN], open_done);
    sftp_writing_ask(writing, &writing->requests[LOOK], look_done);
    if (doubt) {
        orb_sftp_path(&writing->requests[LINK], ORB_SFTP_READLINK, target->full);
        sftp_writing_ask(writing, &writing->requests[LINK], link_done);
    }
    if (space) {
        sftp_ask_space(&writing->requests[SPACE], target->full);
        sftp_writing_ask(writing, &writing->requests[SPACE], space_done);
    }
    if (target->resumed) {
        orb_sftp_path(&writing->requests[STALE], ORB_SFTP_LSTAT, target->temporary);
        sftp_writing_ask(writing, &writing->requests[STALE], stale_done);
    }
}

void sftp_writing_open(struct sftp_writing *writing,
                       void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    sftp_writing_begin(writing, then);
    open_again(writing);
}

void sftp_writing_take_up(struct sftp_writing *writing,
                          void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    sftp_writing_begin(writing, then);
    writing->followed = false;
    open_again(writing);
}

static void reopened(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_handle handle;
    writing->left--;
    writing->status = sftp_check(writing->call, request, ORB_SFTP_HANDLE, &writing->error);
    if (writing->status >= 0) {
        orb_sftp_get_handle(&request->reply, &handle);
        sftp_target_keep_handle(writing->target, writing->call, &handle);
    } else if (writing->status == ORBIT_E_NOT_FOUND) {
        sftp_writing_fail(writing, ORBIT_E_CHANGED, 0, "somebody removed its temporary file");
    }
    sftp_writing_end(writing);
}

void sftp_writing_reopen(struct sftp_writing *writing,
                         void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    sftp_writing_begin(writing, then);
    if (sftp_writing_lost(writing))
        return;
    if (sftp_target_handle(writing->target, writing->call)) {
        sftp_writing_end(writing);
        return;
    }
    orb_sftp_open(&writing->requests[OPEN], writing->target->temporary, ORB_SFTP_OPEN_WRITE, NULL);
    sftp_writing_ask(writing, &writing->requests[OPEN], reopened);
}

/* ---- settling -------------------------------------------------------------------------------------------------------- */

static void settled(struct sftp_writing *writing)
{
    if (--writing->left == 0)
        sftp_writing_end(writing);
}

static void settle_check(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    orbit_error error;
    orbit_status status = sftp_check(writing->call, request, ORB_SFTP_STATUS, &error);
    if (status < 0 && writing->status >= 0) {
        writing->status = status;
        writing->error = error;
    }
    settled(writing);
}

/* The last of the bytes. */
static void settle_stored(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->call->refused = writing->call->refused || sftp_is_status(request, ORB_SFTP_STATUS_FAILURE);
    settle_check(request);
}

/* Carried over where that can be. */
static void settle_try(struct orb_sftp_request *request)
{
    if (sftp_lost(request))
        settle_check(request);
    else
        settled(sftp_writing_of(request));
}

static void settle_stat(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_attributes attributes;
    orbit_error error;
    orbit_status status = sftp_check(writing->call, request, ORB_SFTP_ATTRS, &error);
    if (status >= 0) {
        orb_sftp_get_attributes(&request->reply, &attributes);
        writing->target->result = (orbit_metadata)ORBIT_METADATA_INIT;
        sftp_describe(&writing->target->result, &attributes);
        if ((attributes.flags & ORB_SFTP_HAS_SIZE) && attributes.size != writing->size)
            status = sftp_fail(writing->call, ORBIT_E_CHANGED, 0,
                               "its temporary file has another size than was written", &error);
    }
    if (status < 0 && writing->status >= 0) {
        writing->status = status;
        writing->error = error;
    }
    settled(writing);
}

static void settle_attributes(struct sftp_writing *writing, const struct orb_sftp_handle *handle)
{
    struct sftp_target *target = writing->target;
    uint32_t fields = target->wanted.fields, firm = fields & ~target->carried;
    struct orb_sftp_attributes owner = sftp_attributes(&target->wanted, fields & ORBIT_HAS_OWNER);
    struct orb_sftp_attributes rest = sftp_attributes(&target->wanted, fields & ~(uint32_t)ORBIT_HAS_OWNER);
    uint32_t old = target->replaces ? target->old.flags : 0;
    if (!owner.flags && (old & ORB_SFTP_HAS_OWNER)) {
        owner.flags = ORB_SFTP_HAS_OWNER;
        owner.uid = target->old.uid;
        owner.gid = target->old.gid;
    }
    if (!(rest.flags & ORB_SFTP_HAS_MODE) && (old & ORB_SFTP_HAS_MODE)) {
        rest.flags |= ORB_SFTP_HAS_MODE;
        rest.mode = target->old.mode & 07777;
    }
    if (owner.flags) { /* first: it may take bits of the mode away */
        orb_sftp_fsetstat(&writing->requests[OWNER], handle, &owner);
        sftp_writing_ask(writing, &writing->requests[OWNER], firm & ORBIT_HAS_OWNER ? settle_check : settle_try);
    }
    if (rest.flags) {
        orb_sftp_fsetstat(&writing->requests[ATTRIBUTES], handle, &rest);
        sftp_writing_ask(writing, &writing->requests[ATTRIBUTES],
                         firm & ~(uint32_t)ORBIT_HAS_OWNER ? settle_check : settle_try);
    }
}

void sftp_writing_settle(struct sftp_writing *writing,
                         void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    struct sftp_target *target = writing->target;
    struct sftp_call *call = writing->call;
    sftp_writing_begin(writing, then);
    if (sftp_writing_lost(writing))
        return;
    struct orb_sftp_handle *handle = sftp_target_handle(target, call);
    struct orb_sftp *session = sftp_call_session(call), *open;
    writing->left = 1; /* until all are asked */
    settle_attributes(writing, handle);
    if (target->sync && orb_sftp_can(session, ORB_SFTP_CAN_FSYNC)) {
        orb_sftp_extended_handle(&writing->requests[FLUSH], ORB_SFTP_CAN_FSYNC, handle);
        writing->requests[FLUSH].patient = true;
        sftp_writing_ask(writing, &writing->requests[FLUSH], settle_stored);
    }
    orb_sftp_on_handle(&writing->requests[STAT], ORB_SFTP_FSTAT, handle);
    sftp_writing_ask(writing, &writing->requests[STAT], settle_stat);
    for (unsigned i = 0; (open = next_open(target, &i)); i++) { /* a full disk or a quota may be told here */
        orb_sftp_on_handle(&writing->closing[i], ORB_SFTP_CLOSE, &target->open[i].handle);
        writing->closing[i].done = settle_stored;
        writing->closing[i].ctx = writing;
        writing->left++;
        orb_sftp_start(open, &writing->closing[i]);
        target->open[i].handle.length = 0;
    }
    settled(writing);
}

/* ---- giving up ------------------------------------------------------------------------------------------------------- */

static void discarded(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    sftp_call_end(writing->call, writing->status, writing->status < 0 ? &writing->error : NULL);
}

static void explained(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    sftp_writing_discard(&((struct sftp_write_call *)call)->writing, status, error);
}

void sftp_writing_discard(struct sftp_writing *writing, orbit_status status, const orbit_error *error)
{
    if (sftp_why(writing->call, status, error, explained)) /* while the temporary still takes its room */
        return;
    struct sftp_target *target = writing->target;
    struct orb_sftp *session = sftp_call_session(writing->call);
    char *temporary = target->published ? NULL : target->temporary;
    if (temporary == target->temporary)
        target->temporary = NULL;
    sftp_target_drop(target, NULL);
    writing->status = status;
    if (error)
        writing->error = *error;
    if (!session || !temporary) {
        orb_free(temporary);
        sftp_call_end(writing->call, status, error ? &writing->error : NULL);
        return;
    }
    for (size_t i = 0; i < sizeof(writing->requests) / sizeof(writing->requests[0]); i++)
        orb_sftp_forget(&writing->requests[i]);
    orb_sftp_path(&writing->requests[OPEN], ORB_SFTP_REMOVE, temporary);
    sftp_writing_ask(writing, &writing->requests[OPEN], discarded);
    orb_free(temporary);
}
