/* SPDX-License-Identifier: Apache-2.0
 * Extended attributes, of any namespace, by the names the operating system has for them. Symlinks are
 * followed. Worker threads. */
#include "backend/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/mem.h"

enum { LIST_MAX = 64 << 10, VALUE_MAX = 64 << 10 }; /* the kernel's own limits */

/* A descriptor for the path and the way through /proc that the calls need: O_PATH needs no permission on the
 * file and opens no device. */
static int reach(struct orb_local *self, const char *path, struct orb_local_proc *proc)
{
    int fd = orb_local_open(self, path, O_PATH);
    if (fd >= 0)
        orb_local_proc(proc, fd, NULL);
    return fd;
}

static orbit_status name_fail(orbit_error *error, int number, const char *what, const char *name, const char *path)
{
    struct orb_local_shown shown;
    const char *text = orb_local_show(&shown, path);
    if (number == EXDEV)
        return orb_local_fail(error, number, what, path);
    return orb_fail_errno(error, number, "cannot %s '%.100s' of '%s'", what, name, text);
}

static orbit_status room_fail(orbit_error *error, const orbit_bytes_request *request, const char *what)
{
    struct orb_local_shown shown;
    return orb_fail(error, ORBIT_E_LIMIT, ERANGE, "%s of '%s' needs %zu bytes, there is room for %zu", what,
                    orb_local_show(&shown, request->path), *request->length, request->room);
}

static orbit_status get_attribute(struct orb_local *self, const orbit_bytes_request *request, orbit_error *error)
{
    struct orb_local_proc proc;
    int fd = reach(self, request->path, &proc);
    if (fd < 0)
        return name_fail(error, -fd, "read attribute", request->name, request->path);
    ssize_t length = -1;
    errno = ERANGE;
    if (request->room > 0)
        length = getxattr(proc.text, request->name, request->buffer, request->room);
    if (length < 0 && errno == ERANGE)
        length = getxattr(proc.text, request->name, NULL, 0);
    int number = errno;
    orb_local_close(fd);
    if (length < 0)
        return name_fail(error, number, "read attribute", request->name, request->path);
    *request->length = (size_t)length;
    return (size_t)length > request->room ? room_fail(error, request, "the attribute") : ORBIT_OK;
}

static void get_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    orbit_error error = {0};
    orb_local_end(op, get_attribute(self, call->request, &error), &error);
}

void orb_local_xattr_get(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, get_work);
}

static orbit_status list_attributes(struct orb_local *self, const orbit_bytes_request *request, orbit_error *error)
{
    struct orb_local_proc proc;
    int fd = reach(self, request->path, &proc);
    if (fd < 0)
        return orb_local_fail(error, -fd, "list the attributes of", request->path);
    ssize_t length = -1;
    errno = ERANGE;
    if (request->room > 0)
        length = listxattr(proc.text, request->buffer, request->room);
    if (length < 0 && errno == ERANGE)
        length = listxattr(proc.text, NULL, 0);
    int number = errno;
    orb_local_close(fd);
    if (length < 0)
        return orb_local_fail(error, number, "list the attributes of", request->path);
    *request->length = (size_t)length;
    return (size_t)length > request->room ? room_fail(error, request, "the list of attributes") : ORBIT_OK;
}

static void list_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    orbit_error error = {0};
    orb_local_end(op, list_attributes(self, call->request, &error), &error);
}

void orb_local_xattr_list(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, list_work);
}

static orbit_status set_attribute(struct orb_local *self, const orbit_xattr_set_request *request, orbit_error *error)
{
    struct orb_local_proc proc;
    const char *what = request->value ? "set attribute" : "remove attribute";
    int fd = reach(self, request->path, &proc);
    if (fd < 0)
        return name_fail(error, -fd, what, request->name, request->path);
    int result = request->value ? setxattr(proc.text, request->name, request->value, request->length, 0)
                                : removexattr(proc.text, request->name);
    int number = errno;
    orb_local_close(fd);
    return result == 0 ? ORBIT_OK : name_fail(error, number, what, request->name, request->path);
}

static void set_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    orbit_error error = {0};
    orb_local_end(op, set_attribute(self, call->request, &error), &error);
}

void orb_local_xattr_set(void *self, orbit_op *op, const orbit_xattr_set_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, set_work);
}

/* ---- all of them, from file to file -------------------------------------------------------------- */

/* What is not permitted, not known there, or gone meanwhile is left out: preserving is best effort. */
static bool may_be_left_out(int number)
{
    return number != ENOSPC && number != EDQUOT && number != ENOMEM;
}

int orb_local_copy_xattrs(int from_fd, int to_fd)
{
    int status = 0;
    char *names = orb_malloc(LIST_MAX);
    void *value = orb_malloc(VALUE_MAX);
    if (!names || !value) {
        status = -ENOMEM;
        goto out;
    }
    ssize_t length = flistxattr(from_fd, names, LIST_MAX);
    for (ssize_t at = 0; at < length && status == 0; at += (ssize_t)strlen(names + at) + 1) {
        ssize_t bytes = fgetxattr(from_fd, names + at, value, VALUE_MAX);
        if (bytes >= 0 && fsetxattr(to_fd, names + at, value, (size_t)bytes, 0) != 0 && !may_be_left_out(errno))
            status = -errno;
    }
out:
    orb_free(names);
    orb_free(value);
    return status;
}
