/* SPDX-License-Identifier: Apache-2.0
 * Writing: puts, and uploads whose parts are written at their offsets in any order and in parallel. A body that has
 * nothing returns the worker and goes on with resume, or stores what comes on the thread that received it. Where a
 * target knows no offsets (a FIFO, a terminal), parts that are early wait for their turn. Nobody waits in a worker. */
#include "backend/local/local_write.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    BLOCK = 1 << 20, /* written between two looks at cancel */
    TURN = 8 << 20   /* written before others that wait get the pen */
};

/* Where bytes may be written on a thread that receives them. */
enum { ASIDE_UNKNOWN = 0, ASIDE_YES, ASIDE_NO };

/* ---- uploads ------------------------------------------------------------------------------------ */

static struct orb_local_upload *upload_new(const char *path)
{
    struct orb_local_upload *upload = orb_calloc(1, sizeof(*upload));
    pthread_mutexattr_t recursive;
    if (!upload)
        return NULL;
    upload->path = orb_strdup(path);
    if (!upload->path) {
        orb_free(upload);
        return NULL;
    }
    upload->target.fd = upload->target.directory = -1;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&upload->mutex, &recursive);
    pthread_mutexattr_destroy(&recursive);
    upload->locked.waiting_last = &upload->locked.waiting;
    return upload;
}

static void upload_free(struct orb_local_upload *upload)
{
    if (!upload)
        return;
    orb_local_target_close(&upload->target);
    pthread_mutex_destroy(&upload->mutex);
    orb_free(upload->path);
    orb_free(upload);
}

/* The whole and nothing but it, then the name. */
static orbit_status upload_finish(struct orb_local_upload *upload, uint64_t size, orbit_metadata *reply,
                                  orbit_error *error)
{
    struct orb_local_target *target = &upload->target;
    if (target->journal) {
        orbit_status status = orb_local_journal_stop(target->journal, error);
        if (status < 0)
            return status;
    }
    if (!target->in_place && !target->published) {
        struct orb_local_shown shown;
        struct statx stat;
        int result = orb_local_stat_fd(target->fd, &stat);
        if (result < 0)
            return orb_local_fail(error, -result, "write", upload->path);
        uint64_t got = stat.stx_size;
        if (got == size && !target->resumed && atomic_load(&upload->written) < size)
            got = atomic_load(&upload->written); /* the right end, but a gap before it */
        if (got != size)
            return orb_fail(error, ORBIT_E_IO, 0, "cannot write '%s': %llu of its %llu bytes are there",
                            orb_local_show(&shown, upload->path), (unsigned long long)got, (unsigned long long)size);
    }
    return orb_local_target_publish(target, upload->path, -1, reply, error);
}

/* ---- bytes -------------------------------------------------------------------------------------- */

static void wrote(struct orb_local_writing *writing, uint64_t length)
{
    writing->at += length;
    if (writing->spanned)
        orb_local_journal_wrote(writing->upload->target.journal, &writing->span, writing->at);
}

/* ORBIT_AGAIN: the body has nothing now and resumes, or others wait for the pen and the operation was asked to
 * run again. */
static orbit_status drain(struct orb_local_writing *writing, orbit_op *op, orbit_error *error)
{
    struct orb_local_upload *upload = writing->upload;
    orbit_body *body = writing->body;
    for (;;) {
        const void *bytes;
        size_t length;
        if (orbit_op_cancelled(op))
            return orb_local_cancelled(error, "write", upload->path);
        orbit_status status = body->peek(body, &bytes, &length);
        if (status == ORBIT_END)
            break;
        if (status == ORBIT_AGAIN)
            return status;
        if (status < 0)
            return orb_fail(error, status, 0, "%s", orbit_status_text(status));
        struct orb_local_shown shown;
        if (length > writing->end - writing->at)
            return orb_fail(error, ORBIT_E_MISUSE, 0, "cannot write '%s': a body gave more than its %llu bytes",
                            orb_local_show(&shown, upload->path), (unsigned long long)(writing->end - writing->begin));
        if (length > BLOCK)
            length = BLOCK;
        int result = orb_local_target_write(&upload->target, op, bytes, length, writing->at);
        if (result < 0)
            return orb_local_fail(error, -result, "write", upload->path);
        body->consume(body, length);
        wrote(writing, length);
        if (!writing->put && writing->at - writing->turn >= TURN && orb_local_pen_wanted(upload)) {
            orbit_op_run(op, orb_local_part_work);
            return ORBIT_AGAIN;
        }
    }
    struct orb_local_shown shown;
    if (writing->at != writing->end)
        return orb_fail(error, ORBIT_E_IO, 0, "cannot write '%s': its source ended after %llu of %llu bytes",
                        orb_local_show(&shown, upload->path), (unsigned long long)(writing->at - writing->begin),
                        (unsigned long long)(writing->end - writing->begin));
    return ORBIT_OK;
}

/* ---- on the thread that received the bytes -------------------------------------------------------- */

/* The page cache of a disk of this machine takes bytes as fast as memory, most of the time; what may hang for a server
 * or a daemon is the workers' to wait for. */
static bool is_near(int fd)
{
    static const long near[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,    TMPFS_MAGIC,
                                F2FS_SUPER_MAGIC, RAMFS_MAGIC,     OVERLAYFS_SUPER_MAGIC};
    struct statfs system;
    if (fstatfs(fd, &system) != 0)
        return false;
    for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++)
        if (system.f_type == near[i])
            return true;
    return false;
}

static bool may_store(struct orb_local_upload *upload, uint64_t now_ns)
{
    if (upload->aside.where == ASIDE_UNKNOWN)
        upload->aside.where = !upload->target.in_place && is_near(upload->target.fd) ? ASIDE_YES : ASIDE_NO;
    return upload->aside.where == ASIDE_YES && now_ns >= upload->aside.until_ns;
}

/* A failure is left to the worker, who meets it again and tells. */
static bool write_aside(struct orb_local_writing *writing, const void *bytes, size_t length)
{
    struct orb_local_upload *upload = writing->upload;
    uint64_t began_ns = orb_now_ns();
    if (!may_store(upload, began_ns) ||
        orb_local_target_write(&upload->target, writing->op, bytes, length, writing->at) < 0)
        return false;
    orb_local_aside_note(&upload->aside, began_ns, orb_now_ns());
    wrote(writing, length);
    return true;
}

static bool store(orbit_op *op, const void *bytes, size_t length)
{
    if (!orbit_op_enter(op))
        return false;
    struct orb_local_writing *writing = op->state;
    bool stored = false;
    if (writing->upload && !orbit_op_cancelled(op) && length <= writing->end - writing->at &&
        orb_local_receiver_takes_pen(writing)) {
        stored = write_aside(writing, bytes, length);
        orb_local_pass_pen(writing);
    }
    orbit_op_leave(op);
    return stored;
}

/* ---- put ---------------------------------------------------------------------------------------- */

static orbit_status put_open(struct orb_local *self, orbit_op *op, struct orb_local_writing *writing,
                             orbit_error *error)
{
    const orbit_put_request *put = writing->put;
    writing->upload = upload_new(put->path);
    if (!writing->upload)
        return orb_fail_memory(error);
    const struct orb_local_target_request request = {put->path, put->options, put->preserve, NULL, NULL, NULL};
    return orb_local_target_open(&writing->upload->target, self, op, &request, error);
}

static void put_work(void *self, orbit_op *op)
{
    struct orb_local_writing *writing = op->state;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;

    if (orbit_op_cancelled(op))
        status = orb_local_cancelled(&error, "write", writing->put->path);
    else if (!writing->upload)
        status = put_open(self, op, writing, &error);
    if (status == ORBIT_OK)
        status = drain(writing, op, &error);
    if (status == ORBIT_AGAIN)
        return;
    if (status == ORBIT_OK) {
        atomic_store(&writing->upload->written, writing->end);
        status = upload_finish(writing->upload, writing->end, writing->put_reply, &error);
    }
    if (writing->upload) {
        if (status < 0)
            orb_local_target_discard(&writing->upload->target);
        upload_free(writing->upload);
    }
    orb_local_end(op, status, &error);
}

static void put_resume(orbit_op *op)
{
    orbit_op_run(op, put_work);
}

void orb_local_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply)
{
    (void)self;
    struct orb_local_writing *writing = orb_calloc(1, sizeof(*writing));
    if (!writing) {
        orbit_op_done(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    writing->op = op;
    writing->put = request;
    writing->put_reply = reply;
    writing->body = body;
    writing->end = body->length;
    op->state = writing;
    op->resume = put_resume;
    op->store = store;
    orbit_op_run(op, put_work);
}

/* ---- parts -------------------------------------------------------------------------------------- */

/* Whether an ordered target has come to this part. ORBIT_AGAIN: not yet, it is queued and will be run. */
static orbit_status await_turn(struct orb_local_writing *writing, orbit_op *op, orbit_error *error)
{
    struct orb_local_upload *upload = writing->upload;
    orbit_status status = ORBIT_OK;
    pthread_mutex_lock(&upload->mutex);
    if (orbit_op_cancelled(op)) {
        orb_local_unqueue(writing);
        status = orb_local_cancelled(error, "write", upload->path);
    } else if (upload->locked.failed < 0) {
        orb_local_unqueue(writing);
        struct orb_local_shown shown;
        status = orb_fail(error, upload->locked.failed, 0, "cannot write '%s': an earlier part of it failed",
                          orb_local_show(&shown, upload->path));
    } else if (upload->locked.position == writing->begin) {
        orb_local_unqueue(writing);
    } else {
        status = ORBIT_AGAIN;
        orb_local_enqueue(writing);
    }
    pthread_mutex_unlock(&upload->mutex);
    return status;
}

/* The one that begins where the last ended; after a failure, any. */
static struct orb_local_writing *next_in_turn(struct orb_local_upload *upload)
{
    struct orb_local_writing *next = upload->locked.waiting;
    while (next && (next->woken || (upload->locked.failed == ORBIT_OK && next->begin != upload->locked.position)))
        next = next->next;
    return next;
}

/* The turn goes on: to the part that begins where this one ended, or, after a failure, to all of them so that
 * they end. Those that wait cannot end meanwhile: for that they need the mutex. */
static void pass_turn(struct orb_local_writing *writing, orbit_status status)
{
    struct orb_local_upload *upload = writing->upload;
    pthread_mutex_lock(&upload->mutex);
    if (status == ORBIT_OK)
        upload->locked.position = writing->end;
    else if (upload->locked.failed == ORBIT_OK)
        upload->locked.failed = status;
    struct orb_local_writing *next;
    while ((next = next_in_turn(upload))) {
        next->woken = true;
        orbit_op_run(next->op, orb_local_part_work);
    }
    pthread_mutex_unlock(&upload->mutex);
}

static void leave_journal(struct orb_local_writing *writing, orbit_status status)
{
    struct orb_extent extent = {0};
    orbit_body *body = writing->body;
    if (!writing->spanned)
        return;
    if (status == ORBIT_OK && body->checksum && writing->end > writing->begin) {
        orbit_checksum crc64 = body->checksum(body, ORBIT_CHECKSUM_CRC64NVME);
        orbit_checksum crc32c = body->checksum(body, ORBIT_CHECKSUM_CRC32C);
        extent = (struct orb_extent){.offset = writing->begin, .length = writing->end - writing->begin};
        extent.crc64 = orb_checksum_value(&crc64);
        extent.crc32c = (uint32_t)orb_checksum_value(&crc32c);
        extent.crcs = (crc64.algorithm ? ORB_EXTENT_CRC64 : 0) | (crc32c.algorithm ? ORB_EXTENT_CRC32C : 0);
    }
    orb_local_journal_leave(writing->upload->target.journal, &writing->span, &extent);
    writing->spanned = false;
}

void orb_local_part_work(void *self, orbit_op *op)
{
    (void)self;
    struct orb_local_writing *writing = op->state;
    struct orb_local_upload *upload = writing->upload;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;
    bool ordered = upload->target.ordered;

    if (ordered && writing->at == writing->begin)
        status = await_turn(writing, op, &error);
    else if (!ordered && !orb_local_take_pen(writing, op))
        return;
    if (status == ORBIT_OK)
        status = drain(writing, op, &error);
    if (!ordered)
        orb_local_pass_pen(writing);
    if (status == ORBIT_AGAIN)
        return;
    if (status == ORBIT_OK)
        atomic_fetch_add(&upload->written, writing->end - writing->begin);
    if (ordered)
        pass_turn(writing, status);
    leave_journal(writing, status);
    orb_local_end(op, status, &error);
}

static void part_resume(orbit_op *op)
{
    orbit_op_run(op, orb_local_part_work);
}

void orb_local_part(void *self, orbit_op *op, void *upload, const orbit_part *part, orbit_body *body,
                    orbit_part_reply *reply)
{
    (void)self;
    (void)reply; /* nothing is known of a part but that it is there */
    struct orb_local_writing *writing = orb_calloc(1, sizeof(*writing));
    if (!writing) {
        orbit_op_done(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    writing->op = op;
    writing->upload = upload;
    writing->body = body;
    writing->begin = writing->at = part->offset;
    writing->end = part->offset + part->length;
    if (writing->upload->target.journal) {
        orb_local_journal_enter(writing->upload->target.journal, &writing->span, part->offset);
        writing->spanned = true;
    }
    op->state = writing;
    op->resume = part_resume;
    op->store = store;
    orbit_op_run(op, orb_local_part_work);
}

/* ---- begin, finish, abort ------------------------------------------------------------------------ */

static void begin_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_begin_request *begin = call->request;
    orbit_begin_reply *reply = call->reply;
    orbit_error error = {0};
    orbit_status status;

    struct orb_local_upload *upload = upload_new(begin->path);
    if (!upload) {
        status = orb_fail_memory(&error);
    } else {
        const struct orb_local_target_request request = {begin->path,      begin->options, begin->preserve,
                                                         begin->resume_id, begin->keep,    NULL};
        status = orb_local_target_open(&upload->target, self, op, &request, &error);
    }
    bool prefix = status >= 0 && begin->keep && begin->keep->prefix_bytes && upload->target.journal;
    if (prefix && upload->target.replaces) {
        status = orb_local_take_prefix(&upload->target, op, begin->keep, begin->path, &reply->prefix_bytes, &error);
        if (status < 0)
            orb_local_target_suspend(&upload->target);
    }
    if (status < 0) {
        upload_free(upload);
    } else {
        const struct orb_local_target *target = &upload->target;
        uint64_t bytes = 0;
        reply->upload = upload;
        reply->dropped = target->dropped;
        reply->keeps = target->journal != NULL;
        reply->reads_back = !target->in_place;
        if (target->journal)
            reply->extents = orb_local_journal_extents(target->journal, &reply->extent_count, &bytes);
        atomic_init(&upload->written, bytes);
        reply->upload_id = upload->target.temporary[0] ? upload->target.temporary : NULL;
    }
    orb_local_end(op, status, &error);
}

void orb_local_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply)
{
    (void)self;
    orb_local_start(op, request, reply, NULL, begin_work);
}

static orbit_status finish_check(struct orb_local_upload *upload, const orbit_op *op,
                                 const orbit_finish_request *request, orbit_error *error)
{
    struct orb_local_journal *journal = upload->target.journal;
    const orbit_checksum *expected = request->expected;
    bool extents_know = expected->algorithm == ORBIT_CHECKSUM_CRC64NVME || expected->algorithm == ORBIT_CHECKSUM_CRC32C;
    orbit_status status = journal ? orb_local_journal_stop(journal, error) : ORBIT_OK;
    if (status < 0)
        return status;
    if (journal && extents_know)
        return orb_local_journal_check(journal, op, expected, request->reread, upload->path, error);
    return orb_local_verify(&upload->target, request->size, op, expected, upload->path, error);
}

static void finish_work(void *self, orbit_op *op)
{
    (void)self;
    struct orb_local_call *call = op->state;
    const orbit_finish_request *request = call->request;
    struct orb_local_upload *upload = call->extra;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;

    if (orbit_op_cancelled(op))
        status = orb_local_cancelled(&error, "write", upload->path);
    else if (request->expected && !upload->target.in_place && !upload->target.published)
        status = finish_check(upload, op, request, &error);
    if (status == ORBIT_OK)
        status = upload_finish(upload, request->size, call->reply, &error);
    if (status == ORBIT_OK) { /* the directory stays, in case it is asked again */
        orb_local_journal_end(upload->target.journal, true);
        upload->target.journal = NULL;
        orb_local_close(upload->target.fd);
        upload->target.fd = -1;
    }
    orb_local_end(op, status, &error);
}

void orb_local_finish(void *self, orbit_op *op, void *upload, const orbit_finish_request *request,
                      orbit_metadata *reply)
{
    (void)self;
    orb_local_start(op, request, reply, upload, finish_work);
}

static void abort_work(void *self, orbit_op *op)
{
    (void)self;
    struct orb_local_call *call = op->state;
    struct orb_local_upload *upload = call->extra;
    orb_local_target_discard(&upload->target);
    orb_local_end(op, ORBIT_OK, NULL);
}

void orb_local_abort(void *self, orbit_op *op, void *upload)
{
    (void)self;
    orb_local_start(op, NULL, NULL, upload, abort_work);
}

static void suspend_work(void *self, orbit_op *op)
{
    (void)self;
    struct orb_local_call *call = op->state;
    struct orb_local_upload *upload = call->extra;
    orb_local_target_suspend(&upload->target);
    orb_local_end(op, ORBIT_OK, NULL);
}

void orb_local_suspend(void *self, orbit_op *op, void *upload)
{
    (void)self;
    orb_local_start(op, NULL, NULL, upload, suspend_work);
}

void orb_local_release(void *self, void *upload)
{
    (void)self;
    upload_free(upload);
}
