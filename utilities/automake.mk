# SPDX-License-Identifier: Apache-2.0
bin_SCRIPTS += utilities/nvo3-pki
EXTRA_DIST += utilities/nvo3-pki
dist_man_MANS += doc/man/nvo3-pki.8
