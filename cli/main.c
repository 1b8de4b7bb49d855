/* SPDX-License-Identifier: Apache-2.0
 * The orbit command: takes the command line apart, runs a verb, ends with the exit code that fits. Uses the
 * public API only, like any other program. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "flags.h"
#include "output.h"
#include "session.h"
#include "verbs.h"

typedef void verb_function(struct session *session);

static verb_function *const verb_functions[VERB_COUNT] = {
    [VERB_DU] = verb_du,           [VERB_LS] = verb_ls,           [VERB_STAT] = verb_stat,
    [VERB_CAT] = verb_cat,         [VERB_PUT] = verb_copy,        [VERB_CP] = verb_copy,
    [VERB_MV] = verb_copy,         [VERB_RM] = verb_rm,           [VERB_MKDIR] = verb_mkdir,
    [VERB_RMDIR] = verb_rmdir,     [VERB_MB] = verb_bucket,       [VERB_RB] = verb_bucket,
    [VERB_UPLOADS] = verb_uploads, [VERB_PRESIGN] = verb_presign, [VERB_VERSIONS] = verb_versions,
    [VERB_TAG] = verb_tag,         [VERB_DOCTOR] = verb_doctor,
};

static void run_verb(struct session *session, enum verb verb)
{
    verb_function *function = verb_functions[verb];
    if (function) /* the others need no session and ended before */
        function(session);
}

/* A program that starts with a closed descriptor would write its messages into the first file it opens. */
static void open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static int print_version(void)
{
    output_string("orbit ");
    output_string(orbit_version());
    output_string("\n");
    return 0;
}

/* What needs no store. -1: it was something else. */
static int without_session(const struct options *options)
{
    if (options->version || (options->verb == VERB_VERSION && !options->help))
        return print_version();
    if (options->verb == VERB_HELP && options->argument_count && !options->help) {
        enum verb verb = verb_find(options->arguments[0]);
        if (!verb)
            return usage_error(VERB_HELP, "unknown verb '%s'", options->arguments[0]);
        help_print(verb);
        return 0;
    }
    if (options->help || options->verb == VERB_HELP) {
        help_print(options->verb == VERB_HELP && !options->help ? VERB_NONE : options->verb);
        return 0;
    }
    return -1;
}

/* Help that could not be written is an error like any other. */
static int end_of_text(int code)
{
    output_flush();
    if (!output_failed() || code)
        return code;
    output_talk("orbit: cannot write to standard output");
    return output_failed() == ENOSPC ? 7 : 1;
}

int main(int argc, char **argv)
{
    struct options options;
    struct session session;
    int code;

    open_standard_descriptors();
    output_start();
    if (!options_parse(&options, argc, argv)) {
        options_release(&options);
        return 2;
    }
    code = without_session(&options);
    if (code >= 0) {
        options_release(&options);
        return end_of_text(code);
    }
    code = session_open(&session, &options);
    if (!code) {
        run_verb(&session, options.verb);
        code = session_finish(&session);
    }
    session_close(&session);
    options_release(&options);
    return code;
}
