/* SPDX-License-Identifier: Apache-2.0
 * Lines, JSON objects and exit codes of outcomes. */
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "interrupt.h"
#include "output.h"

int exit_code_of(const orbit_error *error)
{
    switch (orbit_error_status(error)) {
    case ORBIT_OK:
        return 0;
    case ORBIT_E_CONFIG:
        return 2;
    case ORBIT_E_NOT_FOUND:
        return 3;
    case ORBIT_E_PERMISSION:
    case ORBIT_E_AUTH:
    case ORBIT_E_UNTRUSTED:
        return 4;
    case ORBIT_E_CONNECT:
    case ORBIT_E_TIMEOUT:
    case ORBIT_E_NETWORK:
        return 5;
    case ORBIT_E_CHECKSUM:
        return 6;
    case ORBIT_E_QUOTA:
    case ORBIT_E_NO_SPACE:
    case ORBIT_E_LIMIT:
        return 7;
    default: /* what might succeed later has used up its retries */
        return orbit_error_retriable(error) ? 5 : 1;
    }
}

static void count_failure(struct tally *tally, int code)
{
    tally->code = !tally->failed || tally->code == code ? code : 1;
    tally->failed++;
}

void report_count_failure(struct session *session, orbit_status status)
{
    orbit_error error = {.status = (int32_t)status};
    count_failure(&session->tally, exit_code_of(&error));
}

const char *checksum_name(uint32_t algorithm)
{
    static const char *const names[] = {NULL, "crc64nvme", "crc32c", "crc32", "sha256", "sha1", "md5"};
    return algorithm < sizeof names / sizeof names[0] ? names[algorithm] : NULL;
}

bool checksum_text(struct text *text, const orbit_checksum *checksum)
{
    const char *name = checksum_name(checksum->algorithm);
    if (!name)
        return false;
    text_format(text, "%s:", name);
    for (size_t i = 0; i < checksum->length && i < sizeof checksum->value; i++)
        text_format(text, "%02x", checksum->value[i]);
    text_add_string(text, checksum->composite ? " (composite)" : "");
    return true;
}

void json_checksum(struct json *json, const orbit_checksum *checksum)
{
    struct text text = {0};
    if (checksum_text(&text, checksum))
        json_string(json, "checksum", text.bytes);
    text_release(&text);
}

/* "cp SRC DST" */
static void command_text(struct text *text, const char *operation, const char *source, const char *destination,
                         bool escape)
{
    const char *names[] = {source, destination};
    text_add_string(text, operation);
    for (size_t i = 0; i < 2; i++) {
        if (!names[i])
            continue;
        text_add(text, " ", 1);
        if (escape)
            text_add_escaped(text, names[i], strlen(names[i]));
        else
            text_add_string(text, names[i]);
    }
}

void report_done(struct session *session, const struct result *result)
{
    const struct options *options = session->options;
    if (result->skipped)
        session->tally.skipped++;
    else
        session->tally.done++;
    if (result->has_size && !result->skipped)
        session->tally.bytes += result->size;

    if (options->json) {
        struct json json = {0};
        json_begin(&json);
        json_string(&json, "operation", result->operation);
        json_bool(&json, "success", true);
        json_name(&json, "source", result->source);
        json_name(&json, "destination", result->destination);
        if (result->has_size)
            json_number(&json, "size", result->size);
        if (result->metadata) {
            json_checksum(&json, &result->metadata->checksum);
            json_string(&json, "etag", result->metadata->etag);
            json_string(&json, "version_id", result->metadata->version_id);
        }
        if (result->skipped)
            json_bool(&json, "skipped", true);
        if (options->dry_run)
            json_bool(&json, "dry_run", true);
        json_end(&json, session->data_on_stdout);
        return;
    }
    if (options->quiet || result->skipped)
        return;
    struct text text = {0};
    if (session->data_on_stdout) {
        command_text(&text, result->operation, result->source, result->destination, output_talk_is_terminal());
        output_talk(text.bytes);
    } else {
        command_text(&text, result->operation, result->source, result->destination, output_is_terminal());
        text_add(&text, "\n", 1);
        output_bytes(text.bytes, text.length);
        output_end_line();
    }
    text_release(&text);
}

/* Always a string: the store's word, else the HTTP status, else the system's number. */
static void json_code(struct json *json, const orbit_error *error)
{
    char number[16];
    snprintf(number, sizeof number, "%" PRId32, error->http_status ? error->http_status : error->native);
    if (*error->code)
        json_string(json, "code", error->code);
    else if (error->http_status || error->native)
        json_string(json, "code", number);
}

static void report_json_error(struct session *session, const char *operation, const char *source,
                              const char *destination, const orbit_error *error)
{
    struct json json = {0};
    json_begin(&json);
    json_string(&json, "operation", operation);
    json_bool(&json, "success", false);
    json_name(&json, "source", source);
    json_name(&json, "destination", destination);
    json_object(&json, "error");
    json_string(&json, "kind", orbit_status_word(orbit_error_status(error)));
    json_code(&json, error);
    json_string(&json, "message", error->message);
    json_bool(&json, "retriable", orbit_error_retriable(error));
    if (*error->request_id)
        json_string(&json, "request_id", error->request_id);
    json_close(&json);
    json_end(&json, session->data_on_stdout || output_failed());
}

void report_failed(struct session *session, const char *operation, const char *source, const char *destination,
                   const orbit_error *error)
{
    if (interrupt_signal() && orbit_error_status(error) == ORBIT_E_CANCELLED)
        return; /* told once, at the end */
    count_failure(&session->tally, exit_code_of(error));
    if (session->options->json) {
        report_json_error(session, operation, source, destination, error);
        return;
    }
    bool escape = output_talk_is_terminal();
    struct text text = {0};
    text_add_string(&text, "ERROR \"");
    command_text(&text, operation, source, destination, escape);
    text_add_string(&text, "\": ");
    const char *message = *error->message ? error->message : orbit_status_text(orbit_error_status(error));
    if (escape)
        text_add_escaped(&text, message, strlen(message));
    else
        text_add_string(&text, message);
    output_talk(text.bytes);
    text_release(&text);
}

void report_refused(struct session *session, const char *operation, const char *source, const char *destination,
                    orbit_status status, const char *format, ...)
{
    orbit_error error = {0};
    va_list arguments;
    error.status = (int32_t)status;
    va_start(arguments, format);
    vsnprintf(error.message, sizeof error.message, format, arguments);
    va_end(arguments);
    report_failed(session, operation, source, destination, &error);
}

void report_notice(struct session *session, const char *name, const char *reason)
{
    if (session->options->quiet || session->options->json)
        return;
    struct text text = {0};
    text_format(&text, "orbit %s: left out '", session->verb);
    text_add_escaped(&text, name, strlen(name));
    text_format(&text, "': %s", reason);
    output_talk(text.bytes);
    text_release(&text);
}

void report_summary(struct session *session)
{
    const struct tally *tally = &session->tally;
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    double seconds = (double)(monotonic_ns() - session->started_ns) / 1e9;
    char bytes[SIZE_TEXT_ROOM], rate[SIZE_TEXT_ROOM], peak[SIZE_TEXT_ROOM];

    if (session->client)
        (void)orbit_client_get_stats(session->client, &stats);
    if (session->options->json) {
        struct json json = {0};
        json_begin(&json);
        json_string(&json, "operation", "summary");
        json_bool(&json, "success", !tally->failed);
        json_number(&json, "done", tally->done);
        json_number(&json, "skipped", tally->skipped);
        json_number(&json, "failed", tally->failed);
        json_number(&json, "bytes", tally->bytes);
        json_decimal(&json, "seconds", seconds);
        json_number(&json, "requests", stats.operations);
        json_object(&json, "attempts");
        for (unsigned i = 0; i < ORBIT_REQUEST_KINDS; i++)
            if (stats.attempts[i])
                json_number(&json, orbit_request_name((orbit_request)i), stats.attempts[i]);
        json_close(&json);
        json_number(&json, "retries", stats.retries);
        json_number(&json, "throttled", stats.throttled);
        json_number(&json, "hedges", stats.hedges);
        json_number(&json, "hedge_bytes", stats.hedge_bytes);
        json_number(&json, "hurries", stats.hurries);
        json_number(&json, "memory_peak_bytes", stats.memory_peak_bytes);
        json_end(&json, session->data_on_stdout);
        return;
    }
    struct text text = {0};
    char hedged[64] = "", hurried[64] = "";
    if (stats.hedges)
        snprintf(hedged, sizeof hedged, ", %" PRIu64 " hedges", stats.hedges);
    if (stats.hurries)
        snprintf(hurried, sizeof hurried, ", %" PRIu64 " hurried", stats.hurries);
    text_format(&text,
                "%s: %" PRIu64 " done, %" PRIu64 " skipped, %" PRIu64 " failed; %s in %.1f s (%s/s); %" PRIu64
                " requests, %" PRIu64 " retries%s%s; %s of buffers at most",
                session->verb, tally->done, tally->skipped, tally->failed, size_text(bytes, tally->bytes, true),
                seconds, size_text(rate, seconds > 0 ? (uint64_t)((double)tally->bytes / seconds) : 0, true),
                stats.operations, stats.retries, hedged, hurried, size_text(peak, stats.memory_peak_bytes, true));
    if (stats.throttled)
        text_format(&text, "; %" PRIu64 " times asked to slow down", stats.throttled);
    for (unsigned i = 0; i < ORBIT_REQUEST_KINDS; i++)
        if (stats.attempts[i])
            text_format(&text, "\n%12" PRIu64 "  %s", stats.attempts[i], orbit_request_name((orbit_request)i));
    output_talk(text.bytes);
    text_release(&text);
}
