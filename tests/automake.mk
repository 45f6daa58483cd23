# SPDX-License-Identifier: Apache-2.0
include tests/fuzz/automake.mk
include tests/interop/automake.mk
# Tests of the sources themselves, and what only run-tests runs.
dist_check_SCRIPTS += tests/check-docs tests/check-layers tests/check-packages tests/check-requirements
TESTS += tests/check-docs tests/check-layers tests/check-packages tests/check-requirements

EXTRA_DIST += \
	tests/check-dist \
	tests/packages/conftest.py \
	tests/packages/machine.py \
	tests/packages/test_autopkgtest.py \
	tests/packages/test_nva_cluster.py \
	tests/packages/test_other_ways.py \
	tests/packages/test_two_hosts.py \
	tests/packages/test_zz_coverage.py \
	tests/rpm \
	tests/run-packages \
	tests/bench/README.md \
	tests/bench/esp.svg \
	tests/bench/latency.svg \
	tests/bench/nva_bench \
	tests/bench/overlay.svg \
	tests/bench/overlay_bench \
	tests/bench/plots \
	tests/bench/policy.svg \
	tests/bench/policy_bench \
	tests/conftest.py \
	tests/requirements.md \
	tests/support/controller.py \
	tests/support/doctor.py \
	tests/support/insider.py \
	tests/support/nva_session.py \
	tests/support/nve_tool.py \
	tests/support/pages.py \
	tests/support/packaged.py \
	tests/support/policy_world.py \
	tests/support/scripted_hypervisor.py \
	tests/support/sa_socket.py \
	tests/support/wire.py \
	tests/system/README.md \
	tests/system/test_certificates.py \
	tests/system/test_configuration.py \
	tests/system/test_doctor.py \
	tests/system/test_failures.py \
	tests/system/test_groups_switch.py \
	tests/system/test_guard.py \
	tests/system/test_guard_overlay.py \
	tests/system/test_insider.py \
	tests/system/test_libvirt.py \
	tests/system/test_mesh.py \
	tests/system/test_metrics.py \
	tests/system/test_nva.py \
	tests/system/test_nva_dos.py \
	tests/system/test_nva_overlay.py \
	tests/system/test_nva_underlays.py \
	tests/system/test_nvactl.py \
	tests/system/test_operations.py \
	tests/system/test_outsider.py \
	tests/system/test_pipeline.py \
	tests/system/test_policy.py \
	tests/system/test_policy_file.py \
	tests/system/test_policy_spoofs.py \
	tests/system/test_policy_zones.py \
	tests/system/test_rekey.py \
	tests/system/test_sandbox.py \
	tests/system/test_split_hypervisor.py \
	tests/system/test_split_nve.py \
	tests/system/test_split_overlay.py \
	tests/system/test_stock.py \
	tests/system/test_traffic.py
