# SPDX-License-Identifier: Apache-2.0
dist_check_SCRIPTS += tests/unit/hvagent/nvo3_pki_test.sh
TESTS += tests/unit/hvagent/nvo3_pki_test.sh
