# SPDX-License-Identifier: Apache-2.0
"""Peers that want to hurt an NVA, or others through it: strangers, NVEs that flood, that do not read, that say what is not true.

One nvo3-nva over a real store, emulated NVEs (nve_tool). Nothing here is timed but rates; tests/bench/nva_bench measures.
"""

import json
import os
import pathlib
import tempfile

import pytest

from lab.programs import Programs
from nve_tool import Counting, NvaStore, NveTool, client_hello, half_handshake, make_pki

pytestmark = pytest.mark.alone

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ.get("NVO3_BUILDDIR", str(TOP / "build"))
# NVEs nve0..nve5: those with even numbers serve RED, the others BLUE; 'everywhere' serves both.
RED, BLUE = 5000, 5001
UNAUTHORIZED, PROTOCOL_ERROR = 5, 4
MAC = "52:54:00:00:00:01"
RATE, BURST = 100, 50


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    pki = make_pki(BUILD, tmp_path_factory.mktemp("nva-dos") / "pki", 6, "everywhere", "stranger", "hv:hypervisor", "other:nva")
    directory = tempfile.mkdtemp(prefix="nvo3-dos-")
    store = NvaStore(Programs.find(needed=False), BUILD, TOP / "nva/nvo3.ovsschema", pki, directory)
    try:
        store.populate(6, 2, 1, ["everywhere"])
        store.ctl("set", "NVO3_Global", ".", f"other_config:control-rate={RATE}", f"other_config:control-burst={BURST}")
        store.nva = store.start_nva()
        yield store
    finally:
        store.down()


@pytest.fixture
def tools(store):
    """tools() is another process of NVEs, each process with addresses of its own."""
    made = []

    def tool(nva=None, local=None):
        made.append(NveTool(BUILD, store.pki, nva or store.nva, local or f"127.{len(made) + 1}.0.1"))
        return made[-1]
    yield tool
    for one in made:
        one.end()


def opened(tool, *names):
    answer = tool("open", 20, *names)
    assert answer["done"] and not answer["closed"], answer
    return tool


def refusals(store):
    """Of the audit log: (who, why)."""
    events = [json.loads(line) for line in (store.directory / "nva1-audit.log").read_text().splitlines()]
    return [(event.get("peer"), event["reason"]) for event in events if event["event"] == "refused"]


# ---- amplification ----

@pytest.mark.requirement(7)
@pytest.mark.parametrize("sends, ratio", [("silence", 0), ("garbage", 1), ("ClientHello", 6)])
def test_who_proves_nothing_gets_little(store, sends, ratio):
    """A stream that TCP has proved to be someone's: a ClientHello is answered by the handshake's first flight, once."""
    octets = {"silence": b"", "garbage": b"\x17" + os.urandom(1023), "ClientHello": client_hello()}[sends]
    sent, received = half_handshake(store.nva, octets)
    assert received <= ratio * sent


@pytest.mark.requirement(7)
def test_who_may_not_do_anything_gets_little(store, tools):
    """A certificate of the CA, but not in the store; octets on the wire, handshake and all."""
    relay = Counting(store.nva)
    try:
        answer = tools(relay.address, "127.0.0.1")("open", 10, "stranger")
    finally:
        relay.close()
    assert "no NVE of this store" in answer["closed"]["stranger"]["text"]
    assert 0 < relay.down <= 2 * relay.up


@pytest.mark.requirement(7)
@pytest.mark.parametrize("kind, ratio", [("foreign", 5), ("register", 5), ("ping", 2)])
def test_requests_are_answered_by_little(store, tools, kind, ratio):
    """Frames, without TLS: what an authorised NVE gets for requests that it is refused, and for pings."""
    tool = opened(tools(), "nve0")
    tool("pace", "nve0", "1e9", "1e9")
    flood = tool("flood", "nve0", 2, kind)
    assert flood["closed"] is None and flood["messages_in"] > RATE
    # What was sent and not read yet counts for nothing here.
    read = flood["messages_in"] * flood["bytes_out"] / flood["messages_out"]
    assert flood["bytes_in"] <= ratio * read


# ---- rates ----

@pytest.mark.requirement(6)
def test_sender_keeps_to_its_rate(store, tools):
    """The sender's limit alone: at a quarter of what the NVA would take, the NVA never has to hold it."""
    tool = opened(tools(), "nve0")
    before = store.session("nve0")
    tool("pace", "nve0", RATE / 4, "1e9")
    flood = tool("flood", "nve0", 3, "ping")
    now = store.session("nve0")
    assert flood["send_throttled"] > 0
    assert now["receive_throttled"] == before["receive_throttled"]
    assert flood["messages_out"] <= RATE / 4 * (flood["seconds"] + 2)


@pytest.mark.requirement(6)
def test_receiver_reads_no_faster_than_its_rate(store, tools):
    """The receiver's limit alone: a sender without any."""
    tool = opened(tools(), "nve0")
    tool("pace", "nve0", "1e9", "1e9")
    flood = tool("flood", "nve0", 3, "ping")
    now = store.session("nve0")
    assert flood["send_throttled"] == 0 and flood["messages_out"] > 4 * flood["messages_in"]
    assert now["receive_throttled"] > 0
    assert flood["messages_in"] <= RATE * (flood["seconds"] + 1) + BURST


@pytest.mark.requirement(6)
@pytest.mark.parametrize("kind", ["announce", "foreign", "register", "ping"])
def test_others_are_served_while_one_floods(store, tools, kind):
    """Announcements of another NVE arrive at a third while the flood is on, and nobody loses a session."""
    others, attacker = opened(tools(), "nve2", "nve4"), opened(tools(), "nve0")
    attacker("pace", "nve0", "1e9", "1e9")
    attacker.start("flood", "nve0", 3, kind, RED)
    assert others("latency", "nve2", "nve4", RED, 20)["arrival"]
    assert attacker.finish()["messages_in"] > 0
    assert others("totals")["open"] == 2


@pytest.mark.requirement(6)
def test_handshakes_of_one_address_are_limited(store, tools):
    others, attacker = opened(tools(), "nve2", "nve4"), tools(local="127.99.0.1")
    attacker.start("handshakes", "nve0", 3)
    assert others("latency", "nve2", "nve4", RED, 20)["arrival"]
    flood = attacker.finish()
    # 20 at once, then 5 a second.
    assert flood["opened"] <= 20 + 5 * (flood["seconds"] + 1)
    assert flood["failed"] > flood["opened"]
    assert opened(tools(local="127.98.0.1"), "nve1")


@pytest.mark.requirement(6)
def test_who_does_not_read_delays_nobody(store, tools):
    slow, others = opened(tools(), "everywhere"), opened(tools(), "nve2", "nve4")
    slow("pace", "everywhere", "1e9", 1)
    assert others("latency", "nve2", "nve4", RED, 40)["arrival"]
    assert others("totals")["open"] == 2


# ---- lies ----

@pytest.mark.requirement(4)
def test_an_nve_changes_nothing_of_others(store, tools):
    # Addresses that no flood came from: of those the audit log is limited.
    tool = opened(tools(local="127.97.0.1"), "nve0", "nve1", "nve2")
    assert tool("announce", "nve0", RED, MAC)["accepted"]
    before = refusals(store)
    for words, reason in ((("announce", "nve2", RED, MAC), "held by 'nve0'"),
                          (("announce", "nve1", RED, MAC), "does not serve this network"),
                          (("announce", "nve1", RED, MAC, "migration"), "does not serve this network"),
                          (("announce", "nve1", 99, MAC), "does not serve this network"),
                          (("register", "nve1", RED, "239.1.1.1", 1), "does not serve this network")):
        answer = tool(*words)
        assert not answer["accepted"] and reason in answer["reason"], words
        assert answer["closed"] is None
    tool("announce", "nve2", RED, MAC, "withdraw")
    assert tool("state", "nve0")["networks"][str(RED)]["mappings"][MAC] == "nve0"
    assert [peer for peer, _ in refusals(store)[len(before):]] == ["nve2"] + 4 * ["nve1"]
    assert list(tool("state", "nve1")["networks"]) == [str(BLUE)]


@pytest.mark.requirement(4)
@pytest.mark.parametrize("message, code, words", [
    ("vn_update", UNAUTHORIZED, "the role nve may not send VnUpdate"), ("group_key", UNAUTHORIZED, "the role nve may not send GroupKey"),
    ("sa_offer", UNAUTHORIZED, "the role nve may not send SaOffer"), ("directory_request", PROTOCOL_ERROR, "asked for before")])
def test_what_an_nve_may_not_say_ends_its_session(store, tools, message, code, words):
    tool = opened(tools(), "nve0")
    closed = tool("say", "nve0", message)["closed"]
    assert closed["code"] == code and words in closed["text"]


@pytest.mark.requirement(1, 4)
@pytest.mark.parametrize("name, role", [("nve1", 1), ("nve0", 2), ("nva1", 2)])
def test_hello_must_say_what_the_certificate_says(store, tools, name, role):
    closed = tools()("claim", "nve0", name, role)["closed"]
    assert closed["code"] == UNAUTHORIZED and "has proved to be 'nve0', role nve" in closed["text"]


@pytest.mark.requirement(4)
@pytest.mark.parametrize("name", ["hv:hypervisor", "other:nva"])
def test_other_roles_are_not_served(tools, name):
    answer = tools()("open", 10, name)
    assert "does not talk to the role" in answer["closed"][name]["text"]
