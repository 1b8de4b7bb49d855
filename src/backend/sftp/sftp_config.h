/* SPDX-License-Identifier: Apache-2.0
 * Which host, and how ssh is to reach it: from a typed config or a URL, settings by name over it, ORBIT_SSH_OPTIONS
 * below it. The caller's thread; no I/O. */
#ifndef ORB_BACKEND_SFTP_CONFIG_H
#define ORB_BACKEND_SFTP_CONFIG_H

#include "backend/backend.h"
#include "wire/ssh.h"

enum { SFTP_IDENTITIES_MAX = 16, SFTP_OPTIONS_MAX = 64 };

/* Borrows from the request and from itself: it stays where it was filled. */
struct sftp_config {
    struct orb_ssh_settings ssh;
    const char *root;    /* as a URL's path has it; "": none */
    const char *command; /* a server of this machine, instead of a host's; NULL: none */
    uint64_t channels;   /* 0: the default */

    /* Private. */
    const char *identities[SFTP_IDENTITIES_MAX + 1], *options[SFTP_OPTIONS_MAX + 1];
    size_t identity_count, option_count;
    char *user, *host, *environment;
};

/* `channels_max` bounds the setting. Released in any case. */
orbit_status sftp_config_take(struct sftp_config *config, orbit_host *host, const orbit_open_request *request,
                              unsigned channels_max, orbit_error *error);
void sftp_config_release(struct sftp_config *config);

#endif
