/* SPDX-License-Identifier: Apache-2.0
 * Single questions: stat, attributes, symlinks, space. One round trip each, where nothing goes wrong. Loop thread. */
#include <string.h>

#include "backend/sftp/sftp.h"
#include "base/clock.h"
#include "base/mem.h"

/* A call with one or two requests on one path. */
struct simple {
    struct sftp_call call; /* first */
    struct orb_sftp_request first, second;
    char *full, *other;
    const void *request;
    void *reply;
    unsigned left;
    bool doubt, link; /* of a stat: LSTAT may have followed a symlink; it is one */
    orbit_status status;
    orbit_error error;
};

static void simple_release(struct sftp_call *call)
{
    struct simple *simple = (struct simple *)call;
    orb_sftp_forget(&simple->first);
    orb_sftp_forget(&simple->second);
    orb_sftp_request_release(&simple->first);
    orb_sftp_request_release(&simple->second);
    orb_free(simple->full);
    orb_free(simple->other);
}

static void simple_start(struct sftp_store *store, orbit_op *op, const char *verb, const char *path,
                         const void *request, void *reply, void (*go)(struct sftp_call *call))
{
    orbit_error error;
    struct simple *simple = sftp_call_new(store, op, sizeof(*simple), verb, path, simple_release);
    if (!simple)
        return;
    simple->request = request;
    simple->reply = reply;
    simple->full = sftp_full_path(store, path, &error);
    if (!simple->full)
        sftp_call_end(&simple->call, (orbit_status)error.status, &error);
    else
        sftp_call_start(&simple->call, go);
}

static void simple_status_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    if (sftp_fine(call, request, ORB_SFTP_STATUS))
        sftp_call_end(call, ORBIT_OK, NULL);
}

/* ---- stat ------------------------------------------------------------------------------------------ */

static void stat_end(struct simple *simple)
{
    orbit_metadata *metadata = simple->reply;
    if (simple->link && metadata->kind != ORBIT_KIND_SYMLINK) { /* what was told is of what it leads to */
        metadata->kind = ORBIT_KIND_SYMLINK;
        metadata->fields = 0;
    }
    sftp_call_end(&simple->call, ORBIT_OK, NULL);
}

static void stat_link_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct simple *simple = (struct simple *)call;
    orbit_metadata *metadata = simple->reply;
    struct orb_sftp_name name;
    if (sftp_lost(request)) {
        (void)sftp_fine(call, request, ORB_SFTP_NAME);
        return;
    }
    uint32_t count = request->type == ORB_SFTP_NAME ? orb_sftp_get_u32(&request->reply) : 0;
    simple->link = orb_sftp_get_name(&request->reply, &count, &name);
    if (simple->link)
        metadata->link_target = orbit_metadata_keep(metadata, name.name, name.length);
    if (--simple->left == 0)
        stat_end(simple);
}

static void stat_ask_link(struct simple *simple)
{
    simple->left++;
    orb_sftp_path(&simple->second, ORB_SFTP_READLINK, simple->full);
    sftp_call_ask(&simple->call, &simple->second, stat_link_done);
}

static void stat_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct simple *simple = (struct simple *)call;
    orbit_metadata *metadata = simple->reply;
    struct orb_sftp_attributes attributes;
    if (!sftp_fine(call, request, ORB_SFTP_ATTRS))
        return;
    orb_sftp_get_attributes(&request->reply, &attributes);
    sftp_describe(metadata, &attributes);
    if (metadata->kind == ORBIT_KIND_SYMLINK && !simple->doubt)
        stat_ask_link(simple);
    if (--simple->left == 0)
        stat_end(simple);
}

static void stat_go(struct sftp_call *call)
{
    struct simple *simple = (struct simple *)call;
    const orbit_stat_request *request = simple->request;
    simple->left = 1;
    simple->doubt = !request->follow_symlinks && !sftp_is_openssh(sftp_call_session(call));
    if (simple->doubt)
        stat_ask_link(simple);
    orb_sftp_path(&simple->first, request->follow_symlinks ? ORB_SFTP_STAT : ORB_SFTP_LSTAT, simple->full);
    sftp_call_ask(call, &simple->first, stat_done);
}

void sftp_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply)
{
    simple_start(self, op, "stat", request->path, request, reply, stat_go);
}

/* ---- attributes ------------------------------------------------------------------------------------ */

static void set_go(struct sftp_call *call)
{
    struct simple *simple = (struct simple *)call;
    call->changes = &simple->full;
    const orbit_set_metadata_request *request = simple->request;
    struct orb_sftp_attributes attributes = sftp_attributes(request->metadata, request->metadata->fields);
    orb_sftp_path_attributes(&simple->first, ORB_SFTP_SETSTAT, simple->full, &attributes);
    sftp_call_ask(call, &simple->first, simple_status_done);
}

/* One of the times alone: the other is asked for, because the protocol sets both. */
static void set_stat_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct simple *simple = (struct simple *)call;
    const orbit_set_metadata_request *set = simple->request;
    struct orb_sftp_attributes now, attributes = sftp_attributes(set->metadata, set->metadata->fields);
    if (!sftp_fine(call, request, ORB_SFTP_ATTRS))
        return;
    orb_sftp_get_attributes(&request->reply, &now);
    if ((now.flags & ORB_SFTP_HAS_TIMES) && !(set->metadata->fields & ORBIT_HAS_ATIME))
        attributes.atime = now.atime;
    if ((now.flags & ORB_SFTP_HAS_TIMES) && !(set->metadata->fields & ORBIT_HAS_MTIME))
        attributes.mtime = now.mtime;
    orb_sftp_path_attributes(&simple->second, ORB_SFTP_SETSTAT, simple->full, &attributes);
    sftp_call_ask(call, &simple->second, simple_status_done);
}

static void set_stat_go(struct sftp_call *call)
{
    struct simple *simple = (struct simple *)call;
    call->changes = &simple->full;
    orb_sftp_path(&simple->first, ORB_SFTP_STAT, simple->full);
    sftp_call_ask(call, &simple->first, set_stat_done);
}

void sftp_set_metadata(void *self, orbit_op *op, const orbit_set_metadata_request *request)
{
    uint32_t times = request->metadata->fields & (ORBIT_HAS_MTIME | ORBIT_HAS_ATIME);
    bool one = times == ORBIT_HAS_MTIME || times == ORBIT_HAS_ATIME;
    simple_start(self, op, "set the attributes of", request->path, request, NULL, one ? set_stat_go : set_go);
}

/* ---- symlinks -------------------------------------------------------------------------------------- */

static void symlink_look_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct simple *simple = (struct simple *)call;
    if (request->type == ORB_SFTP_ATTRS)
        sftp_end_with(call, ORBIT_E_EXISTS, 0, "it exists already");
    else if (sftp_lost(request))
        (void)sftp_fine(call, request, ORB_SFTP_ATTRS);
    else
        sftp_call_end(call, simple->status, &simple->error);
}

static void symlink_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct simple *simple = (struct simple *)call;
    simple->status = sftp_check(call, request, ORB_SFTP_STATUS, &simple->error);
    if (simple->status >= 0 || request->type == 0) {
        sftp_call_end(call, simple->status, &simple->error);
        return;
    }
    orb_sftp_path(&simple->second, ORB_SFTP_LSTAT, simple->full);
    sftp_call_ask(call, &simple->second, symlink_look_done);
}

/* OpenSSH takes the target first, unlike the draft, and the others have followed it. */
static void symlink_go(struct sftp_call *call)
{
    struct simple *simple = (struct simple *)call;
    call->changes = &simple->full;
    const orbit_link_request *request = simple->request;
    orb_sftp_paths(&simple->first, ORB_SFTP_SYMLINK, request->target, simple->full);
    sftp_call_ask(call, &simple->first, symlink_done);
}

void sftp_symlink(void *self, orbit_op *op, const orbit_link_request *request)
{
    simple_start(self, op, "link", request->path, request, NULL, symlink_go);
}

static void readlink_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    const orbit_bytes_request *bytes = ((struct simple *)call)->request;
    struct orb_sftp_name name;
    if (!sftp_fine(call, request, ORB_SFTP_NAME))
        return;
    uint32_t count = orb_sftp_get_u32(&request->reply);
    if (!orb_sftp_get_name(&request->reply, &count, &name)) {
        sftp_end_with(call, ORBIT_E_PROTOCOL, 0, "the server's answer holds no target");
        return;
    }
    *bytes->length = name.length;
    if (name.length > bytes->room) {
        sftp_end_with(call, ORBIT_E_LIMIT, 0, "the target is longer than there is room for");
        return;
    }
    memcpy(bytes->buffer, name.name, name.length);
    sftp_call_end(call, ORBIT_OK, NULL);
}

static void readlink_go(struct sftp_call *call)
{
    struct simple *simple = (struct simple *)call;
    orb_sftp_path(&simple->first, ORB_SFTP_READLINK, simple->full);
    sftp_call_ask(call, &simple->first, readlink_done);
}

void sftp_readlink(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    simple_start(self, op, "read the link", request->path, request, NULL, readlink_go);
}

/* ---- space ----------------------------------------------------------------------------------------- */

static void space_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    orbit_space_reply *reply = ((struct simple *)call)->reply;
    struct orb_sftp_space space;
    if (!sftp_fine(call, request, ORB_SFTP_EXTENDED_REPLY))
        return;
    if (!orb_sftp_get_space(&request->reply, &space)) {
        sftp_end_with(call, ORBIT_E_PROTOCOL, 0, "the server's answer ends early");
        return;
    }
    reply->free_bytes = space.free_bytes;
    reply->total_bytes = space.total_bytes;
    sftp_call_end(call, ORBIT_OK, NULL);
}

static void space_go(struct sftp_call *call)
{
    struct simple *simple = (struct simple *)call;
    if (!sftp_store_can(call->store, ORB_SFTP_CAN_STATVFS)) {
        sftp_end_with(call, ORBIT_E_UNSUPPORTED, 0, "the server does not tell (it has no statvfs@openssh.com)");
        return;
    }
    orb_sftp_extended_path(&simple->first, ORB_SFTP_CAN_STATVFS, simple->full);
    sftp_call_ask(call, &simple->first, space_done);
}

void sftp_space(void *self, orbit_op *op, const char *path, orbit_space_reply *reply)
{
    simple_start(self, op, "tell the space of", path, NULL, reply, space_go);
}
