"""The agent's role by itself: the agent runs and is connected to its broker."""

from __future__ import annotations

import yaml

from tests.system.fleet import SINGLE_ROLE, Fleet, wait_for
from tests.system.single_role import molecule_runs, problems

NAME = "single-agent"


def test_check_mode_and_second_run_change_nothing() -> None:
    """Check Molecule's runs on a fresh host: check mode, the role, the role again, check mode again."""
    assert problems("prover_agent", [NAME], recreated=[NAME]) == []
    assert len(molecule_runs("prover_agent")[2]["calls"][NAME]) <= 4


def test_runs(fleet: Fleet) -> None:
    """The container is healthy, was not restarted, and has the configured number of agents."""
    fleet.wait_until_healthy(NAME, "prover-agent")
    assert fleet.container(NAME, "prover-agent")["RestartCount"] == 0
    assert fleet.environment(NAME, "prover-agent")["PROVER_AGENT_COUNT"] == "2"


class Values(yaml.SafeLoader):
    """Reads an inventory's values literally."""


Values.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def test_values_reach_the_process(fleet: Fleet) -> None:
    """Values pass unchanged through inventory, templates, role, Compose and engine. An empty one is not set."""
    given = yaml.load((SINGLE_ROLE / "host_vars/single-agent.yml").read_text(encoding="utf-8"), Values)
    wanted = {
        **given["prover_agent_environment"],
        "SPECIAL_TEMPLATE": f"${NAME}#",
        "SPECIAL_NUMBER": "1.5",
        "SPECIAL_YES": "true",
        "SPECIAL_LIST": "a b,c$d",
    }
    del wanted["SPECIAL_NOTHING"]
    process = fleet.execute(NAME, ["docker", "exec", "prover-agent", "cat", "/proc/1/environ"]).out
    found = dict(entry.split("=", 1) for entry in process.split("\0") if entry.startswith("SPECIAL_"))
    assert found == wanted


def test_speaks_with_the_broker(fleet: Fleet) -> None:
    """The agent has connections to the broker's port and logs no connection error."""
    command = "nsenter -t $(docker inspect -f '{{.State.Pid}}' prover-agent) -n ss -Htan dst 172.31.77.31:8080"
    assert wait_for("a connection to the broker", lambda: fleet.execute(NAME, command).out.strip(), 30)
    assert "ECONNREFUSED" not in fleet.log(NAME, "prover-agent", since="30s")
