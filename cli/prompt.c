/* SPDX-License-Identifier: Apache-2.0
 * Asking on the terminal, with the progress bar out of the way, and what is typed unseen where it is secret. */
#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "interrupt.h"
#include "output.h"
#include "text.h"

enum { LOOK_MS = 200 };

static orbit_status fail(orbit_error *error, orbit_status status, const char *format, ...) ORBIT_PRINTF(3, 4);
static orbit_status fail(orbit_error *error, orbit_status status, const char *format, ...)
{
    va_list arguments;
    *error = (orbit_error){.status = (int32_t)status};
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

/* A line from the terminal, without its end. Signals and whoever waits are looked at now and then. */
static orbit_status read_line(int tty, const orbit_question *question, char *answer, size_t room, orbit_error *error)
{
    size_t length = 0;
    for (;;) {
        struct pollfd ready = {.fd = tty, .events = POLLIN};
        if (interrupt_signal() || question->given_up(question->waiter))
            return fail(error, ORBIT_E_CANCELLED, "cancelled");
        if (poll(&ready, 1, LOOK_MS) <= 0)
            continue;
        char c;
        ssize_t got = read(tty, &c, 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return fail(error, ORBIT_E_AUTH, "nothing was given for %s", question->text);
        if (c == '\n' || c == '\r')
            break;
        if (length + 1 < room)
            answer[length++] = c;
    }
    answer[length] = '\0';
    return ORBIT_OK;
}

static orbit_status ask_at(int tty, const orbit_question *question, char *answer, size_t room, orbit_error *error)
{
    struct termios before, silent;
    struct text text = {0};
    bool hidden = question->secret && tcgetattr(tty, &before) == 0;
    if (hidden) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        hidden = tcsetattr(tty, TCSAFLUSH, &silent) == 0;
    }
    text_add_string(&text, "orbit: ");
    text_add_escaped(&text, question->text, strlen(question->text));
    text_add_string(&text, ": ");
    (void)!write(tty, text.bytes, text.length);
    text_release(&text);
    orbit_status status = read_line(tty, question, answer, room, error);
    if (hidden) {
        tcsetattr(tty, TCSAFLUSH, &before);
        (void)!write(tty, "\n", 1); /* the one that was typed was not seen */
    }
    return status;
}

orbit_status prompt_ask(void *ctx, const orbit_question *question, char *answer, size_t room, orbit_error *error)
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    (void)ctx;
    pthread_mutex_lock(&one);
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    orbit_status status;
    if (tty < 0) {
        status = fail(error, ORBIT_E_AUTH,
                      "there is no terminal to ask for %s: run this in one, or name a credential_process that asks",
                      question->text);
    } else {
        output_hold_bar(true);
        status = ask_at(tty, question, answer, room, error);
        output_hold_bar(false);
        close(tty);
    }
    pthread_mutex_unlock(&one);
    return status;
}
