/* SPDX-License-Identifier: Apache-2.0
 * What a walk asks of the store: beginning a directory, its pages; and how directories that wait are put aside so
 * that neither depth nor width costs memory. Loop thread only. See walk.h. */
#include "stream/walk.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define RETAINED_MAX     ((size_t)512 << 10) /* bytes of pages that wait */
#define TRIM_FROM        ((size_t)128 << 10) /* from here on they are trimmed to what they hold */
#define SUSPEND_PATH_MAX 1024u               /* a suspended cursor remembers its path: long ones are begun again */
#define EMPTY_PAGES_MAX  10000u

static struct orb_walk *walk_of(struct orb_call *call)
{
    return call->ctx;
}

static struct orb_level *at_hand(struct orb_walk *walk)
{
    return &walk->levels[walk->count - 1];
}

/* Starts one operation; on a worker it is over when this returns. */
static void ask(struct orb_walk *walk, void (*start)(struct orb_call *call),
                void (*done)(struct orb_call *call, orbit_status status, const orbit_error *error))
{
    walk->call.op.synchronous = walk->on_worker;
    if (!walk->on_worker) {
        walk->running = true;
        walk->call.tally = &walk->producer.lister->stream.tally;
        orb_call_start(&walk->call, walk->backend, start, done, walk);
        return;
    }
    struct orb_op *op = &walk->call.op;
    walk->call.ctx = walk;
    orb_op_begin(op, walk->backend, NULL);
    ORB_TALLY_ADD(&walk->producer.lister->stream.tally, operations, 1);
    start(&walk->call);
    op->running = false;
    done(&walk->call, op->status, op->status < 0 ? &op->error : NULL);
}

/* ---- giving up ----------------------------------------------------------------------------------- */

static void end_cursor(struct orb_walk *walk, struct orb_level *level)
{
    if (!level->cursor)
        return;
    if (level->open)
        walk->cursors--;
    level->open = false;
    walk->backend->ops->list_end(walk->backend->self, level->cursor);
    level->cursor = NULL;
}

static void drop_behind(struct orb_walk *walk, struct orb_level *level)
{
    while (level->behind) {
        struct orbit_page page = orb_scout_page_take(walk, &level->behind);
        orb_page_release(&page);
    }
}

void orb_level_release(struct orb_walk *walk, struct orb_level *level)
{
    end_cursor(walk, level);
    orb_page_release(&level->page);
    drop_behind(walk, level);
    orb_brood_drop(&level->brood, true);
    orb_scout_drop(level->scout);
    if (level->state != ORB_LEVEL_SPOOLED)
        return;
    if (--walk->spooled == 0)
        walk->spool.end = 0;
    else if (walk->spool.end == level->spool_end)
        walk->spool.end = level->spool_from;
}

static void drop_page(struct orb_walk *walk, struct orb_level *level)
{
    walk->retained -= level->page.room;
    orb_page_release(&level->page);
    orb_brood_drop(&level->brood, false);
    level->at.at = 0;
}

/* The page behind the one at hand becomes it. */
static void take_behind(struct orb_walk *walk, struct orb_level *level)
{
    orb_page_release(&level->page);
    level->page = orb_scout_page_take(walk, &level->behind);
    orb_brood_drop(&level->brood, false);
}

/* The cursor goes on after `position` when it is asked again, or it is given up and begun again there. */
static void suspend(struct orb_walk *walk, struct orb_level *level, uint64_t position)
{
    drop_behind(walk, level);
    if (!level->cursor)
        return;
    if (level->path_length > SUSPEND_PATH_MAX) {
        end_cursor(walk, level);
        return;
    }
    if (level->open)
        walk->cursors--;
    level->open = false;
    walk->backend->ops->list_suspend(walk->backend->self, level->cursor, position);
}

/* The place behind the last entry of the page at hand. */
static uint64_t last_position(const struct orb_level *level)
{
    struct orb_page_cursor at = level->at;
    struct orb_page_item item;
    uint64_t position = level->position;
    while (orb_page_next(&level->page, &at, &item))
        position = item.position;
    return position;
}

/* ---- putting aside on disk ----------------------------------------------------------------------- */

static void spool_next(struct orb_walk *walk);

static void spool_went_on(struct orb_walk *walk, struct orb_level *level)
{
    level->more = level->page.more;
    level->at.at = 0;
    walk->retained += level->page.room;
    spool_next(walk);
}

static void spool_page_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_walk *walk = walk_of(call);
    struct orb_level *level = &walk->levels[walk->spooling];
    if (orb_walk_over(walk))
        return;
    if (status < 0) {
        orb_walk_fail(walk, status, error);
        return;
    }
    spool_went_on(walk, level);
}

static void spool_start_page(struct orb_call *call)
{
    struct orb_walk *walk = walk_of(call);
    struct orb_level *level = &walk->levels[walk->spooling];
    orb_page_reset(&level->page);
    orb_call_names(call, ORBIT_REQUEST_LIST, NULL);
    walk->backend->ops->list_page(walk->backend->self, &call->op.op, level->cursor, &level->page);
}

static void spool_written(void *ctx, orbit_status status, const orbit_error *error)
{
    struct orb_walk *walk = ctx;
    struct orb_level *level = &walk->levels[walk->spooling];
    if (orb_walk_over(walk))
        return;
    if (status < 0) {
        orb_walk_fail(walk, status, error);
        return;
    }
    level->spool_end = walk->spool.end;
    drop_page(walk, level);
    if (level->behind) {
        take_behind(walk, level);
        spool_went_on(walk, level);
        return;
    }
    if (level->more) {
        walk->running = true;
        atomic_fetch_add(&walk->lister->pages, 1);
        orb_call_start(&walk->call, walk->backend, spool_start_page, spool_page_done, walk);
        return;
    }
    end_cursor(walk, level);
    level->state = ORB_LEVEL_SPOOLED;
    walk->spooled++;
    walk->spooling = SIZE_MAX;
    level->more = level->spool_at < level->spool_end;
    orb_walk_run(walk);
}

static void spool_next(struct orb_walk *walk)
{
    struct orb_level *level = &walk->levels[walk->spooling];
    walk->running = true;
    orb_spool_write(&walk->spool, &level->page, level->at, spool_written, walk);
}

static void spool_level(struct orb_walk *walk, size_t index)
{
    struct orb_level *level = &walk->levels[index];
    walk->spooling = index;
    level->spool_from = level->spool_at = walk->spool.end;
    spool_next(walk);
}

/* ---- the limits ---------------------------------------------------------------------------------- */

static bool shed_cursor(struct orb_walk *walk)
{
    while (!walk->levels[walk->lowest_cursor].open)
        walk->lowest_cursor++;
    size_t index = walk->lowest_cursor;
    struct orb_level *level = &walk->levels[index];
    if (!level->more) {
        end_cursor(walk, level); /* it came to its end: only the page at hand is left */
    } else if (walk->backend->caps.seekable_list && walk->backend->ops->list_suspend) {
        suspend(walk, level, last_position(level));
    } else {
        spool_level(walk, index);
        return true;
    }
    return false;
}

static bool shed_page(struct orb_walk *walk)
{
    while (!walk->levels[walk->lowest_page].page.room)
        walk->lowest_page++;
    size_t index = walk->lowest_page;
    struct orb_level *level = &walk->levels[index];
    if (level->at.at >= level->page.used) {
        drop_page(walk, level); /* all of it was taken */
    } else if (level->state == ORB_LEVEL_SPOOLED) {
        level->spool_at = level->spool_page; /* it is still there */
        level->spool_skip = level->at.at;
        level->more = true;
        drop_page(walk, level);
    } else if (walk->backend->caps.seekable_list && walk->backend->ops->list_suspend) {
        drop_page(walk, level);
        suspend(walk, level, level->position);
        level->more = true;
    } else {
        spool_level(walk, index);
        return true;
    }
    return false;
}

bool orb_walk_shed(struct orb_walk *walk)
{
    /* The level at hand and, for its beginning, the one above it stay. */
    while (walk->cursors > orb_ahead_leaves_cursors(walk) && walk->lowest_cursor + 2 < walk->count)
        if (shed_cursor(walk))
            return true;
    while (walk->retained > RETAINED_MAX && walk->lowest_page + 2 < walk->count)
        if (shed_page(walk))
            return true;
    return false;
}

/* ---- asking -------------------------------------------------------------------------------------- */

/* An error that will be the same for every other directory. */
static bool is_final(orbit_status status)
{
    switch (status) {
    case ORBIT_E_AUTH:
    case ORBIT_E_CONNECT:
    case ORBIT_E_TIMEOUT:
    case ORBIT_E_CONFIG:
    case ORBIT_E_NETWORK:
    case ORBIT_E_CANCELLED:
    case ORBIT_E_MEMORY:
    case ORBIT_E_UNTRUSTED:
    case ORBIT_E_MISUSE:
        return true;
    default:
        return false;
    }
}

static void failed(struct orb_walk *walk, orbit_status status, const orbit_error *error)
{
    struct orb_level *level = at_hand(walk);
    orb_page_reset(&level->page);
    orb_brood_drop(&level->brood, false);
    level->at.at = 0;
    if (level->depth == 0 || is_final(status)) {
        orb_walk_fail(walk, status, error);
        return;
    }
    walk->failure = *error;
    level->state = ORB_LEVEL_FAILED;
}

/* A parent of which nothing is left is over; its place is its child's. */
static void tail(struct orb_walk *walk)
{
    if (walk->count < 2)
        return;
    struct orb_level *parent = &walk->levels[walk->count - 2];
    if (!parent->more && parent->at.at >= parent->page.used && !parent->brood.first) {
        walk->retained -= parent->page.room;
        orb_level_release(walk, parent);
        *parent = *at_hand(walk);
        walk->count--;
        return;
    }
    if (walk->retained > TRIM_FROM) {
        walk->retained -= parent->page.room;
        orb_page_trim(&parent->page);
        walk->retained += parent->page.room;
    }
}

static void begin_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_walk *walk = walk_of(call);
    struct orb_level *level = at_hand(walk);
    if (status < 0)
        level->cursor = NULL;
    if (level->cursor) {
        level->open = true;
        walk->cursors++;
    }
    if (orb_walk_over(walk))
        return;
    if (status < 0) {
        failed(walk, status, error);
        orb_walk_run(walk);
        return;
    }
    level->state = ORB_LEVEL_OPEN;
    level->more = true;
    if (level->position) {
        walk->cursors--;
        level->open = false;
        walk->backend->ops->list_suspend(walk->backend->self, level->cursor, level->position);
    }
    tail(walk);
    orb_level_page(walk);
}

static void start_begin(struct orb_call *call)
{
    struct orb_walk *walk = walk_of(call);
    call->quiet = true;
    orb_call_names(call, ORBIT_REQUEST_LIST_BEGIN, walk->request.path);
    walk->backend->ops->list_begin(walk->backend->self, &call->op.op, &walk->request, &at_hand(walk)->cursor);
}

bool orb_walk_spell(const struct orb_walk *walk, const char *path, size_t length, struct orb_buf *to)
{
    const char *root = walk->lister->path;
    size_t root_length = strlen(root);
    orb_buf_reset(to);
    orb_buf_append(to, root, root_length);
    if (length && root_length && root[root_length - 1] != '/')
        orb_buf_char(to, '/');
    orb_buf_append(to, path, length);
    return !to->failed;
}

static bool make_request(struct orb_walk *walk)
{
    const orbit_list_options *options = &walk->lister->options;
    const struct orb_level *level = at_hand(walk);
    size_t name_length;
    const char *path = orb_buf_string(&walk->path);
    const char *name = orb_list_name_prefix(options, path, walk->path.length, &name_length);
    bool spelled = orb_walk_spell(walk, path, level->path_length, &walk->request_path);
    orb_buf_reset(&walk->name_prefix);
    orb_buf_append(&walk->name_prefix, name, name_length);
    const struct orb_level *parent = walk->count > 1 ? &walk->levels[walk->count - 2] : NULL;
    bool direct = parent && parent->open && parent->depth + 1 == level->depth;
    walk->request = (orbit_list_request){
        .path = orb_buf_string(&walk->request_path),
        .want_metadata = options->want_metadata || options->follow_symlinks,
        .follow_symlinks = options->follow_symlinks,
        .prefix = name_length ? orb_buf_string(&walk->name_prefix) : NULL,
        .page_entries = walk->lister->page_entries,
        .keep_open = true,
        .parent = direct ? parent->cursor : NULL,
    };
    return spelled && !walk->name_prefix.failed;
}

void orb_level_begin(struct orb_walk *walk)
{
    if (!make_request(walk)) {
        orbit_error error;
        orb_walk_fail(walk, orb_fail_memory(&error), &error);
        return;
    }
    walk->begun_ns = orb_now_ns();
    ask(walk, start_begin, begin_done);
}

/* For messages: no operation is under way. */
static const char *directory_at_hand(struct orb_walk *walk)
{
    const struct orb_level *level = at_hand(walk);
    bool spelled = orb_walk_spell(walk, orb_buf_string(&walk->path), level->path_length, &walk->request_path);
    return spelled ? orb_buf_string(&walk->request_path) : walk->lister->path;
}

static orbit_status look_at_page(struct orb_walk *walk, struct orb_level *level, orbit_error *error)
{
    struct orb_page_cursor at = {0};
    struct orb_page_item first;
    if (level->page.out_of_memory && !level->page.count)
        return orb_fail_memory(error);
    if (!orb_page_next(&level->page, &at, &first)) {
        if (level->page.more && ++walk->empty_pages >= EMPTY_PAGES_MAX)
            return orb_fail(error, ORBIT_E_PROTOCOL, 0, "listing '%s': the store sends empty pages without end",
                            directory_at_hand(walk));
        return ORBIT_OK;
    }
    walk->empty_pages = 0;
    uint64_t hash = orb_crc64nvme(1, first.entry.path, first.entry.path_length);
    if (level->page.more && hash == level->previous)
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "listing '%s': the store sends the same page again",
                        directory_at_hand(walk));
    level->previous = hash;
    return ORBIT_OK;
}

/* A page is there, or never will be. */
static void came(struct orb_walk *walk, orbit_status status, const orbit_error *error)
{
    struct orb_level *level = at_hand(walk);
    orbit_error own;
    if (status >= 0) {
        status = look_at_page(walk, level, &own);
        error = &own;
    }
    if (status < 0) {
        failed(walk, status, error);
        return;
    }
    level->at.at = 0;
    level->more = level->page.more;
}

static void page_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_walk *walk = walk_of(call);
    struct orb_level *level = at_hand(walk);
    if (!level->open) { /* it was suspended and is open again, or so it may be */
        level->open = true;
        walk->cursors++;
    }
    if (orb_walk_over(walk))
        return;
    if (status >= 0 && walk->begun_ns)
        orb_ahead_learn(walk, orb_now_ns() - walk->begun_ns, level->page.count);
    walk->begun_ns = 0;
    came(walk, status, error);
    orb_walk_run(walk);
}

static void start_page(struct orb_call *call)
{
    struct orb_walk *walk = walk_of(call);
    struct orb_level *level = at_hand(walk);
    orb_page_reset(&level->page);
    orb_call_names(call, ORBIT_REQUEST_LIST, NULL);
    walk->backend->ops->list_page(walk->backend->self, &call->op.op, level->cursor, &level->page);
}

static void spool_was_read(void *ctx, orbit_status status, const orbit_error *error)
{
    struct orb_walk *walk = ctx;
    struct orb_level *level = at_hand(walk);
    if (orb_walk_over(walk))
        return;
    if (status < 0) {
        orb_walk_fail(walk, status, error);
        return;
    }
    level->at = walk->spool.at;
    if (level->spool_skip)
        level->at.at = level->spool_skip;
    level->spool_skip = 0;
    orb_brood_drop(&level->brood, false);
    level->spool_page = level->spool_at;
    level->spool_at = walk->spool.next;
    level->more = level->spool_at < level->spool_end;
    orb_walk_run(walk);
}

void orb_level_page(struct orb_walk *walk)
{
    struct orb_level *level = at_hand(walk);
    if (level->behind) {
        take_behind(walk, level);
        came(walk, ORBIT_OK, NULL);
        return;
    }
    orb_brood_drop(&level->brood, false);
    if (level->state == ORB_LEVEL_SPOOLED) {
        walk->running = true;
        orb_page_reset(&level->page);
        orb_spool_read(&walk->spool, level->spool_at, &level->page, spool_was_read, walk);
        return;
    }
    if (walk->allowance)
        walk->allowance--;
    atomic_fetch_add(&walk->lister->pages, 1);
    ask(walk, start_page, page_done);
}

void orb_level_adopt(struct orb_walk *walk)
{
    struct orb_level *level = at_hand(walk);
    struct orb_scout *scout = level->scout;
    if (scout->running) {
        orb_scout_await(walk, scout);
        return;
    }
    level->scout = NULL;
    if (scout->failed) {
        orbit_status status = scout->failed;
        orbit_error error = scout->error;
        orb_scout_drop(scout);
        if (status != ORBIT_E_MEMORY) /* else the walk asks for it itself */
            failed(walk, status, &error);
        return;
    }
    level->cursor = scout->cursor;
    level->open = scout->cursor != NULL;
    walk->cursors += level->open;
    level->state = ORB_LEVEL_OPEN;
    level->more = scout->more;
    level->behind = scout->first;
    level->brood = scout->brood;
    orb_scout_leave(scout);
    tail(walk);
    level = at_hand(walk);
    if (!level->behind)
        return;
    orb_page_release(&level->page);
    level->page = orb_scout_page_take(walk, &level->behind); /* its brood is the level's already */
    came(walk, ORBIT_OK, NULL);
}

/* ---- the listed directory's identity ------------------------------------------------------------- */

static void stat_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_walk *walk = walk_of(call);
    (void)error; /* what is wrong with it is told by its listing */
    if (orb_walk_over(walk))
        return;
    if (status >= 0)
        walk->ancestors[0] =
            (struct orb_identity){walk->root.device, walk->root.inode, (walk->root.fields & ORBIT_HAS_INODE) != 0};
    orb_walk_run(walk);
}

static void start_stat(struct orb_call *call)
{
    struct orb_walk *walk = walk_of(call);
    orbit_metadata_release(&walk->root);
    orb_call_names(call, ORBIT_REQUEST_STAT, walk->stat_request.path);
    walk->backend->ops->stat(walk->backend->self, &call->op.op, &walk->stat_request, &walk->root);
}

void orb_walk_stat_root(struct orb_walk *walk)
{
    walk->stat_request = (orbit_stat_request){.path = walk->lister->path, .follow_symlinks = true};
    walk->running = true;
    orb_call_start(&walk->call, walk->backend, start_stat, stat_done, walk);
}
