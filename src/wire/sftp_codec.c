/* SPDX-License-Identifier: Apache-2.0
 * SFTP packets to and from memory. No I/O, no state; any thread. */
#include "wire/sftp_codec.h"

#include <string.h>

/* ---- writing --------------------------------------------------------------------------------------- */

static void big_endian(uint8_t *out, uint64_t number, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0; number >>= 8)
        out[i] = (uint8_t)number;
}

void orb_sftp_put_u32(struct orb_buf *packet, uint32_t number)
{
    uint8_t bytes[4];
    big_endian(bytes, number, 4);
    orb_buf_append(packet, bytes, 4);
}

void orb_sftp_put_u64(struct orb_buf *packet, uint64_t number)
{
    uint8_t bytes[8];
    big_endian(bytes, number, 8);
    orb_buf_append(packet, bytes, 8);
}

void orb_sftp_put_bytes(struct orb_buf *packet, const void *bytes, size_t length)
{
    orb_sftp_put_u32(packet, (uint32_t)length);
    orb_buf_append(packet, bytes, length);
}

void orb_sftp_put_text(struct orb_buf *packet, const char *text)
{
    orb_sftp_put_bytes(packet, text, strlen(text));
}

void orb_sftp_put_handle(struct orb_buf *packet, const struct orb_sftp_handle *handle)
{
    orb_sftp_put_bytes(packet, handle->bytes, handle->length);
}

void orb_sftp_put_attributes(struct orb_buf *packet, const struct orb_sftp_attributes *attributes)
{
    uint32_t flags = attributes->flags & ~ORB_SFTP_HAS_EXTENDED;
    orb_sftp_put_u32(packet, flags);
    if (flags & ORB_SFTP_HAS_SIZE)
        orb_sftp_put_u64(packet, attributes->size);
    if (flags & ORB_SFTP_HAS_OWNER) {
        orb_sftp_put_u32(packet, attributes->uid);
        orb_sftp_put_u32(packet, attributes->gid);
    }
    if (flags & ORB_SFTP_HAS_MODE)
        orb_sftp_put_u32(packet, attributes->mode);
    if (flags & ORB_SFTP_HAS_TIMES) {
        orb_sftp_put_u32(packet, attributes->atime);
        orb_sftp_put_u32(packet, attributes->mtime);
    }
}

void orb_sftp_packet_begin(struct orb_buf *packet, enum orb_sftp_type type)
{
    packet->failed = false;
    orb_buf_reset(packet);
    orb_sftp_put_u32(packet, 0);
    orb_buf_char(packet, (char)type);
    orb_sftp_put_u32(packet, 0);
}

void orb_sftp_packet_end(struct orb_buf *packet, size_t payload)
{
    if (!packet->failed && packet->length >= ORB_SFTP_HEAD)
        big_endian((uint8_t *)packet->bytes, packet->length - 4 + payload, 4);
}

bool orb_sftp_packet_set_id(struct orb_buf *packet, uint32_t id)
{
    if (packet->failed || packet->length < ORB_SFTP_HEAD)
        return false;
    big_endian((uint8_t *)packet->bytes + 5, id, 4);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------------- */

struct orb_sftp_reader orb_sftp_read(const void *bytes, size_t length)
{
    return (struct orb_sftp_reader){bytes, length, false};
}

static uint64_t take_number(struct orb_sftp_reader *reader, unsigned bytes)
{
    uint64_t number = 0;
    if (reader->left < bytes) {
        reader->bad = true;
        reader->left = 0;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | reader->at[i];
    reader->at += bytes;
    reader->left -= bytes;
    return number;
}

uint8_t orb_sftp_get_u8(struct orb_sftp_reader *reader)
{
    return (uint8_t)take_number(reader, 1);
}

uint32_t orb_sftp_get_u32(struct orb_sftp_reader *reader)
{
    return (uint32_t)take_number(reader, 4);
}

uint64_t orb_sftp_get_u64(struct orb_sftp_reader *reader)
{
    return take_number(reader, 8);
}

const char *orb_sftp_get_bytes(struct orb_sftp_reader *reader, size_t *length)
{
    uint32_t said = orb_sftp_get_u32(reader);
    if (reader->bad || said > reader->left) {
        reader->bad = true;
        reader->left = 0;
        *length = 0;
        return "";
    }
    const char *bytes = (const char *)reader->at;
    reader->at += said;
    reader->left -= said;
    *length = said;
    return bytes;
}

void orb_sftp_get_handle(struct orb_sftp_reader *reader, struct orb_sftp_handle *handle)
{
    size_t length;
    const char *bytes = orb_sftp_get_bytes(reader, &length);
    handle->length = 0;
    if (length == 0 || length > ORB_SFTP_HANDLE_MAX) {
        reader->bad = true;
        return;
    }
    memcpy(handle->bytes, bytes, length);
    handle->length = (uint32_t)length;
}

void orb_sftp_get_attributes(struct orb_sftp_reader *reader, struct orb_sftp_attributes *attributes)
{
    *attributes = (struct orb_sftp_attributes){.flags = orb_sftp_get_u32(reader)};
    if (attributes->flags & ORB_SFTP_HAS_SIZE)
        attributes->size = orb_sftp_get_u64(reader);
    if (attributes->flags & ORB_SFTP_HAS_OWNER) {
        attributes->uid = orb_sftp_get_u32(reader);
        attributes->gid = orb_sftp_get_u32(reader);
    }
    if (attributes->flags & ORB_SFTP_HAS_MODE)
        attributes->mode = orb_sftp_get_u32(reader);
    if (attributes->flags & ORB_SFTP_HAS_TIMES) {
        attributes->atime = orb_sftp_get_u32(reader);
        attributes->mtime = orb_sftp_get_u32(reader);
    }
    if (attributes->flags & ORB_SFTP_HAS_EXTENDED) { /* pairs of anything: each takes at least its two lengths */
        size_t length;
        for (uint32_t pairs = orb_sftp_get_u32(reader); pairs > 0 && !reader->bad; pairs--) {
            (void)orb_sftp_get_bytes(reader, &length);
            (void)orb_sftp_get_bytes(reader, &length);
        }
    }
    attributes->flags &= ORB_SFTP_HAS_SIZE | ORB_SFTP_HAS_OWNER | ORB_SFTP_HAS_MODE | ORB_SFTP_HAS_TIMES;
    if (reader->bad)
        attributes->flags = 0;
}

bool orb_sftp_get_name(struct orb_sftp_reader *reader, uint32_t *left, struct orb_sftp_name *name)
{
    size_t longname;
    if (*left == 0 || reader->bad)
        return false;
    (*left)--;
    name->name = orb_sftp_get_bytes(reader, &name->length);
    (void)orb_sftp_get_bytes(reader, &longname);
    orb_sftp_get_attributes(reader, &name->attributes);
    return !reader->bad;
}

enum orb_sftp_head_state orb_sftp_get_head(const uint8_t *bytes, size_t length, struct orb_sftp_head *head)
{
    struct orb_sftp_reader reader = orb_sftp_read(bytes, length);
    if (length < 5)
        return ORB_SFTP_PACKET_NEED;
    uint32_t body = orb_sftp_get_u32(&reader);
    *head = (struct orb_sftp_head){.length = body + 4, .type = orb_sftp_get_u8(&reader)};
    uint32_t least = head->type == ORB_SFTP_DATA ? ORB_SFTP_DATA_HEAD - 4 : ORB_SFTP_HEAD - 4;
    if (body < least || body > ORB_SFTP_PACKET_MAX)
        return ORB_SFTP_PACKET_BAD;
    if (length < least + 4)
        return ORB_SFTP_PACKET_NEED;
    head->id = orb_sftp_get_u32(&reader);
    if (head->type == ORB_SFTP_DATA) {
        head->data = orb_sftp_get_u32(&reader);
        if (head->data > body - least)
            return ORB_SFTP_PACKET_BAD;
    }
    return ORB_SFTP_PACKET_HEAD;
}

/* ---- extensions ------------------------------------------------------------------------------------ */

static const struct {
    unsigned extension;
    const char *name, *version;
} extensions_known[] = {
    {ORB_SFTP_CAN_POSIX_RENAME, "posix-rename@openssh.com", "1"},
    {ORB_SFTP_CAN_HARDLINK, "hardlink@openssh.com", "1"},
    {ORB_SFTP_CAN_FSYNC, "fsync@openssh.com", "1"},
    {ORB_SFTP_CAN_STATVFS, "statvfs@openssh.com", "2"},
    {ORB_SFTP_CAN_LSETSTAT, "lsetstat@openssh.com", "1"},
    {ORB_SFTP_CAN_LIMITS, "limits@openssh.com", "1"},
    {ORB_SFTP_CAN_COPY_DATA, "copy-data", "1"},
    {ORB_SFTP_CAN_EXPAND_PATH, "expand-path@openssh.com", "1"},
};
enum { KNOWN = sizeof(extensions_known) / sizeof(extensions_known[0]) };

const char *orb_sftp_extension_name(unsigned extension)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (extensions_known[i].extension == extension)
            return extensions_known[i].name;
    return NULL;
}

static bool is_text(const char *bytes, size_t length, const char *text)
{
    return strlen(text) == length && memcmp(bytes, text, length) == 0;
}

bool orb_sftp_get_version(struct orb_sftp_reader *reader, uint32_t *version, unsigned *extensions)
{
    *extensions = 0;
    *version = orb_sftp_get_u32(reader);
    while (!reader->bad && reader->left > 0) {
        size_t name_length, value_length;
        const char *name = orb_sftp_get_bytes(reader, &name_length);
        const char *value = orb_sftp_get_bytes(reader, &value_length);
        for (size_t i = 0; i < KNOWN && !reader->bad; i++)
            if (is_text(name, name_length, extensions_known[i].name) &&
                is_text(value, value_length, extensions_known[i].version))
                *extensions |= extensions_known[i].extension;
    }
    return !reader->bad;
}

bool orb_sftp_get_limits(struct orb_sftp_reader *reader, struct orb_sftp_limits *limits)
{
    limits->packet = orb_sftp_get_u64(reader);
    limits->read = orb_sftp_get_u64(reader);
    limits->write = orb_sftp_get_u64(reader);
    limits->handles = orb_sftp_get_u64(reader);
    return !reader->bad;
}

static uint64_t product(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

bool orb_sftp_get_space(struct orb_sftp_reader *reader, struct orb_sftp_space *space)
{
    uint64_t block = orb_sftp_get_u64(reader), fragment = orb_sftp_get_u64(reader);
    uint64_t blocks = orb_sftp_get_u64(reader), spare = orb_sftp_get_u64(reader), available = orb_sftp_get_u64(reader);
    space->files = orb_sftp_get_u64(reader);
    space->free_files = orb_sftp_get_u64(reader);
    (void)orb_sftp_get_u64(reader); /* files for who is not root */
    (void)orb_sftp_get_u64(reader); /* the file system's id */
    space->read_only = orb_sftp_get_u64(reader) & 1;
    if (fragment == 0)
        fragment = block;
    space->total_bytes = product(blocks, fragment);
    space->free_bytes = product(available, fragment);
    space->spare_bytes = product(spare, fragment);
    return !reader->bad;
}
