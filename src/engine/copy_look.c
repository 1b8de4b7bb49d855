/* SPDX-License-Identifier: Apache-2.0
 * What a copy knows of its source: a look before, where that is free or needed; who it is; and a second look at the end
 * where only size and time tell versions apart. Loop thread only. */
#include "base/least.h"
#include "engine/copy.h"

#define SMALL        ((uint64_t)64 << 10)
#define PRESUME_FROM ((uint64_t)32 << 20) /* several ranges, which need not wait for the first */

/* ---- what the source is ------------------------------------------------------------------------------ */

static orbit_status fail_changed(const struct orb_copy *copy, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' changed while it was being read", copy->from_path);
}

/* The first reply about a source that was presumed. One that could be compared with a checksum begins again, too: the
 * ranges so far compute none. */
static orbit_status confirm(struct orb_copy *copy, const orbit_metadata *metadata, orbit_error *error)
{
    const orbit_metadata *hint = &copy->hint;
    bool compared = copy->verify && (metadata->etag || metadata->checksum.algorithm);
    if ((metadata->fields & hint->fields) != hint->fields || metadata->size != hint->size ||
        metadata->mtime_ns != hint->mtime_ns || compared)
        return fail_changed(copy, error);
    if (orbit_metadata_copy(&copy->source, metadata) < 0)
        return orb_fail_memory(error);
    copy->presuming = false;
    orb_copy_ramp_answered(copy, copy->from);
    return ORBIT_OK;
}

orbit_status orb_copy_identify(struct orb_copy *copy, const orbit_metadata *metadata, orbit_error *error)
{
    if (copy->presuming)
        return confirm(copy, metadata, error);
    if (!copy->have_source) {
        if (orbit_metadata_copy(&copy->source, metadata) < 0)
            return orb_fail_memory(error);
        copy->have_source = true;
        return ORBIT_OK;
    }
    if ((metadata->fields & copy->source.fields & ORBIT_HAS_SIZE) && metadata->size != copy->source.size)
        return fail_changed(copy, error);
    return ORBIT_OK;
}

uint64_t orb_copy_length_hint(const struct orb_copy *copy)
{
    return (copy->hint.fields & ORBIT_HAS_SIZE) && copy->hint.size ? copy->hint.size : ORBIT_SIZE_UNKNOWN;
}

/* The target must not need to know more of the source to begin. */
bool orb_copy_may_presume(const struct orb_copy *copy)
{
    const orbit_metadata *hint = &copy->hint;
    bool whole = hint->kind == ORBIT_KIND_FILE && hint->fields == (ORBIT_HAS_SIZE | ORBIT_HAS_MTIME);
    return whole && hint->size >= PRESUME_FROM && copy->from->ops->way_ns && copy->to->caps.random_access &&
           !copy->preserve && !copy->version_id && !copy->if_match;
}

/* Its first reply would be two ways there and back, during which one of its ranges comes. Each range is asked for as of
 * that version. */
bool orb_copy_presume(struct orb_copy *copy)
{
    if (!orb_copy_may_presume(copy) || !orb_copy_ramp_is_far(copy->from))
        return false;
    copy->source = copy->hint; /* it owns nothing */
    copy->have_source = copy->presuming = true;
    orb_copy_ramp_answered(copy, copy->from);
    orb_log(&copy->from->host->log, ORBIT_LOG_DEBUG, "'%s' is taken for what was said of it", copy->from_path);
    return true;
}

uint64_t orb_copy_bytes(const struct orb_copy *copy)
{
    if (!(copy->source.fields & ORBIT_HAS_SIZE))
        return ORBIT_SIZE_UNKNOWN;
    uint64_t rest = copy->source.size > copy->offset ? copy->source.size - copy->offset : 0;
    return orb_smaller(rest, copy->length);
}

/* A part, or for what is said to be small enough for one reply of few packets no more than that: what is asked for is
 * what room is made for. */
uint64_t orb_copy_first_wish(const struct orb_copy *copy)
{
    uint64_t wish = orb_copy_length_hint(copy) <= SMALL ? SMALL : copy->plan.base;
    return orb_smaller(orb_smaller(wish, copy->plan.base), copy->length);
}

/* Where nothing but size and time says which version is read, they are looked at once more at the end. */
bool orb_copy_checks_again(const struct orb_copy *copy)
{
    return copy->from->caps.random_access && copy->from->ops->stat && copy->have_source && !copy->source.etag &&
           copy->total > 0;
}

/* ---- look first -------------------------------------------------------------------------------------- */

static void start_stat(struct orb_call *call)
{
    struct orb_copy *copy = call->ctx;
    orbit_metadata_release(&copy->looked);
    copy->stat_request = (orbit_stat_request){.path = copy->from_path,
                                              .version_id = copy->version_id,
                                              .follow_symlinks = true,
                                              .object_only = true,
                                              .whole_checksum = copy->verify_full,
                                              .sse_customer_key = copy->source_key};
    orb_call_names(call, ORBIT_REQUEST_STAT, copy->from_path);
    copy->from->ops->stat(copy->from->self, &call->op.op, &copy->stat_request, &copy->looked);
}

/* The source is known: let the store do it, or begin. */
void orb_copy_looked(struct orb_copy *copy)
{
    copy->total = orb_copy_bytes(copy);
    if (copy->source.kind == ORBIT_KIND_DIRECTORY) {
        orbit_error error;
        orb_fail(&error, ORBIT_E_PATH, 0, "cannot copy '%s': it is a directory", copy->from_path);
        error.flags |= ORBIT_ERROR_IS_DIRECTORY;
        orb_copy_fail(copy, ORBIT_E_PATH, &error);
    } else if (!orb_copy_by_store(copy)) {
        orb_copy_through_here(copy);
    }
}

static void start_looking(struct orb_copy *copy,
                          void (*done)(struct orb_call *call, orbit_status status, const orbit_error *error))
{
    copy->call.eager = true;
    orb_call_start(&copy->call, copy->from, start_stat, done, copy);
}

static void stat_done(struct orb_call *call, orbit_status status, const orbit_error *given)
{
    struct orb_copy *copy = call->ctx;
    orbit_error error;
    if (copy->stopping) {
        orb_copy_settle(copy);
        return;
    }
    if (status < 0)
        error = *given;
    else
        status = orb_copy_identify(copy, &copy->looked, &error);
    orbit_metadata_release(&copy->looked);
    if (status < 0)
        orb_copy_fail(copy, status, &error);
    else
        orb_copy_looked(copy);
}

void orb_copy_look(struct orb_copy *copy)
{
    start_looking(copy, stat_done);
}

static void check_done(struct orb_call *call, orbit_status status, const orbit_error *given)
{
    struct orb_copy *copy = call->ctx;
    const orbit_metadata *now = &copy->looked, *then = &copy->source;
    orbit_error error;
    (void)given;
    uint32_t both = now->fields & then->fields;
    bool same_file = !(both & ORBIT_HAS_INODE) || now->inode == then->inode;
    bool changed = status >= 0 && same_file &&
                   (((both & ORBIT_HAS_SIZE) && now->size != then->size) ||
                    ((both & ORBIT_HAS_MTIME) && now->mtime_ns != then->mtime_ns));
    orbit_metadata_release(&copy->looked);
    copy->checking = false;
    bool again = copy->check_void;
    copy->check_void = false;
    if (copy->stopping || copy->well) {
        orb_copy_settle(copy);
    } else if (again) {
        if (copy->ranges[0]->source_over)
            orb_copy_check_again(copy);
    } else if (changed) { /* gone or replaced is fine: every range was of the file it had been */
        fail_changed(copy, &error);
        orb_copy_fail(copy, ORBIT_E_CHANGED, &error);
    } else {
        orb_copy_checked(copy);
    }
}

void orb_copy_check_again(struct orb_copy *copy)
{
    copy->checking = true;
    start_looking(copy, check_done);
}

/* ---- the checksum of the whole, while its ranges come -------------------------------------------------- */

static void asked(struct orb_call *call, orbit_status status, const orbit_error *given)
{
    struct orb_copy *copy = call->ctx;
    orbit_metadata *now = &copy->looked;
    (void)given; /* who keeps no checksum, or does not tell, is copied without */
    copy->asking = false;
    bool same = status >= 0 && now->etag && copy->source.etag && strcmp(now->etag, copy->source.etag) == 0;
    if (same) {
        copy->stored = now->checksum;
        orb_copy_expect(copy, copy->total);
    }
    orbit_metadata_release(now);
    if (copy->stopping)
        orb_copy_settle(copy);
    else
        orb_copy_pump(copy);
}

void orb_copy_ask_checksum(struct orb_copy *copy)
{
    if (!copy->from->ops->stat || copy->from->caps.random_access || !copy->source.etag ||
        copy->source.checksum.algorithm || !orb_call_idle(&copy->call))
        return;
    copy->asking = true;
    start_looking(copy, asked);
}
