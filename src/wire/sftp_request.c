/* SPDX-License-Identifier: Apache-2.0
 * Making the packets of requests. Any thread. */
#include "wire/sftp.h"

enum { PACKET_MAX = 3 * ORB_SFTP_TEXT_MAX };

static struct orb_buf *begin(struct orb_sftp_request *request, enum orb_sftp_type type)
{
    if (request->packet.max == 0)
        orb_buf_init(&request->packet, PACKET_MAX);
    request->payload = NULL;
    request->payload_length = 0;
    request->want = 0;
    request->patient = false;
    orb_sftp_packet_begin(&request->packet, type);
    return &request->packet;
}

static void put_optional(struct orb_buf *packet, const struct orb_sftp_attributes *attributes)
{
    static const struct orb_sftp_attributes none;
    orb_sftp_put_attributes(packet, attributes ? attributes : &none);
}

void orb_sftp_open(struct orb_sftp_request *request, const char *path, uint32_t flags,
                   const struct orb_sftp_attributes *attributes)
{
    struct orb_buf *packet = begin(request, ORB_SFTP_OPEN);
    orb_sftp_put_text(packet, path);
    orb_sftp_put_u32(packet, flags);
    put_optional(packet, attributes);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_path(struct orb_sftp_request *request, enum orb_sftp_type type, const char *path)
{
    struct orb_buf *packet = begin(request, type);
    orb_sftp_put_text(packet, path);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_path_attributes(struct orb_sftp_request *request, enum orb_sftp_type type, const char *path,
                              const struct orb_sftp_attributes *attributes)
{
    struct orb_buf *packet = begin(request, type);
    orb_sftp_put_text(packet, path);
    put_optional(packet, attributes);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_paths(struct orb_sftp_request *request, enum orb_sftp_type type, const char *first, const char *second)
{
    struct orb_buf *packet = begin(request, type);
    orb_sftp_put_text(packet, first);
    orb_sftp_put_text(packet, second);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_on_handle(struct orb_sftp_request *request, enum orb_sftp_type type, const struct orb_sftp_handle *handle)
{
    struct orb_buf *packet = begin(request, type);
    orb_sftp_put_handle(packet, handle);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_fsetstat(struct orb_sftp_request *request, const struct orb_sftp_handle *handle,
                       const struct orb_sftp_attributes *attributes)
{
    struct orb_buf *packet = begin(request, ORB_SFTP_FSETSTAT);
    orb_sftp_put_handle(packet, handle);
    put_optional(packet, attributes);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_read_at(struct orb_sftp_request *request, const struct orb_sftp_handle *handle, uint64_t offset,
                      uint32_t length)
{
    struct orb_buf *packet = begin(request, ORB_SFTP_READ);
    orb_sftp_put_handle(packet, handle);
    orb_sftp_put_u64(packet, offset);
    orb_sftp_put_u32(packet, length);
    orb_sftp_packet_end(packet, 0);
    request->want = length;
}

void orb_sftp_write_at(struct orb_sftp_request *request, const struct orb_sftp_handle *handle, uint64_t offset,
                       const void *bytes, uint32_t length)
{
    struct orb_buf *packet = begin(request, ORB_SFTP_WRITE);
    orb_sftp_put_handle(packet, handle);
    orb_sftp_put_u64(packet, offset);
    orb_sftp_put_u32(packet, length);
    orb_sftp_packet_end(packet, length);
    request->payload = bytes;
    request->payload_length = length;
}

static struct orb_buf *begin_extended(struct orb_sftp_request *request, unsigned extension)
{
    struct orb_buf *packet = begin(request, ORB_SFTP_EXTENDED);
    orb_sftp_put_text(packet, orb_sftp_extension_name(extension));
    return packet;
}

void orb_sftp_extended_path(struct orb_sftp_request *request, unsigned extension, const char *path)
{
    struct orb_buf *packet = begin_extended(request, extension);
    orb_sftp_put_text(packet, path);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_extended_paths(struct orb_sftp_request *request, unsigned extension, const char *first,
                             const char *second)
{
    struct orb_buf *packet = begin_extended(request, extension);
    orb_sftp_put_text(packet, first);
    orb_sftp_put_text(packet, second);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_extended_handle(struct orb_sftp_request *request, unsigned extension,
                              const struct orb_sftp_handle *handle)
{
    struct orb_buf *packet = begin_extended(request, extension);
    orb_sftp_put_handle(packet, handle);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_lsetstat(struct orb_sftp_request *request, const char *path, const struct orb_sftp_attributes *attributes)
{
    struct orb_buf *packet = begin_extended(request, ORB_SFTP_CAN_LSETSTAT);
    orb_sftp_put_text(packet, path);
    orb_sftp_put_attributes(packet, attributes);
    orb_sftp_packet_end(packet, 0);
}

void orb_sftp_copy_data(struct orb_sftp_request *request, const struct orb_sftp_handle *from, uint64_t offset,
                        uint64_t length, const struct orb_sftp_handle *to, uint64_t to_offset)
{
    struct orb_buf *packet = begin_extended(request, ORB_SFTP_CAN_COPY_DATA);
    orb_sftp_put_handle(packet, from);
    orb_sftp_put_u64(packet, offset);
    orb_sftp_put_u64(packet, length);
    orb_sftp_put_handle(packet, to);
    orb_sftp_put_u64(packet, to_offset);
    orb_sftp_packet_end(packet, 0);
    request->patient = true;
}

void orb_sftp_request_release(struct orb_sftp_request *request)
{
    orb_buf_release(&request->packet);
}
