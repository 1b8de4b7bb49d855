/* SPDX-License-Identifier: Apache-2.0
 * What is known of one file or object. Filled by orbit_stat(), a reader, a lister's entry.
 *
 * Numbers are valid where `fields` says so. Strings are NULL where unknown and are borrowed: they
 * live as long as the thing that filled the metadata (a reader until closed, an entry until the
 * next one). Metadata the caller received as a value of its own (orbit_stat) is released with
 * orbit_metadata_release(). */
#ifndef ORBIT_METADATA_H
#define ORBIT_METADATA_H

#include <orbit/export.h>

ORBIT_BEGIN_DECLS

typedef enum orbit_kind {
    ORBIT_KIND_UNKNOWN = 0,
    ORBIT_KIND_FILE,
    ORBIT_KIND_DIRECTORY,
    ORBIT_KIND_SYMLINK,
    ORBIT_KIND_OTHER /* device, socket, FIFO */
} orbit_kind;

typedef enum orbit_checksum_algorithm {
    ORBIT_CHECKSUM_NONE = 0,
    ORBIT_CHECKSUM_CRC64NVME,
    ORBIT_CHECKSUM_CRC32C,
    ORBIT_CHECKSUM_CRC32,
    ORBIT_CHECKSUM_SHA256,
    ORBIT_CHECKSUM_SHA1,
    ORBIT_CHECKSUM_MD5
} orbit_checksum_algorithm;

/* A checksum as bytes, most significant first for CRCs. */
typedef struct orbit_checksum {
    uint8_t algorithm; /* orbit_checksum_algorithm */
    uint8_t length;    /* bytes used of value */
    bool composite;    /* a checksum of part checksums, not of the bytes */
    uint8_t reserved;
    uint8_t value[32];
} orbit_checksum;

/* A part that an object in parts was made of. */
typedef struct orbit_object_part {
    uint32_t number; /* from 1 */
    uint32_t reserved;
    uint64_t size;           /* bytes */
    orbit_checksum checksum; /* algorithm NONE where none is kept */
} orbit_object_part;

/* Which numbers of an orbit_metadata are known. */
enum {
    ORBIT_HAS_SIZE = 1u << 0,
    ORBIT_HAS_MTIME = 1u << 1,
    ORBIT_HAS_ATIME = 1u << 2,
    ORBIT_HAS_MODE = 1u << 3,
    ORBIT_HAS_OWNER = 1u << 4,
    ORBIT_HAS_INODE = 1u << 5,
    ORBIT_HAS_BLOCKS = 1u << 6
};

typedef struct orbit_pair {
    const char *name;
    const char *value;
} orbit_pair;

typedef struct orbit_metadata {
    uint32_t fields;  /* ORBIT_HAS_… */
    uint32_t kind;    /* orbit_kind */
    uint64_t size;    /* bytes */
    int64_t mtime_ns; /* nanoseconds since 1970 UTC, of the last change of the content */
    int64_t atime_ns;
    uint32_t mode; /* permission bits, 07777 */
    uint32_t uid;
    uint32_t gid;
    uint32_t part_count; /* of a multipart object; 0 unknown or none */
    uint64_t device;     /* with inode: identity on a local disk */
    uint64_t inode;
    uint64_t disk_bytes; /* bytes allocated on disk: less than size for a sparse file */
    orbit_checksum checksum;

    const char *etag; /* without quotes */
    const char *version_id;
    const char *content_type;
    const char *content_encoding;
    const char *content_disposition;
    const char *content_language;
    const char *cache_control;
    const char *expires;
    const char *storage_class;
    const char *encryption;  /* such as "AES256", "aws:kms" */
    const char *link_target; /* of a symlink */

    const orbit_pair *user; /* user metadata, names in the store's spelling (lower case on S3) */
    size_t user_count;

    /* Of an object that is kept from being removed: see orbit_write_options. */
    const char *object_lock_mode;
    const char *object_lock_until;
    const char *object_lock_legal_hold;

    void *storage; /* Orbit's own: what the strings live in; NULL when they are borrowed */
} orbit_metadata;

#define ORBIT_METADATA_INIT \
    {                       \
        0                   \
    }

/* Frees what `metadata` owns and zeroes it. NULL and zeroed values are fine. Any thread. */
ORBIT_API void orbit_metadata_release(orbit_metadata *metadata);

/* Copies `from` with all its strings; `to` is overwritten without being released first.
 * ORBIT_E_MEMORY leaves `to` zeroed. Any thread. */
ORBIT_API int orbit_metadata_copy(orbit_metadata *to, const orbit_metadata *from);

/* For authors of backends: store a copy of `length` bytes (NUL-terminated by the call) that lives
 * as long as `metadata`; returns NULL when memory is out. `orbit_metadata_add_user` appends one
 * pair of user metadata. At most 64 KiB in all: a peer's length never sizes an allocation. */
ORBIT_API const char *orbit_metadata_keep(orbit_metadata *metadata, const char *bytes, size_t length);
ORBIT_API int orbit_metadata_add_user(orbit_metadata *metadata, const char *name, const char *value);

ORBIT_END_DECLS

#endif
