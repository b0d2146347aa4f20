# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port guard as text."""

from __future__ import annotations

import re

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard

BROKER = guard.section_of(
    "prover_broker",
    [
        {"port": 8080, "protocol": "tcp", "sources": ["fd00::/64", "10.0.0.12", "10.0.0.11", "10.0.0.13"]},
        {"port": 40400, "protocol": "udp", "sources": ["0.0.0.0/0", "10.0.0.1"]},
        {"port": 8081, "addresses": ["::1", "127.0.0.0/8"]},
    ],
    ["aztec1", "aztec0"],
    containers=[
        {"mac_address": "02:a2:7e:02:00:02", "ports": [8082, 8880, 8082]},
        {"mac_address": "02:A2:7E:01:00:01", "ports": [8880]},
        {"mac_address": "02:a2:7e:03:00:01", "ports": []},
    ],
)
NODE = guard.section_of("prover_node", [{"port": 8080}], [], required_by_docker=False)

BROKER_RULES = """\
add set inet aztec_prover v4_tcp_8080 {
    type ipv4_addr;
    flags interval;
    elements = { 10.0.0.11, 10.0.0.12/31 }
}

add set inet aztec_prover v6_tcp_8080 {
    type ipv6_addr;
    flags interval;
    elements = { fd00::/64 }
}

add chain inet aztec_prover to_host {
    tcp dport 8080 iifname { "aztec0", "aztec1" } accept
    tcp dport 8080 ip saddr @v4_tcp_8080 accept
    tcp dport 8080 ip6 saddr @v6_tcp_8080 accept
    tcp dport 8080 counter drop
    tcp dport 8081 iifname { "aztec0", "aztec1" } accept
    tcp dport 8081 ip daddr 127.0.0.0/8 counter drop
    tcp dport 8081 ip6 daddr ::1 counter drop
    udp dport 40400 iifname { "aztec0", "aztec1" } accept
    udp dport 40400 meta nfproto ipv4 accept
    udp dport 40400 counter drop
}

add chain inet aztec_prover initiated {
    meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn return
    udp sport 40400 return
    ct label set 101
}

add chain inet aztec_prover to_containers {
    fib daddr . mark oifname "aztec0" iifname "aztec0" tcp dport { 8082, 8880 } counter drop
    fib daddr . mark oifname "aztec1" iifname "aztec1" tcp dport { 8082, 8880 } counter drop
    fib daddr . mark oifname "aztec0" iifname "aztec0" accept
    fib daddr . mark oifname "aztec1" iifname "aztec1" accept
    fib daddr . mark oifname "aztec0" counter drop
    fib daddr . mark oifname "aztec1" counter drop
}

add chain inet aztec_prover prerouting {
    type filter hook prerouting priority -140; policy accept;
    iifname "lo" accept
    ct label 101 ct direction reply accept
    iifname { "aztec0", "aztec1" } ct state new ct direction original jump initiated
    jump to_containers
    fib daddr . mark type { local, broadcast, anycast, multicast } jump to_host
}

add chain inet aztec_prover output {
    type filter hook output priority -140; policy accept;
    oifname != "lo" ct state new ct direction original jump initiated
}

add chain bridge aztec_prover forward {
    type filter hook forward priority -200; policy accept;
    ether daddr { 02:a2:7e:01:00:01, 02:a2:7e:02:00:02 } meta protocol != { arp, ip, ip6 } counter drop
    ether daddr 02:a2:7e:01:00:01 tcp dport { 8880 } counter drop
    ether daddr 02:a2:7e:02:00:02 tcp dport { 8082, 8880 } counter drop
}
""".replace("    ", "\t")

EMPTY_RULES = """\
add chain inet aztec_prover to_host {
}

add chain inet aztec_prover initiated {
    meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn return
    ct label set 101
}

add chain inet aztec_prover to_containers {
}

add chain inet aztec_prover prerouting {
    type filter hook prerouting priority -140; policy accept;
    iifname "lo" accept
    ct label 101 ct direction reply accept
    jump to_containers
    fib daddr . mark type { local, broadcast, anycast, multicast } jump to_host
}

add chain inet aztec_prover output {
    type filter hook output priority -140; policy accept;
    oifname != "lo" ct state new ct direction original jump initiated
}

add chain bridge aztec_prover forward {
    type filter hook forward priority -200; policy accept;
}
""".replace("    ", "\t")

BROKER_FILE = """\
{
  "bridges": [
    "aztec0",
    "aztec1"
  ],
  "containers": [
    {
      "mac_address": "02:a2:7e:01:00:01",
      "ports": [
        8880
      ]
    },
    {
      "mac_address": "02:a2:7e:02:00:02",
      "ports": [
        8082,
        8880
      ]
    },
    {
      "mac_address": "02:a2:7e:03:00:01",
      "ports": []
    }
  ],
  "ports": [
    {
      "addresses": [],
      "port": 8080,
      "protocol": "tcp",
      "sources": [
        "10.0.0.11",
        "10.0.0.12/31",
        "fd00::/64"
      ]
    },
    {
      "addresses": [
        "127.0.0.0/8",
        "::1"
      ],
      "port": 8081,
      "protocol": "tcp",
      "sources": []
    },
    {
      "addresses": [],
      "port": 40400,
      "protocol": "udp",
      "sources": [
        "0.0.0.0/0"
      ]
    }
  ],
  "required_by_docker": true,
  "version": 2
}
"""


def rules(text: str) -> str:
    """Return a text of rules without its first line, which states where it comes from."""
    first, rest = text.split("\n", 1)
    assert first.startswith("# Managed by the Ansible module aztec_ops.prover.port_guard")
    return rest


def chain(text: str, name: str) -> list[str]:
    """Return the rules of one chain."""
    (body,) = re.findall(rf"^add chain \w+ aztec_prover {name} {{\n((?:\t.*\n)*)}}$", text, re.MULTILINE)
    return [line.strip() for line in body.splitlines()]


def section(name: str, *ports: dict, bridges: tuple = (), containers: tuple = ()) -> guard.Section:
    return guard.section_of(name, list(ports), list(bridges), containers=list(containers))


def test_rules_of_one_section() -> None:
    assert rules(guard.table([BROKER])) == BROKER_RULES


def test_rules_of_no_section() -> None:
    assert rules(guard.table([])) == EMPTY_RULES


def test_rules_do_not_depend_on_the_order_of_sections() -> None:
    assert guard.table([NODE, BROKER]) == guard.table([BROKER, NODE])


def test_a_section_with_a_bridge_only_shuts_its_containers() -> None:
    text = guard.table([section("a", bridges=("aztec0",))])
    assert chain(text, "to_host") == []
    assert chain(text, "to_containers") == [
        'fib daddr . mark oifname "aztec0" iifname "aztec0" accept',
        'fib daddr . mark oifname "aztec0" counter drop',
    ]


def test_containers_are_shut_on_the_bridges_of_every_section() -> None:
    mac = "02:a2:7e:00:00:01"
    first = section("a", bridges=("aztec0",), containers=({"mac_address": mac, "ports": [8880]},))
    text = guard.table([first, section("b", bridges=("aztec1",))])
    assert chain(text, "to_containers")[:2] == [
        'fib daddr . mark oifname "aztec0" iifname "aztec0" tcp dport { 8880 } counter drop',
        'fib daddr . mark oifname "aztec1" iifname "aztec1" tcp dport { 8880 } counter drop',
    ]


def test_a_container_that_several_sections_name() -> None:
    mac = "02:a2:7e:00:00:01"
    one, two, same = (
        section(name, containers=({"mac_address": mac, "ports": ports},))
        for name, ports in (("a", [9000]), ("b", [80]), ("c", [9000]))
    )
    wanted = [f"ether daddr {{ {mac} }} meta protocol != {{ arp, ip, ip6 }} counter drop"]
    wanted += [f"ether daddr {mac} tcp dport {{ {port} }} counter drop" for port in (80, 9000)]
    for order in ([one, two, same], [same, two, one]):
        assert chain(guard.table(order), "forward")[1:] == wanted


OPEN = "tcp dport 8080 counter drop"
BY_A, BY_B = {"port": 8080, "sources": ["10.0.0.0/25"]}, {"port": 8080, "sources": ["10.0.0.128/25", "fd00::1"]}


@pytest.mark.parametrize(
    ("sections", "sets", "to_host"),
    [
        pytest.param(
            [section("a", BY_A, bridges=("one",)), section("b", BY_B, bridges=("two", "one"))],
            ["10.0.0.0/24", "fd00::1"],
            [
                'tcp dport 8080 iifname { "one", "two" } accept',
                "tcp dport 8080 ip saddr @v4_tcp_8080 accept",
                "tcp dport 8080 ip6 saddr @v6_tcp_8080 accept",
                OPEN,
            ],
            id="sources_and_bridges_are_added_up",
        ),
        pytest.param(
            [section("a", {"port": 8080, "protocol": "udp"}), section("b", {"port": 8080}), section("c", {"port": 80})],
            [],
            ["tcp dport 80 counter drop", OPEN, "udp dport 8080 counter drop"],
            id="ports_are_notified_apart_by_protocol_and_sorted",
        ),
        pytest.param(
            [section("a", {"port": 8080, "addresses": ["127.0.0.1"]}), section("b", {"port": 8080})],
            [],
            [OPEN],
            id="one_section_guards_all_addresses",
        ),
        pytest.param(
            [
                section("a", {"port": 8080, "addresses": ["10.0.0.2", "::1"]}),
                section("b", {"port": 8080, "addresses": ["10.0.0.3"], "sources": ["10.0.0.9"]}),
            ],
            ["10.0.0.9"],
            [
                "tcp dport 8080 ip saddr @v4_tcp_8080 accept",
                "tcp dport 8080 ip daddr 10.0.0.2/31 counter drop",
                "tcp dport 8080 ip6 daddr ::1 counter drop",
            ],
            id="addresses_are_added_up",
        ),
        pytest.param(
            [section("a", {"port": 8080, "sources": ["::/0", "10.0.0.1"]})],
            ["10.0.0.1"],
            ["tcp dport 8080 ip saddr @v4_tcp_8080 accept", "tcp dport 8080 meta nfproto ipv6 accept", OPEN],
            id="everybody_by_ipv6",
        ),
    ],
)
def test_ports_of_several_sections(sections: list[guard.Section], sets: list[str], to_host: list[str]) -> None:
    text = guard.table(sections)
    assert re.findall(r"elements = { (.*) }", text) == sets
    assert chain(text, "to_host") == to_host


def test_answers_from_a_guarded_udp_port_do_not_count_as_begun() -> None:
    ports = [{"port": 53, "protocol": "udp"}, {"port": 53}, {"port": 40400, "protocol": "udp"}]
    first, *rest = chain(guard.table([section("a", *ports)]), "initiated")
    assert first.startswith("meta l4proto tcp ")
    assert rest == ["udp sport 53 return", "udp sport 40400 return", "ct label set 101"]


def test_rules_to_load_where_the_tables_are_not_there() -> None:
    text = guard.standalone("add chain inet aztec_prover x {\n}\n")
    assert text.splitlines() == [
        "add table inet aztec_prover",
        "add table bridge aztec_prover",
        "add chain inet aztec_prover x {",
        "}",
    ]


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("10.0.0.5", "10.0.0.5/32"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("10.0.0.0/255.255.255.0", "10.0.0.0/24"),
        (" fd00::1 ", "fd00::1/128"),
        ("FD00::/64", "fd00::/64"),
        ("fe80::/10", "fe80::/10"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_network_of(source: str, network: str) -> None:
    assert str(guard.network_of(source)) == network


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("", "is not an address"),
        ("agent-1", "give an IPv4 or IPv6 address or CIDR"),
        ("10.0.0.256", "is not an address"),
        ("10.0.0.0/33", "is not an address"),
        ("167772165", "put it in quotes"),
        ("10.0.0.5/24", "write 10.0.0.0/24 for the network or 10.0.0.5 for the host"),
        ("fd00::5/64", "write fd00::/64 for the network or fd00::5 for the host"),
        ("fe80::1%eth0", "remove the part from % on"),
        ("::ffff:10.0.0.5", "write 10.0.0.5"),
        ("0.0.0.0", "write 0.0.0.0/0 to admit all addresses"),
        ("::", "write ::/0 to admit all addresses"),
    ],
)
def test_network_of_refuses_with_one_line(source: str, part: str) -> None:
    with pytest.raises(ValueError, match=r"^'") as refused:
        guard.network_of(source)
    assert part in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("sources", "elements"),
    [
        ([], ()),
        (["10.0.0.5", "10.0.0.5"], ("10.0.0.5",)),
        (["10.0.0.5", "10.0.0.0/24"], ("10.0.0.0/24",)),
        (["10.0.1.0/24", "10.0.0.0/24"], ("10.0.0.0/23",)),
        (["fd00::1", "10.0.0.5", "0.0.0.0/0"], ("0.0.0.0/0", "fd00::1")),
    ],
)
def test_sources_are_collapsed(sources: list[str], elements: tuple[str, ...]) -> None:
    assert guard.collapsed([guard.network_of(source) for source in sources]) == elements


@pytest.mark.parametrize(
    ("ports", "bridges", "containers", "line"),
    [
        pytest.param(
            [{"port": 0}],
            [],
            [],
            "section a, port 0/tcp: the port is out of range: use a number from 1 to 65535",
            id="port_0",
        ),
        pytest.param(
            [{"port": 65536, "protocol": "udp"}],
            [],
            [],
            "section a, port 65536/udp: the port is out of range: use a number from 1 to 65535",
            id="port_65536",
        ),
        pytest.param(
            [{"port": 1, "protocol": "sctp"}],
            [],
            [],
            "section a, port 1/sctp: the protocol is not valid: use tcp or udp",
            id="sctp",
        ),
        pytest.param(
            [{"port": 80}, {"port": 80, "protocol": "udp"}, {"port": 80, "protocol": "tcp"}],
            [],
            [],
            "section a, port 80/tcp: is listed twice: list it once, with all its sources",
            id="twice",
        ),
        pytest.param(
            [{"port": 80, "sources": ["x"]}],
            [],
            [],
            "section a, port 80/tcp: 'x' is not an address: give an IPv4 or IPv6 address or CIDR",
            id="source",
        ),
        pytest.param(
            [{"port": 80, "addresses": ["eth0"]}],
            [],
            [],
            "section a, port 80/tcp: 'eth0' is not an address: give an IPv4 or IPv6 address or CIDR",
            id="address",
        ),
        pytest.param(
            [],
            ["br-*"],
            [],
            "section a: 'br-*' is not a bridge name: use at most 15 characters, no *",
            id="bridge",
        ),
        pytest.param(
            [],
            [],
            [{"mac_address": "02\n", "ports": [1]}],
            "section a, container '02\\n': not a MAC address: use six pairs of hexadecimal digits with colons",
            id="mac_address",
        ),
        pytest.param(
            [],
            [],
            [{"mac_address": "02:A2:7e:00:00:01", "ports": [1, 0]}],
            "section a, container 02:a2:7e:00:00:01: the port is out of range: use a number from 1 to 65535",
            id="container_port_0",
        ),
        pytest.param(
            [],
            [],
            [{"mac_address": "02:a2:7e:00:00:01", "ports": [65536, 1]}],
            "section a, container 02:a2:7e:00:00:01: the port is out of range: use a number from 1 to 65535",
            id="container_port_65536",
        ),
    ],
)
def test_what_a_section_refuses(ports: list, bridges: list, containers: list, line: str) -> None:
    with pytest.raises(guard.InvalidSection) as refused:
        guard.section_of("a", ports, bridges, containers=containers)
    assert refused.value.problems == [line]


def test_the_lowest_and_the_highest_port() -> None:
    mac = "02:a2:7e:00:00:01"
    found = section("a", {"port": 65535}, {"port": 1}, containers=({"mac_address": mac, "ports": [65535, 1]},))
    assert [item.port for item in found.ports] == [1, 65535]
    assert found.containers == (guard.Container(mac, (1, 65535)),)


def test_everything_that_is_wrong_is_reported_at_once() -> None:
    with pytest.raises(guard.InvalidSection) as refused:
        guard.section_of(
            "Prover",
            [
                {"port": 0, "sources": ["x"], "addresses": ["z"]},
                {"port": 70000, "protocol": "sctp", "sources": []},
                {"port": 8080, "sources": ["10.0.0.1/8", "y"]},
                {"port": 8080, "sources": []},
            ],
            ["br-*", "lo", "a-name-of-more-than-15"],
            containers=[{"mac_address": "02", "ports": [0]}],
        )
    assert len(refused.value.problems) == 14
    assert all(line.startswith("section 'Prover'") for line in refused.value.problems)
    assert str(refused.value) == "; ".join(refused.value.problems)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["prover_broker", "a", "a1_"])
def test_section_names(name: str) -> None:
    assert guard.section_of(name, [], []).name == name


@pytest.mark.parametrize("name", ["", "1a", "a-b", "A", "a" * 41, "a\n", "../a", "a}"])
def test_section_names_that_are_refused(name: str) -> None:
    with pytest.raises(guard.InvalidSection):
        guard.section_of(name, [], [])


def test_a_section_requires_docker_to_wait_unless_it_states_otherwise() -> None:
    assert BROKER.required_by_docker is True
    assert NODE.required_by_docker is False


def test_a_section_s_file() -> None:
    assert guard.section_to_text(BROKER) == BROKER_FILE


@pytest.mark.parametrize("written", [BROKER, NODE])
def test_a_sections_file_gives_the_section_again(written: guard.Section) -> None:
    assert guard.section_from_text(written.name, guard.section_to_text(written)) == written


NODE_FILE = guard.section_to_text(NODE)
VERSIONS = "was written by another version of the collection ({}, this one writes 2)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("", "is damaged (Expecting value: line 1 column 1 (char 0))", id="empty"),
        pytest.param("{", "is damaged (Expecting property name", id="cut_off"),
        pytest.param("[]", "is damaged (AttributeError:", id="list"),
        pytest.param("3", "is damaged (AttributeError:", id="number"),
        pytest.param('{"version": 2}', "is damaged (KeyError: 'ports')", id="keys_are_missing"),
        pytest.param(NODE_FILE.replace("8080", '"8080"'), "is damaged (TypeError:", id="text_for_a_number"),
        pytest.param(NODE_FILE.replace("8080", "0"), "is damaged (InvalidSection: section prover_node", id="invalid"),
        pytest.param("{}", VERSIONS.format(1), id="version_1"),
        pytest.param(NODE_FILE.replace('"version": 2', '"version": 3'), VERSIONS.format(3), id="version_3"),
        pytest.param(NODE_FILE.replace("8080", "8081 "), "was changed by another program", id="space"),
        pytest.param(NODE_FILE + "\n", "was changed by another program", id="empty_line"),
        pytest.param(
            NODE_FILE.replace('"version"', '"more": 1, "version"'), "was changed by another program", id="unknown_key"
        ),
    ],
)
def test_a_file_that_is_not_section_of_this_version(text: str, line: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|was) ") as refused:
        guard.section_from_text("prover_node", text)
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_unit_runs_the_daemon_before_docker_and_after_nftables() -> None:
    lines = guard.unit("/usr/bin/python3").splitlines()
    for line in (
        "DefaultDependencies=no",
        "RequiresMountsFor=/etc/aztec-port-guard /usr/local/lib/aztec-port-guard/daemon.py",
        "Before=network-pre.target docker.service",
        "After=nftables.service",
        "Type=notify",
        "ExecStart=/usr/bin/python3 -I /usr/local/lib/aztec-port-guard/daemon.py serve",
        "ExecReload=/usr/bin/python3 -I /usr/local/lib/aztec-port-guard/daemon.py reload",
        "Restart=always",
        "RuntimeDirectory=aztec-port-guard",
        "RuntimeDirectoryMode=0700",
        "WantedBy=sysinit.target",
    ):
        assert line in lines


def test_nothing_but_an_administrator_stops_the_unit() -> None:
    text = guard.unit("python3")
    assert not any(word in text for word in ("Conflicts=", "PartOf=", "BindsTo=", "Requires=", "Requisite="))


def test_the_daemon_listens_in_the_unit_s_directory() -> None:
    assert guard_daemon.CONTROL == "/run/aztec-port-guard/control"
    assert guard.TABLE_FILE == guard_daemon.RULES == "/etc/aztec-port-guard/table.nft"


def test_drop_in_stops_no_running_docker() -> None:
    text = guard.docker_drop_in("/usr/sbin/nft")
    assert not any(word in text for word in ("Requires=", "BindsTo=", "Requisite="))
    assert "ExecStartPre=/bin/sh -c '/usr/sbin/nft list chain inet aztec_prover prerouting" in text
    assert "see systemctl status aztec-port-guard.service" in text
    assert {"Wants=aztec-port-guard.service", "After=aztec-port-guard.service"} <= set(text.splitlines())


# Sources that were removed from a list

REMOVED = guard.section_of("a", [{"port": 1, "sources": ["10.0.0.2"], "removed": ["10.0.0.3", "fd00::3"]}], [])


# The first 255 addresses of a network.
UP_TO_254 = tuple(f"10.0.4.{start}/{length}" for start, length in zip((0, 128, 192, 224, 240, 248, 252), range(25, 32)))
UP_TO_254 += ("10.0.4.254",)


@pytest.mark.parametrize(
    ("networks", "taken", "left"),
    [
        (["10.0.0.0/30"], ["10.0.0.1"], ("10.0.0.0", "10.0.0.2/31")),
        (["10.0.0.0/24"], ["10.0.0.0/25"], ("10.0.0.128/25",)),
        (["10.0.0.0/23", "fd00::/64", "0.0.0.0/0", "::/0"], [], ()),
        (["10.0.0.0/8", "10.9.0.3"], ["fd00::/64"], ("10.9.0.3",)),
        (["10.0.0.1", "10.0.4.0/24", "10.0.2.0/24"], [], ("10.0.0.1", *UP_TO_254)),
        (["10.0.4.0/24", "10.0.0.1"], [], ("10.0.4.0/24",)),
        (["10.0.0.1", "10.0.0.2"], ["10.0.0.0/24"], ()),
        (["10.0.0.1", "fd00::1"], ["10.0.0.1"], ("fd00::1",)),
        (["10.0.0.1", "10.0.0.1"], [], ("10.0.0.1",)),
        (["10.0.0.1"], ["0.0.0.0/0"], ()),
        ([], ["10.0.0.1"], ()),
    ],
)
def test_hosts_that_are_remembered(networks: list[str], taken: list[str], left: tuple[str, ...]) -> None:
    assert guard.removed_hosts(networks, taken) == left


def one(*sources: str, removed: tuple[str, ...] = (), port: int = 1) -> guard.Section:
    return guard.section_of("a", [{"port": port, "sources": list(sources), "removed": list(removed)}], [])


@pytest.mark.parametrize(
    ("before", "now", "removed"),
    [
        pytest.param(one("10.0.0.2", "10.0.0.3"), one("10.0.0.2"), ("10.0.0.3",), id="taken_off"),
        pytest.param(one("10.0.0.2", removed=("10.0.0.3",)), one("10.0.0.2"), ("10.0.0.3",), id="earlier"),
        pytest.param(one("10.0.0.2", removed=("10.0.0.3",)), one("10.0.0.2", "10.0.0.3"), (), id="back_again"),
        pytest.param(one("10.0.0.2"), one("10.0.0.0/24"), (), id="within_a_network"),
        pytest.param(one("10.0.0.2", "fd00::2"), one(), ("10.0.0.2", "fd00::2"), id="all"),
        pytest.param(one("0.0.0.0/0", "::/0"), one("10.0.0.2"), (), id="everybody"),
        pytest.param(one("10.0.0.0/8", "fd00::/64"), one("10.0.0.2"), (), id="wide_networks"),
        pytest.param(one("10.0.0.2", "10.0.0.3"), one("10.0.0.3"), ("10.0.0.2",), id="one_of_neighbours"),
        pytest.param(one("10.0.4.0/24", removed=("10.0.0.3",)), one(), ("10.0.4.0/24",), id="the_last_ones_count"),
        pytest.param(one("10.0.0.2", port=2), one(), (), id="another_port"),
        pytest.param(None, one("10.0.0.2"), (), id="first"),
    ],
)
def test_a_port_knows_its_former_sources(before, now: guard.Section, removed: tuple[str, ...]) -> None:
    kept = guard.with_previous(now, before)
    assert kept.ports[0].removed == removed
    assert kept.ports[0].sources == now.ports[0].sources
    assert guard.section_from_text("a", guard.section_to_text(kept)) == kept


@pytest.mark.parametrize(
    ("before", "now", "sources"),
    [
        pytest.param(one("10.0.0.2", "10.0.0.4"), one("10.0.0.2"), ("10.0.0.2", "10.0.0.4"), id="one_less"),
        pytest.param(one("10.0.0.2"), one("10.0.0.3", "fd00::2"), ("10.0.0.2/31", "fd00::2"), id="neighbours"),
        pytest.param(one("10.9.0.0/16"), one("10.0.0.2"), ("10.0.0.2", "10.9.0.0/16"), id="network"),
        pytest.param(one("0.0.0.0/0", "::/0"), one("10.0.0.2"), ("10.0.0.2",), id="everybody"),
        pytest.param(one("10.0.0.2", removed=("10.0.0.4",)), one(), ("10.0.0.2",), id="removed"),
        pytest.param(one("10.0.0.2", port=2), one("10.0.0.3"), ("10.0.0.3",), id="another_port"),
        pytest.param(None, one("10.0.0.2"), ("10.0.0.2",), id="first"),
    ],
)
def test_a_port_keeps_its_sources(before, now: guard.Section, sources: tuple[str, ...]) -> None:
    assert guard.with_previous(now, before, keep_sources=True).ports[0].sources == sources


def test_tries_of_former_sources_are_noted_before_the_drop() -> None:
    text = guard.table([REMOVED])
    assert chain(text, "to_host") == [
        "tcp dport 1 ip saddr @v4_tcp_1 accept",
        "tcp dport 1 ip saddr @removed_v4_tcp_1 update @denied_v4 { ip saddr }",
        "tcp dport 1 ip6 saddr @removed_v6_tcp_1 update @denied_v6 { ip6 saddr }",
        "tcp dport 1 counter drop",
    ]
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        denied = f"add set inet aztec_prover denied_v{version} {{\n\ttype {kind};\n\tsize 1024;\n"
        assert f"{denied}\tflags dynamic, timeout;\n\ttimeout 2m;\n}}\n" in text
    assert "add set inet aztec_prover removed_v4_tcp_1 {\n\ttype ipv4_addr;\n\tflags interval;\n" in text


def test_former_sources_at_some_of_the_host_s_addresses() -> None:
    some = guard.section_of("a", [{"port": 1, "addresses": ["10.0.0.1"], "removed": ["10.0.0.3", "fd00::3"]}], [])
    assert chain(guard.table([some]), "to_host") == [
        "tcp dport 1 ip daddr 10.0.0.1 ip saddr @removed_v4_tcp_1 update @denied_v4 { ip saddr }",
        "tcp dport 1 ip daddr 10.0.0.1 counter drop",
    ]


def test_a_source_that_another_section_admits_is_not_a_former_one() -> None:
    other = guard.section_of("b", [{"port": 1, "sources": ["10.0.0.3", "fd00::3"]}], [])
    assert "denied" not in guard.table([REMOVED, other])
    assert "removed" not in guard.table([REMOVED, other])
