# SPDX-License-Identifier: Apache-2.0
"""One nvo3-nva over a real store, with scripted NVEs: what each is told, what it may change, and when it hears no more."""

import os
import pathlib
import signal
import socket
import stat
import tempfile
import time

import pytest

from insider import Closed, field
from lab.pki import Pki
from lab.process import wait_until
from lab.programs import Programs
from nva_session import NUMBERS, NveSession, Store

TOP = pathlib.Path(__file__).resolve().parents[2]
RED, BLUE = 5001, 5002
GROUP = socket.inet_aton("239.1.1.1")
SHUTDOWN, REVOKED, UNAUTHORIZED = 3, 6, 5
MAC1, MAC2 = "52:54:00:00:00:01", "52:54:00:00:00:02"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    pki = Pki(Programs.find(), directory / "ca")
    pki.init()
    return pki


@pytest.fixture
def store(pki):
    """hv1 and hv2 serve red, hv2 and hv3 blue; hv4 serves nothing."""
    programs = Programs.find()
    directory = tempfile.mkdtemp(prefix="nvo3-nva-")
    store = Store(programs, os.environ.get("NVO3_BUILDDIR", TOP / "build"), TOP / "nva/nvo3.ovsschema", pki, directory)
    commands = [["init"], ["vn-add", "red", str(RED)], ["--level=high", "vn-add", "blue", str(BLUE)]]
    commands += [["nve-add", f"hv{n}", f"10.0.0.{n}"] for n in (1, 2, 3, 4)]
    commands += [["vn-join", "red", "hv1", "hv2"], ["vn-join", "blue", "hv2", "hv3"]]
    store.ctl(*[word for command in commands for word in ["--", *command]][1:])
    yield store
    store.down()


@pytest.fixture
def nva(store):
    return store.start_nva()


def connect(store, nva, name, ready=True):
    session = NveSession(nva, name, store.files(name))
    session.ask_directory()
    if ready:
        session.until(lambda: session.directory.ready)
    return session


def audit(store, name="nva1"):
    return store.appctl(name, "audit/show")


@pytest.mark.requirement(4)
def test_each_nve_hears_of_its_own_networks_only(store, nva):
    with connect(store, nva, "hv1") as hv1, connect(store, nva, "hv2") as hv2, connect(store, nva, "hv4") as hv4:
        assert {vni: sorted(vn["members"]) for vni, vn in hv1.directory.networks.items()} == {RED: ["hv1", "hv2"]}
        assert sorted(hv2.directory.networks) == [RED, BLUE] and hv2.directory.networks[BLUE]["name"] == "blue"
        assert hv1.directory.networks[RED]["members"]["hv2"] == [socket.inet_aton("10.0.0.2")]
        assert hv4.directory.networks == {}


@pytest.mark.requirement(4)
def test_mappings_spread_to_members_and_only_their_owner_changes_them(store, nva):
    with connect(store, nva, "hv1") as hv1, connect(store, nva, "hv2") as hv2, connect(store, nva, "hv3") as hv3:
        assert hv1.announce(RED, MAC1, ["192.168.0.1"]) == (True, "")
        hv2.until(lambda: hv2.directory.networks[RED]["mappings"].get(MAC1) == ("hv1", [socket.inet_aton("192.168.0.1")]))
        assert store.ctl("mapping-list", "red") == f"red {MAC1} at hv1 192.168.0.1\n"

        accepted, reason = hv2.announce(RED, MAC1)
        assert not accepted and "held by 'hv1'" in reason
        accepted, reason = hv3.announce(RED, MAC2)
        assert not accepted and "does not serve" in reason
        assert not hv2.announce(BLUE + 7, MAC2)[0]
        assert hv2.announce(RED, MAC1, withdraw=True)[0]      # nothing of its own: nothing happens
        assert "at hv1" in store.ctl("mapping-list")
        accepted, reason = hv2.announce(RED, MAC1, ["192.168.0.1"], migration=True)
        assert not accepted and "needs the migration support" in reason
        assert "at hv1" in store.ctl("mapping-list")
        log = audit(store)
        assert log.count('"event":"refused"') == 4, log
        assert store.show("nva1", "session/show")["sessions"][1]["mappings_refused"] == 3

        assert hv1.announce(RED, MAC1, withdraw=True) == (True, "")
        hv2.until(lambda: MAC1 not in hv2.directory.networks[RED]["mappings"])
        assert hv2.announce(RED, MAC1) == (True, "")
        assert MAC1 not in str(hv3.directory.networks)


def tries(thief, owner, seconds):
    """The thief announces MAC1 for so long, while its owner, if there is one, says that it lives; (accepted, reason) of the last try."""
    begin, answer = time.monotonic(), None
    while time.monotonic() < begin + seconds:
        answer = thief.announce(RED, MAC1)
        if answer[0]:
            break
        if owner:
            assert owner.announce(RED, MAC1) == (True, "")
        time.sleep(0.1)     # an attacker who keeps to his rate
    return answer


@pytest.mark.requirement(4)
def test_who_lives_keeps_its_mappings(store, nva):
    """However long another member tries: not while the holder is there, nor when its agent is restarted; only when it has been away for takeover-seconds."""
    store.ctl("set", "NVO3_Global", ".", "other_config:takeover-seconds=2")
    with connect(store, nva, "hv2") as hv2:
        with connect(store, nva, "hv1") as hv1:
            assert hv1.announce(RED, MAC1)[0]
            accepted, reason = tries(hv2, hv1, 4)
            assert not accepted and "held by 'hv1': withdraw it there first" in reason
        for _ in range(3):      # each time for less than two seconds
            accepted, reason = tries(hv2, None, 1)
            assert not accepted and "which is away" in reason, reason
            with connect(store, nva, "hv1") as hv1:
                assert not tries(hv2, hv1, 0.5)[0]
        left = time.monotonic()
        assert tries(hv2, None, 10)[0]
        assert time.monotonic() - left > 1.9
        assert store.ctl("mapping-list", "red") == f"red {MAC1} at hv2\n"
        assert f"takes over {MAC1} from 'hv1'" in audit(store)
        with connect(store, nva, "hv1") as hv1:
            accepted, reason = tries(hv1, hv2, 3)
            assert not accepted and "held by 'hv2'" in reason
    # Not where the operator does not want it.
    store.ctl("set", "NVO3_Global", ".", "other_config:takeover-seconds=0")
    with connect(store, nva, "hv1") as hv1:
        assert not tries(hv1, None, 3)[0]


@pytest.mark.requirement(4)
def test_take_over_with_two_nvas(store, nva):
    """A session with another NVA counts as one, as long as that NVA lives, and for 20 s more; what a restarted NVA has not seen, it does not know."""
    store.ctl("set", "NVO3_Global", ".", "other_config:takeover-seconds=2")
    other = store.start_nva("nva2")
    with connect(store, nva, "hv2") as hv2:
        hv1 = connect(store, other, "hv1")
        assert hv1.announce(RED, MAC1)[0]
        hv2.until(lambda: MAC1 in hv2.directory.networks[RED]["mappings"])
        accepted, reason = tries(hv2, hv1, 4)
        assert not accepted and "withdraw it there first" in reason
        # Both die at once: nobody is left to say that hv1 is gone.
        store.stop("nva2")
        left = time.monotonic()
        assert not tries(hv2, None, 10)[0]
        assert tries(hv2, None, 30)[0]
        assert time.monotonic() - left > 15


def test_limits_of_mappings(store, nva):
    store.ctl("set", "NVO3_Global", ".", "other_config:max-mappings-per-nve=2")
    with connect(store, nva, "hv1") as hv1:
        results = [hv1.announce(RED, f"52:54:00:00:01:{n:02x}") for n in range(4)]
        assert [accepted for accepted, _ in results] == [True, True, False, False]
        assert "max-mappings-per-nve=2" in results[2][1]


def test_reconnect_is_told_the_difference_and_another_process_tells_all(store, nva):
    with connect(store, nva, "hv1") as hv1:
        version, instance = hv1.directory.networks[RED]["version"], hv1.nva_instance
        known = hv1.directory.networks
    with connect(store, nva, "hv2") as hv2:
        assert hv2.announce(RED, MAC2)[0]
        with NveSession(nva, "hv1", store.files("hv1")) as again:
            again.directory.networks = known
            again.until(lambda: again.nva_instance)
            assert again.nva_instance == instance
            again.ask_directory({RED: version}, instance)
            again.until(lambda: again.directory.ready)
            assert [step[:2] for step in again.directory.steps] == [(RED, version)]
            assert again.directory.networks[RED]["mappings"][MAC2][0] == "hv2"
    store.stop("nva1")
    nva = store.start_nva()
    with NveSession(nva, "hv1", store.files("hv1")) as other:
        other.directory.networks = known
        other.ask_directory({RED: version, BLUE: 3}, instance)
        other.until(lambda: other.directory.ready)
        assert [step[:2] for step in other.directory.steps] == [(RED, 0)]
        assert MAC2 in other.directory.networks[RED]["mappings"]


@pytest.mark.requirement(4)
def test_who_leaves_a_network_or_is_revoked_hears_no_more(store, nva):
    with connect(store, nva, "hv1") as hv1, connect(store, nva, "hv2") as hv2:
        assert hv1.announce(RED, MAC1)[0] and hv2.announce(RED, MAC2)[0]
        hv2.until(lambda: MAC1 in hv2.directory.networks[RED]["mappings"])
        # As another tool might do it, its mapping left behind: the NVA removes that.
        store.ctl("destroy", "Membership", store.ctl("--bare", "--columns=_uuid", "find", "Membership", "vn=" + store.ctl("get", "VN", "red", "_uuid").strip(),
                                                     "nve=" + store.ctl("get", "NVE", "hv1", "_uuid").strip()).strip())
        hv1.until(lambda: RED not in hv1.directory.networks, timeout=2)
        hv2.until(lambda: "hv1" not in hv2.directory.networks[RED]["members"] and MAC1 not in hv2.directory.networks[RED]["mappings"], timeout=2)
        wait_until(lambda: MAC1 not in store.ctl("mapping-list"), "the mapping is removed")
        assert not hv1.announce(RED, MAC1)[0]

        store.ctl("vn-join", "red", "hv1")
        hv1.until(lambda: RED in hv1.directory.networks)
        store.ctl("nve-revoke", "hv2")
        assert hv2.closed(2)[0] == REVOKED
        hv1.until(lambda: sorted(hv1.directory.networks[RED]["members"]) == ["hv1"], timeout=2)
        assert hv1.directory.networks[RED]["mappings"] == {}
        with pytest.raises(Closed):
            connect(store, nva, "hv2").receive()
        assert "revoked" in audit(store)


@pytest.mark.requirement(1, 4)
def test_who_is_refused(store, nva):
    store.files("mallory")
    store.files("impostor", "--role", "nva")
    store.files("kvm", "--role", "hypervisor")
    for name, role, words in (("mallory", 1, "no NVE of this store"), ("impostor", 2, "does not talk to the role nva"),
                              ("kvm", 3, "does not talk to the role nva")):
        with NveSession(nva, name, store.files(name), role=role) as session:
            assert session.closed()[0] == UNAUTHORIZED
        wait_until(lambda: words in audit(store), f"the audit log says '{words}'")
    with NveSession(nva, "hv1", store.files("mallory")) as liar:
        assert liar.closed()[0] == UNAUTHORIZED
    # The messages of an NVA are not an NVE's to send.
    with connect(store, nva, "hv1") as hv1:
        hv1.send(NUMBERS["vn_gone"], field(1, RED))
        code, text = hv1.closed()
        assert code == UNAUTHORIZED and "may not send VnGone" in text
    with connect(store, nva, "hv1") as hv1, connect(store, nva, "hv2") as hv2:
        hv1.send(NUMBERS["policy_update"], field(1, 9) + field(2, b"gateway red 10.9.0.254/24\n"))
        code, text = hv1.closed()
        assert code == UNAUTHORIZED and "may not send PolicyUpdate" in text
        assert hv2.directory.policy is None and store.ctl("policy-show") == ""


GATEWAYS = "gateway red 10.1.0.254/24 # of the shop\ngateway 5002 10.2.0.254/24 fd02::fe/64\ngateway green 10.3.0.254/24\n"
RULE = "100 allow from red to blue proto tcp port 80\n"
OF_RED, OF_BLUE = "gateway 5001 10.1.0.254/24\n", "gateway 5002 10.2.0.254/24 fd02::fe/64\n"


def set_policy(store, text, check=True):
    done = store.ctl("policy-set", "-", input=text, check=check)
    if check:
        version = "version " + store.ctl("get", "Policy", ".", "version").strip()
        wait_until(lambda: store.show("nva1", "session/show")["policy"].startswith(version), f"the NVA has {version} of the policy")
    return done


@pytest.mark.requirement(4, 24)
def test_each_nve_hears_of_the_policy_of_its_networks_only(store, nva):
    store.ctl("vn-add", "green", "5003", "--", "vn-add", "blue2", "5004")
    set_policy(store, GATEWAYS + RULE.replace("blue", "5002") + "90 deny from green to red\n")
    with connect(store, nva, "hv1") as hv1, connect(store, nva, "hv2") as hv2, connect(store, nva, "hv4") as hv4:
        assert hv1.directory.policies == [OF_RED] and hv1.directory.policies_at_ready == 1
        assert hv2.directory.policies == [OF_RED + OF_BLUE + "100 allow from 5001 to 5002 proto tcp port 80\n"]
        assert hv2.directory.policies_at_ready == 1 and hv2.directory.policy_version == 1
        assert hv4.directory.policies == []

        # A change that concerns hv2 alone, then one that concerns both.
        store.ctl("policy-del", "100 allow from red to 5002 proto tcp port 80", "--", "policy-add", "90", "deny", "from", "5002", "to", "red")
        hv2.until(lambda: "deny from 5002" in hv2.directory.policy, timeout=5)
        assert "allow" not in hv2.directory.policy and "5003" not in hv2.directory.policy
        store.ctl("policy-del", "90 deny from green to red", "--", "policy-del", "90 deny from 5002 to red", "--", "policy-del", "gateway red")
        hv1.until(lambda: hv1.directory.policy == "", timeout=5)
        assert hv1.directory.policies == [OF_RED, ""]
        hv2.until(lambda: hv2.directory.policy == OF_BLUE, timeout=5)

        # Who joins or leaves a network has another part.
        store.ctl("vn-join", "blue", "hv1")
        hv1.until(lambda: hv1.directory.policy == OF_BLUE, timeout=5)
        assert BLUE in hv1.directory.networks
        store.ctl("vn-leave", "blue", "hv1")
        hv1.until(lambda: hv1.directory.policy == "", timeout=5)
        assert hv4.directory.policies == []
    assert '"event":"config_changed"' in audit(store) and "the policy between networks is version 1: 3 gateways, 2 rules" in audit(store)


@pytest.mark.requirement(24)
def test_the_policy_is_not_told_again_to_who_has_it(store, nva):
    set_policy(store, "gateway red 10.1.0.254/24\n")
    for known, told in ((None, [OF_RED]), (OF_RED, []), ("gateway 5001 10.9.0.254/24\n", [OF_RED])):
        with NveSession(nva, "hv1", store.files("hv1")) as hv1:
            hv1.ask_directory(policy=known)
            hv1.until(lambda: hv1.directory.ready)
            assert hv1.directory.policies == told
    # Nor by another process of the NVA.
    store.stop("nva1")
    with NveSession(store.start_nva(), "hv1", store.files("hv1")) as hv1:
        hv1.ask_directory(policy=OF_RED)
        hv1.until(lambda: hv1.directory.ready)
        assert hv1.directory.policies == []


@pytest.mark.requirement(24)
def test_a_bad_policy_never_replaces_a_good_one(store, nva):
    good = "gateway red 10.1.0.254/24\ngateway blue 10.2.0.254/24\n" + RULE
    set_policy(store, good)
    with connect(store, nva, "hv2") as hv2:
        told = hv2.directory.policy
        bad = set_policy(store, good + "7 allow from red to green\n", check=False)
        assert bad.returncode == 1 and "line 4: network green has no gateway" in bad.stderr and store.ctl("policy-show") == good
        # As another tool might write it.
        store.ctl("set", "Policy", ".", 'text="gateway red"', "version=9")
        wait_until(lambda: "version 9 of the policy is not used: line 1" in store.appctl("nva1", "session/show"), "the NVA says what is wrong")
        shown = store.show("nva1", "session/show")
        assert shown["policy"] == "version 1: 2 gateways, 1 rules" and shown["sessions"][0]["policy_told"]
        assert shown["policy_error"] in shown["problems"] and "\nnvo3_nva_policy_refused 1\n" in store.appctl("nva1", "metrics/show")
        assert "policy: version 9 is bad: line 1" in store.ctl("status")
        with connect(store, nva, "hv1") as hv1:     # the good one goes on
            assert hv1.directory.policies == [OF_RED]
        # An NVA that has never seen a good one tells none: hosts keep what they have.
        other = store.start_nva("nva2")
        with NveSession(other, "hv1", store.files("hv1")) as hv1:
            hv1.ask_directory(policy=OF_RED)
            hv1.until(lambda: hv1.directory.ready)
            assert hv1.directory.policies == []
        set_policy(store, "gateway blue 10.2.0.254/24\n")
        hv2.until(lambda: len(hv2.directory.policies) > 1, timeout=5)
        assert hv2.directory.policies == [told, "gateway 5002 10.2.0.254/24\n"] and hv2.directory.policy_version == 10
        wait_until(lambda: store.show("nva1", "session/show")["problems"] == [], "nothing is wrong any more")
        assert store.show("nva1", "session/show")["policy_error"] is None and "\nnvo3_nva_policy_refused 0\n" in store.appctl("nva1", "metrics/show")


@pytest.mark.requirement(24)
def test_a_policy_of_many_frames(store, nva):
    """More than a frame, and changed while it is told: never a mixture."""
    gateways = "gateway red 10.1.0.254/24\ngateway blue 10.2.0.254/24\n"
    texts = [gateways + "".join(f"{n} {action} from red to blue proto tcp port {n}\n" for n in range(1, 4001)) for action in ("allow", "deny")]
    set_policy(store, texts[0])
    with connect(store, nva, "hv2") as hv2:
        assert hv2.directory.policies_at_ready == 1
        assert len(hv2.directory.policy) > 150000 and hv2.directory.policy.count("allow") == 4000
        set_policy(store, texts[1])
        hv2.until(lambda: "deny" in hv2.directory.policy, timeout=10)
        assert hv2.directory.policy.count("deny") == 4000 and "allow" not in hv2.directory.policy


def test_status_tells_of_the_nva_of_this_machine(store):
    assert "NVA of this machine" not in store.ctl("status")
    store.start_nva("nva1", f"--pidfile={store.directory}/nvo3-nva.pid")
    pid = (store.directory / "nvo3-nva.pid").read_text().strip()
    (store.directory / f"nvo3-nva.{pid}.ctl").symlink_to(store.directory / "nva1.ctl")
    assert "the NVA of this machine: store fresh\n" in store.ctl("status")


def test_a_short_outage_of_the_store_costs_nothing(store, nva):
    with connect(store, nva, "hv1") as hv1, connect(store, nva, "hv2") as hv2:
        store.stop("ovsdb-server")
        wait_until(lambda: not store.show("nva1", "session/show")["store_fresh"], "the NVA notices")
        with connect(store, nva, "hv3") as hv3:     # served from what is known
            assert sorted(hv3.directory.networks) == [BLUE]
        hv1.send(NUMBERS["mapping_announce"], field(1, RED) + field(2, bytes.fromhex(MAC1.replace(":", ""))))
        store.start_server()
        hv2.until(lambda: MAC1 in hv2.directory.networks[RED]["mappings"], timeout=20)
        assert len(store.show("nva1", "session/show")["sessions"]) == 2


@pytest.mark.requirement(4)
def test_the_store_goes_away_and_comes_back(store, nva):
    """Without the store an NVA cannot know who was revoked since: after 5 s it serves nobody, until it is back."""
    with connect(store, nva, "hv1") as hv1:
        store.stop("ovsdb-server")
        assert hv1.closed(15) == (SHUTDOWN, "this NVA has lost the store and serves no NVE before it is back")
    state = store.show("nva1", "session/show")
    assert (state["serving"], state["store_fresh"], state["sessions"]) == (False, False, [])
    assert "no NVE is served" in store.appctl("nva1", "session/show")
    assert '"event":"alarm","reason":"this NVA has lost the store' in audit(store)
    with pytest.raises((Closed, OSError)):
        connect(store, nva, "hv1")
    store.start_server()
    wait_until(lambda: store.show("nva1", "session/show")["serving"], "the NVA serves again", timeout=20)
    connect(store, nva, "hv1").close()
    assert "the store is back" in audit(store)


@pytest.mark.requirement(4)
def test_a_store_that_hangs_is_lost(store, nva):
    """Its connection is as it was, over a Unix socket as well; only nothing is heard of it any more."""
    with connect(store, nva, "hv1") as hv1:
        server = store.pid("ovsdb-server")
        os.kill(server, signal.SIGSTOP)
        try:
            assert hv1.closed(20)[0] == SHUTDOWN
        finally:
            os.kill(server, signal.SIGCONT)
        wait_until(lambda: store.show("nva1", "session/show")["serving"], "the NVA serves again", timeout=20)


@pytest.mark.requirement(4)
def test_who_leaves_or_is_revoked_loses_it_at_an_nva_that_is_cut_off(store):
    """One of two NVAs is cut off from the store: what it missed reaches its NVEs by the other one."""
    remote = f"punix:{store.directory}/second.sock"
    store.appctl("db", "ovsdb-server/add-remote", remote)
    cut, good = store.start_nva("nva1", f"unix:{store.directory}/second.sock"), store.start_nva("nva2")
    with connect(store, cut, "hv1") as hv1, connect(store, cut, "hv3") as hv3, connect(store, good, "hv2") as hv2:
        store.appctl("db", "ovsdb-server/remove-remote", remote)
        store.ctl("vn-leave", "red", "hv1", "--", "nve-revoke", "hv3")
        hv2.until(lambda: "hv1" not in hv2.directory.networks[RED]["members"], timeout=2)
        assert hv1.closed(10)[0] == SHUTDOWN and hv3.closed(10)[0] == SHUTDOWN
        with connect(store, good, "hv1") as again:
            assert RED not in again.directory.networks
        with pytest.raises((Closed, OSError)):
            connect(store, good, "hv3")
        with pytest.raises((Closed, OSError)):
            connect(store, cut, "hv3")


@pytest.mark.requirement(14)
def test_group_keys(store, nva):
    store.stop("nva1")
    key = store.directory / "group.key"
    key.write_text(os.urandom(32).hex() + "\n")
    key.chmod(stat.S_IRUSR | stat.S_IWUSR)
    nva = store.start_nva("nva1", f"--group-key={key}")
    other = store.start_nva("nva2", f"--group-key={key}")
    store.ctl("group-add", "red", "239.1.1.1")
    with connect(store, nva, "hv1") as hv1, connect(store, other, "hv2") as hv2, connect(store, nva, "hv3") as hv3:
        for session in (hv1, hv2):
            session.until(lambda s=session: (RED, GROUP) in s.keys)
        secrets = [session.keys[RED, GROUP][4][0] for session in (hv1, hv2)]
        assert secrets[0] == secrets[1] and len(secrets[0]) == 32, "two NVAs must derive the same secret"
        assert hv1.directory.networks[RED]["groups"] == [GROUP] and not hv3.keys

        epoch = hv1.keys[RED, GROUP][3][0]
        grant = hv1.register(RED, GROUP, epoch)
        assert grant[1] == [1] and len(grant[6]) == 1
        hv2.until(lambda: len(hv2.keys[RED, GROUP].get(8, [])) == 1)
        assert hv2.keys[RED, GROUP][8] == grant[6], "members hear of the sender as it was granted"
        refused = hv1.register(RED, GROUP, epoch)
        assert refused.get(1, [0]) == [0] and b"less than a second ago" in refused[2][0]
        time.sleep(1)       # as long as the NVA wants
        again = hv1.register(RED, GROUP, epoch)
        assert again[6] != grant[6], "a sender id is given out once"
        refused = hv3.register(RED, GROUP, epoch)
        assert refused.get(1, [0]) == [0] and b"does not serve" in refused[2][0]

        store.ctl("vn-leave", "red", "hv1")
        hv2.until(lambda: hv2.keys[RED, GROUP][3][0] > epoch, timeout=2)
        assert hv2.keys[RED, GROUP][4][0] != secrets[0] and 8 not in hv2.keys[RED, GROUP]
        hv1.until(lambda: RED not in hv1.directory.networks)
        assert hv1.keys[RED, GROUP][3][0] == epoch, "who has left was told the next secret"

        now = hv2.keys[RED, GROUP][3][0]
        store.ctl("group-rekey", "red")
        hv2.until(lambda: hv2.keys[RED, GROUP][3][0] > now)
        text = "".join(store.appctl("nva1", command) for command in ("group/show", "vn/show", "session/show", "audit/show"))
        text += (store.directory / "nvo3.db").read_text() + (store.directory / "nva1.log").read_text()
        for secret in [*secrets, hv2.keys[RED, GROUP][4][0], bytes.fromhex(key.read_text())]:
            assert secret.hex() not in text.lower()
