/* SPDX-License-Identifier: Apache-2.0
 * Directory buckets (S3 Express One Zone), with --set express=1 those whose names end in "--x-s3": CreateSession,
 * and what is asked of every other request to one. A session's key id is SESS, the time of its end in milliseconds
 * and its epoch, so nothing has to be kept. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool express_bucket(const struct request *request)
{
    size_t length = strlen(request->bucket);
    return atomic_load(&settings.express) && length > 6 && strcmp(request->bucket + length - 6, "--x-s3") == 0;
}

static const char *session_token(const struct request *request)
{
    const char *token = header(request, "x-amz-s3session-token");
    return token != NULL ? token : query_value(request, "X-Amz-S3session-Token");
}

int64_t express_end_ms(const struct request *request, const char *access)
{
    char wanted[64];
    const char *token = session_token(request);
    if (token == NULL || strncmp(access, "SESS", 4) != 0)
        return 0;
    snprintf(wanted, sizeof(wanted), "session-token-%.40s", access + 4);
    if (strcmp(token, wanted) != 0)
        return 0;
    char *epoch;
    int64_t end = strtoll(access + 4, &epoch, 10);
    return *epoch == '-' && strtoll(epoch + 1, NULL, 10) == atomic_load(&settings.session_epoch) ? end : 1;
}

void create_session(struct request *request)
{
    int64_t life = atomic_load(&settings.session_life_ms), now = now_ms();
    char name[48];
    snprintf(name, sizeof(name), "%lld-%lld", (long long)(now + life), (long long)atomic_load(&settings.session_epoch));
    struct text *out = &request->conn->body;
    text_clear(out);
    text_format(out,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                "<CreateSessionResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Credentials>"
                "<SessionToken>session-token-%s</SessionToken><SecretAccessKey>%s</SecretAccessKey>"
                "<AccessKeyId>SESS%s</AccessKeyId><Expiration>",
                name, identity.secret, name);
    text_time(out, now + life + atomic_load(&settings.clock_offset_s) * 1000);
    text_str(out, "</Expiration></Credentials></CreateSessionResult>");
    reply_xml(request, 200);
}

static bool refuse(struct request *request, int status, const char *code, const char *message)
{
    reply_error(request, status, code, message);
    return false;
}

/* These are asked for with one's own keys. */
static bool takes_own_keys(enum kind kind)
{
    return kind == KIND_CreateSession || kind == KIND_HeadBucket || kind == KIND_CopyObject ||
           kind == KIND_UploadPartCopy || kind == KIND_CreateBucket || kind == KIND_DeleteBucket;
}

static const char *not_offered(const struct request *request)
{
    static const char *const headers[] = {"x-amz-acl", "x-amz-tagging", "x-amz-object-lock-mode", "x-amz-request-payer",
                                          "x-amz-website-redirect-location"};
    for (size_t i = 0; i < COUNT_OF(headers); i++)
        if (header(request, headers[i]) != NULL)
            return headers[i];
    switch (request->kind) {
    case KIND_ListObjects:
    case KIND_ListObjectVersions:
    case KIND_GetObjectTagging:
    case KIND_PutObjectTagging:
    case KIND_DeleteObjectTagging:
        return kind_names[request->kind];
    default:
        return query_has(request, "versionId") ? "versionId" : NULL;
    }
}

static const char *wrong_listing(const struct request *request)
{
    const char *prefix = query_value(request, "prefix"), *delimiter = query_value(request, "delimiter");
    if (request->kind != KIND_ListObjectsV2 && request->kind != KIND_ListMultipartUploads)
        return NULL;
    if (query_has(request, "start-after"))
        return "start-after is not supported for directory buckets";
    if (prefix != NULL && *prefix != '\0' && prefix[strlen(prefix) - 1] != '/')
        return "prefixes of directory buckets end in the delimiter";
    if (delimiter != NULL && strcmp(delimiter, "/") != 0)
        return "the delimiter of directory buckets is /";
    return NULL;
}

bool express_fits(struct request *request, const char *service)
{
    bool session = session_token(request) != NULL, own = takes_own_keys(request->kind);
    if (!express_bucket(request)) {
        if (session)
            return refuse(request, 400, "InvalidRequest", "a session token belongs to a directory bucket");
        return strcmp(service, "s3") == 0 ||
               refuse(request, 400, "AuthorizationHeaderMalformed", "the credential scope is wrong");
    }
    if (strcmp(service, "s3express") != 0)
        return refuse(request, 400, "AuthorizationHeaderMalformed", "the service of the scope is not s3express");
    if (own && session)
        return refuse(request, 400, "InvalidRequest", "this is not asked for by a session");
    if (!own && !session)
        return refuse(request, 403, "AccessDenied", "x-amz-s3session-token is missing");
    if (session && header(request, "x-amz-security-token") != NULL)
        return refuse(request, 400, "InvalidRequest", "two tokens");
    const char *what = not_offered(request), *wrong = wrong_listing(request);
    if (what != NULL)
        return refuse(request, 501, "NotImplemented", what);
    return wrong == NULL || refuse(request, 400, "InvalidArgument", wrong);
}
