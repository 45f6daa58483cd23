# SPDX-License-Identifier: Apache-2.0
"""nvo3-nvactl on a real ovsdb-server: what each command does, and what it says to input that is wrong."""

import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from lab.programs import Programs
from nva_session import Store

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server():
    store = Store(Programs.find(), os.environ.get("NVO3_BUILDDIR", TOP / "build"), TOP / "nva/nvo3.ovsschema", None,
                  tempfile.mkdtemp(prefix="nvo3-nvactl-"))
    yield store
    store.down()


@pytest.fixture
def ctl(server):
    """nvo3-nvactl on a store with red (hv1, hv2) and blue."""
    server.ctl("policy-set", "/dev/null")
    for vn in server.ctl("--bare", "--columns=name", "list", "VN").split():
        server.ctl("--force", "vn-del", vn)
    for nve in server.ctl("--bare", "--columns=name", "list", "NVE").split():
        server.ctl("--force", "nve-del", nve)
    server.ctl("init", "--", "nve-add", "hv1", "10.0.0.1", "2001:db8::1", "--", "nve-add", "hv2", "10.0.0.2",
               "--", "vn-add", "red", "5001", "--", "--encap=vxlan", "--level=high", "vn-add", "blue", "0x138a", "--", "vn-join", "red", "hv1", "hv2",
               "--", "group-add", "red", "239.1.1.1")
    return server.ctl


def test_lists(ctl):
    assert ctl("nve-list") == "hv1 10.0.0.1,2001:db8::1: red\nhv2 10.0.0.2: red\n"
    assert ctl("vn-list") == "blue vni=5002 vxlan aes256gcm: no members\nred vni=5001 geneve aes128gcm: hv1 hv2\n"
    assert ctl("group-list") == "red 239.1.1.1: epoch 0, 0 told, 0 senders\n"
    assert ctl("mapping-list") == ""
    status = ctl("status")
    assert "NVEs: 2" in status and "memberships: 2" in status and "no NVA has begun an epoch" in status


def test_changes(ctl):
    ctl("vn-leave", "red", "hv1")
    assert ctl("nve-list").startswith("hv1 10.0.0.1,2001:db8::1: no networks\n")
    ctl("vn-leave", "5001", "hv2", "--", "vn-join", "blue", "hv2")
    ctl("vn-del", "red")
    assert ctl("vn-list") == "blue vni=5002 vxlan aes256gcm: hv2\n" and ctl("group-list") == ""
    ctl("--may-exist", "nve-add", "hv1", "10.0.0.9")
    ctl("nve-revoke", "hv1")
    assert ctl("nve-list").startswith("hv1 10.0.0.9 (revoked): no networks\n")
    ctl("nve-restore", "hv1", "--", "nve-del", "hv1")
    assert ctl("nve-list") == "hv2 10.0.0.2: blue\n"
    ctl("--if-exists", "nve-del", "hv1", "--", "--if-exists", "vn-del", "red")


def test_mappings_go_with_what_they_are_of(ctl):
    def add(mac):
        ctl("create", "Mapping", "vn=" + ctl("get", "VN", "red", "_uuid").strip(), f'mac="{mac}"', "nve=" + ctl("get", "NVE", "hv1", "_uuid").strip())
    add("52:54:00:00:00:01")
    assert ctl("mapping-list", "red") == "red 52:54:00:00:00:01 at hv1\n"
    ctl("mapping-del", "red", "52:54:00:00:00:01")
    assert ctl("mapping-list") == ""
    add("52:54:00:00:00:02")
    ctl("vn-leave", "red", "hv1")
    assert ctl("mapping-list") == ""
    add("52:54:00:00:00:03")
    ctl("--force", "nve-del", "hv1")
    assert ctl("mapping-list") == ""


def test_group_rekey_ends_the_epoch(ctl):
    ctl("set", "Group", "239.1.1.1", "epoch=4", "started=5")
    ctl("group-rekey", "red")
    assert ctl("get", "Group", "239.1.1.1", "started").strip() == "0"
    ctl("group-del", "red", "239.1.1.1")
    assert ctl("group-list") == ""


GATEWAYS = "# of the shop\ngateway red 10.1.0.254/24\n\ngateway blue 10.2.0.254/24 # the other\n"


def test_policy(ctl, tmp_path):
    text = tmp_path / "policy"
    text.write_text(GATEWAYS)
    assert ctl("policy-check", str(text)) == f"{text}: good, 2 gateways, 0 rules\n" and ctl("policy-show") == ""
    # From nothing, in one transaction.
    ctl("destroy", "Policy", ".", "--", "policy-add", "gateway red 10.1.0.254/24", "--", "policy-add", "gateway blue 10.2.0.254/24",
        "--", "policy-add", "7 allow from red to blue")
    assert ctl("get", "Policy", ".", "version").strip() == "3" and ctl("policy-show").count("\n") == 3
    ctl("policy-set", str(text))
    assert ctl("policy-show") == GATEWAYS
    version = int(ctl("get", "Policy", ".", "version"))
    # The statement's words, or all of it as one; comments and order stay.
    ctl("policy-add", "10", "allow", "from", "red", "to", "blue", "--", "policy-add", "20 deny from red to blue proto tcp log # why")
    assert ctl("policy-show") == GATEWAYS + "10 allow from red to blue\n20 deny from red to blue proto tcp log # why\n"
    assert int(ctl("get", "Policy", ".", "version")) > version


def test_policy_of_names_and_numbers(ctl):
    ctl("policy-set", "-", input=GATEWAYS + "10 allow from red to blue proto tcp port 80")
    ctl("policy-add", "9 log from red to blue")
    assert ctl("policy-show").endswith("port 80\n9 log from red to blue\n"), "a last line without an end"
    ctl("policy-del", "10", "allow", "from red to", "blue", "proto", "6", "port", "80-80")
    ctl("policy-del", "9 log from red to blue", "--", "policy-del", "gateway", "blue")
    assert ctl("policy-show") == "# of the shop\ngateway red 10.1.0.254/24\n\n"
    ctl("--if-exists", "policy-del", "gateway blue")
    version = ctl("get", "Policy", ".", "version")
    ctl("policy-set", "-", input=ctl("policy-show"))
    assert ctl("get", "Policy", ".", "version") == version, "the same is no change"
    assert "policy: version " + version.strip() + ", 1 gateways, 0 rules\n" in ctl("status")


def test_policy_of_a_network_that_goes(ctl):
    ctl("policy-set", "-", input=GATEWAYS)
    done = ctl("vn-del", "blue", check=False)
    assert done.returncode == 1 and "'blue' is in line 4 of the policy" in done.stderr
    ctl("--force", "vn-del", "blue")
    assert "there is no such network: blue (line 4)" in ctl("status")


def test_policy_of_two_operators(ctl, server):
    """Both add: none is lost."""
    ctl("policy-set", "-", input=GATEWAYS)
    adds = [subprocess.Popen([Programs.find().nvactl, "--timeout=20", "policy-add", f"{n} allow from red to blue proto tcp port {n}"], env=server.env)
            for n in range(1, 9)]
    assert [add.wait(30) for add in adds] == [0] * 8
    assert sorted(line.split()[0] for line in ctl("policy-show").splitlines() if "allow" in line) == [str(n) for n in range(1, 9)]


@pytest.mark.parametrize("text, words", [
    ("gateway\n", "line 1, at its end: a network's name is missing"),
    ("gateway green 10.0.0.254/24\n", "there is no such network: green (line 1); see vn-list"),
    ("gateway 77 10.0.0.254/24\n", "there is no such network: 77 (line 1)"),
    ("gateway red 10.1.0.254/24\ngateway 5001 10.2.0.254/24\n", "line 2: network 5001 has a gateway already (line 1)"),
    (GATEWAYS + "10 allow from red to green\n", "line 5: network green has no gateway"),
    (GATEWAYS + "10 allow form red to blue\n", "line 5, column 10, 'form'"),
    (GATEWAYS + "10 allow from red 10.9.0.0/24 to blue\n", "outside of the prefixes of network red"),
    ("gateway red 10.1.0.254/24\ngateway blue 10.1.0.1/16\n10 allow from red to blue\n", "no route between overlapping prefixes"),
    ("# " + 1025 * "x", "line 1: longer than 1024"),
    ("#\n" * 600000, "longer than 1048576 octets"),
    ("# a\0b\n", "a NUL is in it"),
    (b"# caf\xe9\n", "not UTF-8"),
], ids=itertools.count())
def test_bad_policy(ctl, tmp_path, text, words):
    ctl("policy-set", "-", input=GATEWAYS)
    file = tmp_path / "policy"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    for command in ("policy-set", "policy-check"):
        done = ctl(command, str(file), check=False)
        assert done.returncode == 1 and words in done.stderr and str(file) in done.stderr, done.stderr
    assert ctl("policy-show") == GATEWAYS


def dot(text, kind):
    """What Graphviz makes of it; a graph that it does not understand is an error."""
    if not shutil.which("dot"):
        pytest.skip("dot is missing: apt-get install graphviz")
    done = subprocess.run(["dot", f"-T{kind}"], input=text, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_graph(ctl):
    """Hosts, networks, groups and memberships with their states, drawn by Graphviz."""
    ctl("set", "Group", "239.1.1.1", "epoch=4", "started=5", "told=hv1", "--", "nve-revoke", "hv2")
    ctl("create", "Mapping", "vn=" + ctl("get", "VN", "red", "_uuid").strip(), 'mac="52:54:00:00:00:01"', "nve=" + ctl("get", "NVE", "hv1", "_uuid").strip())
    graph = json.loads(dot(ctl("graph"), "dot_json"))
    nodes = {node["_gvid"]: node for node in graph["objects"]}
    assert {node["name"] for node in nodes.values()} == {"nve hv1", "nve hv2", "vn red", "vn blue", "group red 239.1.1.1"}
    labels = {node["name"]: node["label"] for node in nodes.values()}
    assert labels["vn blue"] == r"blue\nVNI 5002, vxlan\naes256gcm" and labels["nve hv1"] == r"hv1\n10.0.0.1\n2001:db8::1"
    assert "revoked" in labels["nve hv2"] and labels["group red 239.1.1.1"] == r"239.1.1.1\nepoch 4"
    edges = {(nodes[edge["tail"]]["name"], nodes[edge["head"]]["name"]): edge for edge in graph["edges"]}
    assert set(edges) == {("nve hv1", "vn red"), ("nve hv2", "vn red"), ("vn red", "group red 239.1.1.1")}
    assert edges["nve hv1", "vn red"]["label"] == "1 MAC" and "style" not in edges["nve hv1", "vn red"]
    assert edges["nve hv2", "vn red"]["label"] == "waits for epoch 4" and edges["nve hv2", "vn red"]["color"] == "red"
    assert dot(ctl("graph"), "svg").count("<g id=\"node") == 5


def test_graph_of_pairs(ctl, tmp_path):
    """What hosts say of their security associations: an arrow of each to its peer, red where some network has no keys, dashed without a session."""
    def said(name, peer, session, **networks):
        file = tmp_path / name
        file.write_text(json.dumps({"name": name, "peers": [{"name": peer, "networks": [
            {"vni": int(vni[1:]), "inbound": one, "outbound": one} for vni, one in networks.items()], **({"session": {}} if session else {})}]}))
        return str(file)
    files = [said("hv1", "hv2", True, n5001=1, n5002=2), said("hv2", "hv1", False, n5001=1, n5002=0)]
    graph = json.loads(dot(ctl("graph", *files), "dot_json"))
    names = {node["_gvid"]: node["name"] for node in graph["objects"]}
    edges = {(names[edge["tail"]], names[edge["head"]]): edge for edge in graph["edges"] if edge.get("dir") == "forward"}
    assert set(edges) == {("nve hv1", "nve hv2"), ("nve hv2", "nve hv1")}
    good, bad = edges["nve hv1", "nve hv2"], edges["nve hv2", "nve hv1"]
    assert good["color"] == "forestgreen" and good["label"] == "2 keyed" and "style" not in good
    assert bad["color"] == "red" and bad["label"] == r"1 keyed\nVNI 5002: no keys" and bad["style"] == "dashed"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": 5, "peers": []}', '{"name": "hv1"}'])
def test_graph_of_another_file(ctl, tmp_path, text):
    file = tmp_path / "hv1.json"
    file.write_text(text)
    done = ctl("graph", str(file), check=False)
    assert done.returncode == 1 and str(file) in done.stderr and "peer/show json" in done.stderr and not done.stdout


def test_graph_of_odd_names(ctl):
    """Of rows that other programs wrote: they stay one string."""
    ctl("create", "VN", r'name="od\"d; \\"', "vni=77", "encap=geneve", "cipher=aes128gcm")
    try:
        names = [node["name"] for node in json.loads(dot(ctl("graph"), "dot_json"))["objects"]]
    finally:
        ctl("vn-del", "77")
    assert len(names) == 6 and any('od"d; ' in name for name in names), names


def test_what_identifies_a_row_does_not_change(ctl):
    done = ctl("set", "VN", "red", "vni=7", check=False)
    assert done.returncode and "read-only" in done.stderr


@pytest.mark.parametrize("argv, words", [
    (["nve-add", "a b", "10.0.0.3"], "the name in its certificate"),
    (["nve-add", "hv1", "10.0.0.3"], "--may-exist"),
    (["nve-add", "hv3", "10.0.0"], "'10.0.0' is no unicast"),
    (["nve-add", "hv3", "239.1.1.1"], "'239.1.1.1' is no unicast"),
    (["nve-add", "hv3", "0.0.0.0"], "no unicast"),
    (["nve-add", "hv3", "::ffff:10.0.0.3"], "no unicast"),
    (["nve-add", "hv3", "2001:DB8:0::1"], "is that of NVE 'hv1'"),
    (["nve-add", "hv3"], "at least 2 arguments"),
    (["nve-add", "hv3", *[f"10.1.0.{n}" for n in range(1, 10)]], "at most 8"),
    (["nve-del", "hv1"], "serves red; use vn-leave first"),
    (["nve-del", "hv9"], "no NVE is called 'hv9'"),
    (["nve-revoke", "hv9"], "no NVE is called 'hv9'"),
    (["vn-add", "red", "9"], "exists already, with VNI 5001"),
    (["vn-add", "green", "5001"], "is that of network 'red'"),
    (["vn-add", "green", "16777216"], "0 to 16777215"),
    (["vn-add", "green", "x"], "0 to 16777215"),
    (["vn-add", "5003", "5003"], "taken for a number"),
    (["--encap=gre", "vn-add", "green", "9"], "--encap=gre"),
    (["--cipher=rot13", "vn-add", "green", "9"], "aes128gcm"),
    (["--level=low", "vn-add", "green", "9"], "integrity, confidential or high"),
    (["--level=high", "--cipher=aes128gcm", "vn-add", "green", "9"], "not both"),
    (["vn-del", "red"], "served by hv1 hv2"),
    (["vn-join", "green", "hv1"], "no network is called 'green'"),
    (["vn-join", "blue", "hv1", "hv9"], "no NVE is called 'hv9'"),
    (["vn-leave", "blue", "hv1"], "does not serve network 'blue'"),
    (["mapping-del", "red", "52:54"], "no MAC address"),
    (["mapping-del", "red", "52:54:00:00:00:01"], "no mapping"),
    (["group-add", "red", "10.0.0.1"], "no multicast address"),
    (["group-add", "red", "224.0.0.5"], "one link"),
    (["group-add", "red", "ff02::1"], "one link"),
    (["group-add", "red", "239.1.1.1"], "has group 239.1.1.1 already"),
    (["group-del", "red", "239.1.1.2"], "no group 239.1.1.2"),
    (["group-rekey", "blue"], "no group"),
    (["policy-set", "/nonexistent"], "/nonexistent: cannot be read as a policy: No such file"),
    (["policy-set", "/"], "Is a directory"),
    (["policy-add", "10 allow from red to blue"], "line 1: network red has no gateway"),
    (["policy-add", "gateway red 10.1.0.254/24\ngateway blue 10.2.0.254/24"], "give one statement"),
    (["policy-add", "gateway red 10.1.0.254/24", "--", "policy-add", "10 allow from red to blue"], "line 2: network blue has no gateway"),
    (["policy-del", "gateway red"], "'gateway red' is no statement of the policy"),
])
def test_wrong_input(ctl, argv, words):
    before = ctl("nve-list", "--", "vn-list", "--", "group-list", "--", "policy-show")
    done = ctl(*argv, check=False)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert ctl("nve-list", "--", "vn-list", "--", "group-list", "--", "policy-show") == before


def test_nothing_there_to_talk_to(server):
    done = server.ctl("--db=unix:/nonexistent.sock", "vn-list", check=False)
    assert done.returncode == 1 and "is ovsdb-server running" in done.stderr


@pytest.mark.parametrize("word, has, lacks", [("vn-", ["vn-add", "vn-join", "vn-leave"], ["nve-add"]),
                                               ("policy-", ["policy-set", "policy-check", "policy-show", "policy-add", "policy-del"], ["vn-add"]), ("--ti", ["--timeout"], ["--db"])])
def test_completion(word, has, lacks):
    """In the shell of somebody who types the word and presses the tabulator."""
    directory = os.path.dirname(Programs.find().nvactl)
    script = f". {TOP}/utilities/completion/nvo3-nvactl; COMP_WORDS=(nvo3-nvactl {word}); COMP_CWORD=1; _nvo3_nvactl; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", script], env={"PATH": f"{directory}:/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    words = done.stdout.split()
    assert set(has) <= set(words) and not set(lacks) & set(words), words
