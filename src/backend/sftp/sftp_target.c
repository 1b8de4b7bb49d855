/* SPDX-License-Identifier: Apache-2.0
 * A file under its temporary name, from when that is there (sftp_open.c) up to its RENAME (sftp_publish.c):
 * attributes, fsync, FSTAT and CLOSE follow the last WRITE at once. Only the rename waits for all of them, because a
 * server does it whether or not they went well. Loop thread. */
#include <string.h>

#include "backend/sftp/sftp_write.h"
#include "base/mem.h"

enum { OWNER, FLUSH, ATTRIBUTES, STAT, REMOVE }; /* requests of a writing: nothing else is under way then */

/* ---- targets --------------------------------------------------------------------------------------- */

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

/* ---- what all steps share -------------------------------------------------------------------------- */

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

/* ---- settling -------------------------------------------------------------------------------------- */

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

/* ---- giving up ------------------------------------------------------------------------------------- */

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
    orb_sftp_path(&writing->requests[REMOVE], ORB_SFTP_REMOVE, temporary);
    sftp_writing_ask(writing, &writing->requests[REMOVE], discarded);
    orb_free(temporary);
}
