/* SPDX-License-Identifier: Apache-2.0
 * What bytes are compared with. Any thread. */
#include "engine/expect.h"

#include "base/digest.h"

orbit_checksum orb_expect(const struct orb_backend *from, const orbit_metadata *metadata, bool customer_key, bool full)
{
    const orbit_checksum *stored = &metadata->checksum;
    orbit_checksum md5 = {0};
    bool cheap = stored->algorithm == ORBIT_CHECKSUM_CRC64NVME || stored->algorithm == ORBIT_CHECKSUM_CRC32C;
    if (!stored->composite && (cheap || (full && orb_digest_knows(stored->algorithm))))
        return *stored;
    /* Encrypted with a key of its own, an object has an ETag that is no MD5:
     * https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html */
    bool plain = !metadata->encryption || strcmp(metadata->encryption, "AES256") == 0;
    if (full && from->caps.md5_etags && plain && !customer_key)
        (void)orb_digest_parse_md5(&md5, metadata->etag);
    return md5;
}
