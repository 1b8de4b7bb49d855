/* SPDX-License-Identifier: Apache-2.0
 * Going on with an upload that another process began: its temporary is opened, and what it is believed to have is
 * looked at. What was flushed has to be below its end; what was only acknowledged is read and compared, for a
 * server's machine that went down may have lost it: reads from any place, some under way, the sums moved to their
 * places. Loop thread. */
#include <string.h>

#include "backend/sftp/sftp_write.h"
#include "base/hash.h"
#include "base/least.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/temporary.h"

enum { CLAIMS_MAX = 4 * ORB_EXTENTS_MAX, SCRATCH_BYTES = 32 << 10 };

/* ---- names ----------------------------------------------------------------------------------------- */

/* The temporary's own name where it is beside the target, else the whole of it. */
const char *sftp_target_id(const struct sftp_target *target)
{
    const char *slash = strrchr(target->temporary, '/');
    return target->elsewhere || !slash ? target->temporary : slash + 1;
}

orbit_status sftp_target_resume(struct sftp_target *target, const char *id, orbit_error *error)
{
    const char *name = orb_path_base(id), *slash = strrchr(target->full, '/');
    struct orb_buf whole;
    if (strlen(name) != ORB_TEMPORARY_LENGTH || !orb_begins_as_temporary(name, ORB_TEMPORARY_LENGTH))
        return orb_fail(error, ORBIT_E_NOT_FOUND, 0, "'%s' has no upload '%.200s'", target->store->peer, id);
    orb_buf_init(&whole, ORB_SFTP_TEXT_MAX);
    if (name == id && slash)
        orb_buf_append(&whole, target->full, (size_t)(slash + 1 - target->full));
    orb_buf_text(&whole, id);
    target->temporary = orb_buf_take(&whole);
    target->resumed = true;
    target->elsewhere = name != id;
    return target->temporary ? ORBIT_OK : orb_fail_memory(error);
}

/* ---- what is told of it ---------------------------------------------------------------------------- */

orbit_status sftp_adopt(void *self, void *target_, const orbit_stored_part *part, orbit_error *error)
{
    struct sftp_target *target = target_;
    (void)self;
    if (target->claim_count == CLAIMS_MAX)
        return ORBIT_OK; /* more are sent again */
    if (target->claim_count == target->claim_room) {
        size_t room = target->claim_room ? target->claim_room * 2 : 16;
        struct sftp_claim *claims = orb_realloc(target->claims, room * sizeof(*claims));
        if (!claims)
            return orb_fail_memory(error);
        target->claims = claims;
        target->claim_room = room;
    }
    bool sum = part->reply.checksum.algorithm == ORBIT_CHECKSUM_CRC64NVME;
    target->claims[target->claim_count++] = (struct sftp_claim){part->part.offset, part->part.length, sum,
                                                                sum ? orb_checksum_value(&part->reply.checksum) : 0};
    return ORBIT_OK;
}

static orbit_stored_part stored(uint64_t offset, uint64_t length, bool sum, uint64_t crc64)
{
    orbit_stored_part part = {.part = {.offset = offset, .length = length}};
    if (sum)
        part.reply.checksum = orb_checksum_crc64nvme(crc64);
    return part;
}

size_t sftp_written(void *self, void *target_, orbit_stored_part *parts, size_t room)
{
    struct sftp_target *target = target_;
    (void)self;
    size_t count = target->news.count < room ? target->news.count : room;
    for (size_t i = 0; i < count; i++) {
        const struct orb_extent *extent = &target->news.at[i];
        parts[i] = stored(extent->offset, extent->length, extent->crcs & ORB_EXTENT_CRC64, extent->crc64);
    }
    memmove(target->news.at, target->news.at + count, (target->news.count - count) * sizeof(*target->news.at));
    target->news.count -= count;
    return count;
}

/* ---- looking --------------------------------------------------------------------------------------- */

struct look_call;

/* One READ under way, of what is left of its piece. */
struct look_slot {
    struct orb_sftp_request request; /* first */
    struct look_call *look;
    uint64_t at, left;
    uint64_t crc64; /* of what came of the piece */
    bool busy;
};

struct look_call {
    struct sftp_write_call write; /* these two first: struct sftp_upload_call */
    struct sftp_target *target;
    const orbit_parts_request *request;
    struct look_slot slots[SFTP_SLOTS];
    unsigned count;  /* busy ones */
    size_t claim;    /* the one that is looked at */
    uint64_t next;   /* of it, to be asked for */
    uint64_t crc64;  /* of what came of it, moved to its place */
    uint64_t window; /* bytes that are under way */
    bool differs;    /* it is not there */
    uint8_t scratch[SCRATCH_BYTES];
};

static void look_release(struct sftp_call *call)
{
    struct look_call *look = (struct look_call *)call;
    for (unsigned i = 0; i < SFTP_SLOTS; i++) {
        orb_sftp_forget(&look->slots[i].request);
        orb_sftp_request_release(&look->slots[i].request);
    }
    sftp_writing_release(&look->write.writing);
}

static struct look_slot *slot_of(struct orb_sftp_request *request)
{
    return (struct look_slot *)request;
}

static void *lend(struct orb_sftp_request *request, size_t want, size_t *room)
{
    *room = (size_t)orb_smaller(want, SCRATCH_BYTES);
    return slot_of(request)->look->scratch;
}

static void came(struct orb_sftp_request *request, size_t length)
{
    struct look_slot *slot = slot_of(request);
    slot->crc64 = orb_crc64nvme(slot->crc64, slot->look->scratch, length);
}

static void look_on(struct look_call *look);
static void ask(struct look_slot *slot);

static const struct sftp_claim *claim_of(const struct look_call *look)
{
    return &look->target->claims[look->claim];
}

static void piece_done(struct orb_sftp_request *request)
{
    struct look_slot *slot = slot_of(request);
    struct look_call *look = slot->look;
    const struct sftp_claim *claim = claim_of(look);
    if (request->type == 0) { /* the connection, or memory */
        (void)sftp_fine(&look->write.call, request, ORB_SFTP_DATA);
        return;
    }
    bool some = request->type == ORB_SFTP_DATA && request->received > 0;
    slot->at += some ? request->received : 0;
    slot->left -= some ? orb_smaller(request->received, slot->left) : 0;
    if (some && slot->left > 0) { /* a short reply */
        ask(slot);
        return;
    }
    slot->busy = false;
    look->count--;
    if (some)
        look->crc64 ^= orb_crc64nvme_combine(slot->crc64, 0, claim->offset + claim->length - slot->at);
    else
        look->differs = true; /* it ends before, or cannot be read */
    look_on(look);
}

static void ask(struct look_slot *slot)
{
    struct look_call *look = slot->look;
    struct sftp_call *call = &look->write.call;
    orb_sftp_read_at(&slot->request, sftp_target_handle(look->target, call), slot->at, (uint32_t)slot->left);
    slot->request.place = lend;
    slot->request.filled = came;
    sftp_call_ask(call, &slot->request, piece_done);
}

/* The claim has been looked at. */
static void tell(struct look_call *look)
{
    const struct sftp_claim *claim = claim_of(look);
    uint64_t size = look->write.writing.stale.size;
    uint64_t length = claim->offset < size ? orb_smaller(claim->length, size - claim->offset) : 0;
    bool there = claim->sum ? length == claim->length && !look->differs && look->crc64 == claim->crc64 : length > 0;
    if (there) {
        orbit_stored_part part = stored(claim->offset, length, claim->sum, claim->crc64);
        look->request->each(look->request->ctx, &part);
    }
    look->claim++;
    look->next = look->crc64 = 0;
    look->differs = false;
}

static bool start_piece(struct look_call *look)
{
    const struct sftp_claim *claim = claim_of(look);
    unsigned i = 0;
    if (look->count == SFTP_SLOTS || look->next == claim->length || look->differs)
        return false;
    struct orb_sftp *session = sftp_call_session(&look->write.call);
    uint64_t length = orb_smaller(claim->length - look->next, orb_sftp_read_max(session));
    if (look->count > 0 && (look->count + 1) * length > orb_sftp_window(session))
        return false;
    while (look->slots[i].busy)
        i++;
    struct look_slot *slot = &look->slots[i];
    slot->look = look;
    slot->at = claim->offset + look->next;
    slot->left = length;
    slot->crc64 = 0;
    slot->busy = true;
    look->next += length;
    look->count++;
    ask(slot);
    return true;
}

static void look_on(struct look_call *look)
{
    struct sftp_target *target = look->target;
    uint64_t size = look->write.writing.stale.size;
    while (look->claim < target->claim_count) {
        const struct sftp_claim *claim = claim_of(look);
        bool read = claim->sum && claim->offset < size && claim->length <= size - claim->offset;
        if (!sftp_call_session(&look->write.call)) {
            sftp_end_with(&look->write.call, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, "the connection was lost");
            return;
        }
        while (read && start_piece(look))
            ;
        if (look->count > 0)
            return;
        tell(look);
    }
    sftp_call_end(&look->write.call, ORBIT_OK, NULL);
}

/* One that is longer than the whole would not be it in the end. */
static void cut(struct orb_sftp_request *request)
{
    struct look_call *look = (struct look_call *)sftp_call_of(request);
    if (!sftp_fine(&look->write.call, request, ORB_SFTP_STATUS))
        return;
    look->write.writing.stale.size = look->target->size;
    look_on(look);
}

static void look_opened(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct look_call *look = (struct look_call *)call;
    struct sftp_target *target = look->target;
    if (status < 0) {
        sftp_call_end(call, status, error);
    } else if (look->write.writing.stale.size > target->size) {
        struct orb_sftp_attributes shorter = {.flags = ORB_SFTP_HAS_SIZE, .size = target->size};
        orb_sftp_fsetstat(&look->slots[0].request, sftp_target_handle(target, call), &shorter);
        sftp_call_ask(call, &look->slots[0].request, cut);
    } else {
        look_on(look);
    }
}

static void look_go(struct sftp_call *call)
{
    sftp_writing_take_up(&((struct look_call *)call)->write.writing, look_opened);
}

void sftp_parts(void *self, orbit_op *op, const orbit_parts_request *request, orbit_more_reply *reply)
{
    struct sftp_target *target = request->upload;
    (void)reply;
    struct look_call *look = sftp_upload_call_new(self, op, sizeof(*look), target, target->temporary, look_release);
    if (!look)
        return;
    look->write.call.verb = "go on writing";
    look->write.call.bulk = true;
    look->request = request;
    sftp_call_start(&look->write.call, look_go);
}

/* ---- flushing -------------------------------------------------------------------------------------- */

struct flush_call {
    struct sftp_write_call write; /* these two first: struct sftp_upload_call */
    struct sftp_target *target;
    struct orb_sftp_request request;
};

static void flush_release(struct sftp_call *call)
{
    struct flush_call *flush = (struct flush_call *)call;
    orb_sftp_forget(&flush->request);
    orb_sftp_request_release(&flush->request);
    sftp_writing_release(&flush->write.writing);
}

static void flushed(struct orb_sftp_request *request)
{
    if (sftp_fine(sftp_call_of(request), request, ORB_SFTP_STATUS))
        sftp_call_end(sftp_call_of(request), ORBIT_OK, NULL);
}

static void flush_opened(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct flush_call *flush = (struct flush_call *)call;
    if (status < 0) {
        sftp_call_end(call, status, error);
        return;
    }
    orb_sftp_extended_handle(&flush->request, ORB_SFTP_CAN_FSYNC, sftp_target_handle(flush->target, call));
    flush->request.patient = true;
    sftp_call_ask(call, &flush->request, flushed);
}

static void flush_go(struct sftp_call *call)
{
    if (!orb_sftp_can(sftp_call_session(call), ORB_SFTP_CAN_FSYNC))
        sftp_end_with(call, ORBIT_E_UNSUPPORTED, 0, "the server flushes nothing");
    else
        sftp_writing_reopen(&((struct flush_call *)call)->write.writing, flush_opened);
}

/* On a channel of its own: a server does nothing else in a session while it flushes. */
void sftp_flush(void *self, orbit_op *op, void *target_)
{
    struct sftp_target *target = target_;
    struct flush_call *flush = sftp_upload_call_new(self, op, sizeof(*flush), target, target->full, flush_release);
    if (!flush)
        return;
    flush->write.call.verb = "flush";
    flush->write.call.bulk = flush->write.call.apart = true;
    sftp_call_start(&flush->write.call, flush_go);
}
