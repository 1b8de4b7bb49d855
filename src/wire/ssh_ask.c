/* SPDX-License-Identifier: Apache-2.0
 * What ssh asks by way of the program in the private directory, and who answers: the password and the passphrase
 * that were given, each for its own question; for everything else a person, if there is one. The process's thread. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "wire/ssh_parts.h"

enum orb_ssh_question orb_ssh_question_of(const char *prompt)
{
    if (strstr(prompt, "(yes/no") || strstr(prompt, "'yes', 'no'"))
        return ORB_SSH_HOST_KEY;
    if (strcasestr(prompt, "passphrase"))
        return ORB_SSH_PASSPHRASE;
    return strcasestr(prompt, "password") ? ORB_SSH_PASSWORD : ORB_SSH_OTHER;
}

void orb_ssh_question_text(char *text, size_t room, const struct orb_ssh_plan *plan, const char *prompt)
{
    const char *print = strstr(prompt, " key fingerprint is ");
    if (print && orb_ssh_question_of(prompt) == ORB_SSH_HOST_KEY) {
        const char *kind = print;
        while (kind > prompt && kind[-1] != '\n')
            kind--;
        (void)snprintf(text, room, "whether %s is to be trusted, whose %.*s (yes or no)", plan->peer,
                       (int)strcspn(kind, ".\n"), kind);
        return;
    }
    size_t length = 0;
    for (; *prompt && length + 1 < room; prompt++)
        text[length++] = (unsigned char)*prompt < ' ' || *prompt == 0x7f ? ' ' : *prompt;
    while (length && strchr(": ", text[length - 1]))
        length--;
    text[length] = '\0';
}

/* ---- who answers ---- */

static bool given_up(void *waiter)
{
    const struct orb_ssh_asked *asked = waiter;
    struct pollfd ended = {asked->child, POLLIN, 0};
    return atomic_load(asked->stopping) || poll(&ended, 1, 0) > 0;
}

/* NULL: nobody. */
static const char *ask_person(struct orb_ssh_asked *asked, enum orb_ssh_question kind)
{
    const orbit_prompt *prompt = &asked->plan->prompt;
    char text[300], *answer = asked->learned[kind];
    orbit_error error;
    if (!prompt->function)
        return NULL;
    orb_ssh_question_text(text, sizeof text, asked->plan, asked->prompt);
    orbit_question question = {.size = sizeof question,
                               .text = text,
                               .secret = kind != ORB_SSH_HOST_KEY,
                               .given_up = given_up,
                               .waiter = asked};
    orb_error_clear(&error);
    if (prompt->function(prompt->ctx, &question, answer, sizeof asked->learned[kind], &error) < 0)
        *answer = '\0';
    answer[sizeof asked->learned[kind] - 1] = '\0';
    return *answer && !strpbrk(answer, "\r\n") ? answer : NULL;
}

static const char *find_answer(struct orb_ssh_asked *asked)
{
    enum orb_ssh_question kind = orb_ssh_question_of(asked->prompt);
    const char *kept = kind == ORB_SSH_PASSWORD     ? asked->plan->password
                       : kind == ORB_SSH_PASSPHRASE ? asked->plan->passphrase
                                                    : NULL;
    const char *answer = kept && !asked->told[kind] ? kept : ask_person(asked, kind);
    asked->told[kind] = asked->told[kind] || answer;
    return answer;
}

static void tell(int fd, const char *answer)
{
    size_t length = answer ? strlen(answer) : 0;
    char *line = orb_malloc(length + 3);
    const char *text = "-\n";
    if (answer && line) {
        (void)snprintf(line, length + 3, "+%s\n", answer);
        text = line;
    }
    /* A line fits in a socket's buffer; who does not read it has gone. */
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (line)
        explicit_bzero(line, length + 3);
    orb_free(line);
}

bool orb_ssh_asked_read(struct orb_ssh_asked *asked, int fd)
{
    char bytes[256];
    ssize_t length = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (length <= 0)
        return length < 0 && (errno == EAGAIN || errno == EINTR);
    for (ssize_t i = 0; i < length; i++) {
        if (bytes[i]) { /* what is too long is cut: its beginning says what is asked */
            if (asked->length < sizeof asked->prompt - 1)
                asked->prompt[asked->length++] = bytes[i];
            continue;
        }
        asked->prompt[asked->length] = '\0';
        asked->length = 0;
        tell(fd, find_answer(asked));
    }
    return true;
}

static void keep(char **secret, const char *learned)
{
    char *copy = *learned ? orb_strdup(learned) : NULL;
    if (!copy)
        return;
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    orb_free(*secret);
    *secret = copy;
}

void orb_ssh_asked_keep(struct orb_ssh_asked *asked)
{
    if (!asked->plan)
        return;
    keep(&asked->plan->password, asked->learned[ORB_SSH_PASSWORD]);
    keep(&asked->plan->passphrase, asked->learned[ORB_SSH_PASSPHRASE]);
    explicit_bzero(asked->learned, sizeof asked->learned);
}
