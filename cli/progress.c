/* SPDX-License-Identifier: Apache-2.0
 * Drawing progress: five times a second, within the terminal's width, in colour unless NO_COLOR is set. */
#include "progress.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

struct progress {
    struct crew *crew;
    bool colour, at_once;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t stop_asked;
    bool stop; /* by mutex */
    uint64_t started_ns, last_ns, last_bytes;
    double rate; /* bytes a second, smoothed */
};

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
    return 80;
}

static void measure(struct progress *progress, uint64_t bytes)
{
    uint64_t now = monotonic_ns();
    double seconds = (double)(now - progress->last_ns) / 1e9;
    if (seconds < 0.05)
        return;
    double rate = bytes > progress->last_bytes ? (double)(bytes - progress->last_bytes) / seconds : 0;
    progress->rate = progress->last_ns == progress->started_ns ? rate : progress->rate * 0.8 + rate * 0.2;
    progress->last_ns = now;
    progress->last_bytes = bytes;
}

static void add_bar(struct text *line, double part, size_t width, bool colour)
{
    size_t full = (size_t)(part * (double)width);
    text_add_string(line, colour ? "[\033[32m" : "[");
    for (size_t i = 0; i < width; i++)
        text_add_string(line, i < full ? "#" : i == full && colour ? "\033[0m." : ".");
    text_add_string(line, colour ? "\033[0m] " : "] ");
}

static void add_time_left(struct text *line, const struct crew_progress *now, double rate)
{
    if (!now->total_known || rate < 1 || now->bytes_done > now->bytes_total)
        return;
    double seconds = (double)(now->bytes_total - now->bytes_done) / rate;
    if (seconds > 100 * 3600)
        return;
    unsigned left = (unsigned)(seconds + 0.5);
    if (left >= 3600)
        text_format(line, "  ETA %u:%02u:%02u", left / 3600, left / 60 % 60, left % 60);
    else
        text_format(line, "  ETA %u:%02u", left / 60, left % 60);
}

/* "12 of 40 objects  1.2 GiB of 2.6 GiB  310.0 MiB/s  ETA 0:12" */
static void add_numbers(struct text *line, const struct crew_progress *now, double rate)
{
    char done[SIZE_TEXT_ROOM], total[SIZE_TEXT_ROOM], speed[SIZE_TEXT_ROOM];
    if (now->objects_total > 1 || !now->all_found)
        text_format(line, "%" PRIu64 " of %" PRIu64 "%s objects  ", now->objects_done, now->objects_total,
                    now->all_found ? "" : "+");
    if (now->bytes_total || now->bytes_done) {
        text_add_string(line, size_text(done, now->bytes_done, true));
        if (now->bytes_total && now->total_known)
            text_format(line, " of %s", size_text(total, now->bytes_total, true));
        text_format(line, "  %s/s", size_text(speed, (uint64_t)rate, true));
    }
    add_time_left(line, now, rate);
}

static void draw(struct progress *progress)
{
    struct crew_progress now;
    struct text numbers = {0}, line = {0};
    size_t width = terminal_width() - 1;

    crew_progress(progress->crew, &now);
    measure(progress, now.bytes_done);
    add_numbers(&numbers, &now, progress->rate);
    if (now.total_known && now.bytes_total && numbers.length + 20 < width) {
        double part = (double)now.bytes_done / (double)now.bytes_total;
        add_bar(&line, part > 1 ? 1 : part, width - numbers.length - 4 > 30 ? 30 : width - numbers.length - 4,
                progress->colour);
        text_add(&line, text_string(&numbers), numbers.length);
        if (numbers.length + 36 + strlen(now.name) < width)
            text_format(&line, "  %s", now.name);
    } else {
        text_add(&line, text_string(&numbers), numbers.length < width ? numbers.length : width);
    }
    output_bar(text_string(&line));
    text_release(&numbers);
    text_release(&line);
}

static void *run(void *ctx)
{
    struct progress *progress = ctx;
    sigset_t all;
    sigfillset(&all); /* signals are the main thread's: they must interrupt what it waits for */
    pthread_sigmask(SIG_BLOCK, &all, NULL);

    pthread_mutex_lock(&progress->mutex);
    while (!progress->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 200000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        if (pthread_cond_timedwait(&progress->stop_asked, &progress->mutex, &until) != ETIMEDOUT)
            continue;
        if (!progress->at_once && monotonic_ns() - progress->started_ns < 1000000000u)
            continue;
        pthread_mutex_unlock(&progress->mutex);
        draw(progress);
        pthread_mutex_lock(&progress->mutex);
    }
    pthread_mutex_unlock(&progress->mutex);
    output_bar(NULL);
    return NULL;
}

struct progress *progress_start(struct session *session, struct crew *crew)
{
    const struct options *options = session->options;
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    pthread_condattr_t monotonic;

    if (options->json || options->quiet || options->no_progress || !output_talk_is_terminal())
        return NULL;
    struct progress *progress = memory_zeroed(1, sizeof *progress);
    progress->crew = crew;
    progress->at_once = options->progress;
    progress->colour = !(no_colour && *no_colour) && !(terminal && strcmp(terminal, "dumb") == 0);
    progress->started_ns = progress->last_ns = monotonic_ns();
    pthread_mutex_init(&progress->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&progress->stop_asked, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&progress->thread, NULL, run, progress) != 0) {
        free(progress); /* a command without a bar is better than none */
        return NULL;
    }
    return progress;
}

void progress_stop(struct progress *progress)
{
    if (!progress)
        return;
    pthread_mutex_lock(&progress->mutex);
    progress->stop = true;
    pthread_cond_signal(&progress->stop_asked);
    pthread_mutex_unlock(&progress->mutex);
    pthread_join(progress->thread, NULL);
    pthread_cond_destroy(&progress->stop_asked);
    pthread_mutex_destroy(&progress->mutex);
    free(progress);
}
