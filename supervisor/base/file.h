/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Streams of stdio(3) and readdir(3) with one owner. */

#include <dirent.h>
#include <stdio.h>

#include "base/macro.h"

static inline void file_close_ptr(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* A stream that was only read, closed at the end of its scope; NULL is allowed. */
#define _cleanup_fclose_ cleanup(file_close_ptr)

static inline void dir_close_ptr(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* A directory that is closed at the end of its scope; NULL is allowed. */
#define _cleanup_closedir_ cleanup(dir_close_ptr)
