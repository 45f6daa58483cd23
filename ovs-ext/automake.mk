# SPDX-License-Identifier: Apache-2.0
include ovs-ext/engine/automake.mk

# Open vSwitch itself.  Anything that includes its headers has the stamp as a
# prerequisite, see below: some of those headers are made by its build.
nvo3_ovs_patches = \
	ovs-ext/patches/0001-dpif-netdev-derived-classes.patch \
	ovs-ext/patches/0002-netdev-batch-tunnel-hooks.patch \
	ovs-ext/patches/0003-ofproto-dpif-derived-classes.patch \
	ovs-ext/patches/0004-bridge-dpif-type-before-config.patch \
	ovs-ext/patches/0005-tnl-ports-several-ports.patch
EXTRA_DIST += ovs-ext/build-ovs $(nvo3_ovs_patches)

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
	ovs-ext/api/nvo3_host.h
