/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A descriptor over a unix socket (SCM_RIGHTS, unix(7)), bound to a byte that says what it is. */

/* Sends fd (borrowed) tagged with kind. Returns 0 or -errno; -EPIPE when the peer is gone. */
int message_send_fd(int sock, char kind, int fd);

/*
 * Receives one message. Stores its tag and its descriptor (close-on-exec, owned by the caller), or
 * -1 where it carried none. Returns 0, -ECONNRESET at the end of the stream, -EBADMSG for a message
 * that message_send_fd() did not make (its descriptors are closed), or another -errno.
 */
int message_receive_fd(int sock, char *ret_kind, int *ret_fd);
