/* SPDX-License-Identifier: Apache-2.0
 * Which of what a store says of an object its bytes can be compared with. No state. */
#ifndef ORB_ENGINE_EXPECT_H
#define ORB_ENGINE_EXPECT_H

#include "backend/backend.h"

/* The checksum of all bytes of the object, algorithm NONE where there is none that counts. A CRC64NVME or CRC32C
 * costs no second pass and always does; `full`: also a CRC32, SHA-256 or SHA-1, else an ETag that is an MD5
 * (md5_etags). customer_key: it is encrypted with one, so that its ETag is none. Those of parts ("composite") never
 * count: how long the parts were a store tells only who asks (orbit_stat_request.whole_checksum). */
orbit_checksum orb_expect(const struct orb_backend *from, const orbit_metadata *metadata, bool customer_key, bool full);

#endif
