/* SPDX-License-Identifier: Apache-2.0
 * The shared config and credentials files (~/.aws/config, ~/.aws/credentials), read into one table. The format is
 * nearly INI: section names with a kind ("profile x", "sso-session x", "services x"), settings nested by indenting,
 * comments only behind a blank, a bare token of any length as a value. General INI readers get one or the other
 * wrong or cap a line below a session token's length, so these few lines are our own. Any one thread.
 * docs.aws.amazon.com/sdkref/latest/guide/file-format.html */
#ifndef ORB_BACKEND_S3_KEYS_PROFILES_H
#define ORB_BACKEND_S3_KEYS_PROFILES_H

#include <orbit/error.h>

struct orb_profiles;

enum orb_profiles_kind { ORB_PROFILE = 0, ORB_PROFILE_SSO_SESSION, ORB_PROFILE_SERVICES };

/* Files that do not exist are empty; one that cannot be read, or a line that means nothing, is an error. NULL paths
 * are fine. */
orbit_status orb_profiles_load(struct orb_profiles **profiles, const char *config_file, const char *credentials_file,
                               orbit_error *error);
void orb_profiles_free(struct orb_profiles *profiles); /* wipes; NULL is fine */
bool orb_profiles_has(const struct orb_profiles *profiles, enum orb_profiles_kind kind, const char *name);
/* The value, borrowed; NULL: not set or empty. The credentials file goes before the config file. A nested setting is
 * "outer.inner". */
const char *orb_profiles_get(const struct orb_profiles *profiles, enum orb_profiles_kind kind, const char *name,
                             const char *setting);

#endif
