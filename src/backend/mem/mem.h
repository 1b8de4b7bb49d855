/* SPDX-License-Identifier: Apache-2.0
 * The memory backend from the inside: the reference of the backend contract, written to be read. Everything
 * below is touched on the loop thread only, but for opening (mem.c) and the registry of named stores.
 *
 *   mem.c           the table, opening and closing, profiles
 *   mem_store.c     named stores, nodes, the ordered directories
 *   mem_content.c   bytes of objects: immutable once visible, shared by copies and readers
 *   mem_path.c      from a path to a node: components, symlinks
 *   mem_transfer.c  operations that take several steps: pausing, resuming, cancelling, dropped sessions
 *   mem_read.c  mem_write.c  mem_upload.c  mem_list.c  mem_file.c  mem_remove.c  mem_meta.c   the operations */
#ifndef ORB_BACKEND_MEM_MEM_H
#define ORB_BACKEND_MEM_MEM_H

#include "backend/backend.h"
#include "base/buf.h"
#include "base/hash.h"

#define MEM_NAME_MAX    255  /* of a component, in the profiles with directories */
#define MEM_KEY_MAX     4096 /* of a key, in the object profile */
#define MEM_SYMLINK_MAX 40   /* followed in one path */
#define MEM_LEVELS      16

/* ---- bytes ------------------------------------------------------------------------------------------
 * A run of segments. Growing adds a segment, joining parts moves them: no byte is copied twice. */
struct mem_segment {
    char *bytes;    /* NULL: a hole of zeroes */
    uint64_t start; /* offset of its first byte in the content */
    size_t length, room;
};

struct mem_content {
    struct mem_store *store;
    unsigned refs;
    uint32_t parts; /* it was assembled from; 0: put in one piece */
    uint64_t size;
    uint64_t crc; /* CRC64NVME of all bytes */
    struct mem_segment *segments;
    size_t count, room;
};

struct mem_content *mem_content_new(struct mem_store *store); /* NULL when memory is out */
void mem_content_hold(struct mem_content *content);
void mem_content_drop(struct mem_content *content); /* NULL is fine */
/* `expected`: how many bytes are still to come, so that small objects take small blocks. */
orbit_status mem_content_append(struct mem_content *content, const void *bytes, size_t length, uint64_t expected,
                                orbit_error *error);
/* Moves the segments of `from` to `offset` of `to`, which is not behind the end of `to`'s bytes. */
orbit_status mem_content_join(struct mem_content *to, struct mem_content *from, uint64_t offset, orbit_error *error);
/* Room for `segments` more, so that so many joins cannot fail. */
orbit_status mem_content_reserve(struct mem_content *content, size_t segments, orbit_error *error);
/* Adds zeroes up to `size`. */
orbit_status mem_content_extend(struct mem_content *content, uint64_t size, orbit_error *error);
/* Up to `want` bytes from `offset`, in one piece; *zero for a hole. */
size_t mem_content_at(const struct mem_content *content, uint64_t offset, size_t want, const char **bytes);

/* ---- nodes ------------------------------------------------------------------------------------------
 * A directory keeps its children in a skip list by name: a few lines, no rebalancing, O(log n) for any number
 * of entries, walks in order, and a seek to "the first name after this one", which is all that a flat store's
 * prefix, delimiter and start-after need. In the object profile the root is the only directory and the names
 * are whole keys. Children also hang on a list in the order they came: that is the order of a directory's
 * listing (as on most disks, it is not sorted), and `serial` is the position in it. */
struct mem_node;

struct mem_directory {
    struct mem_node *first[MEM_LEVELS];
    struct mem_node *oldest, *newest;
    size_t count;
};

struct mem_attribute {
    struct mem_attribute *next;
    size_t length;
    char *value;
    char name[];
};

struct mem_node {
    struct mem_node *parent; /* NULL: the root, or unlinked */
    struct mem_node *older, *newer;
    uint64_t serial;     /* grows with every linking */
    uint64_t generation; /* of the content: the "inode" */
    int64_t mtime_ns, atime_ns;
    uint32_t mode, uid, gid;
    uint8_t kind; /* orbit_kind */
    uint8_t levels;
    uint16_t name_length;
    struct mem_content *content;     /* of a file */
    struct mem_directory *directory; /* of a directory */
    char *target;                    /* of a symlink */
    orbit_metadata *extra;           /* content type, user metadata, …; nullable */
    struct mem_attribute *attributes;
    struct mem_node *next[]; /* `levels` of them, then the name and its NUL */
};

const char *mem_node_name(const struct mem_node *node);
struct mem_node *mem_node_new(struct mem_store *store, orbit_kind kind, const char *name, size_t length);
void mem_node_free(struct mem_store *store, struct mem_node *top); /* with all that is below it */
struct mem_node *mem_directory_find(const struct mem_directory *directory, const char *name, size_t length);
/* The first child whose name is not below `name`. */
struct mem_node *mem_directory_seek(const struct mem_directory *directory, const char *name, size_t length);
void mem_link(struct mem_store *store, struct mem_node *parent, struct mem_node *node);
/* Takes the node out; cursors that stand on it move on. The caller owns the node. */
void mem_unlink(struct mem_store *store, struct mem_node *node);

/* ---- stores ----------------------------------------------------------------------------------------- */
enum mem_profile { MEM_OBJECT, MEM_FILES, MEM_SEQUENTIAL, MEM_DROPPING };

struct mem_store {
    struct mem_store *next; /* among the named ones */
    char *name;             /* NULL: of one backend alone */
    enum mem_profile profile;
    uint64_t capacity, used; /* bytes; capacity 0: unlimited */
    uint64_t serial, generation;
    struct mem_node *root;
    struct mem_cursor *cursors; /* open listings of directories */
    struct mem_upload *uploads;
    uint64_t random;
    bool removed; /* by container_remove */
};

struct mem_store *mem_store_new(const char *name, enum mem_profile profile);
void mem_store_free(struct mem_store *store);
/* The store of that name in this client, made when it is new. Any thread. */
struct mem_store *mem_store_named(struct orbit_host *host, const char *name, const enum mem_profile *profile,
                                  uint64_t capacity, orbit_error *error);

struct mem_backend {
    struct mem_store *store;
    struct orbit_host *host;
    char *url;
    char *root; /* "" or ends in '/'. Object: put before every key; else: the directory that is the root */
    orbit_capabilities limits;
    struct mem_transfer *transfers;  /* under way */
    uint64_t drop_every, operations; /* MEM_DROPPING */
    bool connected;
};

static inline bool mem_is_object(const struct mem_backend *backend)
{
    return backend->store->profile == MEM_OBJECT;
}

/* The beginning of every operation: false when it was ended already, because the session drops now or the
 * container is gone. */
bool mem_enter(struct mem_backend *backend, orbit_op *op);
/* Ends an operation with what `status` says. */
void mem_done(orbit_op *op, orbit_status status, const orbit_error *error);

/* ---- operations in steps ---------------------------------------------------------------------------- */
struct mem_transfer {
    struct orb_message message, last_message;
    struct mem_backend *backend;
    orbit_op *op;
    struct mem_transfer *next, **link; /* backend->transfers */
    _Atomic bool posted;               /* message is on its way */
    bool over;
    unsigned refs;
    orbit_status broken; /* negative: end so with the next step */
    /* One step: ends the transfer, or returns after mem_transfer_again() or because it waits for resume. */
    void (*step)(struct mem_transfer *transfer);
    void (*release)(struct mem_transfer *transfer); /* frees what the operation added, not the transfer */
};

#define MEM_STEP_BYTES ((size_t)1 << 20) /* moved in one step, so that others have their turn */

/* `transfer` is the first member of an allocated, zeroed struct. Takes its first step soon. */
void mem_transfer_start(struct mem_transfer *transfer, struct mem_backend *backend, orbit_op *op,
                        void (*step)(struct mem_transfer *), void (*release)(struct mem_transfer *));
void mem_transfer_again(struct mem_transfer *transfer);
void mem_transfer_end(struct mem_transfer *transfer, orbit_status status, const orbit_error *error);
void mem_break_session(struct mem_backend *backend);
void mem_cancel(void *self, orbit_op *op);

/* ---- paths ------------------------------------------------------------------------------------------ */
struct mem_place {
    struct mem_node *parent; /* the directory that holds or would hold it; NULL for the root itself */
    struct mem_node *node;   /* NULL: nothing there */
    const char *name;        /* last component, borrowed from the path or a symlink's target */
    size_t name_length;
    bool must_be_directory; /* the path ended in '/' */
};

/* Profiles with directories. Intermediate symlinks are followed, the last one with `follow`. ORBIT_OK also when
 * only the last component is missing; ORBIT_E_NOT_FOUND when a parent is, unless `make` makes it. */
orbit_status mem_walk(struct mem_backend *backend, const char *path, bool follow, bool make, struct mem_place *place,
                      orbit_error *error);
/* The same, and there must be something. */
orbit_status mem_walk_existing(struct mem_backend *backend, const char *path, bool follow, struct mem_place *place,
                               orbit_error *error);
/* Object profile: root + path as a key. False with `error` when too long or out of memory. */
bool mem_key(struct mem_backend *backend, const char *path, struct orb_buf *key, orbit_error *error);
struct mem_node *mem_object(struct mem_backend *backend, const struct orb_buf *key);
/* Either profile: the file at `path`, or why there is none. */
orbit_status mem_find_file(struct mem_backend *backend, const char *path, struct mem_node **node, orbit_error *error);

/* The file that a copy takes its bytes from, if it is the one that was meant. */
orbit_status mem_copy_source(const orbit_copy_request *request, struct mem_node **node, orbit_error *error);

orbit_status mem_fail_missing(struct mem_backend *backend, const char *path, orbit_error *error);

/* ---- writing ---------------------------------------------------------------------------------------- */
/* May a file stand at `path` under these options? Asked early, and again when it becomes visible. */
orbit_status mem_publish_check(struct mem_backend *backend, const char *path, const orbit_write_options *options,
                               orbit_error *error);
/* Makes `content` the file at `path`, all at once, and fills `reply` (nullable). Takes a reference. */
orbit_status mem_publish(struct mem_backend *backend, const char *path, const orbit_write_options *options,
                         const orbit_metadata *preserve, struct mem_content *content, orbit_metadata *reply,
                         orbit_error *error);
/* Drains a body into a content, step by step; then `done` ends the transfer. The first member of what put and
 * part allocate. */
struct mem_drain {
    struct mem_transfer transfer;
    orbit_body *body;
    struct mem_content *content;
    void (*done)(struct mem_drain *drain);
};
/* Takes over `drain` (allocated, zeroed; `done` set). `release` frees what the operation added. */
void mem_drain_start(struct mem_drain *drain, struct mem_backend *backend, orbit_op *op, orbit_body *body,
                     void (*release)(struct mem_transfer *));

/* An upload: what begin makes, finish shows, abort forgets. The store holds it until then, handles until
 * release. */
struct mem_upload_part {
    uint32_t number;
    uint64_t offset;
    struct mem_content *content;
    char etag[32];
};
struct mem_upload {
    struct mem_store *store;
    struct mem_upload *next, **link; /* store->uploads, by path and id */
    unsigned refs;
    bool listed;      /* neither finished nor aborted */
    char *full;       /* root and path of the backend that began it */
    const char *path; /* inside full */
    char id[24];
    int64_t started_ns;
    orbit_write_options options; /* its strings are in `kept` */
    orbit_metadata kept;
    orbit_metadata preserve;
    bool has_preserve;
    struct mem_upload_part **parts; /* by number */
    size_t count, room;
    struct mem_content *joined; /* the parts put together, by a finish that may have failed later */
    uint64_t finished;          /* generation of the file it became; 0: not yet */
};
void mem_upload_forget(struct mem_upload *upload); /* out of the store's list */
void mem_upload_drop(struct mem_upload *upload);

/* ---- describing ------------------------------------------------------------------------------------- */
#define MEM_ETAG_ROOM 32
void mem_etag(const struct mem_content *content, char etag[MEM_ETAG_ROOM]);
/* Borrowed strings: `etag` is where the ETag goes. */
void mem_describe(const struct mem_backend *backend, const struct mem_node *node, orbit_metadata *metadata,
                  char etag[MEM_ETAG_ROOM]);
/* The same as a value of its own. */
orbit_status mem_describe_copy(const struct mem_backend *backend, const struct mem_node *node, orbit_metadata *metadata,
                               orbit_error *error);

/* ---- the operations of the table --------------------------------------------------------------------- */
void mem_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply);
void mem_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **made);
void mem_list_page(void *self, orbit_op *op, void *handle, orbit_page *page);
void mem_list_suspend(void *self, void *handle, uint64_t position);
void mem_list_end(void *self, void *cursor);
/* Cursors that stand on a child that goes; cursors in a directory that is another node now, or none. */
void mem_cursor_leave(struct mem_store *store, struct mem_node *child);
void mem_cursor_move(struct mem_store *store, struct mem_node *directory, struct mem_node *to);
void mem_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink, orbit_read_reply *reply);
void mem_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply);
void mem_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply);
void mem_part(void *self, orbit_op *op, void *handle, const orbit_part *part, orbit_body *body,
              orbit_part_reply *reply);
void mem_part_copy(void *self, orbit_op *op, void *handle, const orbit_part_copy_request *request,
                   orbit_part_reply *reply);
void mem_finish(void *self, orbit_op *op, void *handle, const orbit_finish_request *request, orbit_metadata *reply);
void mem_abort(void *self, orbit_op *op, void *handle);
void mem_release(void *self, void *upload);
void mem_parts(void *self, orbit_op *op, const orbit_parts_request *request, orbit_more_reply *reply);
void mem_uploads(void *self, orbit_op *op, const orbit_uploads_request *request, orbit_more_reply *reply);
orbit_status mem_adopt(void *self, void *handle, const orbit_stored_part *part, orbit_error *error);
orbit_status mem_locate(void *self, const char *path, char *store, size_t store_room, char *key, size_t key_room);
void mem_remove(void *self, orbit_op *op, const orbit_remove_request *request);
void mem_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request);
void mem_rename(void *self, orbit_op *op, const orbit_rename_request *request);
void mem_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply);
void mem_set_metadata(void *self, orbit_op *op, const orbit_set_metadata_request *request);
void mem_symlink(void *self, orbit_op *op, const orbit_link_request *request);
void mem_readlink(void *self, orbit_op *op, const orbit_bytes_request *request);
void mem_xattr_get(void *self, orbit_op *op, const orbit_bytes_request *request);
void mem_xattr_list(void *self, orbit_op *op, const orbit_bytes_request *request);
void mem_xattr_set(void *self, orbit_op *op, const orbit_xattr_set_request *request);
void mem_space(void *self, orbit_op *op, const char *path, orbit_space_reply *reply);
void mem_container_create(void *self, orbit_op *op);
void mem_container_remove(void *self, orbit_op *op);

#endif
