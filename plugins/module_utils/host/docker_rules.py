# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The firewall rules that Docker leaves in the kernel when it is removed."""

from __future__ import annotations

import re
from collections.abc import Iterable

# The chains of Docker's iptables rules. DOCKER_OUTPUT and DOCKER_POSTROUTING, in the network namespace of a container,
# belong to the engine outside.
CHAIN = re.compile(r"DOCKER(-[A-Z0-9-]+)?")
# The tables that iptables creates, and those of Docker's nftables backend.
SHARED, OWN = ("filter", "nat", "raw"), re.compile(r"docker-bridges")
BRIDGE = "docker0"


def deletions(ruleset: Iterable[dict]) -> list[str]:
    """Return the commands of nft that delete Docker's rules, chains and tables, for one transaction.

    ruleset: the elements of `nft --json list ruleset`. A table of iptables is deleted if it contains nothing else.
    """
    objects = [(kind, one) for element in ruleset for kind, one in element.items()]
    tables = [one for kind, one in objects if kind == "table" and one["family"] in ("ip", "ip6")]
    found = [f"delete table {one['family']} {one['name']}" for one in tables if OWN.fullmatch(one["name"])]
    for table in tables:
        if table["name"] not in SHARED:
            continue
        place = f"{table['family']} {table['name']}"
        here = (table["family"], table["name"])
        chains = [one for kind, one in objects if kind == "chain" and (one["family"], one["table"]) == here]
        rules = [one for kind, one in objects if kind == "rule" and (one["family"], one["table"]) == here]
        own = [one["name"] for one in chains if CHAIN.fullmatch(one["name"])]
        outside = [one for one in rules if one["chain"] not in own]
        ending = [one for one in outside if of_docker(one)]
        others = [one["name"] for one in chains if one["name"] not in own and "hook" not in one]
        if (own or ending) and len(ending) == len(outside) and not others:
            found.append(f"delete table {place}")
            continue
        found += [f"delete rule {place} {one['chain']} handle {one['handle']}" for one in ending]
        found += [f"flush chain {place} {name}" for name in own]
        found += [f"delete chain {place} {name}" for name in own]
    return found


def of_docker(rule: dict) -> bool:
    """Return whether a rule outside Docker's chains leads to one of them, or is that of its default bridge."""
    for part in rule.get("expr") or []:
        target = (part.get("jump") or part.get("goto") or {}).get("target", "")
        if CHAIN.fullmatch(target) or (part.get("match") or {}).get("right") == BRIDGE:
            return True
    return False
