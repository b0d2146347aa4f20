# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep the port guard's tables in the kernel. The module port_guard installs this file on a host as a program.

Where the kernel knows the table flags `owner` and `persist`, the tables belong to this process: nobody else can remove
or change them, not even root with `nft flush ruleset`, and they stay as they are when the process ends. Where it does
not, the tables are plain, and the process loads them again as soon as somebody changes them.

Uses the standard library and libnftables alone, so that it runs on a host on which nothing else is installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import select
import socket
import struct
import sys

TABLE = "aztec_prover"
# Sets that packets fill, one for each IP version: sources that try to reach a port and are no longer admitted.
DENIED = "denied_v"
# Families as nft names them, with the kernel's number (NFPROTO_*).
FAMILIES = {"inet": 1, "bridge": 7}
RULES = "/etc/aztec-port-guard/table.nft"
CONTROL = "/run/aztec-port-guard/control"
# For tests: AZTEC_PORT_GUARD=watch behaves as on a kernel without `persist`.
SWITCH = "AZTEC_PORT_GUARD"

OWNER, WATCH = "owner", "watch"

# linux/netfilter/nfnetlink.h and nf_tables.h
_BATCH_BEGIN, _BATCH_END, _ERROR = 0x10, 0x11, 0x2
_NEW_TABLE, _GET_TABLE, _DELETE_TABLE, _GET_GENERATION = 0xA00, 0xA01, 0xA02, 0xA10
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_SUBSYSTEM = 10
_NETLINK_NETFILTER = 12
_ATTRIBUTE_NAME, _ATTRIBUTE_FLAGS, _ATTRIBUTE_OWNER = 1, 2, 7
_ATTRIBUTE_GENERATION = 1
_FLAG_OWNER, _FLAG_PERSIST = 0x2, 0x4
# Netlink multicast group NFNLGRP_NFTABLES, as the mask that bind() takes.
_EVENTS = 1 << 6
_STATELESS = 0x4
# Seconds after which the tables are compared without an event, in case one was lost.
_PAUSE = 1.0


class Failed(Exception):
    """What the kernel or libnftables refused, in one line."""


def digest(text: str) -> str:
    """Return the digest by which two texts of rules are compared."""
    return hashlib.sha256(text.encode()).hexdigest()


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _message(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes = b"") -> bytes:
    payload = struct.pack("=BBH", family, 0, socket.htons(resource)) + body
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 0) + payload


def _messages(data: bytes) -> list[tuple[int, bytes]]:
    """Split what a netlink socket received into (type, payload)."""
    found = []
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        found.append((kind, data[16:length]))
        data = data[(length + 3) & ~3 :]
    return found


def _numbers(payload: bytes) -> dict[int, int]:
    """Return the 32-bit attributes of a message of nf_tables."""
    found = {}
    rest = payload[4:]
    while len(rest) >= 4:
        length, attribute = struct.unpack_from("=HH", rest)
        if length == 8:
            found[attribute] = struct.unpack_from(">I", rest, 4)[0]
        rest = rest[(length + 3) & ~3 :]
    return found


def _name(text: str) -> bytes:
    return _attribute(_ATTRIBUTE_NAME, text.encode() + b"\0")


def table_info(netlink: socket.socket, family: str, table: str = TABLE) -> tuple[int, int] | None:
    """Return a table's flags and its owner's netlink port, 0 for none; None where there is no such table."""
    netlink.send(_message(_GET_TABLE, _REQUEST, 1, FAMILIES[family], 0, _name(table)))
    ((kind, payload),) = _messages(netlink.recv(65536))[:1]
    if kind == _ERROR:
        code = -struct.unpack_from("=i", payload)[0]
        if code == errno.ENOENT:
            return None
        raise Failed(f"asking the kernel for table {family} {table} failed: {os.strerror(code)}")
    values = _numbers(payload)
    return values.get(_ATTRIBUTE_FLAGS, 0), values.get(_ATTRIBUTE_OWNER, 0)


def generation() -> int:
    """Return the number of the ruleset's last change: each transaction, whoever makes it, adds one."""
    with netlink_socket() as netlink:
        netlink.send(_message(_GET_GENERATION, _REQUEST, 1, 0, 0))
        ((kind, payload),) = _messages(netlink.recv(65536))[:1]
    if kind == _ERROR:
        code = -struct.unpack_from("=i", payload)[0]
        raise Failed(f"asking the kernel for the ruleset's generation failed: {os.strerror(code)}")
    return _numbers(payload)[_ATTRIBUTE_GENERATION]


def netlink_socket(groups: int = 0) -> socket.socket:
    """Return a socket that speaks with nf_tables, subscribed to the multicast groups of a mask."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    netlink.bind((0, groups))
    netlink.settimeout(2)
    return netlink


def owner_of(family: str, table: str = TABLE) -> int | None:
    """Return the PID of the process that owns a table, 0 where nobody does, None where there is no such table.

    A process' first netlink socket has the PID as its port, and libnftables' is the first one here.
    """
    with netlink_socket() as netlink:
        found = table_info(netlink, family, table)
    return found[1] if found else None


def ask(command: str, path: str = CONTROL) -> dict | None:
    """Send the daemon a command, `state` or `reload`, and return its answer; None where no daemon answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(30)
        try:
            client.connect(path)
            client.sendall(command.encode())
            client.shutdown(socket.SHUT_WR)
            return json.loads(b"".join(iter(lambda: client.recv(65536), b"")))
        except (OSError, ValueError):
            return None


def _sockets() -> dict[str, int]:
    """Return this process' sockets: inode as the kernel shows it -> file descriptor."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        # The descriptor that lists the directory is closed by now.
        with contextlib.suppress(FileNotFoundError):
            found[os.readlink(f"/proc/self/fd/{fd}")] = int(fd)
    return {link: number for link, number in found.items() if link.startswith("socket:")}


class Nftables:
    """libnftables, and messages of our own on its netlink socket.

    The kernel takes the socket for the owner. The messages are needed because nft's parser knows `persist` only since
    1.1.1, while the kernel (6.9) does not ask which parser there is.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL("libnftables.so.1")
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
        library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        before = set(_sockets())
        self._context = ctypes.c_void_p(library.nft_ctx_new(0))
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_output_set_flags(self._context, _STATELESS)
        self._library = library
        (number,) = (number for link, number in _sockets().items() if link not in before)
        self._netlink = socket.socket(fileno=os.dup(number))
        # libnftables wants its socket non-blocking, as a time-out makes it.
        self._netlink.settimeout(5)

    def run(self, commands: str) -> str:
        """Run nft commands as one transaction and return what they print."""
        code = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        errors = self._library.nft_ctx_get_error_buffer(self._context) or b""
        output = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if code:
            raise Failed(" ".join(errors.decode(errors="replace").split())[:300] or "libnftables gives no reason")
        return output.decode(errors="replace")

    def batch(self, *messages: tuple[int, str, bytes]) -> int:
        """Send messages (type, family, attributes) as one transaction and return the first error number, or 0."""
        whole = _message(_BATCH_BEGIN, _REQUEST, 1, 0, _SUBSYSTEM)
        for number, (kind, family, body) in enumerate(messages, 2):
            whole += _message(kind, _REQUEST | _ACK | _CREATE, number, FAMILIES[family], 0, body)
        whole += _message(_BATCH_END, _REQUEST, len(messages) + 2, 0, _SUBSYSTEM)
        self._netlink.send(whole)
        answered, first = 0, 0
        while answered < len(messages):
            for kind, payload in _messages(self._netlink.recv(65536)):
                if kind == _ERROR:
                    answered += 1
                    first = first or -struct.unpack_from("=i", payload)[0]
        return first

    def close(self) -> None:
        """Give the socket up, and with it what it owns."""
        self._netlink.close()
        self._library.nft_ctx_free(self._context)


def owned(table: str) -> bytes:
    """Return the attributes that make a table this process' own, or let it adopt one whose owner has ended."""
    return _name(table) + _attribute(_ATTRIBUTE_FLAGS, struct.pack(">I", _FLAG_OWNER | _FLAG_PERSIST))


def accepts_persist() -> bool:
    """Tell whether the kernel takes a table with an owner that outlives it: by a table that is removed again."""
    nftables = Nftables()
    try:
        name = f"{TABLE}_try_{os.getpid()}"
        refused = nftables.batch((_NEW_TABLE, "inet", owned(name)), (_DELETE_TABLE, "inet", _name(name)))
    finally:
        nftables.close()
    if refused in (errno.EPERM, errno.EACCES):
        raise Failed("the kernel refuses nf_tables to this process: run it as root with CAP_NET_ADMIN")
    return not refused


def log(line: str) -> None:
    """Write a line for the journal."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


# A set that packets fill, as nft shows it: all before its elements, and these.
_FILLED = re.compile(rf"(\tset {DENIED}[46] {{[^{{}}]*)\n\t\telements = {{([^{{}}]*)}}")


class Guard:
    """The two tables, their text and who keeps them."""

    def __init__(self, rules: str, mechanism: str) -> None:
        self.rules = rules
        self.mechanism = mechanism
        # What runs here: the file may be replaced later.
        with open(__file__, encoding="utf-8") as file:
            self.program = digest(file.read())
        self.nftables = Nftables()
        self.text = ""
        self.listing = ""

    def take(self) -> None:
        """Make the tables this process' own: adopt what an earlier process left, replace what nobody owned."""
        if self.mechanism != OWNER:
            return
        messages = []
        for family in FAMILIES:
            with netlink_socket() as netlink:
                found = table_info(netlink, family)
            if found and found[1]:
                raise Failed(f"table {family} {TABLE} belongs to process {found[1]}: end that process")
            if found and not found[0] & _FLAG_PERSIST:
                messages.append((_DELETE_TABLE, family, _name(TABLE)))
            messages.append((_NEW_TABLE, family, owned(TABLE)))
        refused = self.nftables.batch(*messages)
        if refused:
            raise Failed(f"the kernel refuses to let this process own the tables: {os.strerror(refused)}")

    def shown(self, *families: str) -> str:
        """Return the tables of some or all families as the kernel has them; '' for one not there.

        Without what packets change: counters, and the elements of the sets that they fill.
        """
        parts = []
        for family in families or FAMILIES:
            with contextlib.suppress(Failed):
                parts.append(self.nftables.run(f"list table {family} {TABLE}"))
        return _FILLED.sub(r"\1", "".join(parts))

    def denied(self) -> list[str]:
        """Return the addresses that are no longer admitted and tried to reach a port within the last 2 minutes."""
        found = []
        for version in (4, 6):
            if f"set inet {TABLE} {DENIED}{version} " in self.text:
                with contextlib.suppress(Failed):
                    listed = _FILLED.search(self.nftables.run(f"list set inet {TABLE} {DENIED}{version}"))
                    found += [one.split()[0] for one in listed.group(2).split(",")] if listed else []
        return sorted(found)

    def load(self) -> None:
        """Bring the tables to the file's rules, in one transaction that also removes what was there."""
        with open(self.rules, encoding="utf-8") as file:
            text = file.read()
        before = generation()
        commands = []
        for family in FAMILIES:
            found = self.shown(family)
            # Stated for a table that is there, it would ask the kernel to change the table's flags.
            commands.append(f"{'flush' if found else 'add'} table {family} {TABLE}")
            for kind in ("chain", "set"):
                names = re.findall(rf"^\t{kind} (\S+) {{", found, re.MULTILINE)
                commands += [f"delete {kind} {family} {TABLE} {name}" for name in names]
        self.nftables.run("\n".join([*commands, text]))
        listing = self.shown()
        # Where nobody owns the tables, somebody may have changed them meanwhile: the listing then says nothing.
        alone = self.mechanism == OWNER or generation() == (before + 1) & 0xFFFFFFFF
        self.text, self.listing = text, listing if alone else ""

    def intact(self) -> bool:
        """Tell whether the kernel has the tables as they were loaded."""
        return bool(self.listing) and self.shown() == self.listing

    def restore(self) -> None:
        """Load the tables again where somebody changed them."""
        if self.intact():
            return
        try:
            self.load()
            log("somebody changed the tables: loaded them again")
        except (Failed, OSError) as error:
            log(f"somebody changed the tables and loading them failed: {error}")

    def answer(self, command: str) -> dict:
        """Return what the control socket answers to a command."""
        problem = ""
        if command == "reload":
            try:
                self.load()
            except (Failed, OSError) as error:
                problem = str(error)
        return {
            "pid": os.getpid(),
            "program": self.program,
            "mechanism": self.mechanism,
            "digest": digest(self.text),
            "intact": self.intact(),
            "denied": self.denied(),
            "problem": problem,
        }


def notify(message: str) -> None:
    """Tell systemd something, where it started this process."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect("\0" + address[1:] if address.startswith("@") else address)
            client.sendall(message.encode())


def listen(path: str) -> socket.socket:
    """Return the listening control socket, which root alone can reach."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        server.bind(path)
    finally:
        os.umask(umask)
    server.listen(8)
    return server


def serve_one(server: socket.socket, guard: Guard) -> None:
    """Answer one client; one that goes away or says nothing is let go."""
    with contextlib.suppress(OSError):
        client, _address = server.accept()
        with client:
            client.settimeout(2)
            command = b"".join(iter(lambda: client.recv(64), b"")).decode(errors="replace")
            client.sendall(json.dumps(guard.answer(command)).encode())


def serve(rules: str = RULES, control: str = CONTROL) -> None:
    """Load the tables and keep them until the process is ended."""
    watching = os.environ.get(SWITCH) == WATCH or not accepts_persist()
    guard = Guard(rules, WATCH if watching else OWNER)
    # Before the first load, so that no change is missed.
    events = netlink_socket(_EVENTS) if watching else None
    guard.take()
    guard.load()
    server = listen(control)
    kept = "watches" if watching else "owns"
    notify(f"READY=1\nSTATUS=This process {kept} the tables inet and bridge {TABLE}")
    sources = [server, *([events] if events else [])]
    while True:
        ready = select.select(sources, [], [], _PAUSE if events else None)[0]
        if server in ready:
            serve_one(server, guard)
        if events:
            if events in ready:
                # ENOBUFS says that events were lost, which calls for a comparison as well.
                with contextlib.suppress(OSError):
                    events.recv(65536)
            guard.restore()


def main() -> int:
    """Run as a daemon, or with `reload` or `state` ask the daemon that runs."""
    command, *paths = sys.argv[1:] or ["serve"]
    if command == "serve":
        try:
            serve(*paths)
        except (Failed, OSError) as error:
            log(f"aztec-port-guard: {error}")
        return 1
    answer = ask(command, *paths)
    if answer is None:
        log("aztec-port-guard: the daemon does not answer: see systemctl status aztec-port-guard")
        return 1
    sys.stdout.write(f"{answer['problem'] or json.dumps(answer)}\n")
    return 1 if answer["problem"] or not answer["intact"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
