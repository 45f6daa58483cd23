# SPDX-License-Identifier: Apache-2.0
#
# NVO3_OVS: finds the Open vSwitch source that the switch is built from.
#
# Nothing is built here: ovs-ext/build-ovs does that in "make", once for each
# set of patches and options, into OVS_BUILD.  Sets for Makefile.am:
#   OVS_SOURCE OVS_VERSION OVS_BUILD OVS_CONFIGURE_FLAGS
#   OVS_STAMP          made when OVS is built; what includes a header of OVS or
#                      links one of its libraries depends on it
#   OVS_CPPFLAGS       for files that include headers of OVS.  They do not
#                      include <config.h>, these flags do (OVS's; ours is nvo3_config.h)
#   OVS_LIBS           libopenvswitch and what it needs
#   OVS_SWITCH_LIBS    the objects and libraries of ovs-vswitchd besides that
AC_DEFUN([NVO3_OVS], [
  AC_ARG_VAR([OVS_CFLAGS], [C compiler flags for Open vSwitch itself (default: -g -O2)])
  AS_VAR_SET_IF([OVS_CFLAGS], [], [OVS_CFLAGS="-g -O2"])
  AC_ARG_WITH([ovs-source],
    [AS_HELP_STRING([--with-ovs-source=DIR|TARBALL],
      [Open vSwitch 3.1 source (default: that of Debian's package openvswitch-source)])],
    [], [with_ovs_source=/usr/src/openvswitch/openvswitch.tar.gz])
  AC_ARG_WITH([ovs-build],
    [AS_HELP_STRING([--with-ovs-build=DIR],
      [use the Open vSwitch that "make" in another build directory of ovs-nvo3 has left in DIR])],
    [], [with_ovs_build=no])

  AC_PATH_PROG([FLOCK], [flock])
  AC_PATH_PROG([PATCH], [patch])
  AS_IF([test -z "$FLOCK" || test -z "$PATCH"],
    [AC_MSG_ERROR([flock and patch are needed: install util-linux and patch])])

  AC_MSG_CHECKING([for the Open vSwitch source])
  AS_CASE([$with_ovs_source],
    [yes|no], [AC_MSG_ERROR([--with-ovs-source needs a directory or a tarball])])
  AS_IF([test -f "$with_ovs_source"],
      [OVS_VERSION=`tar -xOf "$with_ovs_source" --wildcards '*/configure.ac' --no-wildcards-match-slash 2>/dev/null | sed -n 's/^A._INIT(openvswitch, \(@<:@0-9.@:>@*\),.*/\1/p' | head -n 1`],
    [test -f "$with_ovs_source/configure.ac"],
      [OVS_VERSION=`sed -n 's/^A._INIT(openvswitch, \(@<:@0-9.@:>@*\),.*/\1/p' "$with_ovs_source/configure.ac"`],
    [AC_MSG_ERROR([$with_ovs_source not found: install the package openvswitch-source (3.1), or name a source by --with-ovs-source])])
  AS_CASE([$OVS_VERSION],
    [3.1.*], [],
    [''], [AC_MSG_ERROR([$with_ovs_source is not an Open vSwitch source: its configure.ac does not say openvswitch])],
    [AC_MSG_ERROR([$with_ovs_source is Open vSwitch $OVS_VERSION, but the switch is made from 3.1: install Debian 12's package openvswitch-source])])
  OVS_SOURCE=`cd "\`AS_DIRNAME(["$with_ovs_source"])\`" && pwd`/`AS_BASENAME(["$with_ovs_source"])`
  AC_MSG_RESULT([$OVS_SOURCE ($OVS_VERSION)])

  # Missing, these would only be noticed by the configure of OVS, during make.
  AC_CHECK_HEADER([bpf/libbpf.h], [], [AC_MSG_ERROR([install libbpf-dev: Open vSwitch needs it for AF_XDP])])
  AC_CHECK_HEADER([xdp/xsk.h], [], [AC_MSG_ERROR([install libxdp-dev: Open vSwitch needs it for AF_XDP])], [#include <stddef.h>])
  AC_CHECK_HEADER([numa.h], [], [AC_MSG_ERROR([install libnuma-dev: Open vSwitch needs it for AF_XDP])])
  AC_CHECK_HEADER([cap-ng.h], [], [AC_MSG_ERROR([install libcap-ng-dev: Open vSwitch needs it to drop privileges])])

  AS_IF([test "x$with_ovs_build" = xno],
    [OVS_BUILD=`pwd`/ovs],
    [test -f "$with_ovs_build/nvo3-stamp"],
    [OVS_BUILD=`cd "$with_ovs_build" && pwd`],
    [AC_MSG_ERROR([no finished Open vSwitch in $with_ovs_build: run make in the build directory it belongs to])])
  AM_CONDITIONAL([OVS_REUSE], [test "x$with_ovs_build" != xno])

  AC_SUBST([OVS_SOURCE])
  AC_SUBST([OVS_VERSION])
  AC_SUBST([OVS_BUILD])
  # The same directories for OVS as for us: its run directory is where the
  # switch, the agent and the system's own ovs-vsctl meet.
  nvo3_prefix=$prefix
  AS_IF([test "x$nvo3_prefix" = xNONE], [nvo3_prefix=$ac_default_prefix])
  nvo3_dirs=`prefix=$nvo3_prefix; eval "echo --prefix=$nvo3_prefix --sysconfdir=$sysconfdir --localstatedir=$localstatedir"`
  AC_SUBST([OVS_CONFIGURE_FLAGS], ["--enable-afxdp --enable-ssl --disable-shared $nvo3_dirs"])
  AC_SUBST([OVS_STAMP], ['$(OVS_BUILD)/nvo3-stamp'])
  AC_SUBST([OVS_CPPFLAGS], ['-include $(OVS_BUILD)/config.h -I$(OVS_BUILD)/include -I$(OVS_BUILD)/lib -I$(OVS_BUILD)'])
  AC_SUBST([OVS_LIBS], ['@$(OVS_BUILD)/nvo3-libs'])
  AC_SUBST([OVS_SWITCH_LIBS], ['@$(OVS_BUILD)/nvo3-switch-libs'])
])
