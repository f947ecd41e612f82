/* SPDX-License-Identifier: Apache-2.0 */

/* Makes a memfd called "probe" and uses it; needs no file but itself. */

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
	static const char text[] = "hello";
	char back[sizeof(text)] = "";
	int fd = memfd_create("probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0) {
		perror("memfd_create");
		return 1;
	}
	if (write(fd, text, sizeof(text)) != sizeof(text) ||
		pread(fd, back, sizeof(back), 0) != sizeof(back) || strcmp(text, back) != 0) {
		perror("write and read");
		return 2;
	}
	return 0;
}
