"""A rollup of another version: verify.yml reports programs that still run, and programs that wait in standby.

The rollup of the lab's L1 gets another VK tree root, as with a hard fork, and gets its own one back at the end.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import release_of

from lab.fleet.l1 import rpc
from lab.fleet.settings import L1_PARAMETERS
from tests.system.fleet import Fleet, last_run, playbook, wait_for

NODE = "node-1"
PORTS = {"prover-broker": 8080, "prover-node": 8081}
HEADER = "x-aztec-l2circuitsvktreeroot"
OTHER = "0x" + "11" * 32
# While the programs wait, they query the rollup every 60 s. Afterwards the node syncs.
WITHIN = 150


@contextmanager
def another_rollup(fleet: Fleet) -> Iterator[str]:
    """Set another VK tree root of the rollup during the block. Yield its own one, which is restored."""
    slot = release_of(fleet.settings.aztec_version).rollup_slots[HEADER]
    own = rpc(fleet.settings.l1_url, "eth_getStorageAt", fleet.settings.rollup, slot, "latest")
    assert own != OTHER
    rpc(fleet.settings.l1_url, "anvil_setStorageAt", fleet.settings.rollup, slot, OTHER)
    try:
        yield own
    finally:
        rpc(fleet.settings.l1_url, "anvil_setStorageAt", fleet.settings.rollup, slot, own)


@contextmanager
def another_canonical_rollup(fleet: Fleet) -> Iterator[str]:
    """Set another, empty rollup of the same code in the registry during the block. Yield its address."""
    url, registry, other = fleet.settings.l1_url, L1_PARAMETERS["registryAddress"], "0x" + "99" * 20
    own = rpc(url, "eth_getCode", registry, "latest")
    rpc(url, "anvil_setCode", other, rpc(url, "eth_getCode", fleet.settings.rollup, "latest"))
    # PUSH20 the address, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN
    rpc(url, "anvil_setCode", registry, f"0x73{other[2:]}60005260206000f3")
    try:
        yield other
    finally:
        rpc(url, "anvil_setCode", registry, own)
        rpc(url, "anvil_setCode", other, "0x")


def earning() -> tuple[int, str]:
    """Return the exit code of status.yml, and its state of the prover."""
    run = playbook("playbooks/status.yml", "-e", "status_format=json")
    (document,) = [line for line in run.stdout.splitlines() if line.startswith("{")]
    return run.returncode, json.loads(document)["earning"]["state"]


def post(fleet: Fleet, service: str) -> str:
    """Return the status code of a POST to a service, 000 while it does not answer."""
    command = f"curl -s -o /dev/null -w '%{{http_code}}' -X POST http://127.0.0.1:{PORTS[service]}/"
    return fleet.execute(NODE, command, check=False).out


def rows(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of a run's output with single spaces."""
    return [" ".join(line.split()) for line in run.stdout.splitlines()]


def test_a_node_that_follows_a_previous_rollup(fleet: Fleet) -> None:
    """A running node reports the rollup that was the canonical one at its start. A broker reports none."""
    with another_canonical_rollup(fleet) as other:
        run = playbook("playbooks/verify.yml")
        assert earning() == (2, "wrong rollup")
    assert run.returncode == 2, run.stdout
    assert "1 problem in the fleet, in the table above." in run.stdout, run.stdout
    line = f"{NODE} prover_node follows the rollup {fleet.settings.rollup}, "
    line += f"but the canonical one of the registry is {other}"
    assert [row for row in rows(run) if row.startswith(f"{line}: set aztec_version to")], run.stdout
    assert [row for row in rows(run) if re.match(rf"{NODE} prover_broker .* not checked$", row)], run.stdout
    assert playbook("playbooks/verify.yml").returncode == 0


def test_a_rollup_that_is_not_its_own(fleet: Fleet, tmp_path: Path) -> None:
    """Each state is an error with a line for node and broker. With its own rollup, the fleet is healthy again."""
    rollup = fleet.settings.rollup
    with another_rollup(fleet) as own:
        run = playbook("playbooks/verify.yml", report=tmp_path / "calls.jsonl")
        assert run.returncode == 2, run.stdout
        assert "2 problems in the fleet, in the table above." in run.stdout
        line = f"{HEADER} is {own[:18]}, but in the canonical rollup {rollup} it is {OTHER[:18]}: set aztec_version to "
        for component in ("prover_node", "prover_broker"):
            assert [row for row in rows(run) if row.startswith(f"{NODE} {component} {line}")], run.stdout
        calls = last_run(tmp_path / "calls.jsonl")["calls"]
        assert {host: len(of) for host, of in calls.items()} == dict.fromkeys(calls, 1)

        fleet.execute(NODE, ["docker", "restart", *PORTS])
        for service in PORTS:
            wait_for(f"{service} to be in standby", lambda service=service: post(fleet, service) == "404", 60, 1)
        run = playbook("playbooks/verify.yml")
        assert run.returncode == 2, run.stdout
        assert "2 problems in the fleet, in the table above." in run.stdout
        line = f"is in standby and does not work, because the rollup {rollup} differs in VK tree root "
        line += f"(its own {own[:18]}, the rollup's {OTHER[:18]}): set aztec_version to what the network runs"
        for component in ("prover_node", "prover_broker"):
            assert [row for row in rows(run) if row.startswith(f"{NODE} {component} {line}")], run.stdout
            assert [row for row in rows(run) if re.match(rf"{NODE} {component} \S+ \S+ STANDBY 0 \w+ - .* OTHER$", row)]

        assert earning() == (2, "standby")

    def active() -> bool:
        return all(post(fleet, service) not in ("404", "000") for service in PORTS)

    wait_for("node and broker to leave standby", active, WITHIN)
    fleet.wait_until_healthy(NODE, "prover-node")
    run = playbook("playbooks/verify.yml")
    assert run.returncode == 0, run.stdout
    for component in ("prover_node", "prover_broker"):
        assert [row for row in rows(run) if re.match(rf"{NODE} {component} \S+ \S+ running .* ok$", row)], run.stdout
