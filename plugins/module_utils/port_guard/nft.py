# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate the sections of the port guard and render its rules, unit and drop-in. Changes nothing on a host."""

from __future__ import annotations

import ipaddress
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace

from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.daemon import DENIED, FAMILIES, RULES, TABLE

UNIT = "aztec-port-guard.service"
DIRECTORY = "/etc/aztec-port-guard"
TABLE_FILE = RULES
PROGRAM_FILE = "/usr/local/lib/aztec-port-guard/daemon.py"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
DOCKER_FILE = "/etc/systemd/system/docker.service.d/aztec-port-guard.conf"
PROTOCOLS = ("tcp", "udp")
# Version of the format of a section's file. Files of other versions are rejected.
VERSION = 2

# After conntrack (-200), because the rules match its direction. After mangle (-150), whose marks can select a route.
# Before dstnat (-100), where Docker rewrites the destination port.
PRIORITY = -140
# The conntrack label of connections that a container or the host itself initiated.
INITIATED = 101

# The number of removed hosts that are kept for a port.
MAX_REMOVED = 256

SECTION = re.compile(r"[a-z][a-z0-9_]{0,39}")
BRIDGE = re.compile(r"(?!lo\Z)[A-Za-z0-9_.:@-]{1,15}")
MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.IGNORECASE)

_HEADER = "# Managed by the Ansible module aztec_ops.prover.port_guard. Changes are overwritten.\n"


@dataclass(frozen=True)
class Port:
    """A guarded port of the host.

    sources: networks (collapsed, v4 before v6) that are admitted. addresses: the host's addresses at which the port is
    guarded, as networks; empty for all. removed: hosts that were removed from the sources, as networks.
    """

    port: int
    protocol: str
    sources: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """A container by its MAC address, and its TCP ports that are blocked for other containers of the bridge."""

    mac_address: str
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Section:
    """The rules of one component."""

    name: str
    ports: tuple[Port, ...]
    bridges: tuple[str, ...]
    containers: tuple[Container, ...]
    required_by_docker: bool


class InvalidSection(ValueError):
    """A section that cannot be rendered. `problems` has one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def network_of(source: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network of an address or CIDR. Raise ValueError for any other text.

    Host bits are rejected, not cut off: 10.0.0.5/24 can mean the host or the network, and the network would open the
    port to 255 more hosts.
    """
    text = str(source).strip()
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError as error:
        hint = "put it in quotes" if text.isdigit() else "give an IPv4 or IPv6 address or CIDR"
        raise ValueError(f"{text!r} is not an address: {hint}") from error
    network = interface.network
    if getattr(interface, "scope_id", None):
        raise ValueError(f"'{text}' contains a zone: remove the part from % on")
    if interface.version == 6 and interface.ip.ipv4_mapped is not None:
        raise ValueError(f"'{text}' is an IPv4 address in IPv6 form: write {interface.ip.ipv4_mapped}")
    if interface.ip != network.network_address:
        raise ValueError(f"'{text}' has host bits set: write {network} for the network or {interface.ip} for the host")
    if interface.ip.is_unspecified and "/" not in text:
        everyone = "0.0.0.0/0" if interface.version == 4 else "::/0"
        raise ValueError(f"'{text}' is not a source: write {everyone} to admit all addresses")
    return network


def collapsed(networks: list) -> tuple[str, ...]:
    """Return the fewest networks with the same addresses, v4 before v6, a single host without its prefix length.

    nft rejects a set whose elements overlap, and equal sets must have equal text.
    """
    result = []
    for version in (4, 6):
        for network in ipaddress.collapse_addresses([item for item in networks if item.version == version]):
            result.append(str(network.network_address) if network.num_addresses == 1 else str(network))
    return tuple(result)


def _networks(entries: list, where: str, problems: list[str]) -> tuple[str, ...]:
    """Return the collapsed networks of addresses and CIDRs. Add a line to problems for each invalid one."""
    networks = []
    for entry in entries:
        try:
            networks.append(network_of(entry))
        except ValueError as error:
            problems.append(f"{where}: {error}")
    return collapsed(networks)


def section_of(
    name: str, ports: list[dict], bridges: list[str], required_by_docker: bool = True, containers: list[dict] = ()
) -> Section:
    """Validate the options of a section and return it. Raise InvalidSection with all problems."""
    problems = []
    shown = name if SECTION.fullmatch(name) else repr(name)
    if shown != name:
        problems.append(f"section {shown}: use lower-case letters, digits and _, a letter first, at most 40")
    for bridge in bridges:
        if not BRIDGE.fullmatch(bridge):
            problems.append(f"section {shown}: {bridge!r} is not a bridge name: use at most 15 characters, no *")
    parsed = {}
    for entry in ports:
        number, protocol = entry["port"], entry.get("protocol") or "tcp"
        where = f"section {shown}, port {number}/{protocol}"
        if not 1 <= number <= 65535:
            problems.append(f"{where}: the port is out of range: use a number from 1 to 65535")
        if protocol not in PROTOCOLS:
            problems.append(f"{where}: the protocol is not valid: use {' or '.join(PROTOCOLS)}")
        if (number, protocol) in parsed:
            problems.append(f"{where}: is listed twice: list it once, with all its sources")
        sources = _networks(entry.get("sources") or [], where, problems)
        addresses = _networks(entry.get("addresses") or [], where, problems)
        removed = _networks(entry.get("removed") or [], where, problems)
        parsed[number, protocol] = Port(number, protocol, sources, addresses, removed)
    parsed_containers = []
    for entry in containers:
        address = str(entry["mac_address"]).lower()
        valid = MAC.fullmatch(address)
        where = f"section {shown}, container {address if valid else repr(address)}"
        if not valid:
            problems.append(f"{where}: not a MAC address: use six pairs of hexadecimal digits with colons")
        if not all(1 <= number <= 65535 for number in entry["ports"]):
            problems.append(f"{where}: the port is out of range: use a number from 1 to 65535")
        parsed_containers.append(Container(address, tuple(sorted(set(entry["ports"])))))
    if problems:
        raise InvalidSection(problems)
    return Section(
        name=name,
        ports=tuple(sorted(parsed.values(), key=lambda item: (item.protocol, item.port))),
        bridges=tuple(sorted(set(bridges))),
        containers=tuple(sorted(parsed_containers, key=lambda item: item.mac_address)),
        required_by_docker=required_by_docker,
    )


def section_to_text(section: Section) -> str:
    """Return the content of the section's file."""
    content = {**asdict(section), "version": VERSION}
    del content["name"]
    for port in content["ports"]:
        if not port["removed"]:
            del port["removed"]
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def section_from_text(name: str, text: str) -> Section:
    """Return the section in the content of its file. Raise ValueError for content of another program or version."""
    try:
        content = json.loads(text)
        version = content.get("version", 1)
        if version != VERSION:
            raise ValueError(f"was written by another version of the collection ({version}, this one writes {VERSION})")
        section = section_of(
            name, content["ports"], content["bridges"], content["required_by_docker"], content["containers"]
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"is damaged ({error})") from error
    except (AttributeError, KeyError, TypeError, InvalidSection) as error:
        raise ValueError(f"is damaged ({type(error).__name__}: {error})") from error
    if section_to_text(section) != text:
        raise ValueError("was changed by another program")
    return section


def _hosts(networks: Iterable[str], taken: Iterable[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Yield the hosts of small networks, without those in taken. Adjacent hosts can be stored as one small network."""
    others = [ipaddress.ip_network(one) for one in taken]
    for network in map(ipaddress.ip_network, networks):
        if network.num_addresses <= MAX_REMOVED:
            near = [one for one in others if one.version == network.version and one.overlaps(network)]
            if not any(network.subnet_of(one) for one in near):
                yield from (ipaddress.ip_network(one) for one in network if not any(one in other for other in near))


def removed_hosts(networks: Iterable[str], taken: Iterable[str]) -> tuple[str, ...]:
    """Return the first MAX_REMOVED hosts of networks that are not in taken, collapsed. Larger networks are omitted."""
    return collapsed(list(itertools.islice(dict.fromkeys(_hosts(networks, taken)), MAX_REMOVED)))


def with_previous(section: Section, previous: Section | None, keep_sources: bool = False) -> Section:
    """Return a section whose ports know the sources that were removed since the previous section.

    keep_sources: keep admitting the previous sources, except 0.0.0.0/0 and ::/0.
    """
    known = {(item.protocol, item.port): item for item in previous.ports} if previous else {}
    ports = []
    for item in section.ports:
        before = known.get((item.protocol, item.port))
        if before and keep_sources:
            kept = [*item.sources, *(one for one in before.sources if not one.endswith("/0"))]
            item = replace(item, sources=collapsed([ipaddress.ip_network(one) for one in kept]))
        removed = removed_hosts((*before.sources, *before.removed), item.sources) if before else ()
        ports.append(replace(item, removed=removed))
    return replace(section, ports=tuple(ports))


# The text contains no table block: nft would send the flags of the table with it, which its parser may not know. The
# daemon creates the tables first.


def _added(what: str, name: str, lines: Iterable[str], family: str = "inet") -> list[str]:
    """Return the lines that add a set or a chain."""
    return [f"add {what} {family} {TABLE} {name} {{", *(f"\t{line}" for line in lines), "}", ""]


def _set(name: str, kind: str, elements: Iterable[str]) -> list[str]:
    """Return the lines that add a set of networks."""
    return _added("set", name, (f"type {kind};", "flags interval;", f"elements = {{ {', '.join(elements)} }}"))


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _merged(sections: list[Section]) -> list[tuple[Port, tuple[str, ...]]]:
    """Return each guarded port once, with the bridges that are admitted: the union of all sections."""
    found: dict = {}
    for section in sections:
        for item in section.ports:
            found.setdefault((item.protocol, item.port), []).append((item, section.bridges))
    merged = []
    for (protocol, number), entries in sorted(found.items()):
        items = [item for item, _bridges in entries]
        sources = collapsed([ipaddress.ip_network(one) for item in items for one in item.sources])
        everywhere = any(not item.addresses for item in items)
        addresses = [ipaddress.ip_network(one) for item in items for one in item.addresses]
        bridges = tuple(sorted({bridge for _item, names in entries for bridge in names}))
        removed = removed_hosts([one for item in items for one in item.removed], sources)
        guarded = () if everywhere else collapsed(addresses)
        merged.append((Port(number, protocol, sources, guarded, removed), bridges))
    return merged


_FAMILIES = ((4, "ip", "ipv4_addr"), (6, "ip6", "ipv6_addr"))


def _port_lines(item: Port, bridges: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the sets and the rules of a guarded port: accept sources, record removed sources, drop the rest."""
    sets, rules = [], []
    port = f"{item.protocol} dport {item.port}"
    if bridges:
        rules.append(f"{port} iifname {{ {_quoted(bridges)} }} accept")
    networks = [ipaddress.ip_network(source) for source in item.sources]
    for version, family, kind in _FAMILIES:
        members = [source for source, network in zip(item.sources, networks) if network.version == version]
        if any(network.version == version and network.prefixlen == 0 for network in networks):
            # Not every version of nft supports a prefix of length 0 in an interval set.
            rules.append(f"{port} meta nfproto ipv{version} accept")
        elif members:
            name = f"v{version}_{item.protocol}_{item.port}"
            sets += _set(name, kind, members)
            rules.append(f"{port} {family} saddr @{name} accept")
    for version, family, kind in _FAMILIES:
        members = [one for one in item.removed if ipaddress.ip_network(one).version == version]
        if members:
            name = f"removed_v{version}_{item.protocol}_{item.port}"
            sets += _set(name, kind, members)
            at = [f" {family} daddr {one}" for one in item.addresses if (":" in one) == (version == 6)]
            recorded = f"{family} saddr @{name} update @{DENIED}{version} {{ {family} saddr }}"
            rules += [f"{port}{one} {recorded}" for one in (at if item.addresses else [""])]
    for address in item.addresses:
        family = "ip6" if ":" in address else "ip"
        rules.append(f"{port} {family} daddr {address} counter drop")
    if not item.addresses:
        rules.append(f"{port} counter drop")
    return sets, rules


def table(sections: list[Section]) -> str:
    """Return all rules as nft commands for the existing tables `inet` and `bridge`.

    Replies are accepted only in connections that a container or this host initiated, which have a label. After a time
    without rules, conntrack can mistake the server's packet for the first one, and a client's packets for replies.
    Every packet of other connections is checked, so that the connections of a removed source end.
    """
    ordered = sorted(sections, key=lambda item: item.name)
    ports = _merged(ordered)
    bridges = sorted({bridge for section in ordered for bridge in section.bridges})
    containers = sorted(
        {item for section in ordered for item in section.containers}, key=lambda item: (item.mac_address, item.ports)
    )
    container_ports = sorted({number for item in containers for number in item.ports})
    lines: list[str] = []
    for version, _family, kind in _FAMILIES:
        if any(ipaddress.ip_network(one).version == version for item, _bridges in ports for one in item.removed):
            # Packets fill it with the removed sources that try to connect.
            content = (f"type {kind};", "size 1024;", "flags dynamic, timeout;", "timeout 2m;")
            lines += _added("set", f"{DENIED}{version}", content)
    to_host = []
    for item, admitted in ports:
        sets, rules = _port_lines(item, admitted)
        lines += sets
        to_host += rules
    lines += _added("chain", "to_host", to_host)

    first = ["meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn return"]
    # For a guarded UDP port, a reply and a first packet look the same.
    first += [f"udp sport {item.port} return" for item, _bridges in ports if item.protocol == "udp"]
    lines += _added("chain", "initiated", [*first, f"ct label set {INITIATED}"])

    same = 'fib daddr . mark oifname "{0}" iifname "{0}" '
    to_containers = [same.format(bridge) + _drop_tcp(container_ports) for bridge in bridges if container_ports]
    to_containers += [same.format(bridge) + "accept" for bridge in bridges]
    to_containers += [f'fib daddr . mark oifname "{bridge}" counter drop' for bridge in bridges]
    lines += _added("chain", "to_containers", to_containers)

    begin = "ct state new ct direction original jump initiated"
    rules = [
        f"type filter hook prerouting priority {PRIORITY}; policy accept;",
        'iifname "lo" accept',
        f"ct label {INITIATED} ct direction reply accept",
        *([f"iifname {{ {_quoted(bridges)} }} {begin}"] if bridges else []),
        "jump to_containers",
        "fib daddr . mark type { local, broadcast, anycast, multicast } jump to_host",
    ]
    lines += _added("chain", "prerouting", rules)
    hook = f"type filter hook output priority {PRIORITY}; policy accept;"
    lines += _added("chain", "output", [hook, f'oifname != "lo" {begin}'])
    # The rules cannot see TCP after two VLAN tags with ID 0, but the container accepts such a frame as untagged.
    blocked = ", ".join(sorted({item.mac_address for item in containers if item.ports}))
    rules = ["type filter hook forward priority -200; policy accept;"]
    rules += [f"ether daddr {{ {blocked} }} meta protocol != {{ arp, ip, ip6 }} counter drop"] if blocked else []
    rules += [f"ether daddr {item.mac_address} {_drop_tcp(item.ports)}" for item in containers if item.ports]
    lines += _added("chain", "forward", rules, family="bridge")
    return _HEADER + "\n".join(lines[:-1]) + "\n"


def _drop_tcp(ports: Iterable[int]) -> str:
    return f"tcp dport {{ {', '.join(map(str, ports))} }} counter drop"


def standalone(text: str) -> str:
    """Return the rules as a file that nft can load without existing tables."""
    return "".join(f"add table {family} {TABLE}\n" for family in FAMILIES) + text


def unit(python: str) -> str:
    """Return the unit of the daemon. python: path of the interpreter.

    The unit does not conflict with shutdown.target, so it is not stopped before the last container. Otherwise,
    containers that keep running with live-restore would be open after nftables.service flushes the ruleset.
    """
    return f"""\
# Managed by the Ansible module aztec_ops.prover.port_guard. Changes are overwritten.
[Unit]
Description=Port guard of the Aztec prover (nftables tables inet and bridge {TABLE})
Documentation=man:nft(8)
DefaultDependencies=no
IgnoreOnIsolate=yes
RequiresMountsFor={DIRECTORY} {PROGRAM_FILE}
Wants=network-pre.target
Before=network-pre.target docker.service
# A saved ruleset that contains the guard's tables can be loaded only while the tables have no owner.
After=nftables.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={python} -I {PROGRAM_FILE} serve
ExecReload={python} -I {PROGRAM_FILE} reload
Restart=always
RestartSec=100ms
RuntimeDirectory=aztec-port-guard
RuntimeDirectoryMode=0700
CapabilityBoundingSet=CAP_NET_ADMIN
OOMScoreAdjust=-1000

[Install]
WantedBy=sysinit.target
"""


def docker_drop_in(nft: str) -> str:
    """Return the drop-in of docker.service. nft: path of the program.

    Requires= would stop Docker whenever the guard restarts. A check before the start does not stop a running engine.
    Without a start limit, the engine starts as soon as the guard is loaded.
    """
    message = f"port guard is not loaded, so Docker does not start: see systemctl status {UNIT}"
    return f"""\
# Managed by the Ansible module aztec_ops.prover.port_guard. Changes are overwritten.
# To let Docker start without the guard: required_by_docker: false.
[Unit]
Wants={UNIT}
After={UNIT}
StartLimitIntervalSec=0

[Service]
ExecStartPre=/bin/sh -c '{nft} list chain inet {TABLE} prerouting >/dev/null || {{ echo "{message}" >&2; exit 1; }}'
"""
