# SPDX-License-Identifier: Apache-2.0
"""What Prometheus gets: well-formed, of all daemons, moving with what happens; dashboard and alert rules name nothing that does not exist."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from lab import wait_until
from lab.process import run
from packaged import packaged

TOP = pathlib.Path(__file__).resolve().parents[2]
MONITORING = TOP / "utilities/monitoring"
# Of other exporters, which the alert rules may use.
FOREIGN = {"node_textfile_mtime_seconds"}
NAME = re.compile(r"\b(?:nvo3|hvagent|node)_[a-z0-9_]+\b(?!\s*=)")


def write(place, directory, check=True):
    """Runs nvo3-metrics on a host or NVA as the timer does; returns the file's text."""
    directory.mkdir(exist_ok=True)
    env = {**place.env, "PATH": f"{place.env['PATH']}:{TOP}/utilities"}
    run(place.inside() + [str(TOP / "utilities/nvo3-metrics"), str(directory)], env=env, check=check)
    assert [path.name for path in directory.iterdir()] == ["nvo3.prom"]
    assert (directory / "nvo3.prom").stat().st_mode & 0o777 == 0o644
    return (directory / "nvo3.prom").read_text()


def values(text):
    """{sample with its labels: value}."""
    return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in text.splitlines() if line and not line.startswith("#")}


def promtool(*argv, text=None):
    if not shutil.which("promtool"):
        pytest.skip("promtool is missing: apt-get install prometheus")
    return subprocess.run(["promtool", *map(str, argv)], input=text, capture_output=True, text=True)


@pytest.fixture(scope="module")
def lab(module_labs):
    lab = module_labs(nva=1, hosts=2, multicast=False)
    lab.wait_all_reach()
    return lab


@pytest.fixture(scope="module")
def split(module_labs):
    return module_labs(nves=1, hosts=1, vms=2)


@pytest.fixture(scope="module")
def texts(lab, split, tmp_path_factory):
    places = [lab.hosts["hv1"], lab.nvas["nva1"], *split.hosts.values()]
    return [write(place, tmp_path_factory.mktemp("metrics") / "node-exporter") for place in places]


def test_all_daemons_are_well_formed(texts):
    for text in texts:
        done = promtool("check", "metrics", text=text)
        assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    host, nva = values(texts[0]), values(texts[1])
    assert host['nvo3_daemon_up{daemon="ovs-vswitchd"}'] == host['nvo3_daemon_up{daemon="hvagent"}'] == host["hvagent_nva_connected"] == 1
    assert host['nvo3_ports{state="up"}'] == host['hvagent_peers{state="up"}'] == 1
    assert host['nvo3_sas{direction="inbound",of="pair"}'] >= 1
    assert host['hvagent_certificate_not_after_timestamp_seconds{name="hv1"}'] > 1700000000
    assert all(found[f'{daemon}_trust_end_timestamp_seconds{{what="CA"}}'] > 1700000000 for daemon, found in (("hvagent", host), ("nvo3_nva", nva)))
    assert nva['nvo3_daemon_up{daemon="nvo3-nva"}'] == nva["nvo3_nva_store_fresh"] == 1
    assert nva['nvo3_nva_sessions{state="ready"}'] == 2 and nva["nvo3_nva_queued_messages"] == 0


def test_numbers_move(lab, tmp_path):
    """Packets, refusals, rekeys and handshakes."""
    hv1, directory = lab.hosts["hv1"], tmp_path / "node-exporter"
    before = values(write(hv1, directory))
    assert lab.vms["vm1"].all_answered(lab.vms["vm2"], 5, interval=0.02)
    # From a host of the underlay: no SA has this SPI.
    send = "import socket,sys; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); [s.sendto(bytes.fromhex('11223344') + bytes(60), (sys.argv[1], 4500)) for _ in range(5)]"
    lab.hosts["hv2"].run("/usr/bin/python3", "-c", send, hv1.ipv4)
    hv1.appctl("peer/rekey", "hv2", target="hvagent")
    rekeys = next(name for name in before if name.startswith("hvagent_rekeys_total") and 'peer="hv2"' in name)
    unknown = 'nvo3_drops_total{reason="unknown_spi"}'

    def moved():
        now = values(write(hv1, directory))
        grown = {name for name in before if now.get(name, 0) > before[name]}
        return {"nvo3_sealed_total", "nvo3_opened_total", "nvo3_sealed_bytes_total", unknown, rekeys, 'hvagent_events_total{event="sa_installed"}'} <= grown
    wait_until(moved, lambda: f"the counters have grown: {values(write(hv1, directory))}", timeout=10, interval=0.3)


def test_daemon_that_is_missed(lab, tmp_path):
    hv2 = lab.hosts["hv2"]
    hv2.stop("hvagent")
    try:
        now = values(write(hv2, tmp_path / "node-exporter"))
        assert now['nvo3_daemon_up{daemon="hvagent"}'] == 0 and now['nvo3_daemon_up{daemon="ovs-vswitchd"}'] == 1
        assert now["nvo3_agent_connected"] == 0
    finally:
        hv2.start("hvagent")


STORES = [  # what is there of the store's service, what is told
    ("answers", 'mkdir /run/nvo3-store; ln -s "$STORE" /run/nvo3-store/store.ctl', 1),
    # As kill -9 leaves it.
    ("is-dead", "mkdir /run/nvo3-store; touch /run/nvo3-store/store.ctl", 0),
    ("did-not-start", "mkdir -p /etc/systemd/system/multi-user.target.wants; touch /etc/systemd/system/multi-user.target.wants/nvo3-store.service", 0),
    ("is-not-of-this-machine", "", None),
]


@pytest.mark.parametrize("script, value", [store[1:] for store in STORES], ids=[store[0] for store in STORES])
def test_store(lab, tmp_path, script, value):
    """The packages' service has no pid file that others know: it is found by its control socket, or by being enabled."""
    nva1 = lab.nvas["nva1"]
    env = {**nva1.env, "STORE": str(nva1.rundir / f"ovsdb-server.{nva1.pid('ovsdb-server')}.ctl")}
    text = run([*nva1.inside(), *packaged(tmp_path, script), TOP / "utilities/nvo3-metrics", "-"], env=env).stdout
    assert values(text).get('nvo3_daemon_up{daemon="nvo3-store"}') == value, text
    done = promtool("check", "metrics", text=text)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr


def test_folder_that_is_not_there(tmp_path):
    done = subprocess.run([TOP / "utilities/nvo3-metrics", tmp_path / "none"], capture_output=True, text=True)
    assert done.returncode == 1 and "textfile folder" in done.stderr


def test_alert_rules(texts):
    rules = (MONITORING / "nvo3-alerts.yml").read_text()
    exist = {re.split(r"[{ ]", name)[0] for text in texts for name in values(text)} | FOREIGN
    named = {name for line in rules.splitlines() if line.strip().startswith("expr:") for name in NAME.findall(line)}
    assert len(named) > 10 and named <= exist, named - exist
    for page in re.findall(r"doc/\S+\.md", rules):
        assert (TOP / page).exists(), page
    done = promtool("check", "rules", MONITORING / "nvo3-alerts.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard(texts):
    dashboard = json.loads((MONITORING / "nvo3-dashboard.json").read_text())
    exist = {re.split(r"[{ ]", name)[0] for text in texts for name in values(text)}
    named = {name for panel in dashboard["panels"] for target in panel["targets"] for name in NAME.findall(target["expr"])}
    named |= {name for variable in dashboard["templating"]["list"] for name in NAME.findall(variable["query"])}
    assert len(named) > 15 and named <= exist, named - exist


def test_labels_of_rules_exist(texts):
    """A reason or state that is spelt wrong would alarm never."""
    known = {}
    for text in texts:
        for key, value in re.findall(r'(\w+)="([^"]*)"', text):
            known.setdefault(key, set()).add(value)
    rules = (MONITORING / "nvo3-alerts.yml").read_text()
    for key, words in re.findall(r'(reason|state|event)=~?"([^"]+)"', rules):
        assert set(words.split("|")) <= known[key], (key, words)


SERIES = [  # series, values each minute, alerts that they raise within 15 minutes
    ('nvo3_daemon_up{daemon="hvagent"}', "1 0x20", {"Nvo3DaemonDown"}),
    ('nvo3_daemon_up{daemon="hvagent"}', "1x20", set()),
    ('nvo3_ports{state="error"}', "0 1x20", {"Nvo3TunnelDown"}),
    ('nvo3_ports{state="up"}', "3x20", set()),
    ('nvo3_drops_total{reason="bad_icv"}', "0+600x20", {"Nvo3Forged"}),
    ('nvo3_drops_total{reason="no_sa"}', "0+600x20", {"Nvo3NoKey"}),
    ('nvo3_drops_total{reason="no_sa"}', "0 100x20", set()),
    ('hvagent_events_total{event="refused"}', "0+60x20", {"Nvo3HandshakesRefused"}),
    ('hvagent_events_total{event="authenticated"}', "0+60x20", set()),
    ('hvagent_certificate_not_after_timestamp_seconds{name="hv1"}', "1209000x20", {"Nvo3CertificateEndsSoon"}),
    ('hvagent_certificate_not_after_timestamp_seconds{name="hv1"}', "9000000x20", set()),
    ('nvo3_nva_trust_end_timestamp_seconds{what="CRL"}', "1209000x20", {"Nvo3TrustEndsSoon"}),
    ('hvagent_trust_end_timestamp_seconds{what="CA"}', "9000000x20", set()),
    ("hvagent_policy_refused", "0 1x20", {"Nvo3PolicyRefused"}),
    ("nvo3_nva_policy_refused", "1x20", {"Nvo3PolicyRefused"}),
    ("hvagent_policy_refused", "0x20", set()),
    ("hvagent_nva_connected", "0x20", {"Nvo3NvaUnreachable"}),
    ("nvo3_nva_store_fresh", "0x20", {"Nvo3StoreLost"}),
]


@pytest.mark.parametrize("series, numbers, alerts", SERIES, ids=[f"{series}-{numbers}" for series, numbers, _ in SERIES])
def test_alerts(tmp_path, series, numbers, alerts):
    """Prometheus' own evaluation of the rules: what raises an alert, and what does not."""
    rules = json.dumps(str(MONITORING / "nvo3-alerts.yml"))
    names = re.findall(r"- alert: (\w+)", (MONITORING / "nvo3-alerts.yml").read_text())
    # All alerts that fire at the end, by name alone.
    queries = "\n".join(f"""      - expr: count by (alertname) (ALERTS{{alertname="{name}", alertstate="firing"}})
        eval_time: 15m
        exp_samples: {'[{labels: ' + "'" + '{alertname="' + name + '"}' + "'" + ', value: 1}]' if name in alerts else '[]'}""" for name in names)
    test = tmp_path / "test.yml"
    test.write_text(f"""rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series: [{{series: '{series}', values: '{numbers}'}}]
    promql_expr_test:
{queries}
""")
    done = promtool("test", "rules", test)
    assert done.returncode == 0, done.stdout + done.stderr
