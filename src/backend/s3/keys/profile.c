/* SPDX-License-Identifier: Apache-2.0
 * Keys by a profile: static ones, a role that another profile's keys are good for, a token, a program, single
 * sign-on. Profiles lead to one another by source_profile, never in a circle. The fetch's thread. */
#include "backend/s3/keys/provider.h"

enum { DEPTH_MAX = 8 };

struct walk {
    struct orb_keys_fetch *fetch;
    const char *names[DEPTH_MAX];
    unsigned depth;
};

static const char *get(const struct walk *walk, const char *name, const char *setting)
{
    return orb_profiles_get(walk->fetch->profiles, ORB_PROFILE, name, setting);
}

static const char *file_of(const struct walk *walk)
{
    const char *file = walk->fetch->origin->config_file;
    return file ? file : "~/.aws/config";
}

static orbit_status static_keys(const struct walk *walk, const char *name, struct orb_keys *keys, orbit_error *error)
{
    const char *id = get(walk, name, "aws_access_key_id"), *secret = get(walk, name, "aws_secret_access_key");
    if (!id && !secret)
        return ORBIT_END;
    if (!id || !secret)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the profile '%.100s' has %s, but no %s", name,
                        id ? "aws_access_key_id" : "aws_secret_access_key",
                        id ? "aws_secret_access_key" : "aws_access_key_id");
    if (orb_keys_set(&keys->access_key_id, id) && orb_keys_set(&keys->secret_access_key, secret) &&
        orb_keys_set(&keys->session_token, get(walk, name, "aws_session_token")))
        return ORBIT_OK;
    orb_keys_release(keys);
    return orb_fail_memory(error);
}

static orbit_status by_name(struct walk *walk, const char *name, struct orb_keys *keys, orbit_error *error);

static orbit_status by_credential_source(struct walk *walk, const char *name, const char *source, struct orb_keys *keys,
                                         orbit_error *error)
{
    orbit_status status;
    if (strcmp(source, "Environment") == 0) {
        struct orb_keys_origin given = *walk->fetch->origin;
        struct orb_keys_fetch fetch = *walk->fetch;
        given.profile_given = false;
        fetch.origin = &given;
        status = given.keys_given ? ORBIT_END : orb_keys_environment(&fetch, keys, error);
    } else if (strcmp(source, "EcsContainer") == 0) {
        status = orb_keys_container(walk->fetch, keys, error);
    } else if (strcmp(source, "Ec2InstanceMetadata") == 0) {
        status = orb_keys_instance(walk->fetch, keys, error);
    } else {
        return orb_fail(
            error, ORBIT_E_CONFIG, 0,
            "the profile '%.100s' in '%.200s' has the credential_source '%.60s': Environment, EcsContainer or "
            "Ec2InstanceMetadata is expected",
            name, file_of(walk), source);
    }
    if (status == ORBIT_END)
        status = orb_fail(error, ORBIT_E_AUTH, 0, "the profile '%.100s' wants keys of '%s', and there are none%s%s",
                          name, source, *walk->fetch->without ? ": " : "", walk->fetch->without);
    return status;
}

/* Keys that are good for the role: of another profile, of its own, of where it runs. */
static orbit_status source_keys(struct walk *walk, const char *name, struct orb_keys *keys, orbit_error *error)
{
    const char *source = get(walk, name, "source_profile"), *place = get(walk, name, "credential_source");
    if (!source == !place)
        return orb_fail(
            error, ORBIT_E_CONFIG, 0,
            "the profile '%.100s' in '%.200s' has a role_arn: it needs one of source_profile and credential_source",
            name, file_of(walk));
    if (place)
        return by_credential_source(walk, name, place, keys, error);
    if (strcmp(source, name) == 0) {
        orbit_status status = static_keys(walk, name, keys, error);
        return status == ORBIT_END
                   ? orb_fail(error, ORBIT_E_CONFIG, 0,
                              "the profile '%.100s' in '%.200s' is its own source_profile, without keys", name,
                              file_of(walk))
                   : status;
    }
    return by_name(walk, source, keys, error);
}

static bool is_cancelled(void *waiter)
{
    return atomic_load((const _Atomic bool *)waiter);
}

/* What a person types is six digits, perhaps with blanks around or between them. */
static orbit_status ask_for_code(struct walk *walk, const char *name, const char *serial, char *code, size_t room,
                                 orbit_error *error)
{
    const struct orb_keys_fetch *fetch = walk->fetch;
    char text[300];
    size_t length = 0;
    if (!fetch->prompt || !fetch->prompt->function)
        return orb_fail(error, ORBIT_E_AUTH, 0,
                        "the profile '%.100s' asks for a code (mfa_serial), and nobody can be asked: set the client's "
                        "prompt, or name a credential_process that asks",
                        name);
    (void)snprintf(text, sizeof text, "the code of the MFA device '%.150s' for the profile '%.100s'", serial, name);
    orbit_question question = {.size = sizeof question,
                               .text = text,
                               .secret = true,
                               .given_up = is_cancelled,
                               .waiter = (void *)(uintptr_t)fetch->cancelled};
    orb_error_clear(error);
    orbit_status status = fetch->prompt->function(fetch->prompt->ctx, &question, code, room, error);
    if (status < 0 && error && !error->status) /* it did not say why */
        (void)orb_fail(error, status, 0, "no code of the MFA device '%.150s' was given", serial);
    if (status < 0)
        return status;
    code[room - 1] = '\0';
    for (const char *c = code; *c; c++)
        if (*c != ' ')
            code[length++] = *c;
    code[length] = '\0';
    for (const char *c = code; *c; c++)
        length = *c >= '0' && *c <= '9' ? length : 0;
    return length >= 6
               ? ORBIT_OK
               : orb_fail(error, ORBIT_E_AUTH, 0,
                          "what was given for the MFA device '%.150s' is no code: six digits are expected", serial);
}

static orbit_status by_role(struct walk *walk, const char *name, const char *role_arn, struct orb_keys *keys,
                            orbit_error *error)
{
    const struct orb_keys_origin *origin = walk->fetch->origin;
    const char *region = get(walk, name, "region"), *token = get(walk, name, "web_identity_token_file");
    struct orb_keys_role role = {.role_arn = role_arn,
                                 .session_name = get(walk, name, "role_session_name"),
                                 .external_id = get(walk, name, "external_id"),
                                 .duration_s = get(walk, name, "duration_seconds"),
                                 .region = region           ? region
                                           : origin->region ? origin->region
                                                            : "us-east-1"};
    if (token)
        return orb_keys_assume_by_token_file(walk->fetch, &role, token, keys, error);
    struct orb_keys signer = {0};
    char code[32] = "";
    orbit_status status = source_keys(walk, name, &signer, error);
    role.mfa_serial = get(walk, name, "mfa_serial");
    if (status >= 0 && role.mfa_serial) { /* the last thing that is needed: it is good for half a minute */
        status = ask_for_code(walk, name, role.mfa_serial, code, sizeof code, error);
        role.mfa_code = code;
    }
    if (status >= 0)
        status = orb_keys_assume_role(walk->fetch, &role, &signer, keys, error);
    explicit_bzero(code, sizeof code);
    orb_keys_release(&signer);
    return status;
}

static orbit_status in_a_circle(const struct walk *walk, const char *name, orbit_error *error)
{
    struct orb_buf way;
    orb_buf_init(&way, 2048);
    for (unsigned i = 0; i < walk->depth; i++)
        orb_buf_format(&way, "%.60s -> ", walk->names[i]);
    orbit_status status =
        orb_fail(error, ORBIT_E_CONFIG, 0, "the source_profile settings in '%.150s' %s: %s%.60s", file_of(walk),
                 walk->depth == DEPTH_MAX ? "go too deep" : "make a circle", orb_buf_string(&way), name);
    orb_buf_release(&way);
    return status;
}

static orbit_status by_name(struct walk *walk, const char *name, struct orb_keys *keys, orbit_error *error)
{
    const char *text;
    bool seen = walk->depth == DEPTH_MAX;
    for (unsigned i = 0; i < walk->depth; i++)
        seen = seen || strcmp(walk->names[i], name) == 0;
    if (seen)
        return in_a_circle(walk, name, error);
    if (!orb_profiles_has(walk->fetch->profiles, ORB_PROFILE, name))
        return walk->depth
                   ? orb_fail(
                         error, ORBIT_E_CONFIG, 0,
                         "the source_profile '%.100s' of the profile '%.100s' is neither in '%.120s' nor in '%.120s'",
                         name, walk->names[walk->depth - 1], file_of(walk),
                         walk->fetch->origin->credentials_file ? walk->fetch->origin->credentials_file
                                                               : "~/.aws/credentials")
                   : ORBIT_END;
    walk->names[walk->depth++] = name;
    if ((text = get(walk, name, "role_arn")) != NULL)
        return by_role(walk, name, text, keys, error);
    orbit_status status = static_keys(walk, name, keys, error);
    if (status != ORBIT_END)
        return status;
    if (get(walk, name, "sso_session") || get(walk, name, "sso_start_url"))
        return orb_keys_sso(walk->fetch, name, keys, error);
    if ((text = get(walk, name, "credential_process")) != NULL)
        return orb_keys_process(walk->fetch, text, keys, error);
    return walk->depth > 1 || walk->fetch->origin->profile_given
               ? orb_fail(error, ORBIT_E_CONFIG, 0,
                          "the profile '%.100s' in '%.200s' has no keys, role, program or single sign-on", name,
                          file_of(walk))
               : ORBIT_END;
}

orbit_status orb_keys_profile(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    struct walk walk = {.fetch = fetch};
    fetch->from = "a profile";
    if (!fetch->profiles) {
        orbit_status status = orb_keys_origin_profiles(&fetch->profiles, fetch->origin, error);
        if (status < 0)
            return status;
    }
    return by_name(&walk, fetch->origin->profile, keys, error);
}
