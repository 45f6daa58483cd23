#! /bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run_replay.sh TARGET [CORPUS]: runs the fuzz target on each input of its
# corpus, by default tests/fuzz/corpus/<x> for tests/fuzz/<x>.fuzz.  Serves the
# tests that end in .fuzz (see automake.mk); works for libFuzzer as well.
set -u

target=$1
name=$(basename "$target" .fuzz)
corpus=${2:-${srcdir:-.}/tests/fuzz/corpus/$name}

if [ ! -x "$target" ]; then
    echo "$target: not built" >&2
    exit 99
fi
if [ -z "$(ls -A "$corpus" 2>/dev/null)" ]; then
    echo "$corpus: no corpus" >&2
    exit 99
fi
case $target in */*) ;; *) target=./$target ;; esac
# -runs=0 makes libFuzzer replay and stop; replay_main.cc ignores it.
exec "$target" -runs=0 "$corpus"
