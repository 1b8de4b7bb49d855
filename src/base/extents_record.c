/* SPDX-License-Identifier: Apache-2.0
 * Extents as records of a ledger. */
#include "base/buf.h"
#include "base/error.h"
#include "base/extents.h"
#include "base/least.h"
#include "base/ledger.h"
#include "base/pack.h"

#define EXTENT_BYTES ((size_t)29) /* of one in a record */
#define BATCH        (ORB_LEDGER_RECORD_MAX / EXTENT_BYTES)

orbit_status orb_extents_append(struct orb_ledger *ledger, uint16_t type, const struct orb_extent *extents,
                                size_t count, orbit_error *error)
{
    orbit_status status = ORBIT_OK;
    struct orb_buf buf;
    orb_buf_init(&buf, ORB_LEDGER_RECORD_MAX);
    while (count > 0 && status >= 0) {
        size_t batch = orb_smaller(count, BATCH);
        orb_buf_reset(&buf);
        for (size_t i = 0; i < batch; i++) {
            orb_pack_u64(&buf, extents[i].offset);
            orb_pack_u64(&buf, extents[i].length);
            orb_pack_u64(&buf, extents[i].crc64);
            orb_pack_u32(&buf, extents[i].crc32c);
            orb_pack_u8(&buf, (uint8_t)extents[i].crcs);
        }
        status = buf.failed ? orb_fail_memory(error) : orb_ledger_append(ledger, type, buf.bytes, buf.length, error);
        extents += batch;
        count -= batch;
    }
    orb_buf_release(&buf);
    return status;
}

bool orb_extents_read(struct orb_extents *extents, const void *payload, size_t length, uint64_t size)
{
    struct orb_unpack in = {payload, length, false};
    while (in.length > 0 && !in.failed) {
        struct orb_extent extent;
        extent.offset = orb_unpack_u64(&in);
        extent.length = orb_unpack_u64(&in);
        extent.crc64 = orb_unpack_u64(&in);
        extent.crc32c = orb_unpack_u32(&in);
        extent.crcs = orb_unpack_u8(&in);
        if (in.failed || extent.length == 0 || extent.offset > size || extent.length > size - extent.offset)
            return true;
        if (!orb_extents_add(extents, &extent))
            return false;
    }
    return true;
}
