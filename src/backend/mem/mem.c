/* SPDX-License-Identifier: Apache-2.0
 * The memory backend: its table, its profiles, opening and closing. Opening runs on the caller's thread and
 * touches nothing of a store but its registry.
 *
 * Settings: profile=object|files|sequential|dropping, capacity=SIZE, drop_every=N (dropping), and the limits of
 * the store: put_max, part_min, part_max, part_count_max, object_max, copy_max, remove_batch, page_entries,
 * chunk_default, parallel_default, equal_parts, ordered_list. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/mem.h"
#include "base/str.h"

static bool mem_same_store(void *self, void *other)
{
    return ((struct mem_backend *)self)->store == ((struct mem_backend *)other)->store;
}

static const char *const profile_names[] = {"object", "files", "sequential", "dropping"};

static void object_limits(orbit_capabilities *limits)
{
    limits->put_max = 5ull << 30;
    limits->part_min = 5u << 20;
    limits->part_max = 5ull << 30;
    limits->part_count_max = 10000;
    limits->remove_batch = 1000;
    limits->page_entries = 1000;
    limits->ranged_read = true;
    limits->deep_list = true;
    limits->ordered_list = true;
    limits->atomic_no_overwrite = true;
    limits->lacks = 1u << ORBIT_OPERATION_SYMLINK | 1u << ORBIT_OPERATION_XATTR;
}

static void file_limits(orbit_capabilities *limits, enum mem_profile profile)
{
    limits->put_max = UINT64_MAX;
    limits->part_min = 1;
    limits->part_max = UINT64_MAX;
    limits->remove_batch = 1;
    limits->page_entries = 1000;
    limits->ranged_read = true;
    limits->hierarchical = true;
    limits->atomic_no_overwrite = true;
    limits->atomic_rename = true;
    limits->sequential_parts = profile == MEM_SEQUENTIAL;
    limits->random_access = profile != MEM_SEQUENTIAL;
    limits->seekable_list = profile != MEM_SEQUENTIAL;
    limits->remove_tree = profile != MEM_SEQUENTIAL;
}

/* What open() collects before there is a store. */
struct wishes {
    bool has_profile;
    enum mem_profile profile;
    uint64_t capacity, drop_every;
};

static bool find_profile(const char *name, struct wishes *wishes)
{
    for (size_t i = 0; i < sizeof(profile_names) / sizeof(profile_names[0]); i++) {
        if (strcmp(name, profile_names[i]) == 0) {
            wishes->profile = (enum mem_profile)i;
            wishes->has_profile = true;
            return true;
        }
    }
    return false;
}

/* A setting that belongs to the store. False when it is none; *good when its value is fine. */
static bool take_store_setting(const orbit_pair *setting, struct wishes *wishes, bool *good)
{
    if (strcmp(setting->name, "profile") == 0)
        *good = find_profile(setting->value, wishes);
    else if (strcmp(setting->name, "capacity") == 0)
        *good = orb_parse_size(setting->value, &wishes->capacity);
    else if (strcmp(setting->name, "drop_every") == 0)
        *good = orb_parse_u64(setting->value, &wishes->drop_every);
    else
        return false;
    return true;
}

/* A setting that is a limit of the profile. */
static bool take_limit(const orbit_pair *setting, orbit_capabilities *limits, bool *good)
{
    const struct {
        const char *name;
        uint64_t *wide;
        uint32_t *narrow;
        bool *flag;
    } known[] = {
        {"put_max", &limits->put_max, NULL, NULL},
        {"part_min", &limits->part_min, NULL, NULL},
        {"part_max", &limits->part_max, NULL, NULL},
        {"object_max", &limits->object_max, NULL, NULL},
        {"copy_max", &limits->copy_max, NULL, NULL},
        {"chunk_default", &limits->chunk_default, NULL, NULL},
        {"part_count_max", NULL, &limits->part_count_max, NULL},
        {"remove_batch", NULL, &limits->remove_batch, NULL},
        {"page_entries", NULL, &limits->page_entries, NULL},
        {"parallel_default", NULL, &limits->parallel_default, NULL},
        {"equal_parts", NULL, NULL, &limits->equal_parts},
        {"ordered_list", NULL, NULL, &limits->ordered_list},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(setting->name, known[i].name) != 0)
            continue;
        uint64_t number = 0;
        if (known[i].flag)
            *good = orb_parse_bool(setting->value, known[i].flag);
        else
            *good = orb_parse_size(setting->value, &number) && (known[i].wide || (number > 0 && number <= UINT32_MAX));
        if (*good && known[i].wide)
            *known[i].wide = number;
        if (*good && known[i].narrow)
            *known[i].narrow = (uint32_t)number;
        return true;
    }
    return false;
}

static orbit_status read_wishes(const orbit_open_request *request, struct wishes *wishes, orbit_error *error)
{
    const orbit_mem_config *config = request->config;
    if (config && config->profile && !find_profile(config->profile, wishes))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a memory store has no profile '%s'", config->profile);
    wishes->capacity = config ? config->capacity_bytes : 0;
    for (size_t i = 0; i < request->setting_count; i++) {
        bool good = true;
        take_store_setting(&request->settings[i], wishes, &good);
        if (!good)
            return orb_fail(error, ORBIT_E_CONFIG, 0, "the setting %s of %s cannot be '%s'", request->settings[i].name,
                            request->url, request->settings[i].value);
    }
    return ORBIT_OK;
}

static orbit_status read_limits(const orbit_open_request *request, orbit_capabilities *limits, orbit_error *error)
{
    for (size_t i = 0; i < request->setting_count; i++) {
        struct wishes ignored = {0};
        bool good = true;
        if (!take_limit(&request->settings[i], limits, &good) &&
            !take_store_setting(&request->settings[i], &ignored, &good))
            return orb_fail(error, ORBIT_E_CONFIG, 0, "%s has no setting '%s'", request->url,
                            request->settings[i].name);
        if (!good)
            return orb_fail(error, ORBIT_E_CONFIG, 0, "the setting %s of %s cannot be '%s'", request->settings[i].name,
                            request->url, request->settings[i].value);
    }
    return ORBIT_OK;
}

/* "" or a directory with its '/'. */
static char *make_root(const char *path)
{
    struct orb_buf root;
    orb_buf_init(&root, MEM_KEY_MAX);
    path += strspn(path, "/");
    orb_buf_text(&root, path);
    if (*path && !orb_str_suffix(path, "/"))
        orb_buf_char(&root, '/');
    return orb_buf_take(&root);
}

static void backend_free(struct mem_backend *backend)
{
    if (backend->store && !backend->store->name)
        mem_store_free(backend->store);
    orb_free(backend->url);
    orb_free(backend->root);
    orb_free(backend);
}

static orbit_status mem_open(void **self, orbit_host *host, const orbit_open_request *request,
                             orbit_capabilities *capabilities, orbit_error *error)
{
    const orbit_mem_config *config = request->config;
    struct wishes wishes = {0};
    *self = NULL;
    orbit_status status = read_wishes(request, &wishes, error);
    if (status < 0)
        return status;
    struct mem_backend *backend = orb_calloc(1, sizeof(*backend));
    if (!backend)
        return orb_fail_memory(error);
    const char *name = config ? config->name : request->authority;
    backend->host = host;
    backend->url = orb_strdup(request->url);
    backend->root = make_root(request->path);
    if (!backend->url || !backend->root) {
        backend_free(backend);
        return strlen(request->path) >= MEM_KEY_MAX
                   ? orb_fail(error, ORBIT_E_CONFIG, 0, "the path of %s is too long", request->url)
                   : orb_fail_memory(error);
    }
    if (name && *name) {
        backend->store =
            mem_store_named(host, name, wishes.has_profile ? &wishes.profile : NULL, wishes.capacity, error);
        if (!backend->store)
            status = error && error->status < 0 ? (orbit_status)error->status : ORBIT_E_MEMORY;
    } else {
        backend->store = mem_store_new(NULL, wishes.profile);
        if (backend->store)
            backend->store->capacity = wishes.capacity;
        else
            status = orb_fail_memory(error);
    }
    if (status == ORBIT_OK) {
        enum mem_profile profile = backend->store->profile;
        *capabilities = (orbit_capabilities){.size = sizeof(*capabilities)};
        if (profile == MEM_OBJECT)
            object_limits(capabilities);
        else
            file_limits(capabilities, profile);
        backend->drop_every = profile == MEM_DROPPING ? wishes.drop_every : 0;
        status = read_limits(request, capabilities, error);
        backend->limits = *capabilities;
    }
    if (status < 0) {
        backend_free(backend);
        return status;
    }
    *self = backend;
    return ORBIT_OK;
}

static void mem_close(void *self, orbit_op *op)
{
    backend_free(self);
    orbit_op_done(op, ORBIT_OK, NULL);
}

const orbit_backend_ops orb_mem_ops = {
    .size = sizeof(orbit_backend_ops),
    .name = "mem",
    .open = mem_open,
    .close = mem_close,
    .cancel = mem_cancel,
    .same_store = mem_same_store,
    .stat = mem_stat,
    .list_begin = mem_list_begin,
    .list_page = mem_list_page,
    .list_suspend = mem_list_suspend,
    .list_end = mem_list_end,
    .read = mem_read,
    .put = mem_put,
    .begin = mem_begin,
    .part = mem_part,
    .part_copy = mem_part_copy,
    .finish = mem_finish,
    .abort = mem_abort,
    .release = mem_release,
    .parts = mem_parts,
    .uploads = mem_uploads,
    .adopt = mem_adopt,
    .locate = mem_locate,
    .remove = mem_remove,
    .mkdir = mem_mkdir,
    .rename = mem_rename,
    .copy = mem_copy,
    .set_metadata = mem_set_metadata,
    .symlink = mem_symlink,
    .readlink = mem_readlink,
    .xattr_get = mem_xattr_get,
    .xattr_list = mem_xattr_list,
    .xattr_set = mem_xattr_set,
    .space = mem_space,
    .container_create = mem_container_create,
    .container_remove = mem_container_remove,
};
