# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What real runs of ansible-playbook display with the callback."""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.callback.fleet import CHECK_NAMES

PLUGINS = Path(__file__).parents[4] / "plugins"
PLAYBOOK = [sys.executable, "-c", "from ansible.cli.playbook import main; main()"]
# Stands for the collection's actions: displays a table and returns its options as its result.
ACTION = """
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = dict(self._task.args)
        if "table" in result:
            self._display.display(result.pop("table"), color=result.pop("color", None))
        return {**super().run(task_vars=task_vars), **result}
"""
SETTINGS = """
[defaults]
stdout_callback = aztec_ops.prover.fleet
callback_result_format = yaml
collections_path = collections
interpreter_python = {python}
forks = 1
local_tmp = {folder}/tmp
"""
HOSTS = "a ansible_connection=local\nb ansible_connection=local\ngone ansible_connection=ssh ansible_host=127.0.0.1"
HOSTS += " ansible_port=1 ansible_ssh_common_args='-F none -o ConnectTimeout=5'\n[empty]\n"
ONE = "--limit=a"
NO_PORT_1 = r"unreachable: \[gone\] .*connect to host 127\.0\.0\.1 port 1: Connection refused"


class Runs:
    """Runs of playbooks in a folder that contains a collection with the callback and with replaced actions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plugins = folder / "collections/ansible_collections/aztec_ops/prover/plugins"
        (plugins / "action").mkdir(parents=True)
        for name in ("callback", "module_utils", "plugin_utils"):
            (plugins / name).symlink_to(PLUGINS / name)
        for name in ("check_hosts", "compose_stack", "fleet_status"):
            (plugins / f"action/{name}.py").write_text(ACTION, encoding="utf-8")
        self.write("ansible.cfg", SETTINGS.format(python=sys.executable, folder=folder))
        self.write("hosts", HOSTS)
        self.write("included.yml", "- {name: Included, ansible.builtin.command: 'true'}\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        self.environment = {**kept, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        for name in ("COLUMNS", "NO_COLOR"):
            self.environment.pop(name, None)

    def write(self, name: str, text: str) -> None:
        """Write a file in the folder."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def command(self, plays: str, *arguments: str) -> list[str]:
        """Return the command for the plays, YAML text. A text that is not a list of plays is a list of tasks."""
        if not re.match(r"- (name: .*\n  )?hosts:", plays):
            plays = f"- name: Play\n  hosts: all\n  gather_facts: false\n  tasks:\n{re.sub('(?m)^', '    ', plays)}"
        self.write("play.yml", plays)
        return [*PLAYBOOK, "-i", "hosts", "play.yml", *arguments]

    def run(self, plays: str, *arguments: str, **environment: str) -> tuple[str, str, int]:
        """Run plays without a terminal. Return stdout, stderr and the exit code."""
        run = subprocess.run(
            self.command(plays, *arguments),
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return run.stdout.replace(str(self.folder), "FOLDER"), run.stderr, run.returncode

    def run_on_terminal(self, columns: int, plays: str, *arguments: str) -> str:
        """Run plays on a terminal. Return what it received."""
        own, other = os.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        run = subprocess.Popen(
            self.command(plays, *arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=other,
            stderr=other,
        )
        os.close(other)
        received = b""
        while True:
            try:
                received += os.read(own, 65536)
            except OSError:  # The last process closed the terminal.
                break
        os.close(own)
        run.wait(timeout=120)
        return received.decode().replace("\r\n", "\n")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


OK = "- {name: Fine, ansible.builtin.command: 'true', changed_when: false}\n"
SKIPPED = "- {name: Skipped, ansible.builtin.command: 'true', when: false}\n"
CHANGE = "- {name: Change, ansible.builtin.command: 'true'}\n"
STACK = "- name: Start\n  aztec_ops.prover.compose_stack: {changed: true, actions: [create network, start node]}\n"
FAILURE = "- {name: Wrong, ansible.builtin.command: sh -c 'echo the reason >&2; exit 3'}\n"
TABLE = "- {name: Check, aztec_ops.prover.check_hosts: {failed: true, table: HOST, "
REPORT = "- name: Report\n  aztec_ops.prover.fleet_status: {verdict: '2 hosts, nothing to change'}\n  run_once: true\n"

CASES = {
    "nothing changed": (OK + SKIPPED, [ONE], 0, "1 host, 0 changed, 0 failed, 0 unreachable\n"),
    "one change": (
        OK + CHANGE,
        ["--limit=a,b"],
        0,
        "PLAY [Play]\nTASK [Change]\nchanged: [a]\nchanged: [b]\n\n2 hosts, 2 changed, 0 failed, 0 unreachable\n",
    ),
    "actions": (
        STACK,
        [ONE],
        0,
        "PLAY [Play]\nTASK [Start]\nchanged: [a] create network; start node\n\n"
        "1 host, 1 changed, 0 failed, 0 unreachable\n",
    ),
    "a long task that changes nothing": (
        "- {name: Start, aztec_ops.prover.compose_stack: {}}\n",
        [ONE],
        0,
        "PLAY [Play]\nTASK [Start]\n\n1 host, 0 changed, 0 failed, 0 unreachable\n",
    ),
    "a failure": (
        FAILURE + CHANGE,
        [ONE],
        2,
        "PLAY [Play]\nTASK [Wrong]\nfailed: [a] Wrong: non-zero return code: the reason\n\n"
        "1 host, 0 changed, 1 failed, 0 unreachable\n",
    ),
    "an error of a template": (
        "- {name: Show, ansible.builtin.debug: {msg: '{{ missing }}'}}\n",
        [ONE],
        2,
        "PLAY [Play]\nTASK [Show]\nfailed: [a] Show: Finalization of task args for 'ansible.builtin.debug' failed: "
        "Error while resolving value for 'msg': 'missing' is undefined\n\n1 host, 0 changed, 1 failed, 0 unreachable\n",
    ),
    "logs and a difference of a failure": (
        '- name: Start\n  aztec_ops.prover.compose_stack: {failed: true, msg: "it\\nfailed", logs: [one, two], '
        "diff: {before: a, after: b}}\n  diff: true\n",
        [ONE],
        2,
        "PLAY [Play]\nTASK [Start]\nfailed: [a] Start: it failed\n    one\n    two\n--- before\n+++ after\n"
        "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n\n"
        "1 host, 0 changed, 1 failed, 0 unreachable\n",
    ),
    "a failure without --diff": (
        "- name: Start\n  aztec_ops.prover.compose_stack: {failed: true, msg: wrong, diff: {before: a, after: b}}\n",
        [ONE],
        2,
        "PLAY [Play]\nTASK [Start]\nfailed: [a] Start: wrong\n\n1 host, 0 changed, 1 failed, 0 unreachable\n",
    ),
    "hidden by no_log": (
        "- {name: Wrong, ansible.builtin.command: 'false', no_log: true}\n",
        [ONE],
        2,
        "PLAY [Play]\nTASK [Wrong]\nfailed: [a] Wrong: the output has been hidden due to the fact that 'no_log: true' "
        "was specified for this result\n\n1 host, 0 changed, 1 failed, 0 unreachable\n",
    ),
    "an ignored failure": (
        "- {name: Wrong, ansible.builtin.fail: {msg: nope}, ignore_errors: true}\n",
        [ONE],
        0,
        "PLAY [Play]\nTASK [Wrong]\nfailed, ignored: [a] Wrong: nope\n\n1 host, 0 changed, 0 failed, 0 unreachable\n",
    ),
    "a loop": (
        "- {name: Loop, ansible.builtin.command: '{{ item.c }}', loop: [{c: 'true', n: one}, {c: 'false', n: two}, "
        "{c: 'true', n: three}], loop_control: {label: '{{ item.n }}'}}\n",
        [ONE],
        2,
        "PLAY [Play]\nTASK [Loop]\nchanged: [a] one\nfailed: [a] Loop: two: non-zero return code\nchanged: [a] three\n"
        "\n1 host, 0 changed, 1 failed, 0 unreachable\n",
    ),
    "messages": (
        '- {name: Text, ansible.builtin.debug: {msg: "hello\\nworld"}}\n- {name: Other, ansible.builtin.debug: '
        "{msg: '{{ item }}'}, loop: [1, x]}\n- {name: Variable, ansible.builtin.debug: {var: inventory_hostname}}\n"
        "- {name: Assert, ansible.builtin.assert: {that: true}}\n",
        [ONE],
        0,
        "PLAY [Play]\nTASK [Text]\nok: [a] hello\nworld\nTASK [Other]\nok: [a] 1: => \n    msg: 1\nok: [a] x: x\n"
        "TASK [Variable]\nok: [a] => \n    inventory_hostname: a\n\n1 host, 0 changed, 0 failed, 0 unreachable\n",
    ),
    "retries": (
        "- {name: Try, ansible.builtin.command: 'false', retries: 2, delay: 0, register: r, until: r.rc == 0}\n",
        [ONE],
        2,
        "PLAY [Play]\nTASK [Try]\nretrying: [a] Try: 2 left\nretrying: [a] Try: 1 left\n"
        "failed: [a] Try: non-zero return code\n\n1 host, 0 changed, 1 failed, 0 unreachable\n",
    ),
    "--check --diff": (
        "- {name: Copy, ansible.builtin.copy: {content: \"x\\n\", dest: '{{ playbook_dir }}/x'}}\n" + OK,
        [ONE, "--check", "--diff"],
        0,
        "PLAY [Play]\nTASK [Copy]\n--- before\n+++ after: FOLDER/x\n@@ -0,0 +1 @@\n+x\n\nchanged: [a]\n\n"
        "1 host, 1 would change, 0 failed, 0 unreachable\n",
    ),
    "serial, an empty play, handlers, included tasks": (
        "- hosts: empty\n  tasks: [{ansible.builtin.ping: }]\n- name: Second\n  hosts: a,b\n  gather_facts: false\n"
        "  serial: 1\n  tasks:\n    - {name: Change, ansible.builtin.command: 'true', notify: Reload}\n"
        "    - {name: More, ansible.builtin.include_tasks: included.yml, when: inventory_hostname == 'b'}\n"
        "  handlers:\n    - {name: Reload, ansible.builtin.command: 'true'}\n",
        [],
        0,
        "PLAY [Second]\nTASK [Change]\nchanged: [a]\nRUNNING HANDLER [Reload]\nchanged: [a]\nTASK [Change]\n"
        "changed: [b]\nTASK [Included]\nchanged: [b]\nRUNNING HANDLER [Reload]\nchanged: [b]\n\n"
        "2 hosts, 2 changed, 0 failed, 0 unreachable\n",
    ),
    "--tags": (
        "- {name: One, ansible.builtin.command: 'true', tags: one}\n- {name: Two, ansible.builtin.command: 'true'}\n",
        [ONE, "--tags=one"],
        0,
        "PLAY [Play]\nTASK [One]\nchanged: [a]\n\n1 host, 1 changed, 0 failed, 0 unreachable\n",
    ),
    "the controller is not counted": (
        "- hosts: a,localhost\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: }]\n",
        [],
        0,
        "1 host, 0 changed, 0 failed, 0 unreachable\n",
    ),
    "a table": (
        TABLE + "msg: '1 problem, in the table above.'}, run_once: true}\n",
        ["--limit=a,b"],
        2,
        "HOST\n\n1 problem, in the table above.\n",
    ),
    "a table and a verdict": (
        TABLE + "msg: 'In the table above; nothing changed.', verdict: '1 problem, see above'}, run_once: true}\n",
        ["--limit=a,b"],
        2,
        "HOST\n\n1 problem, see above\n",
    ),
    "a table of another action": (
        "- {name: Check, ansible.builtin.fail: {msg: '2 problems, in the table above.'}}\n",
        [ONE],
        2,
        "2 problems, in the table above.\n",
    ),
    "a verdict": (REPORT, ["--limit=a,b"], 0, "2 hosts, nothing to change\n"),
    "a verdict before a change": (
        REPORT + "- {name: Change, ansible.builtin.command: 'true', run_once: true}\n",
        ["--limit=a,b"],
        0,
        "PLAY [Play]\nTASK [Change]\nchanged: [a]\n\n1 host, 1 changed, 0 failed, 0 unreachable\n",
    ),
    "a verdict after a failure": (
        FAILURE.replace("3'", "3', when: inventory_hostname == 'a'") + REPORT,
        ["--limit=a,b"],
        2,
        "PLAY [Play]\nTASK [Wrong]\nfailed: [a] Wrong: non-zero return code: the reason\n\n"
        "2 hosts, nothing to change, 1 failed\n",
    ),
}


@pytest.mark.parametrize(("plays", "arguments", "code", "shown"), CASES.values(), ids=CASES)
def test_golden_output(runs: Runs, plays: str, arguments: list[str], code: int, shown: str) -> None:
    """Without a terminal, lines are whole and have no colours."""
    runs.environment.pop("ANSIBLE_NOCOLOR")
    assert runs.run(plays, *arguments) == (shown, "", code)


def test_each_action_with_a_verdict_has_it_displayed() -> None:
    """In check mode, the plan of an operation or a removal is the last result of a run."""
    actions = {path.stem for path in (PLUGINS / "action").glob("*.py") if '"verdict"' in path.read_text()}
    assert {"check_hosts", "plan_operation", "plan_removal"} <= actions
    assert actions <= set(CHECK_NAMES)


@pytest.mark.parametrize(
    ("ignored", "code", "after"),
    [
        pytest.param("false", 4, "\n1 host, 0 changed, 0 failed, 1 unreachable\n", id="unreachable"),
        pytest.param("true", 0, "\n1 host, 0 changed, 0 failed, 0 unreachable\n", id="ignored"),
    ],
)
def test_unreachable_host(runs: Runs, ignored: str, code: int, after: str) -> None:
    """An unreachable host is one line, and counts unless the task ignores it."""
    tasks = f"- {{name: Reach, ansible.builtin.ping: , ignore_unreachable: {ignored}}}\n"
    shown, errors, found = runs.run(tasks, "--limit=gone")
    assert (errors, found) == ("", code)
    assert re.fullmatch(rf"PLAY \[Play\]\nTASK \[Reach\]\n{NO_PORT_1}\n{re.escape(after)}", shown), shown


def test_free_strategy(runs: Runs) -> None:
    """Each displayed result is below the heading of its task, and a task without results has no heading."""
    tasks = re.sub("(?m)^", "    ", OK + CHANGE + STACK)
    plays = f"- hosts: a,b\n  strategy: free\n  gather_facts: false\n  tasks:\n{tasks}"
    shown, errors, code = runs.run(plays)
    assert (errors, code) == ("", 0)
    texts, heading = set(), ""
    for line in shown.splitlines():
        heading = line if line.startswith("TASK") else heading
        texts.add(f"{heading} {line}" if line.startswith("changed") else "")
    started = "changed: [{}] create network; start node"
    assert texts == {""} | {f"TASK [Change] changed: [{host}]" for host in "ab"} | {
        f"TASK [Start] {started.format(host)}" for host in "ab"
    }
    assert "Fine" not in shown


@pytest.mark.parametrize("columns", [40, 3, 1])
def test_narrow_terminal(runs: Runs, columns: int) -> None:
    """Headings and changes are cut to the terminal's width. Failures are not."""
    shown = runs.run_on_terminal(columns, STACK + FAILURE, ONE)
    start = {40: "changed: [a] create network; start node", 3: "...", 1: "."}[columns]
    assert shown.splitlines()[2] == start
    assert "failed: [a] Wrong: non-zero return code: the reason\n" in shown
    assert shown.endswith("\n1 host, 1 changed, 1 failed, 0 unreachable\n")
    assert runs.run_on_terminal(38, STACK, ONE).splitlines()[2] == "changed: [a] create network; start ..."


WIDE = f"""\
HOST    COMPONENT    STATE    PROBLEM
------  -----------  -------  {"-" * 79}
node-1  prover_node  running  does not respond at /status of http://node-1.example.org:8080: check the guard"""
WIDE_80 = """\
HOST    COMPONENT    STATE    PROBLEM
------  -----------  -------  --------------------------------------------------
node-1  prover_node  running  does not respond at /status of
                                http://node-1.example.org:8080: check the guard"""
WIDE_40 = """\
HOST       node-1
COMPONENT  prover_node
STATE      running
PROBLEM
  does not respond at /status of
    http://node-1.example.org:8080:
    check the guard"""


@pytest.mark.parametrize(("columns", "shown"), [(120, WIDE), (80, WIDE_80), (40, WIDE_40)])
def test_tables_fit_the_terminal(runs: Runs, columns: int, shown: str) -> None:
    """Tables of actions fit, also with a colour and with -v."""
    task = f"- aztec_ops.prover.fleet_status: {{table: {json.dumps(WIDE)}, color: red}}\n"
    assert runs.run_on_terminal(columns, task, ONE) == f"{shown}\n\n1 host, 0 changed, 0 failed, 0 unreachable\n"
    assert shown in runs.run_on_terminal(columns, task, ONE, "-v")
    runs.environment.update(ANSIBLE_NOCOLOR="0", ANSIBLE_FORCE_COLOR="1")
    coloured = "".join(f"\x1b[0;31m{line}\x1b[0m\n" for line in shown.split("\n"))
    assert runs.run_on_terminal(columns, task, ONE).startswith(coloured)


def test_without_a_terminal_tables_are_whole(runs: Runs) -> None:
    task = f"- aztec_ops.prover.fleet_status: {{table: {json.dumps(WIDE)}}}\n"
    assert runs.run(task, ONE, COLUMNS="40")[0].startswith(WIDE)


def test_with_v_the_output_is_that_of_the_default_callback(runs: Runs) -> None:
    tasks = OK + SKIPPED + CASES["a loop"][0] + STACK
    timed = r'"?(start|end|delta)"?: .*'
    outputs = [
        re.sub(timed, "", runs.run(tasks, "-v", ONE, ANSIBLE_STDOUT_CALLBACK=name)[0])
        for name in ("aztec_ops.prover.fleet", "ansible.builtin.default")
    ]
    assert outputs[0] == outputs[1]
    assert "PLAY RECAP" in outputs[0] and "ok: [a]" in outputs[0]


def test_colours(runs: Runs) -> None:
    """Failures and a verdict of failures are red, other verdicts are green, ignored failures have another colour."""
    ignored = CASES["an ignored failure"][0]
    colours = {"ANSIBLE_FORCE_COLOR": "1", "ANSIBLE_NOCOLOR": "0"}
    lines = runs.run(CHANGE + ignored + FAILURE, ONE, **colours)[0].splitlines()
    found = {re.sub(r"\x1b\[[\d;]*m", "", line): re.findall(r"\x1b\[([\d;]*)m", line)[:1] for line in lines}
    red, yellow = ["0;31"], ["0;33"]
    assert found["failed: [a] Wrong: non-zero return code: the reason"] == red
    assert found["1 host, 1 changed, 1 failed, 0 unreachable"] == red
    assert found["changed: [a]"] == yellow
    assert found["failed, ignored: [a] Wrong: nope"] not in (red, yellow, [])
    assert runs.run(OK, ONE, **colours)[0] == "\x1b[0;32m1 host, 0 changed, 0 failed, 0 unreachable\x1b[0m\n"


MANY = "- {name: Many, ansible.builtin.debug: {msg: \"{{ 'x' * 9000 }}\"}, loop: '{{ range(20) | list }}'}\n"
TABLES = "- name: Many\n  aztec_ops.prover.fleet_status: {table: \"{{ 'HOST\\n' * 5000 }}\"}\n  loop: [1, 2, 3, 4, 5]\n"


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("tasks", "option", "first"),
    [
        pytest.param(MANY, ONE, "PLAY [Play]\n", id="lines of the callback"),
        pytest.param(TABLES, ONE, "HOST\n", id="tables of an action"),
        pytest.param(MANY, "-v", "Using FOLDER/ansible.cfg as config file\n", id="with -v"),
    ],
)
def test_closed_pipe(runs: Runs, tasks: str, option: str, first: str, buffered: str) -> None:
    """If the reader of the output ends, the run continues to its end and prints no error."""
    last = "- {name: Last, ansible.builtin.copy: {content: done, dest: '{{ playbook_dir }}/last'}}\n"
    run = subprocess.run(
        ["bash", "-c", '"$@" | head -1; exit "${PIPESTATUS[0]}"', "-", *runs.command(tasks + last, ONE, option)],
        cwd=runs.folder,
        env={**runs.environment, "PYTHONUNBUFFERED": buffered},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.stdout.replace(str(runs.folder), "FOLDER"), run.stderr, run.returncode) == (first, "", 0)
    assert (runs.folder / "last").read_text(encoding="utf-8") == "done"


def test_progress_through_a_pipe(runs: Runs) -> None:
    """Lines arrive when they are displayed, not at the end of the run."""
    wait = "- name: Wait\n  ansible.builtin.wait_for: {path: '{{ playbook_dir }}/seen', timeout: 60, sleep: 1}\n"
    environment = {**runs.environment, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        runs.command(CHANGE + wait, ONE), cwd=runs.folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as run:
        assert [run.stdout.readline() for _line in range(3)] == ["PLAY [Play]\n", "TASK [Change]\n", "changed: [a]\n"]
        runs.write("seen", "")
    assert run.returncode == 0
