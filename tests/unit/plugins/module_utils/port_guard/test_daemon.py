# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of the guard's daemon that need no kernel: messages, the order of commands, the control socket."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon

ERROR, NEW_TABLE, GET_TABLE, DELETE_TABLE = 2, 0xA00, 0xA01, 0xA02
OWNER_FLAG, PERSIST_FLAG = 2, 4


def message(kind: int, payload: bytes) -> bytes:
    """Return a netlink message as the kernel sends it, padded to four bytes."""
    whole = struct.pack("=IHHII", 16 + len(payload), kind, 0, 1, 0) + payload
    return whole + bytes(-len(whole) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    whole = struct.pack("=HH", 4 + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def refusal(number: int) -> bytes:
    """Return the kernel's answer to a message that it refuses with an error number, or accepts with 0."""
    return message(ERROR, struct.pack("=i", -number) + bytes(16))


def described(*attributes: bytes) -> bytes:
    """Return the kernel's answer that describes a table."""
    return message(NEW_TABLE, struct.pack("=BBH", 1, 0, 0) + b"".join(attributes))


class Netlink:
    """A netlink socket with its answers given."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, _size: int) -> bytes:
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("ä\n", "ac6f010e65c9ea739dbdaa21427edd5ef60c6d461ef4d619c003e3ab62453a56"),
    ],
)
def test_digest(text: str, found: str) -> None:
    assert daemon.digest(text) == found


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        pytest.param(b"", struct.pack("=HH", 4, 7), id="empty"),
        pytest.param(b"abc", struct.pack("=HH", 7, 7) + b"abc\0", id="padded"),
        pytest.param(b"abcd", struct.pack("=HH", 8, 7) + b"abcd", id="not_padded"),
        pytest.param(b"abcde", struct.pack("=HH", 9, 7) + b"abcde\0\0\0", id="padded_by_three"),
    ],
)
def test_attribute(value: bytes, encoded: bytes) -> None:
    assert daemon._attribute(7, value) == encoded


def test_message() -> None:
    header = struct.pack("=IHHII", 24, 0xA01, 1, 5, 0)
    assert daemon._message(0xA01, 1, 5, 7, 10, b"body") == header + b"\7\0\0\12body"
    assert daemon._message(0x10, 1, 1, 0, 10) == struct.pack("=IHHII", 20, 0x10, 1, 1, 0) + b"\0\0\0\12"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(message(2, b"abcd"), [(2, b"abcd")], id="one"),
        pytest.param(message(2, b""), [(2, b"")], id="without_payload"),
        pytest.param(
            message(2, b"a") + message(3, b"abcdef") + message(4, b"x" * 8),
            [(2, b"a"), (3, b"abcdef"), (4, b"x" * 8)],
            id="padded",
        ),
        pytest.param(message(2, b"abcd") + bytes(15), [(2, b"abcd")], id="too_short_for_another"),
    ],
)
def test_messages(data: bytes, found: list) -> None:
    assert daemon._messages(data) == found


FLAGS, OWNER = attribute(2, struct.pack(">I", 6)), attribute(7, struct.pack(">I", 4711))
NAME = attribute(1, b"aztec_prover\0")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        pytest.param(described(NAME, FLAGS, attribute(3, b"\0\0\0\1"), OWNER), (6, 4711), id="has_owner"),
        pytest.param(described(NAME, FLAGS), (6, 0), id="without_owner"),
        pytest.param(described(NAME), (0, 0), id="without_flags"),
        pytest.param(described(), (0, 0), id="without_attributes"),
        pytest.param(described(OWNER, FLAGS) + described(NAME), (6, 4711), id="the_first_message_counts"),
        pytest.param(described(attribute(1, b"a\0"), attribute(9, b""), OWNER), (0, 4711), id="padded"),
        pytest.param(described(OWNER, attribute(2, b"\0\0\0\6\0")), (0, 4711), id="no_number"),
        pytest.param(described(attribute(9, b""), bytes(3)), (0, 0), id="too_short_for_an_attribute"),
        pytest.param(refusal(errno.ENOENT), None, id="no_table"),
    ],
)
def test_table_info(answer: bytes, found: tuple | None) -> None:
    assert daemon.table_info(Netlink(answer), "inet") == found


@pytest.mark.parametrize(("family", "number"), [("inet", 1), ("bridge", 7)])
def test_what_the_kernel_is_queried(family: str, number: int) -> None:
    netlink = Netlink(described(), described())
    daemon.table_info(netlink, family)
    daemon.table_info(netlink, family, "abc")
    head = bytes((number, 0, 0, 0))
    assert netlink.sent == [
        struct.pack("=IHHII", 40, GET_TABLE, 1, 1, 0) + head + NAME,
        struct.pack("=IHHII", 28, GET_TABLE, 1, 1, 0) + head + attribute(1, b"abc\0"),
    ]


def test_an_error_of_the_kernel_names_the_table() -> None:
    with pytest.raises(daemon.Failed, match=r"^reading table bridge x from the kernel failed: Operation not perm"):
        daemon.table_info(Netlink(refusal(errno.EPERM)), "bridge", "x")


@pytest.mark.parametrize(
    ("answer", "owner"),
    [
        pytest.param(described(FLAGS, OWNER), 4711, id="process"),
        pytest.param(described(FLAGS), 0, id="none"),
        pytest.param(refusal(errno.ENOENT), None, id="no_table"),
    ],
)
def test_owner_of(monkeypatch: pytest.MonkeyPatch, answer: bytes, owner: int | None) -> None:
    netlink = Netlink(answer, answer)
    monkeypatch.setattr(daemon, "netlink_socket", lambda: netlink)
    assert [daemon.owner_of("inet"), daemon.owner_of("bridge", "abc")] == [owner, owner]
    assert NAME in netlink.sent[0] and b"abc\0" in netlink.sent[1]


@pytest.mark.parametrize("number", [0, 1, 0xFFFFFFFF])
def test_generation(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    answer = described(attribute(2, struct.pack(">I", 9)), attribute(1, struct.pack(">I", number)), NAME)
    netlink = Netlink(answer + described())
    monkeypatch.setattr(daemon, "netlink_socket", lambda: netlink)
    assert daemon.generation() == number
    assert netlink.sent == [struct.pack("=IHHII", 20, 0xA10, 1, 1, 0) + bytes(4)]


def test_a_generation_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "netlink_socket", lambda: Netlink(refusal(errno.EPERM)))
    with pytest.raises(daemon.Failed, match=r"the ruleset from the kernel failed: Operation not permitted$"):
        daemon.generation()


def nftables(*answers: bytes) -> tuple[daemon.Nftables, Netlink]:
    """Return libnftables without its library, and its socket."""
    found = object.__new__(daemon.Nftables)
    found._netlink = Netlink(*answers)
    return found, found._netlink


class Shared:
    """libnftables.so up to the creation of a context: it opens one socket, in addition to the existing ones."""

    def __init__(self, name: str) -> None:
        assert name == "libnftables.so.1"
        self.called: list[tuple] = []

    def __getattr__(self, name: str):
        def call(*arguments: object) -> object:
            self.called.append((name, *[getattr(argument, "value", argument) for argument in arguments]))
            if name == "nft_ctx_new":
                self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                return 4096
            return 0

        setattr(self, name, call)
        return call


def test_the_library_s_socket_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = []
    monkeypatch.setattr(daemon.ctypes, "CDLL", lambda name: libraries.append(Shared(name)) or libraries[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM):
        found = daemon.Nftables()
    (library,) = libraries
    inodes = {os.fstat(one.fileno()).st_ino for one in (found._netlink, library.socket)}
    assert len(inodes) == 1 and found._netlink.fileno() != library.socket.fileno()
    assert found._netlink.gettimeout() == 5
    # Output without counters, as they differ from one moment to the next.
    assert library.called == [
        ("nft_ctx_new", 0),
        ("nft_ctx_buffer_output", 4096),
        ("nft_ctx_buffer_error", 4096),
        ("nft_ctx_output_set_flags", 4096, 4),
    ]
    found.close()
    assert found._netlink.fileno() == -1
    assert library.called[-1] == ("nft_ctx_free", 4096)
    library.socket.close()


class Opened:
    """A socket that records its arguments."""

    def __init__(self, *kind: int) -> None:
        self.did: list[tuple] = [kind]

    def bind(self, address: tuple) -> None:
        self.did.append(("bind", address))

    def settimeout(self, seconds: float) -> None:
        self.did.append(("settimeout", seconds))


@pytest.mark.parametrize(("groups", "mask"), [((), 0), ((64,), 64)])
def test_a_netlink_socket(monkeypatch: pytest.MonkeyPatch, groups: tuple, mask: int) -> None:
    monkeypatch.setattr(daemon.socket, "socket", Opened)
    found = daemon.netlink_socket(*groups)
    # linux/netlink.h: NETLINK_NETFILTER is 12.
    assert found.did == [(socket.AF_NETLINK, socket.SOCK_RAW, 12), ("bind", (0, mask)), ("settimeout", 2)]


ONE, TWO = (NEW_TABLE, "inet", attribute(1, b"one\0")), (DELETE_TABLE, "bridge", attribute(1, b"two\0"))


def test_a_batch_is_one_transaction() -> None:
    library, netlink = nftables(refusal(0) + refusal(0))
    assert library.batch(ONE, TWO) == 0
    assert netlink.sent == [
        struct.pack("=IHHII", 20, 0x10, 1, 1, 0)
        + b"\0\0\0\12"
        + struct.pack("=IHHII", 28, NEW_TABLE, 0x405, 2, 0)
        + b"\1\0\0\0"
        + ONE[2]
        + struct.pack("=IHHII", 28, DELETE_TABLE, 0x405, 3, 0)
        + b"\7\0\0\0"
        + TWO[2]
        + struct.pack("=IHHII", 20, 0x11, 1, 4, 0)
        + b"\0\0\0\12"
    ]


@pytest.mark.parametrize(
    ("answers", "number"),
    [
        pytest.param([refusal(0), refusal(0)], 0, id="accepted"),
        pytest.param([refusal(errno.EPERM) + refusal(errno.ENOENT)], errno.EPERM, id="both_refused"),
        pytest.param([refusal(0), refusal(errno.EOPNOTSUPP)], errno.EOPNOTSUPP, id="the_second_refused"),
        pytest.param([refusal(errno.EPERM), refusal(0)], errno.EPERM, id="the_first_refused"),
        pytest.param([described(FLAGS) + refusal(0), described(), refusal(0)], 0, id="other_messages_between"),
    ],
)
def test_first_error_of_a_batch(answers: list[bytes], number: int) -> None:
    library, netlink = nftables(*answers)
    assert library.batch(ONE, TWO) == number
    assert netlink.answers == []


class Library:
    """libnftables.so with given answers."""

    def __init__(self, code: int, output: bytes | None = None, errors: bytes | None = None) -> None:
        self.code, self.output, self.errors, self.commands = code, output, errors, []

    def nft_run_cmd_from_buffer(self, _context: object, commands: bytes) -> int:
        self.commands.append(commands)
        return self.code

    def nft_ctx_get_error_buffer(self, _context: object) -> bytes | None:
        return self.errors

    def nft_ctx_get_output_buffer(self, _context: object) -> bytes | None:
        return self.output


def run(library: Library) -> str:
    """Run a command with a library."""
    found, _netlink = nftables()
    found._context, found._library = None, library
    return found.run("list tables ä")


def test_a_command_is_run() -> None:
    library = Library(0, b"table inet x \xff\n")
    assert run(library) == "table inet x \ufffd\n"
    assert library.commands == ["list tables ä".encode()]
    assert run(Library(0)) == ""


@pytest.mark.parametrize(
    ("errors", "line"),
    [
        (b"Error: syntax error\nlist\n   ^^^^\n", "Error: syntax error list ^^^^"),
        (b"x" * 301, "x" * 300),
        (b"\n", "libnftables returned no reason"),
        (None, "libnftables returned no reason"),
    ],
)
def test_a_refused_command_is_one_line(errors: bytes | None, line: str) -> None:
    with pytest.raises(daemon.Failed) as refused:
        run(Library(1, b"", errors))
    assert str(refused.value) == line


OWNER_ATTRIBUTES = NAME + attribute(2, struct.pack(">I", OWNER_FLAG | PERSIST_FLAG))


def test_attributes_of_an_has_owner_table() -> None:
    assert daemon.owner_attributes("aztec_prover") == OWNER_ATTRIBUTES


class Tried:
    """Answer one batch and record that it was closed."""

    def __init__(self, number: int) -> None:
        self.number, self.closed, self.messages = number, False, ()

    def batch(self, *messages: tuple) -> int:
        self.messages = messages
        return self.number

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("number", "accepted"), [(0, True), (errno.EOPNOTSUPP, False), (errno.EINVAL, False), (errno.ENOMEM, False)]
)
def test_accepts_persist(monkeypatch: pytest.MonkeyPatch, number: int, accepted: bool) -> None:
    tried = Tried(number)
    monkeypatch.setattr(daemon, "Nftables", lambda: tried)
    assert daemon.accepts_persist() is accepted
    assert tried.closed
    name = attribute(1, f"aztec_prover_try_{os.getpid()}\0".encode())
    assert tried.messages == ((NEW_TABLE, "inet", name + OWNER_ATTRIBUTES[len(NAME) :]), (DELETE_TABLE, "inet", name))


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_a_process_that_may_not_speak_to_nf_tables(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    tried = Tried(number)
    monkeypatch.setattr(daemon, "Nftables", lambda: tried)
    with pytest.raises(daemon.Failed, match="run it as root with CAP_NET_ADMIN"):
        daemon.accepts_persist()
    assert tried.closed


class Kernel:
    """Keep the two tables as listings, and accept commands as Nftables does."""

    def __init__(self) -> None:
        self.tables: dict[str, str] = {}
        self.owners: dict[str, tuple[int, int]] = {}
        self.ran: list[str] = []
        self.sets: dict[str, str] = {}
        self.batches: list[tuple] = []
        self.refuses, self.number = "", 0
        self.generation, self.others = 0xFFFFFFFF, 0

    def run(self, commands: str) -> str:
        if commands.startswith("list table "):
            family = commands.split()[2]
            assert commands == f"list table {family} aztec_prover"
            if family not in self.tables:
                raise daemon.Failed("No such file or directory")
            return self.tables[family]
        if commands.startswith("list set inet aztec_prover "):
            if commands.split()[-1] not in self.sets:
                raise daemon.Failed("No such file or directory")
            return self.sets[commands.split()[-1]]
        if self.refuses:
            raise daemon.Failed(self.refuses)
        self.ran.append(commands)
        self.generation = (self.generation + 1 + self.others) % 2**32
        for family in daemon.FAMILIES:
            self.tables[family] = f"table {family} aztec_prover {{\n}}\n"
        return ""

    def batch(self, *messages: tuple) -> int:
        self.batches.append(messages)
        return self.number


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Return the kernel that each Guard of the test has."""
    one = Kernel()
    monkeypatch.setattr(daemon, "Nftables", lambda: one)
    monkeypatch.setattr(daemon, "netlink_socket", lambda groups=0: Netlink())
    monkeypatch.setattr(daemon, "table_info", lambda netlink, family: one.owners.get(family))
    monkeypatch.setattr(daemon, "generation", lambda: one.generation)
    return one


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return the file of rules."""
    file = tmp_path / "table.nft"
    file.write_text("add chain inet aztec_prover ä\n", encoding="utf-8")
    return file


def test_load_where_nothing_is_there(kernel: Kernel, rules: Path) -> None:
    guard = daemon.Guard(str(rules), daemon.OWNER)
    assert (guard.intact(), guard.text, guard.listing) == (False, "", "")
    guard.load()
    assert kernel.ran == [
        "add table inet aztec_prover\nadd table bridge aztec_prover\nadd chain inet aztec_prover ä\n",
    ]
    assert (guard.intact(), guard.text) == (True, rules.read_text(encoding="utf-8"))
    assert guard.listing == "table inet aztec_prover {\n}\ntable bridge aztec_prover {\n}\n"


LISTED = """\
table inet aztec_prover { # progname python3
\tset v4_tcp_8080 {
\t\ttype ipv4_addr
\t}

\tset v6 {
\t}

\tchain to_host {
\t\ttcp dport 8080 iifname { "chain x" } accept
\t}

\tchain prerouting {
\t\ttype filter hook prerouting priority -140; policy accept;
\t}
}
"""


def test_load_replaces_what_is_there(kernel: Kernel, rules: Path) -> None:
    kernel.tables["inet"] = LISTED
    daemon.Guard(str(rules), daemon.OWNER).load()
    assert kernel.ran == [
        "\n".join(
            [
                "flush table inet aztec_prover",
                "delete chain inet aztec_prover to_host",
                "delete chain inet aztec_prover prerouting",
                "delete set inet aztec_prover v4_tcp_8080",
                "delete set inet aztec_prover v6",
                "add table bridge aztec_prover",
                "add chain inet aztec_prover ä",
                "",
            ]
        )
    ]


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize(("mechanism", "counts"), [(daemon.OWNER, True), (daemon.WATCH, False)])
def test_a_change_by_others_during_a_load(
    kernel: Kernel, rules: Path, mechanism: str, counts: bool, others: int
) -> None:
    guard = daemon.Guard(str(rules), mechanism)
    kernel.others = others
    guard.load()
    assert guard.intact() is (counts or not others)
    kernel.others = 0
    guard.restore()
    assert guard.intact()
    assert len(kernel.ran) == (1 if counts or not others else 2)


def test_shown_families(kernel: Kernel) -> None:
    guard = daemon.Guard("", daemon.OWNER)
    assert (guard.shown(), guard.shown("inet")) == ("", "")
    kernel.tables = {"inet": "one\n", "bridge": "two\n"}
    assert (guard.shown(), guard.shown("bridge"), guard.shown("bridge", "inet")) == (
        "one\ntwo\n",
        "two\n",
        "two\none\n",
    )


def harm_none(kernel: Kernel) -> None:
    """Change nothing."""


def harm_change(kernel: Kernel) -> None:
    """Change a table."""
    kernel.tables["bridge"] += "\n"


def harm_remove(kernel: Kernel) -> None:
    """Remove a table."""
    del kernel.tables["inet"]


@pytest.mark.parametrize(
    ("harm", "intact"),
    [
        pytest.param(harm_none, True, id="none"),
        pytest.param(harm_change, False, id="changed"),
        pytest.param(harm_remove, False, id="removed"),
        pytest.param(lambda kernel: kernel.tables.clear(), False, id="flushed"),
    ],
)
def test_restore(kernel: Kernel, rules: Path, capsys: pytest.CaptureFixture, harm, intact: bool) -> None:
    guard = daemon.Guard(str(rules), daemon.WATCH)
    guard.load()
    harm(kernel)
    assert guard.intact() is intact
    guard.restore()
    assert guard.intact()
    assert len(kernel.ran) == (1 if intact else 2)
    assert capsys.readouterr().err == ("" if intact else "another process changed the tables: loaded them again\n")


class Log:
    """A stream that only passes on flushed text, as a pipe to the journal does."""

    def __init__(self) -> None:
        self.waits, self.text = "", ""

    def write(self, text: str) -> None:
        self.waits += text

    def flush(self) -> None:
        self.text, self.waits = self.text + self.waits, ""


def test_what_is_restored_is_logged_at_once(kernel: Kernel, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(sys, "stderr", log)
    guard = daemon.Guard(str(rules), daemon.WATCH)
    guard.restore()
    rules.unlink()
    kernel.tables.clear()
    guard.restore()
    assert (log.waits, len(log.text.splitlines())) == ("", 2)


@pytest.mark.parametrize("missing", [True, False], ids=["no_file", "refused"])
def test_restore_that_fails(kernel: Kernel, rules: Path, capsys: pytest.CaptureFixture, missing: bool) -> None:
    guard = daemon.Guard(str(rules), daemon.WATCH)
    guard.load()
    kernel.tables.clear()
    if missing:
        rules.unlink()
    else:
        kernel.refuses = "Device or resource busy"
    guard.restore()
    reported = capsys.readouterr().err
    assert reported.startswith("another process changed the tables and loading them failed: ")
    assert ("No such file" if missing else "resource busy") in reported
    assert not guard.intact()


NEW = [(NEW_TABLE, family, OWNER_ATTRIBUTES) for family in ("inet", "bridge")]
DELETE = {family: (DELETE_TABLE, family, NAME) for family in ("inet", "bridge")}


@pytest.mark.parametrize(
    ("owners", "messages"),
    [
        pytest.param({}, NEW, id="no_tables"),
        pytest.param({"inet": (PERSIST_FLAG, 0), "bridge": (PERSIST_FLAG, 0)}, NEW, id="left_by_an_earlier_process"),
        pytest.param(
            {"inet": (0, 0), "bridge": (1, 0)},
            [DELETE["inet"], NEW[0], DELETE["bridge"], NEW[1]],
            id="tables_without_persist",
        ),
        pytest.param({"bridge": (0, 0)}, [NEW[0], DELETE["bridge"], NEW[1]], id="one_table"),
    ],
)
def test_take(kernel: Kernel, owners: dict, messages: list) -> None:
    kernel.owners = owners
    daemon.Guard("", daemon.OWNER).take_ownership()
    assert kernel.batches == [tuple(messages)]


def test_a_watching_daemon_takes_nothing(kernel: Kernel) -> None:
    kernel.owners = {"inet": (6, 9)}
    daemon.Guard("", daemon.WATCH).take_ownership()
    assert kernel.batches == []


@pytest.mark.parametrize("family", ["inet", "bridge"])
def test_tables_of_another_process_are_not_taken(kernel: Kernel, family: str) -> None:
    kernel.owners = {family: (6, 9)}
    with pytest.raises(daemon.Failed, match=f"^table {family} aztec_prover belongs to process 9: end that process$"):
        daemon.Guard("", daemon.OWNER).take_ownership()
    assert kernel.batches == []


def test_a_kernel_that_refuses_ownership(kernel: Kernel) -> None:
    kernel.number = errno.EOPNOTSUPP
    with pytest.raises(daemon.Failed, match="does not let this process own the tables: Operation not supported"):
        daemon.Guard("", daemon.OWNER).take_ownership()


@pytest.mark.parametrize("mechanism", [daemon.OWNER, daemon.WATCH])
def test_answer(kernel: Kernel, rules: Path, mechanism: str) -> None:
    guard = daemon.Guard(str(rules), mechanism)
    guard.load()
    loaded = {
        "pid": os.getpid(),
        "program": daemon.digest(Path(daemon.__file__).read_text(encoding="utf-8")),
        "mechanism": mechanism,
        "digest": daemon.digest(rules.read_text(encoding="utf-8")),
        "intact": True,
        "denied": [],
        "problem": "",
    }
    assert guard.respond("state") == loaded
    rules.write_text("add chain inet aztec_prover x\n")
    assert guard.respond("state") == guard.respond("") == loaded
    assert len(kernel.ran) == 1
    assert guard.respond("reload") == {**loaded, "digest": daemon.digest(rules.read_text())}
    assert len(kernel.ran) == 2


def test_answer_to_a_reload_that_fails(kernel: Kernel, rules: Path) -> None:
    guard = daemon.Guard(str(rules), daemon.OWNER)
    guard.load()
    before = guard.respond("state")
    kernel.refuses = "syntax error"
    assert guard.respond("reload") == {**before, "problem": "syntax error"}
    kernel.refuses = ""
    rules.unlink()
    problem = guard.respond("reload")["problem"]
    assert "No such file or directory" in problem
    kernel.tables.clear()
    assert guard.respond("state") == {**before, "intact": False}


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a control socket, short enough for the kernel."""
    monkeypatch.chdir(tmp_path)
    return "control"


class Answers:
    """A guard that returns the command it received."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def respond(self, command: str) -> dict:
        self.commands.append(command)
        return {"command": command, "problem": "", "intact": True, "more": "x" * 200_000}


def test_query_and_serve_one(control: str) -> None:
    guard = Answers()
    with daemon.listen(control) as server:
        thread = threading.Thread(target=lambda: [daemon.serve_client(server, guard) for _time in range(2)])
        thread.start()
        found = [daemon.send_command(command, control) for command in ("state", "y" * 200)]
        thread.join()
    assert guard.commands == ["state", "y" * 200]
    assert [one["command"] for one in found] == guard.commands
    assert len(found[0]["more"]) == 200_000


def test_the_control_socket_is_root_s_only(control: str) -> None:
    before = os.umask(0o022)
    os.umask(before)
    for _time in range(2):
        with daemon.listen(control):
            assert os.stat(control).st_mode & 0o777 == 0o600
    assert os.umask(before) == before


def test_the_umask_is_given_back_where_the_socket_cannot_be_made(control: str) -> None:
    before = os.umask(0o022)
    try:
        with pytest.raises(OSError, match="No such file"):
            daemon.listen("nowhere/control")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_client_that_goes_away_is_let_go(control: str) -> None:
    with daemon.listen(control) as server:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(control)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        daemon.serve_client(server, Answers())


def test_bytes_that_are_not_text_are_answered_too(control: str) -> None:
    guard = Answers()
    with daemon.listen(control) as server, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(control)
        client.sendall(b"\xff")
        client.shutdown(socket.SHUT_WR)
        thread = threading.Thread(target=daemon.serve_client, args=(server, guard))
        thread.start()
        assert client.recv(10)
        client.close()
        thread.join()
    assert guard.commands == ["\ufffd"]


@pytest.mark.parametrize("reported", [None, b"", b"{", b"\xff"], ids=["none", "nothing", "cut_off", "no_text"])
def test_query_where_no_daemon_answers(control: str, reported: bytes | None) -> None:
    if reported is None:
        assert daemon.send_command("state", control) is None
        return
    with daemon.listen(control) as server:

        def serve() -> None:
            client, _address = server.accept()
            with client:
                client.recv(64)
                client.sendall(reported)

        thread = threading.Thread(target=serve)
        thread.start()
        assert daemon.send_command("state", control) is None
        thread.join()


def test_a_socket_that_none_serves(control: str) -> None:
    daemon.listen(control).close()
    assert daemon.send_command("state", control) is None


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_systemd_is_notified(control: str, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"aztec-test-{os.getpid()}" if abstract else control
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0{name}" if abstract else name)
        server.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        daemon.notify("READY=1\nSTATUS=x")
        assert server.recv(100) == b"READY=1\nSTATUS=x"


@pytest.mark.parametrize("value", [None, ""])
def test_without_systemd_none_is_notified(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    daemon.notify("READY=1")


class Ended(Exception):
    """Ends the daemon in a test."""


class Serving:
    """What serve() does with given sockets and given events."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, kernel: Kernel, persists: bool, *ready: tuple[str, ...]
    ) -> None:
        self.ready, self.pauses, self.served, self.notified = list(ready), [], 0, []
        self.groups: list[int] = []
        self.lost, self.received = False, 0
        self.kernel = kernel
        monkeypatch.setattr(daemon, "accepts_persist", lambda: persists)
        monkeypatch.setattr(daemon, "netlink_socket", self.netlink_socket)
        monkeypatch.setattr(daemon, "listen", lambda path: f"server at {path}")
        monkeypatch.setattr(daemon, "notify", self.notified.append)
        monkeypatch.setattr(daemon, "serve_client", self.serve_client)
        monkeypatch.setattr(daemon.select, "select", self.select)
        monkeypatch.delenv("AZTEC_PORT_GUARD", raising=False)

    def netlink_socket(self, groups: int = 0) -> object:
        if groups:
            assert self.kernel.ran == []
            self.groups.append(groups)
            return self
        return Netlink()

    def recv(self, _size: int) -> bytes:
        self.received += 1
        if self.lost:
            raise OSError(errno.ENOBUFS, "lost")
        return b"event"

    def serve_client(self, server: object, guard: daemon.Guard) -> None:
        assert (server, guard.text != "") == ("server at control", True)
        self.served += 1

    def select(self, sources: list, _writing: list, _wrong: list, pause: float | None) -> tuple:
        self.pauses.append(pause)
        if not self.ready:
            raise Ended
        names = self.ready.pop(0)
        self.kernel.tables.clear()
        return [one for one in sources if ("event" if one is self else "client") in names], [], []

    def run(self, rules: Path) -> None:
        """Serve until nothing more is ready."""
        with pytest.raises(Ended):
            daemon.serve(str(rules), "control")


def test_a_daemon_that_owns_the_tables(monkeypatch: pytest.MonkeyPatch, kernel: Kernel, rules: Path) -> None:
    serving = Serving(monkeypatch, kernel, True, ("client",), ("client",), ())
    serving.run(rules)
    assert (serving.served, serving.groups, serving.pauses) == (2, [], [None] * 4)
    assert (len(kernel.batches), len(kernel.ran)) == (1, 1)
    assert serving.notified == ["READY=1\nSTATUS=This process owns the tables inet and bridge aztec_prover"]


@pytest.mark.parametrize("lost", [False, True], ids=["event", "events_were_lost"])
@pytest.mark.parametrize("switch", [None, "watch"], ids=["old_kernel", "by_the_switch"])
def test_a_daemon_that_watches(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, rules: Path, lost: bool, switch: str | None
) -> None:
    ready = ("event",), (), ("client",), ("event", "client"), ("event", "client")
    serving = Serving(monkeypatch, kernel, switch is not None, *ready)
    serving.lost = lost
    if switch:
        monkeypatch.setenv("AZTEC_PORT_GUARD", switch)
    serving.run(rules)
    assert (serving.served, serving.received, serving.groups, serving.pauses) == (3, 3, [1 << 6], [1.0] * 6)
    assert (kernel.batches, len(kernel.ran)) == ([], 6)
    assert serving.notified == ["READY=1\nSTATUS=This process watches the tables inet and bridge aztec_prover"]


def test_another_value_of_the_switch_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, rules: Path
) -> None:
    serving = Serving(monkeypatch, kernel, True)
    monkeypatch.setenv("AZTEC_PORT_GUARD", "owner")
    serving.run(rules)
    assert serving.groups == []


STATE = {"problem": "", "intact": True, "pid": 7}


@pytest.mark.parametrize(
    ("answer", "code", "printed", "error"),
    [
        pytest.param(STATE, 0, json.dumps(STATE), "", id="well"),
        pytest.param({**STATE, "intact": False}, 1, json.dumps({**STATE, "intact": False}), "", id="changed"),
        pytest.param({**STATE, "problem": "syntax error"}, 1, "syntax error", "", id="refused"),
        pytest.param({**STATE, "problem": "x", "intact": False}, 1, "x", "", id="refused_and_changed"),
        pytest.param(None, 1, "", "aztec-port-guard: the daemon does not respond: see systemctl status", id="silent"),
    ],
)
@pytest.mark.parametrize("arguments", [["reload"], ["state", "/run/x"]], ids=["reload", "state"])
def test_main_queries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, arguments, answer, code, printed, error
) -> None:
    queried = []
    monkeypatch.setattr(sys, "argv", ["daemon.py", *arguments])
    monkeypatch.setattr(daemon, "send_command", lambda *given: (queried.append(list(given)), answer)[1])
    assert daemon.main() == code
    reported = capsys.readouterr()
    assert (reported.out.strip(), queried) == (printed, [arguments])
    assert reported.err.startswith(error) and bool(reported.err) == bool(error)


@pytest.mark.parametrize("arguments", [[], ["serve"], ["serve", "rules", "control"]])
@pytest.mark.parametrize("error", [daemon.Failed("it is refused"), OSError(1, "it is refused")])
def test_main_serves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, arguments, error) -> None:
    given = []

    def serve(*paths: str) -> None:
        given.append(list(paths))
        raise error

    monkeypatch.setattr(sys, "argv", ["daemon.py", *arguments])
    monkeypatch.setattr(daemon, "serve", serve)
    assert daemon.main() == 1
    assert given == [arguments[1:]]
    reported = capsys.readouterr().err
    assert reported.startswith("aztec-port-guard: ") and "it is refused" in reported


def test_sockets_of_this_process() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one, open(os.devnull, "rb") as other:
        found = daemon._sockets()
        assert found[os.readlink(f"/proc/self/fd/{one.fileno()}")] == one.fileno()
        assert other.fileno() not in found.values()
        assert all(link.startswith("socket:[") for link in found)


# Sets that packets fill

FILLED = """\
table inet aztec_prover {
\tset denied_v4 {
\t\ttype ipv4_addr
\t\tsize 1024
\t\tflags dynamic,timeout
\t\ttimeout 2m%s
\t}

\tset v4_tcp_8080 {
\t\ttype ipv4_addr
\t\tflags interval
\t\telements = { 10.0.0.2 }
\t}
}
"""
ELEMENTS = "\n\t\telements = { 10.0.0.4,\n\t\t\t     10.0.0.3 expires 1m2s }"


def test_what_packets_put_into_a_set_is_not_change(kernel: Kernel, rules: Path) -> None:
    guard = daemon.Guard(str(rules), daemon.WATCH)
    guard.load()
    kernel.tables["inet"] = FILLED % ""
    guard.listing = guard.shown()
    kernel.tables["inet"] = FILLED % ELEMENTS
    assert guard.intact()
    kernel.tables["inet"] = (FILLED % ELEMENTS).replace("10.0.0.2", "10.0.0.9")
    assert not guard.intact()


@pytest.mark.parametrize(
    ("text", "elements", "found"),
    [
        pytest.param("add set inet aztec_prover denied_v4 {", ELEMENTS, ["10.0.0.3", "10.0.0.4"], id="two"),
        pytest.param("add set inet aztec_prover denied_v4 {", "", [], id="none"),
        pytest.param("add chain inet aztec_prover x", ELEMENTS, [], id="no_set"),
    ],
)
def test_who_tries(kernel: Kernel, text: str, elements: str, found: list) -> None:
    guard = daemon.Guard("", daemon.OWNER)
    guard.text = text
    kernel.sets["denied_v4"] = FILLED % elements
    assert guard.denied() == found


def test_a_set_that_is_gone_names_none(kernel: Kernel) -> None:
    guard = daemon.Guard("", daemon.OWNER)
    guard.text = "add set inet aztec_prover denied_v6 {"
    assert guard.denied() == []
