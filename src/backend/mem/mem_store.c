/* SPDX-License-Identifier: Apache-2.0
 * Stores and nodes: the registry of named stores of a client, directories as skip lists. Loop thread, but for
 * the registry, which has a mutex. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/clock.h"
#include "base/mem.h"

/* ---- nodes ------------------------------------------------------------------------------------------ */

const char *mem_node_name(const struct mem_node *node)
{
    return (const char *)&node->next[node->levels];
}

static int compare(const struct mem_node *node, const char *name, size_t length)
{
    size_t shorter = node->name_length < length ? node->name_length : length;
    int order = memcmp(mem_node_name(node), name, shorter);
    return order ? order : (node->name_length > length) - (node->name_length < length);
}

/* One level more with a chance of one in four: two pointers a node in the middle. */
static uint8_t toss_levels(struct mem_store *store)
{
    store->random = store->random * 6364136223846793005ull + 1442695040888963407ull;
    uint64_t bits = store->random >> 32;
    uint8_t levels = 1;
    for (; levels < MEM_LEVELS && (bits & 3) == 0; bits >>= 2)
        levels++;
    return levels;
}

struct mem_node *mem_node_new(struct mem_store *store, orbit_kind kind, const char *name, size_t length)
{
    uint8_t levels = toss_levels(store);
    struct mem_node *node = orb_calloc(1, sizeof(*node) + levels * sizeof(node->next[0]) + length + 1);
    if (!node)
        return NULL;
    node->kind = (uint8_t)kind;
    node->levels = levels;
    node->name_length = (uint16_t)length;
    memcpy((char *)&node->next[levels], name, length);
    node->mtime_ns = node->atime_ns = orb_realtime_ns();
    node->mode = kind == ORBIT_KIND_DIRECTORY ? 0755 : kind == ORBIT_KIND_SYMLINK ? 0777 : 0644;
    node->generation = ++store->generation;
    if (kind == ORBIT_KIND_DIRECTORY) {
        node->directory = orb_calloc(1, sizeof(*node->directory));
        if (!node->directory) {
            orb_free(node);
            return NULL;
        }
    }
    return node;
}

/* One node with what it owns; its children are gone already. */
static void free_one(struct mem_node *node)
{
    while (node->attributes) {
        struct mem_attribute *next = node->attributes->next;
        orb_free(node->attributes->value);
        orb_free(node->attributes);
        node->attributes = next;
    }
    if (node->extra)
        orbit_metadata_release(node->extra);
    orb_free(node->extra);
    orb_free(node->target);
    mem_content_drop(node->content);
    orb_free(node->directory);
    orb_free(node);
}

/* Deep trees do not recurse: always the deepest oldest child goes, then its parent goes on. */
void mem_node_free(struct mem_store *store, struct mem_node *top)
{
    struct mem_node *node = top;
    while (node) {
        if (node->directory && node->directory->oldest) {
            node = node->directory->oldest;
            continue;
        }
        struct mem_node *parent = node == top ? NULL : node->parent;
        if (parent)
            parent->directory->oldest = node->newer; /* the index goes down as a whole */
        mem_cursor_leave(store, node);
        mem_cursor_move(store, node, NULL);
        free_one(node);
        node = parent;
    }
}

/* ---- directories ------------------------------------------------------------------------------------ */

/* Where a node of that name hangs or would hang: on each level the pointer that leads to the first child that
 * is not below the name. */
static struct mem_node *search(struct mem_directory *directory, const char *name, size_t length,
                               struct mem_node **links[MEM_LEVELS])
{
    struct mem_node **row = directory->first;
    for (size_t level = MEM_LEVELS; level-- > 0;) {
        while (row[level] && compare(row[level], name, length) < 0)
            row = row[level]->next;
        if (links)
            links[level] = &row[level];
    }
    return row[0];
}

struct mem_node *mem_directory_seek(const struct mem_directory *directory, const char *name, size_t length)
{
    return search((struct mem_directory *)directory, name, length, NULL);
}

struct mem_node *mem_directory_find(const struct mem_directory *directory, const char *name, size_t length)
{
    struct mem_node *node = mem_directory_seek(directory, name, length);
    return node && compare(node, name, length) == 0 ? node : NULL;
}

void mem_link(struct mem_store *store, struct mem_node *parent, struct mem_node *node)
{
    struct mem_directory *directory = parent->directory;
    struct mem_node **links[MEM_LEVELS];
    search(directory, mem_node_name(node), node->name_length, links);
    for (size_t level = 0; level < node->levels; level++) {
        node->next[level] = *links[level];
        *links[level] = node;
    }
    node->parent = parent;
    node->serial = ++store->serial;
    node->newer = NULL;
    node->older = directory->newest;
    if (directory->newest)
        directory->newest->newer = node;
    else
        directory->oldest = node;
    directory->newest = node;
    directory->count++;
}

void mem_unlink(struct mem_store *store, struct mem_node *node)
{
    struct mem_directory *directory = node->parent->directory;
    struct mem_node **links[MEM_LEVELS];
    mem_cursor_leave(store, node);
    search(directory, mem_node_name(node), node->name_length, links);
    for (size_t level = 0; level < node->levels; level++)
        *links[level] = node->next[level];
    if (node->older)
        node->older->newer = node->newer;
    else
        directory->oldest = node->newer;
    if (node->newer)
        node->newer->older = node->older;
    else
        directory->newest = node->older;
    node->older = node->newer = NULL;
    node->parent = NULL;
    directory->count--;
}

/* ---- stores ----------------------------------------------------------------------------------------- */

struct mem_store *mem_store_new(const char *name, enum mem_profile profile)
{
    struct mem_store *store = orb_calloc(1, sizeof(*store));
    if (!store)
        return NULL;
    store->profile = profile;
    store->random = 0x2545f4914f6cdd1dull;
    store->name = orb_strdup(name);
    store->root = mem_node_new(store, ORBIT_KIND_DIRECTORY, "", 0);
    if (!store->root || (name && !store->name)) {
        mem_store_free(store);
        return NULL;
    }
    return store;
}

void mem_store_free(struct mem_store *store)
{
    if (!store)
        return;
    while (store->uploads)
        mem_upload_forget(store->uploads);
    mem_node_free(store, store->root);
    orb_free(store->name);
    orb_free(store);
}

struct registry {
    pthread_mutex_t mutex;
    struct mem_store *stores; /* by mutex; they live as long as the client */
};
static const char registry_key;

static void *make_registry(struct orbit_host *host, orbit_error *error)
{
    (void)host;
    struct registry *registry = orb_calloc(1, sizeof(*registry));
    if (!registry)
        orb_fail_memory(error);
    else
        pthread_mutex_init(&registry->mutex, NULL);
    return registry;
}

static void drop_registry(void *thing)
{
    struct registry *registry = thing;
    while (registry->stores) {
        struct mem_store *next = registry->stores->next;
        mem_store_free(registry->stores);
        registry->stores = next;
    }
    pthread_mutex_destroy(&registry->mutex);
    orb_free(registry);
}

struct mem_store *mem_store_named(struct orbit_host *host, const char *name, const enum mem_profile *profile,
                                  uint64_t capacity, orbit_error *error)
{
    struct registry *registry = orb_host_attach(host, &registry_key, make_registry, drop_registry, error);
    if (!registry)
        return NULL;
    pthread_mutex_lock(&registry->mutex);
    struct mem_store *store = registry->stores;
    while (store && strcmp(store->name, name) != 0)
        store = store->next;
    if (!store) {
        store = mem_store_new(name, profile ? *profile : MEM_OBJECT);
        if (store) {
            store->capacity = capacity;
            store->next = registry->stores;
            registry->stores = store;
        } else {
            orb_fail_memory(error);
        }
    } else if (profile && *profile != store->profile) {
        orb_fail(error, ORBIT_E_CONFIG, 0, "the memory store '%s' is open with another profile", name);
        store = NULL;
    }
    pthread_mutex_unlock(&registry->mutex);
    return store;
}
