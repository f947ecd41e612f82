/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Operations that the pattern of a tenant's cgroup has at most; also the bytes of its text. */
#define TENANT_OPS_MAX 255
