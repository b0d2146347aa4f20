"""The node's role by itself, with the publisher's key in .env as in Aztec's guide."""

from __future__ import annotations

from tests.system.fleet import Fleet
from tests.system.single_role import problems

NAME = "single-node"
KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check Molecule's runs on a fresh host: check mode, the role, the role again, check mode again."""
    assert problems("prover_node", [NAME], recreated=[NAME]) == []


def test_runs(fleet: Fleet) -> None:
    """The container is healthy, was not restarted, and uses the given broker."""
    fleet.wait_until_healthy(NAME, "prover-node")
    assert fleet.container(NAME, "prover-node")["RestartCount"] == 0
    assert fleet.environment(NAME, "prover-node")["PROVER_BROKER_HOST"] == "http://172.31.77.31:8080"


def test_key_in_env_file(fleet: Fleet) -> None:
    """The key is in .env, which only root can read, and there is no key file."""
    host = fleet.host(NAME)
    env = host.file("/opt/aztec/prover-node/.env")
    assert env.mode == 0o600
    assert f"PROVER_PUBLISHER_PRIVATE_KEY={KEY}" in env.content_string
    assert not host.file("/opt/aztec/prover-node/keys/prover.json").exists


def test_only_p2p_is_open(fleet: Fleet) -> None:
    """The stranger reaches 40400, but neither the RPC nor the admin port."""
    machine = fleet.machines[NAME]
    for address in (machine.address, str(machine.address6)):
        assert fleet.reach("stranger", address, 40400) == "open"
        assert fleet.reach("stranger", address, 8081) != "open"
        assert fleet.reach("stranger", address, 8880) != "open"
