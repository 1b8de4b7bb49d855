/* SPDX-License-Identifier: Apache-2.0
 * What was configured, read once: options over the environment. The caller's thread. */
#include <pwd.h>
#include <unistd.h>

#include "backend/s3/keys/provider.h"
#include "base/mem.h"

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool take_home(struct orb_keys_origin *origin)
{
    struct passwd entry, *found = NULL;
    char room[2048];
    if (!origin->home && getpwuid_r(getuid(), &entry, room, sizeof room, &found) == 0 && found)
        return orb_keys_set(&origin->home, found->pw_dir);
    return true;
}

static bool default_file(const struct orb_keys_origin *origin, char **file, const char *name)
{
    if (*file && (*file)[0] == '~' && (*file)[1] == '/' && origin->home) {
        char *given = *file;
        size_t room = strlen(origin->home) + strlen(given);
        if ((*file = orb_malloc(room)) != NULL)
            (void)snprintf(*file, room, "%s%s", origin->home, given + 1);
        orb_free(given);
        return *file != NULL;
    }
    if (*file || !origin->home)
        return true;
    size_t room = strlen(origin->home) + strlen(name) + 8;
    *file = orb_malloc(room);
    if (*file)
        (void)snprintf(*file, room, "%s/.aws/%s", origin->home, name);
    return *file != NULL;
}

static bool take(struct orb_keys_origin *origin, const orbit_s3_config *config)
{
    bool fine = true;
#define X(field, variable) fine = fine && orb_keys_set(&origin->field, environment(variable));
    ORB_KEYS_TEXTS(X)
#undef X
    if (config->access_key_id)
        fine = fine && orb_keys_set(&origin->access_key_id, config->access_key_id) &&
               orb_keys_set(&origin->secret_access_key, config->secret_access_key) &&
               orb_keys_set(&origin->session_token, config->session_token);
    if (config->profile && *config->profile)
        fine = fine && orb_keys_set(&origin->profile, config->profile);
    else if (!origin->profile)
        fine = fine && orb_keys_set(&origin->profile, environment("AWS_DEFAULT_PROFILE"));
    if (config->config_file && *config->config_file)
        fine = fine && orb_keys_set(&origin->config_file, config->config_file);
    if (config->credentials_file && *config->credentials_file)
        fine = fine && orb_keys_set(&origin->credentials_file, config->credentials_file);
    origin->keys_given = config->access_key_id != NULL;
    origin->profile_given = config->profile && *config->profile;
    origin->profile_named = origin->profile != NULL;
    if (!origin->profile)
        fine = fine && orb_keys_set(&origin->profile, "default");
    origin->no_verify_tls = config->no_verify_tls;
    origin->timeout_ms = config->identity_timeout_ms ? config->identity_timeout_ms : ORB_KEYS_TIMEOUT_MS;
    return fine && take_home(origin) && default_file(origin, &origin->config_file, "config") &&
           default_file(origin, &origin->credentials_file, "credentials");
}

orbit_status orb_keys_origin_new(struct orb_keys_origin **origin, const orbit_s3_config *config, orbit_error *error)
{
    struct orb_keys_origin *made = orb_calloc(1, sizeof *made);
    orbit_status status = ORBIT_OK;
    const char *id = config->access_key_id, *secret = config->secret_access_key;
    *origin = NULL;
    if ((id == NULL) != (secret == NULL))
        status = orb_fail(error, ORBIT_E_AUTH, 0, "an S3 %s was given without its %s",
                          id ? "access key id" : "secret access key", id ? "secret access key" : "access key id");
    else if (!made || !take(made, config))
        status = orb_fail_memory(error);
    else if (!made->profile_given && !config->anonymous &&
             (made->access_key_id == NULL) != (made->secret_access_key == NULL))
        status = orb_fail(error, ORBIT_E_AUTH, 0, "%s is set, but %s is not: set both or neither",
                          made->access_key_id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                          made->access_key_id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    if (status < 0)
        orb_keys_origin_free(made);
    else
        *origin = made;
    return status;
}

void orb_keys_origin_free(struct orb_keys_origin *origin)
{
    if (!origin)
        return;
#define X(field, variable) orb_keys_wipe(&origin->field);
    ORB_KEYS_TEXTS(X)
#undef X
    orb_keys_session_free(origin->session);
    orb_free(origin->region);
    orb_free(origin->ca_bundle);
    orb_free(origin);
}

orbit_status orb_keys_origin_profiles(struct orb_profiles **profiles, const struct orb_keys_origin *origin,
                                      orbit_error *error)
{
    orbit_status status = orb_profiles_load(profiles, origin->config_file, origin->credentials_file, error);
    if (status < 0 || !origin->profile_named || orb_profiles_has(*profiles, ORB_PROFILE, origin->profile))
        return status;
    orb_profiles_free(*profiles);
    *profiles = NULL;
    return orb_fail(error, ORBIT_E_CONFIG, 0, "the profile '%.100s' is neither in '%.150s' nor in '%.150s'",
                    origin->profile, origin->config_file ? origin->config_file : "~/.aws/config",
                    origin->credentials_file ? origin->credentials_file : "~/.aws/credentials");
}
