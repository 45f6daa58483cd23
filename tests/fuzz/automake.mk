# SPDX-License-Identifier: Apache-2.0
#
# A fuzz target is a test program tests/fuzz/<x>.fuzz, made from <x>_fuzz.cc
# and $(FUZZ_MAIN), with its corpus in tests/fuzz/corpus/<x>/:
#
#   check_PROGRAMS += tests/fuzz/<x>.fuzz
#   TESTS += tests/fuzz/<x>.fuzz
#   tests_fuzz_<x>_fuzz_SOURCES = tests/fuzz/<x>_fuzz.cc $(FUZZ_MAIN)
#   tests_fuzz_<x>_fuzz_LDFLAGS = $(FUZZ_LINK)
#   tests_fuzz_<x>_fuzz_LDADD = the libraries
#   EXTRA_DIST += tests/fuzz/corpus/<x>
#
# "make check" replays the corpus.  With --enable-fuzzing (clang++) the target
# is linked with libFuzzer: tests/fuzz/<x>.fuzz DIR searches for more.
TEST_EXTENSIONS = .fuzz
FUZZ_LOG_COMPILER = $(SHELL) $(srcdir)/tests/fuzz/run_replay.sh
EXTRA_DIST += tests/fuzz/run_replay.sh tests/fuzz/replay_main.cc

if FUZZING
FUZZ_MAIN =
FUZZ_LINK = $(AM_LDFLAGS) $(FUZZ_ENGINE_FLAGS)
else
FUZZ_MAIN = tests/fuzz/replay_main.cc
FUZZ_LINK = $(AM_LDFLAGS)
endif
