/* SPDX-License-Identifier: Apache-2.0
 * The external merge sort.
 *
 * Lines gather in one block of memory: records grow from its front, their offsets from its back. A full block is
 * sorted and written as a run. FAN_IN runs of one level are merged into one run of the next, so that the table of
 * runs is of fixed size however many lines come; what a merge has read is punched out of the file. While a merge
 * runs the block is empty and serves as the windows through which the runs are read: a record is never held as a
 * whole, so neither a name nor a line has a longest. */
#include "sorter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spill.h"
#include "text.h"

enum { FAN_IN = 48, LEVELS = 8, RUNS_MAX = FAN_IN * LEVELS, WRITE_BYTES = 32 * 1024 };

/* Follows each other in memory and in the file: head, name, line. */
struct head {
    uint64_t rank;
    uint64_t line_length;
    uint64_t name_length;
};

struct run {
    off_t offset, end;
};

/* A run that is being merged, seen through a window. */
struct cursor {
    struct head head;
    off_t at, end; /* of the record at hand, and of the run */
    off_t window_at;
    size_t window_length;
    char *window;
};

struct sorter {
    char *block;
    size_t room;        /* of the block */
    size_t used, count; /* bytes of records at its front, offsets at its back */
    int file;           /* -1: nothing was spilled yet */
    off_t file_end;
    struct run runs[LEVELS][FAN_IN];
    size_t run_count[LEVELS];
    struct cursor cursors[RUNS_MAX];
    size_t window_room;
    char out[WRITE_BYTES]; /* of the run that is being written */
    size_t out_used;
    orbit_error *error; /* of the call under way */
};

struct sorter *sorter_new(size_t bytes)
{
    struct sorter *sorter = memory_zeroed(1, sizeof *sorter);
    sorter->room = bytes / sizeof(size_t) * sizeof(size_t);
    sorter->block = memory_zeroed(1, sorter->room);
    sorter->file = -1;
    return sorter;
}

void sorter_free(struct sorter *sorter)
{
    if (!sorter)
        return;
    if (sorter->file >= 0)
        close(sorter->file);
    free(sorter->block);
    free(sorter);
}

/* ---- the file ------------------------------------------------------------------------------------ */

static bool file_failed(const struct sorter *sorter, const char *verb)
{
    spill_failed(verb, "the sort", sorter->error);
    return false;
}

static bool file_open(struct sorter *sorter)
{
    if (sorter->file < 0)
        sorter->file = spill_open("the sort", sorter->error);
    return sorter->file >= 0;
}

static bool out_flush(struct sorter *sorter)
{
    for (size_t done = 0; done < sorter->out_used;) {
        ssize_t wrote = pwrite(sorter->file, sorter->out + done, sorter->out_used - done, sorter->file_end);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return file_failed(sorter, "write");
        done += (size_t)wrote;
        sorter->file_end += wrote;
    }
    sorter->out_used = 0;
    return true;
}

static bool out_bytes(void *ctx, const char *bytes, size_t length)
{
    struct sorter *sorter = ctx;
    while (length) {
        size_t fits = sizeof sorter->out - sorter->out_used;
        if (!fits) {
            if (!out_flush(sorter))
                return false;
            continue;
        }
        if (fits > length)
            fits = length;
        memcpy(sorter->out + sorter->out_used, bytes, fits);
        sorter->out_used += fits;
        bytes += fits;
        length -= fits;
    }
    return true;
}

/* The bytes of a run from `at` on, as many as the window shows (one at least); NULL when they cannot be read. */
static const char *cursor_look(struct sorter *sorter, struct cursor *cursor, off_t at, size_t *length)
{
    if (at < cursor->window_at || at >= cursor->window_at + (off_t)cursor->window_length) {
        size_t want = sorter->window_room;
        ssize_t got;
        if ((off_t)want > cursor->end - at)
            want = (size_t)(cursor->end - at);
        do
            got = pread(sorter->file, cursor->window, want, at);
        while (got < 0 && errno == EINTR);
        if (got <= 0) {
            errno = got ? errno : EIO;
            file_failed(sorter, "read");
            return NULL;
        }
        cursor->window_at = at;
        cursor->window_length = (size_t)got;
    }
    *length = cursor->window_length - (size_t)(at - cursor->window_at);
    return cursor->window + (at - cursor->window_at);
}

static bool cursor_copy(struct sorter *sorter, struct cursor *cursor, off_t at, uint64_t length,
                        bool (*put)(void *, const char *, size_t), void *ctx)
{
    while (length) {
        size_t there;
        const char *bytes = cursor_look(sorter, cursor, at, &there);
        if (!bytes)
            return false;
        if (there > length)
            there = (size_t)length;
        if (!put(ctx, bytes, there))
            return false;
        at += (off_t)there;
        length -= there;
    }
    return true;
}

static bool into_memory(void *ctx, const char *bytes, size_t length)
{
    char **to = ctx;
    *to = mempcpy(*to, bytes, length);
    return true;
}

/* Takes up the record at `at`. */
static bool cursor_set(struct sorter *sorter, struct cursor *cursor, off_t at)
{
    char *to = (char *)&cursor->head;
    cursor->at = at;
    return at >= cursor->end || cursor_copy(sorter, cursor, at, sizeof cursor->head, into_memory, &to);
}

static off_t name_at(const struct cursor *cursor)
{
    return cursor->at + (off_t)sizeof cursor->head;
}

static off_t line_at(const struct cursor *cursor)
{
    return name_at(cursor) + (off_t)cursor->head.name_length;
}

/* ---- the order ----------------------------------------------------------------------------------- */

static int compare_lengths(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_records(const void *a, const void *b, void *block)
{
    const char *base = block, *first = base + *(const size_t *)a, *second = base + *(const size_t *)b;
    struct head x, y;
    memcpy(&x, first, sizeof x);
    memcpy(&y, second, sizeof y);
    if (x.rank != y.rank)
        return x.rank < y.rank ? -1 : 1;
    int order =
        memcmp(first + sizeof x, second + sizeof y, x.name_length < y.name_length ? x.name_length : y.name_length);
    if (!order)
        order = compare_lengths(x.name_length, y.name_length);
    return order ? order : first < second ? -1 : 1; /* the one that came first */
}

/* Whether the record of `a` goes before that of `b`; the order of the cursors decides between equals. Names are
 * compared window by window. A failed read is noticed by the caller, who reads the winner. */
static bool cursor_before(struct sorter *sorter, struct cursor *a, struct cursor *b, bool *failed)
{
    if (a->head.rank != b->head.rank)
        return a->head.rank < b->head.rank;
    uint64_t common = a->head.name_length < b->head.name_length ? a->head.name_length : b->head.name_length;
    for (uint64_t done = 0; done < common;) {
        size_t x_length, y_length;
        const char *x = cursor_look(sorter, a, name_at(a) + (off_t)done, &x_length);
        const char *y = x ? cursor_look(sorter, b, name_at(b) + (off_t)done, &y_length) : NULL;
        if (!y) {
            *failed = true;
            return false;
        }
        size_t length = x_length < y_length ? x_length : y_length;
        if (length > common - done)
            length = (size_t)(common - done);
        int order = memcmp(x, y, length);
        if (order)
            return order < 0;
        done += length;
    }
    if (a->head.name_length != b->head.name_length)
        return a->head.name_length < b->head.name_length;
    return a < b;
}

/* ---- merging ------------------------------------------------------------------------------------- */

struct merge {
    struct sorter *sorter;
    struct cursor *heap[RUNS_MAX];
    size_t count;
    bool failed;
};

static void sift_down(struct merge *merge, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < merge->count; child++)
            if (cursor_before(merge->sorter, merge->heap[child], merge->heap[least], &merge->failed))
                least = child;
        if (least == at)
            return;
        struct cursor *moved = merge->heap[at];
        merge->heap[at] = merge->heap[least];
        merge->heap[least] = moved;
        at = least;
    }
}

/* Merges the runs under the cursors. Whole records go to another run, lines alone go out. */
static bool merge_cursors(struct sorter *sorter, size_t count, bool lines_only,
                          bool (*put)(void *, const char *, size_t), void *ctx)
{
    struct merge merge = {.sorter = sorter, .count = count};
    for (size_t i = 0; i < count; i++)
        merge.heap[i] = &sorter->cursors[i];
    for (size_t i = count / 2; i-- > 0;)
        sift_down(&merge, i);
    while (merge.count && !merge.failed) {
        struct cursor *first = merge.heap[0];
        off_t next = line_at(first) + (off_t)first->head.line_length;
        off_t from = lines_only ? line_at(first) : first->at;
        if (!cursor_copy(sorter, first, from, (uint64_t)(next - from), put, ctx) || !cursor_set(sorter, first, next))
            return false;
        if (first->at >= first->end)
            merge.heap[0] = merge.heap[--merge.count];
        sift_down(&merge, 0);
    }
    return !merge.failed;
}

/* Puts cursors over the runs of one level. The oldest come first: of equal lines the first stays first. */
static bool cursors_over(struct sorter *sorter, size_t level, size_t *count)
{
    for (size_t i = 0; i < sorter->run_count[level]; i++) {
        struct cursor *cursor = &sorter->cursors[*count];
        *cursor = (struct cursor){.end = sorter->runs[level][i].end};
        cursor->window = sorter->block + *count * sorter->window_room;
        ++*count;
        if (!cursor_set(sorter, cursor, sorter->runs[level][i].offset))
            return false;
    }
    return true;
}

static bool merge_level(struct sorter *sorter, size_t level)
{
    struct run merged = {.offset = sorter->file_end};
    size_t count = 0;

    sorter->window_room = sorter->room / FAN_IN;
    if (!cursors_over(sorter, level, &count) || !merge_cursors(sorter, count, false, out_bytes, sorter) ||
        !out_flush(sorter))
        return false;
    merged.end = sorter->file_end;
    for (size_t i = 0; i < count; i++) { /* the room goes back, where the file system can */
        struct run *run = &sorter->runs[level][i];
        (void)fallocate(sorter->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, run->offset, run->end - run->offset);
    }
    sorter->run_count[level] = 0;
    sorter->runs[level + 1][sorter->run_count[level + 1]++] = merged;
    return true;
}

/* A run was added to level 0: merge what is full. The last level never is: FAN_IN to the eighth runs. */
static bool merge_full_levels(struct sorter *sorter)
{
    for (size_t level = 0; level + 1 < LEVELS && sorter->run_count[level] == FAN_IN; level++)
        if (!merge_level(sorter, level))
            return false;
    return true;
}

/* ---- the block ----------------------------------------------------------------------------------- */

static size_t *offsets_of(struct sorter *sorter)
{
    return (size_t *)(void *)(sorter->block + sorter->room) - sorter->count;
}

static size_t record_length(const char *record)
{
    struct head head;
    memcpy(&head, record, sizeof head);
    return sizeof head + head.name_length + head.line_length;
}

static bool spill(struct sorter *sorter)
{
    struct run run = {.offset = sorter->file_end};
    size_t *offsets = offsets_of(sorter);

    if (!sorter->count)
        return true;
    if (!file_open(sorter))
        return false;
    qsort_r(offsets, sorter->count, sizeof *offsets, compare_records, sorter->block);
    for (size_t i = 0; i < sorter->count; i++) {
        const char *record = sorter->block + offsets[i];
        if (!out_bytes(sorter, record, record_length(record)))
            return false;
    }
    if (!out_flush(sorter))
        return false;
    run.end = sorter->file_end;
    sorter->runs[0][sorter->run_count[0]++] = run;
    sorter->used = sorter->count = 0;
    return merge_full_levels(sorter);
}

/* A record that the block cannot hold is a run of its own. */
static bool spill_alone(struct sorter *sorter, const struct head *head, const char *name, const char *line)
{
    struct run run = {.offset = sorter->file_end};
    if (!file_open(sorter) || !out_bytes(sorter, (const char *)head, sizeof *head) ||
        !out_bytes(sorter, name, head->name_length) || !out_bytes(sorter, line, head->line_length) ||
        !out_flush(sorter))
        return false;
    run.end = sorter->file_end;
    sorter->runs[0][sorter->run_count[0]++] = run;
    return merge_full_levels(sorter);
}

bool sorter_add(struct sorter *sorter, uint64_t rank, const char *name, size_t name_length, const char *line,
                size_t line_length, orbit_error *error)
{
    const struct head head = {.rank = rank, .line_length = line_length, .name_length = name_length};
    size_t length = sizeof head + name_length + line_length;

    sorter->error = error;
    if (sorter->used + length + (sorter->count + 1) * sizeof(size_t) > sorter->room && !spill(sorter))
        return false;
    if (length + sizeof(size_t) > sorter->room)
        return spill_alone(sorter, &head, name, line);
    char *to = mempcpy(sorter->block + sorter->used, &head, sizeof head);
    to = mempcpy(to, name, name_length);
    memcpy(to, line, line_length);
    sorter->count++;
    offsets_of(sorter)[0] = sorter->used;
    sorter->used += length;
    return true;
}

static bool finish_in_memory(struct sorter *sorter, bool (*put)(void *, const char *, size_t), void *ctx)
{
    size_t *offsets = offsets_of(sorter);
    qsort_r(offsets, sorter->count, sizeof *offsets, compare_records, sorter->block);
    for (size_t i = 0; i < sorter->count; i++) {
        const char *record = sorter->block + offsets[i];
        struct head head;
        memcpy(&head, record, sizeof head);
        if (!put(ctx, record + sizeof head + head.name_length, head.line_length))
            break;
    }
    return true;
}

bool sorter_finish(struct sorter *sorter, bool (*put)(void *ctx, const char *bytes, size_t length), void *ctx,
                   orbit_error *error)
{
    size_t count = 0, total = 0;

    *error = (orbit_error){0};
    sorter->error = error;
    if (sorter->file < 0)
        return finish_in_memory(sorter, put, ctx);
    if (!spill(sorter))
        return false;
    for (size_t level = 0; level < LEVELS; level++)
        total += sorter->run_count[level];
    sorter->window_room = sorter->room / total;
    for (size_t level = LEVELS; level-- > 0;) /* a higher level's lines came before a lower one's */
        if (!cursors_over(sorter, level, &count))
            return false;
    return merge_cursors(sorter, count, true, put, ctx) || !error->status;
}
