/* SPDX-License-Identifier: Apache-2.0
 * The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for the extensions) to and
 * from memory. No I/O, no state. What comes from a server is looked at byte by byte: nothing is believed, a length
 * least of all. */
#ifndef ORB_WIRE_SFTP_CODEC_H
#define ORB_WIRE_SFTP_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum orb_sftp_type {
    ORB_SFTP_INIT = 1,
    ORB_SFTP_VERSION = 2,
    ORB_SFTP_OPEN = 3,
    ORB_SFTP_CLOSE = 4,
    ORB_SFTP_READ = 5,
    ORB_SFTP_WRITE = 6,
    ORB_SFTP_LSTAT = 7,
    ORB_SFTP_FSTAT = 8,
    ORB_SFTP_SETSTAT = 9,
    ORB_SFTP_FSETSTAT = 10,
    ORB_SFTP_OPENDIR = 11,
    ORB_SFTP_READDIR = 12,
    ORB_SFTP_REMOVE = 13,
    ORB_SFTP_MKDIR = 14,
    ORB_SFTP_RMDIR = 15,
    ORB_SFTP_REALPATH = 16,
    ORB_SFTP_STAT = 17,
    ORB_SFTP_RENAME = 18,
    ORB_SFTP_READLINK = 19,
    ORB_SFTP_SYMLINK = 20,
    ORB_SFTP_STATUS = 101,
    ORB_SFTP_HANDLE = 102,
    ORB_SFTP_DATA = 103,
    ORB_SFTP_NAME = 104,
    ORB_SFTP_ATTRS = 105,
    ORB_SFTP_EXTENDED = 200,
    ORB_SFTP_EXTENDED_REPLY = 201
};

enum orb_sftp_status {
    ORB_SFTP_STATUS_OK = 0,
    ORB_SFTP_STATUS_EOF = 1,
    ORB_SFTP_STATUS_NO_SUCH_FILE = 2,
    ORB_SFTP_STATUS_PERMISSION_DENIED = 3,
    ORB_SFTP_STATUS_FAILURE = 4, /* everything else: a full disk, a name that is taken, a directory that is not empty */
    ORB_SFTP_STATUS_BAD_MESSAGE = 5,
    ORB_SFTP_STATUS_NO_CONNECTION = 6,
    ORB_SFTP_STATUS_CONNECTION_LOST = 7,
    ORB_SFTP_STATUS_UNSUPPORTED = 8,
    /* Of later versions (draft-ietf-secsh-filexfer-13, 9.1); some servers answer so in version 3, too. */
    ORB_SFTP_STATUS_NO_SUCH_PATH = 10,
    ORB_SFTP_STATUS_EXISTS = 11,
    ORB_SFTP_STATUS_WRITE_PROTECT = 12,
    ORB_SFTP_STATUS_NO_SPACE = 14,
    ORB_SFTP_STATUS_QUOTA = 15,
    ORB_SFTP_STATUS_LOCKED = 17,
    ORB_SFTP_STATUS_NOT_EMPTY = 18,
    ORB_SFTP_STATUS_NOT_DIRECTORY = 19,
    ORB_SFTP_STATUS_BAD_NAME = 20,
    ORB_SFTP_STATUS_LINK_LOOP = 21,
    ORB_SFTP_STATUS_IS_DIRECTORY = 24
};

/* pflags of OPEN. */
enum {
    ORB_SFTP_OPEN_READ = 1,
    ORB_SFTP_OPEN_WRITE = 2,
    ORB_SFTP_OPEN_APPEND = 4,
    ORB_SFTP_OPEN_CREATE = 8,
    ORB_SFTP_OPEN_TRUNCATE = 16,
    ORB_SFTP_OPEN_EXCLUSIVE = 32
};

/* flags of attributes: which of the numbers are there. */
#define ORB_SFTP_HAS_SIZE     UINT32_C(1)
#define ORB_SFTP_HAS_OWNER    UINT32_C(2)
#define ORB_SFTP_HAS_MODE     UINT32_C(4)
#define ORB_SFTP_HAS_TIMES    UINT32_C(8) /* both of them */
#define ORB_SFTP_HAS_EXTENDED UINT32_C(0x80000000)

struct orb_sftp_attributes {
    uint32_t flags;
    uint64_t size;
    uint32_t uid, gid;
    uint32_t mode;         /* as st_mode, the kind included */
    uint32_t atime, mtime; /* whole seconds since 1970 */
};

enum {
    ORB_SFTP_HANDLE_MAX = 256,         /* bytes, as the draft has it */
    ORB_SFTP_PACKET_MAX = 256 << 10,   /* the longest that OpenSSH sends or takes, without its length */
    ORB_SFTP_TEXT_MAX = 64 << 10,      /* of one path or name */
    ORB_SFTP_HEAD = 4 + 1 + 4,         /* length, type, id */
    ORB_SFTP_DATA_HEAD = 4 + 1 + 4 + 4 /* and the length of the data */
};

struct orb_sftp_handle {
    uint32_t length; /* 0: none */
    uint8_t bytes[ORB_SFTP_HANDLE_MAX];
};

/* ---- writing: appended to a buffer, whose `failed` says that memory ran out ------------------------ */

/* Begins a packet with length and id of 0 in an emptied buffer; end fills in the length, `payload` more bytes follow
 * it. */
void orb_sftp_packet_begin(struct orb_buf *packet, enum orb_sftp_type type);
void orb_sftp_packet_end(struct orb_buf *packet, size_t payload);
/* False: the packet is not whole. */
bool orb_sftp_packet_set_id(struct orb_buf *packet, uint32_t id);
void orb_sftp_put_u32(struct orb_buf *packet, uint32_t number);
void orb_sftp_put_u64(struct orb_buf *packet, uint64_t number);
void orb_sftp_put_bytes(struct orb_buf *packet, const void *bytes, size_t length); /* with its length in front */
void orb_sftp_put_text(struct orb_buf *packet, const char *text);
void orb_sftp_put_handle(struct orb_buf *packet, const struct orb_sftp_handle *handle);
void orb_sftp_put_attributes(struct orb_buf *packet, const struct orb_sftp_attributes *attributes);

/* ---- reading: what is not there makes it `bad`, and everything after it 0 -------------------------- */

struct orb_sftp_reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};
struct orb_sftp_reader orb_sftp_read(const void *bytes, size_t length);
uint8_t orb_sftp_get_u8(struct orb_sftp_reader *reader);
uint32_t orb_sftp_get_u32(struct orb_sftp_reader *reader);
uint64_t orb_sftp_get_u64(struct orb_sftp_reader *reader);
/* Points into what is read; "" (length 0) when bad. */
const char *orb_sftp_get_bytes(struct orb_sftp_reader *reader, size_t *length);
void orb_sftp_get_handle(struct orb_sftp_reader *reader, struct orb_sftp_handle *handle);
void orb_sftp_get_attributes(struct orb_sftp_reader *reader, struct orb_sftp_attributes *attributes);

/* One entry of a NAME reply; false at its end, or when it is bad. The text of `ls -l` behind the name is passed
 * over. */
struct orb_sftp_name {
    const char *name;
    size_t length;
    struct orb_sftp_attributes attributes;
};
bool orb_sftp_get_name(struct orb_sftp_reader *reader, uint32_t *left, struct orb_sftp_name *name);

/* The head of a packet at the beginning of `bytes`. ORB_SFTP_PACKET_NEED: more bytes tell. */
enum orb_sftp_head_state { ORB_SFTP_PACKET_NEED, ORB_SFTP_PACKET_HEAD, ORB_SFTP_PACKET_BAD };
struct orb_sftp_head {
    uint32_t length; /* of the whole, its own four bytes included */
    uint8_t type;
    uint32_t id;   /* not of VERSION */
    uint32_t data; /* of DATA: so many bytes of a file follow ORB_SFTP_DATA_HEAD */
};
/* Known from the first ORB_SFTP_DATA_HEAD bytes of DATA, and the first ORB_SFTP_HEAD of everything else. */
enum orb_sftp_head_state orb_sftp_get_head(const uint8_t *bytes, size_t length, struct orb_sftp_head *head);

/* ---- what extensions a server has ------------------------------------------------------------------ */

enum {
    ORB_SFTP_CAN_POSIX_RENAME = 1u << 0, /* posix-rename@openssh.com */
    ORB_SFTP_CAN_HARDLINK = 1u << 1,     /* hardlink@openssh.com */
    ORB_SFTP_CAN_FSYNC = 1u << 2,        /* fsync@openssh.com */
    ORB_SFTP_CAN_STATVFS = 1u << 3,      /* statvfs@openssh.com */
    ORB_SFTP_CAN_LSETSTAT = 1u << 4,     /* lsetstat@openssh.com */
    ORB_SFTP_CAN_LIMITS = 1u << 5,       /* limits@openssh.com */
    ORB_SFTP_CAN_COPY_DATA = 1u << 6,    /* copy-data */
    ORB_SFTP_CAN_EXPAND_PATH = 1u << 7   /* expand-path@openssh.com */
};
/* Their names as requests have them; NULL for none. */
const char *orb_sftp_extension_name(unsigned extension);
/* The body of VERSION behind its type. False: it is none. */
bool orb_sftp_get_version(struct orb_sftp_reader *reader, uint32_t *version, unsigned *extensions);

struct orb_sftp_limits {
    uint64_t packet, read, write, handles; /* 0: not said */
};
bool orb_sftp_get_limits(struct orb_sftp_reader *reader, struct orb_sftp_limits *limits);

/* Products that do not fit are UINT64_MAX. */
struct orb_sftp_space {
    uint64_t total_bytes;
    uint64_t free_bytes;  /* for who is not root */
    uint64_t spare_bytes; /* what root has beside that, included */
    uint64_t files, free_files;
    bool read_only;
};
bool orb_sftp_get_space(struct orb_sftp_reader *reader, struct orb_sftp_space *space);

#endif
