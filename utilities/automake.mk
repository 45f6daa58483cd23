# SPDX-License-Identifier: Apache-2.0
bin_SCRIPTS += utilities/nvo3-doctor utilities/nvo3-metrics utilities/nvo3-pki
dist_man_MANS += doc/man/nvo3-doctor.8 doc/man/nvo3-metrics.8 doc/man/nvo3-pki.8

# Alert rules and a dashboard.
dist_pkgdata_DATA = utilities/monitoring/nvo3-alerts.yml utilities/monitoring/nvo3-dashboard.json

# libvirt's hook; packages link it from /etc/libvirt/hooks/qemu.d/nvo3.
pkglibexec_PROGRAMS += utilities/libvirt-hook/nvo3-libvirt-hook
utilities_libvirt_hook_nvo3_libvirt_hook_SOURCES = \
	utilities/libvirt-hook/exchange.cc \
	utilities/libvirt-hook/exchange.h \
	utilities/libvirt-hook/hook.cc
utilities_libvirt_hook_nvo3_libvirt_hook_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/utilities \
	-DNVO3_RUNDIR='"$(localstatedir)/run/openvswitch"'
utilities_libvirt_hook_nvo3_libvirt_hook_LDADD = lib/libnvo3base.a
dist_man_MANS += doc/man/nvo3-libvirt-hook.8
dist_check_SCRIPTS += tests/unit/utilities/libvirt_hook_test
TESTS += tests/unit/utilities/libvirt_hook_test
# By a variable, for automake would take it for the whole rule.
nvo3_hook_test_log = tests/unit/utilities/libvirt_hook_test.log
$(nvo3_hook_test_log): utilities/libvirt-hook/nvo3-libvirt-hook

EXTRA_DIST += \
	utilities/nvo3-doctor \
	utilities/nvo3-metrics \
	utilities/nvo3-pki \
	utilities/nvo3-sandbox \
	utilities/install-deps \
	utilities/build \
	utilities/run-tests \
	utilities/completion/nvo3-nvactl \
	utilities/completion/nvo3-pki \
	utilities/default/hvagent \
	utilities/default/nvo3-nva \
	utilities/logrotate/nvo3-nva \
	utilities/systemd/hvagent.service \
	utilities/systemd/nvo3-metrics.service \
	utilities/systemd/nvo3-metrics.timer \
	utilities/systemd/nvo3-nva.service \
	utilities/systemd/nvo3-store.service \
	utilities/tmpfiles/nvo3-nva.conf \
	utilities/lab/README.md \
	utilities/lab/__init__.py \
	utilities/lab/__main__.py \
	utilities/lab/capture.py \
	utilities/lab/daemons.py \
	utilities/lab/guest-init \
	utilities/lab/host.py \
	utilities/lab/kernel.py \
	utilities/lab/lab.py \
	utilities/lab/libvirt.py \
	utilities/lab/net.py \
	utilities/lab/nva.py \
	utilities/lab/pcap.py \
	utilities/lab/pki.py \
	utilities/lab/process.py \
	utilities/lab/programs.py \
	utilities/lab/sandbox.py \
	utilities/lab/vm.py
