/* SPDX-License-Identifier: Apache-2.0
 * What requests are signed with: explicit keys, else those of the environment. The one place that knows where
 * keys come from; they are wiped when the backend closes and never printed. */
#include <openssl/crypto.h>

#include "backend/s3/s3.h"

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void wipe(char **secret)
{
    if (*secret)
        OPENSSL_cleanse(*secret, strlen(*secret));
    orb_free(*secret);
    *secret = NULL;
}

orbit_status orb_s3_credentials_init(struct orb_s3_credentials *credentials, const orbit_s3_config *config,
                                     orbit_error *error)
{
    *credentials = (struct orb_s3_credentials){0};
    if (config->anonymous) {
        credentials->anonymous = true;
        return ORBIT_OK;
    }
    const char *id = config->access_key_id, *secret = config->secret_access_key, *token = config->session_token;
    if ((id == NULL) != (secret == NULL))
        return orb_fail(error, ORBIT_E_AUTH, 0, "an S3 %s was given without its %s",
                        id ? "access key id" : "secret access key", id ? "secret access key" : "access key id");
    if (!id) {
        id = environment("AWS_ACCESS_KEY_ID");
        secret = environment("AWS_SECRET_ACCESS_KEY");
        token = environment("AWS_SESSION_TOKEN");
    }
    if (!id || !secret)
        return orb_fail(
            error, ORBIT_E_AUTH, 0,
            "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY%s, or ask for anonymous access",
            id       ? " (the second is missing)"
            : secret ? " (the first is missing)"
                     : "");
    credentials->access_key_id = orb_strdup(id);
    credentials->secret_access_key = orb_strdup(secret);
    credentials->session_token = token && *token ? orb_strdup(token) : NULL;
    if (!credentials->access_key_id || !credentials->secret_access_key ||
        (token && *token && !credentials->session_token)) {
        orb_s3_credentials_release(credentials);
        return orb_fail_memory(error);
    }
    return ORBIT_OK;
}

void orb_s3_credentials_release(struct orb_s3_credentials *credentials)
{
    wipe(&credentials->access_key_id);
    wipe(&credentials->secret_access_key);
    wipe(&credentials->session_token);
}

const struct orb_s3_credentials *orb_s3_credentials_current(struct orb_s3_credentials *credentials, orbit_error *error)
{
    (void)error;
    return credentials;
}
