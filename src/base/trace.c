/* SPDX-License-Identifier: Apache-2.0
 * The names of what stores are asked. Any thread. */
#include <orbit/trace.h>

const char *orbit_request_name(orbit_request request)
{
    static const char *const names[ORBIT_REQUEST_KINDS] = {
        [ORBIT_REQUEST_OTHER] = "other",
        [ORBIT_REQUEST_STAT] = "stat",
        [ORBIT_REQUEST_LIST_BEGIN] = "list_begin",
        [ORBIT_REQUEST_LIST] = "list",
        [ORBIT_REQUEST_READ] = "read",
        [ORBIT_REQUEST_PUT] = "put",
        [ORBIT_REQUEST_BEGIN] = "begin",
        [ORBIT_REQUEST_PART] = "part",
        [ORBIT_REQUEST_FINISH] = "finish",
        [ORBIT_REQUEST_ABORT] = "abort",
        [ORBIT_REQUEST_REMOVE] = "remove",
        [ORBIT_REQUEST_MKDIR] = "mkdir",
        [ORBIT_REQUEST_RENAME] = "rename",
        [ORBIT_REQUEST_COPY] = "copy",
        [ORBIT_REQUEST_SET_METADATA] = "set_metadata",
        [ORBIT_REQUEST_LINK] = "link",
        [ORBIT_REQUEST_XATTR] = "xattr",
        [ORBIT_REQUEST_TAGS] = "tags",
        [ORBIT_REQUEST_SPACE] = "space",
        [ORBIT_REQUEST_CONTAINER] = "container",
        [ORBIT_REQUEST_UPLOADS] = "uploads",
        [ORBIT_REQUEST_PART_COPY] = "part_copy",
    };
    return (unsigned)request < ORBIT_REQUEST_KINDS ? names[request] : "other";
}
