# SPDX-License-Identifier: Apache-2.0
"""The commands of nvo3-sandbox, as a newcomer types them, in a directory and with a prefix of their own."""

import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

from lab import net, pcap, run

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ.get("NVO3_BUILDDIR", str(TOP / "build"))


class Sandbox:
    """Runs nvo3-sandbox; every call returns the finished process."""

    def __init__(self, directory, prefix):
        self.directory, self.prefix = pathlib.Path(directory), prefix

    def __call__(self, *argv):
        env = dict(os.environ, NVO3_SANDBOX_DIR=str(self.directory), NVO3_BUILDDIR=BUILD)
        return subprocess.run([TOP / "utilities/nvo3-sandbox", *argv], capture_output=True, text=True, timeout=200, env=env,
                              stdin=subprocess.DEVNULL, cwd=self.directory.parent)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    parent = tempfile.mkdtemp(prefix="nvo3-sandbox-")
    sandbox = Sandbox(f"{parent}/box", f"s{os.getpid()}-")
    done = sandbox("up", "--prefix", sandbox.prefix)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        sandbox.words = done.stdout
        yield sandbox
    finally:
        sandbox("down")
        os.rmdir(parent)


def test_up_shows_that_it_works(sandbox):
    assert "5 of 5 answered" in sandbox.words and "Mbit/s" in sandbox.words
    assert any(line.split()[-1] == "0" for line in sandbox.words.splitlines() if "anything else" in line)
    assert "Look around" in sandbox.words


def test_up_again_is_quick_and_changes_nothing(sandbox):
    pid = (sandbox.directory / "hv1/run/ovs-vswitchd.pid").read_text()
    done = sandbox("--prefix", sandbox.prefix)
    assert done.returncode == 0 and "up already" in done.stdout, done.stdout + done.stderr
    assert (sandbox.directory / "hv1/run/ovs-vswitchd.pid").read_text() == pid
    other = sandbox("up", "--prefix", sandbox.prefix, "--hosts", "3")
    assert other.returncode == 1 and "nvo3-sandbox down" in other.stderr


def test_names_are_fixed(sandbox):
    """What scripts rely on: addresses, bridges, ports, VNI, pid files."""
    for host, peer in ((1, 2), (2, 1)):
        out = sandbox("exec", f"hv{host}", "ip", "-br", "addr", "show", "br-phy").stdout
        assert f"172.31.0.{host}/24" in out and f"fd31::{host}/64" in out
        assert sandbox("exec", f"hv{host}", "ovs-vsctl", "list-br").stdout.split() == ["br-int", "br-phy"]
        options = sandbox("exec", f"hv{host}", "ovs-vsctl", "get", "Interface", f"tun{peer}", "options").stdout
        assert f"172.31.0.{peer}" in options and "5001" in options
        for daemon in ("hvagent", "ovs-vswitchd", "ovsdb-server"):
            assert int((sandbox.directory / f"hv{host}/run/{daemon}.pid").read_text()) > 0
        assert f"10.50.0.{host}/24" in sandbox("exec", f"vm{host}", "ip", "-br", "addr").stdout


def test_exec(sandbox):
    assert sandbox("exec", "vm1", "ping", "-c", "1", "10.50.0.2").returncode == 0
    assert "hv2" in sandbox("exec", "hv1", "ovs-appctl", "-t", "hvagent", "peer/show").stdout
    assert sandbox("exec", "hv1", "sh", "-c", "exit 7").returncode == 7
    done = sandbox("exec", "hv9", "true")
    assert done.returncode == 1 and "hv1, hv2" in done.stderr
    assert sandbox("exec", "hv1").returncode == 1


def test_capture(sandbox):
    file = sandbox.directory.parent / "c.pcap"
    try:
        done = sandbox("capture", "1.5", str(file))
        assert done.returncode == 0, done.stderr
        assert pcap.summarize(file).other == 0
    finally:
        file.unlink(missing_ok=True)


def test_status_tells(sandbox):
    done = sandbox("status")
    assert done.returncode == 0, done.stdout
    assert "vm2" in done.stdout and "tun2" in done.stdout
    os.kill(int((sandbox.directory / "hv2/run/hvagent.pid").read_text()), signal.SIGKILL)
    done = sandbox("status")
    assert done.returncode == 1 and "DOWN" in done.stdout
    # 'up' repairs.
    assert sandbox("up", "--prefix", sandbox.prefix).returncode == 0
    assert sandbox("status").returncode == 0


def test_down_leaves_nothing(sandbox):
    """The last test of the module: no namespace, process, or file is left; a second 'down' is fine."""
    names = [sandbox.prefix + name for name in ("hv1", "hv2", "vm1", "vm2", "nvo3-underlay")]
    assert all(net.exists(name) for name in names)
    assert sandbox("down").returncode == 0
    assert not any(net.exists(name) for name in names)
    assert not sandbox.directory.exists()
    assert str(sandbox.directory) not in run(["ps", "-eo", "args"]).stdout
    assert sandbox("down").returncode == 0
    done = sandbox("status")
    assert done.returncode == 1 and "nvo3-sandbox up" in done.stderr


def test_policy(tmp_path):
    """Two networks that meet as a file says; one with a mistake is refused by line and word, and leaves nothing."""
    parent = tempfile.mkdtemp(prefix="nvo3-sandbox-")
    sandbox = Sandbox(f"{parent}/box", f"p{os.getpid()}-")
    file = tmp_path / "policy"
    gateways = "gateway vn5001 10.50.0.254/24\ngateway vn5002 10.50.1.254/24\n"
    try:
        file.write_text(gateways + "100 allow from vn5001 to nowhere\n")
        done = sandbox("up", "--prefix", sandbox.prefix, "--vns", "2", "--policy", str(file))
        assert done.returncode != 0 and "line 3" in done.stderr and "nowhere" in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert sandbox("down").returncode == 0
        file.write_text(gateways + "100 allow from vn5001 to vn5002 proto icmp\n")
        done = sandbox("up", "--prefix", sandbox.prefix, "--vns", "2", "--policy", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        shown = sandbox("exec", "hv1", "ovs-appctl", "-t", "hvagent", "policy/show").stdout
        assert "100 allow from vn5001 to vn5002 proto icmp" in shown, shown
        vms = {sandbox("exec", vm, "hostname", "-I").stdout.split()[0]: vm for vm in ("vm1", "vm2", "vm3", "vm4")}
        one, two = (next(address for address in vms if address.startswith(f"10.50.{network}.")) for network in (0, 1))
        assert sandbox("exec", vms[one], "ping", "-c", "2", "-W", "5", two).returncode == 0
        assert sandbox("exec", vms[two], "ping", "-c", "1", "-W", "1", one).returncode == 1
    finally:
        sandbox("down")
        os.rmdir(parent)


@pytest.mark.parametrize("argv, words", [(("bogus",), "invalid choice"), (("up", "--hosts", "0"), "1 to 64"), (("capture", "-1"), "1 to 3600"),
                                         (("up", "--underlay", "dpdk"), "afpacket"), (("capture", "99999"), "3600")])
def test_wrong_use_is_said(argv, words):
    done = subprocess.run([TOP / "utilities/nvo3-sandbox", *argv], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, NVO3_SANDBOX_DIR="/nonexistent/box", NVO3_BUILDDIR=BUILD))
    assert done.returncode != 0 and words in done.stderr
    assert "Traceback" not in done.stderr
