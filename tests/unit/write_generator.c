/* SPDX-License-Identifier: Apache-2.0
 * Sources that generate what is written. */
#include "write_generator.h"

static orbit_status generate(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    struct generator *generator = ctx;
    if (generator->fail_at && generator->at >= generator->fail_at)
        return orbit_error_set(error, ORBIT_E_IO, 0, "the tap is dry");
    if (generator->pause_us)
        usleep(generator->pause_us);
    if (generator->at == generator->length)
        return ORBIT_END;
    uint64_t bytes = generator->length - generator->at;
    if (bytes > room)
        bytes = room;
    if (generator->step && bytes > generator->step)
        bytes = generator->step;
    for (uint64_t i = 0; i < bytes; i++)
        ((uint8_t *)buffer)[i] = wstore_byte(generator->at + i);
    generator->at += bytes;
    *length = (size_t)bytes;
    return ORBIT_OK;
}

static void generator_close(void *ctx)
{
    ((struct generator *)ctx)->closed++;
}

orbit_source source_of(struct generator *generator)
{
    orbit_source source = orbit_source_function(generate, generator);
    source.close = generator_close;
    return source;
}

void assert_there(const char *path, uint64_t length)
{
    if (!wstore_is_pattern(wstore_find(&fx.store, path), length))
        fail_msg("'%s' is not the %llu bytes it should be", path, (unsigned long long)length);
}
