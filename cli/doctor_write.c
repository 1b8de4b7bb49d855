/* SPDX-License-Identifier: Apache-2.0
 * The part of doctor that moves bytes: a tiny object there and back, and how fast many go. Whatever was written is
 * removed again, also after failures and signals. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "doctor.h"

enum { TINY = 1000, BLOCK = 1 << 20, IDS_MAX = 4 };

/* An object of ours at the store, under a name that nobody else has. */
struct probe {
    struct examination *examination;
    orbit_backend *backend;
    char *path;
    char *versions[IDS_MAX]; /* of what was written, where the store keeps versions */
    size_t version_count;
};

static bool probe_begin(struct probe *probe, struct examination *examination)
{
    uint64_t random;
    char name[40];
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    snprintf(name, sizeof name, ".orbit-doctor-%016" PRIx64, random);
    *probe = (struct probe){.examination = examination, .backend = examination->place->store->backend};
    probe->path = path_join(examination->place->path, name);
    return true;
}

static orbit_status probe_put(struct probe *probe, orbit_source source, uint64_t size, bool overwrite,
                              orbit_error *error)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    options.overwrite = overwrite;
    options.create_parents = false;
    options.request_payer = probe->examination->session->options->request_payer;
    options.cancel = probe->examination->session->cancel;
    orbit_status status = orbit_write(probe->backend, probe->path, source, size, &options, &result, error);
    if (status >= 0 && result.metadata.version_id && probe->version_count < IDS_MAX)
        probe->versions[probe->version_count++] = string_copy(result.metadata.version_id);
    orbit_write_result_release(&result);
    return status;
}

/* Every version that was written, or the object. A token that has fired must not keep it there: none is given. */
static void probe_end(struct probe *probe)
{
    orbit_error error;
    orbit_status status = ORBIT_OK;
    for (size_t i = 0; i < probe->version_count || i == 0; i++) {
        orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
        call.version_id = probe->versions[i];
        call.missing_ok = true;
        orbit_status one = orbit_remove(probe->backend, probe->path, &call, &error);
        if (one < 0 && call.version_id) { /* the right to remove versions is another one */
            call.version_id = NULL;
            one = orbit_remove(probe->backend, probe->path, &call, &error);
        }
        status = one < 0 ? one : status;
    }
    if (status < 0)
        doctor_tell(probe->examination, ORBIT_FINDING_FAILURE, status, "remove", "remove it by hand",
                    "the probe '%.150s' could not be removed: %.150s", probe->path, error.message);
    else
        doctor_tell(probe->examination, ORBIT_FINDING_OK, ORBIT_OK, "remove", NULL, "the probe was removed again");
    for (size_t i = 0; i < probe->version_count; i++)
        free(probe->versions[i]);
    free(probe->path);
}

static const char *write_advice(const struct examination *examination, orbit_status status)
{
    return status == ORBIT_E_PERMISSION ? doctor_ask(examination, "ask for the right to write here (s3:PutObject)",
                                                     "ask for the right to write to the directory")
                                        : NULL;
}

/* ---- a tiny object -------------------------------------------------------------------------------------- */

static orbit_status read_back(const struct probe *probe, const char *expected, orbit_error *error)
{
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    char bytes[TINY + 1];
    size_t length = 0;
    options.cancel = probe->examination->session->cancel;
    orbit_status status = orbit_read(&reader, probe->backend, probe->path, &options, error);
    if (status >= 0)
        status = orbit_reader_read(reader, bytes, sizeof bytes, &length, error);
    orbit_reader_close(reader);
    if (status >= 0 && (length != TINY || memcmp(bytes, expected, TINY) != 0)) {
        *error = (orbit_error){.status = ORBIT_E_CHECKSUM};
        snprintf(error->message, sizeof error->message, "what was read is not what was written");
        status = ORBIT_E_CHECKSUM;
    }
    return status;
}

/* Whether a write that must not replace is refused where something stands. */
static void look_at_condition(struct probe *probe, const char *bytes)
{
    orbit_error error;
    orbit_status status = probe_put(probe, orbit_source_memory(bytes, TINY), TINY, false, &error);
    if (status == ORBIT_E_EXISTS && orbit_backend_supports(probe->backend, ORBIT_OPERATION_NO_OVERWRITE))
        doctor_tell(probe->examination, ORBIT_FINDING_OK, ORBIT_OK, "condition", NULL,
                    "--no-clobber is atomic: a write that must not replace is refused");
    else if (status == ORBIT_E_EXISTS)
        doctor_tell(probe->examination, ORBIT_FINDING_OK, ORBIT_OK, "condition", NULL,
                    "a write that must not replace is refused; -o conditional_writes=true trusts the store with it");
    else if (status >= 0)
        doctor_tell(probe->examination, ORBIT_FINDING_WARNING, ORBIT_E_UNSUPPORTED, "condition",
                    "do not rely on --no-clobber where two may write at once",
                    "the store ignores conditions (If-None-Match): the probe was replaced");
    else
        doctor_tell(probe->examination, ORBIT_FINDING_WARNING, status, "condition",
                    "do not rely on --no-clobber where two may write at once", "%s", error.message);
}

void doctor_write(struct examination *examination)
{
    struct probe probe;
    char bytes[TINY];
    orbit_error error;
    if (!probe_begin(&probe, examination) || getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return;
    uint64_t begun_ns = monotonic_ns();
    orbit_status status = probe_put(&probe, orbit_source_memory(bytes, TINY), TINY, true, &error);
    if (status < 0) {
        doctor_tell(examination, ORBIT_FINDING_FAILURE, status, "write", write_advice(examination, status), "%s",
                    error.message);
        if (status == ORBIT_E_PERMISSION) { /* nothing of it is there */
            free(probe.path);
            return;
        }
    } else {
        doctor_tell(examination, ORBIT_FINDING_OK, ORBIT_OK, "write", NULL, "%d bytes in %.1f ms", TINY,
                    (double)(monotonic_ns() - begun_ns) / 1e6);
        begun_ns = monotonic_ns();
        status = read_back(&probe, bytes, &error);
        if (status < 0)
            doctor_tell(examination, ORBIT_FINDING_FAILURE, status, "read",
                        status == ORBIT_E_PERMISSION ? doctor_ask(examination, "ask for s3:GetObject", NULL) : NULL,
                        "%s", error.message);
        else
            doctor_tell(examination, ORBIT_FINDING_OK, ORBIT_OK, "read", NULL, "the same bytes back in %.1f ms",
                        (double)(monotonic_ns() - begun_ns) / 1e6);
        if (!session_stopped(examination->session))
            look_at_condition(&probe, bytes);
    }
    probe_end(&probe);
}

/* ---- throughput ------------------------------------------------------------------------------------------ */

/* Bytes that no store and no link can make smaller: a block of random ones, over and over. */
struct generator {
    unsigned char *block;
    uint64_t left, at;
};

static orbit_status generate(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    struct generator *generator = ctx;
    size_t from = (size_t)(generator->at % BLOCK), n = BLOCK - from;
    (void)error;
    if (!generator->left)
        return ORBIT_END;
    n = n < room ? n : room;
    n = n < generator->left ? n : (size_t)generator->left;
    memcpy(buffer, generator->block + from, n);
    generator->left -= n;
    generator->at += n;
    *length = n;
    return ORBIT_OK;
}

static void tell_rate(struct examination *examination, const char *what, uint64_t bytes, uint64_t begun_ns)
{
    double seconds = (double)(monotonic_ns() - begun_ns) / 1e9;
    char size[SIZE_TEXT_ROOM], rate[SIZE_TEXT_ROOM];
    doctor_tell(examination, ORBIT_FINDING_OK, ORBIT_OK, what, NULL, "%s in %.2f s: %s/s", size_text(size, bytes, true),
                seconds, size_text(rate, seconds > 0 ? (uint64_t)((double)bytes / seconds) : 0, true));
}

static void read_rate(struct examination *examination, const char *path, uint64_t bytes)
{
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    orbit_error error;
    uint64_t done = 0, begun_ns = monotonic_ns();
    const void *piece;
    size_t length;
    options.length = bytes;
    options.cancel = examination->session->cancel;
    orbit_status status = orbit_read(&reader, examination->place->store->backend, path, &options, &error);
    while (status >= 0 && (status = orbit_reader_next(reader, &piece, &length, &error)) == ORBIT_OK)
        done += length;
    orbit_reader_close(reader);
    if (status == ORBIT_END)
        tell_rate(examination, "download", done, begun_ns);
    else
        doctor_tell(examination, ORBIT_FINDING_FAILURE, status, "download", NULL, "%s", error.message);
}

static void both_rates(struct examination *examination, uint64_t bytes)
{
    struct generator generator = {.block = memory_zeroed(1, BLOCK), .left = bytes};
    struct probe probe;
    orbit_error error;
    for (size_t at = 0; at < BLOCK; at += 256) /* getrandom() gives so many at once for certain */
        if (getrandom(generator.block + at, 256, 0) != 256)
            break;
    if (probe_begin(&probe, examination)) {
        uint64_t begun_ns = monotonic_ns();
        orbit_status status = probe_put(&probe, orbit_source_function(generate, &generator), bytes, true, &error);
        if (status < 0) {
            doctor_tell(examination, ORBIT_FINDING_FAILURE, status, "upload", write_advice(examination, status), "%s",
                        error.message);
        } else {
            tell_rate(examination, "upload", bytes, begun_ns);
            read_rate(examination, probe.path, bytes);
        }
        probe_end(&probe);
    }
    free(generator.block);
}

void doctor_throughput(struct examination *examination, uint64_t bytes, bool may_write)
{
    if (may_write)
        both_rates(examination, bytes);
    else if (examination->sample && examination->sample_size)
        read_rate(examination, examination->sample, bytes);
    else
        doctor_tell(examination, ORBIT_FINDING_WARNING, ORBIT_OK, "download",
                    "add --write, or name a prefix with objects", "there is nothing to read for a measurement");
}
