/* SPDX-License-Identifier: Apache-2.0
 * The scouts of a walk: which directory is asked for next, its listing, and what of it is kept until the walk comes.
 * Loop thread only, but for what the walk asks of an empty brood. See walk_ahead.h. */
#include "stream/walk_ahead.h"

#include "base/clock.h"
#include "base/mem.h"
#include "stream/walk.h"

enum {
    WORKERS_AUTO = 16,
    WORKERS_MAX = 64,
    SCOUTS_PER_WORKER = 8,
    PAGES_MAX = 8,         /* of one directory */
    PATH_MAX_AHEAD = 1024, /* bytes; longer paths are walked serially */
    ALLOWANCE_SURE = 4,    /* the user asked for three batches: he wants more than a few entries */
    CURSORS_LEAST = 8,     /* a store that opens fewer is walked serially */
    CURSORS_SPARE = 2,     /* the level at hand, and the one being begun */
    SLOW_DIRECTORIES = 4
};
#define HELD_MAX ((size_t)4 << 20) /* bytes of pages in all */
/* What waiting for a directory costs that is worth reading ahead, and what is not any more. Fewer than SLOW_DIRECTORIES
 * in a row prove nothing: this process may have slept. */
#define WAIT_SLOW (1.0 * ORB_MS)
#define WAIT_FAST (0.3 * ORB_MS)
#define READ_NS   3000.0 /* an entry: twice what reading one costs */

/* ---- whether ------------------------------------------------------------------------------------- */

void orb_ahead_init(struct orb_walk *walk)
{
    uint32_t wanted = walk->lister->options.list_workers, most = walk->cursors_max / 2;
    struct orb_ahead *ahead = &walk->ahead;
    ahead->asked = wanted > 1;
    ahead->workers = wanted ? wanted : WORKERS_AUTO;
    if (ahead->workers > WORKERS_MAX)
        ahead->workers = WORKERS_MAX;
    if (ahead->workers > most)
        ahead->workers = most;
    if (walk->cursors_max < CURSORS_LEAST)
        ahead->workers = 1;
    ahead->window = 2;
}

void orb_ahead_learn(struct orb_walk *walk, uint64_t took_ns, uint64_t count)
{
    struct orb_ahead *ahead = &walk->ahead;
    double waits = (double)took_ns - (double)count * READ_NS;
    if (waits < 0)
        waits = 0;
    double weight = waits < ahead->wait_ns ? 2 : 8; /* a slow one may be a mishap */
    ahead->wait_ns += (waits - ahead->wait_ns) / weight;
    ahead->slow = waits < WAIT_SLOW ? 0 : ahead->slow + 1;
    if (ahead->wait_ns < WAIT_FAST)
        ahead->far = false;
    else if (ahead->slow >= SLOW_DIRECTORIES)
        ahead->far = true;
}

bool orb_ahead_on(const struct orb_walk *walk)
{
    const struct orb_ahead *ahead = &walk->ahead;
    return ahead->workers > 1 && (ahead->asked || ahead->far) && walk->next_allowance >= ALLOWANCE_SURE;
}

uint32_t orb_ahead_leaves_cursors(const struct orb_walk *walk)
{
    if (!walk->ahead.count && !orb_ahead_on(walk))
        return walk->cursors_max;
    return walk->cursors_max - walk->ahead.workers - CURSORS_SPARE;
}

/* How many requests may run: no more than there are entries wanted. */
static uint32_t window(const struct orb_walk *walk)
{
    uint64_t limit = walk->lister->options.max_entries;
    uint64_t left = !limit ? UINT64_MAX : limit > walk->added ? limit - walk->added : 0;
    return walk->ahead.window < left ? walk->ahead.window : (uint32_t)left;
}

/* Whether a page more may be asked for, with `rank` scouts before it. The farther, the less of the whole may be in use:
 * scouts far ahead never take the room of those that are needed first. */
static bool has_room(const struct orb_walk *walk, uint32_t rank)
{
    const struct orb_ahead *ahead = &walk->ahead;
    uint64_t scouts = (uint64_t)ahead->workers * SCOUTS_PER_WORKER;
    uint64_t bytes = walk->backend->host->budget.limit / 8;
    if (bytes > HELD_MAX)
        bytes = HELD_MAX;
    uint64_t part = 2 * scouts - (rank < scouts ? rank : scouts); /* of 2 * scouts */
    return ahead->count < part / 2 && (ahead->held + ahead->running * ORB_LEVEL_BYTES) < bytes * part / (2 * scouts);
}

static bool has_cursor(const struct orb_walk *walk)
{
    const struct orb_ahead *ahead = &walk->ahead;
    return ahead->cursors < ahead->workers && walk->cursors + CURSORS_SPARE + ahead->cursors < walk->cursors_max;
}

/* ---- the end of one ------------------------------------------------------------------------------ */

static void end_cursor(struct orb_scout *scout)
{
    struct orb_walk *walk = scout->walk;
    if (scout->open)
        walk->ahead.cursors--;
    scout->open = false;
    if (scout->cursor)
        walk->backend->ops->list_end(walk->backend->self, scout->cursor);
    scout->cursor = NULL;
}

struct orbit_page orb_scout_page_take(struct orb_walk *walk, struct orb_scout_page **pages)
{
    struct orb_scout_page *first = *pages;
    struct orbit_page page = first->page;
    walk->ahead.held -= page.room;
    *pages = first->next;
    orb_free(first);
    return page;
}

static void free_scout(struct orb_scout *scout)
{
    struct orb_walk *walk = scout->walk;
    end_cursor(scout);
    while (scout->first) {
        struct orbit_page page = orb_scout_page_take(walk, &scout->first);
        orb_page_release(&page);
    }
    orb_page_release(&scout->page);
    orb_free(scout->room);
    orb_buf_release(&scout->path);
    orb_buf_release(&scout->request_path);
    orb_buf_release(&scout->name_prefix);
    orb_budget_give(&walk->backend->host->budget, scout->charged);
    *scout->all_link = scout->all_next;
    if (scout->all_next)
        scout->all_next->all_link = scout->all_link;
    walk->ahead.count--;
    orb_free(scout);
}

void orb_scout_drop(struct orb_scout *scout)
{
    if (!scout)
        return;
    orb_brood_drop(&scout->brood, true);
    scout->dropped = true;
    if (scout->running)
        orb_call_cancel(&scout->call);
    else
        free_scout(scout);
}

void orb_scout_leave(struct orb_scout *scout)
{
    struct orb_ahead *ahead = &scout->walk->ahead;
    if (scout->open)
        ahead->cursors--;
    scout->open = false;
    scout->cursor = NULL;
    scout->first = NULL;
    scout->brood.first = NULL;
    if (ahead->window < ahead->workers)
        ahead->window++; /* it was of use */
    free_scout(scout);
}

/* ---- broods -------------------------------------------------------------------------------------- */

struct orb_scout *orb_brood_take(struct orb_brood *brood, size_t place)
{
    struct orb_scout **link = &brood->first, *scout;
    while ((scout = *link)) {
        if (scout->told) {
            link = &scout->next;
            continue;
        }
        if (scout->place > place)
            break;
        *link = scout->next;
        scout->next = NULL;
        if (scout->place == place)
            return scout;
        orb_scout_drop(scout); /* the walk did not enter it */
    }
    return NULL;
}

void orb_brood_tell(struct orb_brood *brood, struct orb_scout *scout)
{
    scout->told = true;
    scout->next = brood->first;
    brood->first = scout;
}

struct orb_scout *orb_brood_told(struct orb_brood *brood, bool *any)
{
    *any = false;
    for (struct orb_scout **link = &brood->first, *scout; (scout = *link); link = &scout->next) {
        if (!scout->told)
            continue;
        *any = true;
        if (scout->running)
            continue;
        *link = scout->next;
        scout->next = NULL;
        return scout;
    }
    return NULL;
}

void orb_brood_drop(struct orb_brood *brood, bool all)
{
    struct orb_scout **link = &brood->first, *scout;
    brood->looked.at = 0;
    while ((scout = *link)) {
        if (scout->told && !all) {
            link = &scout->next;
            continue;
        }
        *link = scout->next;
        orb_scout_drop(scout);
    }
}

/* ---- one directory ------------------------------------------------------------------------------- */

/* An operation of a scout ended. True when nobody wants what it brought. */
static bool over(struct orb_scout *scout)
{
    struct orb_walk *walk = scout->walk;
    bool dropped = scout->dropped, unwanted = dropped || walk->stopped;
    scout->running = false;
    walk->ahead.running--;
    if (dropped)
        free_scout(scout);
    if (walk->shut)
        orb_walk_free_idle(walk);
    else if (unwanted)
        orb_ahead_look(walk);
    return unwanted;
}

/* After that: the walk goes on if it waited for this, else others start. */
static void settle(struct orb_scout *scout)
{
    struct orb_walk *walk = scout->walk;
    struct orb_ahead *ahead = &walk->ahead;
    if (ahead->awaited != scout && !(ahead->awaits_any && scout->told)) {
        orb_ahead_look(walk);
        return;
    }
    ahead->awaited = NULL;
    ahead->awaits_any = false;
    walk->running = false;
    orb_walk_run(walk);
}

/* Without a page there is nothing the walk could go on from; later pages it asks for itself, and is told the error. */
static void scout_failed(struct orb_scout *scout, orbit_status status, const orbit_error *error)
{
    scout->tired = true;
    if (scout->pages)
        return;
    end_cursor(scout);
    scout->failed = status;
    scout->error = *error;
}

static void keep_page(struct orb_scout *scout)
{
    struct orb_scout_page *ready = scout->room; /* made when it was asked for: this cannot fail */
    scout->room = NULL;
    orb_page_trim(&scout->page);
    *ready = (struct orb_scout_page){.page = scout->page};
    orb_walk_page_init(scout->walk, &scout->page);
    scout->walk->ahead.held += ready->page.room;
    *scout->last = ready;
    scout->last = &ready->next;
    scout->pages++;
}

/* A page without entries is not kept: what it says of the end is said by the one before it. */
static void tell_end(struct orb_scout *scout)
{
    struct orb_scout_page *at = scout->first;
    while (at && at->next)
        at = at->next;
    if (at)
        at->page.more = scout->more;
}

static void page_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_scout *scout = call->ctx;
    struct orbit_page *page = &scout->page;
    orbit_error own;
    if (over(scout))
        return;
    if (status >= 0 && scout->begun_ns)
        orb_ahead_learn(scout->walk, orb_now_ns() - scout->begun_ns, page->count);
    scout->begun_ns = 0;
    if (status >= 0 && page->out_of_memory && !page->count) {
        status = orb_fail_memory(&own);
        error = &own;
    }
    if (status < 0) {
        scout_failed(scout, status, error);
    } else {
        scout->more = page->more;
        scout->tired = page->more && !page->count; /* the walk counts those */
        if (page->count)
            keep_page(scout);
        else
            tell_end(scout);
        if (!scout->more)
            end_cursor(scout);
    }
    orb_page_release(page);
    settle(scout);
}

static void start_page(struct orb_call *call)
{
    struct orb_scout *scout = call->ctx;
    orb_page_reset(&scout->page);
    orb_call_names(call, ORBIT_REQUEST_LIST, scout->request.path);
    scout->walk->backend->ops->list_page(scout->walk->backend->self, &call->op.op, scout->cursor, &scout->page);
}

/* False when memory is out. */
static bool fetch(struct orb_scout *scout)
{
    struct orb_walk *walk = scout->walk;
    if (!scout->room && !(scout->room = orb_calloc(1, sizeof *scout->room)))
        return false;
    scout->running = true;
    walk->ahead.running++;
    atomic_fetch_add(&walk->lister->pages, 1);
    orb_call_start(&scout->call, walk->backend, start_page, page_done, scout);
    return true;
}

static void begin_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_scout *scout = call->ctx;
    orbit_error own;
    if (status < 0)
        scout->cursor = NULL;
    if (over(scout))
        return;
    if (status >= 0 && fetch(scout))
        return;
    if (status >= 0) {
        status = orb_fail_memory(&own);
        error = &own;
    }
    scout_failed(scout, status, error);
    settle(scout);
}

static void start_begin(struct orb_call *call)
{
    struct orb_scout *scout = call->ctx;
    call->quiet = true;
    orb_call_names(call, ORBIT_REQUEST_LIST_BEGIN, scout->request.path);
    scout->walk->backend->ops->list_begin(scout->walk->backend->self, &call->op.op, &scout->request, &scout->cursor);
}

/* A store that asks for fewer requests gets fewer. */
static bool again(struct orb_call *call, const orbit_error *error)
{
    struct orb_scout *scout = call->ctx;
    struct orb_ahead *ahead = &scout->walk->ahead;
    if ((error->flags & ORBIT_ERROR_THROTTLED) && ahead->window > 2)
        ahead->window /= 2;
    return (error->flags & ORBIT_ERROR_RETRIABLE) != 0;
}

/* ---- which --------------------------------------------------------------------------------------- */

/* A page, and the directory it is of. */
struct sight {
    struct orb_brood *brood;
    const struct orbit_page *page;
    const char *path;
    size_t length;
    uint32_t depth;
};

/* Finds the next directory in the page that the walk will enter; its path is left in `path`. */
static bool find_directory(const struct orb_walk *walk, const struct sight *sight, struct orb_buf *path, size_t *place)
{
    const orbit_list_options *options = &walk->lister->options;
    struct orb_page_item item;
    for (*place = sight->brood->looked.at; orb_page_next(sight->page, &sight->brood->looked, &item);
         *place = sight->brood->looked.at) {
        if (item.failed || item.entry.metadata.kind != ORBIT_KIND_DIRECTORY)
            continue;
        if (sight->length + 1 + item.entry.path_length > PATH_MAX_AHEAD)
            continue;
        orb_buf_reset(path);
        if (sight->length && orb_buf_append(path, sight->path, sight->length))
            orb_buf_char(path, '/');
        if (!orb_buf_append(path, item.entry.path, item.entry.path_length))
            return false;
        if (orb_list_descends(options, orb_buf_string(path), path->length, sight->depth + 1))
            return true;
    }
    return false;
}

static bool prepare(struct orb_scout *scout)
{
    struct orb_walk *walk = scout->walk;
    const orbit_list_options *options = &walk->lister->options;
    const char *path = orb_buf_string(&scout->path);
    size_t length;
    const char *name = orb_list_name_prefix(options, path, scout->path.length, &length);
    orb_buf_init(&scout->request_path, PATH_MAX_AHEAD + 1 + strlen(walk->lister->path));
    orb_buf_init(&scout->name_prefix, length);
    if (!orb_walk_spell(walk, path, scout->path.length, &scout->request_path) ||
        !orb_buf_append(&scout->name_prefix, name, length))
        return false;
    scout->request = (orbit_list_request){
        .path = orb_buf_string(&scout->request_path),
        .want_metadata = options->want_metadata || options->follow_symlinks,
        .follow_symlinks = options->follow_symlinks,
        .prefix = length ? orb_buf_string(&scout->name_prefix) : NULL,
        .page_entries = walk->lister->page_entries,
    };
    scout->call.watched = true;
    scout->call.need = ORB_FLOW_FREE; /* the window decides how many: it grows with use, and shrinks */
    scout->call.again = again;
    scout->call.tally = &walk->lister->stream.tally;
    return true;
}

/* A scout for the next directory in the page, put at `link`. NULL: there is none, or no memory. */
static struct orb_scout *new_scout(struct orb_walk *walk, const struct sight *sight, struct orb_scout **link)
{
    struct orb_buf path;
    size_t place;
    orb_buf_init(&path, PATH_MAX_AHEAD);
    if (!find_directory(walk, sight, &path, &place)) {
        orb_buf_release(&path);
        return NULL;
    }
    size_t charge = sizeof(struct orb_scout) + 2 * path.room + strlen(walk->lister->path);
    struct orb_scout *scout = orb_calloc(1, sizeof *scout);
    if (!scout || !orb_budget_take(&walk->backend->host->budget, charge)) {
        orb_free(scout);
        orb_buf_release(&path);
        return NULL;
    }
    *scout = (struct orb_scout){.walk = walk,
                                .place = place,
                                .path = path,
                                .depth = sight->depth + 1,
                                .charged = charge,
                                .all_next = walk->ahead.scouts,
                                .all_link = &walk->ahead.scouts};
    if (scout->all_next)
        scout->all_next->all_link = &scout->all_next;
    walk->ahead.scouts = scout;
    walk->ahead.count++;
    scout->last = &scout->first;
    orb_walk_page_init(walk, &scout->page);
    if (!prepare(scout)) {
        free_scout(scout);
        return NULL;
    }
    *link = scout;
    return scout;
}

static struct orb_scout *search(struct orb_walk *walk, const struct sight *sight, uint32_t *rank);

/* What is to be asked for next at a scout, or below it. */
static struct orb_scout *search_scout(struct orb_walk *walk, struct orb_scout *scout, uint32_t *rank)
{
    struct orb_scout *found = NULL;
    ++*rank;
    /* Where links are followed a directory may be one of those it lies in: only the walk knows. */
    if (scout->first && !walk->lister->options.follow_symlinks) {
        const struct sight sight = {&scout->brood, &scout->first->page, orb_buf_string(&scout->path),
                                    scout->path.length, scout->depth};
        found = search(walk, &sight, rank);
    }
    bool goes_on = scout->more && !scout->running && !scout->tired && scout->pages < PAGES_MAX;
    return !found && goes_on && has_room(walk, *rank) ? scout : found;
}

static struct orb_scout *search(struct orb_walk *walk, const struct sight *sight, uint32_t *rank)
{
    struct orb_scout **link = &sight->brood->first, *found = NULL;
    for (; *link && !found; link = &(*link)->next)
        found = search_scout(walk, *link, rank);
    if (found || !has_room(walk, *rank) || !has_cursor(walk))
        return found;
    return new_scout(walk, sight, link);
}

/* An operation of the walk's own may be filling the level's page, on a worker. */
static bool is_busy(const struct orb_walk *walk, size_t index)
{
    bool waits = walk->ahead.awaited || walk->ahead.awaits_any;
    return walk->running && !waits && (index + 1 == walk->count || index == walk->spooling);
}

static struct orb_scout *search_levels(struct orb_walk *walk)
{
    uint32_t rank = 0;
    struct orb_scout *found = NULL;
    for (size_t i = walk->count; i-- > 0 && !found;) {
        struct orb_level *level = &walk->levels[i];
        if (is_busy(walk, i))
            continue;
        if (level->scout) {
            found = search_scout(walk, level->scout, &rank);
            continue;
        }
        if (level->brood.looked.at < level->at.at)
            level->brood.looked = level->at;
        const struct sight sight = {&level->brood, &level->page, orb_buf_string(&walk->path), level->path_length,
                                    level->depth};
        found = search(walk, &sight, &rank);
    }
    return found;
}

static bool launch(struct orb_scout *scout)
{
    struct orb_walk *walk = scout->walk;
    if (scout->open) {
        scout->tired = !fetch(scout);
        return !scout->tired;
    }
    scout->open = true;
    walk->ahead.cursors++;
    scout->begun_ns = orb_now_ns();
    scout->running = true;
    walk->ahead.running++;
    orb_call_start(&scout->call, walk->backend, start_begin, begin_done, scout);
    return true;
}

void orb_ahead_look(struct orb_walk *walk)
{
    struct orb_scout *scout;
    if (walk->on_worker || walk->stopped || !orb_ahead_on(walk))
        return;
    while (walk->ahead.running < window(walk) && (scout = search_levels(walk)) && launch(scout))
        ;
}

/* ---- the walk ------------------------------------------------------------------------------------ */

void orb_scout_await(struct orb_walk *walk, struct orb_scout *scout)
{
    walk->running = true;
    walk->ahead.awaited = scout;
    walk->ahead.awaits_any = !scout;
}

void orb_ahead_stop(struct orb_walk *walk)
{
    struct orb_ahead *ahead = &walk->ahead;
    if (ahead->awaited || ahead->awaits_any)
        walk->running = false;
    ahead->awaited = NULL;
    ahead->awaits_any = false;
    for (struct orb_scout *scout = ahead->scouts; scout; scout = scout->all_next)
        if (scout->running)
            orb_call_cancel(&scout->call);
}
