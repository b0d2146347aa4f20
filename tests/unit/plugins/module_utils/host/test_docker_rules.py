# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which firewall rules of Docker are deleted, and which of others stay."""

from __future__ import annotations

from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.host.docker_rules import deletions

Element = dict[str, Any]


def table(name: str, family: str = "ip") -> Element:
    return {"table": {"family": family, "name": name}}


def chain(of: str, name: str, hook: str = "", family: str = "ip", **more: Any) -> Element:
    hooked = {"hook": hook, "policy": "accept"} if hook else {}
    return {"chain": {"family": family, "table": of, "name": name, **hooked, **more}}


def rule(of: str, name: str, handle: int, *expr: Element, family: str = "ip") -> Element:
    return {"rule": {"family": family, "table": of, "chain": name, "handle": handle, "expr": list(expr)}}


def jump(target: str) -> Element:
    return {"jump": {"target": target}}


def interface(key: str, name: str, op: str = "==") -> Element:
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": name}}


DOCKER = [
    chain("filter", "FORWARD", "forward", policy="drop"), chain("filter", "DOCKER"), chain("filter", "DOCKER-USER"),
    rule("filter", "FORWARD", 5, {"counter": None}, jump("DOCKER-USER")),
    rule("filter", "FORWARD", 6, interface("oifname", "docker0"), {"goto": {"target": "DOCKER"}}),
    rule("filter", "FORWARD", 7, interface("iifname", "docker0"), {"accept": None}),
    rule("filter", "DOCKER-USER", 8, {"return": None}),
]


def test_a_table_with_only_docker_is_deleted() -> None:
    """Also if Docker has set the policy of FORWARD."""
    assert deletions([{"metainfo": {}}, table("filter"), *DOCKER]) == ["delete table ip filter"]


def test_rules_of_others_stay() -> None:
    """Rules before their chains, and the content of the chains before the chains, which may refer to each other."""
    own = rule("filter", "FORWARD", 9, interface("iifname", "wg0"), {"accept": None})
    assert deletions([table("filter"), *DOCKER, own]) == [
        "delete rule ip filter FORWARD handle 5", "delete rule ip filter FORWARD handle 6",
        "delete rule ip filter FORWARD handle 7", "flush chain ip filter DOCKER", "flush chain ip filter DOCKER-USER",
        "delete chain ip filter DOCKER", "delete chain ip filter DOCKER-USER",
    ]


def test_a_chain_of_others_keeps_the_table() -> None:
    assert "delete table ip filter" not in deletions([table("filter"), *DOCKER, chain("filter", "ufw-user-input")])


def test_the_engine_outside_keeps_its_rules() -> None:
    """A machine that is a container has the rules of the engine outside for its DNS server."""
    outside = [
        chain("nat", "OUTPUT", "output"), chain("nat", "DOCKER_OUTPUT"),
        rule("nat", "OUTPUT", 3, jump("DOCKER_OUTPUT")), chain("nat", "DOCKER"),
        rule("nat", "OUTPUT", 4, jump("DOCKER")),
    ]
    assert deletions([table("nat"), *outside]) == [
        "delete rule ip nat OUTPUT handle 4", "flush chain ip nat DOCKER", "delete chain ip nat DOCKER",
    ]


def test_tables_without_docker_stay() -> None:
    """An empty table of iptables, one of another program, and one of another family with the same chain."""
    others = [
        table("filter"), chain("filter", "INPUT", "input", policy="drop"), table("mine"), chain("mine", "DOCKER"),
        table("filter", "inet"), chain("filter", "DOCKER", family="inet"), table("nat"), chain("nat", "INPUT", "input"),
    ]
    assert deletions(others) == []


def test_dockers_own_tables_are_deleted() -> None:
    """The nftables backend of Docker 29."""
    forward = chain("docker-bridges", "filter-FORWARD", "forward")
    own = [table("docker-bridges"), table("docker-bridges", "ip6"), forward]
    assert deletions(own) == ["delete table ip docker-bridges", "delete table ip6 docker-bridges"]


def test_families_are_separate() -> None:
    six = [table("filter", "ip6"), chain("filter", "DOCKER", family="ip6"),
           rule("filter", "FORWARD", 2, {"accept": None}, family="ip6")]
    assert deletions([table("filter"), *DOCKER, *six]) == [
        "delete table ip filter", "flush chain ip6 filter DOCKER", "delete chain ip6 filter DOCKER",
    ]
