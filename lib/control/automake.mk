# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/libnvo3control.a
lib_libnvo3control_a_SOURCES = \
	lib/control/audit.cc \
	lib/control/audit.h \
	lib/control/authorization.cc \
	lib/control/authorization.h \
	lib/control/connector.cc \
	lib/control/connector.h \
	lib/control/credentials.cc \
	lib/control/credentials.h \
	lib/control/endpoint.cc \
	lib/control/endpoint.h \
	lib/control/framer.cc \
	lib/control/framer.h \
	lib/control/group_keying.cc \
	lib/control/group_keying.h \
	lib/control/identity.cc \
	lib/control/identity.h \
	lib/control/keying.cc \
	lib/control/keying.h \
	lib/control/listener.cc \
	lib/control/listener.h \
	lib/control/message_check.cc \
	lib/control/message_check.h \
	lib/control/message_check_nva.cc \
	lib/control/message_check_split.cc \
	lib/control/pem.cc \
	lib/control/pem.h \
	lib/control/policy_text.cc \
	lib/control/policy_text.h \
	lib/control/rate_limiter.cc \
	lib/control/rate_limiter.h \
	lib/control/session.cc \
	lib/control/session_close.cc \
	lib/control/session_impl.h \
	lib/control/session_stream.cc \
	lib/control/session.h \
	lib/control/tls.cc \
	lib/control/tls_files.cc \
	lib/control/tls.h \
	lib/control/tls_internal.h \
	lib/control/tls_psk.cc \
	lib/control/tls_record.cc
nodist_lib_libnvo3control_a_SOURCES = \
	lib/control/control.pb.cc \
	lib/control/control.pb.h
lib_libnvo3control_a_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_CFLAGS) $(OPENSSL_CFLAGS)

EXTRA_DIST += lib/control/control.proto lib/control/README.md
BUILT_SOURCES += lib/control/control.pb.h
CLEANFILES += lib/control/control.pb.h lib/control/control.pb.cc

lib/control/control.pb.cc: lib/control/control.proto
	$(AM_V_GEN)$(MKDIR_P) lib/control && \
	$(PROTOC) --proto_path=$(top_srcdir)/lib --cpp_out=lib $(top_srcdir)/lib/control/control.proto
lib/control/control.pb.h: lib/control/control.pb.cc
	@test -f $@ || { rm -f lib/control/control.pb.cc && $(MAKE) $(AM_MAKEFLAGS) lib/control/control.pb.cc; }
# BUILT_SOURCES alone helps only "make all" and "make check".  Every object of
# whoever includes control/authorization.h or session.h needs this line as well.
$(lib_libnvo3control_a_OBJECTS): lib/control/control.pb.h

nvo3_control_libs = lib/libnvo3control.a lib/libnvo3asio.a lib/libnvo3base.a \
	$(PROTOBUF_LIBS) $(OPENSSL_LIBS) -lpthread

check_PROGRAMS += tests/unit/control_tests
TESTS += tests/unit/control_tests
tests_unit_control_tests_SOURCES = \
	tests/support/fake_clock.h \
	tests/support/policy_messages.h \
	tests/support/test_pki.cc \
	tests/support/test_pki.h \
	tests/unit/control/audit_test.cc \
	tests/unit/control/channel_test.cc \
	tests/unit/control/group_keying_test.cc \
	tests/unit/control/handshake_test.cc \
	tests/unit/control/identity_test.cc \
	tests/unit/control/listener_test.cc \
	tests/unit/control/messages_test.cc \
	tests/unit/control/parts_test.cc \
	tests/unit/control/policy_text_test.cc \
	tests/unit/control/session_test.cc \
	tests/unit/control/session_fixture.cc \
	tests/unit/control/session_fixture.h \
	tests/unit/control/tls_test.cc
tests_unit_control_tests_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/support \
	$(GTEST_CFLAGS) $(PROTOBUF_CFLAGS) $(OPENSSL_CFLAGS)
tests_unit_control_tests_LDADD = $(nvo3_control_libs) $(GTEST_LIBS) -lgtest_main
$(tests_unit_control_tests_OBJECTS): lib/control/control.pb.h

check_PROGRAMS += tests/fuzz/control_framer.fuzz tests/fuzz/control_envelope.fuzz \
	tests/fuzz/control_identity.fuzz
TESTS += tests/fuzz/control_framer.fuzz tests/fuzz/control_envelope.fuzz \
	tests/fuzz/control_identity.fuzz
tests_fuzz_control_framer_fuzz_SOURCES = tests/fuzz/control_framer_fuzz.cc $(FUZZ_MAIN)
tests_fuzz_control_framer_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_control_framer_fuzz_LDADD = $(nvo3_control_libs)
tests_fuzz_control_envelope_fuzz_SOURCES = tests/fuzz/control_envelope_fuzz.cc $(FUZZ_MAIN)
tests_fuzz_control_envelope_fuzz_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_CFLAGS) $(OPENSSL_CFLAGS)
tests_fuzz_control_envelope_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_control_envelope_fuzz_LDADD = $(nvo3_control_libs)
$(tests_fuzz_control_envelope_fuzz_OBJECTS): lib/control/control.pb.h
tests_fuzz_control_identity_fuzz_SOURCES = tests/fuzz/control_identity_fuzz.cc $(FUZZ_MAIN)
tests_fuzz_control_identity_fuzz_CPPFLAGS = $(AM_CPPFLAGS) $(OPENSSL_CFLAGS)
tests_fuzz_control_identity_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_control_identity_fuzz_LDADD = $(nvo3_control_libs)
EXTRA_DIST += tests/fuzz/corpus/control_framer tests/fuzz/corpus/control_envelope \
	tests/fuzz/corpus/control_identity

# Emulated NVEs, for tests and benchmarks of the NVA.
check_PROGRAMS += tests/support/nve_tool
tests_support_nve_tool_SOURCES = \
	tests/support/nve_client.cc \
	tests/support/nve_client.h \
	tests/support/nve_tool.cc \
	tests/support/nve_tool.h \
	tests/support/nve_tool_wrong.cc \
	tests/support/test_pki.cc \
	tests/support/test_pki.h
tests_support_nve_tool_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/support \
	$(PROTOBUF_CFLAGS) $(OPENSSL_CFLAGS)
tests_support_nve_tool_LDADD = $(nvo3_control_libs)
$(tests_support_nve_tool_OBJECTS): lib/control/control.pb.h
