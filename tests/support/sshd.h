/* SPDX-License-Identifier: Apache-2.0
 * SSH servers from a test's point of view: those that CTest fixtures started (sshd.sh), and a way to them that is
 * long or gets lost (delay.c). What is not there ends the test program with a message: nothing is skipped. */
#ifndef ORB_TESTS_SSHD_H
#define ORB_TESTS_SSHD_H

#include <sys/types.h>

struct sshd {
    int port;
    char user[64], config[512]; /* the configuration for ssh -F: which hosts it knows is told in sshd.sh */
    char files[512];            /* a directory on the server, as the server names it */
    char here[512];             /* the same one, as this machine does */
    char password[64];
};
/* "sshd", "sshd_external", …: tests/support/CMakeLists.txt lists them. */
void sshd_of_fixture(struct sshd *sshd, const char *fixture);

struct delay {
    pid_t pid;
    int port;
};
/* A proxy on a port of its own to `port`: `ms` later each way; the first `cuts` connections are reset after
 * `cut_bytes` from the server (0: none). */
void delay_start(struct delay *delay, int port, unsigned ms, unsigned long long cut_bytes, unsigned cuts);
void delay_reset(const struct delay *delay); /* all connections that there are */
void delay_stop(struct delay *delay);

#endif
