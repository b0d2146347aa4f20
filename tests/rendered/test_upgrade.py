# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pull.yml and an upgrade take from the variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bad_input.commands import run
from tests.rendered.render import ROOT, ansible_playbook
from tests.rendered.templates import compose_files

COMPONENTS = ("prover_node", "prover_broker", "prover_agent")
DIGEST = "sha256:" + "ab" * 32


def task_of(path: str, name: str) -> dict[str, Any]:
    """Return a task by its name, from a file of tasks or of plays."""
    entries = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    tasks = [task for entry in entries for task in entry.get("tasks", [entry])]
    return next(task for task in tasks if task["name"] == name)


@pytest.mark.parametrize(
    ("given", "image"),
    [
        ({"aztec_next_version": "5.0.1"}, "aztecprotocol/aztec:5.0.1"),
        ({"aztec_next_version": "6.0.1"}, "azteclabs/aztec:6.0.1"),
        (
            {"aztec_next_version": "5.0.1", "aztec_next_image_digest": DIGEST, "aztec_image": "registry.lan/aztec"},
            f"registry.lan/aztec:5.0.1@{DIGEST}",
        ),
    ],
)
def test_the_images_of_the_next_version(given: dict, image: str, tmp_path: Path) -> None:
    """The version and the digest that the inventory sets do not count."""
    now = {"aztec_version": "4.1.2", "aztec_image_digest": "sha256:" + "cd" * 32}
    pull = task_of("playbooks/pull.yml", "Pull the images")["vars"]
    found = compose_files([(component, {**now, **given, **pull}) for component in COMPONENTS], tmp_path)
    services = [service for one in found for name, service in one["services"].items() if "crs" not in name]
    assert [service["image"] for service in services] == [image] * 3


def test_the_wait_for_the_epoch(tmp_path: Path) -> None:
    task = task_of("roles/prover_node/tasks/wait_for_epochs.yml", "Wait for the end of the epoch in work")
    (module,) = (name for name in task if "." in name)
    seconds = task[module]["seconds"]
    wanted = {3600: {}, 60: {"aztec_upgrade_wait": 60}, 5: {"aztec_upgrade_wait": "5"}}
    files = {number: tmp_path / f"{number}.json" for number in wanted}
    tasks = [
        {"write_arguments": {"seconds": seconds, "__file": str(files[number])}, "vars": given}
        for number, given in wanted.items()
    ]
    skipped = [{}, {"aztec_drain": False}, {"aztec_upgrade_wait": 0}, {"aztec_upgrade_wait": "0"}]
    for number, given in enumerate(skipped):
        file = files[f"skip {number}"] = tmp_path / f"skip_{number}.json"
        tasks.append({"write_arguments": {"__file": str(file)}, "when": task["when"], "vars": given})
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "host", "gather_facts": False, "tasks": tasks}]))
    ansible_playbook(tmp_path / "play.json", "-i", "host,")
    assert {number: int(json.loads(files[number].read_text())["seconds"]) for number in wanted} == {
        number: number for number in wanted
    }
    assert [files[f"skip {number}"].exists() for number in range(len(skipped))] == [True, False, False, False]


AT_RPC, AT_ADMIN = "proverNode_getJobs", "prover_getJobs"
# (version, key of the node's host, methods)
METHODS = [
    ("2.1.5", "", {"epoch_jobs": AT_RPC, "admin_jobs": ""}),
    ("4.1.2", "", {"epoch_jobs": AT_ADMIN, "admin_jobs": ""}),
    ("4.1.2", "a-key", {"epoch_jobs": AT_ADMIN, "admin_jobs": ""}),
    ("6.0.1", "", {"epoch_jobs": "", "admin_jobs": ""}),
    ("6.0.1", "a-key", {"epoch_jobs": AT_ADMIN, "admin_jobs": AT_ADMIN}),
]


@pytest.mark.parametrize(("version", "key", "methods"), METHODS)
def test_where_the_epochs_are_reported(version: str, key: str, methods: dict, tmp_path: Path) -> None:
    """The broker's host waits for the node with the key of the node's host."""
    that = [f"__prover_node_epochs_rpc == {methods}", f"__prover_node_admin_key == '{key}'"]
    tasks = [{"ansible.builtin.add_host": {"name": "node-1", **({"prover_node_admin_api_key": key} if key else {})}}]
    files = [str(ROOT / "roles/prover_node" / folder / "main.yml") for folder in ("defaults", "vars")]
    variables = {"aztec_version": version, "preflight_fleet": {"node": {"host": "node-1"}}}
    plays = [
        {"hosts": "broker-1", "gather_facts": False, "tasks": tasks},
        {
            "hosts": "broker-1", "gather_facts": False, "vars_files": files, "vars": variables,
            "tasks": [{"ansible.builtin.assert": {"that": that}}],
        },
    ]
    (tmp_path / "play.json").write_text(json.dumps(plays))
    ansible_playbook(tmp_path / "play.json", "-i", "broker-1,")


WORKS = {"state": "running", "epoch_jobs": [{"epoch": 7, "state": "processing"}]}
SUBMITS = {"state": "running", "epoch_jobs": [{"epoch": 7, "state": "publishing-proof"}]}
SILENT = {"state": "running"}
ENDED = {"state": "exited"}
# (containers, attempts, whether the wait ends)
QUERIES = [
    ([WORKS, ENDED], 1, True),
    ([SUBMITS, ENDED], 13, False),
    ([SUBMITS, ENDED], 60, True),
    ([SILENT, ENDED], 1, False),
    ([SILENT, ENDED], 12, True),
    ([ENDED], 1, True),
    ([], 1, True),
]


def test_the_wait_for_a_submission(tmp_path: Path) -> None:
    """A node that runs and does not answer may submit a proof."""
    path = "roles/prover_node/tasks/wait_for_submission.yml"
    until = task_of(path, "Wait until the node has submitted its proof")["until"]
    tasks = [
        {
            "ansible.builtin.assert": {"that": [f"({until}) == {ends}"], "quiet": True},
            "vars": {
                "__prover_node_jobs": {
                    "attempts": attempts, "host_info": {"projects": {"aztec-prover-node": {"containers": containers}}},
                },
            },
        }
        for containers, attempts, ends in QUERIES
    ]
    files = [str(ROOT / "roles/prover_node" / folder / "main.yml") for folder in ("defaults", "vars")]
    play = {"hosts": "host", "gather_facts": False, "vars_files": files, "tasks": tasks}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    ansible_playbook(tmp_path / "play.json", "-i", "host,")


def deploy_broker(upgrade: bool, host: dict, deploy: dict) -> list:
    """Return the play that deploys the broker, with `deploy` for its role, and a play before it that adds its hosts.

    host: the variables of the broker's host. During an upgrade, only the node is in the group aztec_plan_upgrade.
    """
    plays = yaml.safe_load((ROOT / "playbooks/site.yml").read_text(encoding="utf-8"))
    play = next(one for one in plays if one["name"] == "Deploy the broker")
    (task,) = play["tasks"]
    for number, one in enumerate(task["block"]):
        stub = {"prover_node": {"ansible.builtin.set_fact": {"waited": True}}, "prover_broker": deploy}
        role = one.get("ansible.builtin.include_role", {}).get("name", "").rpartition(".")[2]
        if role:
            task["block"][number] = {**stub[role], **{key: one[key] for key in ("name", "when") if key in one}}
    added = {
        "name": "broker-1", "groups": "aztec_plan_broker", "__preflight_gathered": {"host_info": {}},
        "__preflight_checked": {"stops": {"broker-1": {"components": ["prover_broker"]}}}, **host,
    }
    hosts = [added, {"name": "node-1", "groups": "aztec_plan_upgrade"}][: 2 if upgrade else 1]
    tasks = [{"ansible.builtin.add_host": one} for one in hosts]
    return [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}, play]


PING = {"ansible.builtin.ping": {}, "register": "component_result"}
CRASH = {"ansible.builtin.fail": {"msg": "the broker does not start"}}
NO_HOST = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
LOCAL = {"ansible_connection": "local"}


@pytest.mark.parametrize(("host", "deploy"), [(LOCAL, CRASH), (NO_HOST, PING)], ids=["crash", "unreachable"])
def test_a_broker_that_fails_in_an_upgrade_of_the_node(host: dict, deploy: dict, tmp_path: Path) -> None:
    """The agents start again: the host is in the group that the next play depends on. The run did not wait again."""
    that = ["groups['aztec_run_upgrade_failed'] == ['broker-1']", "hostvars['broker-1'].waited is not defined"]
    check = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.assert": {"that": that}}]}
    (tmp_path / "play.json").write_text(json.dumps([*deploy_broker(True, host, deploy), check]))
    ansible_playbook(tmp_path / "play.json", "-i", "localhost,", "-c", "local")


@pytest.mark.parametrize(("host", "deploy"), [(LOCAL, CRASH), (NO_HOST, PING)], ids=["crash", "unreachable"])
def test_a_broker_that_fails_without_an_upgrade(host: dict, deploy: dict, tmp_path: Path) -> None:
    (tmp_path / "play.json").write_text(json.dumps(deploy_broker(False, host, deploy)))
    with pytest.raises(AssertionError, match="The broker was not deployed, see above"):
        ansible_playbook(tmp_path / "play.json", "-i", "localhost,", "-c", "local")


@pytest.mark.parametrize(
    ("host", "failed"), [(LOCAL, []), (NO_HOST, ["broker-1"])], ids=["crash", "unreachable"]
)
def test_an_agent_next_to_the_broker_that_does_not_stop(host: dict, failed: list[str], tmp_path: Path) -> None:
    """The broker is changed, or its failure recorded: the agents that were stopped start again in both cases."""
    plays = yaml.safe_load((ROOT / "playbooks/site.yml").read_text(encoding="utf-8"))
    stop = next(one for one in plays if one["name"] == "Stop the agents of the previous version")
    (task,) = stop["tasks"]
    fail = {"ansible.builtin.fail": {"msg": "the agent does not stop"}}
    # The role's last task fails for a host that became unreachable.
    lost = [PING, {**fail, "when": "component_result is unreachable"}]
    task["block"] = lost if failed else [fail]
    first, deploy = deploy_broker(True, {**host, "ansible_become": False}, PING)
    first["tasks"][0]["ansible.builtin.add_host"]["groups"] += ",aztec_plan_upgrade_agents"
    that = [f"groups['aztec_run_upgrade_failed'] | default([]) == {failed}"]
    check = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.assert": {"that": that}}]}
    reached = {"hosts": "broker-1", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "reached"}}]}
    (tmp_path / "play.json").write_text(json.dumps([first, stop, deploy, check, reached]))
    shown = run("ansible-playbook", str(tmp_path / "play.json"), "-i", "localhost,", "-c", "local")
    assert shown.returncode == 0, shown.stdout
    assert "reached" in shown.stdout


def test_an_upgrade_does_not_wait_for_a_submission_in_its_interruption() -> None:
    plays = yaml.safe_load((ROOT / "playbooks/site.yml").read_text(encoding="utf-8"))
    tasks = [task for play in plays for one in play.get("tasks", []) for task in one.get("block", [one])]
    waits = [task for task in tasks if task["name"] == "Wait for the node's submission"]
    assert ["groups['aztec_plan_upgrade'] | default([]) | length == 0" in task["when"] for task in waits] == [True] * 2


# The groups of the hosts of an upgrade. The agents of agent-2 change without their version.
UPGRADED = {
    "broker-1": ["aztec_plan_broker", "aztec_run_upgrade_failed"],
    "node-1": ["aztec_plan_upgrade", "aztec_plan_agents_and_node"],
    "agent-1": ["aztec_plan_upgrade_agents", "aztec_plan_agents_and_node"],
    "agent-2": ["aztec_plan_replace"],
}


def after_the_broker(groups: dict[str, list[str]], where: Path) -> tuple[list[str], str]:
    """Return the roles that the plays of site.yml after that of the broker run, as `host role file`, and the output."""
    plays = yaml.safe_load((ROOT / "playbooks/site.yml").read_text(encoding="utf-8"))
    names = [play["name"] for play in plays]
    plays = plays[names.index("End a failed upgrade") : names.index("End the upgrade")]
    for play in plays:
        play["vars"].pop("preflight_host_info")
        for task in [inner for one in play["tasks"] for inner in one.get("block", [one])]:
            role = task.pop("ansible.builtin.include_role", None)
            task.pop("ansible.builtin.include_tasks", None)
            if role:
                call = f"{role['name'].rpartition('.')[2]} {role.get('tasks_from', 'main')}"
                task["ansible.builtin.raw"] = f"echo {{{{ inventory_hostname }}}} {call} >> {where / 'calls'}"
                task["vars"] = {}
            elif not {"ansible.builtin.fail", "ansible.builtin.group_by"} & set(task):
                task["ansible.builtin.debug"] = {"msg": task["name"]}
    values = {"agents_at_once": 1, "stops": {host: {"components": []} for host in groups}}
    parts = {"node": "prover_node", "agent": "prover_agent", "broker": "prover_broker"}
    components = {host: {"components": [parts[host.partition("-")[0]]]} for host in groups}
    variables = {"__preflight_checked": values, "preflight_fleet": {"hosts": components}, "ansible_become": False}
    added = [{"name": host, "groups": names, **variables, **LOCAL} for host, names in groups.items()]
    tasks = [{"ansible.builtin.add_host": one} for one in added]
    first = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (where / "play.json").write_text(json.dumps([first, *plays]))
    shown = run("ansible-playbook", str(where / "play.json"), "-i", "localhost,", "-c", "local")
    calls = where / "calls"
    return sorted(calls.read_text().splitlines()) if calls.exists() else [], shown.stdout


def test_a_failed_upgrade_of_the_broker_changes_neither_node_nor_agents(tmp_path: Path) -> None:
    """They would reject the broker."""
    calls, output = after_the_broker(UPGRADED, tmp_path)
    assert calls == ["agent-1 prover_agent start"], output
    assert "The broker did not start with the new version" in output


def test_after_an_upgrade_of_the_broker_node_and_agents_are_changed(tmp_path: Path) -> None:
    done = {host: [name for name in names if name != "aztec_run_upgrade_failed"] for host, names in UPGRADED.items()}
    calls, output = after_the_broker(done, tmp_path)
    wanted = ["agent-1 prover_agent main", "agent-2 prover_agent main", "node-1 prover_node main"]
    assert calls == wanted, output
