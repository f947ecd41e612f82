/* SPDX-License-Identifier: Apache-2.0 */

/*
 * User and group names for a static program. glibc's own functions load shared libraries for NSS,
 * which an empty container does not have and a static program must not need. These, linked before
 * the C library's (policies name users; libcgroup refers to all six), read /etc/passwd and
 * /etc/group and nothing else: the files of the root directory that fdwarden was started in.
 */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

static const char passwd_path[] = "/etc/passwd";
static const char group_path[] = "/etc/group";

/* A NULL name matches by id. Returns 0 (with *ret NULL when there is none) or a positive errno. */
static int passwd_find(const char *name, uid_t uid, struct passwd *entry, char *buf, size_t size,
	struct passwd **ret)
{
	FILE *file = fopen(passwd_path, "re");
	int error;

	*ret = NULL;
	if (!file)
		return errno == ENOENT ? 0 : errno;
	while ((error = fgetpwent_r(file, entry, buf, size, ret)) == 0)
		if (name ? strcmp(entry->pw_name, name) == 0 : entry->pw_uid == uid)
			break;
	fclose(file);
	if (error)
		*ret = NULL;
	return error == ENOENT ? 0 : error;
}

static int group_find(const char *name, gid_t gid, struct group *entry, char *buf, size_t size,
	struct group **ret)
{
	FILE *file = fopen(group_path, "re");
	int error;

	*ret = NULL;
	if (!file)
		return errno == ENOENT ? 0 : errno;
	while ((error = fgetgrent_r(file, entry, buf, size, ret)) == 0)
		if (name ? strcmp(entry->gr_name, name) == 0 : entry->gr_gid == gid)
			break;
	fclose(file);
	if (error)
		*ret = NULL;
	return error == ENOENT ? 0 : error;
}

int getpwnam_r(const char *name, struct passwd *entry, char *buf, size_t size, struct passwd **ret)
{
	return passwd_find(name, 0, entry, buf, size, ret);
}

int getgrnam_r(const char *name, struct group *entry, char *buf, size_t size, struct group **ret)
{
	return group_find(name, 0, entry, buf, size, ret);
}

/* The four below keep their result until the next call, as getpwnam(3) says. */
static struct passwd *passwd_keep(const char *name, uid_t uid)
{
	static struct passwd entry;
	static char buf[4096];
	struct passwd *found;

	errno = passwd_find(name, uid, &entry, buf, sizeof(buf), &found);
	return found;
}

static struct group *group_keep(const char *name, gid_t gid)
{
	static struct group entry;
	static char buf[65536]; /* a group's line names its members */
	struct group *found;

	errno = group_find(name, gid, &entry, buf, sizeof(buf), &found);
	return found;
}

struct passwd *getpwnam(const char *name)
{
	return passwd_keep(name, 0);
}

struct passwd *getpwuid(uid_t uid)
{
	return passwd_keep(NULL, uid);
}

struct group *getgrnam(const char *name)
{
	return group_keep(name, 0);
}

struct group *getgrgid(gid_t gid)
{
	return group_keep(NULL, gid);
}
