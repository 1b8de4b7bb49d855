// SPDX-License-Identifier: Apache-2.0
// The public headers from C++: compiles, links, and a client opens and closes.
#include <cstdio>

#include <orbit/orbit.h>

int main()
{
    orbit_error   error{};
    orbit_client *client = nullptr;
    if (orbit_client_open(&client, nullptr, &error) < 0) {
        std::fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    orbit_list_options options;
    orbit_list_options_init(&options);
    orbit_client_close(client);
    return options.size == sizeof options ? 0 : 1;
}
