/* SPDX-License-Identifier: Apache-2.0
 * Going on with a copy that did not come to its end. The target keeps the record (keeps_extents): what it has is not
 * asked for again, also inside a range; here is decided which copies are worth that, what tells their content apart,
 * and what is still missing. Loop thread only. */
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
    copy->look_first = copy->keeps && copy->to->caps.keeps_extents && copy->to->ops->kept &&
                       copy->from->ops != copy->to->ops && copy->to->ops->kept(copy->to->self, copy->to_path);
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
    copy->keep = (orbit_keep_request){copy->identity, length, copy->total};
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

void orb_copy_kept_opened(struct orb_copy *copy)
{
    const orbit_begin_reply *reply = &copy->upload.begin_reply;
    struct orb_log *log = &copy->to->host->log;
    if (!copy->holding)
        return;
    copy->holding = false;
    copy->started_over = reply->dropped;
    if (reply->dropped)
        orb_log(log, ORBIT_LOG_WARN,
                "'%s' is fetched from its beginning: what an earlier attempt left of '%s' is not "
                "of this version of it",
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
