/* SPDX-License-Identifier: Apache-2.0
 * The table of stores that the contract is checked on (those with the fixture "other" by hand: ORBIT_TEST_S3_ENDPOINT
 * names them), and the run over one of them: test_contract NAME [FILTER], or -FILTER for all tests but those. */
#include "contract.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct contract contract;

static const struct store_kind kinds[] = {
    {"mem_object", "object", NULL, 256 << 10, true, true, true, .conditional_finish = true},
    {"mem_files", "files", NULL, 256 << 10, false, true, true, .conditional_finish = true},
    {"mem_sequential", "sequential", NULL, 256 << 10, false, true, true, .conditional_finish = true},
    {"mem_dropping", "dropping", NULL, 256 << 10, false, true, true, .conditional_finish = true},
    {"local", NULL, NULL, 256 << 10, false, true, true, .conditional_finish = true},
    {"sftp_openssh", NULL, NULL, 256 << 10, false, true, true, .conditional_finish = true, .whole_seconds = true,
     .command = "/usr/lib/openssh/sftp-server"},
    {"sftp_minimal", NULL, NULL, 256 << 10, false, true, true, .conditional_finish = true, .whole_seconds = true,
     .no_space = true, .command = SFTPD_PROGRAM},
    {"sftp_unruly", NULL, NULL, 256 << 10, false, true, true, .conditional_finish = true, .whole_seconds = true,
     .no_space = true, .command = SFTPD_PROGRAM " reorder=3 short_read=5000 empty_names=2 names=7 no_attributes=1"},
    {"sftp_ssh", NULL, NULL, 256 << 10, false, true, true, .conditional_finish = true, .whole_seconds = true,
     .sshd = "sshd"},
    {"sftp_chroot", NULL, NULL, 256 << 10, false, true, true, .conditional_finish = true, .whole_seconds = true,
     .sshd = "sshd_chroot"},
    {"sftp_proftpd", NULL, NULL, 256 << 10, false, true, true, .conditional_finish = true, .whole_seconds = true,
     .links_whole = true, .sshd = "sshd_proftpd"},
    {"s3_s3d", NULL, "s3d", 256 << 10, true, false, true, .conditional_finish = true},
    {"s3_rgw", NULL, "rgw", 5 << 20, true, false, .if_match = false},
    {"s3_minio", NULL, "other", 5 << 20, true, false, true, .paths = true, .provider = "minio", .plain_tags = true,
     .conditional_finish = true},
    {"s3_versitygw", NULL, "other", 5 << 20, true, false, true, .paths = true, .provider = "versitygw",
     .versions_page = 2, .plain_tags = true, .conditional_finish = true},
};

orbit_status contract_open_client(orbit_client **client, const orbit_client_options *options)
{
    orbit_error told;
    orbit_status status = orbit_client_open(client, options, &told);
    if (status < 0)
        print_error("cannot open a client: %s\n", told.message);
    return status;
}

static orbit_status open_s3(orbit_backend **backend, orbit_client *client, const char *bucket,
                            const orbit_open_options *options, orbit_error *error)
{
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    config.bucket = bucket;
    config.endpoint = contract.endpoint.url;
    config.region = contract.endpoint.region;
    config.access_key_id = contract.endpoint.access;
    config.secret_access_key = contract.endpoint.secret;
    config.provider = contract.kind->provider;
    if (strcmp(contract.kind->fixture, "s3d") == 0)
        config.part_min_bytes = 64 << 10; /* as the endpoint was told */
    return orbit_open_s3(backend, client, &config, options, error);
}

/* A server of this machine, or one that ssh reaches, on a directory of the test's. */
static orbit_status open_sftp(orbit_backend **backend, orbit_client *client, orbit_open_options *options,
                              orbit_error *error)
{
    char url[2048];
    bool ssh = contract.kind->sshd != NULL;
    orbit_pair settings[8] = {{ssh ? "config_file" : "command", ssh ? contract.sshd.config : contract.kind->command}};
    size_t count = options->setting_count < COUNT_OF(settings) ? options->setting_count : COUNT_OF(settings) - 1;
    for (size_t i = 0; i < count; i++)
        settings[i + 1] = options->settings[i];
    options->settings = settings;
    options->setting_count = count + 1;
    snprintf(url, sizeof(url), "sftp://direct%s", contract.remote[0] ? contract.remote : contract.root);
    return orbit_open(backend, client, url, options, error);
}

orbit_status contract_open_store(orbit_backend **backend, orbit_client *client, orbit_error *error)
{
    return contract_open_with(backend, client, NULL, 0, error);
}

orbit_status contract_open_with(orbit_backend **backend, orbit_client *client, const orbit_pair *settings, size_t count,
                                orbit_error *error)
{
    return contract_open_bucket(backend, client, "", settings, count, error);
}

orbit_status contract_open_bucket(orbit_backend **backend, orbit_client *client, const char *suffix,
                                  const orbit_pair *settings, size_t count, orbit_error *error)
{
    char name[128];
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    options.settings = settings;
    options.setting_count = count;
    options.chunk_size = contract.chunk;
    options.retry_attempts = 4;
    if (contract.kind->profile != NULL) {
        orbit_mem_config config = ORBIT_MEM_CONFIG_INIT;
        snprintf(name, sizeof(name), "contract%s", suffix);
        config.name = name;
        config.profile = contract.kind->profile;
        return orbit_open_mem(backend, client, &config, &options, error);
    }
    if (contract.kind->fixture != NULL) {
        snprintf(name, sizeof(name), "%s%s", contract.bucket, suffix);
        return open_s3(backend, client, name, &options, error);
    }
    if (contract.kind->command != NULL || contract.kind->sshd != NULL)
        return open_sftp(backend, client, &options, error);
    orbit_local_config config = ORBIT_LOCAL_CONFIG_INIT;
    config.root = contract.root;
    return orbit_open_local(backend, client, &config, &options, error);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about, (void)kind, (void)walk;
    return remove(path);
}

static int open_everything(void **state)
{
    orbit_error told;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    (void)state;
    contract.chunk = contract.kind->chunk;
    snprintf(contract.bucket, sizeof(contract.bucket), "contract-%ld-%ld", (long)getpid(), (long)time(NULL));
    if (contract.kind->fixture == NULL && contract.kind->profile == NULL) {
        if (contract.kind->sshd != NULL)
            sshd_of_fixture(&contract.sshd, contract.kind->sshd);
        snprintf(contract.root, sizeof(contract.root), "%s/orbit-contract-XXXXXX",
                 contract.kind->sshd != NULL ? contract.sshd.here : "/tmp");
        if (mkdtemp(contract.root) == NULL || chmod(contract.root, 0777) != 0)
            return -1;
        if (contract.kind->sshd != NULL)
            snprintf(contract.remote, sizeof(contract.remote), "%s%s", contract.sshd.files,
                     strrchr(contract.root, '/'));
    }
    if (contract.kind->fixture != NULL && strcmp(contract.kind->fixture, "s3d") == 0)
        endpoint_start(&contract.endpoint, "--store", "--set", "part_min=64K", NULL);
    else if (contract.kind->fixture != NULL)
        endpoint_of_fixture(&contract.endpoint, contract.kind->fixture);
    if (contract_open_client(&contract.client, NULL) < 0)
        return -1;
    orbit_status status = contract_open_store(&contract.backend, contract.client, &told);
    if (status >= 0 && contract.kind->fixture != NULL)
        status = orbit_container_create(contract.backend, &options, &told);
    if (status < 0)
        print_error("cannot open %s: %s\n", contract.kind->name, told.message);
    return status < 0 ? -1 : 0;
}

static int close_everything(void **state)
{
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    orbit_error told;
    orbit_status status = ORBIT_OK;
    (void)state;
    status = contract_keys_end();
    options.recursive = true;
    options.missing_ok = true;
    if (status >= 0 && contract.kind->fixture != NULL && contract.backend != NULL) {
        status = orbit_remove(contract.backend, "", &options, &told);
        if (status >= 0)
            status = orbit_container_remove(contract.backend, NULL, &told);
        if (status < 0)
            print_error("cannot remove the bucket: %s\n", told.message);
    }
    orbit_backend_close(contract.backend);
    orbit_client_close(contract.client);
    endpoint_stop(&contract.endpoint);
    if (contract.root[0] != '\0')
        nftw(contract.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[256];
    size_t count = 0;
    for (size_t i = 0; argc > 1 && i < COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].name, argv[1]) == 0)
            contract.kind = &kinds[i];
    if (contract.kind == NULL) {
        fprintf(stderr, "usage: test_contract STORE [[-]FILTER]\n");
        return 2;
    }
#define TAKE(group)                                 \
    for (size_t i = 0; i < group##_test_count; i++) \
    tests[count++] = group##_tests[i]
    TAKE(write);
    TAKE(read);
    TAKE(list);
    TAKE(manage);
    TAKE(control);
    TAKE(upload);
    TAKE(key);
    TAKE(version);
#undef TAKE
    if (argc > 2 && *argv[2] == '-')
        cmocka_set_skip_filter(argv[2] + 1);
    else if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return _cmocka_run_group_tests(contract.kind->name, tests, count, open_everything, close_everything);
}
