#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# localize.sh OUTPUT.a INPUT.a: the static library with only its public symbols visible, so that our
# names cannot clash with those of the program that embeds it, as in the shared one.
set -eu
object=$1.o
"${LD:-ld}" -r --whole-archive "$2" -o "$object"
"${OBJCOPY:-objcopy}" --localize-hidden "$object"
rm -f "$1"
"${AR:-ar}" crs "$1" "$object"
rm -f "$object"
