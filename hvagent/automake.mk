# SPDX-License-Identifier: Apache-2.0
sbin_PROGRAMS += hvagent/hvagent

# All but what touches OVS, so that tests need none of it.
noinst_LIBRARIES += hvagent/libhvagent.a
hvagent_libhvagent_a_SOURCES = \
	hvagent/agent.cc \
	hvagent/agent.h \
	hvagent/announcer.cc \
	hvagent/announcer.h \
	hvagent/check/check.h \
	hvagent/check/credentials.cc \
	hvagent/check/facts.h \
	hvagent/check/finding.cc \
	hvagent/check/finding.h \
	hvagent/check/host.cc \
	hvagent/check/mtu.cc \
	hvagent/check/policy.cc \
	hvagent/check/reach.cc \
	hvagent/config.cc \
	hvagent/config.h \
	hvagent/config_reader.h \
	hvagent/config_tunnel.cc \
	hvagent/directory.cc \
	hvagent/directory.h \
	hvagent/groups.cc \
	hvagent/groups.h \
	hvagent/groups_exchange.cc \
	hvagent/groups_rules.h \
	hvagent/groups_switch.cc \
	hvagent/keying.cc \
	hvagent/keying.h \
	hvagent/keying_exchange.cc \
	hvagent/keying_rules.h \
	hvagent/libvirt/domain_xml.cc \
	hvagent/libvirt/domain_xml.h \
	hvagent/libvirt/hooks.cc \
	hvagent/libvirt/hooks.h \
	hvagent/multicast_member.cc \
	hvagent/multicast_member.h \
	hvagent/network_view.h \
	hvagent/nva_client.cc \
	hvagent/nva_client.h \
	hvagent/overlay.cc \
	hvagent/overlay.h \
	hvagent/peer.cc \
	hvagent/peer.h \
	hvagent/peer_keys.cc \
	hvagent/peer_trust.cc \
	hvagent/peer_view.cc \
	hvagent/peers.cc \
	hvagent/peers.h \
	hvagent/peers_switch.cc \
	hvagent/peers_view.cc \
	hvagent/policy_counters.cc \
	hvagent/policy_counters.h \
	hvagent/policy_flows.cc \
	hvagent/policy_flows.h \
	hvagent/policy_keeper.cc \
	hvagent/policy_keeper.h \
	hvagent/sa_client.cc \
	hvagent/sa_client.h \
	hvagent/server_client.cc \
	hvagent/server_client.h \
	hvagent/show.cc \
	hvagent/show.h \
	hvagent/show_json.h \
	hvagent/show_metrics.cc \
	hvagent/show_overlay.cc \
	hvagent/show_policy.cc \
	hvagent/show_policy.h \
	hvagent/show_split.cc \
	hvagent/split/hypervisor.cc \
	hvagent/split/hypervisor.h \
	hvagent/split/nve_messages.cc \
	hvagent/split/nve_side.cc \
	hvagent/split/nve_side.h \
	hvagent/split/throttle.cc \
	hvagent/split/throttle.h \
	hvagent/split/tsi_table.cc \
	hvagent/split/tsi_table.h \
	hvagent/split/tsi_wishes.cc \
	hvagent/split/tsi_wishes.h \
	hvagent/split/tsi_wishes_view.cc \
	hvagent/split/vm.h \
	hvagent/split/wish_list.cc \
	hvagent/split/wish_list.h \
	hvagent/tsi.cc \
	hvagent/tsi.h \
	hvagent/view.h \
	hvagent/vn_pipeline.cc \
	hvagent/vn_pipeline.h \
	hvagent/wake_timer.h \
	hvagent/wanted_peers.cc \
	hvagent/wanted_peers.h
hvagent_libhvagent_a_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_CFLAGS) $(OPENSSL_CFLAGS) $(LIBXML_CFLAGS)
$(hvagent_libhvagent_a_OBJECTS): lib/control/control.pb.h

# The only part that needs libvirt.
noinst_LIBRARIES += hvagent/libhvagentlibvirt.a
hvagent_libhvagentlibvirt_a_SOURCES = \
	hvagent/libvirt/libvirt_adapter.cc \
	hvagent/libvirt/libvirt_adapter.h
hvagent_libhvagentlibvirt_a_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS)

# The C side of the adapters, with OVS's headers and OVS's config.h.
noinst_LIBRARIES += hvagent/libhvagentovs.a
hvagent_libhvagentovs_a_SOURCES = \
	hvagent/openflow_adapter.c \
	hvagent/openflow_adapter.h \
	hvagent/openflow_bundle.c \
	hvagent/openflow_bundle.h \
	hvagent/openflow_fdb.c \
	hvagent/openflow_fdb.h \
	hvagent/openflow_flows.c \
	hvagent/openflow_flows.h \
	hvagent/openflow_packets.c \
	hvagent/openflow_packets.h \
	hvagent/openflow_ports.c \
	hvagent/openflow_ports.h \
	hvagent/openflow_zones.c \
	hvagent/openflow_zones.h \
	hvagent/ovsdb_adapter.c \
	hvagent/ovsdb_adapter.h
hvagent_libhvagentovs_a_CPPFLAGS = -I$(top_srcdir) $(OVS_CPPFLAGS)
$(hvagent_libhvagentovs_a_OBJECTS): $(OVS_STAMP)

hvagent_hvagent_SOURCES = \
	hvagent/check/run.cc \
	hvagent/commands.cc \
	hvagent/commands.h \
	hvagent/libvirt/libvirt_feed.cc \
	hvagent/libvirt/libvirt_feed.h \
	hvagent/main.cc \
	hvagent/ovs_feed.cc \
	hvagent/ovs_feed.h \
	hvagent/pipeline_feed.cc \
	hvagent/pipeline_feed.h
hvagent_hvagent_CPPFLAGS = $(hvagent_libhvagent_a_CPPFLAGS)
nvo3_hvagent_libs = \
	hvagent/libhvagent.a \
	lib/libnvo3daemon.a \
	lib/libnvo3control.a \
	lib/libnvo3asio.a \
	lib/libnvo3esp.a \
	lib/libnvo3policy.a \
	lib/libnvo3base.a
hvagent_hvagent_LDADD = hvagent/libhvagentovs.a hvagent/libhvagentlibvirt.a $(nvo3_hvagent_libs) lib/libnvo3daemonovs.a $(OVS_LIBS) \
	$(PROTOBUF_LIBS) $(LIBVIRT_LIBS) $(LIBXML_LIBS) $(IPSEC_MB_LIBS) $(OPENSSL_LIBS) $(BOOST_LIBS) -lpthread
EXTRA_hvagent_hvagent_DEPENDENCIES = $(OVS_STAMP) hvagent/libhvagentovs.a hvagent/libhvagentlibvirt.a lib/libnvo3daemonovs.a $(nvo3_hvagent_libs)
$(hvagent_hvagent_OBJECTS): lib/control/control.pb.h

# The agent's OVS thread without NVA and I/O thread, for tests/system/test_pipeline.py.
check_PROGRAMS += tests/support/pipeline_tool
tests_support_pipeline_tool_SOURCES = \
	hvagent/ovs_feed.cc \
	hvagent/pipeline_feed.cc \
	tests/support/pipeline_tool.cc
tests_support_pipeline_tool_CPPFLAGS = $(hvagent_libhvagent_a_CPPFLAGS)
tests_support_pipeline_tool_LDADD = $(hvagent_hvagent_LDADD)
EXTRA_tests_support_pipeline_tool_DEPENDENCIES = $(EXTRA_hvagent_hvagent_DEPENDENCIES)
$(tests_support_pipeline_tool_OBJECTS): lib/control/control.pb.h

EXTRA_DIST += hvagent/README.md

check_PROGRAMS += tests/unit/hvagent_tests
TESTS += tests/unit/hvagent_tests
tests_unit_hvagent_tests_SOURCES = \
	tests/support/fake_switch.cc \
	tests/support/fake_clock.h \
	tests/support/fake_switch.h \
	tests/support/test_pki.cc \
	tests/support/test_pki.h \
	tests/unit/hvagent/agent_credentials_test.cc \
	tests/unit/hvagent/agent_fixture.h \
	tests/unit/hvagent/agent_strangers_test.cc \
	tests/unit/hvagent/agent_test.cc \
	tests/unit/hvagent/check_test.cc \
	tests/unit/hvagent/config_test.cc \
	tests/unit/hvagent/directory_test.cc \
	tests/unit/hvagent/domain_xml_test.cc \
	tests/unit/hvagent/groups_fixture.h \
	tests/unit/hvagent/groups_switch_test.cc \
	tests/unit/hvagent/groups_test.cc \
	tests/unit/hvagent/hooks_test.cc \
	tests/unit/hvagent/keying_failures_test.cc \
	tests/unit/hvagent/keying_fixture.h \
	tests/unit/hvagent/keying_test.cc \
	tests/unit/hvagent/multicast_member_test.cc \
	tests/unit/hvagent/nva_client_fixture.h \
	tests/unit/hvagent/nva_client_messages_test.cc \
	tests/unit/hvagent/nva_client_test.cc \
	tests/unit/hvagent/overlay_test.cc \
	tests/unit/hvagent/policy_counters_test.cc \
	tests/unit/hvagent/policy_flows_test.cc \
	tests/unit/hvagent/policy_keeper_test.cc \
	tests/unit/hvagent/show_policy_test.cc \
	tests/unit/hvagent/show_test.cc \
	tests/unit/hvagent/split/hypervisor_test.cc \
	tests/unit/hvagent/split/nve_side_test.cc \
	tests/unit/hvagent/split/throttle_test.cc \
	tests/unit/hvagent/split/tsi_table_test.cc \
	tests/unit/hvagent/split/tsi_wishes_test.cc \
	tests/unit/hvagent/split/wish_list_test.cc \
	tests/unit/hvagent/tsi_test.cc \
	tests/unit/hvagent/vn_pipeline_test.cc \
	tests/unit/hvagent/wanted_peers_test.cc
tests_unit_hvagent_tests_CPPFLAGS = $(hvagent_libhvagent_a_CPPFLAGS) $(GTEST_CFLAGS) \
	-DNVO3_PKI='"$(abs_top_srcdir)/utilities/nvo3-pki"'
tests_unit_hvagent_tests_LDADD = $(nvo3_hvagent_libs) $(PROTOBUF_LIBS) $(LIBXML_LIBS) $(IPSEC_MB_LIBS) \
	$(OPENSSL_LIBS) $(BOOST_LIBS) $(GTEST_LIBS) -lgtest_main -lpthread
$(tests_unit_hvagent_tests_OBJECTS): lib/control/control.pb.h

dist_check_SCRIPTS += tests/unit/hvagent/nvo3_pki_test.sh
TESTS += tests/unit/hvagent/nvo3_pki_test.sh

# With libvirt's own test driver: real library, real events, no daemon.
check_PROGRAMS += tests/unit/libvirt_tests
TESTS += tests/unit/libvirt_tests
tests_unit_libvirt_tests_SOURCES = tests/unit/hvagent/libvirt_adapter_test.cc
tests_unit_libvirt_tests_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS) $(GTEST_CFLAGS)
tests_unit_libvirt_tests_LDADD = hvagent/libhvagentlibvirt.a hvagent/libhvagent.a lib/libnvo3base.a $(LIBVIRT_LIBS) $(LIBXML_LIBS) \
	$(GTEST_LIBS) -lgtest_main -lpthread

check_PROGRAMS += tests/fuzz/domain_xml.fuzz
TESTS += tests/fuzz/domain_xml.fuzz
tests_fuzz_domain_xml_fuzz_SOURCES = tests/fuzz/domain_xml_fuzz.cc $(FUZZ_MAIN)
tests_fuzz_domain_xml_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_domain_xml_fuzz_LDADD = hvagent/libhvagent.a lib/libnvo3base.a $(LIBXML_LIBS)
check_PROGRAMS += tests/fuzz/hook_input.fuzz
TESTS += tests/fuzz/hook_input.fuzz
tests_fuzz_hook_input_fuzz_SOURCES = tests/fuzz/hook_input_fuzz.cc utilities/libvirt-hook/exchange.cc $(FUZZ_MAIN)
tests_fuzz_hook_input_fuzz_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/utilities
tests_fuzz_hook_input_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_hook_input_fuzz_LDADD = hvagent/libhvagent.a lib/libnvo3base.a $(LIBXML_LIBS)
EXTRA_DIST += tests/fuzz/corpus/domain_xml tests/fuzz/corpus/hook_input
