/* SPDX-License-Identifier: Apache-2.0
 * AES before ChaCha20 where the processor has instructions for it: OpenSSH's own order begins with ChaCha20 everywhere,
 * which takes twice the time of it there. Only where nobody has chosen: `ssh -G` tells what is in force for this host,
 * and what would be without any configuration; an order that somebody wrote is left as it is. The thread of the
 * process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "run/child.h"
#include "wire/ssh_parts.h"

enum { SAID_MAX = 256 << 10 };

#define ASK_NS (2 * ORB_S)

bool orb_ssh_has_aes(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & HWCAP_AES) && (getauxval(AT_HWCAP) & HWCAP_PMULL);
#else
    return false;
#endif
}

/* One `ssh -G`: it prints a configuration and connects to nobody. */
struct query {
    pid_t pid; /* -1: it does not run */
    int output;
    struct orb_buf said;
};

static void query_start(struct query *query, const struct orb_ssh_plan *plan, bool bare)
{
    int ends[2];
    *query = (struct query){.pid = -1, .output = -1};
    orb_buf_init(&query->said, SAID_MAX);
    char **words = orb_ssh_plan_question(plan, bare), **environment = orb_ssh_plan_environment(plan, NULL);
    if (words && environment && pipe2(ends, O_CLOEXEC) == 0) {
        struct orb_child_plan child = {.words = words,
                                       .environment = environment,
                                       .input = -1,
                                       .output = ends[1],
                                       .errors = -1,
                                       .place = ORB_CHILD_SESSION,
                                       .death_signal = SIGKILL};
        if (orb_child_start(&child, &query->pid, NULL) != 0)
            query->pid = -1;
        query->output = ends[0];
        close(ends[1]);
    }
    orb_ssh_list_free(words);
    orb_ssh_list_free(environment);
}

/* False: it is over, or nobody waits any more. */
static bool wait_for_more(const struct query *query, int wake, uint64_t until_ns)
{
    struct pollfd fds[] = {{query->output, POLLIN, 0}, {wake, POLLIN, 0}};
    uint64_t now = orb_now_ns();
    if (now >= until_ns)
        return false;
    int ready = poll(fds, 2, (int)((until_ns - now) / ORB_MS) + 1);
    return ready < 0 ? errno == EINTR : ready > 0 && !fds[1].revents;
}

/* Its line of ciphers, or NULL; the query is over. Borrowed from it. */
static const char *query_end(struct query *query, int wake, uint64_t until_ns)
{
    char bytes[4096];
    bool whole = false;
    while (query->pid >= 0 && !whole && wait_for_more(query, wake, until_ns)) {
        ssize_t length = read(query->output, bytes, sizeof bytes);
        whole = length == 0;
        if (length < 0 && errno != EINTR)
            break;
        if (length > 0 && !orb_buf_append(&query->said, bytes, (size_t)length))
            break;
    }
    if (query->pid >= 0) {
        if (!whole)
            (void)kill(-query->pid, SIGKILL);
        while (waitpid(query->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (query->output >= 0)
        close(query->output);
    const char *line = whole ? orb_buf_string(&query->said) : NULL;
    while (line && *line && !orb_str_prefix(line, "ciphers "))
        line = (line = strchr(line, '\n')) ? line + 1 : NULL;
    return line && *line ? line : NULL;
}

static bool same_line(const char *a, const char *b)
{
    size_t length = strcspn(a, "\n");
    return length == strcspn(b, "\n") && memcmp(a, b, length) == 0;
}

bool orb_ssh_cipher_is_open(const struct orb_ssh_plan *plan, int wake)
{
    struct query here, anywhere;
    uint64_t until_ns = orb_now_ns() + ASK_NS;
    query_start(&here, plan, false);
    query_start(&anywhere, plan, true);
    const char *chosen = query_end(&here, wake, until_ns), *usual = query_end(&anywhere, wake, until_ns);
    bool same = chosen && usual && same_line(chosen, usual);
    orb_buf_release(&here.said);
    orb_buf_release(&anywhere.said);
    return same;
}
