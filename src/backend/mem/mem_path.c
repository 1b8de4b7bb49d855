/* SPDX-License-Identifier: Apache-2.0
 * From paths to nodes. Owns the rules of names, symlinks and "..". Loop thread. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/mem.h"

orbit_status mem_fail_missing(struct mem_backend *backend, const char *path, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_NOT_FOUND, 0, "'%s' does not exist in %s", path, backend->url);
}

static orbit_status fail_not_directory(struct mem_backend *backend, const char *path, orbit_error *error)
{
    orb_fail(error, ORBIT_E_PATH, 0, "a part of '%s' in %s is not a directory", path, backend->url);
    if (error)
        error->flags |= ORBIT_ERROR_NOT_DIRECTORY;
    return ORBIT_E_PATH;
}

/* What a walk carries from component to component. */
struct walk {
    struct mem_backend *backend;
    const char *whole;    /* for messages */
    struct mem_node *top; /* ".." and "/" in symlinks do not leave it */
    unsigned links;       /* followed so far */
    bool make;
    orbit_error *error;
};

static orbit_status make_directory(struct walk *walk, struct mem_place *place)
{
    struct mem_store *store = walk->backend->store;
    struct mem_node *made = mem_node_new(store, ORBIT_KIND_DIRECTORY, place->name, place->name_length);
    if (!made)
        return orb_fail_memory(walk->error);
    mem_link(store, place->parent, made);
    place->node = made;
    return ORBIT_OK;
}

/* Walks `path` from place->node on. Symlinks inside it are walked by a call of their own, at most
 * MEM_SYMLINK_MAX of them in all. `inside`: a symlink's target, where ".." is allowed. */
static orbit_status walk_components(struct walk *walk, const char *path, bool follow, bool inside,
                                    struct mem_place *place);

/* place->node is a symlink: goes where it points. */
static orbit_status follow_link(struct walk *walk, struct mem_place *place)
{
    const char *target = place->node->target;
    if (++walk->links > MEM_SYMLINK_MAX)
        return orb_fail(walk->error, ORBIT_E_PATH, 0, "too many symbolic links in '%s' in %s", walk->whole,
                        walk->backend->url);
    struct mem_place to = {.node = target[0] == '/' ? walk->top : place->parent};
    to.parent = to.node == walk->top ? NULL : to.node->parent;
    orbit_status status = walk_components(walk, target, true, true, &to);
    if (status == ORBIT_OK)
        *place = to;
    return status;
}

/* place->node must be a directory to go on from; missing ones are made where wanted. */
static orbit_status enter(struct walk *walk, struct mem_place *place)
{
    orbit_status status = ORBIT_OK;
    if (place->node && place->node->kind == ORBIT_KIND_SYMLINK)
        status = follow_link(walk, place);
    if (status == ORBIT_OK && !place->node)
        status = walk->make ? make_directory(walk, place) : mem_fail_missing(walk->backend, walk->whole, walk->error);
    if (status == ORBIT_OK && !place->node->directory)
        status = fail_not_directory(walk->backend, walk->whole, walk->error);
    return status;
}

static orbit_status step(struct walk *walk, const char *name, size_t length, bool inside, struct mem_place *place)
{
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        if (!inside)
            return orb_fail(walk->error, ORBIT_E_PATH, 0, "'..' is not allowed in '%s'", walk->whole);
        struct mem_node *up = place->node == walk->top ? walk->top : place->node->parent;
        *place = (struct mem_place){.node = up, .parent = up == walk->top ? NULL : up->parent};
        return ORBIT_OK;
    }
    if (length > MEM_NAME_MAX)
        return orb_fail(walk->error, ORBIT_E_PATH, 0, "a name in '%s' is longer than %d bytes", walk->whole,
                        MEM_NAME_MAX);
    *place = (struct mem_place){.parent = place->node,
                                .node = mem_directory_find(place->node->directory, name, length),
                                .name = name,
                                .name_length = length};
    return ORBIT_OK;
}

static orbit_status walk_components(struct walk *walk, const char *path, bool follow, bool inside,
                                    struct mem_place *place)
{
    orbit_status status = ORBIT_OK;
    const char *at = path + strspn(path, "/");
    while (*at && status == ORBIT_OK) {
        size_t length = strcspn(at, "/");
        if (length != 1 || *at != '.') {
            status = enter(walk, place);
            if (status == ORBIT_OK)
                status = step(walk, at, length, inside, place);
        }
        at += length;
        size_t slashes = strspn(at, "/");
        at += slashes;
        if (!*at && slashes)
            place->must_be_directory = true;
    }
    if (status == ORBIT_OK && place->node && place->node->kind == ORBIT_KIND_SYMLINK &&
        (follow || place->must_be_directory)) {
        bool directory = place->must_be_directory;
        status = follow_link(walk, place);
        place->must_be_directory = place->must_be_directory || directory;
    }
    if (status == ORBIT_OK && place->must_be_directory && place->node && !place->node->directory)
        status = fail_not_directory(walk->backend, walk->whole, walk->error);
    return status;
}

orbit_status mem_walk(struct mem_backend *backend, const char *path, bool follow, bool make, struct mem_place *place,
                      orbit_error *error)
{
    struct walk walk = {backend, path, backend->store->root, 0, make, error};
    *place = (struct mem_place){.node = backend->store->root};
    orbit_status status = ORBIT_OK;
    if (*backend->root) {
        status = walk_components(&walk, backend->root, true, false, place);
        bool at_root = !path[strspn(path, "/")];
        if (status == ORBIT_OK && !at_root)
            status = enter(&walk, place);
        if (status == ORBIT_OK && place->node)
            walk.top = place->node;
        if (at_root && place->node)
            place->parent = NULL;
        if (at_root)
            return status;
        place->must_be_directory = false;
        place->parent = NULL;
    }
    return status == ORBIT_OK ? walk_components(&walk, path, follow, false, place) : status;
}

orbit_status mem_walk_existing(struct mem_backend *backend, const char *path, bool follow, struct mem_place *place,
                               orbit_error *error)
{
    orbit_status status = mem_walk(backend, path, follow, false, place, error);
    return status == ORBIT_OK && !place->node ? mem_fail_missing(backend, path, error) : status;
}

bool mem_key(struct mem_backend *backend, const char *path, struct orb_buf *key, orbit_error *error)
{
    orb_buf_init(key, MEM_KEY_MAX + strlen(backend->root));
    if (orb_buf_text(key, backend->root) && orb_buf_text(key, path))
        return true;
    if (strlen(path) > MEM_KEY_MAX)
        orb_fail(error, ORBIT_E_PATH, 0, "a key of %zu bytes is too long", strlen(path));
    else
        orb_fail_memory(error);
    orb_buf_release(key);
    return false;
}

struct mem_node *mem_object(struct mem_backend *backend, const struct orb_buf *key)
{
    return mem_directory_find(backend->store->root->directory, orb_buf_string(key), key->length);
}

orbit_status mem_find_file(struct mem_backend *backend, const char *path, struct mem_node **node, orbit_error *error)
{
    *node = NULL;
    if (mem_is_object(backend)) {
        struct orb_buf key;
        if (!mem_key(backend, path, &key, error))
            return (orbit_status)(strlen(path) > MEM_KEY_MAX ? ORBIT_E_PATH : ORBIT_E_MEMORY);
        *node = mem_object(backend, &key);
        orb_buf_release(&key);
        return *node ? ORBIT_OK : mem_fail_missing(backend, path, error);
    }
    struct mem_place place;
    orbit_status status = mem_walk_existing(backend, path, true, &place, error);
    if (status < 0)
        return status;
    if (place.node->directory) {
        orb_fail(error, ORBIT_E_PATH, 0, "'%s' in %s is a directory", path, backend->url);
        if (error)
            error->flags |= ORBIT_ERROR_IS_DIRECTORY;
        return ORBIT_E_PATH;
    }
    *node = place.node;
    return ORBIT_OK;
}
