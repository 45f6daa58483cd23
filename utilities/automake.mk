# SPDX-License-Identifier: Apache-2.0
bin_SCRIPTS += utilities/nvo3-pki
dist_man_MANS += doc/man/nvo3-pki.8

EXTRA_DIST += \
	utilities/nvo3-pki \
	utilities/nvo3-sandbox \
	utilities/install-deps \
	utilities/build \
	utilities/run-tests \
	utilities/lab/README.md \
	utilities/lab/__init__.py \
	utilities/lab/__main__.py \
	utilities/lab/capture.py \
	utilities/lab/daemons.py \
	utilities/lab/host.py \
	utilities/lab/lab.py \
	utilities/lab/net.py \
	utilities/lab/nva.py \
	utilities/lab/pcap.py \
	utilities/lab/pki.py \
	utilities/lab/process.py \
	utilities/lab/programs.py \
	utilities/lab/sandbox.py \
	utilities/lab/vm.py
