# SPDX-License-Identifier: Apache-2.0
"""Many hosts that start at once: all sessions up, each time; no crossing streams."""

import time

import pytest

pytestmark = pytest.mark.alone

HOSTS, ROUNDS = 8, 10


@pytest.mark.requirement(8, 10)
@pytest.mark.timeout(400)
def test_mesh_comes_up_each_time(labs):
    lab = labs(hosts=HOSTS, vms=HOSTS)
    times = []
    for _ in range(ROUNDS):
        lab.kill_all("hvagent")
        lab.kill_all("ovs-vswitchd")        # with it go all SAs: what is up afterwards is new
        for host in lab.hosts.values():
            host.start("ovs-vswitchd")
        begin = time.monotonic()
        for host in lab.hosts.values():
            host.start("hvagent")
        lab.wait_tunnels(timeout=30)
        times.append(time.monotonic() - begin)
    lab.wait_all_reach(timeout=60)
    for host in lab.hosts.values():
        peers = host.appctl_json("peer/show", target="hvagent")["peers"]
        assert len(peers) == HOSTS - 1
        assert len(host.sas()) == 2 * (HOSTS - 1), "one SA a peer and direction"
    print("seconds until all were up:", " ".join(f"{t:.1f}" for t in times))
