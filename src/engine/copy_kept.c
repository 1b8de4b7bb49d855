/* SPDX-License-Identifier: Apache-2.0
 * Going on with a copy that did not come to its end. The target keeps the record (keeps_extents): what it has is not
 * asked for again, also inside a range; here is decided which copies are worth that, what tells their content apart,
 * and what is still missing. A prefix is the part of an older file that has no record, say of another program: it is
 * taken over only where a checksum of the whole will say whether it was right; if not, the copy begins again without.
 * Loop thread only. */
#include <inttypes.h>

#include "base/mem.h"
#include "base/pack.h"
#include "engine/copy.h"

#define RESUME_FROM  ((uint64_t)16 << 20) /* less is fetched again sooner than it is remembered */
#define IDENTITY_MAX ((size_t)8 << 10)

/* A version that can be told from any other: its id or ETag, else size and time. Both ends on disks copy faster than
 * they remember. */
static bool worth_it(const struct orb_copy *copy)
{
    const orbit_metadata *source = &copy->source;
    bool named = source->version_id || source->etag || (source->fields & ORBIT_HAS_MTIME);
    return copy->keeps && copy->to->caps.keeps_extents && copy->to->ops->suspend && copy->from->ops != copy->to->ops &&
           copy->have_source && named && copy->offset == 0 && copy->total == source->size &&
           (source->fields & ORBIT_HAS_SIZE) && copy->total >= RESUME_FROM;
}

/* Where there is something, the source is looked at first: a range that is asked for without knowing which bytes are
 * missing brings what is there already. */
void orb_copy_kept_look(struct orb_copy *copy)
{
    const struct orb_backend *to = copy->to;
    bool may_keep = copy->keeps && to->caps.keeps_extents && copy->from->ops != to->ops && copy->from->ops->stat;
    if (!may_keep)
        copy->prefix = 0;
    if (copy->prefix)
        copy->look_first = true;
    else if (may_keep ? orb_copy_length_hint(copy) >= RESUME_FROM : orb_copy_may_presume(copy))
        copy->look_first = to->ops->kept && to->ops->kept(to->self, copy->to_path);
    copy->look_first |= orb_copy_resume_looks(copy);
}

void orb_copy_kept_plan(struct orb_copy *copy)
{
    if (copy->prefix && !worth_it(copy))
        copy->prefix = 0;
}

void orb_copy_kept_prepare(struct orb_copy *copy)
{
    const orbit_metadata *source = &copy->source;
    if (!worth_it(copy))
        return;
    struct orb_buf buf;
    orb_buf_init(&buf, IDENTITY_MAX);
    orb_pack_text(&buf, copy->from->url);
    orb_pack_text(&buf, copy->from_path);
    orb_pack_text(&buf, source->version_id);
    orb_pack_text(&buf, source->etag);
    bool by_time = !source->etag && !source->version_id;
    orb_pack_u64(&buf, by_time ? (uint64_t)source->mtime_ns : 0);
    size_t length = buf.length;
    orb_free(copy->identity);
    copy->identity = orb_buf_take(&buf);
    if (!copy->identity) /* a name too long, or no memory: without */
        return;
    copy->keep = (orbit_keep_request){.identity = copy->identity,
                                      .identity_length = length,
                                      .size = copy->total,
                                      .prefix_bytes = copy->expected.algorithm ? copy->prefix : 0};
    copy->upload.extents = &copy->keep;
    copy->holding = true;
}

/* The range that is under way, if any, was asked for before anything was known. */
static struct orb_relay *range_under_way(struct orb_copy *copy)
{
    for (uint32_t i = 0; i < copy->ranges_made; i++)
        if (copy->ranges[i]->busy)
            return copy->ranges[i];
    return NULL;
}

/* What was asked for and what came of it. Without a prefix the copy is compared as any other. */
static void prefix_opened(struct orb_copy *copy, uint64_t taken)
{
    bool unchecked = !copy->keep.prefix_bytes && copy->upload.stood > 0;
    copy->started_over |= unchecked;
    if (unchecked)
        orb_log(&copy->to->host->log, ORBIT_LOG_WARN,
                "all of '%s' is fetched: the store keeps no checksum of it that a part of '%s' could be checked by",
                copy->from_path, copy->to_path);
    copy->prefix = taken;
    orb_copy_expect(copy, copy->total);
}

void orb_copy_kept_opened(struct orb_copy *copy)
{
    const orbit_begin_reply *reply = &copy->upload.begin_reply;
    struct orb_log *log = &copy->to->host->log;
    if (!copy->holding)
        return;
    copy->holding = false;
    if (copy->prefix)
        prefix_opened(copy, reply->prefix_bytes);
    copy->started_over |= reply->dropped;
    if (reply->dropped)
        orb_log(log, ORBIT_LOG_WARN,
                "'%s' is fetched from its beginning: what an earlier attempt left of '%s' is of another version of it, "
                "or its journal is damaged",
                copy->from_path, copy->to_path);
    for (size_t i = 0; i < reply->extent_count; i++)
        copy->resumed += reply->extents[i].length;
    if (copy->resumed == 0)
        return;
    orb_log(log, ORBIT_LOG_INFO, "going on with '%s': %" PRIu64 " of %" PRIu64 " bytes are there", copy->to_path,
            copy->resumed, copy->total);
    atomic_fetch_add(&copy->passed, copy->resumed);
    struct orb_relay *range = range_under_way(copy);
    if (!range || range->target.part.offset + range->length <= reply->extents[0].offset)
        return;
    copy->next_offset = 0;
    copy->next_number = 1;
    copy->in_one = false;
    copy->holding = true;
    orb_copy_begin_anew(copy, range, ORB_COPY_AS_KEPT);
}

uint64_t orb_copy_kept_next(struct orb_copy *copy)
{
    const orbit_begin_reply *reply = &copy->upload.begin_reply;
    while (copy->extent < reply->extent_count && reply->extents[copy->extent].offset <= copy->next_offset) {
        uint64_t end = reply->extents[copy->extent].offset + reply->extents[copy->extent].length;
        if (end > copy->next_offset)
            copy->next_offset = end;
        copy->extent++;
    }
    uint64_t until = copy->extent < reply->extent_count ? reply->extents[copy->extent].offset : copy->total;
    return until > copy->next_offset ? until - copy->next_offset : 0;
}

bool orb_copy_kept_again(struct orb_copy *copy)
{
    if (copy->status != ORBIT_E_CHECKSUM || !copy->prefix)
        return false;
    orb_log(&copy->to->host->log, ORBIT_LOG_WARN,
            "'%s' is fetched from its beginning: the first %" PRIu64 " bytes of '%s' are not its own", copy->from_path,
            copy->prefix, copy->to_path);
    orb_copy_start_again(copy, NULL);
    copy->started_over = true;
    return true;
}
