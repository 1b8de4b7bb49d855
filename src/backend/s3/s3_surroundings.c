/* SPDX-License-Identifier: Apache-2.0
 * What environment and profile say of a store where no option does. Reads the profile's files, nothing else; the
 * caller's thread. Every setting of the AWS tools that is taken, and its order, is in docs/s3.md. */
#include <strings.h>

#include "backend/s3/s3.h"
#include "backend/s3/s3_wanted.h"
#include "base/str.h"

enum { ATTEMPTS_MOST = 10000 };

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static const char *first_of(const char *given, const char *const *names)
{
    given = given && *given ? given : NULL;
    for (; !given && *names; names++)
        given = variable(*names);
    return given;
}

/* NULL: not set. */
static const char *of_profile(const struct orb_s3_wanted *wanted, const char *setting)
{
    return wanted->profiles ? orb_profiles_get(wanted->profiles, ORB_PROFILE, wanted->profile, setting) : NULL;
}

/* ---- switches -------------------------------------------------------------------------------------- */

static const struct {
    size_t offset;                       /* in orbit_s3_config */
    const char *name, *setting, *nested; /* of the environment, of the profile; nullable */
    bool otherwise;
} switches[ORB_S3_SWITCHES] = {
    [ORB_S3_DUALSTACK] = {offsetof(orbit_s3_config, use_dualstack), "AWS_USE_DUALSTACK_ENDPOINT",
                          "use_dualstack_endpoint", "s3.use_dualstack_endpoint", false},
    [ORB_S3_FIPS] = {offsetof(orbit_s3_config, use_fips), "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", NULL, false},
    [ORB_S3_ACCELERATE] = {offsetof(orbit_s3_config, use_accelerate), NULL, NULL, "s3.use_accelerate_endpoint", false},
    [ORB_S3_ARN_REGION] = {offsetof(orbit_s3_config, use_arn_region), "AWS_S3_USE_ARN_REGION", "s3_use_arn_region",
                           "s3.use_arn_region", true},
};

static orbit_status bad_word(const char *name, const char *text, const char *expected, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_CONFIG, 0, "%s is '%.60s': %s is expected", name, text, expected);
}

static orbit_status take_choice(uint32_t *choice, const char *name, const char *text, orbit_error *error)
{
    bool on;
    if (*choice || !text || !*text)
        return ORBIT_OK;
    if (!orb_parse_bool(text, &on))
        return bad_word(name, text, "true or false", error);
    *choice = on ? ORBIT_CHOICE_ON : ORBIT_CHOICE_OFF;
    return ORBIT_OK;
}

/* When the endpoint is known: what is not asked for by option is for AWS's own addresses only. A profile's word is
 * looked at in any case, since a wrong one is a mistake everywhere. */
static orbit_status take_switches(struct orb_s3_wanted *wanted, orbit_error *error)
{
    orbit_s3_config *config = &wanted->config;
    orbit_status status = ORBIT_OK;
    for (size_t i = 0; status >= 0 && i < ORB_S3_SWITCHES; i++) {
        uint32_t choice = *(uint32_t *)(void *)((char *)config + switches[i].offset), environment = 0, profiles = 0;
        bool elsewhere = config->endpoint && i != ORB_S3_ARN_REGION;
        if (!choice && !elsewhere && switches[i].name)
            status = take_choice(&environment, switches[i].name, variable(switches[i].name), error);
        const char *names[] = {switches[i].setting, switches[i].nested};
        for (size_t n = 0; status >= 0 && n < 2; n++)
            if (names[n])
                status = take_choice(&profiles, names[n], of_profile(wanted, names[n]), error);
        choice = choice ? choice : environment ? environment : elsewhere ? 0 : profiles;
        wanted->on[i] = choice ? choice == ORBIT_CHOICE_ON : switches[i].otherwise;
    }
    return status;
}

static orbit_status take_addressing(struct orb_s3_wanted *wanted, orbit_error *error)
{
    const char *style = of_profile(wanted, "s3.addressing_style");
    uint32_t addressing = 0;
    if (style && !orb_s3_parse_addressing(style, &addressing))
        return bad_word("the profile's s3 addressing_style", style, "auto, path or virtual", error);
    if (!wanted->config.addressing)
        wanted->config.addressing = addressing;
    return ORBIT_OK;
}

/* ---- the endpoints --------------------------------------------------------------------------------- */

/* Of a service, in the section that the profile names. */
static const char *of_services(const struct orb_s3_wanted *wanted, const char *setting)
{
    const char *services = of_profile(wanted, "services");
    return services ? orb_profiles_get(wanted->profiles, ORB_PROFILE_SERVICES, services, setting) : NULL;
}

static const char *profiles_endpoint(const struct orb_s3_wanted *wanted)
{
    const char *where = of_profile(wanted, "s3.endpoint_url");
    where = where ? where : of_services(wanted, "s3.endpoint_url");
    return where ? where : of_profile(wanted, "endpoint_url");
}

/* Whether endpoints count only where they are given: for who has one set for all tools, and wants AWS. */
static orbit_status ignores_endpoints(const struct orb_s3_wanted *wanted, bool *ignored, orbit_error *error)
{
    static const char name[] = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", setting[] = "ignore_configured_endpoint_urls";
    uint32_t choice = 0;
    orbit_status status = take_choice(&choice, name, variable(name), error);
    if (status >= 0)
        status = take_choice(&choice, setting, of_profile(wanted, setting), error);
    *ignored = choice == ORBIT_CHOICE_ON;
    return status;
}

/* Where roles and single sign-on are asked for: the environment's first. False when memory is out. */
static bool take_others(const struct orb_s3_wanted *wanted, struct orb_keys_origin *origin, bool ignored)
{
    const struct {
        char **endpoint;
        const char *said;
    } others[] = {
        /* AWS_ENDPOINT_URL goes before what a profile says of STS. */
        {&origin->sts_endpoint, origin->any_endpoint ? NULL : of_services(wanted, "sts.endpoint_url")},
        {&origin->sso_endpoint, of_services(wanted, "sso.endpoint_url")},
        {&origin->oidc_endpoint, of_services(wanted, "sso_oidc.endpoint_url")},
        {&origin->any_endpoint, of_profile(wanted, "endpoint_url")},
    };
    bool fine = true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (ignored)
            orb_keys_wipe(others[i].endpoint);
        else if (!*others[i].endpoint && others[i].said)
            fine = fine && orb_keys_set(others[i].endpoint, others[i].said);
    return fine;
}

static orbit_status take_endpoints(struct orb_s3_wanted *wanted, struct orb_keys_origin *origin, orbit_error *error)
{
    static const char *const first[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", NULL};
    static const char *const last[] = {"S3_ENDPOINT_URL", NULL};
    orbit_s3_config *config = &wanted->config;
    bool ignored;
    orbit_status status = ignores_endpoints(wanted, &ignored, error);
    if (status < 0)
        return status;
    if (!take_others(wanted, origin, ignored))
        return orb_fail_memory(error);
    if (!ignored) {
        config->endpoint = first_of(config->endpoint, first);
        if (!config->endpoint)
            config->endpoint = profiles_endpoint(wanted);
        config->endpoint = first_of(config->endpoint, last);
    }
    if (!config->endpoint && config->unix_socket)
        config->endpoint = "http://localhost";
    return ORBIT_OK;
}

/* ---- all of it ------------------------------------------------------------------------------------- */

/* "when_supported" or "when_required", as the AWS tools say it. */
static orbit_status take_when(uint32_t *choice, const char *name, const char *text, orbit_error *error)
{
    if (*choice || !text)
        return ORBIT_OK;
    if (strcasecmp(text, "when_supported") == 0)
        *choice = ORBIT_CHOICE_ON;
    else if (strcasecmp(text, "when_required") == 0)
        *choice = ORBIT_CHOICE_OFF;
    else
        return bad_word(name, text, "when_supported or when_required", error);
    return ORBIT_OK;
}

/* Whoever names a checksum for uploads wants it, whatever the surroundings say. */
static orbit_status take_checksums(struct orb_s3_wanted *wanted, orbit_error *error)
{
    static const struct {
        const char *variable, *setting;
    } names[] = {{"AWS_REQUEST_CHECKSUM_CALCULATION", "request_checksum_calculation"},
                 {"AWS_RESPONSE_CHECKSUM_VALIDATION", "response_checksum_validation"}};
    orbit_s3_config *config = &wanted->config;
    uint32_t choices[] = {config->no_checksum ? ORBIT_CHOICE_OFF
                          : config->checksum  ? ORBIT_CHOICE_ON
                                              : 0,
                          config->ask_checksums};
    orbit_status status = ORBIT_OK;
    for (size_t i = 0; status >= 0 && i < 2; i++) {
        status = take_when(&choices[i], names[i].variable, variable(names[i].variable), error);
        if (status >= 0)
            status = take_when(&choices[i], names[i].setting, of_profile(wanted, names[i].setting), error);
    }
    config->no_checksum = choices[0] == ORBIT_CHOICE_OFF;
    wanted->ask_checksums = choices[1] != ORBIT_CHOICE_OFF;
    return status;
}

static orbit_status take_tries(uint32_t *attempts, const char *name, const char *text, orbit_error *error)
{
    uint64_t number;
    if (*attempts || !text || !*text)
        return ORBIT_OK;
    if (!orb_parse_u64(text, &number) || !number || number > ATTEMPTS_MOST)
        return bad_word(name, text, "a number of tries, 1 to 10000,", error);
    *attempts = (uint32_t)number;
    return ORBIT_OK;
}

/* What all requests of this backend are tried, where the options do not say it. */
static orbit_status take_attempts(struct orb_s3_wanted *wanted, orbit_error *error)
{
    static const char name[] = "AWS_MAX_ATTEMPTS", setting[] = "max_attempts";
    orbit_status status = take_tries(&wanted->attempts, name, variable(name), error);
    return status >= 0 ? take_tries(&wanted->attempts, setting, of_profile(wanted, setting), error) : status;
}

/* How the instance's metadata service is asked; the variables are the AWS tools', and so are their words. */
static orbit_status check_metadata(const struct orb_keys_origin *origin, orbit_error *error)
{
    const char *disabled = origin->metadata_disabled, *mode = origin->metadata_mode;
    bool on;
    if (disabled && !orb_parse_bool(disabled, &on))
        return bad_word("AWS_EC2_METADATA_DISABLED", disabled, "true or false", error);
    if (mode && strcasecmp(mode, "ipv4") != 0 && strcasecmp(mode, "ipv6") != 0)
        return bad_word("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", mode, "IPv4 or IPv6", error);
    return ORBIT_OK;
}

/* A profile may say where its store is. Its files are read here, and not when they are first needed as its keys are,
 * because region and endpoint decide what a store is. A default profile that cannot be read is no fault where both are
 * known: a container's HOME may be anybody's. */
static orbit_status read_profile(struct orb_s3_wanted *wanted, const struct orb_keys_origin *origin, orbit_error *error)
{
    static const char *const endpoints[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", NULL};
    orbit_error why;
    wanted->profile = origin->profile;
    orbit_status status = orb_keys_origin_profiles(&wanted->profiles, origin, &why);
    bool known = wanted->config.region && first_of(wanted->config.endpoint, endpoints);
    if (status >= 0 || (known && !origin->profile_named))
        return ORBIT_OK;
    orb_error_copy(error, &why);
    return status;
}

orbit_status orb_s3_surroundings(struct orb_s3_wanted *wanted, struct orb_keys_origin *origin, orbit_error *error)
{
    static const char *const regions[] = {"AWS_REGION", "AWS_DEFAULT_REGION", NULL};
    static const char *const bundles[] = {"AWS_CA_BUNDLE", NULL};
    orbit_s3_config *config = &wanted->config;
    orbit_status status = ORBIT_OK;
    wanted->region_given = config->region && *config->region ? config->region : NULL;
    config->region = first_of(config->region, regions);
    config->endpoint = config->endpoint && *config->endpoint ? config->endpoint : NULL;
    config->ca_bundle = first_of(config->ca_bundle, bundles);
    if (!origin->keys_given)
        status = read_profile(wanted, origin, error);
    if (status < 0)
        return status;
    if (!config->region)
        config->region = of_profile(wanted, "region");
    if (!config->ca_bundle)
        config->ca_bundle = of_profile(wanted, "ca_bundle");
    status = check_metadata(origin, error);
    if (status >= 0)
        status = take_endpoints(wanted, origin, error);
    if (status >= 0)
        status = take_checksums(wanted, error);
    if (status >= 0)
        status = take_attempts(wanted, error);
    if (status >= 0)
        status = take_addressing(wanted, error);
    return status >= 0 ? take_switches(wanted, error) : status;
}

void orb_s3_wanted_release(struct orb_s3_wanted *wanted)
{
    orb_profiles_free(wanted->profiles);
    wanted->profiles = NULL;
}
