# SPDX-License-Identifier: Apache-2.0
sbin_PROGRAMS += nva/nvo3-nva
bin_PROGRAMS += nva/nvo3-nvactl

nvo3schemadir = $(datadir)/openvswitch
nvo3schema_DATA = nva/nvo3.ovsschema
EXTRA_DIST += nva/README.md nva/nvo3-idl.ann nva/nvo3.ovsschema

# The C interface to the schema, made by OVS's own generator.
nvo3_ovsdb_idlc = PYTHONPATH='$(OVS_BUILD)/python' PYTHONDONTWRITEBYTECODE=1 $(PYTHON3) '$(OVS_BUILD)/ovsdb/ovsdb-idlc.in'
nva/nvo3-idl.ovsidl: nva/nvo3.ovsschema nva/nvo3-idl.ann $(OVS_STAMP)
	$(AM_V_GEN)$(MKDIR_P) nva && \
	$(nvo3_ovsdb_idlc) annotate $(srcdir)/nva/nvo3.ovsschema $(srcdir)/nva/nvo3-idl.ann >$@.tmp && mv $@.tmp $@
nva/nvo3-idl.c: nva/nvo3-idl.ovsidl
	$(AM_V_GEN)$(nvo3_ovsdb_idlc) c-idl-source nva/nvo3-idl.ovsidl >$@.tmp && mv $@.tmp $@
nva/nvo3-idl.h: nva/nvo3-idl.ovsidl
	$(AM_V_GEN)$(nvo3_ovsdb_idlc) c-idl-header nva/nvo3-idl.ovsidl >$@.tmp && mv $@.tmp $@
CLEANFILES += nva/nvo3-idl.ovsidl nva/nvo3-idl.c nva/nvo3-idl.h

# All but what touches OVS, so that tests need none of it.
noinst_LIBRARIES += nva/libnva.a
nva_libnva_a_SOURCES = \
	nva/change_queue.cc \
	nva/change_queue.h \
	nva/directory.cc \
	nva/directory.h \
	nva/groups.cc \
	nva/groups.h \
	nva/model.h \
	nva/nva.cc \
	nva/network_policy.cc \
	nva/network_policy.h \
	nva/nva.h \
	nva/policies.cc \
	nva/policies.h \
	nva/policy_check.cc \
	nva/policy_check.h \
	nva/policy_model.cc \
	nva/policy_model.h \
	nva/presence.cc \
	nva/presence.h \
	nva/service.cc \
	nva/service.h \
	nva/service_mappings.cc \
	nva/service_presence.cc \
	nva/show.cc \
	nva/show.h \
	nva/show_metrics.cc \
	nva/store_model.cc \
	nva/store_model.h \
	nva/store_writer.h \
	nva/view.h
nva_libnva_a_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_CFLAGS) $(OPENSSL_CFLAGS)
$(nva_libnva_a_OBJECTS): lib/control/control.pb.h

# The C side, with OVS's headers and OVS's config.h.
noinst_LIBRARIES += nva/libnvaovs.a
nva_libnvaovs_a_SOURCES = \
	nva/store.c \
	nva/store.h
nodist_nva_libnvaovs_a_SOURCES = \
	nva/nvo3-idl.c \
	nva/nvo3-idl.h
nva_libnvaovs_a_CPPFLAGS = -I$(top_srcdir) -I$(top_builddir) $(OVS_CPPFLAGS)
$(nva_libnvaovs_a_OBJECTS): $(OVS_STAMP) nva/nvo3-idl.h

nva_nvo3_nva_SOURCES = \
	nva/command_line.cc \
	nva/command_line.h \
	nva/commands.cc \
	nva/commands.h \
	nva/main.cc \
	nva/store_feed.cc \
	nva/store_feed.h
nva_nvo3_nva_CPPFLAGS = $(nva_libnva_a_CPPFLAGS)
nvo3_nva_libs = \
	nva/libnva.a \
	lib/libnvo3daemon.a \
	lib/libnvo3control.a \
	lib/libnvo3asio.a \
	lib/libnvo3policy.a \
	lib/libnvo3esp.a \
	lib/libnvo3base.a
nva_nvo3_nva_LDADD = nva/libnvaovs.a $(nvo3_nva_libs) lib/libnvo3daemonovs.a $(OVS_LIBS) \
	$(PROTOBUF_LIBS) $(IPSEC_MB_LIBS) $(OPENSSL_LIBS) $(BOOST_LIBS) -lpthread
EXTRA_nva_nvo3_nva_DEPENDENCIES = $(OVS_STAMP) nva/libnvaovs.a lib/libnvo3daemonovs.a $(nvo3_nva_libs)
$(nva_nvo3_nva_OBJECTS): lib/control/control.pb.h

nva_nvo3_nvactl_SOURCES = \
	nva/nvactl.c \
	nva/nvactl.h \
	nva/nvactl_commands.c \
	nva/nvactl_graph.c \
	nva/nvactl_groups.c \
	nva/nvactl_networks.c \
	nva/nvactl_nves.c \
	nva/nvactl_policy.c \
	nva/nvactl_rows.c \
	nva/nvactl_rows.h
nva_nvo3_nvactl_CPPFLAGS = $(nva_libnvaovs_a_CPPFLAGS) \
	-DNVO3_PACKAGE='"$(PACKAGE_NAME)"' -DNVO3_VERSION='"$(PACKAGE_VERSION)"'
# The checks of policy_check.cc, so that the linker is that of C++.
nodist_EXTRA_nva_nvo3_nvactl_SOURCES = nva/none.cc
nvo3_nvactl_libs = nva/libnva.a lib/libnvo3policy.a lib/libnvo3base.a
nva_nvo3_nvactl_LDADD = nva/libnvaovs.a $(nvo3_nvactl_libs) $(OVS_LIBS)
EXTRA_nva_nvo3_nvactl_DEPENDENCIES = $(OVS_STAMP) nva/libnvaovs.a $(nvo3_nvactl_libs)
$(nva_nvo3_nvactl_OBJECTS): $(OVS_STAMP) nva/nvo3-idl.h

check_PROGRAMS += tests/unit/nva_tests
TESTS += tests/unit/nva_tests
tests_unit_nva_tests_SOURCES = \
	tests/support/fake_clock.h \
	tests/support/test_pki.cc \
	tests/support/test_pki.h \
	tests/unit/nva/change_queue_test.cc \
	tests/unit/nva/directory_test.cc \
	tests/unit/nva/groups_test.cc \
	tests/unit/nva/nva_fixture.cc \
	tests/unit/nva/nva_fixture.h \
	tests/unit/nva/nva_test.cc \
	tests/unit/nva/policies_test.cc \
	tests/unit/nva/policy_model_test.cc \
	tests/unit/nva/presence_test.cc \
	tests/unit/nva/service_test.cc \
	tests/unit/nva/store_model_test.cc
tests_unit_nva_tests_CPPFLAGS = $(nva_libnva_a_CPPFLAGS) -I$(top_srcdir)/tests/support $(GTEST_CFLAGS)
tests_unit_nva_tests_LDADD = $(nvo3_nva_libs) $(PROTOBUF_LIBS) $(IPSEC_MB_LIBS) \
	$(OPENSSL_LIBS) $(BOOST_LIBS) $(GTEST_LIBS) -lgtest_main -lpthread
$(tests_unit_nva_tests_OBJECTS): lib/control/control.pb.h
