/* SPDX-License-Identifier: Apache-2.0
 * Removing: keys by the batch, files and directories one at a time or with all that is below. Loop thread. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/mem.h"

static void remove_node(struct mem_store *store, struct mem_node *node)
{
    mem_unlink(store, node);
    mem_node_free(store, node);
}

/* Removing what is not there is success, as object stores have it. A name that is only a directory's loses its
 * marker, when nothing else is below. */
static orbit_status remove_key(struct mem_backend *backend, const char *path, orbit_error *error)
{
    struct orb_buf key;
    orbit_status status = ORBIT_OK;
    size_t length = strlen(path);
    if (!mem_key(backend, path, &key, error))
        return length > MEM_KEY_MAX ? ORBIT_E_PATH : ORBIT_E_MEMORY;
    struct mem_node *node = length ? mem_object(backend, &key) : NULL;
    if (node) {
        remove_node(backend->store, node);
    } else if (length && path[length - 1] != '/' && length < MEM_KEY_MAX) {
        if (!orb_buf_char(&key, '/')) {
            status = orb_fail_memory(error);
        } else if ((node = mem_object(backend, &key))) {
            const struct mem_node *after = node->next[0];
            if (!after || strncmp(mem_node_name(after), orb_buf_string(&key), key.length) != 0)
                remove_node(backend->store, node);
        }
    }
    orb_buf_release(&key);
    return status;
}

static orbit_status remove_file(struct mem_backend *backend, const orbit_remove_request *request, const char *path,
                                orbit_error *error)
{
    struct mem_place place;
    orbit_status status = mem_walk_existing(backend, path, false, &place, error);
    if (status == ORBIT_E_NOT_FOUND && request->missing_ok)
        return ORBIT_OK;
    if (status < 0)
        return status;
    if (!place.parent)
        return orb_fail(error, ORBIT_E_PATH, 0, "the root of %s cannot be removed", backend->url);
    if (place.node->directory && place.node->directory->count && !(request->recursive && backend->limits.remove_tree))
        return orb_fail(error, ORBIT_E_NOT_EMPTY, 0, "the directory '%s' in %s is not empty", path, backend->url);
    remove_node(backend->store, place.node);
    return ORBIT_OK;
}

void mem_remove(void *self, orbit_op *op, const orbit_remove_request *request)
{
    struct mem_backend *backend = self;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    if (request->count > backend->limits.remove_batch) {
        orbit_status status = orb_fail(&error, ORBIT_E_LIMIT, 0, "%zu paths are more than %s removes at once",
                                       request->count, backend->url);
        mem_done(op, status, &error);
        return;
    }
    for (size_t i = 0; i < request->count; i++) {
        orbit_remove_item *item = &request->items[i];
        orb_error_clear(&item->error);
        item->status = mem_is_object(backend) ? remove_key(backend, item->path, &item->error)
                                              : remove_file(backend, request, item->path, &item->error);
    }
    mem_done(op, ORBIT_OK, NULL);
}
