/* SPDX-License-Identifier: Apache-2.0
 * The walk's way: entry after entry of the directory at hand into the user's batch, down into each directory right
 * after its own entry, up again at its end. Loop thread only, but for its making. See walk.h.
 *
 * How far it runs ahead: until a batch is full; at first one page, then two, four, … so that who takes one entry
 * and leaves has caused next to nothing. */
#include "stream/walk.h"

#include "base/clock.h"
#include "base/mem.h"

#define PATH_MAX_BYTES  ((size_t)768 << 10) /* of a directory's path: an entry must fit into a page */
#define ALLOWANCE_MAX   (1u << 20)
#define HELD_BACK_MS    2u
#define CURSORS_DEFAULT 64u
#define BLIND_DEPTH_MAX 512u /* following symlinks where directories have no identity */

/* ---- batches ------------------------------------------------------------------------------------- */

static void deliver(struct orb_walk *walk, orbit_status last, const orbit_error *error)
{
    walk->producing = false;
    if (walk->on_worker) { /* the loop does it when the job is over */
        walk->delivers = true;
        walk->last = last;
        if (last < 0)
            orb_error_copy(&walk->last_error, error);
        return;
    }
    orb_timer_cancel(walk->timer);
    walk->timer = NULL;
    orb_lister_deliver(walk->lister, &walk->batch, last, error);
}

void orb_walk_fail(struct orb_walk *walk, orbit_status status, const orbit_error *error)
{
    walk->stopped = true;
    orb_ahead_stop(walk);
    deliver(walk, status, error);
}

static void held_back(void *ctx)
{
    struct orb_walk *walk = ctx;
    walk->timer = NULL;
    if (!walk->producing || walk->stopped)
        return;
    if (walk->batch.count && walk->running && orb_lister_waits(walk->lister))
        deliver(walk, ORBIT_OK, NULL);
    else
        walk->timer = orb_timer_start(walk->backend->host->loop, HELD_BACK_MS, held_back, walk);
}

/* Whether the store may be asked for something now, or the batch is delivered first. */
static bool may_ask(struct orb_walk *walk)
{
    bool full = walk->batch.count >= walk->batch.max_count;
    if (!walk->batch.count || (walk->allowance && !full))
        return true;
    deliver(walk, ORBIT_OK, NULL);
    return false;
}

static void grant(struct orb_walk *walk)
{
    walk->producing = true;
    walk->allowance = walk->next_allowance;
    if (walk->started && walk->next_allowance < ALLOWANCE_MAX)
        walk->next_allowance *= 2;
}

/* ---- levels -------------------------------------------------------------------------------------- */

static void out_of_memory(struct orb_walk *walk)
{
    orbit_error error;
    orb_walk_fail(walk, orb_fail_memory(&error), &error);
}

void orb_walk_page_init(const struct orb_walk *walk, struct orbit_page *page)
{
    orb_lister_page_init(walk->lister, page);
    if (page->max_bytes > ORB_LEVEL_BYTES)
        page->max_bytes = ORB_LEVEL_BYTES;
}

/* The directory whose path is in walk->path becomes the level at hand; `scout` (nullable) is its own from here on. */
static bool push(struct orb_walk *walk, uint32_t depth, struct orb_scout *scout)
{
    if (walk->count == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 16;
        struct orb_level *levels = orb_realloc(walk->levels, room * sizeof *levels);
        if (!levels) {
            orb_scout_drop(scout);
            return false;
        }
        walk->levels = levels;
        walk->room = room;
    }
    if (walk->count)
        walk->retained += walk->levels[walk->count - 1].page.room;
    struct orb_level *level = &walk->levels[walk->count++];
    memset(level, 0, sizeof *level);
    level->depth = depth;
    level->path_length = walk->path.length;
    level->scout = scout;
    orb_walk_page_init(walk, &level->page);
    return true;
}

void orb_walk_pop(struct orb_walk *walk)
{
    struct orb_level *level = &walk->levels[--walk->count];
    orb_level_release(walk, level);
    if (walk->count)
        walk->retained -= walk->levels[walk->count - 1].page.room;
    if (walk->lowest_cursor >= walk->count)
        walk->lowest_cursor = walk->count ? walk->count - 1 : 0;
    if (walk->lowest_page >= walk->count)
        walk->lowest_page = walk->count ? walk->count - 1 : 0;
}

static void cut_path(struct orb_walk *walk, size_t length)
{
    walk->path.length = length;
    if (walk->path.bytes)
        walk->path.bytes[length] = '\0';
}

/* ---- loops of symlinks --------------------------------------------------------------------------- */

static bool note_ancestor(struct orb_walk *walk, uint32_t depth, const orbit_metadata *metadata)
{
    if (depth >= walk->ancestor_room) {
        size_t room = walk->ancestor_room ? walk->ancestor_room * 2 : 32;
        struct orb_identity *ancestors = orb_realloc(walk->ancestors, room * sizeof *ancestors);
        if (!ancestors)
            return false;
        walk->ancestors = ancestors;
        walk->ancestor_room = room;
    }
    walk->ancestors[depth] =
        (struct orb_identity){metadata->device, metadata->inode, (metadata->fields & ORBIT_HAS_INODE) != 0};
    return true;
}

/* A directory that is one of those it lies in, or for all one can know may be. */
static bool is_loop(const struct orb_walk *walk, uint32_t depth, const orbit_metadata *metadata)
{
    if (!(metadata->fields & ORBIT_HAS_INODE))
        return depth > BLIND_DEPTH_MAX;
    for (uint32_t i = 0; i < depth; i++) {
        const struct orb_identity *ancestor = &walk->ancestors[i];
        if (ancestor->known && ancestor->inode == metadata->inode && ancestor->device == metadata->device)
            return true;
    }
    return false;
}

/* ---- one entry ----------------------------------------------------------------------------------- */

enum taken { TAKEN, ENTERED, FULL, BROKEN };

static enum taken added(struct orb_walk *walk, orbit_status status)
{
    if (status == ORBIT_OK) {
        walk->added++;
        return TAKEN;
    }
    if (status == ORBIT_END)
        return FULL;
    orbit_error error;
    if (status == ORBIT_E_MEMORY)
        orb_fail_memory(&error);
    else
        orb_fail(&error, status, 0, "listing '%s': an entry is too large", walk->lister->path);
    orb_walk_fail(walk, status, &error);
    return BROKEN;
}

static enum taken add_failed(struct orb_walk *walk, const char *path, size_t length, const orbit_error *error)
{
    return added(walk, orbit_page_add_failed(&walk->batch, path, length, error, 0));
}

/* Why a directory that should be entered cannot be. */
static bool refused(struct orb_walk *walk, uint32_t depth, const orbit_metadata *metadata, orbit_error *error)
{
    const char *path = orb_buf_string(&walk->path);
    if (walk->path.length > PATH_MAX_BYTES) {
        orb_fail(error, ORBIT_E_LIMIT, 0, "cannot list a directory whose path has %zu bytes", walk->path.length);
        return true;
    }
    if (!walk->lister->options.follow_symlinks)
        return false;
    if (is_loop(walk, depth, metadata)) {
        orb_fail(error, ORBIT_E_PATH, 0, "'%s' is a loop of symbolic links", path);
        return true;
    }
    if (!note_ancestor(walk, depth, metadata)) {
        orb_fail_memory(error);
        return true;
    }
    return false;
}

/* The entry at `place` of the page: puts it into the batch if it is wanted, and enters it if it is a directory. */
static enum taken take(struct orb_walk *walk, struct orb_level *level, const struct orb_page_item *item, size_t place)
{
    const orbit_list_options *options = &walk->lister->options;
    uint32_t depth = level->depth + 1;
    cut_path(walk, level->path_length);
    bool good = (!level->path_length || orb_buf_char(&walk->path, '/')) &&
                orb_buf_append(&walk->path, item->entry.path, item->entry.path_length);
    if (!good) {
        out_of_memory(walk);
        return BROKEN;
    }
    if (item->failed)
        return add_failed(walk, walk->path.bytes, walk->path.length, item->error);

    orbit_entry entry = item->entry;
    entry.path = orb_buf_string(&walk->path);
    entry.path_length = walk->path.length;
    entry.depth = depth;
    bool enters =
        entry.metadata.kind == ORBIT_KIND_DIRECTORY && orb_list_descends(options, entry.path, entry.path_length, depth);
    orbit_error error;
    if (enters && refused(walk, depth, &entry.metadata, &error))
        return add_failed(walk, entry.path, entry.path_length, &error);
    enum taken taken = TAKEN;
    if (orb_list_wants(options, &entry))
        taken = added(walk, orbit_page_add(&walk->batch, &entry, 0));
    if (taken != TAKEN || !enters)
        return taken;
    level->position = item->position; /* before `level` moves */
    struct orb_scout *scout = orb_brood_take(&level->brood, place);
    if (scout && scout->running && options->unordered && !options->follow_symlinks) {
        orb_brood_tell(&level->brood, scout); /* entered when it is there */
        return TAKEN;
    }
    if (!push(walk, depth, scout)) {
        out_of_memory(walk);
        return BROKEN;
    }
    return ENTERED;
}

/* ---- the way ------------------------------------------------------------------------------------- */

static void tell_failure(struct orb_walk *walk, struct orb_level *level)
{
    cut_path(walk, level->path_length);
    switch (add_failed(walk, orb_buf_string(&walk->path), walk->path.length, &walk->failure)) {
    case FULL:
        deliver(walk, ORBIT_OK, NULL);
        break;
    case BROKEN:
        break;
    default:
        level->state = ORB_LEVEL_OPEN; /* and nothing more of it */
        level->more = false;
    }
}

/* The level at hand is over, but for directories that are to be entered later. */
static void leave(struct orb_walk *walk, struct orb_level *level)
{
    bool any;
    struct orb_scout *scout = orb_brood_told(&level->brood, &any);
    if (!any) {
        orb_walk_pop(walk);
        return;
    }
    if (!scout) {
        orb_scout_await(walk, NULL);
        return;
    }
    cut_path(walk, 0);
    if (!orb_buf_append(&walk->path, orb_buf_string(&scout->path), scout->path.length)) {
        orb_scout_drop(scout);
        out_of_memory(walk);
    } else if (!push(walk, scout->depth, scout)) {
        out_of_memory(walk);
    }
}

static void next_entries(struct orb_walk *walk)
{
    struct orb_level *level = &walk->levels[walk->count - 1];
    struct orb_page_item item;
    enum taken taken = TAKEN;
    while (taken == TAKEN) {
        struct orb_page_cursor before = level->at;
        if (!orb_page_next(&level->page, &level->at, &item))
            break;
        taken = take(walk, level, &item, before.at);
        if (taken == FULL) {
            level->at = before;
            deliver(walk, ORBIT_OK, NULL);
        } else if (taken == TAKEN) {
            level->position = item.position;
        }
    }
    if (taken != TAKEN || walk->stopped)
        return;
    if (level->more && !level->behind && !level->cursor && level->state == ORB_LEVEL_OPEN) {
        level->state = ORB_LEVEL_FRESH; /* given up to save memory: begun again after `position` */
    } else if (level->more) {
        if (level->behind || may_ask(walk))
            orb_level_page(walk);
    } else {
        leave(walk, level);
    }
}

static void step(struct orb_walk *walk)
{
    if (!walk->count) {
        walk->stopped = true;
        deliver(walk, ORBIT_END, NULL);
        return;
    }
    if (orb_walk_shed(walk))
        return;
    struct orb_level *level = &walk->levels[walk->count - 1];
    switch (level->state) {
    case ORB_LEVEL_FRESH:
        cut_path(walk, level->path_length);
        if (level->scout)
            orb_level_adopt(walk);
        else if (may_ask(walk))
            orb_level_begin(walk);
        break;
    case ORB_LEVEL_FAILED:
        tell_failure(walk, level);
        break;
    default:
        next_entries(walk);
    }
}

/* ---- on a worker --------------------------------------------------------------------------------- */

static bool held_back_too_long(struct orb_walk *walk)
{
    return walk->batch.count && orb_now_ns() - walk->job_ns > HELD_BACK_MS * ORB_MS && orb_lister_waits(walk->lister);
}

static void work(struct orb_job *job)
{
    struct orb_walk *walk = (struct orb_walk *)(void *)((char *)job - offsetof(struct orb_walk, job));
    walk->job_ns = orb_now_ns();
    while (walk->producing && !walk->stopped && !atomic_load(&walk->halt) && !orb_ahead_on(walk)) {
        if (held_back_too_long(walk))
            deliver(walk, ORBIT_OK, NULL);
        else
            step(walk);
    }
    orb_loop_post(walk->backend->host->loop, &walk->job_message);
}

static void work_over(struct orb_message *message)
{
    struct orb_walk *walk = (struct orb_walk *)(void *)((char *)message - offsetof(struct orb_walk, job_message));
    walk->on_worker = false;
    if (atomic_load(&walk->halt))
        walk->stopped = true;
    else if (walk->delivers)
        deliver(walk, walk->last, &walk->last_error);
    if (orb_walk_over(walk))
        return;
    orb_walk_run(walk); /* the batch is not done: the walk goes on here, looking ahead */
}

/* On the loop: goes on until a batch is full or the store was asked, and looks ahead. */
void orb_walk_run(struct orb_walk *walk)
{
    if (walk->on_worker)
        return; /* it goes on by itself */
    bool goes_on = walk->producing && !walk->running && !walk->stopped;
    if (goes_on && walk->may_be_direct && !walk->ahead.count && !orb_ahead_on(walk)) {
        orb_timer_cancel(walk->timer);
        walk->timer = NULL;
        walk->running = walk->on_worker = true;
        walk->delivers = false;
        orb_pool_submit(walk->backend->host->pool, &walk->job);
        return;
    }
    if (goes_on && !walk->timer)
        walk->timer = orb_timer_start(walk->backend->host->loop, HELD_BACK_MS, held_back, walk);
    while (walk->producing && !walk->running && !walk->stopped)
        step(walk);
    orb_ahead_look(walk);
}

/* ---- the producer -------------------------------------------------------------------------------- */

void orb_walk_free_idle(struct orb_walk *walk)
{
    struct orbit_lister *lister = walk->lister;
    if (walk->running || walk->ahead.running)
        return;
    while (walk->count)
        orb_walk_pop(walk);
    orb_spool_close(&walk->spool);
    orb_page_release(&walk->batch);
    orbit_metadata_release(&walk->root);
    orb_buf_release(&walk->path);
    orb_buf_release(&walk->request_path);
    orb_buf_release(&walk->name_prefix);
    orb_free(walk->levels);
    orb_free(walk->ancestors);
    orb_free(walk);
    orb_stream_gone(&lister->stream);
}

bool orb_walk_over(struct orb_walk *walk)
{
    if (walk->on_worker)
        return atomic_load(&walk->halt);
    walk->running = false;
    if (walk->shut)
        orb_walk_free_idle(walk);
    else if (!walk->stopped)
        return false;
    return true;
}

static void walk_more(struct orb_producer *producer)
{
    struct orb_walk *walk = (struct orb_walk *)producer;
    if (walk->producing || walk->stopped)
        return;
    grant(walk);
    if (!walk->started) {
        walk->started = true;
        orbit_metadata nothing = ORBIT_METADATA_INIT;
        if (!push(walk, 0, NULL) || !note_ancestor(walk, 0, &nothing)) {
            out_of_memory(walk);
            return;
        }
        if (walk->lister->options.follow_symlinks && walk->backend->ops->stat) {
            orb_walk_stat_root(walk);
            return;
        }
    }
    orb_walk_run(walk);
}

static void walk_stop(struct orb_producer *producer)
{
    struct orb_walk *walk = (struct orb_walk *)producer;
    atomic_store(&walk->halt, true);
    orb_timer_cancel(walk->timer);
    walk->timer = NULL;
    if (walk->on_worker) {
        atomic_store(&walk->call.op.cancelled, true); /* long directories look at it */
        return;
    }
    walk->stopped = true;
    orb_ahead_stop(walk);
    if (walk->running)
        orb_call_cancel(&walk->call);
}

static void walk_shut(struct orb_producer *producer)
{
    struct orb_walk *walk = (struct orb_walk *)producer;
    walk->shut = true;
    orb_walk_free_idle(walk);
}

static const struct orb_producer_kind walk_kind = {walk_more, walk_stop, walk_shut};

struct orb_producer *orb_walk_new(struct orbit_lister *lister, orbit_error *error)
{
    struct orb_walk *walk = orb_calloc(1, sizeof *walk);
    if (!walk) {
        orb_fail_memory(error);
        return NULL;
    }
    walk->producer = (struct orb_producer){&walk_kind, lister};
    walk->lister = lister;
    walk->backend = &lister->stream.backend->core;
    walk->cursors_max = walk->backend->caps.open_cursors_max ? walk->backend->caps.open_cursors_max : CURSORS_DEFAULT;
    walk->next_allowance = 1;
    walk->spooling = SIZE_MAX;
    const orbit_capabilities *caps = &walk->backend->caps;
    walk->may_be_direct =
        caps->worker_list && caps->no_retry && caps->seekable_list && walk->backend->ops->list_suspend;
    walk->job.run = work;
    walk->job_message.deliver = work_over;
    walk->call.watched = true;
    orb_ahead_init(walk);
    size_t most = PATH_MAX_BYTES + (1u << 16);
    orb_buf_init(&walk->path, most);
    orb_buf_init(&walk->request_path, most + strlen(lister->path));
    orb_buf_init(&walk->name_prefix, most);
    orb_spool_init(&walk->spool, walk->backend->host, lister->stream.client->spool_dir);
    orb_lister_page_init(lister, &walk->batch);
    return &walk->producer;
}
