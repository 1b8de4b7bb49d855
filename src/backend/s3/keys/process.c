/* SPDX-License-Identifier: Apache-2.0
 * credential_process: a program of the user's that prints keys as JSON. Run without a shell, in a process group of
 * its own that is killed when it takes too long or prints too much. What it prints on standard error is dropped: it
 * might be anything. The fetch's thread. docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/s3/keys/provider.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "run/child.h"

enum { WORDS_MAX = 64, LOOK_MS = 50 };

enum end { ENDED, TOO_LONG, TOO_MUCH, STOPPED };

static bool over(const struct orb_keys_fetch *fetch, uint64_t until_ns, enum end *end)
{
    if (atomic_load(fetch->cancelled))
        *end = STOPPED;
    else if (orb_now_ns() >= until_ns)
        *end = TOO_LONG;
    return *end != ENDED;
}

/* Reads to the end of the output, then waits for the end of the program; kills its group when it must not go on. */
static enum end collect(const struct orb_keys_fetch *fetch, pid_t pid, int input, struct orb_buf *out, int *result)
{
    uint64_t until_ns = orb_now_ns() + fetch->origin->timeout_ms * ORB_MS;
    enum end end = ENDED;
    bool reading = true;
    *result = 0;
    for (;;) {
        struct pollfd fd = {reading ? input : -1, POLLIN, 0};
        pid_t got = reading ? 0 : waitpid(pid, result, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return ENDED; /* ECHILD: the program around us lets children go unwaited */
        if (over(fetch, until_ns, &end))
            break;
        if (poll(&fd, 1, reading ? LOOK_MS : 5) <= 0 || !reading)
            continue;
        ssize_t length = read(input, out->bytes + out->length, out->max - out->length);
        if (length > 0)
            out->length += (size_t)length;
        else if (length == 0 || errno != EINTR)
            reading = false;
        if (out->length == out->max) {
            end = TOO_MUCH;
            break;
        }
    }
    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, result, 0) < 0 && errno == EINTR)
        ;
    return end;
}

static orbit_status judge(struct orb_keys_fetch *fetch, enum end end, int result, const char *who, orbit_error *error)
{
    switch (end) {
    case STOPPED:
        return orb_fail(error, ORBIT_E_CANCELLED, 0, "cancelled");
    case TOO_LONG:
        return orb_fail(error, ORBIT_E_TIMEOUT, 0, "%s did not end within %.3g seconds", who,
                        (double)fetch->origin->timeout_ms / 1000.0);
    case TOO_MUCH:
        return orb_fail(error, ORBIT_E_AUTH, 0, "%s printed more than credentials can be", who);
    default:
        if (WIFSIGNALED(result))
            return orb_fail(error, ORBIT_E_AUTH, 0, "%s was ended by signal %d", who, WTERMSIG(result));
        if (WEXITSTATUS(result))
            return orb_fail(error, ORBIT_E_AUTH, 0, "%s failed with exit code %d: run it by hand to see why", who,
                            WEXITSTATUS(result));
        return ORBIT_OK;
    }
}

orbit_status orb_keys_process(struct orb_keys_fetch *fetch, const char *command, struct orb_keys *keys,
                              orbit_error *error)
{
    static const struct orb_keys_names names = {NULL,           "AccessKeyId", "SecretAccessKey",
                                                "SessionToken", "Expiration",  true};
    char *words[WORDS_MAX + 1] = {NULL}, *line = orb_strdup(command), who[160];
    struct orb_buf out = {0};
    int ends[2] = {-1, -1}, result = 0;
    pid_t pid = -1;
    orbit_status status;
    if (!line || !orb_keys_buf_init(&out)) {
        status = orb_fail_memory(error);
        goto out;
    }
    if (!orb_split_words(line, words, WORDS_MAX)) {
        status = orb_fail(error, ORBIT_E_CONFIG, 0, "a credential_process is no command: an open quote, or no words");
        goto out;
    }
    /* Its arguments may be anything, so only the program is told. */
    (void)snprintf(who, sizeof who, "credential_process '%.100s'", words[0]);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        status = orb_fail_errno(error, errno, "cannot run %s", who);
        goto out;
    }
    struct orb_child_plan plan = {
        .words = words, .input = -1, .output = ends[1], .errors = -1, .place = ORB_CHILD_GROUP};
    int number = orb_child_start(&plan, &pid, NULL);
    close(ends[1]);
    if (number) {
        (void)orb_fail_errno(error, number, "cannot run %s", who);
        status = ORBIT_E_CONFIG;
        if (error)
            error->status = status;
        goto out;
    }
    enum end end = collect(fetch, pid, ends[0], &out, &result);
    out.bytes[out.length] = '\0';
    status = judge(fetch, end, result, who, error);
    if (status >= 0)
        status = orb_keys_from_json(keys, &out, &names, 0, who, error);
out:
    if (ends[0] >= 0)
        close(ends[0]);
    orb_keys_buf_release(&out);
    orb_free(line);
    return status;
}
