/* SPDX-License-Identifier: Apache-2.0
 * Functions that have no safe use here do not compile. Force-included in every file of the library. */
#ifndef ORB_BASE_BANNED_H
#define ORB_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORB_BANNED(function) sorry_##function##_is_banned_here

#undef strcpy
#define strcpy(to, from) ORB_BANNED(strcpy)
#undef strcat
#define strcat(to, from) ORB_BANNED(strcat)
#undef strncpy
#define strncpy(to, from, n) ORB_BANNED(strncpy)
#undef strncat
#define strncat(to, from, n) ORB_BANNED(strncat)
#undef strtok
#define strtok(text, separators) ORB_BANNED(strtok)
#undef sprintf
#define sprintf(...) ORB_BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) ORB_BANNED(vsprintf)
#undef abort
#define abort() ORB_BANNED(abort)
#undef exit
#define exit(status) ORB_BANNED(exit)

#endif
