/* SPDX-License-Identifier: Apache-2.0 */

/*
 * User and group names for a static program. glibc's own functions load shared libraries for NSS,
 * which an empty container does not have and a static program must not need. These, linked before
 * the C library's, read /etc/passwd and /etc/group and nothing else: the files of the root
 * directory that fdwarden was started in.
 */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/file.h"

/* Returns 0 (with *ret NULL when there is none) or a positive errno, as getpwnam(3) says. */
int getpwnam_r(const char *name, struct passwd *entry, char *buf, size_t size, struct passwd **ret)
{
	_cleanup_fclose_ FILE *file = fopen("/etc/passwd", "re");
	int error;

	*ret = NULL;
	if (!file)
		return errno == ENOENT ? 0 : errno;
	while ((error = fgetpwent_r(file, entry, buf, size, ret)) == 0)
		if (strcmp(entry->pw_name, name) == 0)
			break;
	if (error)
		*ret = NULL;
	return error == ENOENT ? 0 : error;
}

/* The same for getgrnam(3). */
int getgrnam_r(const char *name, struct group *entry, char *buf, size_t size, struct group **ret)
{
	_cleanup_fclose_ FILE *file = fopen("/etc/group", "re");
	int error;

	*ret = NULL;
	if (!file)
		return errno == ENOENT ? 0 : errno;
	while ((error = fgetgrent_r(file, entry, buf, size, ret)) == 0)
		if (strcmp(entry->gr_name, name) == 0)
			break;
	if (error)
		*ret = NULL;
	return error == ENOENT ? 0 : error;
}

/*
 * libcgroup (rules of cgrulesengd) and libcap-ng (capng_change_id()) refer to these, in functions
 * that nothing here calls. They fail, should that change.
 */
struct passwd *getpwnam(const char *name)
{
	(void)name;
	errno = ENOSYS;
	return NULL;
}

struct passwd *getpwuid(uid_t uid)
{
	(void)uid;
	errno = ENOSYS;
	return NULL;
}

struct group *getgrnam(const char *name)
{
	(void)name;
	errno = ENOSYS;
	return NULL;
}

struct group *getgrgid(gid_t gid)
{
	(void)gid;
	errno = ENOSYS;
	return NULL;
}

int initgroups(const char *user, gid_t group)
{
	(void)user;
	(void)group;
	errno = ENOSYS;
	return -1;
}
