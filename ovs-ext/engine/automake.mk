# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += ovs-ext/libnvo3engine.a
ovs_ext_libnvo3engine_a_SOURCES = \
	ovs-ext/engine/abi.cc \
	ovs-ext/engine/agent_socket.cc \
	ovs-ext/engine/agent_socket.h \
	ovs-ext/engine/counters.cc \
	ovs-ext/engine/counters.h \
	ovs-ext/engine/engine.cc \
	ovs-ext/engine/engine.h \
	ovs-ext/engine/guard.cc \
	ovs-ext/engine/guard.h \
	ovs-ext/engine/guard_rules.cc \
	ovs-ext/engine/guard_rules.h \
	ovs-ext/engine/json.cc \
	ovs-ext/engine/json.h \
	ovs-ext/engine/notices.cc \
	ovs-ext/engine/notices.h \
	ovs-ext/engine/notifier.cc \
	ovs-ext/engine/notifier.h \
	ovs-ext/engine/packet.cc \
	ovs-ext/engine/peers.cc \
	ovs-ext/engine/peers.h \
	ovs-ext/engine/port_config.cc \
	ovs-ext/engine/port_config.h \
	ovs-ext/engine/ports.cc \
	ovs-ext/engine/ports.h \
	ovs-ext/engine/report.cc \
	ovs-ext/engine/sa_keeper.cc \
	ovs-ext/engine/sa_keeper.h
EXTRA_DIST += ovs-ext/engine/README.md

check_PROGRAMS += tests/unit/engine_tests
TESTS += tests/unit/engine_tests
tests_unit_engine_tests_SOURCES = \
	tests/support/agent_client.h \
	tests/support/fake_host.cc \
	tests/support/fake_host.h \
	tests/unit/engine/agent_socket_test.cc \
	tests/unit/engine/engine_agent_test.cc \
	tests/unit/engine/engine_nva_test.cc \
	tests/unit/engine/engine_fixture.h \
	tests/unit/engine/engine_packet_test.cc \
	tests/unit/engine/engine_threads_test.cc \
	tests/unit/engine/guard_test.cc \
	tests/unit/engine/json_test.cc \
	tests/unit/engine/notices_test.cc \
	tests/unit/engine/peers_test.cc \
	tests/unit/engine/port_config_test.cc
tests_unit_engine_tests_CPPFLAGS = $(AM_CPPFLAGS) $(GTEST_CFLAGS)
tests_unit_engine_tests_LDADD = \
	ovs-ext/libnvo3engine.a \
	lib/libnvo3esp.a \
	lib/libnvo3base.a \
	$(IPSEC_MB_LIBS) $(OPENSSL_LIBS) $(GTEST_LIBS) -lgtest_main -lpthread

check_PROGRAMS += tests/fuzz/sa_protocol.fuzz tests/fuzz/sa_protocol_corpus
TESTS += tests/fuzz/sa_protocol.fuzz
tests_fuzz_sa_protocol_fuzz_SOURCES = tests/fuzz/sa_protocol_fuzz.cc $(FUZZ_MAIN)
tests_fuzz_sa_protocol_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_sa_protocol_fuzz_LDADD = lib/libnvo3esp.a lib/libnvo3base.a $(IPSEC_MB_LIBS) $(OPENSSL_LIBS)
tests_fuzz_sa_protocol_corpus_SOURCES = tests/fuzz/sa_protocol_corpus.cc
tests_fuzz_sa_protocol_corpus_LDADD = lib/libnvo3esp.a lib/libnvo3base.a $(IPSEC_MB_LIBS) $(OPENSSL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/sa_protocol
