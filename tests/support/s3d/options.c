/* SPDX-License-Identifier: Apache-2.0
 * How an object is to be kept, as the service checks it: encryption, class, ACL, tags, accounts. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWNER "111122223333"

static bool among(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

static const char *encryption(const struct request *request)
{
    static const char *const kinds[] = {"AES256", "aws:kms", "aws:kms:dsse"};
    const char *sse = header(request, "x-amz-server-side-encryption");
    const char *context = header(request, "x-amz-server-side-encryption-context");
    bool kms = sse != NULL && strncmp(sse, "aws:kms", 7) == 0;
    bool wants_kms = header(request, "x-amz-server-side-encryption-aws-kms-key-id") != NULL || context != NULL ||
                     header(request, "x-amz-server-side-encryption-bucket-key-enabled") != NULL;
    if (sse != NULL && !among(sse, kinds, COUNT_OF(kinds)))
        return "the encryption is not one of the service's";
    if (wants_kms && !kms)
        return "a key, a context or a bucket key needs aws:kms";
    if (sse != NULL && header(request, "x-amz-server-side-encryption-customer-key") != NULL)
        return "SSE-C and another encryption exclude each other";
    if (context != NULL) {
        unsigned char json[512];
        size_t length = strlen(context);
        if (length > 600 || EVP_DecodeBlock(json, (const unsigned char *)context, (int)length) < 2 || json[0] != '{')
            return "the context is not JSON in base64";
    }
    return NULL;
}

bool options_fit(struct request *request)
{
    static const char *const classes[] = {"STANDARD",       "REDUCED_REDUNDANCY",  "STANDARD_IA", "ONEZONE_IA",
                                          "GLACIER",        "INTELLIGENT_TIERING", "GLACIER_IR",  "DEEP_ARCHIVE",
                                          "EXPRESS_ONEZONE"};
    static const char *const acls[] = {
        "private",       "public-read",       "public-read-write",        "authenticated-read",
        "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"};
    const char *class = header(request, "x-amz-storage-class"), *acl = header(request, "x-amz-acl");
    const char *tags = header(request, "x-amz-tagging"), *why = encryption(request);
    size_t count = tags != NULL && *tags != '\0';
    for (const char *c = tags; c != NULL && *c != '\0'; c++)
        count += *c == '&';
    if (why == NULL && class != NULL && !among(class, classes, COUNT_OF(classes)))
        why = "The storage class you specified is not valid";
    if (why == NULL && acl != NULL && !among(acl, acls, COUNT_OF(acls)))
        why = "the canned ACL is unknown";
    const char *mode = header(request, "x-amz-object-lock-mode"),
               *hold = header(request, "x-amz-object-lock-legal-hold");
    const char *until = header(request, "x-amz-object-lock-retain-until-date");
    if (why == NULL && mode != NULL && strcmp(mode, "GOVERNANCE") != 0 && strcmp(mode, "COMPLIANCE") != 0)
        why = "Unknown wormMode directive";
    if (why == NULL && (mode != NULL) != (until != NULL))
        why = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied";
    if (why == NULL && until != NULL && (strlen(until) < 20 || until[10] != 'T'))
        why = "The retain until date must be provided in ISO 8601 format";
    if (why == NULL && hold != NULL && strcmp(hold, "ON") != 0 && strcmp(hold, "OFF") != 0)
        why = "Legal Hold must be either of 'ON' or 'OFF'";
    if (why == NULL && count > 10)
        why = "Object tags cannot be greater than 10";
    if (why != NULL)
        reply_error(request, 400, "InvalidArgument", why);
    return why == NULL;
}

bool owner_fits(struct request *request)
{
    const char *owner = header(request, "x-amz-expected-bucket-owner");
    const char *source = header(request, "x-amz-source-expected-bucket-owner");
    if ((owner != NULL && strcmp(owner, OWNER) != 0) || (source != NULL && strcmp(source, OWNER) != 0)) {
        reply_error(request, 403, "AccessDenied", "the bucket is another account's");
        return false;
    }
    return true;
}

/* What a HEAD does not tell, told all the same where a test asks for it. */
void options_echo(struct request *request, const struct object *object)
{
    static const char *const told[] = {"x-amz-acl", "x-amz-server-side-encryption-aws-kms-key-id",
                                       "x-amz-server-side-encryption-context",
                                       "x-amz-server-side-encryption-bucket-key-enabled"};
    if (!atomic_load(&settings.echo))
        return;
    for (size_t i = 0; i < COUNT_OF(told); i++)
        if (object_get_header(object, told[i]) != NULL)
            reply_header(request, "x-amz-meta-echo-%s: %s", told[i] + strlen("x-amz-"),
                         object_get_header(object, told[i]));
    if (object->tagging != NULL)
        reply_header(request, "x-amz-meta-echo-tagging: %s", object->tagging);
}
