/* SPDX-License-Identifier: Apache-2.0
 * Packets of an SFTP server, one behind the other, each read as what its type says. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "wire/sftp_codec.h"

FUZZ_FAILED_HERE

static void in_bounds(const uint8_t *bytes, size_t length, const char *text, size_t text_length)
{
    const uint8_t *at = (const uint8_t *)text;
    HOLDS(text_length == 0 || (at >= bytes && text_length <= length && at + text_length <= bytes + length));
}

static void names(struct orb_sftp_reader reader, const uint8_t *bytes, size_t length)
{
    struct orb_sftp_name name;
    uint32_t left = orb_sftp_get_u32(&reader);
    size_t count = 0;
    while (orb_sftp_get_name(&reader, &left, &name)) {
        in_bounds(bytes, length, name.name, name.length);
        count++;
    }
    HOLDS(count <= length / 12); /* a name takes two lengths and flags: no count of names is believed */
}

static void body(const struct orb_sftp_head *head, const uint8_t *bytes, size_t length)
{
    struct orb_sftp_reader reader = orb_sftp_read(bytes, length);
    struct orb_sftp_attributes attributes;
    struct orb_sftp_handle handle;
    struct orb_sftp_limits limits;
    struct orb_sftp_space space;
    uint32_t version;
    unsigned extensions;
    switch (head->type) {
    case ORB_SFTP_VERSION:
        (void)orb_sftp_get_version(&reader, &version, &extensions);
        break;
    case ORB_SFTP_HANDLE:
        orb_sftp_get_handle(&reader, &handle);
        HOLDS(reader.bad == (handle.length == 0) && handle.length <= ORB_SFTP_HANDLE_MAX);
        break;
    case ORB_SFTP_NAME:
        names(reader, bytes, length);
        break;
    case ORB_SFTP_ATTRS:
        orb_sftp_get_attributes(&reader, &attributes);
        HOLDS(!reader.bad || attributes.flags == 0);
        break;
    case ORB_SFTP_EXTENDED_REPLY:
        (void)orb_sftp_get_limits(&reader, &limits);
        reader = orb_sftp_read(bytes, length);
        if (orb_sftp_get_space(&reader, &space))
            HOLDS(length >= 80);
        break;
    default:
        (void)orb_sftp_get_u32(&reader);
        (void)orb_sftp_get_u64(&reader);
        (void)orb_sftp_get_u8(&reader);
    }
    HOLDS(reader.left <= length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct orb_sftp_head head;
    while (orb_sftp_get_head(bytes, length, &head) == ORB_SFTP_PACKET_HEAD) {
        HOLDS(head.length >= ORB_SFTP_HEAD && head.length <= ORB_SFTP_PACKET_MAX + 4);
        HOLDS(head.type != ORB_SFTP_DATA || head.data <= head.length - ORB_SFTP_DATA_HEAD);
        if (head.length > length)
            break;
        size_t skip = head.type == ORB_SFTP_VERSION ? 5 : ORB_SFTP_HEAD;
        body(&head, bytes + skip, head.length - skip);
        bytes += head.length;
        length -= head.length;
    }
    return 0;
}
