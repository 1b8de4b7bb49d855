/* SPDX-License-Identifier: Apache-2.0
 * The services that grant keys, below /_grant/: what they ask for is checked, what they give is good for this endpoint.
 *
 *   sts                 AssumeRole (signed), AssumeRoleWithWebIdentity (the token is "web-token"). The role ".../strict"
 *                       wants ExternalId "ext-42" and RoleSessionName "sess", ".../denied" is nobody's, ".../mfa" wants
 *                       TokenCode "123456" of SerialNumber "arn:aws:iam::1:mfa/me". GetCallerIdentity
 *   sso/federation/…    GetRoleCredentials: the token is "sso-token"
 *   oidc/token          CreateToken: the refresh token is "refresh-token" and the client "client" with "client-secret"
 *   container           the authorization is "container-token"
 *   imds/latest/…       the metadata service, version 2: the token is "imds-token", the role "instance-role"
 *
 * A granted key id is ASIA and the time of its end in milliseconds, so nothing has to be kept. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t grant_end_ms(const char *access, const char *token)
{
    char wanted[64];
    if (strncmp(access, "ASIA", 4) != 0 || token == NULL)
        return 0;
    snprintf(wanted, sizeof(wanted), "granted-token-%.24s", access + 4);
    return strcmp(token, wanted) == 0 ? strtoll(access + 4, NULL, 10) : 0;
}

struct grant {
    char access[48], token[64];
    struct text when; /* as the server's clock tells it */
    int64_t end_ms;
};

static void make_grant(struct grant *grant)
{
    int64_t life = atomic_load(&settings.grant_life_ms), until = atomic_load(&settings.grant_true_ms);
    int64_t now = now_ms();
    memset(grant, 0, sizeof(*grant));
    snprintf(grant->access, sizeof(grant->access), "ASIA%lld", (long long)(now + (until > 0 ? until : life)));
    snprintf(grant->token, sizeof(grant->token), "granted-token-%s", grant->access + 4);
    grant->end_ms = now + life + atomic_load(&settings.clock_offset_s) * 1000;
    text_time(&grant->when, grant->end_ms);
}

static const char *field(struct pair *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return fields[i].value;
    return "";
}

static void give_sts(struct request *request, const char *action)
{
    struct grant grant;
    struct text *out = &request->conn->body;
    make_grant(&grant);
    text_clear(out);
    text_format(out,
                "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><%sResult><Credentials>"
                "<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken>"
                "<Expiration>%s</Expiration></Credentials></%sResult></%sResponse>",
                action, action, grant.access, identity.secret, grant.token, grant.when.bytes, action, action);
    text_free(&grant.when);
    reply_xml(request, 200);
}

static void refuse_sts(struct request *request, const char *code, const char *message)
{
    struct text *out = &request->conn->body;
    text_clear(out);
    text_format(out,
                "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>",
                code, message);
    reply_xml(request, 403);
}

static void sts(struct request *request)
{
    struct pair fields[32];
    size_t count = 0;
    if (!body_all(request, 64 * 1024))
        return;
    char *form = need(strndup(request->conn->work.bytes, request->conn->work.length)), *copy = need(strdup(form));
    for (char *rest = copy, *piece; count < COUNT_OF(fields) && (piece = strsep(&rest, "&")) != NULL; count++) {
        char *value = strchr(piece, '=');
        if (value != NULL)
            *value++ = '\0';
        fields[count] = (struct pair){piece, value == NULL ? piece + strlen(piece) : value};
        url_decode(fields[count].value, strlen(fields[count].value), true);
    }
    const char *action = field(fields, count, "Action"), *role = field(fields, count, "RoleArn");
    bool strict = strstr(role, "/strict") != NULL;
    if (strcmp(action, "AssumeRoleWithWebIdentity") == 0) {
        if (strcmp(field(fields, count, "WebIdentityToken"), "web-token") == 0 && strstr(role, ":role/") != NULL)
            give_sts(request, action);
        else
            refuse_sts(request, "InvalidIdentityToken", "the token is not the one");
    } else if (strcmp(action, "GetCallerIdentity") == 0) {
        if (sign_check_form(request, form, strlen(form))) {
            struct text *out = &request->conn->body;
            text_clear(out);
            text_str(out, "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/tester</Arn>"
                          "<UserId>AIDA1</UserId><Account>1</Account></GetCallerIdentityResult>"
                          "</GetCallerIdentityResponse>");
            reply_xml(request, 200);
        }
    } else if (strcmp(action, "AssumeRole") != 0) {
        refuse_sts(request, "InvalidAction", "no such action");
    } else if (sign_check_form(request, form, strlen(form))) {
        bool mfa = strstr(role, "/mfa") == NULL ||
                   (strcmp(field(fields, count, "TokenCode"), "123456") == 0 &&
                    strcmp(field(fields, count, "SerialNumber"), "arn:aws:iam::1:mfa/me") == 0);
        if (strstr(role, ":role/") == NULL || strstr(role, "/denied") != NULL || !mfa ||
            (strict && (strcmp(field(fields, count, "ExternalId"), "ext-42") != 0 ||
                        strcmp(field(fields, count, "RoleSessionName"), "sess") != 0)))
            refuse_sts(request, "AccessDenied", "not authorized to perform: sts:AssumeRole");
        else
            give_sts(request, action);
    }
    free(form);
    free(copy);
}

static void say(struct request *request, int status, const char *text)
{
    reply(request, status, "text/plain", text, strlen(text));
}

static void give_json(struct request *request)
{
    struct grant grant;
    struct text *out = &request->conn->body;
    make_grant(&grant);
    text_clear(out);
    text_format(out,
                "{\"Code\":\"Success\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\",\"Token\":\"%s\","
                "\"Expiration\":\"%s\"}",
                grant.access, identity.secret, grant.token, grant.when.bytes);
    text_free(&grant.when);
    reply(request, 200, "application/json", out->bytes, out->length);
}

static void sso(struct request *request)
{
    const char *token = header(request, "x-amz-sso_bearer_token");
    const char *role = query_value(request, "role_name"), *account = query_value(request, "account_id");
    struct text *out = &request->conn->body;
    struct grant grant;
    if (token == NULL || strcmp(token, "sso-token") != 0) {
        say(request, 401, "{\"message\":\"Session token not found or invalid\"}");
        return;
    }
    if (role == NULL || strcmp(role, "Reader") != 0 || account == NULL || strcmp(account, "123456789012") != 0) {
        say(request, 403, "{\"message\":\"No access\"}");
        return;
    }
    make_grant(&grant);
    text_clear(out);
    text_format(out,
                "{\"roleCredentials\":{\"accessKeyId\":\"%s\",\"secretAccessKey\":\"%s\",\"sessionToken\":\"%s\","
                "\"expiration\":%lld}}",
                grant.access, identity.secret, grant.token, (long long)grant.end_ms);
    text_free(&grant.when);
    reply(request, 200, "application/json", out->bytes, out->length);
}

/* The body is small JSON of ours: what it must hold is looked for as text. */
static void oidc(struct request *request)
{
    static const char *const wanted[] = {"\"grantType\":\"refresh_token\"", "\"refreshToken\":\"refresh-token\"",
                                         "\"clientId\":\"client\"", "\"clientSecret\":\"client-secret\""};
    static const char given[] = "{\"accessToken\":\"sso-token\",\"expiresIn\":3600,\"refreshToken\":\"refresh-token\","
                                "\"tokenType\":\"Bearer\"}";
    if (!body_all(request, 64 * 1024))
        return;
    char *body = need(strndup(request->conn->work.bytes, request->conn->work.length));
    bool right = true;
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        right = right && strstr(body, wanted[i]) != NULL;
    free(body);
    if (right)
        reply(request, 200, "application/json", given, sizeof(given) - 1);
    else
        say(request, 400, "{\"error\":\"invalid_grant\"}");
}

static void instance(struct request *request, const char *what)
{
    static const char roles[] = "meta-data/iam/security-credentials/";
    const char *token = header(request, "x-aws-ec2-metadata-token");
    if (strcmp(what, "api/token") == 0) {
        bool right =
            strcmp(request->method, "PUT") == 0 && header(request, "x-aws-ec2-metadata-token-ttl-seconds") != NULL;
        say(request, right ? 200 : 400, right ? "imds-token" : "bad");
    } else if (token == NULL || strcmp(token, "imds-token") != 0) {
        say(request, 401, "version 2 only");
    } else if (strcmp(what, roles) == 0) {
        say(request, 200, "instance-role\n");
    } else if (strncmp(what, roles, sizeof(roles) - 1) == 0 && strcmp(what + sizeof(roles) - 1, "instance-role") == 0) {
        give_json(request);
    } else {
        say(request, 404, "not found");
    }
}

void grant_serve(struct request *request)
{
    const char *what = request->key, *authorization = header(request, "authorization");
    if (strcmp(what, "sts") == 0)
        sts(request);
    else if (strcmp(what, "sso/federation/credentials") == 0)
        sso(request);
    else if (strcmp(what, "oidc/token") == 0)
        oidc(request);
    else if (strncmp(what, "imds/latest/", 12) == 0)
        instance(request, what + 12);
    else if (strcmp(what, "container") == 0 && authorization != NULL && strcmp(authorization, "container-token") == 0)
        give_json(request);
    else
        say(request, 403, "no");
}
