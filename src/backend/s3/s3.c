/* SPDX-License-Identifier: Apache-2.0
 * The S3 backend's table, and its open, close and cancel. All backends of a client share one HTTP engine. */
#include "backend/s3/s3.h"

#include "base/str.h"

static void *make_http(struct orbit_host *host, orbit_error *error)
{
    struct orb_http *http = NULL;
    (void)orb_http_new(&http, host->lanes, host->loop, &host->log, error);
    return http;
}

static void drop_http(void *thing)
{
    orb_http_free(thing);
}

static void release(struct orb_s3 *s3)
{
    if (!s3)
        return;
    orb_sigv4_free(s3->signer);
    orb_keys_source_close(s3->session);
    orb_keys_source_close(s3->keys);
    orb_free(s3->bucket);
    orb_free(s3->prefix);
    orb_s3_release_site(s3);
    orb_free(s3->endpoint_host);
    orb_free(s3->endpoint_path);
    orb_buf_release(&s3->scratch);
    orb_buf_release(&s3->authorization);
    orb_free(s3);
}

static orbit_status s3_open(void **self, orbit_host *host, const orbit_open_request *request,
                            orbit_capabilities *capabilities, orbit_error *error)
{
    static const char key; /* its address */
    struct orb_s3 *s3 = orb_calloc(1, sizeof *s3);
    orbit_error spare;
    if (!error)
        error = &spare;
    if (!s3)
        return orb_fail_memory(error);
    s3->host = host;
    orb_buf_init(&s3->scratch, 128 << 10);
    orb_buf_init(&s3->authorization, 16 << 10);
    orbit_status status = orb_s3_configure(s3, request, capabilities, error);
    if (status >= 0)
        status = orb_sigv4_new(&s3->signer, error);
    if (status >= 0 && !(s3->http = orb_host_attach(host, &key, make_http, drop_http, error)))
        status = (orbit_status)error->status;
    if (status < 0) {
        release(s3);
        return status;
    }
    *self = s3;
    return ORBIT_OK;
}

static void s3_close(void *self, orbit_op *op)
{
    release(self);
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void s3_cancel(void *self, orbit_op *op)
{
    struct orb_s3_op *own = op->state;
    (void)self;
    /* In a worker: the next send looks at orbit_op_cancelled(). */
    if (!own || own->ended)
        return;
    if (own->awaited)
        orb_s3_stop_waiting(own);
    else if (own->running)
        orb_http_cancel(&own->http);
    else if (own->cancel)
        own->cancel(own);
}

static bool s3_same_store(void *self, void *other)
{
    const struct orb_s3 *a = self, *b = other;
    return a->secure == b->secure && orb_str_equal(a->endpoint_host, b->endpoint_host) &&
           orb_str_equal(a->endpoint_path, b->endpoint_path) && orb_str_equal(a->unix_socket, b->unix_socket) &&
           orb_keys_source_same(a->keys, b->keys);
}

/* Region and addressing are ways there, not places. */
orbit_status orb_s3_locate_path(void *self, const char *path, char *store, size_t store_room, char *key,
                                size_t key_room)
{
    const struct orb_s3 *s3 = self;
    struct orb_buf text;
    orb_buf_init(&text, 4096);
    orb_buf_format(&text, "s3://%s", s3->bucket);
    if (s3->endpoint_host) {
        orb_buf_format(&text, "?endpoint=%s://%s", s3->secure ? "https" : "http", s3->endpoint_host);
        orb_percent_encode(&text, s3->endpoint_path, strlen(s3->endpoint_path), "/");
    }
    if (s3->unix_socket) {
        orb_buf_text(&text, s3->endpoint_host ? "&unix_socket=" : "?unix_socket=");
        orb_percent_encode(&text, s3->unix_socket, strlen(s3->unix_socket), "/");
    }
    size_t length = strlen(s3->prefix) + strlen(path);
    bool fits = !text.failed && text.length < store_room && length < key_room;
    if (fits) {
        memcpy(store, orb_buf_string(&text), text.length + 1);
        (void)snprintf(key, key_room, "%s%s", s3->prefix, path);
    }
    orb_buf_release(&text);
    return fits ? ORBIT_OK : ORBIT_E_LIMIT;
}

const orbit_backend_ops orb_s3_ops = {
    .size = sizeof(orbit_backend_ops),
    .name = "s3",
    .open = s3_open,
    .close = s3_close,
    .cancel = s3_cancel,
    .same_store = s3_same_store,
    .stat = orb_s3_stat,
    .list_begin = orb_s3_list_begin,
    .list_page = orb_s3_list_page,
    .list_end = orb_s3_list_end,
    .read = orb_s3_read,
    .put = orb_s3_put,
    .begin = orb_s3_upload_begin,
    .part = orb_s3_upload_part,
    .finish = orb_s3_upload_finish,
    .abort = orb_s3_upload_abort,
    .release = orb_s3_upload_release,
    .parts = orb_s3_upload_parts,
    .uploads = orb_s3_uploads,
    .remove = orb_s3_remove,
    .mkdir = orb_s3_mkdir,
    .tags_get = orb_s3_tags_get,
    .tags_set = orb_s3_tags_set,
    .copy = orb_s3_copy,
    .container_create = orb_s3_container_create,
    .container_remove = orb_s3_container_remove,
    .adopt = orb_s3_upload_adopt,
    .locate = orb_s3_locate_path,
    .presign = orb_s3_presign,
    .part_copy = orb_s3_upload_part_copy,
    .probe = orb_s3_probe,
    .object_parts = orb_s3_object_parts,
    .versioning_get = orb_s3_versioning_get,
    .versioning_set = orb_s3_versioning_set,
};
