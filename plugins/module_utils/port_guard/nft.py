# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port guard as text: check what a section asks for and render rules, unit and drop-in. Touches no host."""

from __future__ import annotations

import ipaddress
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.daemon import DENIED, FAMILIES, RULES, TABLE

UNIT = "aztec-port-guard.service"
DIRECTORY = "/etc/aztec-port-guard"
TABLE_FILE = RULES
PROGRAM_FILE = "/usr/local/lib/aztec-port-guard/daemon.py"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
DOCKER_FILE = "/etc/systemd/system/docker.service.d/aztec-port-guard.conf"
PROTOCOLS = ("tcp", "udp")
# Of the form of a section's file. A file of another version is refused and not guessed at.
VERSION = 2

# After conntrack (-200), whose direction the rules ask for, and after mangle (-150), whose marks may choose a route;
# before dstnat (-100), where Docker rewrites the port that a stranger asked for.
PRIORITY = -140
# The conntrack label of connections whose first packet a container or the host itself sent.
BEGUN = 101

# How many hosts a port remembers that it no longer admits.
MAX_REMOVED = 256

SECTION = re.compile(r"[a-z][a-z0-9_]{0,39}")
BRIDGE = re.compile(r"(?!lo\Z)[A-Za-z0-9_.:@-]{1,15}")
MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.IGNORECASE)

_HEADER = """\
# Written by the Ansible module aztec_ops.prover.port_guard: a change made here is lost on its next run.
"""


@dataclass(frozen=True)
class Port:
    """A guarded port of the host.

    sources: networks (collapsed, v4 before v6) that reach it. addresses: the host's addresses at which it is guarded,
    as networks; empty for all of them. removed: hosts that were sources earlier, as networks.
    """

    port: int
    protocol: str
    sources: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """A container by its MAC address, and its TCP ports that other containers of the bridge do not reach."""

    mac_address: str
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Section:
    """What one component asks for."""

    name: str
    ports: tuple[Port, ...]
    bridges: tuple[str, ...]
    containers: tuple[Container, ...]
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


def _networks(entries: list, where: str, problems: list[str]) -> tuple[str, ...]:
    """Return the collapsed networks of addresses and CIDRs, and add a line to problems for each that is wrong."""
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
    """Check what a caller asks for and return the section. Raise Refused with all that is wrong."""
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
        sources = _networks(entry.get("sources") or [], where, problems)
        addresses = _networks(entry.get("addresses") or [], where, problems)
        removed = _networks(entry.get("removed") or [], where, problems)
        parsed[number, protocol] = Port(number, protocol, sources, addresses, removed)
    inside = []
    for entry in containers:
        address = str(entry["mac_address"]).lower()
        right = MAC.fullmatch(address)
        where = f"section {shown}, container {address if right else repr(address)}"
        if not right:
            problems.append(f"{where}: a MAC address is six pairs of hexadecimal digits with colons between them")
        if not all(1 <= number <= 65535 for number in entry["ports"]):
            problems.append(f"{where}: a port is a number from 1 to 65535")
        inside.append(Container(address, tuple(sorted(set(entry["ports"])))))
    if problems:
        raise Refused(problems)
    return Section(
        name=name,
        ports=tuple(sorted(parsed.values(), key=lambda item: (item.protocol, item.port))),
        bridges=tuple(sorted(set(bridges))),
        containers=tuple(sorted(inside, key=lambda item: item.mac_address)),
        required_by_docker=required_by_docker,
    )


def section_to_text(section: Section) -> str:
    """Return the section's file, from which later calls render all rules again."""
    content = {
        "version": VERSION,
        "bridges": list(section.bridges),
        "containers": [{"mac_address": item.mac_address, "ports": list(item.ports)} for item in section.containers],
        "ports": [
            {
                "port": item.port,
                "protocol": item.protocol,
                "sources": list(item.sources),
                "addresses": list(item.addresses),
                **({"removed": list(item.removed)} if item.removed else {}),
            }
            for item in section.ports
        ],
        "required_by_docker": section.required_by_docker,
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def section_from_text(name: str, text: str) -> Section:
    """Read a section's file. Raise ValueError, with what is wrong, for one that section_to_text did not write."""
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
    except (AttributeError, KeyError, TypeError, Refused) as error:
        raise ValueError(f"is damaged ({type(error).__name__}: {error})") from error
    if section_to_text(section) != text:
        raise ValueError("was changed by somebody else")
    return section


def _hosts(networks: Iterable[str], taken: Iterable[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Yield the addresses of small networks, without those in taken. Neighbours may stand as one small network."""
    others = [ipaddress.ip_network(one) for one in taken]
    for network in map(ipaddress.ip_network, networks):
        if network.num_addresses <= MAX_REMOVED:
            near = [one for one in others if one.version == network.version and one.overlaps(network)]
            if not any(network.subnet_of(one) for one in near):
                yield from (ipaddress.ip_network(one) for one in network if not any(one in other for other in near))


def removed_hosts(networks: Iterable[str], taken: Iterable[str]) -> tuple[str, ...]:
    """Return the first MAX_REMOVED hosts among networks that are not in taken, collapsed.

    A network of more addresses is left out: no list of hosts tells who of it uses the port.
    """
    return collapsed(list(itertools.islice(dict.fromkeys(_hosts(networks, taken)), MAX_REMOVED)))


def _before(section: Section, before: Section | None) -> Iterator[tuple[Port, Port | None]]:
    """Yield each port of a section with the same port of an earlier one."""
    known = {(item.protocol, item.port): item for item in before.ports} if before else {}
    return ((item, known.get((item.protocol, item.port))) for item in section.ports)


def with_sources_of(section: Section, before: Section | None) -> Section:
    """Return a section whose ports admit what they admitted in an earlier one as well, but for everybody."""
    ports = []
    for item, earlier in _before(section, before):
        had = [one for one in earlier.sources if not one.endswith("/0")] if earlier else []
        ports.append(replace(item, sources=collapsed([ipaddress.ip_network(one) for one in (*item.sources, *had)])))
    return replace(section, ports=tuple(ports))


def remember(section: Section, before: Section | None) -> Section:
    """Return a section whose ports know which hosts they admitted in an earlier one and no longer admit."""
    ports = [
        replace(item, removed=removed_hosts((*earlier.sources, *earlier.removed), item.sources) if earlier else ())
        for item, earlier in _before(section, before)
    ]
    return replace(section, ports=tuple(ports))


# The text is made of commands that state no table, since nft would state the table's flags with it, which its parser
# may not know; the daemon has made the tables by then.


def _set(name: str, kind: str, elements: list[str], flags: str = "") -> list[str]:
    """Return the lines that add a set; the flags line is left out when empty."""
    lines = [f"add set inet {TABLE} {name} {{", f"\ttype {kind};"]
    if flags:
        lines.append(f"\tflags {flags};")
    return [*lines, f"\telements = {{ {', '.join(elements)} }}", "}", ""]


def _chain(name: str, rules: list[str], family: str = "inet") -> list[str]:
    return [f"add chain {family} {TABLE} {name} {{", *(f"\t{rule}" for rule in rules), "}", ""]


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _merged(sections: list[Section]) -> list[tuple[Port, tuple[str, ...]]]:
    """Return each guarded port once, with the bridges that reach it: what several sections ask for is added up."""
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


def _denied_set(version: int, kind: str) -> list[str]:
    """Return the lines that add the set of sources that try and are no longer admitted; packets fill it."""
    lines = [f"add set inet {TABLE} {DENIED}{version} {{", f"\ttype {kind};", "\tsize 1024;"]
    return [*lines, "\tflags dynamic, timeout;", "\ttimeout 2m;", "}", ""]


def _port_lines(item: Port, bridges: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the sets of a guarded port, and its rules: who reaches it, whose tries are noted, then the drop."""
    sets, rules = [], []
    port = f"{item.protocol} dport {item.port}"
    if bridges:
        rules.append(f"{port} iifname {{ {_quoted(bridges)} }} accept")
    networks = [ipaddress.ip_network(source) for source in item.sources]
    for version, family, kind in _FAMILIES:
        members = [source for source, network in zip(item.sources, networks) if network.version == version]
        if any(network.version == version and network.prefixlen == 0 for network in networks):
            # Not every nft takes a prefix of length 0 as an element of an interval set.
            rules.append(f"{port} meta nfproto ipv{version} accept")
        elif members:
            name = f"v{version}_{item.protocol}_{item.port}"
            sets += _set(name, kind, members, flags="interval")
            rules.append(f"{port} {family} saddr @{name} accept")
    for version, family, kind in _FAMILIES:
        members = [one for one in item.removed if ipaddress.ip_network(one).version == version]
        if members:
            name = f"removed_v{version}_{item.protocol}_{item.port}"
            sets += _set(name, kind, members, flags="interval")
            at = [f" {family} daddr {one}" for one in item.addresses if (":" in one) == (version == 6)]
            noted = f"{family} saddr @{name} update @{DENIED}{version} {{ {family} saddr }}"
            rules += [f"{port}{one} {noted}" for one in (at if item.addresses else [""])]
    for address in item.addresses:
        family = "ip6" if ":" in address else "ip"
        rules.append(f"{port} {family} daddr {address} counter drop")
    if not item.addresses:
        rules.append(f"{port} counter drop")
    return sets, rules


def table(sections: list[Section]) -> str:
    """Return all rules, as nft commands to run in the tables `inet` and `bridge`, which exist by then.

    Replies pass only in connections whose first packet a container or this host sent, which their label says: after a
    time without rules conntrack takes the server's packet for the first one, and a stranger's packets for replies.
    Packets of connections that were begun from outside are checked one by one, so that the connections of a source
    that is taken off the list end.
    """
    ordered = sorted(sections, key=lambda item: item.name)
    ports = _merged(ordered)
    bridges = sorted({bridge for section in ordered for bridge in section.bridges})
    containers = sorted(
        {item for section in ordered for item in section.containers}, key=lambda item: (item.mac_address, item.ports)
    )
    inside = sorted({number for item in containers for number in item.ports})
    lines: list[str] = []
    for version, _family, kind in _FAMILIES:
        if any(ipaddress.ip_network(one).version == version for item, _bridges in ports for one in item.removed):
            lines += _denied_set(version, kind)
    to_host = []
    for item, admitted in ports:
        sets, rules = _port_lines(item, admitted)
        lines += sets
        to_host += rules
    lines += _chain("to_host", to_host)

    first = ["meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn return"]
    # Of a guarded UDP port nothing tells an answer from a first packet.
    first += [f"udp sport {item.port} return" for item, _bridges in ports if item.protocol == "udp"]
    lines += _chain("begun", [*first, f"ct label set {BEGUN}"])

    same = 'fib daddr . mark oifname "{0}" iifname "{0}" '
    to_containers = [same.format(bridge) + _tcp(inside) for bridge in bridges if inside]
    to_containers += [same.format(bridge) + "accept" for bridge in bridges]
    to_containers += [f'fib daddr . mark oifname "{bridge}" counter drop' for bridge in bridges]
    lines += _chain("to_containers", to_containers)

    rules = [
        f"type filter hook prerouting priority {PRIORITY}; policy accept;",
        'iifname "lo" accept',
        f"ct label {BEGUN} ct direction reply accept",
    ]
    if bridges:
        rules.append(f"iifname {{ {_quoted(bridges)} }} ct state new ct direction original jump begun")
    rules += [
        "jump to_containers",
        "fib daddr . mark type { local, broadcast, anycast, multicast } jump to_host",
    ]
    lines += _chain("prerouting", rules)
    lines += _chain(
        "output",
        [
            f"type filter hook output priority {PRIORITY}; policy accept;",
            'oifname != "lo" ct state new ct direction original jump begun',
        ],
    )
    # Behind two VLAN tags of number 0 the rules see no TCP, while the container takes such a frame as one without tags.
    shut = ", ".join(sorted({item.mac_address for item in containers if item.ports}))
    tagged = [f"ether daddr {{ {shut} }} meta protocol != {{ arp, ip, ip6 }} counter drop"] if shut else []
    lines += _chain(
        "forward",
        [
            "type filter hook forward priority -200; policy accept;",
            *tagged,
            *(f"ether daddr {item.mac_address} {_tcp(item.ports)}" for item in containers if item.ports),
        ],
        family="bridge",
    )
    return _HEADER + "\n".join(lines[:-1]) + "\n"


def _tcp(ports) -> str:
    return f"tcp dport {{ {', '.join(map(str, ports))} }} counter drop"


def standalone(text: str) -> str:
    """Return the rules as a file that nft can load where the tables are not there."""
    return "".join(f"add table {family} {TABLE}\n" for family in FAMILIES) + text


def unit(python: str) -> str:
    """Return the unit of the daemon, with the path of the Python interpreter.

    It does not conflict with shutdown.target and is not stopped before the last container: containers that live-restore
    leaves running would otherwise be open while nftables.service flushes the ruleset on its way down.
    """
    return f"""\
# Written by the Ansible module aztec_ops.prover.port_guard: a change made here is lost on its next run.
[Unit]
Description=Port guard of the Aztec prover (nftables tables inet and bridge {TABLE})
Documentation=man:nft(8)
DefaultDependencies=no
IgnoreOnIsolate=yes
RequiresMountsFor={DIRECTORY} {PROGRAM_FILE}
Wants=network-pre.target
Before=network-pre.target docker.service
# A ruleset that was saved with the guard's tables in it can be loaded as long as nobody owns them.
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
    """Return docker.service's drop-in, with the path of the nft program.

    Requires= would stop Docker whenever the guard is restarted. Asking the kernel just before the engine starts stops
    nothing that runs. Without a start limit the engine comes up by itself as soon as the guard is there.
    """
    message = f"port guard is not loaded, so Docker does not start: see systemctl status {UNIT}"
    return f"""\
# Written by the Ansible module aztec_ops.prover.port_guard: a change made here is lost on its next run.
# To let Docker start without the guard: required_by_docker: false.
[Unit]
Wants={UNIT}
After={UNIT}
StartLimitIntervalSec=0

[Service]
ExecStartPre=/bin/sh -c '{nft} list chain inet {TABLE} prerouting >/dev/null || {{ echo "{message}" >&2; exit 1; }}'
"""
