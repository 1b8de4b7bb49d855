/* SPDX-License-Identifier: Apache-2.0
 * Configuration of the SFTP backend. What makes ssh, or us, run a program is not taken from a URL: those are passed
 * on, pasted and read from files of others, and a host's name is no program. */
#include "backend/sftp/sftp_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"

static orbit_status add(const char **list, size_t *count, size_t max, const char *value, const char *what,
                        orbit_error *error)
{
    if (*count == max)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "more than %zu times %s for ssh", max, what);
    list[(*count)++] = value;
    return ORBIT_OK;
}

static orbit_status add_identity(struct sftp_config *config, const char *file, orbit_error *error)
{
    return add(config->identities, &config->identity_count, SFTP_IDENTITIES_MAX, file, "an identity file", error);
}

static orbit_status add_option(struct sftp_config *config, const char *option, orbit_error *error)
{
    return add(config->options, &config->option_count, SFTP_OPTIONS_MAX, option, "an option", error);
}

/* ---- URL ---- */

/* "user@host:port", "user@[::1]:port". */
static orbit_status take_authority(struct sftp_config *config, const orbit_open_request *request, orbit_error *error)
{
    const char *authority = request->authority ? request->authority : "", *at = strrchr(authority, '@');
    const char *host = at ? at + 1 : authority;
    uint64_t number = 0;
    bool bracket = *host == '[';
    const char *end = bracket ? strchr(host, ']') : host + strcspn(host, ":");
    if (!end)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the host of '%s' has '[' without ']'", request->url);
    const char *port = bracket ? end + 1 : end;
    host += bracket;
    if (*port && (*port != ':' || !orb_parse_u64(port + 1, &number) || number == 0 || number > 65535))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the port of '%s' is not a number from 1 to 65535", request->url);
    if (end == host && !config->command)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%s' names no host: sftp://host/path", request->url);
    config->host = orb_strndup(host, (size_t)(end - host));
    config->user = at ? orb_strndup(authority, (size_t)(at - authority)) : NULL;
    if (!config->host || (at && !config->user))
        return orb_fail_memory(error);
    if (config->user && orb_percent_decode(config->user, strlen(config->user), false) == SIZE_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the user of '%s' has a bad escape", request->url);
    config->ssh.host = config->host;
    config->ssh.user = config->user;
    config->ssh.port = (unsigned)number;
    config->root = request->path ? request->path : "";
    return ORBIT_OK;
}

/* ---- settings by name ---- */

static orbit_status take_setting(struct sftp_config *config, const orbit_open_request *request, size_t number,
                                 unsigned channels_max, orbit_error *error)
{
    const orbit_pair *pair = &request->settings[number];
    bool from_url = number < request->url_setting_count;
    if (orb_str_equal(pair->name, "identity"))
        return add_identity(config, pair->value, error);
    if (orb_str_equal(pair->name, "channels")) {
        if (orb_parse_u64(pair->value, &config->channels) && config->channels && config->channels <= channels_max)
            return ORBIT_OK;
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the setting channels='%.32s' is not a number from 1 to %u",
                        pair->value, channels_max);
    }
    const char **text = orb_str_equal(pair->name, "config_file") ? &config->ssh.config_file
                        : orb_str_equal(pair->name, "ssh")       ? &config->ssh.program
                        : orb_str_equal(pair->name, "command")   ? &config->command
                                                                 : NULL;
    bool option = orb_str_equal(pair->name, "option");
    if (!text && !option)
        return orb_fail(
            error, ORBIT_E_CONFIG, 0,
            "'%s' has no setting '%.64s' (there are identity, option, config_file, ssh, command and channels)",
            request->url, pair->name);
    if (from_url)
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "the setting '%s' can make a program run, so that it is not taken from a URL: give it as an "
                        "option (-o %s=…)",
                        pair->name, pair->name);
    if (option)
        return add_option(config, pair->value, error);
    *text = pair->value;
    return ORBIT_OK;
}

/* ---- the environment: ssh's own words, "-o Key=value -i FILE -F FILE" or "Key=value" alone ---- */

static orbit_status take_environment(struct sftp_config *config, orbit_error *error)
{
    char *words[SFTP_OPTIONS_MAX * 2];
    const char *line = getenv("ORBIT_SSH_OPTIONS");
    if (!line || !line[strspn(line, " \t")])
        return ORBIT_OK;
    if (!(config->environment = orb_strdup(line)))
        return orb_fail_memory(error);
    size_t count = orb_split_words(config->environment, words, sizeof words / sizeof *words);
    if (!count)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "ORBIT_SSH_OPTIONS has an open quote, or too many words");
    orbit_status status = ORBIT_OK;
    for (size_t i = 0; i < count && status >= 0; i++) {
        char kind = 'o', *value = words[i];
        if (*value == '-' && value[1] && strchr("oiF", value[1])) {
            kind = value[1];
            value = value[2] ? value + 2 : i + 1 < count ? words[++i] : NULL;
        }
        if (!value || *value == '-' || (kind == 'o' && !strchr(value, '=')))
            return orb_fail(error, ORBIT_E_CONFIG, 0,
                            "ORBIT_SSH_OPTIONS takes -o Key=value, -i FILE and -F FILE, not '%.64s'", words[i]);
        if (kind == 'i')
            status = add_identity(config, value, error);
        else if (kind == 'o')
            status = add_option(config, value, error);
        else if (!config->ssh.config_file)
            config->ssh.config_file = value;
    }
    return status;
}

/* ---- all of it ---- */

static orbit_status take_typed(struct sftp_config *config, const orbit_open_request *request, bool *no_prompt,
                               orbit_error *error)
{
    orbit_ssh_config typed = ORBIT_SSH_CONFIG_INIT;
    orbit_status status = orb_options_take(&typed, sizeof typed, request->config, "orbit_ssh_config", error);
    if (status >= 0 && !typed.host)
        status = orb_fail(error, ORBIT_E_CONFIG, 0, "an orbit_ssh_config needs a host");
    for (const char *const *at = typed.identity_files; status >= 0 && at && *at; at++)
        status = add_identity(config, *at, error);
    for (const char *const *at = typed.options; status >= 0 && at && *at; at++)
        status = add_option(config, *at, error);
    if (status < 0)
        return status;
    config->ssh.host = typed.host;
    config->ssh.user = typed.user;
    config->ssh.port = typed.port;
    config->ssh.config_file = typed.config_file;
    config->ssh.program = typed.program;
    config->ssh.password = typed.password;
    config->ssh.passphrase = typed.passphrase;
    config->channels = typed.channels;
    config->root = typed.root ? typed.root : "";
    *no_prompt = typed.no_prompt;
    return ORBIT_OK;
}

orbit_status sftp_config_take(struct sftp_config *config, orbit_host *host, const orbit_open_request *request,
                              unsigned channels_max, orbit_error *error)
{
    bool no_prompt = false;
    *config = (struct sftp_config){0};
    orbit_status status = request->config ? take_typed(config, request, &no_prompt, error) : ORBIT_OK;
    for (size_t i = 0; i < request->setting_count && status >= 0; i++)
        status = take_setting(config, request, i, channels_max, error);
    if (status >= 0 && !request->config)
        status = take_authority(config, request, error);
    if (status >= 0)
        status = take_environment(config, error);
    config->ssh.identities = config->identities;
    config->ssh.options = config->options;
    /* Six times: names, hosts on the way and authentication count, too. */
    config->ssh.connect_ns = (uint64_t)request->options->connect_timeout_ms * 6 * ORB_MS;
    if (!no_prompt)
        config->ssh.prompt = &host->prompt;
    return status;
}

void sftp_config_release(struct sftp_config *config)
{
    orb_free(config->user);
    orb_free(config->host);
    orb_free(config->environment);
    *config = (struct sftp_config){0};
}
