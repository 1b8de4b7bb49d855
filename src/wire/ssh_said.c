/* SPDX-License-Identifier: Apache-2.0
 * What ssh's end means. Its exit code is 255 for everything of its own, so that its words are all there is to tell an
 * unknown host from a refused password: the one place where Orbit classifies by a text. The texts are OpenSSH's (8.7 to
 * 10), in C's locale, which is why LC_ALL is set for the child, and without the host's banner. What is not recognised
 * is told as it was said. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "wire/ssh_parts.h"

enum { SAID_HALF = 4096, WORDS_ROOM = 200 };

bool orb_ssh_said_read(struct orb_ssh_said *said, int fd)
{
    for (;;) {
        if (said->length == sizeof said->bytes - 1) { /* the middle goes: causes come first, verdicts last */
            memmove(said->bytes + SAID_HALF, said->bytes + SAID_HALF + SAID_HALF / 2, SAID_HALF / 2);
            said->length -= SAID_HALF / 2;
        }
        ssize_t length = read(fd, said->bytes + said->length, sizeof said->bytes - 1 - said->length);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length < 0 && errno == EAGAIN;
        for (size_t i = said->length; i < said->length + (size_t)length; i++)
            if (!said->bytes[i])
                said->bytes[i] = '?';
        said->length += (size_t)length;
        said->bytes[said->length] = '\0';
    }
}

/* ---- words out of what was said ---- */

/* The line that begins at `at`, without control characters. */
static void take_line(char *line, size_t room, const char *at)
{
    size_t length = strcspn(at, "\r\n");
    if (length > room - 1)
        length = room - 1;
    for (size_t i = 0; i < length; i++)
        line[i] = (unsigned char)at[i] < ' ' || at[i] == 0x7f ? '?' : at[i];
    line[length] = '\0';
}

/* The last line that says something. */
static void take_last_line(char *line, size_t room, const char *said)
{
    const char *last = said;
    for (const char *at = said; *at;) {
        size_t length = strcspn(at, "\r\n");
        if (length > 0)
            last = at;
        at += length;
        at += strspn(at, "\r\n");
    }
    take_line(line, room, last);
    if (!*line)
        (void)snprintf(line, room, "ssh did not say why");
}

/* What stands between `before` and `after` (NULL: its end) on one line; false: nothing. */
static bool take_between(char *words, size_t room, const char *said, const char *before, const char *after)
{
    const char *at = strstr(said, before);
    if (!at)
        return false;
    take_line(words, room, at + strlen(before));
    char *end = after ? strstr(words, after) : words + strlen(words);
    if (!end)
        return false;
    *end = '\0';
    return true;
}

/* ---- the host's key ---- */

static bool explain_key(orbit_error *error, const struct orb_ssh_plan *plan, const char *said)
{
    char words[WORDS_ROOM];
    if (strstr(said, "REVOKED HOST KEY")) {
        orb_fail(error, ORBIT_E_UNTRUSTED, 255,
                 "the host key of %s is revoked: do not connect before its administrator "
                 "has given it a new one",
                 plan->peer);
    } else if (strstr(said, "HOST IDENTIFICATION HAS CHANGED")) {
        const char *fix = strstr(said, "ssh-keygen -f ");
        if (fix)
            take_line(words, sizeof words, fix);
        else if (plan->port && plan->port != 22)
            (void)snprintf(words, sizeof words, "ssh-keygen -R '[%.100s]:%u'", plan->host, plan->port);
        else
            (void)snprintf(words, sizeof words, "ssh-keygen -R '%.100s'", plan->host);
        orb_fail(
            error, ORBIT_E_UNTRUSTED, 255,
            "the host key of %s has changed: somebody may be listening in; if the change is known to be right, remove "
            "the old key with: %s",
            plan->peer, words);
    } else if (strstr(said, "Host key verification failed")) {
        char port[16] = "";
        if (plan->port)
            (void)snprintf(port, sizeof port, "-p %u ", plan->port);
        orb_fail(error, ORBIT_E_UNTRUSTED, 255,
                 "the host key of %s is not known: run 'ssh %s%.100s' once to see it and to accept it", plan->peer,
                 port, plan->host);
    } else {
        return false;
    }
    return true;
}

/* ---- authentication ---- */

static bool explain_authentication(orbit_error *error, const struct orb_ssh_plan *plan, const struct orb_ssh_end *end)
{
    char user[100], methods[120], file[120] = "";
    if (strstr(end->said, "Too many authentication failures")) {
        orb_fail(
            error, ORBIT_E_AUTH, 255,
            "%s refused: too many keys were offered before a right one; name the right one as identity file, and set "
            "IdentitiesOnly=yes",
            plan->peer);
        return true;
    }
    if (!take_between(methods, sizeof methods, end->said, "Permission denied (", ")"))
        return false;
    const char *verdict = strstr(end->said, ": Permission denied (");
    const char *line = verdict;
    while (line && line > end->said && line[-1] != '\n')
        line--;
    take_line(user, sizeof user, line ? line : "");
    user[strcspn(user, "@")] = '\0';
    /* The ssh of the host on the way was refused, and then ours hears of nothing more. */
    const char *way = verdict && strstr(verdict, "kex_exchange_identification: ") ? "the host on the way to " : "";
    const char *why = "";
    if (strstr(end->said, "\": bad permissions") && take_between(file, sizeof file, end->said, "Load key \"", "\""))
        why = "others may read the key, so that ssh does not use it: chmod 600 ";
    else if (take_between(file, sizeof file, end->said, "Identity file ", " not accessible"))
        why = "there is no key ";
    else if (end->told_password)
        why = "the password is wrong";
    else if (end->told_passphrase)
        why = "the passphrase is not that of its key";
    orb_fail(error, ORBIT_E_AUTH, 255, "%s%s refused user '%s' (it takes %s)%s%s%s", way, plan->peer, user, methods,
             *why ? ": " : ": none of the keys and agents that ssh knows of was accepted", why, file);
    return true;
}

/* ---- the way to the host ---- */

struct verdict {
    const char *text;
    orbit_status status;
    uint32_t flags;
    const char *sentence; /* about the peer, in front of it; NULL: with what was said */
};

/* In this order: causes before what follows from them. */
static const struct verdict verdicts[] = {
    {"Temporary failure in name resolution", ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE,
     "its name cannot be looked up now"},
    {"Could not resolve hostname", ORBIT_E_CONNECT, 0, "the name does not resolve"},
    {"Connection refused", ORBIT_E_CONNECT, 0, "connection refused: is its sshd running, and is the port right?"},
    {"No route to host", ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE, "no route to it"},
    {"Network is unreachable", ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE, "no route to it"},
    {"timed out during banner exchange", ORBIT_E_TIMEOUT, ORBIT_ERROR_RETRIABLE,
     "something accepts connections there, but does not speak SSH in time"},
    {"timed out", ORBIT_E_TIMEOUT, ORBIT_ERROR_RETRIABLE, "no answer"},
    {"Bad configuration option", ORBIT_E_CONFIG, 0, NULL},
    {"Bad owner or permissions on", ORBIT_E_CONFIG, 0, NULL},
    {"Can't open user config file", ORBIT_E_CONFIG, 0, NULL},
    {"terminating, ", ORBIT_E_CONFIG, 0, NULL},
    {"command-line: line", ORBIT_E_CONFIG, 0, NULL},
    {"Unable to negotiate with", ORBIT_E_PROTOCOL, 0, NULL},
    {"banner line contains invalid characters", ORBIT_E_PROTOCOL, 0, "what answers there does not speak SSH"},
    {"No banner received", ORBIT_E_PROTOCOL, 0, "what answers there does not speak SSH"},
    {"invalid format", ORBIT_E_PROTOCOL, 0, "what answers there does not speak SSH"},
    {"Protocol major versions differ", ORBIT_E_PROTOCOL, 0, NULL},
    {"Received disconnect", ORBIT_E_CONNECT, 0, NULL},
    {"Connection closed by remote host", ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE,
     "it closed the connection before it said who it is: too many connections (MaxStartups), or it does not let us in"},
    {"Connection reset", ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE, "it closed the connection"},
};

/* An alias of ssh's configuration, or a host on the way: where it was tried, when that is another place than was asked
 * for. */
static void take_where(char *where, size_t room, const struct orb_ssh_plan *plan, const char *said)
{
    char words[WORDS_ROOM], asked[sizeof plan->peer + 32];
    *where = '\0';
    (void)snprintf(asked, sizeof asked, "%s port %u", plan->host, plan->port ? plan->port : 22);
    if (take_between(words, sizeof words, said, "connect to host ", ": ") && strcmp(words, asked) != 0)
        (void)snprintf(where, room, "%s: ", words);
}

static void explain_way(orbit_error *error, const struct orb_ssh_plan *plan, const char *said)
{
    char last[WORDS_ROOM], where[WORDS_ROOM + 4];
    take_last_line(last, sizeof last, said);
    take_where(where, sizeof where, plan, said);
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        const struct verdict *verdict = &verdicts[i];
        if (!strstr(said, verdict->text))
            continue;
        char line[WORDS_ROOM];
        const char *at = strstr(said, verdict->text);
        while (at > said && at[-1] != '\n')
            at--;
        take_line(line, sizeof line, at);
        if (verdict->sentence)
            orb_fail(error, verdict->status, 255, "cannot connect to %s: %s%s", plan->peer, where, verdict->sentence);
        else
            orb_fail(error, verdict->status, 255, "cannot connect to %s: %s", plan->peer, line);
        error->flags |= verdict->flags;
        return;
    }
    orb_fail(error, ORBIT_E_CONNECT, 255, "cannot connect to %s: %s", plan->peer, last);
    error->flags |= ORBIT_ERROR_RETRIABLE;
}

/* The host on the way to it, if that is what failed: the ssh that goes by way of it says so, and whose words are
 * whose. */
static bool explain_jump(orbit_error *error, const struct orb_ssh_plan *plan, const char *said)
{
    char words[WORDS_ROOM];
    if (!take_between(words, sizeof words, said, "open failed: connect failed: ", NULL) &&
        !(strstr(said, "stdio forwarding failed") && (take_last_line(words, sizeof words, said), true)))
        return false;
    orb_fail(error, ORBIT_E_CONNECT, 255, "cannot connect to %s: the host on the way cannot reach it: %s", plan->peer,
             words);
    error->flags |= ORBIT_ERROR_RETRIABLE;
    return true;
}

void orb_ssh_explain(orbit_error *error, const struct orb_ssh_plan *plan, const struct orb_ssh_end *end)
{
    char last[WORDS_ROOM];
    if (end->too_long) {
        orb_fail(error, ORBIT_E_TIMEOUT, 0, "the connection to %s did not stand within %.3g seconds", plan->peer,
                 (double)plan->connect_ns / (double)ORB_S);
        error->flags |= ORBIT_ERROR_RETRIABLE;
    } else if (end->was_up) {
        take_last_line(last, sizeof last, end->said);
        orb_fail(error, ORBIT_E_NETWORK, 255, "the connection to %s was lost%s%s", plan->peer, *end->said ? ": " : "",
                 *end->said ? last : "");
        error->flags |= ORBIT_ERROR_RETRIABLE;
    } else if (WIFSIGNALED(end->result)) {
        orb_fail(error, ORBIT_E_CONNECT, WTERMSIG(end->result), "ssh to %s was ended by signal %d", plan->peer,
                 WTERMSIG(end->result));
    } else if (!explain_key(error, plan, end->said) && !explain_authentication(error, plan, end) &&
               !explain_jump(error, plan, end->said)) {
        explain_way(error, plan, end->said);
    }
}

void orb_ssh_explain_refused(orbit_error *error, const struct orb_ssh_plan *plan, const char *reason)
{
    char line[WORDS_ROOM];
    take_line(line, sizeof line, reason);
    orb_fail(error, ORBIT_E_LIMIT, 0,
             "%s takes no further session on this connection (%s): MaxSessions of its sshd may be reached", plan->peer,
             *line ? line : "it did not say why");
}

void orb_ssh_explain_session(orbit_error *error, const struct orb_ssh_plan *plan, const char *subsystem, bool spoken,
                             const char *said, int64_t result)
{
    char last[WORDS_ROOM];
    take_last_line(last, sizeof last, said);
    const char *colon = *said ? ": " : "", *words = *said ? last : "";
    if (!spoken && result < 0) { /* a subsystem that is refused; by way of the control socket ssh does not say so */
        orb_fail(error, ORBIT_E_UNSUPPORTED, 0,
                 "%s opens no '%s' session%s%s: sshd_config needs a line 'Subsystem %s internal-sftp'", plan->peer,
                 subsystem, colon, words, subsystem);
    } else if (!spoken && result > 0) {
        orb_fail(error, ORBIT_E_UNSUPPORTED, (int)result, "%s cannot run its program for '%s' (exit code %d)%s%s",
                 plan->peer, subsystem, (int)result, colon, words);
    } else {
        orb_fail(error, ORBIT_E_NETWORK, result < 0 ? 0 : (int)result, "%s ended the session '%s'%s%s", plan->peer,
                 subsystem, colon, words);
        error->flags |= ORBIT_ERROR_RETRIABLE;
    }
}
