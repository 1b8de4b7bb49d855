/* SPDX-License-Identifier: Apache-2.0
 * The local backend: its table, configuration, how an operation starts and ends, and its messages. Knows
 * nothing of paths or files; those are the other local_*.c. */
#include "backend/local/local.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#undef orb_local_fail
#undef orb_local_cancelled

enum { OPEN_DIRECTORIES_DEFAULT = 64, OPEN_DIRECTORIES_FLOOR = 4, OPEN_DIRECTORIES_CEILING = 4096 };

/* ---- operations -------------------------------------------------------------------------------- */

void orb_local_start(orbit_op *op, const void *request, void *reply, void *extra,
                     void (*work)(void *self, orbit_op *op))
{
    struct orb_local_call *call = orb_malloc(sizeof(*call));
    if (!call) {
        orbit_op_done(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    *call = (struct orb_local_call){request, reply, extra};
    op->state = call;
    orbit_op_run(op, work);
}

void orb_local_end(orbit_op *op, orbit_status status, const orbit_error *error)
{
    orb_free(op->state);
    op->state = NULL;
    orbit_op_done(op, status, status < 0 && error && error->status == (int32_t)status ? error : NULL);
}

/* Running work looks at orbit_op_cancelled() by itself; what is paused is woken so that it does. */
static void local_cancel(void *self, orbit_op *op)
{
    (void)self;
    if (op->resume)
        op->resume(op);
}

/* ---- errors ------------------------------------------------------------------------------------ */

const char *orb_local_show(struct orb_local_shown *shown, const char *path)
{
    static const char ellipsis[] = "\xe2\x80\xa6"; /* … */
    size_t length = strlen(path);
    if (length == 0)
        return ".";
    if (length <= ORB_LOCAL_SHOWN)
        return path;
    const char *tail = path + length - ORB_LOCAL_SHOWN;
    while (((unsigned char)*tail & 0xC0) == 0x80 && tail < path + length - ORB_LOCAL_SHOWN + 3)
        tail++;
    size_t kept = strlen(tail);
    memcpy(shown->text, ellipsis, sizeof(ellipsis) - 1);
    memcpy(shown->text + sizeof(ellipsis) - 1, tail, kept + 1);
    return shown->text;
}

orbit_status orb_local_fail(orbit_error *error, int number, const char *what, const char *path)
{
    struct orb_local_shown shown;
    const char *text = orb_local_show(&shown, path);
    switch (number) {
    case EXDEV:
        return orb_fail(error, ORBIT_E_PATH, number, "cannot %s '%s': the path leads outside of the root", what, text);
    case ECANCELED:
        return orb_local_cancelled(error, what, path);
    default:
        return orb_fail_errno(error, number, "cannot %s '%s'", what, text);
    }
}

orbit_status orb_local_cancelled(orbit_error *error, const char *what, const char *path)
{
    struct orb_local_shown shown;
    return orb_fail(error, ORBIT_E_CANCELLED, ECANCELED, "cannot %s '%s': cancelled", what,
                    orb_local_show(&shown, path));
}

/* ---- configuration ----------------------------------------------------------------------------- */

/* A relative root means the directory the process is in now, wherever it goes later. */
static orbit_status make_root(char **root, const char *path, orbit_error *error)
{
    enum { ROOT_MAX = 1 << 20 };
    if (path[0] == '/') {
        *root = orb_strdup(path);
        return *root ? ORBIT_OK : orb_fail_memory(error);
    }
    char here[PATH_MAX];
    if (!getcwd(here, sizeof(here)))
        return orb_fail_errno(error, errno, "cannot tell the current directory for root '%s'", path);
    struct orb_buf text;
    orb_buf_init(&text, ROOT_MAX);
    orb_buf_text(&text, here);
    orb_buf_char(&text, '/');
    orb_buf_text(&text, path);
    *root = orb_buf_take(&text);
    return *root ? ORBIT_OK : orb_fail_memory(error);
}

/* A walk leaves the most of a small limit on descriptors to what is done with the entries it finds. */
static uint32_t open_directories_default(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 8 > OPEN_DIRECTORIES_DEFAULT)
        return OPEN_DIRECTORIES_DEFAULT;
    return (uint32_t)(limit.rlim_cur / 8);
}

static orbit_status take_settings(struct orb_local *self, const orbit_open_request *request, orbit_error *error)
{
    for (size_t i = 0; i < request->setting_count; i++) {
        const orbit_pair *pair = &request->settings[i];
        uint64_t number = 0;
        bool good;
        if (orb_str_equal(pair->name, "create_root")) {
            good = orb_parse_bool(pair->value, &self->create_root);
        } else if (orb_str_equal(pair->name, "open_directories_max")) {
            good = orb_parse_u64(pair->value, &number) && number <= OPEN_DIRECTORIES_CEILING;
            self->open_directories_max = (uint32_t)number;
        } else {
            return orb_fail(error, ORBIT_E_CONFIG, 0,
                            "'%s' has no setting '%s' (there are create_root and open_directories_max)", request->url,
                            pair->name);
        }
        if (!good)
            return orb_fail(error, ORBIT_E_CONFIG, 0, "setting '%s' of '%s' cannot be '%s'", pair->name, request->url,
                            pair->value);
    }
    if (self->open_directories_max == 0)
        self->open_directories_max = open_directories_default();
    if (self->open_directories_max < OPEN_DIRECTORIES_FLOOR)
        self->open_directories_max = OPEN_DIRECTORIES_FLOOR;
    return ORBIT_OK;
}

static void local_capabilities(orbit_capabilities *capabilities)
{
    capabilities->put_max = 1 << 20;
    capabilities->part_min = 1;
    capabilities->part_max = INT64_MAX;
    capabilities->remove_batch = 64;
    capabilities->chunk_default = 1 << 20;
    capabilities->parallel_default = 4;
    capabilities->page_entries = 1000;
    capabilities->random_access = true;
    capabilities->ranged_read = true;
    capabilities->seekable_list = true;
    capabilities->worker_list = true;
    capabilities->hierarchical = true;
    capabilities->remove_tree = true;
    capabilities->atomic_no_overwrite = true;
    capabilities->atomic_rename = true;
    capabilities->no_retry = true;
    capabilities->direct_store = capabilities->direct_load = true;
    capabilities->keeps_extents = true;
}

static orbit_status local_open(void **self_out, orbit_host *host, const orbit_open_request *request,
                               orbit_capabilities *capabilities, orbit_error *error)
{
    const orbit_local_config *config = request->config;
    const char *root = config ? config->root : request->path && *request->path ? request->path : NULL;
    orbit_status status;

    if (request->authority && *request->authority && !orb_str_equal(request->authority, "localhost"))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%s' names the host '%s', but file: is this machine (file:///path)",
                        request->url, request->authority);
    if (root && !*root)
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "the root of a local backend is empty ('.' is the current directory)");

    struct orb_local *self = orb_calloc(1, sizeof(*self));
    if (!self)
        return orb_fail_memory(error);
    self->host = host;
    atomic_init(&self->umask, -1);
    if (config) {
        self->create_root = config->create_root;
        self->open_directories_max = config->open_directories_max > OPEN_DIRECTORIES_CEILING
                                         ? OPEN_DIRECTORIES_CEILING
                                         : config->open_directories_max;
    }
    status = take_settings(self, request, error);
    if (status == ORBIT_OK && root)
        status = make_root(&self->root, root, error);
    if (status < 0) {
        orb_free(self->root);
        orb_free(self);
        return status;
    }
    local_capabilities(capabilities);
    capabilities->open_cursors_max = self->open_directories_max;
    *self_out = self;
    return ORBIT_OK;
}

static void local_close(void *self_, orbit_op *op)
{
    struct orb_local *self = self_;
    orb_free(self->root);
    orb_free(self);
    orbit_op_done(op, ORBIT_OK, NULL);
}

/* Any two local backends: the kernel copies between whatever is mounted, and says when it cannot. */
static bool local_same_store(void *self, void *other)
{
    (void)self;
    (void)other;
    return true;
}

/* As the operating system takes it; relative to the working directory where the path is. */
static orbit_status local_locate(void *self, const char *path, char *store, size_t store_room, char *key,
                                 size_t key_room)
{
    const struct orb_local *local = self;
    int store_length = snprintf(store, store_room, "file:");
    int key_length =
        local->root ? snprintf(key, key_room, "%s/%s", local->root, path) : snprintf(key, key_room, "%s", path);
    bool fits =
        store_length >= 0 && (size_t)store_length < store_room && key_length >= 0 && (size_t)key_length < key_room;
    return fits ? ORBIT_OK : ORBIT_E_LIMIT;
}

const orbit_backend_ops orb_local_ops = {
    .size = sizeof(orbit_backend_ops),
    .name = "local",
    .open = local_open,
    .close = local_close,
    .cancel = local_cancel,
    .same_store = local_same_store,
    .stat = orb_local_stat,
    .list_begin = orb_local_list_begin,
    .list_page = orb_local_list_page,
    .list_suspend = orb_local_list_suspend,
    .list_end = orb_local_list_end,
    .read = orb_local_read,
    .put = orb_local_put,
    .begin = orb_local_begin,
    .part = orb_local_part,
    .finish = orb_local_finish,
    .abort = orb_local_abort,
    .suspend = orb_local_suspend,
    .kept = orb_local_kept,
    .release = orb_local_release,
    .remove = orb_local_remove,
    .mkdir = orb_local_mkdir,
    .rename = orb_local_rename,
    .copy = orb_local_copy,
    .set_metadata = orb_local_set_metadata,
    .symlink = orb_local_symlink,
    .readlink = orb_local_readlink,
    .xattr_get = orb_local_xattr_get,
    .xattr_list = orb_local_xattr_list,
    .xattr_set = orb_local_xattr_set,
    .space = orb_local_space,
    .probe = orb_local_probe,
    .locate = local_locate,
};
