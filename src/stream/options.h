/* SPDX-License-Identifier: Apache-2.0
 * Deep copies of the option structs, so that a task may outlive the caller's; and filling results. */
#ifndef ORB_STREAM_OPTIONS_H
#define ORB_STREAM_OPTIONS_H

#include <orbit/file.h>
#include <orbit/read.h>
#include <orbit/write.h>

/* `kept` receives defaults, then `given` (nullable), with every string and pair copied into one block at
 * `*place`, which the caller frees with orb_write_options_drop() (also after a failure). */
orbit_status orb_write_options_keep(orbit_write_options *kept, void **place, const orbit_write_options *given,
                                    orbit_error *error);
/* Wipes what is secret and frees the block. */
void orb_write_options_drop(orbit_write_options *kept, void **place);

/* ORBIT_E_MISUSE when a result was not initialised. NULL is fine. */
orbit_status orb_write_result_check(const orbit_write_result *result, orbit_error *error);
orbit_status orb_download_result_check(const orbit_download_result *result, orbit_error *error);
/* Moves `metadata` into the result (or releases it when there is no result). */
void orb_write_result_fill(orbit_write_result *result, uint64_t bytes, uint32_t parts, bool multipart,
                           orbit_metadata *metadata);

#endif
