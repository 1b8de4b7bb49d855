/* SPDX-License-Identifier: Apache-2.0
 * What ssh asks by way of the program in the private directory, and who is told what: the password for a password, the
 * passphrase for a key's, nothing for anything else (an unknown host key, a code, a PIN). The process's thread. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "wire/ssh_parts.h"

const char *orb_ssh_asked_secret(const struct orb_ssh_plan *plan, const char *prompt, bool *passphrase)
{
    *passphrase = strcasestr(prompt, "passphrase") != NULL;
    if (strstr(prompt, "(yes/no"))
        return NULL;
    if (*passphrase)
        return plan->passphrase;
    return strcasestr(prompt, "password") ? plan->password : NULL;
}

static void answer(int fd, const char *secret)
{
    size_t length = secret ? strlen(secret) : 0;
    char *line = orb_malloc(length + 3);
    const char *text = "-\n";
    if (secret && line) {
        (void)snprintf(line, length + 3, "+%s\n", secret);
        text = line;
    }
    /* A line fits in a socket's buffer; who does not read it has gone. */
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (line)
        explicit_bzero(line, length + 3);
    orb_free(line);
}

bool orb_ssh_asked_read(struct orb_ssh_asked *asked, int fd, const struct orb_ssh_plan *plan)
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
        bool passphrase;
        asked->prompt[asked->length] = '\0';
        const char *secret = orb_ssh_asked_secret(plan, asked->prompt, &passphrase);
        asked->passphrase = asked->passphrase || (secret && passphrase);
        asked->password = asked->password || (secret && !passphrase);
        asked->length = 0;
        answer(fd, secret);
    }
    return true;
}
