# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port guard as text."""

from __future__ import annotations

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils import nft as guard

BROKER = guard.section_of(
    "prover_broker",
    [
        {"port": 8080, "protocol": "tcp", "sources": ["fd00::/64", "10.0.0.12", "10.0.0.11", "10.0.0.13"]},
        {"port": 40400, "protocol": "udp", "sources": ["0.0.0.0/0"]},
        {"port": 8880, "protocol": "tcp", "sources": []},
    ],
    ["aztec0"],
)
NODE = guard.section_of("prover_node", [{"port": 8080}], [], required_by_docker=False)

BROKER_TABLE = """\
table inet aztec_prover
delete table inet aztec_prover
table inet aztec_prover {
    set ports_prover_broker {
        type inet_proto . inet_service
        elements = { tcp . 8080, tcp . 8880, udp . 40400 }
    }

    set bridges_prover_broker {
        type ifname
        elements = { "aztec0" }
    }

    set v4_tcp_8080_prover_broker {
        type ipv4_addr
        flags interval
        elements = { 10.0.0.11, 10.0.0.12/31 }
    }

    set v6_tcp_8080_prover_broker {
        type ipv6_addr
        flags interval
        elements = { fd00::/64 }
    }

    chain admit_prover_broker {
        iifname @bridges_prover_broker accept
        fib daddr . mark type != local return
        tcp dport 8080 ip saddr @v4_tcp_8080_prover_broker accept
        tcp dport 8080 ip6 saddr @v6_tcp_8080_prover_broker accept
        udp dport 40400 meta nfproto ipv4 accept
    }

    chain shut_prover_broker {
        fib daddr . mark type { local, broadcast, anycast, multicast } goto drop_prover_broker
        fib daddr . mark oifname "aztec0" goto drop_prover_broker
    }

    chain drop_prover_broker {
        tcp dport 8080 counter drop
        tcp dport 8880 counter drop
        udp dport 40400 counter drop
    }

    chain prerouting {
        type filter hook prerouting priority -140; policy accept;
        iifname "lo" accept
        ct direction reply accept
        meta l4proto . th dport @ports_prover_broker jump admit_prover_broker
        meta l4proto . th dport @ports_prover_broker jump shut_prover_broker
    }
}
""".replace("    ", "\t")


def rules(text: str) -> list[str]:
    """Give a table's lines without its comments."""
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_table_of_one_section() -> None:
    assert rules(guard.table([BROKER])) == rules(BROKER_TABLE)


def test_every_section_admits_before_any_shuts() -> None:
    lines = rules(guard.table([NODE, BROKER]))
    jumps = [line.split()[-1] for line in lines if " jump " in line]
    assert jumps == ["admit_prover_broker", "admit_prover_node", "shut_prover_broker", "shut_prover_node"]


def test_table_does_not_depend_on_the_order_of_sections() -> None:
    assert guard.table([NODE, BROKER]) == guard.table([BROKER, NODE])


def test_a_section_without_ports_has_no_rules() -> None:
    assert guard.table([guard.section_of("prover_agent", [], ["aztec0"])]) == guard.table([])


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
        ("", "is no address"),
        ("agent-1", "give an IPv4 or IPv6 address or CIDR"),
        ("10.0.0.256", "is no address"),
        ("10.0.0.0/33", "is no address"),
        ("167772165", "put it in quotes"),
        ("10.0.0.5/24", "write 10.0.0.0/24 for the network or 10.0.0.5 for the host"),
        ("fd00::5/64", "write fd00::/64 for the network or fd00::5 for the host"),
        ("fe80::1%eth0", "leave out the part from % on"),
        ("::ffff:10.0.0.5", "write 10.0.0.5"),
        ("0.0.0.0", "write 0.0.0.0/0 to let everybody in"),
        ("::", "write ::/0 to let everybody in"),
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


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(guard.Refused) as refused:
        guard.section_of(
            "Prover",
            [
                {"port": 0, "sources": ["x"]},
                {"port": 70000, "protocol": "sctp", "sources": []},
                {"port": 8080, "sources": ["10.0.0.1/8", "y"]},
                {"port": 8080, "sources": []},
            ],
            ["br-*", "lo", "a-name-of-more-than-15"],
        )
    assert len(refused.value.problems) == 11
    assert "port 70000/sctp: a port is a number from 1 to 65535" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["prover_broker", "a", "a1_"])
def test_section_names(name: str) -> None:
    assert guard.section_of(name, [], []).name == name


@pytest.mark.parametrize("name", ["", "1a", "a-b", "A", "a" * 41, "a\n", "../a", "a}"])
def test_section_names_that_are_refused(name: str) -> None:
    with pytest.raises(guard.Refused):
        guard.section_of(name, [], [])


@pytest.mark.parametrize("section", [BROKER, NODE])
def test_a_sections_file_gives_the_section_again(section: guard.Section) -> None:
    assert guard.section_from_text(section.name, guard.section_to_text(section)) == section


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"ports": 1, "bridges": [], "required_by_docker": true}'])
def test_a_damaged_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        guard.section_from_text("prover_node", text)


def test_unit_comes_back_with_nftables_and_before_docker() -> None:
    lines = guard.unit("/usr/sbin/nft").splitlines()
    for line in (
        "Before=network-pre.target docker.service",
        "After=nftables.service",
        "PartOf=nftables.service",
        "ReloadPropagatedFrom=nftables.service",
        "ExecStart=/usr/sbin/nft -f /etc/aztec-port-guard/table.nft",
        "ExecReload=/usr/sbin/nft -f /etc/aztec-port-guard/table.nft",
    ):
        assert line in lines


def test_drop_in_stops_no_running_docker() -> None:
    text = guard.docker_drop_in("/usr/sbin/nft")
    assert not any(word in text for word in ("Requires=", "BindsTo=", "Requisite="))
    assert "ExecStartPre=/bin/sh -c '/usr/sbin/nft list chain inet aztec_prover prerouting" in text


def test_a_start_of_nftables_loads_the_table_again_and_never_fails_by_it() -> None:
    lines = guard.nftables_drop_in("/usr/sbin/nft").splitlines()
    assert "ExecStartPost=-/usr/sbin/nft -f /etc/aztec-port-guard/table.nft" in lines
    assert "Wants=aztec-port-guard.service" in lines
