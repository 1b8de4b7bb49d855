/* SPDX-License-Identifier: Apache-2.0
 * The order in which places are asked for keys, and the two that hold them already. */
#include "backend/s3/keys/provider.h"

static orbit_status copy_given(const struct orb_keys_origin *origin, struct orb_keys *keys, orbit_error *error)
{
    if (orb_keys_set(&keys->access_key_id, origin->access_key_id) &&
        orb_keys_set(&keys->secret_access_key, origin->secret_access_key) &&
        orb_keys_set(&keys->session_token, origin->session_token))
        return ORBIT_OK;
    orb_keys_release(keys);
    return orb_fail_memory(error);
}

orbit_status orb_keys_explicit(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    fetch->from = "options";
    return fetch->origin->keys_given ? copy_given(fetch->origin, keys, error) : ORBIT_END;
}

/* A profile that was asked for by option is meant more than what happens to be in the environment. */
orbit_status orb_keys_environment(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    const struct orb_keys_origin *origin = fetch->origin;
    fetch->from = "the environment";
    return origin->access_key_id && !origin->profile_given ? copy_given(origin, keys, error) : ORBIT_END;
}

orbit_status orb_keys_chain(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    static orb_keys_provider *const order[] = {orb_keys_explicit, orb_keys_environment, orb_keys_web_identity,
                                               orb_keys_profile,  orb_keys_container,   orb_keys_instance};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (atomic_load(fetch->cancelled))
            return orb_fail(error, ORBIT_E_CANCELLED, 0, "cancelled");
        orbit_status status = order[i](fetch, keys, error);
        if (status != ORBIT_END)
            return status;
    }
    return orb_fail(error, ORBIT_E_AUTH, 0,
                    "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of '%.*s', "
                    "or ask for anonymous access (%s)",
                    *fetch->without ? 60 : 150,
                    fetch->origin->credentials_file ? fetch->origin->credentials_file : "~/.aws/credentials",
                    *fetch->without ? fetch->without : "no container or instance offers any");
}
