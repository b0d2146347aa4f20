# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port guard as text: checks what a section asks for and renders table, unit and drop-ins. Touches no host."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass

TABLE = "aztec_prover"
UNIT = "aztec-port-guard.service"
DIRECTORY = "/etc/aztec-port-guard"
TABLE_FILE = f"{DIRECTORY}/table.nft"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
DOCKER_FILE = "/etc/systemd/system/docker.service.d/aztec-port-guard.conf"
NFTABLES_FILE = "/etc/systemd/system/nftables.service.d/aztec-port-guard.conf"
# Units that the guard has drop-ins for.
NEIGHBOURS = ("nftables.service", "docker.service")
PROTOCOLS = ("tcp", "udp")

# After conntrack (-200), whose direction the table asks for, and after mangle (-150), whose marks may choose a route;
# before dstnat (-100), where Docker rewrites the port that a stranger asked for.
PRIORITY = -140

SECTION = re.compile(r"[a-z][a-z0-9_]{0,39}")
BRIDGE = re.compile(r"(?!lo\Z)[A-Za-z0-9_.:@-]{1,15}")

_HEADER = f"""\
# Written by the Ansible module aztec_ops.prover.port_guard: a change made here is lost on its next run.
# The first two lines and what follows are one transaction: there is no moment without the table.
table inet {TABLE}
delete table inet {TABLE}
"""


@dataclass(frozen=True)
class Port:
    """A port, its protocol, and the networks (collapsed, v4 before v6) that reach it at the host's own addresses."""

    port: int
    protocol: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """What one component asks for."""

    name: str
    ports: tuple[Port, ...]
    bridges: tuple[str, ...]
    required_by_docker: bool


class Refused(ValueError):
    """A section that cannot be rendered; `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def network_of(source: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Take an address or CIDR as an operator writes it, give the network, or raise ValueError with one line.

    Host bits are refused, not cut off: 10.0.0.5/24 may mean the host as well as the network, and to guess the network
    would open the port to 255 others.
    """
    text = str(source).strip()
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError as error:
        hint = "put it in quotes" if text.isdigit() else "give an IPv4 or IPv6 address or CIDR"
        raise ValueError(f"{text!r} is no address: {hint}") from error
    network = interface.network
    if getattr(interface, "scope_id", None):
        raise ValueError(f"'{text}' names a zone: leave out the part from % on")
    if interface.version == 6 and interface.ip.ipv4_mapped is not None:
        raise ValueError(f"'{text}' is an IPv4 address in IPv6 form: write {interface.ip.ipv4_mapped}")
    if interface.ip != network.network_address:
        raise ValueError(f"'{text}' has host bits set: write {network} for the network or {interface.ip} for the host")
    if interface.ip.is_unspecified and "/" not in text:
        everyone = "0.0.0.0/0" if interface.version == 4 else "::/0"
        raise ValueError(f"'{text}' is no source: write {everyone} to let everybody in")
    return network


def collapsed(networks: list) -> tuple[str, ...]:
    """Give the same addresses as the fewest networks, v4 before v6, a single host without its prefix length.

    nft refuses a set whose elements overlap, and equal sets must give equal text.
    """
    result = []
    for version in (4, 6):
        for network in ipaddress.collapse_addresses([item for item in networks if item.version == version]):
            result.append(str(network.network_address) if network.num_addresses == 1 else str(network))
    return tuple(result)


def section_of(name: str, ports: list[dict], bridges: list[str], required_by_docker: bool = True) -> Section:
    """Check what a caller asks for and give the section; raise Refused with all that is wrong."""
    problems = []
    shown = name if SECTION.fullmatch(name) else repr(name)
    if shown != name:
        problems.append(f"section {shown}: use lower-case letters, digits and _, a letter first, at most 40")
    for bridge in bridges:
        if not BRIDGE.fullmatch(bridge):
            problems.append(
                f"section {shown}: {bridge!r} is no bridge: give the exact name, 15 characters at most, no *"
            )
    parsed = {}
    for entry in ports:
        number, protocol = entry["port"], entry.get("protocol") or "tcp"
        where = f"section {shown}, port {number}/{protocol}"
        if not 1 <= number <= 65535:
            problems.append(f"{where}: a port is a number from 1 to 65535")
        if protocol not in PROTOCOLS:
            problems.append(f"{where}: the protocol is {' or '.join(PROTOCOLS)}")
        if (number, protocol) in parsed:
            problems.append(f"{where}: is there twice: name it once, with all its sources")
        networks = []
        for source in entry.get("sources") or []:
            try:
                networks.append(network_of(source))
            except ValueError as error:
                problems.append(f"{where}: {error}")
        parsed[number, protocol] = Port(number, protocol, collapsed(networks))
    if problems:
        raise Refused(problems)
    return Section(
        name=name,
        ports=tuple(sorted(parsed.values(), key=lambda item: (item.protocol, item.port))),
        bridges=tuple(sorted(set(bridges))),
        required_by_docker=required_by_docker,
    )


def section_to_text(section: Section) -> str:
    """Give the section's file, from which later calls render the whole table again."""
    content = {
        "bridges": list(section.bridges),
        "ports": [
            {"port": item.port, "protocol": item.protocol, "sources": list(item.sources)} for item in section.ports
        ],
        "required_by_docker": section.required_by_docker,
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def section_from_text(name: str, text: str) -> Section:
    """Read a section's file; raise ValueError when it is not one that section_to_text wrote."""
    try:
        content = json.loads(text)
        return section_of(name, content["ports"], content["bridges"], content["required_by_docker"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _named_set(name: str, kind: str, elements: list[str], flags: str = "") -> list[str]:
    """Give the lines of a set; the flags line is left out when empty."""
    lines = [f"\tset {name} {{", f"\t\ttype {kind}"]
    if flags:
        lines.append(f"\t\tflags {flags}")
    return [*lines, f"\t\telements = {{ {', '.join(elements)} }}", "\t}", ""]


def _chain(name: str, rules: list[str]) -> list[str]:
    return [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}", ""]


def _section_lines(section: Section) -> list[str]:
    """Give one section's sets and its three chains: who is admitted, what is ours to shut, and the drops."""
    name, lines = section.name, []
    lines += _named_set(
        f"ports_{name}", "inet_proto . inet_service", [f"{item.protocol} . {item.port}" for item in section.ports]
    )
    admit, drop = [], []
    if section.bridges:
        lines += _named_set(f"bridges_{name}", "ifname", [f'"{bridge}"' for bridge in section.bridges])
        admit.append(f"iifname @bridges_{name} accept")
    admit.append("fib daddr . mark type != local return")
    for item in section.ports:
        port = f"{item.protocol} dport {item.port}"
        networks = [ipaddress.ip_network(source) for source in item.sources]
        for version, family, kind in ((4, "ip", "ipv4_addr"), (6, "ip6", "ipv6_addr")):
            members = [source for source, network in zip(item.sources, networks) if network.version == version]
            if any(network.version == version and network.prefixlen == 0 for network in networks):
                # Not every nft takes a prefix of length 0 as an element of an interval set.
                admit.append(f"{port} meta nfproto ipv{version} accept")
            elif members:
                set_name = f"v{version}_{item.protocol}_{item.port}_{name}"
                lines += _named_set(set_name, kind, members, flags="interval")
                admit.append(f"{port} {family} saddr @{set_name} accept")
        drop.append(f"{port} counter drop")
    shut = ["fib daddr . mark type { local, broadcast, anycast, multicast } goto drop_" + name]
    shut += [f'fib daddr . mark oifname "{bridge}" goto drop_{name}' for bridge in section.bridges]
    lines += _chain(f"admit_{name}", admit)
    lines += _chain(f"shut_{name}", shut)
    lines += _chain(f"drop_{name}", drop)
    return lines


def table(sections: list[Section]) -> str:
    """Give the whole table as one nft transaction that also replaces an older one.

    A packet runs through every section's admit chain before any section's shut chain: a port that two components of a
    host name (the broker's published 8080, the 8080 inside the node's container) is open to the sources of both.
    Replies to connections that this host began are let through before, since their destination is a port of ours only
    by chance; packets of a connection that was begun from outside are checked one by one, so that the connections of
    a source that is taken off the list end.
    """
    ordered = [section for section in sorted(sections, key=lambda item: item.name) if section.ports]
    lines = [_HEADER + f"table inet {TABLE} {{"]
    for section in ordered:
        lines += _section_lines(section)
    rules = [
        f"type filter hook prerouting priority {PRIORITY}; policy accept;",
        'iifname "lo" accept',
        "ct direction reply accept",
    ]
    for verb in ("admit", "shut"):
        rules += [f"meta l4proto . th dport @ports_{section.name} jump {verb}_{section.name}" for section in ordered]
    lines += _chain("prerouting", rules)[:-1]
    return "\n".join([*lines, "}"]) + "\n"


def unit(nft: str) -> str:
    """Give the unit that loads the table, with the path of the nft program.

    It does not conflict with shutdown.target: containers that live-restore leaves running would be open to all
    between the unload and the end.
    """
    return f"""\
# Written by the Ansible module aztec_ops.prover.port_guard: a change made here is lost on its next run.
[Unit]
Description=Port guard of the Aztec prover (nftables table inet {TABLE})
Documentation=man:nft(8)
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target docker.service
# The stock /etc/nftables.conf begins with `flush ruleset`: whatever runs it has to bring this table back after it.
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} -f {TABLE_FILE}
ExecReload={nft} -f {TABLE_FILE}
ExecStop={nft} "add table inet {TABLE}; delete table inet {TABLE}"

[Install]
WantedBy=sysinit.target
"""


def nftables_drop_in(nft: str) -> str:
    """Give nftables.service's drop-in, with the path of the nft program.

    PartOf= follows its stop and restart and ReloadPropagatedFrom= its reload, but nothing follows a plain start, which
    flushes the ruleset as well and would leave a guard that is active without a table.
    """
    return f"""\
# Written by the Ansible module aztec_ops.prover.port_guard: a change made here is lost on its next run.
[Unit]
Wants={UNIT}

[Service]
ExecStartPost=-{nft} -f {TABLE_FILE}
"""


def docker_drop_in(nft: str) -> str:
    """Give docker.service's drop-in, with the path of the nft program.

    Requires= would stop Docker whenever the guard is restarted, as a restart of nftables.service does. Asking the
    kernel just before the engine starts stops nothing that runs, and a table that was flushed counts as not loaded.
    """
    message = f"port guard is not loaded, so Docker does not start: see systemctl status {UNIT}"
    return f"""\
# Written by the Ansible module aztec_ops.prover.port_guard: a change made here is lost on its next run.
# To let Docker start without the guard: required_by_docker: false.
[Unit]
Wants={UNIT}
After={UNIT}

[Service]
ExecStartPre=/bin/sh -c '{nft} list chain inet {TABLE} prerouting >/dev/null || {{ echo "{message}" >&2; exit 1; }}'
"""
