/* SPDX-License-Identifier: Apache-2.0
 * Reading a range: many READs under way on one handle, their bytes given to the sink in order. The bytes that are
 * next go from the stream into the sink's room. Others, of a server that answers in another order or while the sink
 * has no room, are kept in their slot until it is their turn: the channel is never held up, because what the sink
 * waits for may come through it. While something is kept nothing more is asked for, so at most a window of bytes
 * ever is.
 *
 * A size of 0 is not believed while a READ has not said the same (files of proc), nor one of a page when fewer bytes
 * came (those of sysfs); a server need not tell any. Such a file is read until it ends, as a local one is:
 * reply.length is ORBIT_TO_END and the metadata has no ORBIT_HAS_SIZE. Loop thread. */
#include <string.h>

#include "backend/sftp/sftp.h"
#include "base/clock.h"
#include "base/least.h"
#include "base/mem.h"

/* Of one channel. ssh lets 2 MiB come before it has got rid of them. What is asked for beyond that waits at the server,
 * which so has the next bytes at hand as soon as they may come: worth something where a request is long on its way. */
#define MOST_BYTES     ((uint64_t)2 << 20)
#define MOST_BYTES_FAR ((uint64_t)4 << 20)
#define FAR_PER_MS     ((uint64_t)100 << 10)

/* Of all channels together: what a connection brings in a round trip and a slack, at a rate that is beyond what one core
 * decrypts. Where processors are busy with other things, more would not come sooner, and wait in ssh's memory. */
#define MOST_PER_MS ((uint64_t)400 << 10)
enum { SLACK_LEAST_MS = 8, SLACK_MOST_MS = 48 };

struct slot {
    struct orb_sftp_request request; /* first */
    uint64_t offset;                 /* of its first byte */
    uint32_t length, got;            /* asked for in all; received */
    uint32_t given;                  /* to the sink */
    uint8_t *kept;                   /* nullable: `length` bytes, those from `given` on are filled by themselves */
    bool lent, answered, ended;      /* ended: by the server's word, behind `got` */
};

struct read_call {
    struct sftp_call call; /* first */
    const orbit_read_request *request;
    orbit_sink *sink;
    orbit_read_reply *reply;
    char *full;
    struct orb_sftp_request open, stat, look, again;
    struct orb_sftp_handle handle;
    struct sftp_held *held; /* nullable: whose handle it is */
    struct slot slots[SFTP_SLOTS];
    unsigned first, count; /* a ring, in the order of offsets */
    uint64_t asked,
        end;            /* asked for up to here; where the range ends, until the size is known where it probably does */
    uint64_t under_way; /* bytes */
    unsigned kept;      /* slots that keep bytes */
    bool known;         /* attributes came, and are those of what is to be read */
    bool likely;        /* until then: `end` is what was said of it before */
    bool doubt;         /* until then: attributes came, with a size that is to be seen */
    bool endless;       /* where it ends shows when it does */
    unsigned ahead;     /* READs of what is endless at once: one more for each that was answered in full */
    bool spilling;
    orbit_status
        early; /* of a READ that was answered before it was known what there is, the first that was not fine, … */
    uint64_t early_at; /* … at this offset */
    orbit_error error;
    uint8_t spill[512]; /* where bytes behind the end go, of a file that has grown */
};

static struct read_call *read_of(struct orb_sftp_request *request)
{
    return (struct read_call *)sftp_call_of(request);
}

static void drop_kept(struct read_call *read, struct slot *slot)
{
    if (!slot->kept)
        return;
    orb_free(slot->kept);
    slot->kept = NULL;
    read->kept--;
}

static void read_release(struct sftp_call *call)
{
    struct read_call *read = (struct read_call *)call;
    struct orb_sftp *session = sftp_call_session(call);
    orb_sftp_forget(&read->open);
    orb_sftp_forget(&read->stat);
    orb_sftp_forget(&read->look);
    orb_sftp_forget(&read->again);
    orb_sftp_request_release(&read->look);
    orb_sftp_request_release(&read->again);
    orb_sftp_request_release(&read->open);
    orb_sftp_request_release(&read->stat);
    for (unsigned i = 0; i < SFTP_SLOTS; i++) {
        orb_sftp_forget(&read->slots[i].request);
        orb_sftp_request_release(&read->slots[i].request);
        drop_kept(read, &read->slots[i]);
    }
    if (read->held)
        sftp_held_give(call->store, read->held);
    else if (session && read->handle.length)
        orb_sftp_close_handle(session, &read->handle);
    orb_free(read->full);
}

/* ---- asking ---------------------------------------------------------------------------------------- */

static void *place(struct orb_sftp_request *request, size_t want, size_t *room);
static void filled(struct orb_sftp_request *request, size_t length);
static void answered(struct orb_sftp_request *request);

static void ask_slot(struct read_call *read, struct slot *slot)
{
    orb_sftp_read_at(&slot->request, &read->handle, slot->offset + slot->got, slot->length - slot->got);
    slot->ended = false;
    slot->request.place = place;
    slot->request.filled = filled;
    sftp_call_ask(&read->call, &slot->request, answered);
}

/* Bytes that may be under way of this one. */
static uint64_t share_of(const struct read_call *read)
{
    const struct sftp_call *call = &read->call;
    unsigned streams = call->channel->streams, all = sftp_channels_streams(call->store);
    const struct orb_sftp *session = call->channel->session;
    uint64_t round_trip_ms = orb_smaller(orb_sftp_round_trip_ns(session) / ORB_MS, 1000);
    uint64_t slack_ms = SLACK_LEAST_MS + (SLACK_MOST_MS - SLACK_LEAST_MS) * orb_sftp_ease(session) / ORB_SFTP_EASE_MOST;
    uint64_t together = MOST_PER_MS * (round_trip_ms + slack_ms);
    uint64_t most = orb_smaller(MOST_BYTES + FAR_PER_MS * round_trip_ms, MOST_BYTES_FAR);
    return orb_smaller(most / (streams ? streams : 1), together / (all ? all : 1));
}

static void ask_more(struct read_call *read)
{
    struct orb_sftp *session = sftp_call_session(&read->call);
    uint64_t share = share_of(read);
    uint32_t most = orb_sftp_read_max(session);
    while (read->count < SFTP_SLOTS && read->asked < read->end && !read->kept &&
           (read->count == 0 || read->under_way + most <= share)) {
        struct slot *slot = &read->slots[(read->first + read->count) % SFTP_SLOTS];
        uint64_t left = read->end - read->asked;
        uint32_t length = left < most ? (uint32_t)left : most;
        if (!read->known && !read->likely && read->count > 0) /* how much there is will be known in a moment */
            return;
        if (read->endless && read->count >= read->ahead)
            return;
        slot->offset = read->asked;
        slot->length = length;
        slot->got = slot->given = 0;
        slot->answered = slot->lent = false;
        read->count++;
        read->asked += length;
        read->under_way += length;
        ask_slot(read, slot);
    }
}

/* ---- giving ---------------------------------------------------------------------------------------- */

static void read_end(struct read_call *read, orbit_status status)
{
    if (status < 0)
        sftp_end_with(&read->call, status, 0, orbit_status_text(status));
    else
        sftp_call_end(&read->call, ORBIT_OK, NULL);
}

/* Gives the sink what is kept at the head, while it has room, and goes on. May end the call. */
static void give(struct read_call *read)
{
    while (read->known && read->count > 0) {
        struct slot *slot = &read->slots[read->first];
        if (slot->kept && slot->given < slot->got) {
            size_t room = 0, left = slot->got - slot->given;
            void *to = read->sink->acquire(read->sink, left, &room);
            if (!to)
                return; /* resume brings it back */
            if (room > left)
                room = left;
            memcpy(to, slot->kept + slot->given, room);
            slot->given += (uint32_t)room;
            orbit_status status = read->sink->commit(read->sink, room);
            if (status < 0) {
                read_end(read, status);
                return;
            }
            continue;
        }
        if (slot->given == slot->got)
            drop_kept(read, slot);
        if (slot->given < slot->length || !slot->answered)
            break;
        read->first = (read->first + 1) % SFTP_SLOTS;
        read->count--;
    }
    if (read->known && read->count == 0 && read->asked >= read->end)
        read_end(read, ORBIT_OK);
    else if (sftp_call_session(&read->call))
        ask_more(read);
    else
        sftp_end_with(&read->call, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, "the connection was lost");
}

static void *place(struct orb_sftp_request *request, size_t want, size_t *room)
{
    struct read_call *read = read_of(request);
    struct slot *slot = (struct slot *)request;
    if (slot->got >= slot->length) {
        read->spilling = true;
        *room = sizeof(read->spill);
        return read->spill;
    }
    if (want > slot->length - slot->got)
        want = slot->length - slot->got;
    bool turn = read->known && slot == &read->slots[read->first] && slot->given == slot->got && !slot->kept;
    if (turn) {
        void *to = read->sink->acquire(read->sink, want, room);
        if (to) {
            slot->lent = true;
            return to;
        }
    }
    if (!slot->kept) {
        slot->kept = orb_malloc(slot->length);
        if (!slot->kept)
            return NULL;
        read->kept++;
    }
    *room = slot->length - slot->got;
    return slot->kept + slot->got;
}

static void filled(struct orb_sftp_request *request, size_t length)
{
    struct read_call *read = read_of(request);
    struct slot *slot = (struct slot *)request;
    if (read->spilling) {
        read->spilling = false;
        return;
    }
    slot->got += (uint32_t)length;
    if (!slot->lent)
        return;
    slot->lent = false;
    slot->given += (uint32_t)length;
    orbit_status status = read->sink->commit(read->sink, length);
    if (status < 0)
        read_end(read, status);
}

static void judge(struct read_call *read);
static void ended_at(struct read_call *read, uint64_t end);

static void answered(struct orb_sftp_request *request)
{
    struct read_call *read = read_of(request);
    struct slot *slot = (struct slot *)request;
    if (request->type == ORB_SFTP_DATA && request->no_memory) {
        sftp_call_end(&read->call, ORBIT_E_MEMORY, NULL);
        return;
    }
    if (sftp_is_status(request, ORB_SFTP_STATUS_EOF) || (request->type == ORB_SFTP_DATA && request->received == 0)) {
        slot->ended = true;
        if (!read->known) { /* the size comes after it: the end is judged then */
            slot->answered = true;
            judge(read);
            return;
        }
        if (read->endless) {
            slot->answered = true;
            ended_at(read, slot->offset + slot->got);
            give(read);
            return;
        }
        if (slot->offset + slot->got < read->end) {
            sftp_end_with(&read->call, ORBIT_E_CHANGED, 0, "it became shorter while it was being read");
            return;
        }
    } else if (request->type != ORB_SFTP_DATA) {
        slot->answered = true;
        if (read->early < 0 && read->early_at < slot->offset)
            return;
        read->early = sftp_check(&read->call, request, ORB_SFTP_DATA, &read->error);
        read->early_at = slot->offset;
        if (read->known || sftp_lost(request))
            sftp_call_end(&read->call, read->early, &read->error);
        else
            judge(read);
        return;
    }
    if (read->doubt && slot == &read->slots[read->first]) {
        slot->answered = true;
        judge(read);
        return;
    }
    if (slot->got < slot->length && slot->offset + slot->got < read->end) { /* a short read is not the end */
        ask_slot(read, slot);
        return;
    }
    read->under_way -= slot->length;
    slot->answered = true;
    read->ahead++;
    give(read);
}

/* ---- what it is ------------------------------------------------------------------------------------ */

static bool is_pinned(const orbit_metadata *pin, const orbit_metadata *now)
{
    uint32_t both = pin ? pin->fields & now->fields : 0;
    return (!(both & ORBIT_HAS_SIZE) || pin->size == now->size) &&
           (!(both & ORBIT_HAS_MTIME) || pin->mtime_ns / (int64_t)ORB_S == now->mtime_ns / (int64_t)ORB_S);
}

/* The READs that were asked for before it was known what there is: those behind the end are forgotten, one that
 * asked for more than there is, or was answered before, is set right. */
static void fit(struct read_call *read)
{
    unsigned asked = read->count;
    read->count = 0;
    read->under_way = 0;
    for (unsigned i = 0; i < asked; i++) {
        struct slot *slot = &read->slots[(read->first + i) % SFTP_SLOTS];
        if (slot->offset >= read->end) {
            orb_sftp_forget(&slot->request);
            drop_kept(read, slot);
            continue;
        }
        read->count++;
        slot->length = (uint32_t)orb_smaller(slot->length, read->end - slot->offset);
        if (slot->got > slot->length) /* it has grown since: what is behind the end is not wanted */
            slot->got = slot->length;
        if (slot->answered && slot->got < slot->length && read->early >= 0 && sftp_call_session(&read->call)) {
            slot->answered = false; /* it said end where there is more */
            ask_slot(read, slot);
        }
        read->under_way += slot->answered ? 0 : slot->length;
    }
    read->asked = orb_smaller(read->asked, read->end);
}

static uint64_t wanted_end(const struct read_call *read)
{
    const orbit_read_request *request = read->request;
    return request->length < UINT64_MAX - request->offset ? request->offset + request->length : UINT64_MAX;
}

static void ended_at(struct read_call *read, uint64_t end)
{
    read->end = orb_smaller(read->end, end);
    fit(read);
}

/* What there is has been found out: its end is known, or where it is not, that it is not. */
static void know(struct read_call *read)
{
    if (!read->held)
        read->held = sftp_held_add(&read->call, read->full, &read->handle, &read->reply->metadata);
    read->known = true;
    read->doubt = false;
    fit(read);
    if (read->early < 0 && read->early_at < read->end) {
        sftp_call_end(&read->call, read->early, &read->error);
        return;
    }
    if (read->reply->length)
        orbit_op_head(read->call.op);
    give(read);
}

static void know_size(struct read_call *read, uint64_t size)
{
    uint64_t at = orb_smaller(read->request->offset, size);
    read->end = orb_smaller(size, wanted_end(read));
    read->reply->length = read->end > at ? read->end - at : 0;
    know(read);
}

static void know_endless(struct read_call *read, uint64_t end)
{
    read->reply->metadata.fields &= ~(uint32_t)ORBIT_HAS_SIZE;
    read->reply->metadata.size = 0;
    read->reply->length = ORBIT_TO_END;
    read->end = end;
    read->endless = true;
    know(read);
}

/* It ended before its size: one that is shorter now has another size now. */
static void described_again(struct orb_sftp_request *request)
{
    struct read_call *read = read_of(request);
    const struct slot *slot = &read->slots[read->first];
    const orbit_metadata *then = &read->reply->metadata;
    struct orb_sftp_attributes now;
    if (!sftp_fine(&read->call, request, ORB_SFTP_ATTRS))
        return;
    orb_sftp_get_attributes(&request->reply, &now);
    if ((now.flags & ORB_SFTP_HAS_SIZE) && now.size == then->size)
        know_endless(read, slot->offset + slot->got);
    else
        sftp_end_with(&read->call, ORBIT_E_CHANGED, 0, "it became shorter while it was being read");
}

/* sysfs says a page of everything. */
static bool is_page(uint64_t size)
{
    return size == (uint64_t)4 << 10 || size == (uint64_t)16 << 10 || size == (uint64_t)64 << 10;
}

/* What the first READ brought says more than the size did. */
static void judge(struct read_call *read)
{
    const orbit_metadata *metadata = &read->reply->metadata;
    if (!read->doubt)
        return;
    struct slot *slot = &read->slots[read->first];
    uint64_t size = metadata->fields & ORBIT_HAS_SIZE ? metadata->size : 0;
    if (read->count == 0) { /* nothing was wanted */
        know_size(read, size);
    } else if (read->early < 0 && read->early_at == slot->offset) {
        sftp_call_end(&read->call, read->early, &read->error);
    } else if (size == 0) {
        if (slot->got > 0)
            know_endless(read, slot->ended ? slot->offset + slot->got : wanted_end(read));
        else if (slot->ended)
            know_size(read, size);
    } else if (slot->got >= orb_smaller(slot->length, size - slot->offset)) {
        know_size(read, size);
    } else if (slot->ended) {
        read->doubt = false;
        orb_sftp_on_handle(&read->again, ORB_SFTP_FSTAT, &read->handle);
        sftp_call_ask(&read->call, &read->again, described_again);
    } else if (slot->answered) {
        slot->answered = false;
        ask_slot(read, slot);
    }
}

static void described(struct orb_sftp_request *request)
{
    struct read_call *read = read_of(request);
    struct sftp_call *call = &read->call;
    struct orb_sftp_attributes attributes;
    orbit_metadata *metadata = &read->reply->metadata;
    if (!sftp_fine(call, request, ORB_SFTP_ATTRS))
        return;
    orb_sftp_get_attributes(&request->reply, &attributes);
    sftp_describe(metadata, &attributes);
    if (metadata->kind == ORBIT_KIND_DIRECTORY) {
        sftp_end_with(call, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY, "it is a directory");
        return;
    }
    if (!is_pinned(read->request->pin, metadata)) {
        sftp_end_with(call, ORBIT_E_CHANGED, 0, "it was changed while it was being read");
        return;
    }
    bool told = attributes.flags & ORB_SFTP_HAS_SIZE;
    read->doubt =
        !told || attributes.size == 0 || (is_page(attributes.size) && read->request->offset < attributes.size);
    if (!read->doubt) {
        know_size(read, attributes.size);
        return;
    }
    if (read->count == 0) {
        read->end = wanted_end(read);
        ask_more(read);
    }
    judge(read);
}

/* The handle is there: what it is and the first bytes are asked for together. */
static void begin(struct read_call *read)
{
    orb_sftp_on_handle(&read->stat, ORB_SFTP_FSTAT, &read->handle);
    sftp_call_ask(&read->call, &read->stat, described);
    const orbit_metadata *pin = read->request->pin;
    if (!pin || read->request->offset < pin->size) /* not to be asked for what cannot be there */
        ask_more(read);
}

/* Some servers do not open a directory, and do not say why. */
static void unopened_looked(struct orb_sftp_request *request)
{
    struct read_call *read = read_of(request);
    struct orb_sftp_attributes attributes;
    if (request->type == ORB_SFTP_ATTRS) {
        orb_sftp_get_attributes(&request->reply, &attributes);
        if (sftp_kind(&attributes) == ORBIT_KIND_DIRECTORY) {
            sftp_end_with(&read->call, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY, "it is a directory");
            return;
        }
    }
    if (sftp_lost(request))
        (void)sftp_fine(&read->call, request, ORB_SFTP_ATTRS);
    else
        sftp_call_end(&read->call, read->early, &read->error);
}

static void opened(struct orb_sftp_request *request)
{
    struct read_call *read = read_of(request);
    struct sftp_call *call = &read->call;
    orbit_error error;
    orbit_status status = sftp_check(call, request, ORB_SFTP_HANDLE, &error);
    if (status == ORBIT_E_NOT_FOUND && read->request->pin) {
        sftp_end_with(call, ORBIT_E_CHANGED, 0, "it was removed while it was being read");
        return;
    }
    if (status < 0 && status != ORBIT_E_NOT_FOUND && !sftp_lost(request)) {
        read->early = status;
        read->error = error;
        orb_sftp_path(&read->stat, ORB_SFTP_STAT, read->full);
        sftp_call_ask(call, &read->stat, unopened_looked);
        return;
    }
    if (status < 0) {
        sftp_call_end(call, status, &error);
        return;
    }
    orb_sftp_get_handle(&request->reply, &read->handle);
    begin(read);
}

static void looked(struct orb_sftp_request *request)
{
    struct read_call *read = read_of(request);
    struct orb_sftp_attributes attributes;
    if (request->type != ORB_SFTP_ATTRS)
        return; /* OPEN will say it better */
    orb_sftp_get_attributes(&request->reply, &attributes);
    if (sftp_kind(&attributes) == ORBIT_KIND_OTHER)
        sftp_end_with(&read->call, ORBIT_E_PATH, 0, "it is no regular file");
}

static void read_go(struct sftp_call *call)
{
    struct read_call *read = (struct read_call *)call;
    read->held = sftp_held_take(call, read->full, read->request->presumed ? NULL : read->request->pin);
    if (read->held) {
        read->handle = read->held->handle;
        begin(read);
        return;
    }
    if (!read->request->pin && !read->request->size_hint) { /* a server does not come back from opening a FIFO */
        orb_sftp_path(&read->look, ORB_SFTP_STAT, read->full);
        sftp_call_ask(call, &read->look, looked);
    }
    orb_sftp_open(&read->open, read->full, ORB_SFTP_OPEN_READ, NULL);
    sftp_call_ask(call, &read->open, opened);
}

static void read_step(struct sftp_call *call)
{
    struct read_call *read = (struct read_call *)call;
    if (read->known)
        give(read);
}

void sftp_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink, orbit_read_reply *reply)
{
    orbit_error error;
    struct read_call *read = sftp_call_new(self, op, sizeof(*read), "read", request->path, read_release);
    if (!read)
        return;
    read->request = request;
    read->sink = sink;
    read->reply = reply;
    read->ahead = 1;
    read->asked = request->offset;
    read->end = request->length < UINT64_MAX - request->offset ? request->offset + request->length : UINT64_MAX;
    bool pinned = request->pin && (request->pin->fields & ORBIT_HAS_SIZE);
    uint64_t size = pinned ? request->pin->size : request->size_hint;
    if (size > request->offset) {
        read->end = orb_smaller(read->end, size);
        read->likely = true;
    }
    read->call.bulk = true;
    read->call.step = read_step;
    if (request->if_match || request->version_id) {
        sftp_end_with(&read->call, ORBIT_E_UNSUPPORTED, 0, "files have neither ETags nor versions");
        return;
    }
    read->full = sftp_full_path(self, request->path, &error);
    if (!read->full) {
        sftp_call_end(&read->call, (orbit_status)error.status, &error);
        return;
    }
    sftp_call_resumes(&read->call);
    sftp_channels_ahead(self, size, 0);
    sftp_call_start(&read->call, read_go);
}
