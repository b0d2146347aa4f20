"""What the roles pass to compose_stack to stop, start and restart a component."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.rendered.fleets import HOST_INFO
from tests.rendered.operated import Run, copy, replaced, run_play, write_roles
from tests.rendered.render import ROOT, ansible_playbook
from tests.rendered.settings import tasks_of

STATES = {"stop": "stopped", "start": "started", "restart": "restarted"}


@pytest.mark.parametrize("component", ["prover_node", "prover_broker", "prover_agent", "prover_monitor"])
@pytest.mark.parametrize("file", STATES)
def test_a_role_operates_its_own_project(component: str, file: str) -> None:
    """A task of the role component has the arguments. Before it, a stop waits for the node."""
    tasks = list(tasks_of(component, f"{file}.yml"))
    place = [task["module"] for task in tasks].index("aztec_ops.prover.compose_stack")
    before, task = tasks[:place], tasks[place]
    assert task["vars"]["component_operation"] == STATES[file]
    assert task["vars"]["component_desired"] == f"{{{{ __{component}_desired }}}}"
    assert bool(before) == (file != "start" and component in ("prover_node", "prover_broker"))


# (variables, drain_timeout, drain_method)
DRAINS = {
    "default": ({}, 900, "agent_getStatus"),
    "another time-out": ({"prover_agent_drain_timeout": 60}, 60, "agent_getStatus"),
    "no drain": ({"aztec_drain": False}, 0, "agent_getStatus"),
    "no drain, by -e": ({"aztec_drain": "false"}, 0, "agent_getStatus"),
}


def test_how_long_an_agent_is_drained(tmp_path: Path) -> None:
    tasks = [
        {
            "name": name,
            "ansible.builtin.assert": {
                "that": [
                    f"__prover_agent_desired.drain_timeout | int == {timeout}",
                    f"__prover_agent_desired.drain_method == '{method}'",
                ],
                "quiet": True,
            },
            "vars": {**variables, "preflight_host_info": HOST_INFO, "component_roles_path": str(ROOT / "roles")},
        }
        for name, (variables, timeout, method) in DRAINS.items()
    ]
    role = ROOT / "roles/prover_agent"
    files = [str(role / folder / "main.yml") for folder in ("defaults", "vars")]
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    ansible_playbook(tmp_path / "play.yml", "-i", "localhost,", "-c", "local")


BROKEN = {"failed": True, "msg": "BROKEN"}
LOST = {"unreachable": True, "msg": "LOST"}
STOPS = ["stopped prover_agent", "stopped prover_node", "stopped prover_broker"]
STARTS = ["started prover_broker", "started prover_node", "started prover_agent"]
REBOOT = "Reboot the host"


def reboot(where: Path, results: dict[str, dict]) -> Run:
    """Reboot a host with all components."""
    write_roles(where)
    for name in ("reboot", "require_running_agents"):
        copy(f"playbooks/tasks/{name}.yml", where / f"{name}.yml")
    components = ["prover_agent", "prover_node", "prover_broker"]
    variables = {"__preflight_checked": {"operated": {"host": components}}}
    tasks = [{"name": "Reboot", "ansible.builtin.include_tasks": str(where / "reboot.yml")}]
    return run_play(where, {"vars": variables, "tasks": tasks}, results)


def test_a_reboot(tmp_path: Path) -> None:
    found = reboot(tmp_path, {})
    assert found.calls == [*STOPS, REBOOT, *STARTS], found.output
    assert "aztec_run_failed" not in found.groups


def test_a_host_that_becomes_unreachable_during_a_stop_is_not_rebooted(tmp_path: Path) -> None:
    """Its agent may still work, even if it is reachable again."""
    found = reboot(tmp_path, {"stopped prover_agent": LOST})
    assert found.calls[:1] == STOPS[:1], found.output
    assert not {*STOPS[1:], REBOOT} & {*found.calls}
    assert "host became unreachable, see above: run again when it is reachable" in found.output
    assert found.groups["aztec_run_failed"] == ["host"]


@pytest.mark.parametrize("broken", ["stopped prover_broker", REBOOT])
def test_the_components_start_again_if_the_reboot_fails(broken: str, tmp_path: Path) -> None:
    found = reboot(tmp_path, {broken: BROKEN})
    done = [*STOPS, REBOOT]
    assert found.calls == [*done[: done.index(broken) + 1], *STARTS], found.output
    assert found.groups["aztec_run_failed"] == ["host"]


def test_a_failed_start_after_a_failed_reboot_hides_nothing(tmp_path: Path) -> None:
    second = {"failed": True, "msg": "SECOND"}
    found = reboot(tmp_path, {REBOOT: BROKEN, "started prover_node": second})
    assert found.calls == [*STOPS, REBOOT, *STARTS[:2]], found.output
    for text in ("BROKEN", "SECOND", "run start.yml --limit host"):
        assert text in found.output
    assert found.groups["aztec_run_failed"] == ["host"]


def replace(where: Path, results: dict[str, dict], **variables: object) -> Run:
    """Run the play of site.yml that replaces agents. Its role is a restart here."""
    write_roles(where)
    tasks = where / "roles/prover_agent/tasks"
    (tasks / "main.yml").write_text((tasks / "restart.yml").read_text())
    copy("playbooks/tasks/require_running_agents.yml", where / "tasks/require_running_agents.yml")
    plays = yaml.safe_load(replaced((ROOT / "playbooks/site.yml").read_text()))
    (play,) = (one for one in plays if one["name"] == "Replace running agents")
    return run_play(where, {"vars": variables, "tasks": play["tasks"]}, results)


def restart(where: Path, results: dict[str, dict], **variables: object) -> Run:
    """Restart the agents of a host as restart.yml does."""
    write_roles(where)
    for name in ("operate", "require_running_agents"):
        copy(f"playbooks/tasks/{name}.yml", where / f"{name}.yml")
    given = {"__component": "prover_agent", "__tasks_from": "restart", **variables}
    tasks = [{"name": "Restart", "ansible.builtin.include_tasks": str(where / "operate.yml")}]
    return run_play(where, {"vars": given, "tasks": tasks}, results)


NOT_YET = "host: prover-agent does not run yet: see its log; the other batches were not changed"
CRS_DONE = {"prover-agent-crs": {"state": "exited"}}
STARTING = {"status": {**CRS_DONE, "prover-agent": {"state": "starting"}}}
RUNNING = {"status": {**CRS_DONE, "prover-agent": {"state": "running"}}}


@pytest.mark.parametrize("run", [replace, restart, reboot])
def test_a_batch_whose_agents_do_not_run_has_failed(run: Callable[..., Run], tmp_path: Path) -> None:
    call = "started prover_agent" if run is reboot else "restarted prover_agent"
    found = run(tmp_path, {call: STARTING})
    assert NOT_YET in found.output
    assert found.groups["aztec_run_failed"] == ["host"]


@pytest.mark.parametrize(
    ("result", "variables"),
    [
        (RUNNING, {}),
        # The module does not wait.
        (STARTING, {"prover_agent_start_timeout": 0}),
        # stop.yml stopped it, so that it is left as it is.
        ({"status": {"prover-agent": {"state": "failed"}}, "stopped": True}, {}),
    ],
)
def test_a_batch_whose_agents_run_has_not_failed(result: dict, variables: dict, tmp_path: Path) -> None:
    found = replace(tmp_path, {"restarted prover_agent": result}, **variables)
    assert found.calls == ["restarted prover_agent"], found.output
    assert "aztec_run_failed" not in found.groups
