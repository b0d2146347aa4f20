# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep the port guard's tables in the kernel. The module port_guard installs this file on a host as a program.

Where the kernel supports the table flags `owner` and `persist`, this process owns the tables: no other process can
change or remove them, not even root with `nft flush ruleset`, and they stay in the kernel when the process ends.
Otherwise, the process loads the tables again whenever another process changes them.

Requires only the standard library and libnftables.
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
# Prefix of the sets, one for each IP version, of removed sources that try to connect. Packets fill them.
DENIED = "denied_v"
# Families as nft names them, with the kernel's number (NFPROTO_*).
FAMILIES = {"inet": 1, "bridge": 7}
RULES = "/etc/aztec-port-guard/table.nft"
CONTROL = "/run/aztec-port-guard/control"
# For tests: AZTEC_PORT_GUARD=watch selects the behavior for a kernel without `persist`.
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
# Seconds between comparisons of the tables, in case an event is lost.
_PAUSE = 1.0


class Failed(Exception):
    """An error of the kernel or libnftables. The text is one line."""


def digest(text: str) -> str:
    """Return the digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _message(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes = b"") -> bytes:
    payload = struct.pack("=BBH", family, 0, socket.htons(resource)) + body
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 0) + payload


def _records(data: bytes, header: str, size: int) -> list[tuple[int, bytes]]:
    """Return (type, content) of each netlink message or attribute in data. header: length and type. size: its bytes."""
    found = []
    while len(data) >= size:
        length, kind = struct.unpack_from(header, data)
        found.append((kind, data[size:length]))
        data = data[(length + 3) & ~3 :]
    return found


def _messages(data: bytes) -> list[tuple[int, bytes]]:
    return _records(data, "=IH", 16)


def _numbers(payload: bytes) -> dict[int, int]:
    """Return the 32-bit attributes of an nf_tables message."""
    return {kind: int.from_bytes(one, "big") for kind, one in _records(payload[4:], "=HH", 4) if len(one) == 4}


def _name(text: str) -> bytes:
    return _attribute(_ATTRIBUTE_NAME, text.encode() + b"\0")


def _query(netlink: socket.socket, message: bytes, subject: str) -> dict[int, int] | None:
    """Return the numbers in the kernel's response to a message, None where the subject does not exist."""
    netlink.send(message)
    ((kind, payload),) = _messages(netlink.recv(65536))[:1]
    if kind != _ERROR:
        return _numbers(payload)
    code = -struct.unpack_from("=i", payload)[0]
    if code == errno.ENOENT:
        return None
    raise Failed(f"reading {subject} from the kernel failed: {os.strerror(code)}")


def table_info(netlink: socket.socket, family: str, table: str = TABLE) -> tuple[int, int] | None:
    """Return the flags of a table and the netlink port of its owner (0 for none), None where it does not exist."""
    message = _message(_GET_TABLE, _REQUEST, 1, FAMILIES[family], 0, _name(table))
    found = _query(netlink, message, f"table {family} {table}")
    return None if found is None else (found.get(_ATTRIBUTE_FLAGS, 0), found.get(_ATTRIBUTE_OWNER, 0))


def generation() -> int:
    """Return the generation of the ruleset, which each transaction of any process increments."""
    with netlink_socket() as netlink:
        found = _query(netlink, _message(_GET_GENERATION, _REQUEST, 1, 0, 0), "the generation of the ruleset")
    if found is None:
        raise Failed("the kernel returns no generation of the ruleset")
    return found[_ATTRIBUTE_GENERATION]


def netlink_socket(groups: int = 0) -> socket.socket:
    """Return a netlink socket for nf_tables, subscribed to the multicast groups of a mask."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    netlink.bind((0, groups))
    netlink.settimeout(2)
    return netlink


def owner_of(family: str, table: str = TABLE) -> int | None:
    """Return the PID of the owner of a table, 0 for none, None where the table does not exist.

    The port of a process' first netlink socket is its PID, and libnftables opens the first one here.
    """
    with netlink_socket() as netlink:
        found = table_info(netlink, family, table)
    return found[1] if found else None


def send_command(command: str, path: str = CONTROL) -> dict | None:
    """Send the daemon a command, `state` or `reload`, and return the response, None where no daemon responds."""
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
    """Return the file descriptors of this process' sockets, by the link in /proc."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        # The descriptor of the directory itself is already closed.
        with contextlib.suppress(FileNotFoundError):
            found[os.readlink(f"/proc/self/fd/{fd}")] = int(fd)
    return {link: number for link, number in found.items() if link.startswith("socket:")}


class Nftables:
    """libnftables, and custom messages on its netlink socket, which the kernel treats as the owner.

    The messages are required because nft's parser supports `persist` only from 1.1.1 on, the kernel from 6.9 on.
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
        # libnftables requires a non-blocking socket, which a timeout makes it.
        self._netlink.settimeout(5)

    def run(self, commands: str) -> str:
        """Run nft commands as one transaction and return what they print."""
        code = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        errors = self._library.nft_ctx_get_error_buffer(self._context) or b""
        output = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if code:
            raise Failed(" ".join(errors.decode(errors="replace").split())[:300] or "libnftables returned no reason")
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
        """Close the socket, which releases the tables that it owns."""
        self._netlink.close()
        self._library.nft_ctx_free(self._context)


def owner_attributes(table: str) -> bytes:
    """Return the attributes that create a table owned by this process, or adopt one whose owner has ended."""
    return _name(table) + _attribute(_ATTRIBUTE_FLAGS, struct.pack(">I", _FLAG_OWNER | _FLAG_PERSIST))


def accepts_persist() -> bool:
    """Return whether the kernel supports persistent tables with an owner, by creating one and removing it."""
    name = f"{TABLE}_try_{os.getpid()}"
    with contextlib.closing(Nftables()) as nftables:
        refused = nftables.batch((_NEW_TABLE, "inet", owner_attributes(name)), (_DELETE_TABLE, "inet", _name(name)))
    if refused in (errno.EPERM, errno.EACCES):
        raise Failed("the kernel denies this process access to nf_tables: run it as root with CAP_NET_ADMIN")
    return not refused


def log(line: str) -> None:
    """Write a line to the journal."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


# A set that packets fill, in the output of nft: everything before its elements, and the elements.
_FILLED = re.compile(rf"(\tset {DENIED}[46] {{[^{{}}]*)\n\t\telements = {{([^{{}}]*)}}")


class Guard:
    """The two tables, their rules and their owner."""

    def __init__(self, rules: str, mechanism: str) -> None:
        self.rules = rules
        self.mechanism = mechanism
        # The digest of the running program. The file can be replaced later.
        with open(__file__, encoding="utf-8") as file:
            self.program = digest(file.read())
        self.nftables = Nftables()
        self.text = ""
        self.listing = ""

    def take_ownership(self) -> None:
        """Adopt the tables of an earlier process, and replace tables without an owner."""
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
            messages.append((_NEW_TABLE, family, owner_attributes(TABLE)))
        refused = self.nftables.batch(*messages)
        if refused:
            raise Failed(f"the kernel does not let this process own the tables: {os.strerror(refused)}")

    def shown(self, *families: str) -> str:
        """Return the tables of some or all families in the kernel, '' where none exists.

        Counters, and the elements of sets that packets fill, are omitted.
        """
        parts = []
        for family in families or FAMILIES:
            with contextlib.suppress(Failed):
                parts.append(self.nftables.run(f"list table {family} {TABLE}"))
        return _FILLED.sub(r"\1", "".join(parts))

    def denied(self) -> list[str]:
        """Return the removed sources that tried to connect in the last 2 minutes."""
        found = []
        for version in (4, 6):
            if f"set inet {TABLE} {DENIED}{version} " in self.text:
                with contextlib.suppress(Failed):
                    listed = _FILLED.search(self.nftables.run(f"list set inet {TABLE} {DENIED}{version}"))
                    found += [one.split()[0] for one in listed.group(2).split(",")] if listed else []
        return sorted(found)

    def load(self) -> None:
        """Replace the rules in the kernel by those in the file, in one transaction."""
        with open(self.rules, encoding="utf-8") as file:
            text = file.read()
        before = generation()
        commands = []
        for family in FAMILIES:
            found = self.shown(family)
            # For an existing table, `add` would change its flags.
            commands.append(f"{'flush' if found else 'add'} table {family} {TABLE}")
            for kind in ("chain", "set"):
                names = re.findall(rf"^\t{kind} (\S+) {{", found, re.MULTILINE)
                commands += [f"delete {kind} {family} {TABLE} {name}" for name in names]
        self.nftables.run("\n".join([*commands, text]))
        listing = self.shown()
        # Without an owner, another process may have changed the tables since: the listing is then not reliable.
        unchanged = self.mechanism == OWNER or generation() == (before + 1) & 0xFFFFFFFF
        self.text, self.listing = text, listing if unchanged else ""

    def intact(self) -> bool:
        """Return whether the tables in the kernel are as they were loaded."""
        return bool(self.listing) and self.shown() == self.listing

    def restore(self) -> None:
        """Load the tables again where another process changed them."""
        if self.intact():
            return
        try:
            self.load()
            log("another process changed the tables: loaded them again")
        except (Failed, OSError) as error:
            log(f"another process changed the tables and loading them failed: {error}")

    def respond(self, command: str) -> dict:
        """Return the response to a command on the control socket."""
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
    """Send a notification to systemd, where it started this process."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect("\0" + address[1:] if address.startswith("@") else address)
            client.sendall(message.encode())


def listen(path: str) -> socket.socket:
    """Return the listening control socket, which only root can access."""
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


def serve_client(server: socket.socket, guard: Guard) -> None:
    """Serve one client. Ignore clients that disconnect or send nothing."""
    with contextlib.suppress(OSError):
        client, _address = server.accept()
        with client:
            client.settimeout(2)
            command = b"".join(iter(lambda: client.recv(64), b"")).decode(errors="replace")
            client.sendall(json.dumps(guard.respond(command)).encode())


def serve(rules: str = RULES, control: str = CONTROL) -> None:
    """Load the tables and keep them until the process ends."""
    watching = os.environ.get(SWITCH) == WATCH or not accepts_persist()
    guard = Guard(rules, WATCH if watching else OWNER)
    # Subscribe before the first load, so that no change is missed.
    events = netlink_socket(_EVENTS) if watching else None
    guard.take_ownership()
    guard.load()
    server = listen(control)
    verb = "watches" if watching else "owns"
    notify(f"READY=1\nSTATUS=This process {verb} the tables inet and bridge {TABLE}")
    sources = [server, *([events] if events else [])]
    while True:
        ready = select.select(sources, [], [], _PAUSE if events else None)[0]
        if server in ready:
            serve_client(server, guard)
        if events:
            if events in ready:
                # ENOBUFS means that events were lost, which requires a comparison as well.
                with contextlib.suppress(OSError):
                    events.recv(65536)
            guard.restore()


def main() -> int:
    """Run as a daemon, or send `reload` or `state` to the running daemon."""
    command, *paths = sys.argv[1:] or ["serve"]
    if command == "serve":
        try:
            serve(*paths)
        except (Failed, OSError) as error:
            log(f"aztec-port-guard: {error}")
        return 1
    response = send_command(command, *paths)
    if response is None:
        log("aztec-port-guard: the daemon does not respond: see systemctl status aztec-port-guard")
        return 1
    sys.stdout.write(f"{response['problem'] or json.dumps(response)}\n")
    return 1 if response["problem"] or not response["intact"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
