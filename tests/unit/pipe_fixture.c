/* SPDX-License-Identifier: Apache-2.0
 * A pipe, a source and a target. */
#include "pipe_fixture.h"

struct bench bench;

static void source_resume(orbit_op *op)
{
    (void)op;
    sem_post(&bench.source_resumed);
}

static void target_resume(orbit_op *op)
{
    (void)op;
    sem_post(&bench.target_resumed);
}

static void news(struct orb_pipe *pipe, enum orb_pipe_news what)
{
    (void)pipe;
    if (what == ORB_PIPE_READY)
        sem_post(&bench.ready);
    else if (what == ORB_PIPE_STUCK)
        sem_post(&bench.stuck);
}

static void note_delivered(struct orb_message *message)
{
    (void)message;
    sem_post(&bench.moment);
}

void let_loop_run(void)
{
    static struct note note;
    note.message.deliver = note_delivered;
    orb_loop_post(bench.host.loop, &note.message);
    sem_wait(&bench.moment);
}

bool is_up(sem_t *semaphore)
{
    int value = 0;
    sem_getvalue(semaphore, &value);
    return value > 0;
}

int setup(void **state)
{
    (void)state;
    orbit_error error;
    memset(&bench, 0, sizeof(bench));
    sem_init(&bench.ready, 0, 0);
    sem_init(&bench.stuck, 0, 0);
    sem_init(&bench.moment, 0, 0);
    sem_init(&bench.source_resumed, 0, 0);
    sem_init(&bench.target_resumed, 0, 0);
    bench.source.resume = source_resume;
    bench.target.resume = target_resume;
    if (orb_loop_new(&bench.host.loop, "test", false, &error) < 0 || orb_loop_start(bench.host.loop, &error) < 0)
        return -1;
    bench.pipe.news = news;
    return orb_pipe_open(&bench.pipe, &bench.host, &error) < 0 ? -1 : 0;
}

int teardown(void **state)
{
    (void)state;
    orb_pipe_detach_source(&bench.pipe);
    orb_pipe_detach_target(&bench.pipe);
    let_loop_run();
    orb_pipe_close(&bench.pipe);
    orb_loop_free(bench.host.loop);
    return 0;
}

uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 17 + (at >> 16));
}

uint64_t pour(uint64_t at, uint64_t bytes, size_t step, orbit_status *status)
{
    uint64_t done = 0;
    *status = ORBIT_OK;
    while (done < bytes && *status >= 0) {
        size_t room = 0;
        uint8_t *memory = bench.pipe.sink.acquire(&bench.pipe.sink, step, &room);
        if (!memory)
            break;
        size_t take = bytes - done < room ? (size_t)(bytes - done) : room;
        if (take > step)
            take = step;
        for (size_t i = 0; i < take; i++)
            memory[i] = byte_at(at + done + i);
        *status = bench.pipe.sink.commit(&bench.pipe.sink, take);
        done += take;
    }
    return done;
}

orbit_status drain(uint64_t *at, size_t step)
{
    for (;;) {
        const void *bytes;
        size_t length;
        orbit_status status = bench.pipe.body.peek(&bench.pipe.body, &bytes, &length);
        if (status != ORBIT_OK)
            return status;
        if (length > step)
            length = step;
        for (size_t i = 0; i < length; i++)
            if (((const uint8_t *)bytes)[i] != byte_at(*at + i))
                fail_msg("wrong byte at %zu", (size_t)*at + i);
        *at += length;
        bench.pipe.body.consume(&bench.pipe.body, length);
    }
}

void arm(uint64_t length)
{
    orb_pipe_arm(&bench.pipe, length, ORB_PIPE_CRC64NVME | ORB_PIPE_CRC32C, false);
    orb_pipe_attach_source(&bench.pipe, &bench.source);
}

uint64_t crc64_of(uint64_t length)
{
    uint64_t crc = 0;
    for (uint64_t i = 0; i < length; i++) {
        uint8_t byte = byte_at(i);
        crc = orb_crc64nvme(crc, &byte, 1);
    }
    return crc;
}
