/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* linux/memfd.h, with what the headers of the oldest distribution we build on (Linux 6.1) lack. */

#include <linux/memfd.h>
#include <sys/syscall.h>

/* Linux 6.3 */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* Linux 5.14, and later still on some machines; the number is the same on all of them. */
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
