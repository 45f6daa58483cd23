# SPDX-License-Identifier: Apache-2.0
AC_DEFUN([NVO3_OVS], [])
