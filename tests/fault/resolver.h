/* SPDX-License-Identifier: Apache-2.0
 * Names for tests, instead of the C library's: libcurl and Orbit ask this one. "many.test" has as many addresses of
 * this machine as the test says, "none.test" has none, every other name is 127.0.0.1; nothing has an IPv6 address. */
#ifndef ORB_TESTS_FAULT_RESOLVER_H
#define ORB_TESTS_FAULT_RESOLVER_H

enum { RESOLVER_MOST = 3 };

/* Of "many.test": 127.0.0.1 and the following ones; set before anybody asks. */
extern unsigned resolver_many;

#endif
