# SPDX-License-Identifier: Apache-2.0
"""The commands of nvo3-sandbox. The shell script of that name has installed and built before this runs."""

import argparse
import concurrent.futures
import os
import pathlib
import sys
import time

from . import net
from .host import DAEMONS
from .lab import DEFAULT_DIRECTORY, Lab, Plan
from .process import LabError, wait_until
from .vm import Vm

EPILOG = """\
names: host N is hvN, underlay 172.31.0.N/24 and fd31::N/64 on br-phy, integration bridge br-int, tunnel port to host M tunM;
       VM N is vmN, 10.50.0.N/24 in VNI 5001; with --vns, network K is vn5000+K and its VMs are in 10.50.K-1.0/24;
       with --split, hvN is a hypervisor with libvirt, nve1 its network edge, guest N is gN, 10.50.0.100+N;
       with --policy, the gateway of network K is 10.50.K-1.254/24 and the default route of its VMs: the file says
       'gateway vn5001 10.50.0.254/24', 'gateway vn5002 10.50.1.254/24', '100 allow from vn5001 to vn5002 proto icmp';
       with --nva, NVA N is nvaN, 172.31.0.200+N, and nvo3-geneve (or nvo3-vxlan) is the tunnel port to all hosts

examples:
  nvo3-sandbox                                   two hosts, two VMs, a tunnel, and a look at the wire
  nvo3-sandbox up --nva --hosts 3 --vns 2         the same by an NVA: no tunnel is configured on a host
  nvo3-sandbox up --vns 2 --policy FILE          two networks, and what may go from one to the other
  nvo3-sandbox up --split                        hypervisors with libvirt and QEMU; their network edge is another device
  nvo3-sandbox status
  nvo3-sandbox exec vm1 ping 10.50.0.2
  nvo3-sandbox exec hv1 ovs-appctl nvo3/show
  nvo3-sandbox capture 5 underlay.pcap
  nvo3-sandbox down"""

LOOK_AROUND = """\
Look around:
    {command} status                                         what runs, in one table
    {command} exec hv1 ovs-appctl nvo3/show                  the tunnels; nvo3/sa-list, nvo3/counters
    {command} exec hv1 ovs-appctl -t hvagent peer/show       the sessions; sa/show, audit/show
    {command} exec hv1 ovs-appctl -t hvagent peer/rekey hv2  new keys, no packet lost
    {command} exec vm1 ping {address}
    {command} capture 5 underlay.pcap                        what an outsider sees
{more}    {command} down                                           remove all of it
Logs: {directory}/hv1/log"""


LOOK_AROUND_TUNNEL = """\
    {command} exec hv1 ovs-vsctl get interface tun2 status   state, peer, overhead, MTU
"""
LOOK_AROUND_NVA = """\
    {command} exec nva1 nvo3-nvactl status                   networks, hosts, groups; mapping-list, vn-list, nve-list
    {command} exec nva1 nvo3-nvactl vn-leave vn5001 hv2      hv2 serves the network no more: its VMs are cut off at once
    {command} exec hv1 ovs-appctl -t hvagent nva/show        what the NVA told; vn/show, group/show, tsi/show
"""
LOOK_AROUND_POLICY = """\
    {command} exec hv1 ovs-appctl -t hvagent policy/show     gateways, rules, and packets of each; policy/trace
    {command} exec nva1 nvo3-nvactl policy-set FILE          another policy, for all hosts at once
"""
LOOK_AROUND_SPLIT = """\
Look around:
    {command} status                                           what runs, in one table
    {command} exec hv1 virsh list                              the guests; suspend, resume, destroy, start one
    {command} exec nve1 ovs-appctl -t hvagent tsi/show         what the network edge knows of them, at once
    {command} exec hv1 ovs-appctl -t hvagent throttle/show     and how much hv1 has told it; tsi/show, peer/show
    {command} exec nve1 ovs-appctl nvo3/show                   the tunnels between edge and hypervisors
    {command} exec vm1 ping {address}
    {command} capture 5 underlay.pcap                          what an outsider sees
    {command} down                                             remove all of it
Logs: {directory}/hv1/log, {directory}/nve1/log, {directory}/hv1/libvirt/log; consoles of guests: {directory}/gN.console"""


def say(text):
    print(text, flush=True)


def main(argv):
    """Runs a command line; returns the exit status."""
    options = _parse(argv)
    if os.geteuid() != 0:
        raise LabError("nvo3-sandbox makes network namespaces: run it as root")
    return options.function(options)


def _parse(argv):
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", default=os.environ.get("NVO3_SANDBOX_DIR", DEFAULT_DIRECTORY),
                        help=f"directory of everything the sandbox makes (default {DEFAULT_DIRECTORY})")
    parser = argparse.ArgumentParser(prog="nvo3-sandbox", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Hosts, VMs and secured tunnels in network namespaces of this machine.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    up = commands.add_parser("up", parents=[common], help="make the sandbox and show that it works (the default)")
    up.add_argument("--hosts", type=int, default=2, metavar="N", help="number of hosts (default 2)")
    up.add_argument("--vms", type=int, metavar="N",
                    help="number of VMs, spread over the hosts (default 2, with --nva one per host and network)")
    up.add_argument("--underlay", choices=("afpacket", "afxdp"), default="afpacket", help="how the switch reads the underlay")
    up.add_argument("--encap", choices=("geneve", "vxlan"), default="geneve", help="kind of tunnels")
    up.add_argument("--ipv6", action="store_true", help="tunnels over IPv6")
    up.add_argument("--level", choices=("integrity", "confidential", "high"), help="security_level of the tunnels")
    up.add_argument("--nva", type=int, nargs="?", const=1, default=0, metavar="N",
                    help="N NVAs (default 1) tell the hosts who serves which network; nothing is configured per pair of hosts")
    up.add_argument("--stores", type=int, choices=(1, 3), default=1, help="servers of the NVA's store; 3 form a cluster")
    up.add_argument("--vns", type=int, default=1, metavar="M", help="number of virtual networks (default 1; more need --nva)")
    up.add_argument("--policy", metavar="FILE", help="the policy between the networks (see names below); implies --nva")
    up.add_argument("--split", action="store_true",
                    help="the hosts are hypervisors with libvirt and a guest each (QEMU, without KVM); their network edge is nve1")
    up.add_argument("--no-multicast", dest="multicast", action="store_false",
                    help="with --nva: the underlay has no multicast, each broadcast goes to every member by itself")
    up.add_argument("--prefix", default="", help="put before the names of all network namespaces")
    up.set_defaults(function=command_up)

    commands.add_parser("status", parents=[common], help="what runs; exit status 0 only if all of it works").set_defaults(
        function=command_status)
    run = commands.add_parser("exec", parents=[common], help="run a command in a host or VM")
    run.add_argument("name", metavar="NAME")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    run.set_defaults(function=command_exec)
    capture = commands.add_parser("capture", parents=[common], help="write a pcap of the underlay link")
    capture.add_argument("seconds", nargs="?", type=float, default=5.0, metavar="SECONDS", help="default 5")
    capture.add_argument("file", nargs="?", default="underlay.pcap", metavar="FILE", help="default underlay.pcap")
    capture.set_defaults(function=command_capture)
    commands.add_parser("down", parents=[common], help="remove everything").set_defaults(function=command_down)

    # 'up' may be left out, also before options.
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        argv = ["up", *argv]
    return parser.parse_args(argv)


def command_up(options):
    if options.split and (options.nva or options.ipv6):
        raise LabError("--split goes with neither --nva nor --ipv6 in the sandbox")
    if options.policy and options.split:
        raise LabError("--policy does not go with --split in the sandbox")
    if options.policy:
        options.nva = options.nva or 1
        options.policy = os.path.abspath(options.policy)
        if not os.path.exists(options.policy):
            raise LabError(f"--policy {options.policy}: there is no such file")
    nves = 1 if options.split else 0
    vms = options.vms if options.vms is not None else options.hosts * options.vns if options.nva else options.vns if options.split else 2
    plan = Plan(nves=nves, libvirt=options.split, guests=options.hosts * options.vns if options.split else 0, hosts=options.hosts, vms=vms, underlay=options.underlay, encap=options.encap, ipv6=options.ipv6,
                level=options.level, prefix=options.prefix, nva=options.nva, stores=options.stores, vns=options.vns,
                multicast=options.multicast, policy=options.policy, builddir=os.environ.get("NVO3_BUILDDIR"))
    plan.check()
    lab = _existing(options.dir, plan)
    if lab is None:
        say(f"==> Starting {plan.hosts} hosts and {plan.vms + plan.guests} VMs")
        begin = time.monotonic()
        lab = Lab(plan, directory=options.dir, say=lambda text: say(f"    {text}"))
        try:
            lab.up()
        except LabError as error:
            raise LabError(f"{error}\nWhat there is stays for a look: logs are in {options.dir}/hvN/log; "
                           "'nvo3-sandbox down' removes it.") from None
        say(f"==> All tunnels are up, {time.monotonic() - begin:.1f} s after the start")
    return _prove_split(lab) if lab.guests else _prove(lab)


def _existing(directory, plan):
    """The lab that is up already, if it is the one that is wanted and works; a broken one is removed."""
    if not (pathlib.Path(directory) / "lab.json").exists():
        return None
    lab = Lab.load(directory)
    if lab.plan != plan:
        raise LabError(f"another sandbox is up in {directory}: remove it first with 'nvo3-sandbox down'")
    rows, good = _host_rows(lab)
    if good:
        say("==> The sandbox is up already")
        return lab
    say("==> The sandbox that is there does not work any more: making it anew")
    lab.down()
    return None


def _prove(lab):
    """Traffic, and a look at what an outsider sees of it."""
    vms = list(lab.vms.values())
    if len(vms) < 2:
        say("==> Fewer than two VMs: nothing to ping")
        return 0
    first = vms[0]
    second = next((vm for vm in vms if vm.host is not first.host and vm.vni == first.vni), vms[1])
    with lab.capture(snap=128) as capture:
        lab.wait_all_reach()
        answers = first.ping(second, count=5)
        say(f"==> {first.name} pings {second.name} ({second.address}): {answers} of 5 answered")
        report = first.iperf(second, seconds=2)
        say(f"==> iperf3 from {first.name} to {second.name}, TCP: {report['end']['sum_received']['bits_per_second'] / 1e6:.0f} Mbit/s")
        if lab.plan.policy:
            _show_policy(lab)
    summary = capture.summary()
    say("==> The underlay carried meanwhile, in packets:\n" + summary.table())
    if summary.other:
        say("These must not be there:\n    " + "\n    ".join(summary.strangers))
    good = answers == 5 and summary.other == 0 and (summary.esp > 0 or len(lab.hosts) == 1)
    if good:
        _say_look_around(lab, LOOK_AROUND, second.address,
                         (LOOK_AROUND_NVA + (LOOK_AROUND_POLICY if lab.plan.policy else "")) if lab.nvas else LOOK_AROUND_TUNNEL)
        return 0
    say(f"nvo3-sandbox: this is not as it should be; logs are in {lab.directory}/hvN/log")
    return 1


def _show_policy(lab):
    """Who of each network reaches whom of the others."""
    first = {}
    for vm in lab.vms.values():
        first.setdefault(vm.vni, []).append(vm)
    for source, target in ((a, b) for a in first for b in first if a != b):
        one, two = first[source][0], first[target][-1]
        say(f"==> {one.name} of vn{source} pings {two.name} of vn{target}: {'answered' if one.ping(two) else 'not answered'}")


def _prove_split(lab):
    """A guest reaches the VM at its network edge, and goes on when it moves to another hypervisor."""
    vm, guest = next(iter(lab.vms.values())), next(iter(lab.guests.values()))
    source = lab.place_of(guest)
    target = next((host for host in lab.hypervisors.values() if host is not source), None)
    with lab.capture(snap=128) as capture:
        wait_until(lambda: vm.ping(guest), f"{vm.name} reaches {guest.name}", interval=0)
        answers = vm.ping(guest, count=5)
        say(f"==> {vm.name}, at the network edge, pings {guest.name} ({guest.address}) on {source.name}: {answers} of 5 answered")
        if target:
            pings = vm.time_pings(guest)
            lasted = guest.migrate(source, target)
            wait_until(lambda: vm.ping(guest), f"{vm.name} reaches {guest.name} again", interval=0)
            say(f"==> {guest.name} moved to {target.name} in {lasted:.1f} s, alive; the longest pause between two answers was {pings.stop() * 1000:.0f} ms")
    summary = capture.summary()
    say("==> The underlay carried meanwhile, in packets:\n" + summary.table())
    if summary.other:
        say("These must not be there:\n    " + "\n    ".join(summary.strangers))
    if answers == 5 and summary.other == 0 and summary.esp > 0:
        _say_look_around(lab, LOOK_AROUND_SPLIT, guest.address)
        return 0
    say(f"nvo3-sandbox: this is not as it should be; logs are in {lab.directory}/hvN/log and {lab.directory}/nve1/log")
    return 1


def _say_look_around(lab, text, address, more=""):
    command = os.environ.get("NVO3_SANDBOX", "nvo3-sandbox")
    say("\n" + text.format(more=more.format(command=command), command=command, directory=lab.directory, address=address))
    if str(lab.directory) != DEFAULT_DIRECTORY:
        say(f"In each of them: --dir {lab.directory}, or first export NVO3_SANDBOX_DIR={lab.directory}")


def command_status(options):
    lab = Lab.load(options.dir)
    rows, good = _host_rows(lab)
    _print_table(["HOST", *DAEMONS, "TUNNEL", "STATE", "PEER", "SAS", "WHY NOT"], rows)
    say("")
    nva_rows, serving = _nva_rows(lab)
    if nva_rows:
        _print_table(["NVA", "ovsdb-server", "nvo3-nva"], nva_rows)
        say("")
    if lab.guests:
        guest_rows, alive = _guest_rows(lab)
        _print_table(["GUEST", "HYPERVISOR", "ADDRESS", "NETWORK", "REACHED FROM", "NOT FROM"], guest_rows)
        say("")
        good = good and alive
    vm_rows, reached = _vm_rows(lab)
    _print_table(["VM", "HOST", "ADDRESS", "VNI", "REACHES", "DOES NOT REACH"], vm_rows)
    return 0 if good and serving and reached else 1


def _host_rows(lab):
    """A row per tunnel (or host without), and whether all is as it should be."""
    rows, good = [], True
    # A hypervisor without guests is in no network, and needs no tunnel.
    idle = {host.name for host in lab.hypervisors.values() if lab.guests and all(lab.place_of(guest) is not host for guest in lab.guests.values())}
    for host in lab.hosts.values():
        alive = {daemon: host.pid(daemon) is not None for daemon in DAEMONS}
        good = good and all(alive.values())
        head = [host.name, *("up" if alive[daemon] else "DOWN" for daemon in DAEMONS)]
        split = lab.plan.nves > 0
        wanted = [f"nvo3-{lab.plan.encap}"] if lab.plan.nva or (split and host.name in lab.hypervisors) else \
            [f"tun{peer.number}" for peer in lab.hypervisors.values()] if split else [f"tun{peer.number}" for peer in lab.hosts.values() if peer is not host]
        for port in wanted or ["-"]:
            row = ["-", "", "", ""]
            if port != "-":
                row = _tunnel_row(host, port, alive["ovsdb-server"] and alive["ovs-vswitchd"])
                if host.name in idle or (split and any(port == f"tun{lab.hosts[name].number}" for name in idle)):
                    row = ["idle", "", "", "no guest runs there"] if row[0] != "up" else row
                else:
                    good = good and row[0] == "up"
            rows.append([*head, port, *row])
            head = [""] * len(head)
    return rows, good


def _nva_rows(lab):
    """A row per node of the NVA, and whether all that shall run there does."""
    rows, good = [], True
    for node in lab.nvas.values():
        row = [node.name]
        for daemon, last in (("ovsdb-server", lab.plan.stores), ("nvo3-nva", lab.plan.nva)):
            up = node.pid(daemon) is not None
            good = good and (up or node.number > last)
            row.append("-" if node.number > last else "up" if up else "DOWN")
        rows.append(row)
    return rows, good


def _tunnel_row(host, port, readable):
    if not readable:
        return ["unknown", "", "", "the switch or its database does not run"]
    try:
        status = host.interface(port, "status")
        why = status.get("nvo3_error") or host.error(port)
    except LabError as error:
        return ["unknown", "", "", str(error)]
    # Without the agent the last word of the switch may be 'up', and traffic flows, but nobody renews the keys.
    return [status.get("nvo3_state", "none"), status.get("nvo3_peer", ""), status.get("nvo3_sas", ""), why]


def _vm_rows(lab):
    """A row per VM, and whether each reaches all others."""
    vms = list(lab.vms.values())

    def try_all(vm):
        if not net.exists(vm.ns):
            return [], [other.name for other in vms if other is not vm and other.vni == vm.vni]
        answers = [(other.name, vm.ping(other)) for other in vms if other is not vm and other.vni == vm.vni]
        return [n for n, answered in answers if answered], [n for n, answered in answers if not answered]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(try_all, vms))
    rows = [[vm.name, vm.host.name, vm.address, vm.vni, ",".join(reached) or "-", ",".join(missed) or "-"]
            for vm, (reached, missed) in zip(vms, results)]
    return rows, not any(missed for _, missed in results)


def _guest_rows(lab):
    """A row per guest, and whether each is reached by the VMs of its network."""
    rows, good = [], True
    for guest in lab.guests.values():
        host = lab.place_of(guest)
        vms = [vm for vm in lab.vms.values() if lab.network(vm.vni) == guest.network]
        reached = [vm.name for vm in vms if host and vm.ping(guest)]
        missed = [vm.name for vm in vms if vm.name not in reached]
        good = good and host is not None and not missed
        rows.append([guest.name, host.name if host else "-", guest.address, guest.network, ",".join(reached) or "-", ",".join(missed) or "-"])
    return rows, good


def _print_table(head, rows):
    table = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def command_exec(options):
    lab = Lab.load(options.dir)
    place = lab.place(options.name)
    if not options.command:
        raise LabError(f"exec {options.name}: which command? For example: nvo3-sandbox exec {options.name} ip addr")
    if not net.exists(place.ns):
        raise LabError(f"{options.name} is not there any more: make the sandbox anew with 'nvo3-sandbox up'")
    host = place.host if isinstance(place, Vm) else place
    sys.stdout.flush()
    inside = net.inside(place.ns) if isinstance(place, Vm) else place.inside()
    os.execvpe(inside[0], inside + options.command, host.env)


def command_capture(options):
    if not 0 < options.seconds <= 3600:
        raise LabError("capture: 1 to 3600 seconds")
    lab = Lab.load(options.dir)
    with lab.capture(options.file) as capture:
        say(f"==> Capturing the underlay for {options.seconds:g} s")
        time.sleep(options.seconds)
    say(f"==> {options.file}:\n" + capture.summary().table())
    return 0


def command_down(options):
    if not (pathlib.Path(options.dir) / "lab.json").exists():
        say(f"No sandbox in {options.dir}: nothing to do")
        return 0
    Lab.load(options.dir, removal=True).down()
    say("==> The sandbox is gone")
    return 0
