"""Functions of the lab, as tables. The scenarios test that its machines boot and prove."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from lab.fleet import fund
from lab.fleet.__main__ import parser
from lab.fleet.hosts import boot_options, may_be_privileged, one_file_archive, streams
from lab.fleet.images import Images, content_hash, prune
from lab.fleet.names import records
from lab.fleet.report import rows_of, table
from lab.fleet.settings import ROOT, LabError, Machine, debian_mirror, machines_of

# The inventories in tests/inventories that do not need another one
LAB_INVENTORIES = ("bare_hosts", "bookworm", "custom_groups", "separate_hosts", "shared_host")
BOOKWORM = 'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian"\n'
DEB822 = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
"""


@pytest.mark.parametrize(
    ("sources", "os_release", "expected"),
    [
        pytest.param([DEB822], BOOKWORM, "http://mirror.example/debian", id="deb822"),
        pytest.param(["deb http://a.example/d/ bookworm main\n"], BOOKWORM, "http://a.example/d", id="one line"),
        pytest.param(
            ["deb [arch=amd64] http://a.example/d bookworm main"], BOOKWORM, "http://a.example/d", id="options"
        ),
        pytest.param(["deb http://a.example/d bookworm-security main"], BOOKWORM, None, id="security only"),
        pytest.param(["", DEB822], BOOKWORM, "http://mirror.example/debian", id="second file"),
        pytest.param(["# deb http://a.example/d bookworm main"], BOOKWORM, None, id="comment"),
        pytest.param([DEB822], "ID=ubuntu\nVERSION_CODENAME=noble\n", None, id="ubuntu"),
        pytest.param([], BOOKWORM, None, id="no sources"),
    ],
)
def test_debian_mirror(sources: list[str], os_release: str, expected: str | None) -> None:
    assert debian_mirror(sources, os_release) == expected


def inventory(**variables: dict[str, Any]) -> dict[str, Any]:
    return {"all": {"children": ["fleet"]}, "fleet": {"hosts": list(variables)}, "_meta": {"hostvars": variables}}


@pytest.mark.parametrize(
    "path", ["inventories/lab", *(f"tests/inventories/{name}" for name in LAB_INVENTORIES)], ids=lambda path: path
)
def test_inventories_find_the_checkout(path: str) -> None:
    """The lab's key and its L1 parameters are in this checkout, whatever the directory of the inventory."""
    program = str(Path(sys.executable).with_name("ansible"))
    message = "found={{ ansible_ssh_private_key_file }},{{ lab_l1.chainId | default('none') }}"
    command = [program, "-i", path, "all[0]", "-m", "ansible.builtin.debug", "-a", f"msg={message}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    expected = f"{ROOT}/.lab/ssh/id_ed25519,{'none' if path.endswith('bare_hosts') else 31337}"
    assert set(re.findall(r"found=(\S+)", done.stdout)) == {expected}


FOUR, SIX = "10.0.0.1", "fd00::1"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"ansible_host": FOUR}, Machine("a", FOUR, None, FOUR), id="IPv4"),
        pytest.param({"ansible_host": FOUR, "lab_address6": SIX}, Machine("a", FOUR, SIX, FOUR), id="both"),
        pytest.param({"ansible_host": SIX}, Machine("a", None, SIX, SIX), id="only IPv6"),
        pytest.param({"lab_address": FOUR}, Machine("a", FOUR, None, "a"), id="by its own name"),
        pytest.param(
            {"ansible_host": "a.lan", "lab_address6": SIX}, Machine("a", None, SIX, "a.lan"), id="name and only IPv6"
        ),
        pytest.param(
            {"ansible_host": FOUR, "ansible_port": "2222", "ansible_user": "u", "ansible_become_password": "p"},
            Machine("a", FOUR, None, FOUR, 2222, "u", "p"),
            id="user and port",
        ),
        pytest.param(
            {"ansible_host": FOUR, "lab_engine": True}, Machine("a", FOUR, None, FOUR, engine=True), id="engine"
        ),
        pytest.param(
            {"ansible_host": FOUR, "lab_suite": "bookworm"},
            Machine("a", FOUR, None, FOUR, suite="bookworm"),
            id="suite",
        ),
    ],
)
def test_machines_are_made_as_the_inventory_describes_them(variables: dict[str, Any], expected: Machine) -> None:
    assert machines_of(inventory(a=variables)) == (expected,)


@pytest.mark.parametrize(("given", "setting"), [("bookworm", "trixie"), ("", "bookworm")])
def test_an_engine_on_a_suite_without_one_is_refused(given: str, setting: str) -> None:
    with pytest.raises(LabError, match="Debian bookworm has no Compose v2 in its packages: remove lab_engine"):
        Images(MagicMock(), MagicMock(suite=setting)).host(True, given)


@pytest.mark.parametrize("variables", [{}, {"ansible_host": "a.lan"}])
def test_a_machine_without_address_is_refused(variables: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="a: the lab's inventory gives it no address"):
        machines_of(inventory(a=variables))


@pytest.mark.parametrize(("port", "known"), [(22, "a.lan"), (2222, "[a.lan]:2222")])
def test_known_hosts_names_the_port(port: int, known: str) -> None:
    assert Machine("a", FOUR, ssh_name="a.lan", ssh_port=port).known_as == known


def test_dns_records_of_machines() -> None:
    machines = (
        Machine("a", FOUR, SIX, "a.lan"),
        Machine("b", None, SIX, "b.lan"),
        Machine("c", FOUR, None, "c"),
        Machine("d", FOUR, None, FOUR),
    )
    assert records(machines) == [
        f"--host-record=a.lan,{FOUR},{SIX}",
        f"--host-record=b.lan,{SIX}",
        f"--host-record=c,{FOUR}",
    ]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [("000001ffffffffff", True), ("000001fffeffffff", False), ("00000000a80425fb", False)],
)
def test_privileged_needs_all_capabilities(bound: str, expected: bool) -> None:
    assert may_be_privileged(f"Name:\tx\nCapEff:\t0\nCapBnd:\t{bound}\n") is expected


@pytest.mark.parametrize(
    ("unified", "privileged", "engine", "namespace", "binds", "command_line", "dropped"),
    [
        pytest.param(False, False, 20, "host", True, True, ["SYS_RESOURCE"], id="cgroup v1, bounded, old engine"),
        pytest.param(False, False, 26, "host", True, True, None, id="cgroup v1, bounded"),
        pytest.param(False, True, 26, "host", True, True, None, id="cgroup v1"),
        pytest.param(True, False, 26, "host", True, False, None, id="cgroup v2, bounded"),
        pytest.param(True, True, 26, "private", False, False, None, id="cgroup v2"),
    ],
)
def test_boot_options(
    unified: bool,
    privileged: bool,
    engine: int,
    namespace: str,
    binds: bool,
    command_line: bool,
    dropped: list[str] | None,
) -> None:
    options = boot_options(unified, privileged, engine)
    host = options["host"]
    assert host["CgroupnsMode"] == namespace
    assert ("Binds" in host) is binds
    assert any(entry.startswith("SYSTEMD_PROC_CMDLINE=") for entry in options["Env"]) is command_line
    assert host.get("Privileged", False) is privileged
    assert host.get("CapDrop") == dropped
    assert options["StopSignal"] == "SIGRTMIN+3"


def test_one_file_archive() -> None:
    with tarfile.open(fileobj=io.BytesIO(one_file_archive("keys", "a\n", 0o600, 1000))) as archive:
        (entry,) = archive.getmembers()
        assert (entry.name, entry.mode, entry.uid, entry.gid, entry.size) == ("keys", 0o600, 1000, 1000, 2)


def test_content_hash_knows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = content_hash("x", tmp_path)
    assert content_hash("x", tmp_path) == first
    (tmp_path / "a").write_text("2")
    second = content_hash("x", tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, content_hash("x", tmp_path), content_hash("y", tmp_path)}) == 4


def test_prune_keeps_what_runs(tmp_path: Path) -> None:
    kept = ["@aztec/aztec/dest/bin/index.js", "viem/index.js", "plain/src/index.js"]
    gone = [
        "@aztec/aztec/src/x.ts",
        "viem/_types/x.js",
        "plain/a.d.ts",
        "plain/a.js.map",
        "typescript/lib.js",
        "ox/_cjs/x.js",
    ]
    for name in (*kept, *gone):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    prune(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)


@pytest.mark.parametrize(
    ("containers", "state", "version"),
    [
        ([], "missing", "-"),
        ([{"State": {"Status": "running", "Health": {"Status": "healthy"}}}], "running, healthy", "4.1.2"),
        ([{"State": {"Status": "exited"}}], "exited", "4.1.2"),
    ],
)
def test_row_of_a_component(containers: list[dict[str, Any]], state: str, version: str) -> None:
    config = {"Image": "registry:5000/aztec:4.1.2", "Labels": {"com.docker.compose.service": "prover-agent"}}
    output = [{**container, "Config": config} for container in containers]
    assert rows_of("agent-1", "prover-agent", output) == [("agent-1", "prover-agent", state, version)]


def test_rows_of_agents_in_containers_of_their_own() -> None:
    label = "com.docker.compose.service"
    output = [
        {"State": {"Status": "running"}, "Config": {"Image": "aztec:4.1.2", "Labels": {label: name}}}
        for name in ("prover-agent-2", "prover-agent-1", "prover-agent-crs")
    ]
    lines = rows_of("agent-1", "prover-agent", output)
    assert [line[1] for line in lines] == ["prover-agent-1", "prover-agent-2"]


def test_table_columns_are_as_wide_as_their_words() -> None:
    assert table(("a", "b"), [("long", "x")]) == "a     b\n----  -\nlong  x"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", (b"", b""), id="nothing"),
        pytest.param(b"\1\0\0\0\0\0\0\3in\n", (b"in\n", b""), id="stdout"),
        pytest.param(b"\1\0\0\0\0\0\0\1a\2\0\0\0\0\0\0\2no\1\0\0\0\0\0\0\1b", (b"ab", b"no"), id="both, in parts"),
    ],
)
def test_streams_of_a_command(body: bytes, expected: tuple[bytes, bytes]) -> None:
    assert streams(body) == expected


OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.mark.parametrize("text", [OWNER, OWNER.lower(), "0x" + OWNER[2:].upper()])
def test_an_address_to_fund(text: str) -> None:
    assert fund.checked(text) == OWNER


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(OWNER[:-1], "this is not an address", id="short"),
        pytest.param("0x" + "5e" * 32, "this is not an address", id="a key"),
        pytest.param("prover.eth", "this is not an address", id="a name"),
        pytest.param(OWNER.replace("F", "f", 1), "do not match its checksum", id="capitals"),
    ],
)
def test_invalid_address_to_fund(text: str, why: str) -> None:
    with pytest.raises(LabError, match=why) as caught:
        fund.checked(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("amount", ["0", "-1", "much", "nan", "inf"])
def test_invalid_amount_to_fund(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["fund", OWNER, "--ether", amount])
    assert "give an amount of ETH, such as 0.5" in capsys.readouterr().err
