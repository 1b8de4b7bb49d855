/* SPDX-License-Identifier: Apache-2.0
 * Gates: where one user's thread and the loop meet; and, for external loops, who drives. Exactly one thread at a
 * time is inside a turn of an external loop. A thread that waits at a gate drives when nobody does, and sleeps
 * while somebody does: until its gate is signalled or the driver leaves, whichever is first. Any thread. */
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "client/client.h"

void orb_gate_init(struct orb_gate *gate, struct orbit_client *client)
{
    gate->client = client;
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->cond, NULL);
    atomic_init(&gate->signals, 0);
}

void orb_gate_release(struct orb_gate *gate)
{
    pthread_cond_destroy(&gate->cond);
    pthread_mutex_destroy(&gate->mutex);
}

void orb_gate_lock(struct orb_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
}

void orb_gate_unlock(struct orb_gate *gate)
{
    pthread_mutex_unlock(&gate->mutex);
}

/* ---- external loops ------------------------------------------------------------------------------ */

static void drive_locked(struct orbit_client *client, bool wait)
{
    client->driving = true;
    pthread_mutex_unlock(&client->drive_mutex);
    orb_loop_turn(client->loop, wait);
    pthread_mutex_lock(&client->drive_mutex);
    client->driving = false;
    pthread_cond_broadcast(&client->drive_cond);
}

void orb_client_turn(struct orbit_client *client)
{
    pthread_mutex_lock(&client->drive_mutex);
    if (!client->driving) /* else the one who drives does the work */
        drive_locked(client, false);
    pthread_mutex_unlock(&client->drive_mutex);
}

static void wait_driving(struct orb_gate *gate)
{
    struct orbit_client *client = gate->client;
    uint64_t seen = atomic_load(&gate->signals);
    orb_gate_unlock(gate);
    pthread_mutex_lock(&client->drive_mutex);
    while (atomic_load(&gate->signals) == seen && client->driving)
        pthread_cond_wait(&client->drive_cond, &client->drive_mutex);
    if (atomic_load(&gate->signals) == seen)
        drive_locked(client, true);
    pthread_mutex_unlock(&client->drive_mutex);
    orb_gate_lock(gate);
}

/* ---- waiting and signalling ---------------------------------------------------------------------- */

void orb_gate_wait(struct orb_gate *gate)
{
    if (gate->client->external)
        wait_driving(gate);
    else
        pthread_cond_wait(&gate->cond, &gate->mutex);
}

bool orb_gate_wait_until(struct orb_gate *gate, uint64_t until_ns)
{
    const struct timespec until = {(time_t)(until_ns / ORB_S), (long)(until_ns % ORB_S)};
    return pthread_cond_clockwait(&gate->cond, &gate->mutex, CLOCK_MONOTONIC, &until) == 0;
}

void orb_gate_signal(struct orb_gate *gate)
{
    struct orbit_client *client = gate->client;
    if (!client->external) {
        pthread_cond_broadcast(&gate->cond);
        return;
    }
    atomic_fetch_add(&gate->signals, 1);
    pthread_mutex_lock(&client->drive_mutex);
    pthread_cond_broadcast(&client->drive_cond);
    pthread_mutex_unlock(&client->drive_mutex);
    /* The waiting thread may itself be inside a turn. On the loop's thread that turn is about to end. */
    if (!orb_loop_is_current(client->loop))
        orb_loop_wake(client->loop);
}

/* ---- a function on the loop ---------------------------------------------------------------------- */

struct errand {
    struct orb_message message;
    struct orb_gate gate;
    void (*function)(void *ctx);
    void *ctx;
    bool done;
};

static void run_errand(struct orb_message *message)
{
    struct errand *errand = (struct errand *)((char *)message - offsetof(struct errand, message));
    errand->function(errand->ctx);
    orb_gate_lock(&errand->gate);
    errand->done = true;
    orb_gate_signal(&errand->gate);
    orb_gate_unlock(&errand->gate);
}

void orb_client_on_loop(struct orbit_client *client, void (*function)(void *ctx), void *ctx)
{
    if (orb_loop_is_current(client->loop)) {
        function(ctx);
        return;
    }
    struct errand errand = {.message = {.deliver = run_errand}, .function = function, .ctx = ctx};
    orb_gate_init(&errand.gate, client);
    orb_loop_post(client->loop, &errand.message);
    orb_gate_lock(&errand.gate);
    while (!errand.done)
        orb_gate_wait(&errand.gate);
    orb_gate_unlock(&errand.gate);
    orb_gate_release(&errand.gate);
}
