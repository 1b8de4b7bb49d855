/* SPDX-License-Identifier: Apache-2.0
 * The two streams of the command. */
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "interrupt.h"
#include "text.h"

enum { BUFFER_BYTES = 64 * 1024 };

static struct {
    char buffer[BUFFER_BYTES];
    size_t used;
    int error; /* errno of the first failed write */
    bool terminal, talk_terminal;
    struct text *diverted; /* NULL: to standard output */
} out;

static struct {
    pthread_mutex_t mutex;
    bool bar;  /* a bar is on the terminal */
    bool held; /* none is drawn */
} screen = {.mutex = PTHREAD_MUTEX_INITIALIZER, .bar = false};

void output_start(void)
{
    out.terminal = isatty(STDOUT_FILENO) == 1;
    out.talk_terminal = isatty(STDERR_FILENO) == 1;
}

bool output_is_terminal(void)
{
    return out.terminal;
}

bool output_talk_is_terminal(void)
{
    return out.talk_terminal;
}

/* Returns 0 or an errno. A signal that asked us to stop ends the wait for a slow reader. */
static int write_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t wrote = write(fd, bytes, length);
        if (wrote >= 0) {
            bytes += wrote;
            length -= (size_t)wrote;
        } else if (errno == EAGAIN) {
            struct pollfd ready = {fd, POLLOUT, 0};
            if (poll(&ready, 1, -1) < 0 && errno != EINTR)
                return errno;
        } else if (errno != EINTR) {
            return errno;
        }
        if (length && interrupt_signal())
            return EINTR;
    }
    return 0;
}

static void clear_bar(void)
{
    if (screen.bar)
        (void)write_all(STDERR_FILENO, "\r\033[K", 4);
    screen.bar = false;
}

void output_flush(void)
{
    if (!out.used || out.error) {
        out.used = 0;
        return;
    }
    pthread_mutex_lock(&screen.mutex);
    if (out.terminal)
        clear_bar();
    out.error = write_all(STDOUT_FILENO, out.buffer, out.used);
    pthread_mutex_unlock(&screen.mutex);
    out.used = 0;
}

void output_bytes(const void *bytes, size_t length)
{
    const char *from = bytes;
    if (out.diverted) {
        text_add(out.diverted, bytes, length);
        return;
    }
    while (length) {
        if (out.used == sizeof out.buffer)
            output_flush();
        size_t fits = sizeof out.buffer - out.used;
        if (fits > length)
            fits = length;
        memcpy(out.buffer + out.used, from, fits);
        out.used += fits;
        from += fits;
        length -= fits;
    }
}

void output_divert(struct text *text)
{
    out.diverted = text;
}

void output_string(const char *string)
{
    output_bytes(string, strlen(string));
}

void output_column(const char *string, size_t width, bool left)
{
    static const char spaces[] = "                                        ";
    size_t length = strlen(string), room = length < width ? width - length : 0;
    if (room > sizeof spaces - 1)
        room = sizeof spaces - 1;
    if (left)
        output_bytes(string, length);
    output_bytes(spaces, room);
    if (!left)
        output_bytes(string, length);
}

void output_name(const char *name)
{
    if (!out.terminal) {
        output_string(name);
        return;
    }
    struct text text = {0};
    text_add_escaped(&text, name, strlen(name));
    output_bytes(text_string(&text), text.length);
    text_release(&text);
}

void output_end_line(void)
{
    if (out.terminal && !out.diverted)
        output_flush();
}

bool output_stream(const void *bytes, size_t length)
{
    output_flush();
    if (!out.error)
        out.error = write_all(STDOUT_FILENO, bytes, length);
    return !out.error;
}

int output_failed(void)
{
    return out.error;
}

void output_talk(const char *line)
{
    struct text text = {0};
    text_add_string(&text, line);
    text_add(&text, "\n", 1);
    pthread_mutex_lock(&screen.mutex);
    clear_bar();
    (void)write_all(STDERR_FILENO, text.bytes, text.length);
    pthread_mutex_unlock(&screen.mutex);
    text_release(&text);
}

void output_bar(const char *bar)
{
    pthread_mutex_lock(&screen.mutex);
    if (!bar) {
        clear_bar();
    } else if (!screen.held) {
        struct text text = {0};
        text_format(&text, "\r%s\033[K", bar);
        (void)write_all(STDERR_FILENO, text.bytes, text.length);
        text_release(&text);
        screen.bar = true;
    }
    pthread_mutex_unlock(&screen.mutex);
}

void output_hold_bar(bool hold)
{
    pthread_mutex_lock(&screen.mutex);
    clear_bar();
    screen.held = hold;
    pthread_mutex_unlock(&screen.mutex);
}
