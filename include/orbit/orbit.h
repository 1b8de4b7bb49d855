/* SPDX-License-Identifier: Apache-2.0
 * Orbit: streams between local disks and object stores, in constant memory. The umbrella header. */
#ifndef ORBIT_ORBIT_H
#define ORBIT_ORBIT_H

#include <orbit/backend.h>
#include <orbit/backend_ops.h>
#include <orbit/client.h>
#include <orbit/error.h>
#include <orbit/file.h>
#include <orbit/list.h>
#include <orbit/location.h>
#include <orbit/metadata.h>
#include <orbit/presign.h>
#include <orbit/probe.h>
#include <orbit/read.h>
#include <orbit/task.h>
#include <orbit/trace.h>
#include <orbit/transfer.h>
#include <orbit/uploads.h>
#include <orbit/write.h>

#endif
