# SPDX-License-Identifier: Apache-2.0
include ovs-ext/engine/automake.mk

# Open vSwitch itself.  Anything that includes its headers has the stamp as a
# prerequisite, see below: some of those headers are made by its build.
nvo3_ovs_patches = \
	ovs-ext/patches/0001-dpif-netdev-derived-classes.patch \
	ovs-ext/patches/0002-netdev-batch-tunnel-hooks.patch \
	ovs-ext/patches/0003-ofproto-dpif-derived-classes.patch \
	ovs-ext/patches/0004-bridge-dpif-type-before-config.patch \
	ovs-ext/patches/0005-tnl-ports-several-ports.patch \
	ovs-ext/patches/0006-tnl-ports-datapath-types.patch \
	ovs-ext/patches/0007-dpif-no-help-for-userspace.patch \
	ovs-ext/patches/0008-ovs-router-multicast-source.patch \
	ovs-ext/patches/0009-xlate-tunnel-to-multicast.patch \
	ovs-ext/patches/0010-tnl-ports-multicast.patch \
	ovs-ext/patches/0011-ofproto-rule-check.patch \
	ovs-ext/patches/0012-ofproto-bridge-config.patch \
	ovs-ext/patches/0013-connmgr-connection-target.patch \
	ovs-ext/patches/0014-ipf-own-place.patch
EXTRA_DIST += ovs-ext/build-ovs $(nvo3_ovs_patches) \
	ovs-ext/patches/README.md \
	ovs-ext/shim/README.md

if OVS_REUSE
nvo3_ovs_action = check
else
nvo3_ovs_action = build
endif

nvo3_ovs_env = OVS_SOURCE='$(OVS_SOURCE)' OVS_VERSION='$(OVS_VERSION)' \
	OVS_BUILD='$(OVS_BUILD)' OVS_CFLAGS='$(OVS_CFLAGS)' CC='$(CC)' \
	OVS_CONFIGURE_FLAGS='$(OVS_CONFIGURE_FLAGS)' MAKE='$(MAKE)'

$(OVS_STAMP): $(nvo3_ovs_patches) ovs-ext/build-ovs
	+@srcdir=`cd $(srcdir) && pwd`; $(nvo3_ovs_env) $(SHELL) $$srcdir/ovs-ext/build-ovs \
	  $(nvo3_ovs_action) `for p in $(nvo3_ovs_patches); do echo $$srcdir/$$p; done`

.PHONY: ovs
ovs: $(OVS_STAMP)

if !OVS_REUSE
DISTCLEANFILES += ovs.log ovs.lock
distclean-local:
	rm -rf '$(OVS_BUILD)'
endif
AM_DISTCHECK_CONFIGURE_FLAGS = --with-ovs-build=$(OVS_BUILD)

noinst_HEADERS += \
	ovs-ext/api/nvo3_ext.h \
	ovs-ext/api/nvo3_guard.h \
	ovs-ext/api/nvo3_host.h

# The shim: C, the only place with OVS's internal headers.
noinst_LIBRARIES += ovs-ext/libnvo3shim.a
ovs_ext_libnvo3shim_a_SOURCES = \
	ovs-ext/shim/nvo3_dpif.c \
	ovs-ext/shim/nvo3_guard.c \
	ovs-ext/shim/nvo3_guard.h \
	ovs-ext/shim/nvo3_guard_steps.c \
	ovs-ext/shim/nvo3_host.c \
	ovs-ext/shim/nvo3_internal.h \
	ovs-ext/shim/nvo3_neigh.c \
	ovs-ext/shim/nvo3_ofproto.c \
	ovs-ext/shim/nvo3_packet.c \
	ovs-ext/shim/nvo3_ports.c \
	ovs-ext/shim/nvo3_shim.c \
	ovs-ext/shim/nvo3_shim.h \
	ovs-ext/shim/nvo3_unixctl.c \
	ovs-ext/shim/nvo3_vport.c
ovs_ext_libnvo3shim_a_CPPFLAGS = -I$(top_srcdir) $(OVS_CPPFLAGS)
$(ovs_ext_libnvo3shim_a_OBJECTS): $(OVS_STAMP)

# The switch.  Its main() and bridge.c are OVS's own objects; the program is
# installed beside the stock one, to be chosen by update-alternatives.
nvo3switchdir = $(libdir)/openvswitch-switch-nvo3
nvo3switch_PROGRAMS = ovs-ext/vswitchd/ovs-vswitchd
ovs_ext_vswitchd_ovs_vswitchd_SOURCES = ovs-ext/vswitchd/main_hooks.c
# Not a file: has automake link with the C++ compiler, for the engine's sake.
nodist_EXTRA_ovs_ext_vswitchd_ovs_vswitchd_SOURCES = ovs-ext/vswitchd/linker.cc
ovs_ext_vswitchd_ovs_vswitchd_CPPFLAGS = -I$(top_srcdir) $(OVS_CPPFLAGS) \
	-I$(OVS_BUILD)/vswitchd -DNVO3_VERSION='"$(PACKAGE_VERSION)"'
ovs_ext_vswitchd_ovs_vswitchd_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=bridge_init -Wl,--wrap=bridge_run \
	-Wl,--wrap=bridge_wait -Wl,--wrap=bridge_exit \
	-Wl,--wrap=tnl_neigh_set -Wl,--wrap=ovs_print_version \
	-Wl,--wrap=connmgr_run
nvo3_switch_own_libs = \
	ovs-ext/libnvo3shim.a \
	ovs-ext/libnvo3engine.a \
	lib/libnvo3esp.a \
	lib/libnvo3base.a
ovs_ext_vswitchd_ovs_vswitchd_LDADD = $(OVS_SWITCH_LIBS) \
	$(nvo3_switch_own_libs) $(OVS_LIBS) $(IPSEC_MB_LIBS) $(OPENSSL_LIBS)
EXTRA_ovs_ext_vswitchd_ovs_vswitchd_DEPENDENCIES = $(OVS_STAMP) \
	$(nvo3_switch_own_libs)
$(ovs_ext_vswitchd_ovs_vswitchd_OBJECTS): $(OVS_STAMP)

# Test programs of the switch; run-ovs-tests is for run-tests.
EXTRA_DIST += tests/run-ovs-tests
check_PROGRAMS += tests/support/sa_inject
tests_support_sa_inject_SOURCES = tests/support/sa_inject.cc
tests_support_sa_inject_LDADD = lib/libnvo3esp.a lib/libnvo3base.a \
	$(IPSEC_MB_LIBS) $(OPENSSL_LIBS)

check_PROGRAMS += tests/unit/shim/packet_test
TESTS += tests/unit/shim/packet_test
tests_unit_shim_packet_test_SOURCES = tests/unit/shim/packet_test.c
tests_unit_shim_packet_test_CPPFLAGS = -I$(top_srcdir) $(OVS_CPPFLAGS)
tests_unit_shim_packet_test_LDADD = ovs-ext/libnvo3shim.a $(OVS_LIBS)
EXTRA_tests_unit_shim_packet_test_DEPENDENCIES = $(OVS_STAMP) \
	ovs-ext/libnvo3shim.a
$(tests_unit_shim_packet_test_OBJECTS): $(OVS_STAMP)
