/* SPDX-License-Identifier: Apache-2.0
 * Configuration: the typed config or the URL, settings by name over it, its surroundings below it. No I/O but
 * theirs; the caller's thread. */
#include <strings.h>

#include "backend/s3/s3.h"
#include "backend/s3/s3_wanted.h"
#include "base/options.h"
#include "base/str.h"

enum { CHUNK_DEFAULT = 8 << 20, REMOVE_BATCH = 1000, PAGE_MAX = 10000 };
static const uint64_t MIB = 1ull << 20, GIB = 1ull << 30;

/* ---- settings by name ------------------------------------------------------------------------------ */

enum setting_kind { TEXT, FLAG, CHOICE, SIZE, COUNT, ADDRESSING, PATH_STYLE, CHECKSUM, PAYER };

static const struct setting {
    const char *name;
    enum setting_kind kind;
    size_t offset; /* in struct orb_s3_wanted */
} settings[] = {
#define CONFIG(field) offsetof(struct orb_s3_wanted, config.field)
    {"region", TEXT, CONFIG(region)},
    {"endpoint", TEXT, CONFIG(endpoint)},
    {"access_key_id", TEXT, CONFIG(access_key_id)},
    {"profile", TEXT, CONFIG(profile)},
    {"provider", TEXT, CONFIG(provider)},
    {"config_file", TEXT, CONFIG(config_file)},
    {"credentials_file", TEXT, CONFIG(credentials_file)},
    {"identity_timeout_ms", COUNT, CONFIG(identity_timeout_ms)},
    {"prefix", TEXT, CONFIG(prefix)},
    {"ca_bundle", TEXT, CONFIG(ca_bundle)},
    {"expected_bucket_owner", TEXT, CONFIG(expected_bucket_owner)},
    {"anonymous", FLAG, CONFIG(anonymous)},
    {"client_cert", TEXT, CONFIG(client_cert)},
    {"client_key", TEXT, CONFIG(client_key)},
    {"unix_socket", TEXT, CONFIG(unix_socket)},
    {"no_verify_tls", FLAG, CONFIG(no_verify_tls)},
    {"sign_payload", FLAG, CONFIG(sign_payload)},
    {"no_checksum", FLAG, CONFIG(no_checksum)},
    {"request_payer", PAYER, CONFIG(request_payer)},
    {"equal_parts", FLAG, CONFIG(equal_parts)},
    {"list_v1", FLAG, CONFIG(list_v1)},
    {"use_dualstack", CHOICE, CONFIG(use_dualstack)},
    {"use_fips", CHOICE, CONFIG(use_fips)},
    {"use_accelerate", CHOICE, CONFIG(use_accelerate)},
    {"use_arn_region", CHOICE, CONFIG(use_arn_region)},
    {"ask_checksums", CHOICE, CONFIG(ask_checksums)},
    {"put_max", SIZE, CONFIG(put_max_bytes)},
    {"part_min", SIZE, CONFIG(part_min_bytes)},
    {"part_max", SIZE, CONFIG(part_max_bytes)},
    {"copy_max", SIZE, CONFIG(copy_max_bytes)},
    {"chunk_size", SIZE, offsetof(struct orb_s3_wanted, chunk_size)},
    {"part_count_max", COUNT, CONFIG(part_count_max)},
    {"list_page_entries", COUNT, CONFIG(list_page_entries)},
    {"parallel_operations", COUNT, offsetof(struct orb_s3_wanted, parallel_operations)},
    {"conditional_writes", FLAG, offsetof(struct orb_s3_wanted, conditional_writes)},
    {"addressing", ADDRESSING, CONFIG(addressing)},
    {"path_style", PATH_STYLE, CONFIG(addressing)},
    {"checksum", CHECKSUM, CONFIG(checksum)},
#undef CONFIG
};

static orbit_status bad_value(const orbit_pair *pair, const char *expected, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 setting %s is '%.100s': %s is expected", pair->name, pair->value,
                    expected);
}

static orbit_status set_number(const struct setting *setting, const orbit_pair *pair, void *field, orbit_error *error)
{
    uint64_t number;
    bool flag;
    switch (setting->kind) {
    case FLAG:
        if (!orb_parse_bool(pair->value, field))
            return bad_value(pair, "true or false", error);
        return ORBIT_OK;
    case CHOICE:
        if (!orb_parse_bool(pair->value, &flag))
            return bad_value(pair, "true or false", error);
        *(uint32_t *)field = flag ? ORBIT_CHOICE_ON : ORBIT_CHOICE_OFF;
        return ORBIT_OK;
    case SIZE:
        if (!orb_parse_size(pair->value, field) || !*(uint64_t *)field)
            return bad_value(pair, "a size such as 8MiB", error);
        return ORBIT_OK;
    case COUNT:
        if (!orb_parse_u64(pair->value, &number) || !number || number > UINT32_MAX)
            return bad_value(pair, "a number from 1", error);
        *(uint32_t *)field = (uint32_t)number;
        return ORBIT_OK;
    case PAYER: /* the one word that the header takes, too */
        *(bool *)field = strcasecmp(pair->value, "requester") == 0;
        if (!*(bool *)field && !orb_parse_bool(pair->value, field))
            return bad_value(pair, "requester, true or false", error);
        return ORBIT_OK;
    case PATH_STYLE:
        if (!orb_parse_bool(pair->value, &flag))
            return bad_value(pair, "true or false", error);
        *(uint32_t *)field = flag ? ORBIT_ADDRESSING_PATH : ORBIT_ADDRESSING_VIRTUAL;
        return ORBIT_OK;
    default:
        return ORBIT_E_CONFIG;
    }
}

bool orb_s3_parse_addressing(const char *text, uint32_t *addressing)
{
    static const char *const words[] = {"auto", "path", "virtual"};
    for (uint32_t word = 0; word < 3; word++)
        if (strcasecmp(words[word], text) == 0) {
            *addressing = word;
            return true;
        }
    return false;
}

static orbit_status apply(struct orb_s3_wanted *wanted, const orbit_pair *pair, orbit_error *error)
{
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const struct setting *setting = &settings[i];
        void *field = (char *)wanted + setting->offset;
        if (strcmp(setting->name, pair->name) != 0)
            continue;
        wanted->has_conditional_writes |= field == &wanted->conditional_writes;
        if (setting->kind == TEXT) {
            *(const char **)field = pair->value;
            return ORBIT_OK;
        }
        if (setting->kind == ADDRESSING)
            return orb_s3_parse_addressing(pair->value, field) ? ORBIT_OK
                                                               : bad_value(pair, "auto, path or virtual", error);
        if (setting->kind == CHECKSUM) {
            uint32_t algorithm = orb_s3_checksum_from_word(pair->value);
            if (strcasecmp(pair->value, "md5") == 0)
                algorithm = ORBIT_CHECKSUM_MD5;
            wanted->config.no_checksum = strcasecmp(pair->value, "none") == 0;
            *(uint32_t *)field = algorithm;
            return algorithm || wanted->config.no_checksum
                       ? ORBIT_OK
                       : bad_value(pair, "crc64nvme, crc32c, crc32, sha256, sha1, md5 or none", error);
        }
        return set_number(setting, pair, field, error);
    }
    return orb_fail(error, ORBIT_E_CONFIG, 0, "unknown S3 setting '%.100s'", pair->name);
}

/* ---- the address ----------------------------------------------------------------------------------- */

/* A port, if there is one, behind a name or an address in brackets. */
static bool port_fits(const char *host, size_t length)
{
    const char *bracket = memchr(host, ']', length), *from = bracket ? bracket : host;
    const char *colon = memchr(from, ':', (size_t)(host + length - from));
    char digits[8];
    uint64_t number;
    if (!colon)
        return true;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)(host + length - colon - 1), colon + 1);
    return orb_parse_u64(digits, &number) && number && number <= 65535;
}

static orbit_status take_endpoint(struct orb_s3 *s3, const char *endpoint, orbit_error *error)
{
    const char *host = endpoint;
    s3->secure = true;
    s3->endpoint_path = NULL;
    if (endpoint) {
        if (strncasecmp(endpoint, "https://", 8) == 0) {
            host += 8;
        } else if (strncasecmp(endpoint, "http://", 7) == 0) {
            s3->secure = false;
            host += 7;
        } else {
            return orb_fail(error, ORBIT_E_CONFIG, 0,
                            "the S3 endpoint '%.200s' does not begin with http:// or https://", endpoint);
        }
        size_t length = strcspn(host, "/?#"), path = strlen(host + length);
        if (memchr(host, '@', length))
            return orb_fail(error, ORBIT_E_CONFIG, 0, "an S3 endpoint takes no user name or password");
        if (!length || host[length] == '?' || host[length] == '#' || strpbrk(host, " \t\r\n\"<>\\^`{|}%"))
            return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 endpoint '%.200s' is not an address", endpoint);
        if (!port_fits(host, length))
            return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 endpoint '%.200s' has no port from 1 to 65535", endpoint);
        while (path && host[length + path - 1] == '/')
            path--;
        /* The port a scheme implies does not belong in the Host header, and so not in the signature. */
        const char *implied = s3->secure ? ":443" : ":80";
        size_t port = strlen(implied), name = length;
        if (name > port && memcmp(host + name - port, implied, port) == 0 && host[name - port - 1] != ':')
            name -= port;
        s3->endpoint_host = orb_strndup(host, name);
        s3->endpoint_path = orb_strndup(host + length, path);
        return s3->endpoint_host && s3->endpoint_path ? ORBIT_OK : orb_fail_memory(error);
    }
    s3->endpoint_path = orb_strdup("");
    return s3->endpoint_path ? ORBIT_OK : orb_fail_memory(error);
}

/* What the store is: said, or seen by its endpoint. `region` is what the endpoint's name says, "" for nothing. */
static orbit_status take_store(struct orb_s3 *s3, const orbit_s3_config *config, char region[ORB_S3_REGION_MAX],
                               orbit_error *error)
{
    const char *name = config->provider;
    char names[200];
    *region = '\0';
    s3->store =
        s3->endpoint_host ? orb_s3_store_at(s3->endpoint_host, region, ORB_S3_REGION_MAX) : orb_s3_store_named("aws");
    if (name && *name) {
        const struct orb_s3_store *seen = s3->store;
        s3->store = orb_s3_store_named(name);
        orb_s3_store_names(names, sizeof names);
        if (!s3->store)
            return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 setting provider is '%.60s': it is one of %s", name,
                            names);
        if (!s3->endpoint_host && !s3->store->is_aws)
            return orb_fail(error, ORBIT_E_CONFIG, 0,
                            "the S3 setting provider=%s goes with the store's endpoint (--endpoint-url)",
                            s3->store->name);
        if (s3->store != seen)
            *region = '\0';
    }
    s3->ways = s3->store->ways;
    s3->ways.list_v1 |= config->list_v1;
    if (config->checksum) /* who asks for one means it */
        s3->ways.checksums = ORB_S3_CHECKSUMS_ON;
    return ORBIT_OK;
}

static orbit_status take_bucket(struct orb_s3 *s3, const char *bucket, orbit_error *error)
{
    s3->bucket = orb_strdup(bucket ? bucket : ""); /* "": the service, which has buckets */
    return s3->bucket ? ORBIT_OK : orb_fail_memory(error);
}

/* A path in the URL is a directory that becomes the root; the config's prefix is taken literally. */
static orbit_status take_prefix(struct orb_s3 *s3, const char *path, const char *prefix, orbit_error *error)
{
    struct orb_buf full;
    orb_buf_init(&full, ORB_S3_KEY_MAX);
    orb_buf_text(&full, path);
    if (*path && !orb_str_suffix(path, "/"))
        orb_buf_char(&full, '/');
    orb_buf_text(&full, prefix ? prefix : "");
    bool too_long = strlen(path) + (prefix ? strlen(prefix) : 0) >= ORB_S3_KEY_MAX;
    s3->prefix = full.failed ? NULL : full.length ? orb_buf_take(&full) : orb_strdup("");
    orb_buf_release(&full);
    if (too_long)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 prefix is too long");
    return s3->prefix ? ORBIT_OK : orb_fail_memory(error);
}

/* What is said of all stores (environment, profile) comes behind what this one's endpoint says. */
static const char *choose_region(const struct orb_s3 *s3, const struct orb_s3_wanted *wanted, const char *of_host)
{
    return wanted->region_given    ? wanted->region_given
           : *of_host              ? of_host
           : s3->store->region     ? s3->store->region
           : wanted->config.region ? wanted->config.region
                                   : "us-east-1";
}

static orbit_status take_region(struct orb_s3 *s3, const char *region, orbit_error *error)
{
    for (const char *c = region; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' ||
              *c == '_'))
            return orb_fail(error, ORBIT_E_CONFIG, 0, "'%.60s' is not a region", region);
    if (strlen(region) >= sizeof s3->region)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%.60s...' is not a region", region);
    memcpy(s3->region, region, strlen(region) + 1);
    return ORBIT_OK;
}

/* What shares a number of requests in flight: an endpoint. Of AWS's a region is one, and what has hosts of its own. */
static void take_site_name(struct orb_s3 *s3)
{
    const struct orb_s3_address *address = &s3->address;
    bool own = address->is_arn || address->is_directory || s3->where.accelerate;
    int length = s3->endpoint_host
                     ? snprintf(s3->site_name, sizeof s3->site_name, "%s://%s%s", s3->secure ? "https" : "http",
                                s3->endpoint_host, s3->unix_socket ? s3->unix_socket : "")
                 : own ? snprintf(s3->site_name, sizeof s3->site_name, "https://%s", address->authority)
                       : snprintf(s3->site_name, sizeof s3->site_name, "https://s3.%s", s3->region);
    if (length < 0 || (size_t)length >= sizeof s3->site_name)
        *s3->site_name = '\0';
}

/* ---- limits ---------------------------------------------------------------------------------------- */

static orbit_status take_limits(struct orb_s3 *s3, const struct orb_s3_wanted *wanted, orbit_capabilities *caps,
                                orbit_error *error)
{
    const orbit_s3_config *config = &wanted->config;
    caps->chunk_default = wanted->chunk_size ? wanted->chunk_size : CHUNK_DEFAULT;
    caps->parallel_default = wanted->parallel_operations ? wanted->parallel_operations : 8;
    caps->attempts_default = wanted->attempts;
    caps->part_min = config->part_min_bytes ? config->part_min_bytes : 5 * MIB;
    caps->part_max = config->part_max_bytes ? config->part_max_bytes : 5 * GIB;
    caps->part_count_max = config->part_count_max      ? config->part_count_max
                           : s3->store->part_count_max ? s3->store->part_count_max
                                                       : 10000;
    caps->put_max = config->put_max_bytes ? config->put_max_bytes : caps->chunk_default;
    if (caps->part_min > caps->part_max)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 settings part_min and part_max leave no part size");
    if (caps->part_count_max > 1000000)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 setting part_count_max is at most 1000000");
    caps->object_max = caps->part_max > UINT64_MAX / caps->part_count_max ? 0 : caps->part_max * caps->part_count_max;
    caps->remove_batch = s3->ways.no_batches ? 1 : REMOVE_BATCH;
    caps->copy_max = config->copy_max_bytes ? config->copy_max_bytes : 5 * GIB;
    caps->page_entries = config->list_page_entries ? config->list_page_entries : 1000;
    if (caps->page_entries > PAGE_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 setting list_page_entries is at most %d", PAGE_MAX);
    caps->equal_parts = config->equal_parts || s3->store->equal_parts;
    caps->lacks |= s3->store->no_tags || s3->address.is_directory ? 1u << ORBIT_OPERATION_TAGS : 0;
    take_site_name(s3);
    caps->endpoint = *s3->site_name ? s3->site_name : NULL;
    caps->reads_twice = orb_s3_checksum_comes_first(config->checksum);
    caps->ranged_read = s3->ways.ranges != ORB_S3_RANGES_IGNORED;
    caps->deep_list = !orb_s3_is_service(s3);
    caps->list_versions = caps->deep_list && !s3->store->no_versions && !s3->address.is_directory;
    caps->lacks |= caps->list_versions ? 0 : 1u << ORBIT_OPERATION_VERSIONING;
    /* Directory buckets list out of order, and buckets come in any. */
    caps->ordered_list = !orb_s3_is_service(s3) && !s3->address.is_directory;
    /* ETags of directory buckets are random:
     * https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-express-differences.html */
    caps->md5_etags = !s3->address.is_directory;
    caps->resolves_writes = true;
    caps->atomic_no_overwrite =
        wanted->has_conditional_writes ? wanted->conditional_writes : s3->ways.conditions == ORB_S3_CONDITIONS_DECIDE;
    return ORBIT_OK;
}

static orbit_status take_everything(struct orb_s3 *s3, const orbit_open_request *request, struct orb_s3_wanted *wanted,
                                    orbit_capabilities *capabilities, orbit_error *error)
{
    const orbit_s3_config *config = &wanted->config;
    const char *bucket = config->bucket ? config->bucket : request->authority;
    orbit_status status;
    uint32_t algorithm;
    char host_region[ORB_S3_REGION_MAX];
    s3->sign_payload = config->sign_payload;
    s3->checksum = config->checksum;
    s3->no_checksum = config->no_checksum;
    s3->ask_checksums = wanted->ask_checksums;
    s3->request_payer = config->request_payer;
    if ((status = orb_s3_upload_checksum(s3, NULL, 0, &algorithm, error)) < 0 ||
        (status = take_endpoint(s3, config->endpoint, error)) < 0 ||
        (status = take_store(s3, config, host_region, error)) < 0 || (status = take_bucket(s3, bucket, error)) < 0 ||
        (status = take_prefix(s3, request->path ? request->path : "", config->prefix, error)) < 0 ||
        (status = take_region(s3, choose_region(s3, wanted, host_region), error)) < 0)
        return status;
    s3->where = (struct orb_s3_address_request){.addressing = config->addressing,
                                                .dualstack = wanted->on[ORB_S3_DUALSTACK],
                                                .fips = wanted->on[ORB_S3_FIPS],
                                                .accelerate = wanted->on[ORB_S3_ACCELERATE],
                                                .own_region_only = !wanted->on[ORB_S3_ARN_REGION]};
    orb_s3_recall(s3);
    if ((status = orb_s3_locate(s3, error)) < 0 || (status = orb_s3_take_site(s3, request->options, config, error)) < 0)
        return status;
    status = take_limits(s3, wanted, capabilities, error);
    s3->list_page_entries = capabilities->page_entries;
    return status;
}

/* Of a directory bucket: its own keys ask for those that most requests are signed with. */
static orbit_status take_session(struct orb_s3 *s3, orbit_error *error)
{
    const struct orb_s3_address *address = &s3->address;
    struct orb_keys_session_config config = {
        .by = s3->keys, .region = address->region, .ca_bundle = s3->ca_bundle, .no_verify_tls = s3->site.no_verify_tls};
    struct orb_buf url;
    orb_buf_init(&url, 2048);
    orb_buf_format(&url, "%s://%s%s/%s?session", s3->secure ? "https" : "http", address->authority, s3->endpoint_path,
                   address->path_style ? s3->bucket : "");
    config.url = orb_buf_string(&url);
    orbit_status status =
        url.failed ? orb_fail_memory(error) : orb_keys_session_open(&s3->session, s3->host, &config, error);
    orb_buf_release(&url);
    return status;
}

/* Where keys come from; nobody is asked yet. The origin is taken over. */
static orbit_status take_keys(struct orb_s3 *s3, struct orb_keys_origin *origin, orbit_error *error)
{
    origin->region = orb_strdup(s3->region);
    origin->ca_bundle = orb_strdup(s3->ca_bundle);
    if (!origin->region || (s3->ca_bundle && !origin->ca_bundle)) {
        orb_keys_origin_free(origin);
        return orb_fail_memory(error);
    }
    orbit_status status = orb_keys_source_open(&s3->keys, s3->host, origin, error);
    return status >= 0 && s3->address.is_directory ? take_session(s3, error) : status;
}

orbit_status orb_s3_configure(struct orb_s3 *s3, const orbit_open_request *request, orbit_capabilities *capabilities,
                              orbit_error *error)
{
    struct orb_s3_wanted wanted = {.config = ORBIT_S3_CONFIG_INIT};
    struct orb_keys_origin *origin = NULL;
    orbit_status status =
        orb_options_take(&wanted.config, sizeof wanted.config, request->config, "orbit_s3_config", error);
    wanted.chunk_size = request->options->chunk_size;
    wanted.parallel_operations = request->options->parallel_operations;
    wanted.attempts = request->options->retry_attempts;
    for (size_t i = 0; status >= 0 && i < request->setting_count; i++)
        status = apply(&wanted, &request->settings[i], error);
    if (status >= 0)
        status = orb_keys_origin_new(&origin, &wanted.config, error);
    if (status >= 0)
        status = orb_s3_surroundings(&wanted, origin, error);
    if (status >= 0)
        status = take_everything(s3, request, &wanted, capabilities, error);
    if (status >= 0 && !wanted.config.anonymous) {
        status = take_keys(s3, origin, error);
        origin = NULL;
    }
    orb_keys_origin_free(origin);
    orb_s3_wanted_release(&wanted);
    return status;
}
