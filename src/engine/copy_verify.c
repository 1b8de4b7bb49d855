/* SPDX-License-Identifier: Apache-2.0
 * What the bytes of a copy are compared with, and by whom: by the pipe where one range has all of them; by combining
 * the CRCs of the ranges, and those that a journal kept of what was sent before; by the target, which reads what it has,
 * where the checksum is a hash or nobody knows the CRC of what was there before. Loop thread only. */
#include "base/digest.h"
#include "base/hash.h"
#include "engine/copy.h"
#include "engine/expect.h"

void orb_copy_expect(struct orb_copy *copy, uint64_t length)
{
    orbit_metadata told = copy->source; /* its strings stay the source's */
    bool whole = copy->offset == 0 && (copy->source.fields & ORBIT_HAS_SIZE) && length == copy->source.size;
    bool better = told.checksum.algorithm && !told.checksum.composite; /* the look may have asked for more */
    if (copy->stored.algorithm && !(copy->stored.composite && better))
        told.checksum = copy->stored;
    copy->expected = (orbit_checksum){0};
    if (whole && (copy->verify || copy->prefix)) /* what somebody else wrote is compared in any case */
        copy->expected = orb_expect(copy->from, &told, copy->source_key != NULL, copy->verify_full || copy->prefix);
}

unsigned orb_copy_crcs_wanted(const struct orb_copy *copy)
{
    if (!copy->verify)
        return 0;
    if (!copy->have_source || copy->asking)
        return ORB_PIPE_CRC64NVME | ORB_PIPE_CRC32C | (copy->verify_full ? ORB_PIPE_CRC32 : 0);
    return copy->expected.algorithm == ORBIT_CHECKSUM_CRC64NVME ? ORB_PIPE_CRC64NVME
           : copy->expected.algorithm == ORBIT_CHECKSUM_CRC32C  ? ORB_PIPE_CRC32C
           : copy->expected.algorithm == ORBIT_CHECKSUM_CRC32   ? ORB_PIPE_CRC32
                                                                : 0;
}

/* A CRC moves to its place in the whole by as many zeroes as bytes follow it: ranges may come in any order. */
void orb_copy_add_checksum(struct orb_copy *copy, struct orb_relay *range)
{
    uint64_t after = copy->total - range->target.part.offset - range->length;
    if (range->crcs & ORB_PIPE_CRC64NVME)
        copy->crc64 ^= orb_crc64nvme_combine(orb_pipe_crc64(&range->pipe), 0, after);
    if (range->crcs & ORB_PIPE_CRC32C)
        copy->crc32c ^= orb_crc32c_combine(orb_pipe_crc32c(&range->pipe), 0, after);
    if (range->crcs & ORB_PIPE_CRC32)
        copy->crc32 ^= orb_crc32_combine(orb_pipe_crc32(&range->pipe), 0, after);
}

void orb_copy_add_resumed(struct orb_copy *copy, uint64_t offset, uint64_t length, uint64_t crc64)
{
    copy->crc64 ^= orb_crc64nvme_combine(crc64, 0, copy->total - offset - length);
    copy->summed = true;
}

static bool crc_is_right(const struct orb_copy *copy)
{
    uint32_t algorithm = copy->expected.algorithm;
    uint64_t bits = algorithm == ORBIT_CHECKSUM_CRC64NVME ? copy->crc64
                    : algorithm == ORBIT_CHECKSUM_CRC32C  ? copy->crc32c
                                                          : copy->crc32;
    return bits == orb_checksum_value(&copy->expected);
}

/* CRCs of ranges combine, whatever their order; a hash needs the bytes in theirs, and so does what an earlier attempt
 * wrote and nobody kept a CRC of: both are the target's to read, which has them. */
void orb_copy_verify_and_finish(struct orb_copy *copy)
{
    uint32_t algorithm = copy->expected.algorithm;
    bool combined = (copy->resumed == 0 || copy->summed) && orb_digest_combines(algorithm);
    if (algorithm && combined && !crc_is_right(copy)) {
        orbit_error error;
        orb_fail(&error, ORBIT_E_CHECKSUM, 0, "the bytes read from '%s' are not those whose %s the store keeps",
                 copy->from_path, orb_digest_name(algorithm));
        orb_copy_fail(copy, ORBIT_E_CHECKSUM, &error);
        return;
    }
    bool compared = copy->in_one || combined;
    if (algorithm && !compared && (copy->resumed > 0 || copy->upload.begin_reply.reads_back)) {
        copy->upload.expected = &copy->expected;
        copy->upload.reread = copy->verify_full;
    } else if (!compared) {
        copy->expected = (orbit_checksum){0}; /* a hash, and a target that keeps what it has to itself */
    }
    orb_copy_resume_finish(copy);
}
