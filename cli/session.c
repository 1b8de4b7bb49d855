/* SPDX-License-Identifier: Apache-2.0
 * The session: client, stores, settings made of flags and environment. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "interrupt.h"
#include "output.h"
#include "prompt.h"
#include "report.h"
#include "state.h"

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const char *const log_words[] = {"", "error", "warn", "info", "debug", "trace"};

static void log_line(void *ctx, orbit_log_level level, const char *line)
{
    const struct session *session = ctx;
    struct text text = {0};
    char when[TIME_TEXT_ROOM];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    time_text(when, (int64_t)now.tv_sec * 1000000000, false);
    text_format(&text, "%s %-5s ", when, log_words[level]);
    text_add_escaped(&text, line, strlen(line));
    if (session->log_fd < 0) {
        output_talk(text.bytes);
    } else {
        text_add(&text, "\n", 1);
        ssize_t ignored = write(session->log_fd, text.bytes, text.length); /* O_APPEND: one line, one write */
        (void)ignored;
    }
    text_release(&text);
}

static int log_setup(struct session *session, orbit_log *log)
{
    const char *word = session->options->log;
    const char *origin = "--log";
    if (!word) {
        word = getenv("ORBIT_LOG");
        origin = "ORBIT_LOG";
    }
    log->function = log_line;
    log->ctx = session;
    log->level = ORBIT_LOG_WARN;
    if (session->options->quiet)
        log->level = ORBIT_LOG_ERROR;
    if (word && *word) {
        size_t level = 1;
        while (level < sizeof log_words / sizeof log_words[0] && strcmp(word, log_words[level]) != 0)
            level++;
        if (level == sizeof log_words / sizeof log_words[0])
            return usage_error(session->options->verb, "%s takes error, warn, info, debug or trace, not '%s'", origin,
                               word);
        log->level = (orbit_log_level)level;
    }
    if (session->options->log_file) {
        session->log_fd = open(session->options->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (session->log_fd < 0)
            return usage_error(session->options->verb, "cannot open the log file '%s': %s", session->options->log_file,
                               strerror(errno));
    }
    return 0;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* 44 characters of base64 that make 32 bytes. */
static bool key_decode(uint8_t key[32], const char *text)
{
    uint32_t bits = 0;
    size_t have = 0, made = 0;
    for (size_t i = 0; i < 43; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8 && made < 32) {
            have -= 8;
            key[made++] = (uint8_t)(bits >> have);
        }
    }
    return made == 32 && text[43] == '=';
}

static int key_read(const struct session *session, const char *file, const char *flag, uint8_t key[32], bool *has)
{
    if (!file)
        return 0;
    char bytes[64];
    ssize_t length = -1;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        length = read(fd, bytes, sizeof bytes);
        close(fd);
    }
    if (length < 0)
        return usage_error(session->options->verb, "cannot read the key file '%s': %s", file, strerror(errno));
    *has = true;
    if (length == 32) {
        memcpy(key, bytes, 32);
        return 0;
    }
    while (length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r'))
        length--;
    if (length == 44 && key_decode(key, bytes))
        return 0;
    return usage_error(session->options->verb, "%s: '%s' holds no key of 32 bytes, raw or in base64", flag, file);
}

/* ORBIT_LANES: threads for the network, 0: none but the loop's. */
static int lanes_setup(const struct options *options, orbit_client_options *client)
{
    enum { LANES_MOST = 64 }; /* what the library takes */
    const char *text = getenv("ORBIT_LANES");
    char *end;
    if (!text || !*text)
        return 0;
    errno = 0;
    unsigned long lanes = strtoul(text, &end, 10);
    if (errno || *end || *text == '-' || lanes > LANES_MOST)
        return usage_error(options->verb, "ORBIT_LANES takes a number of threads, 0 to %d, not '%s'", LANES_MOST, text);
    client->lanes = (uint32_t)lanes;
    client->lanes_on_loop = lanes == 0;
    return 0;
}

int session_open(struct session *session, const struct options *options)
{
    orbit_client_options client = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_error error;
    const char *memory = options->memory_text, *origin = "--memory";

    *session = (struct session){.options = options, .log_fd = -1, .started_ns = monotonic_ns()};
    session->verb = verb_text(options->verb)->name;
    session->state_dir = state_directory();
    client.memory_bytes = options->memory_bytes;
    client.prompt.function = prompt_ask;
    if (!memory && (memory = getenv("ORBIT_MEMORY")) && *memory) {
        origin = "ORBIT_MEMORY";
        if (!size_parse(memory, 1, &client.memory_bytes) || !client.memory_bytes)
            return usage_error(options->verb, "ORBIT_MEMORY takes a size such as 64M, not '%s'", memory);
    }
    int code = log_setup(session, &client.log);
    if (!code)
        code = lanes_setup(options, &client);
    if (!code)
        code = key_read(session, options->sse_c_key_file, "--sse-c-key-file", session->key, &session->has_key);
    if (!code)
        code = key_read(session, options->source_sse_c_key_file, "--source-sse-c-key-file", session->source_key,
                        &session->has_source_key);
    if (code)
        return code;

    session->cancel = orbit_cancel_new();
    if (!session->cancel) {
        output_talk("orbit: out of memory or descriptors");
        return 1;
    }
    if (orbit_client_open(&session->client, &client, &error) < 0) {
        if (error.status == ORBIT_E_CONFIG && memory && *memory)
            return usage_error(options->verb, "%s %s: %s", origin, memory, error.message);
        report_failed(session, session->verb, NULL, NULL, &error);
        return session->tally.code;
    }
    interrupt_install(session->cancel);
    return 0;
}

void store_free(struct store *store)
{
    if (!store)
        return;
    orbit_backend_close(store->backend);
    free(store->root);
    free(store);
}

void session_close(struct session *session)
{
    while (session->stores) {
        struct store *store = session->stores;
        session->stores = store->next;
        store_free(store);
    }
    orbit_client_close(session->client);
    session->client = NULL;
    interrupt_forget();
    orbit_cancel_free(session->cancel);
    session->cancel = NULL;
    if (session->log_fd >= 0)
        close(session->log_fd);
    free(session->state_dir);
    session->state_dir = NULL;
    explicit_bzero(session->key, sizeof session->key);
    explicit_bzero(session->source_key, sizeof session->source_key);
}

bool session_stopped(const struct session *session)
{
    (void)session;
    return interrupt_signal() || output_failed();
}

/* ---- stores -------------------------------------------------------------------------------------- */

static void setting(struct pairs *pairs, const char *name, const char *value)
{
    if (value && pairs->count < PAIRS_MAX)
        pairs->pair[pairs->count++] = (orbit_pair){name, value};
}

static void settings_add(struct pairs *pairs, const struct pairs *more)
{
    for (size_t i = 0; i < more->count; i++)
        setting(pairs, more->pair[i].name, more->pair[i].value);
}

/* Who wants to see or compare all checksums has them asked for, whatever environment and profile say. */
static bool asks_checksums(const struct options *options)
{
    return options->checksum || (options->verify && strcmp(options->verify, "full") == 0);
}

/* The later wins: flags for both sides, then the side's own, then -o and the side's own -o. */
static void settings_of(const struct options *options, const char *scheme, enum side side, struct pairs *pairs)
{
    pairs->count = 0;
    if (strcmp(scheme, "s3") == 0) {
        setting(pairs, "endpoint", options->endpoint_url[SIDE_BOTH]);
        setting(pairs, "region", options->region[SIDE_BOTH]);
        setting(pairs, "profile", options->profile[SIDE_BOTH]);
        setting(pairs, "addressing", options->addressing_style);
        setting(pairs, "ca_bundle", options->ca_bundle);
        setting(pairs, "anonymous", options->no_sign_request ? "true" : NULL);
        setting(pairs, "no_verify_tls", options->no_verify_ssl ? "true" : NULL);
        setting(pairs, "request_payer", options->request_payer ? "true" : NULL);
        setting(pairs, "expected_bucket_owner", options->expected_bucket_owner);
        setting(pairs, "list_page_entries", options->page_size);
        setting(pairs, "list_v1", options->list_v1 ? "true" : NULL);
        setting(pairs, "ask_checksums", asks_checksums(options) ? "true" : NULL);
        if (side != SIDE_BOTH) {
            setting(pairs, "endpoint", options->endpoint_url[side]);
            setting(pairs, "region", options->region[side]);
            setting(pairs, "profile", options->profile[side]);
        }
    }
    settings_add(pairs, &options->settings[SIDE_BOTH]);
    if (side != SIDE_BOTH)
        settings_add(pairs, &options->settings[side]);
}

static bool side_has_its_own(const struct options *options, enum side side)
{
    return side != SIDE_BOTH && (options->endpoint_url[side] || options->region[side] || options->profile[side] ||
                                 options->settings[side].count);
}

static orbit_open_options open_options(const struct session *session, const struct pairs *pairs)
{
    const struct options *options = session->options;
    orbit_open_options open = ORBIT_OPEN_OPTIONS_INIT;

    if (options->retry_count != UINT64_MAX)
        open.retry_attempts = (uint32_t)options->retry_count + 1;
    open.chunk_size = options->part_bytes;
    open.parallel_operations = (uint32_t)options->concurrency;
    if (pairs) {
        open.settings = pairs->pair;
        open.setting_count = pairs->count;
    }
    return open;
}

static struct store *store_new(struct session *session, orbit_backend *backend, const char *root, enum side side)
{
    struct store *store = memory_zeroed(1, sizeof *store);
    store->backend = backend;
    store->root = string_copy(root);
    store->side = side;
    store->has_directories = orbit_backend_supports(backend, ORBIT_OPERATION_DIRECTORIES);
    (void)session;
    return store;
}

static struct store *store_open(struct session *session, const orbit_location *location, enum side side,
                                orbit_error *error)
{
    if (location->is_local || !side_has_its_own(session->options, side))
        side = SIDE_BOTH; /* one store for both sides: renames and server-side copies need that */
    for (struct store *store = session->stores; store; store = store->next)
        if (store->side == side && strcmp(store->root, location->root) == 0)
            return store;

    struct pairs pairs = {.count = 0};
    if (!location->is_local)
        settings_of(session->options, location->scheme, side, &pairs);
    orbit_open_options open = open_options(session, &pairs);
    orbit_backend *backend = NULL;
    if (orbit_open(&backend, session->client, location->root, &open, error) < 0)
        return NULL;
    struct store *store = store_new(session, backend, location->root, side);
    store->local = location->is_local;
    store->next = session->stores;
    session->stores = store;
    return store;
}

struct store *store_rooted(struct session *session, const char *directory, bool create, orbit_error *error)
{
    orbit_local_config config = ORBIT_LOCAL_CONFIG_INIT;
    orbit_open_options open = open_options(session, NULL);
    orbit_backend *backend = NULL;

    config.root = *directory ? directory : "/";
    config.create_root = create;
    if (orbit_open_local(&backend, session->client, &config, &open, error) < 0)
        return NULL;
    struct store *store = store_new(session, backend, directory, SIDE_BOTH);
    store->local = true;
    return store;
}

/* The location without its query: "s3://bucket?region=x" is shown as "s3://bucket". */
static char *shown_of(const orbit_location *location, const char *typed)
{
    if (location->is_local)
        return string_copy(location->path);
    if (!*location->path)
        return string_copy_length(typed, strcspn(typed, "?"));
    return string_copy(typed);
}

bool place_open(struct session *session, struct place *place, const char *typed, enum side side)
{
    orbit_location location = {0};
    orbit_error error;

    *place = (struct place){.typed = typed};
    if (orbit_location_parse(&location, typed, &error) < 0) {
        session->tally.code = usage_error(session->options->verb, "%s", error.message);
        session->tally.failed++;
        return false;
    }
    place->stdio = location.is_stdio;
    place->local = location.is_local;
    place->directory = location.directory;
    if (place->stdio) {
        place->path = string_copy("");
        place->shown = string_copy("-");
    } else {
        place->path = string_copy(location.path);
        place->shown = shown_of(&location, typed);
        place->store = store_open(session, &location, side, &error);
        if (!place->store && (error.status == ORBIT_E_CONFIG || error.status == ORBIT_E_UNSUPPORTED)) {
            session->tally.code = usage_error(session->options->verb, "%s", error.message);
            session->tally.failed++;
        } else if (!place->store) {
            report_failed(session, session->verb, typed, NULL, &error);
        }
    }
    orbit_location_release(&location);
    if (!place->stdio && !place->store) {
        place_release(place);
        return false;
    }
    place->has_directories = place->store && place->store->has_directories;
    return true;
}

void place_release(struct place *place)
{
    free(place->path);
    free(place->shown);
    *place = (struct place){0};
}

/* ---- options of calls ---------------------------------------------------------------------------- */

orbit_call_options session_call(const struct session *session)
{
    orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
    call.cancel = session->cancel;
    call.version_id = session->options->version_id;
    call.sse_customer_key = session->has_key ? session->key : NULL;
    return call;
}

const uint8_t *session_source_key(const struct session *session, bool to_local)
{
    if (session->has_source_key)
        return session->source_key;
    return session->has_key && to_local ? session->key : NULL;
}

static uint32_t checksum_algorithm(const char *name)
{
    static const struct {
        const char *name;
        uint32_t algorithm;
    } known[] = {{"CRC64NVME", ORBIT_CHECKSUM_CRC64NVME}, {"CRC32C", ORBIT_CHECKSUM_CRC32C},
                 {"CRC32", ORBIT_CHECKSUM_CRC32},         {"SHA256", ORBIT_CHECKSUM_SHA256},
                 {"SHA1", ORBIT_CHECKSUM_SHA1},           {"MD5", ORBIT_CHECKSUM_MD5}};
    for (size_t i = 0; name && i < sizeof known / sizeof known[0]; i++)
        if (strcasecmp(name, known[i].name) == 0)
            return known[i].algorithm;
    return ORBIT_CHECKSUM_NONE;
}

orbit_write_options session_write(const struct session *session)
{
    const struct options *o = session->options;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;

    write.overwrite = !o->no_clobber;
    write.sync = o->fsync || o->verb == VERB_MV ? ORBIT_SYNC_DIRECTORY : ORBIT_SYNC_DEFAULT;
    write.chunk_size = o->part_bytes;
    write.parallel_operations = (uint32_t)o->concurrency;
    write.checksum = checksum_algorithm(o->checksum_algorithm);
    write.content_type = o->content_type;
    write.content_encoding = o->content_encoding;
    write.content_disposition = o->content_disposition;
    write.content_language = o->content_language;
    write.cache_control = o->cache_control;
    write.expires = o->expires;
    write.storage_class = o->storage_class;
    write.acl = o->acl;
    write.tagging = o->tagging;
    write.sse = o->sse;
    write.sse_kms_key_id = o->sse_kms_key_id;
    write.sse_customer_key = session->has_key ? session->key : NULL;
    write.sse_kms_context = o->sse_kms_context;
    write.sse_bucket_key = o->sse_bucket_key;
    write.object_lock_mode = o->object_lock_mode;
    write.object_lock_until = o->object_lock_until;
    write.object_lock_legal_hold = o->object_lock_legal_hold;
    write.no_guess_content_type = o->no_guess_content_type;
    write.request_payer = o->request_payer;
    write.metadata = o->metadata.pair;
    write.metadata_count = o->metadata.count;
    write.state_dir = session->state_dir;
    write.cancel = session->cancel;
    return write;
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void tell_interruption(const struct session *session)
{
    const struct tally *tally = &session->tally;
    enum verb verb = session->options->verb;
    struct text text = {0};

    text_format(&text, "orbit %s: interrupted", session->verb);
    if (verb == VERB_CP || verb == VERB_MV || verb == VERB_PUT) {
        if (session->data_on_stdout)
            text_add_string(&text, ": the output is incomplete");
        else if (!session->transfers_trees)
            text_format(&text, ": nothing was left half-written; run the same command again%s",
                        verb != VERB_PUT && !session->options->no_resume ? ", and it goes on where a large file stopped"
                                                                         : "");
        else
            text_format(&text,
                        " after %" PRIu64 " %s: they are complete and nothing was left half-written; "
                        "the same command %s goes on",
                        tally->done, tally->done == 1 ? "object" : "objects",
                        verb == VERB_CP ? "with -n" : "run again");
    } else if (verb == VERB_RM || verb == VERB_RB) {
        text_format(&text, " after %" PRIu64 " %s; run the same command again", tally->done,
                    tally->done == 1 ? "object" : "objects");
    } else if (verb == VERB_CAT) {
        text_add_string(&text, ": the output is incomplete");
    }
    output_talk(text.bytes);
    text_release(&text);
}

int session_finish(struct session *session)
{
    if (session->options->statistics)
        report_summary(session);
    output_flush();
    int failed = output_failed();
    int caught = interrupt_signal();
    if (caught) {
        tell_interruption(session);
        return 128 + caught;
    }
    if (failed && failed != EPIPE) {
        orbit_error error;
        orbit_error_errno(&error, failed, "cannot write to standard output");
        report_failed(session, session->verb, NULL, NULL, &error);
    }
    return session->tally.code;
}
