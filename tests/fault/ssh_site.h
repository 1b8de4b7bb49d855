/* SPDX-License-Identifier: Apache-2.0
 * Connections by the system's ssh, driven from a test's thread. Each session says the first message of SFTP and expects
 * its answer, which is as much of the protocol as is known here. Fails the test where something is not as it should. */
#ifndef ORB_TESTS_FAULT_SSH_SITE_H
#define ORB_TESTS_FAULT_SSH_SITE_H

#include <pthread.h>

#include "support/sshd.h"
#include "wire/ssh.h"

enum { SITE_SESSIONS = 8 };

struct session {
    struct orb_ssh_channel channel;
    struct site *site;
    int fd; /* -1: not ready */
    bool ready, ended, well;
    orbit_error error;
};

struct site {
    struct orb_loop *loop;
    struct orb_log log;
    struct orb_ssh *ssh;
    struct session sessions[SITE_SESSIONS];
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool dropped;
    bool said_secret; /* the log, at its most talkative */
};

/* The program's TMPDIR is a directory of its own from now on: what is left in it is ours. False: there is none. */
bool site_enter(void);
/* What the program ends with after its tests: `failed`, or that something was left there. */
int site_leave(int failed);
/* Of a group of tests: libuv keeps two descriptors for the process from its first loop on. */
int site_warm_up(void **state);

void site_open(struct site *site, struct orb_ssh_settings settings, const struct sshd *sshd);
void site_close(struct site *site);

/* On the loop, waited for. */
void site_run(struct site *site, void (*run)(struct site *, unsigned), unsigned number);
void site_wait_for(struct site *site, const bool *flag);

/* What site_run() runs, of one session. */
void site_start(struct site *site, unsigned number);
void site_stop(struct site *site, unsigned number);
void site_spoke(struct site *site, unsigned number);

/* Starts a session and waits until it stands, or has ended. */
struct session *site_begin(struct site *site, unsigned number);
bool speaks_sftp(const struct session *session);
void end_well(struct session *session);

/* Our children, zombies too; the last one's pid. */
unsigned site_children(pid_t *last);
void nothing_is_left(unsigned descriptors);

#endif
