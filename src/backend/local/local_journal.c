/* SPDX-License-Identifier: Apache-2.0
 * The journal while bytes are written: two jobs on the workers, one that notes what has come, often, and one that
 * flushes and notes that, seldom. Parts only leave word in their span. What the file says is local_journal_file.c's.
 *
 * A job that is queued may find the journal closed: jobs hold a reference, and closing waits only for one that runs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "backend/local/local_journal_file.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    SPANS_NOTED = 64, /* parts noted at a time; there are seldom more than a dozen */
    NOTE_MS = 10,
    FLUSH_MS = 3000,
    READ_BYTES = 128 << 10
};
#define NOTE_BYTES  ((uint64_t)8 << 20)
#define FLUSH_BYTES ((uint64_t)128 << 20)
#define KEEP_BYTES  ((uint64_t)64 << 10) /* less is not worth a file that stays */

struct job {
    struct orb_job job;
    struct orb_local_journal *journal;
    _Atomic bool queued;
    _Atomic uint64_t bytes, at_ns; /* written since, and when, it last ran */
};

struct orb_local_journal {
    struct orb_pool *pool;
    _Atomic unsigned references;
    int fd; /* a copy of the temporary's */
    bool flushes;
    uint64_t size;
    orbit_extent *given;
    size_t given_count;
    uint64_t given_bytes;
    struct job note, flush;
    pthread_mutex_t mutex; /* held for a moment */
    pthread_cond_t quiet;
    struct {
        struct orb_local_span *spans;
        unsigned running;
        bool closed;
        int flush_failed; /* errno */
    } locked;
    pthread_mutex_t file_mutex; /* held while the journal's file is written: workers only */
    struct orb_local_record record;
};

static void unreference(struct orb_local_journal *journal)
{
    if (atomic_fetch_sub(&journal->references, 1) != 1)
        return;
    orb_local_close(journal->fd);
    orb_local_record_release(&journal->record);
    pthread_cond_destroy(&journal->quiet);
    pthread_mutex_destroy(&journal->mutex);
    pthread_mutex_destroy(&journal->file_mutex);
    orb_free(journal->given);
    orb_free(journal);
}

/* ---- the jobs ------------------------------------------------------------------------------------------- */

static bool enter_job(struct orb_local_journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    bool open = !journal->locked.closed;
    if (open)
        journal->locked.running++;
    pthread_mutex_unlock(&journal->mutex);
    return open;
}

static void leave_job(struct orb_local_journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    if (--journal->locked.running == 0)
        pthread_cond_broadcast(&journal->quiet);
    pthread_mutex_unlock(&journal->mutex);
}

static struct job *job_of(struct orb_job *job)
{
    return (struct job *)((char *)job - offsetof(struct job, job));
}

/* What the spans say is written already: the journal may say so. */
static size_t look_at_spans(struct orb_local_journal *journal, struct orb_extent found[SPANS_NOTED])
{
    size_t count = 0;
    pthread_mutex_lock(&journal->mutex);
    for (struct orb_local_span *span = journal->locked.spans; span && count < SPANS_NOTED; span = span->next) {
        uint64_t end = atomic_load_explicit(&span->end, memory_order_acquire);
        if (end > span->begin)
            found[count++] = (struct orb_extent){.offset = span->begin, .length = end - span->begin};
    }
    pthread_mutex_unlock(&journal->mutex);
    return count;
}

static void note(struct orb_local_journal *journal)
{
    struct orb_extent found[SPANS_NOTED];
    size_t count = look_at_spans(journal, found);
    pthread_mutex_lock(&journal->file_mutex);
    orb_local_record_add(&journal->record, found, count);
    pthread_mutex_unlock(&journal->file_mutex);
}

static void note_run(struct orb_job *job)
{
    struct orb_local_journal *journal = job_of(job)->journal;
    atomic_store(&journal->note.bytes, 0);
    atomic_store(&journal->note.at_ns, orb_now_ns());
    atomic_store(&journal->note.queued, false);
    if (enter_job(journal)) {
        note(journal);
        leave_job(journal);
    }
    unreference(journal);
}

static void flush_run(struct orb_job *job)
{
    struct orb_local_journal *journal = job_of(job)->journal;
    if (enter_job(journal)) {
        pthread_mutex_lock(&journal->file_mutex);
        bool marked = orb_local_record_mark(&journal->record);
        pthread_mutex_unlock(&journal->file_mutex);
        int number = fdatasync(journal->fd) < 0 ? errno : 0;
        pthread_mutex_lock(&journal->file_mutex);
        if (number == 0 && marked)
            orb_local_record_flushed(&journal->record);
        pthread_mutex_unlock(&journal->file_mutex);
        orb_local_record_sync(&journal->record);
        pthread_mutex_lock(&journal->mutex);
        if (number && number != EINVAL && number != EROFS)
            journal->locked.flush_failed = number;
        pthread_mutex_unlock(&journal->mutex);
        leave_job(journal);
    }
    atomic_store(&journal->flush.bytes, 0);
    atomic_store(&journal->flush.at_ns, orb_now_ns());
    atomic_store(&journal->flush.queued, false);
    unreference(journal);
}

static void due(struct orb_local_journal *journal, struct job *job, uint64_t written, uint64_t bytes, uint64_t ns,
                uint64_t now_ns)
{
    uint64_t since = atomic_fetch_add_explicit(&job->bytes, written, memory_order_relaxed) + written;
    uint64_t at_ns = atomic_load_explicit(&job->at_ns, memory_order_relaxed);
    if ((since < bytes && now_ns < at_ns + ns) || atomic_exchange(&job->queued, true))
        return;
    atomic_fetch_add(&journal->references, 1);
    orb_pool_submit(journal->pool, &job->job);
}

/* ---- parts ---------------------------------------------------------------------------------------------- */

void orb_local_journal_enter(struct orb_local_journal *journal, struct orb_local_span *span, uint64_t begin)
{
    span->begin = begin;
    atomic_init(&span->end, begin);
    pthread_mutex_lock(&journal->mutex);
    span->next = journal->locked.spans;
    span->link = &journal->locked.spans;
    if (span->next)
        span->next->link = &span->next;
    journal->locked.spans = span;
    pthread_mutex_unlock(&journal->mutex);
}

void orb_local_journal_wrote(struct orb_local_journal *journal, struct orb_local_span *span, uint64_t end)
{
    uint64_t before = atomic_load_explicit(&span->end, memory_order_relaxed), now_ns = orb_now_ns();
    atomic_store_explicit(&span->end, end, memory_order_release);
    due(journal, &journal->note, end - before, NOTE_BYTES, NOTE_MS * ORB_MS, now_ns);
    if (journal->flushes)
        due(journal, &journal->flush, end - before, FLUSH_BYTES, FLUSH_MS * ORB_MS, now_ns);
}

void orb_local_journal_leave(struct orb_local_journal *journal, struct orb_local_span *span,
                             const struct orb_extent *extent)
{
    pthread_mutex_lock(&journal->mutex);
    *span->link = span->next;
    if (span->next)
        span->next->link = span->link;
    pthread_mutex_unlock(&journal->mutex);
    struct orb_extent whole = *extent;
    uint64_t end = atomic_load_explicit(&span->end, memory_order_acquire);
    if (whole.length == 0)
        whole = (struct orb_extent){.offset = span->begin, .length = end - span->begin};
    if (whole.length == 0)
        return;
    pthread_mutex_lock(&journal->file_mutex);
    orb_local_record_add(&journal->record, &whole, 1);
    pthread_mutex_unlock(&journal->file_mutex);
}

/* ---- opening -------------------------------------------------------------------------------------------- */

static orbit_status give_extents(struct orb_local_journal *journal, const struct orb_extents *extents,
                                 orbit_error *error)
{
    orb_free(journal->given);
    journal->given = orb_calloc(extents->count, sizeof(*journal->given));
    if (!journal->given)
        return orb_fail_memory(error);
    journal->given_count = extents->count;
    journal->given_bytes = orb_extents_bytes(extents);
    for (size_t i = 0; i < extents->count; i++)
        journal->given[i] = (orbit_extent){extents->at[i].offset, extents->at[i].length};
    return ORBIT_OK;
}

orbit_status orb_local_journal_open(struct orb_local_journal **made, struct orb_local *self,
                                    const struct orb_local_journal_request *request, orbit_error *error)
{
    *made = NULL;
    struct orb_local_journal *journal = orb_calloc(1, sizeof(*journal));
    if (!journal)
        return orb_fail_memory(error);
    journal->pool = self->host->pool;
    atomic_init(&journal->references, 1);
    journal->flushes = request->flushes;
    journal->size = request->keep->size;
    pthread_mutex_init(&journal->mutex, NULL);
    pthread_mutex_init(&journal->file_mutex, NULL);
    pthread_cond_init(&journal->quiet, NULL);
    journal->note.journal = journal->flush.journal = journal;
    journal->note.job.run = note_run;
    journal->flush.job.run = flush_run;
    atomic_init(&journal->note.at_ns, orb_now_ns());
    atomic_init(&journal->flush.at_ns, orb_now_ns());
    orbit_status status = ORBIT_OK;
    journal->fd = fcntl(request->fd, F_DUPFD_CLOEXEC, 0);
    if (journal->fd < 0)
        status = orb_fail_errno(error, errno, "cannot keep '%s'", request->temporary);
    if (status >= 0)
        status = orb_local_record_open(&journal->record, self->boot_id_path, request, error);
    if (status == ORBIT_OK)
        status = give_extents(journal, &journal->record.written, error);
    if (status != ORBIT_OK) {
        unreference(journal);
        return status;
    }
    *made = journal;
    return ORBIT_OK;
}

orbit_status orb_local_journal_give(struct orb_local_journal *journal, uint64_t end, orbit_error *error)
{
    struct orb_extents all = {0};
    const struct orb_extent more = {.length = end};
    orbit_status status = ORBIT_OK;
    if (orb_extents_copy(&all, &journal->record.written) && orb_extents_add(&all, &more))
        status = give_extents(journal, &all, error);
    else
        status = orb_fail_memory(error);
    orb_extents_release(&all);
    return status;
}

const orbit_extent *orb_local_journal_extents(const struct orb_local_journal *journal, size_t *count, uint64_t *bytes)
{
    *count = journal->given_count;
    *bytes = journal->given_bytes;
    return journal->given;
}

/* ---- the end -------------------------------------------------------------------------------------------- */

orbit_status orb_local_journal_stop(struct orb_local_journal *journal, orbit_error *error)
{
    pthread_mutex_lock(&journal->mutex);
    journal->locked.closed = true;
    while (journal->locked.running > 0)
        pthread_cond_wait(&journal->quiet, &journal->mutex);
    int number = journal->locked.flush_failed;
    pthread_mutex_unlock(&journal->mutex);
    return number ? orb_fail_errno(error, number, "cannot flush what was written to the disk") : ORBIT_OK;
}

struct sum {
    struct orb_local_journal *journal;
    const orbit_op *op;
    bool is_64;
    uint64_t crc64;
    uint32_t crc32c;
    uint8_t *buffer;
    uint64_t at;
};

/* 0, or a negative errno. */
static int sum_from_disk(struct sum *sum, uint64_t end)
{
    while (sum->at < end) {
        size_t want = end - sum->at < READ_BYTES ? (size_t)(end - sum->at) : READ_BYTES;
        ssize_t n = pread(sum->journal->fd, sum->buffer, want, (off_t)sum->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        if (orbit_op_cancelled(sum->op))
            return -ECANCELED;
        if (sum->is_64)
            sum->crc64 = orb_crc64nvme(sum->crc64, sum->buffer, (size_t)n);
        else
            sum->crc32c = orb_crc32c(sum->crc32c, sum->buffer, (size_t)n);
        sum->at += (uint64_t)n;
    }
    return 0;
}

static int sum_all(struct sum *sum, bool reread)
{
    const struct orb_extents *extents = &sum->journal->record.written;
    unsigned wanted = sum->is_64 ? ORB_EXTENT_CRC64 : ORB_EXTENT_CRC32C;
    int status = 0;
    for (size_t i = 0; i < extents->count && !reread && status == 0; i++) {
        const struct orb_extent *extent = &extents->at[i];
        if (!(extent->crcs & wanted))
            continue;
        status = sum_from_disk(sum, extent->offset);
        sum->crc64 = orb_crc64nvme_combine(sum->crc64, extent->crc64, extent->length);
        sum->crc32c = orb_crc32c_combine(sum->crc32c, extent->crc32c, extent->length);
        sum->at = extent->offset + extent->length;
    }
    return status < 0 ? status : sum_from_disk(sum, sum->journal->size);
}

orbit_status orb_local_journal_check(struct orb_local_journal *journal, const orbit_op *op,
                                     const orbit_checksum *expected, bool reread, const char *path, orbit_error *error)
{
    struct sum sum = {.journal = journal, .op = op, .is_64 = expected->algorithm == ORBIT_CHECKSUM_CRC64NVME};
    struct orb_local_shown shown;
    if (!sum.is_64 && expected->algorithm != ORBIT_CHECKSUM_CRC32C)
        return ORBIT_OK;
    sum.buffer = orb_malloc(READ_BYTES);
    if (!sum.buffer)
        return orb_fail_memory(error);
    int result = sum_all(&sum, reread);
    orb_free(sum.buffer);
    if (result < 0)
        return orb_local_fail(error, -result, "verify", path);
    if ((sum.is_64 ? sum.crc64 : sum.crc32c) != orb_checksum_value(expected))
        return orb_fail(error, ORBIT_E_CHECKSUM, 0,
                        "the bytes of '%s', some of them of an earlier attempt, are not those whose checksum the store "
                        "keeps",
                        orb_local_show(&shown, path));
    return ORBIT_OK;
}

bool orb_local_journal_end(struct orb_local_journal *journal, bool remove)
{
    if (!journal)
        return false;
    bool stays = orb_local_journal_stop(journal, NULL) >= 0 && !remove;
    if (stays && orb_extents_bytes(&journal->record.written) < KEEP_BYTES)
        stays = false;
    orb_local_record_close(&journal->record, !stays);
    orb_local_close(journal->fd); /* the lock goes with the last descriptor of the temporary */
    journal->fd = -1;
    unreference(journal);
    return stays;
}
