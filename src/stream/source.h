/* SPDX-License-Identifier: Apache-2.0
 * What an orbit_source really is: bytes in memory, a file whose ranges can be read at their offsets, a reader, or
 * something that is read in order. */
#ifndef ORB_STREAM_SOURCE_H
#define ORB_STREAM_SOURCE_H

#include <orbit/write.h>

/* orbit_source.kind of the ready-made ones. */
enum { ORB_SOURCE_FUNCTION = 0, ORB_SOURCE_PATH, ORB_SOURCE_FD, ORB_SOURCE_MEMORY, ORB_SOURCE_READER };

/* A path or descriptor after a look at it. */
struct orb_source_file {
    bool extents; /* a regular file: `path`, from `offset` on */
    char *path;   /* of the operating system; owned */
    uint64_t offset;
    int fd; /* when not extents: to be read in order */
    bool own_fd;
};

/* May block (a FIFO waits for its writer). `path` for ORB_SOURCE_PATH, `fd` for ORB_SOURCE_FD. */
orbit_status orb_source_look(struct orb_source_file *file, uint32_t kind, const char *path, int fd, orbit_error *error);
void orb_source_file_release(struct orb_source_file *file);
/* One read(2), retried after signals: ORBIT_END at the end. ORBIT_E_CANCELLED as soon as `stop_fd` is readable, also
 * while nothing comes. */
orbit_status orb_source_read_fd(int fd, int stop_fd, const char *name, void *buffer, size_t room, size_t *length,
                                orbit_error *error);
/* Calls close once. */
void orb_source_close(orbit_source *source);
/* ORBIT_E_MISUSE for what cannot be a source. */
orbit_status orb_source_check(const orbit_source *source, orbit_error *error);

#endif
