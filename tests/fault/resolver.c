/* SPDX-License-Identifier: Apache-2.0
 * The resolver of tests. Any thread. */
#include "resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SEEN __attribute__((visibility("default")))

unsigned resolver_many = RESOLVER_MOST;

SEEN int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    size_t count = node && strcmp(node, "many.test") == 0 ? resolver_many : 1;
    struct block {
        struct addrinfo info[RESOLVER_MOST];
        struct sockaddr_in address[RESOLVER_MOST];
    } *block = calloc(1, sizeof(*block));
    if (!block || (hints && hints->ai_family == AF_INET6) || (node && strcmp(node, "none.test") == 0)) {
        free(block);
        return EAI_NONAME;
    }
    for (size_t i = 0; i < count; i++) {
        block->address[i] = (struct sockaddr_in){.sin_family = AF_INET,
                                                 .sin_port = htons((uint16_t)(service ? atoi(service) : 0)),
                                                 .sin_addr = {htonl(INADDR_LOOPBACK + (uint32_t)i)}};
        block->info[i] = (struct addrinfo){.ai_family = AF_INET,
                                           .ai_socktype = SOCK_STREAM,
                                           .ai_protocol = IPPROTO_TCP,
                                           .ai_addrlen = sizeof(block->address[i]),
                                           .ai_addr = (struct sockaddr *)&block->address[i],
                                           .ai_next = i + 1 < count ? &block->info[i + 1] : NULL};
    }
    *found = block->info;
    return 0;
}

SEEN void freeaddrinfo(struct addrinfo *found)
{
    free(found);
}
