"""The port guard in the kernel: hosts, a stranger and containers as network namespaces of their own.

Requires root, iproute2, util-linux, nft and libnftables. The guard's daemon runs as a process in the host's
namespace. Its unit is tested on the hosts of the lab. Every namespace and process is created here and removed at the
end. The ruleset of the machine is not used.

    agent ─┐               ┌─ aztec0 ─┬─ broker
           ├─ lan ── host ─┤          └─ node
 stranger ─┘               └─ br-other ── neighbour
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import selectors
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import daemon as guard_daemon
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft as guard
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.daemon import OWNER, WATCH
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard.host import (
    SYSTEM_PYTHON,
    Failed,
    Host,
    Service,
)

PREFIX = f"pg{os.getpid()}"
# Long enough for a connection whose first packet a busy machine loses: the kernel sends another after a second.
PATIENCE = 2.0
NAMES = ("lan", "host", "agent", "stranger", "broker", "node", "neighbour")
ADDRESS = {
    "host": ("10.66.0.1", "fd66::1"),
    "agent": ("10.66.0.2", "fd66::2"),
    "stranger": ("10.66.0.3", "fd66::3"),
    "broker": ("10.67.0.2", "fd67::2"),
    "node": ("10.67.0.3", "fd67::3"),
    "neighbour": ("10.68.0.2", "fd68::2"),
}
# Further addresses of the host, on which the operator runs something of his own.
ELSEWHERE = ("10.66.0.9", "fd66::9")
MAC = {"broker": "02:a2:7e:c0:00:02", "node": "02:a2:7e:c0:00:03"}
SERVED = {
    "host": [7000, 7001, 7500, 8080],
    "broker": [8080, 8880, 9000, 9001],
    "node": [8081, 8880, 9000, 40400],
    "neighbour": [8080],
    "stranger": [8080],
}
# On these the server does not wait for a question: it sends a dot every so often.
TALKING = (7001, 9001)
# What Docker writes for `-p 8080:8080 -p 8082:9000 -p 8083:9001 -p 127.0.0.1:8084:9000 -p 40400:40400`, tcp and udp.
# Of the containers' IPv6 the broker's is masqueraded and the node's is routed.
PUBLISHED = [
    ("fib daddr type local", 8080, "broker", 8080),
    ("fib daddr type local", 8082, "broker", 9000),
    ("fib daddr type local", 8083, "broker", 9001),
    ("ip daddr 127.0.0.1", 8084, "broker", 9000),
    ("fib daddr type local", 40400, "node", 40400),
]
DOCKER = "\n".join(
    [
        "table inet imitated_docker {",
        "  chain prerouting {",
        "    type nat hook prerouting priority dstnat; policy accept;",
        *(
            f'    {where} meta l4proto {{ tcp, udp }} th dport {port} iifname != "aztec0" '
            f"dnat {family} to {into}:{inside}"
            for where, port, name, inside in PUBLISHED
            for family, into in (("ip", ADDRESS[name][0]), ("ip6", f"[{ADDRESS[name][1]}]"))
            if not (family == "ip6" and where.startswith("ip "))
        ),
        "  }",
        "  chain postrouting {",
        "    type nat hook postrouting priority srcnat; policy accept;",
        f'    oifname "lan0" ip6 saddr != {ADDRESS["node"][1]} masquerade',
        '    oifname "lan0" meta nfproto ipv4 masquerade',
        "  }",
        "}",
        "",
    ]
)
PORTS = (7000, 7001, 8080, 8082, 8083)
CONTAINERS = [
    {"mac_address": MAC["node"], "ports": [8081, 8880]},
    {"mac_address": MAC["broker"], "ports": [8880]},
]
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
SWITCHES = Path("/proc/sys/net/bridge")
OWNER_ATTRIBUTES = pytest.mark.parametrize("daemon", [OWNER], indirect=True)
WATCHED = pytest.mark.parametrize("daemon", [WATCH], indirect=True)
BOTH = pytest.mark.parametrize("daemon", [OWNER, WATCH], indirect=True)


# The network


def sh(command: str, name: str | None = None, text: str | None = None) -> str:
    """Run a command line, in a namespace if one is named, and return its output."""
    words = command.split()
    if name:
        words = ["ip", "netns", "exec", PREFIX + name, *words]
    return subprocess.run(words, input=text, check=True, capture_output=True, text=True).stdout


def nft(commands: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run nft commands on the host, like any program of root, in one transaction."""
    words = ["ip", "netns", "exec", f"{PREFIX}host", "nft", "-f", "-"]
    return subprocess.run(words, input=commands, check=check, capture_output=True, text=True)


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Create the sockets of the block in a namespace."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{PREFIX}{name}") as there:
        assert LIBC.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert LIBC.setns(home.fileno(), CLONE_NEWNET) == 0


def new_socket(name: str, family: int, kind: int) -> socket.socket:
    with inside(name):
        return socket.socket(family, kind)


def family_of(target: str) -> int:
    return socket.AF_INET6 if ":" in target else socket.AF_INET


def link(left: str, left_device: str, right: str, right_device: str) -> None:
    sh(f"ip link add {left_device} netns {PREFIX}{left} type veth peer name {right_device} netns {PREFIX}{right}")


def bridge(name: str, device: str, member: str) -> None:
    if device not in sh("ip -br link", name):
        sh(f"ip link add {device} type bridge", name)
        sh(f"ip link set {device} up", name)
    sh(f"ip link set {member} master {device}", name)
    sh(f"ip link set {member} up", name)


def address(name: str, device: str, v4: str, v6: str) -> None:
    sh(f"ip addr replace {v4}/24 dev {device}", name)
    sh(f"ip addr replace {v6}/64 dev {device} nodad", name)
    sh(f"ip link set {device} up", name)


def build() -> None:
    for name in NAMES:
        sh(f"ip netns add {PREFIX}{name}")
        sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0", name)
        sh("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0", name)
        # A redirect would have the broker send to the node directly where a test requires a detour.
        sh("sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv6.conf.default.accept_redirects=0", name)
        sh("ip link set lo up", name)
    sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1", "host")
    bridge_netfilter(False)
    for name in ("host", "agent", "stranger"):
        link(name, "lan0", "lan", name)
        bridge("lan", "lan0", name)
        address(name, "lan0", *ADDRESS[name])
    address("host", "lan0", *ELSEWHERE)
    for name, device in (("broker", "aztec0"), ("node", "aztec0"), ("neighbour", "br-other")):
        link(name, "eth0", "host", name)
        if name in MAC:
            sh(f"ip link set eth0 address {MAC[name]}", name)
        bridge("host", device, name)
        v4, v6 = ADDRESS[name]
        gateway4, gateway6 = v4[:-1] + "1", v6[:-1] + "1"
        address("host", device, gateway4, gateway6)
        address(name, "eth0", v4, v6)
        sh(f"ip route add default via {gateway4}", name)
        sh(f"ip -6 route add default via {gateway6}", name)
        for outside in ("agent", "stranger"):
            sh(f"ip route add {v4}/32 via 10.66.0.1", outside)
            sh(f"ip route replace {gateway4}/32 via 10.66.0.1", outside)
            sh(f"ip -6 route add {v6}/128 via fd66::1", outside)
    # The stranger sends what is meant for the host's loopback address over the wire.
    sh("sysctl -qw net.ipv4.conf.all.route_localnet=1", "stranger")
    sh("ip addr del 127.0.0.1/8 dev lo", "stranger")
    sh("ip route add 127.0.0.1/32 via 10.66.0.1", "stranger")
    nft(DOCKER)


def bridge_netfilter(on: bool) -> bool:
    """Set whether iptables and the family inet filter what a bridge forwards. Return whether the kernel supports it."""
    if SWITCHES.is_dir():
        for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
            sh(f"sysctl -qw net.bridge.{name}={int(on)}", "host")
    return SWITCHES.is_dir()


class Echo(threading.Thread):
    """Answers on TCP and UDP ports of namespaces, over both address families, until it is stopped."""

    def __init__(self, served: dict[str, list[int]]) -> None:
        super().__init__(daemon=True)
        self.stopped = False
        self.selector = selectors.DefaultSelector()
        self.talking: set[socket.socket] = set()
        for name, ports in served.items():
            for port in ports:
                for kind, answer in ((socket.SOCK_STREAM, self.accept), (socket.SOCK_DGRAM, self.datagram)):
                    server = new_socket(name, socket.AF_INET6, kind)
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    server.bind(("::", port))
                    server.setblocking(False)
                    if kind == socket.SOCK_STREAM:
                        server.listen(256)
                    self.selector.register(server, selectors.EVENT_READ, answer)

    def accept(self, server: socket.socket) -> None:
        stream, _ = server.accept()
        stream.setblocking(False)
        self.selector.register(stream, selectors.EVENT_READ, self.stream)
        if server.getsockname()[1] in TALKING:
            self.talking.add(stream)

    def datagram(self, server: socket.socket) -> None:
        data, sender = server.recvfrom(65535)
        server.sendto(data, sender)

    def stream(self, stream: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = stream.recv(65535)
            if data:
                stream.send(data)
        if not data:
            self.selector.unregister(stream)
            self.talking.discard(stream)
            stream.close()

    def run(self) -> None:
        spoke = 0.0
        while not self.stopped:
            for key, _ in self.selector.select(0.05):
                with contextlib.suppress(OSError):
                    key.data(key.fileobj)
            if time.monotonic() - spoke > 0.05:
                spoke = time.monotonic()
                for stream in self.talking:
                    with contextlib.suppress(OSError):
                        stream.send(b".")
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    """Create the namespaces and their servers. Remove them at the end."""
    echo = None
    try:
        build()
        echo = Echo(SERVED)
        echo.start()
        yield
    finally:
        if echo:
            echo.stopped = True
            echo.join()
        for name in NAMES:
            subprocess.run(["ip", "netns", "delete", PREFIX + name], check=False, capture_output=True)


# The guard


class Daemon(Service):
    """The daemon as a process in the host's namespace, without systemd."""

    def __init__(self, root: Path, mechanism: str = "") -> None:
        self.root = root
        self.control = str(root / "control")
        self.mechanism = mechanism
        self.enabled = False
        self.process: subprocess.Popen | None = None

    def command_line(self, control: str) -> list[str]:
        """Return the command of a daemon that ends with this process, should it be killed."""
        python = SYSTEM_PYTHON if Path(SYSTEM_PYTHON).exists() else sys.executable
        program, rules = (str(self.root / name.lstrip("/")) for name in (guard.PROGRAM_FILE, guard.TABLE_FILE))
        namespace = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", f"{PREFIX}host"]
        return [*namespace, python, "-I", program, "serve", rules, control]

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, guard_daemon.SWITCH: self.mechanism, **more}

    def properties(self) -> dict[str, str]:
        running = self.process is not None and self.process.poll() is None
        return {
            "ActiveState": "active" if running else "inactive",
            "UnitFileState": "enabled" if self.enabled else "disabled",
        }

    def do(self, verb: str) -> None:
        if verb in ("enable", "disable"):
            self.enabled = verb == "enable"
        elif verb == "reload":
            assert guard_daemon.send_command("reload", self.control)
        else:
            self.stop()
            if verb != "stop":
                self.start()

    def daemon_reload(self) -> None:
        pass

    def state(self) -> dict | None:
        return guard_daemon.send_command("state", self.control)

    def owners(self) -> dict[str, int]:
        with inside("host"):
            return super().owners()

    def start(self) -> None:
        """Start the daemon and wait until it notifies, like systemd, that the tables are loaded."""
        ready = str(self.root / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(self.root / "errors", "a+") as errors:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(ready)
            notify.bind(ready)
            notify.settimeout(0.1)
            environment = self.environment(NOTIFY_SOCKET=ready)
            self.process = subprocess.Popen(self.command_line(self.control), env=environment, stderr=errors)
            deadline = time.monotonic() + 20
            while self.process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    assert notify.recv(1000).startswith(b"READY=1")
                    return
            errors.seek(0)
            raise AssertionError(f"the daemon does not start: {errors.read()}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send the daemon a signal and wait for its end."""
        if self.process:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def another(self) -> tuple[int, str]:
        """Start a second daemon next to the first one. Return its exit code and errors."""
        command = self.command_line(str(self.root / "control2"))
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=20)
        return done.returncode, done.stderr

    def keeps(self, text: str) -> bool:
        """Return whether the tables have these rules and belong to the process, or have no owner where it watches."""
        state = self.state()
        pid = self.process.pid if self.process and state and state["mechanism"] == OWNER else 0
        return (
            bool(state and state["intact"])
            and state["digest"] == guard_daemon.digest(text)
            and self.owners() == dict.fromkeys(guard_daemon.FAMILIES, pid)
        )


@pytest.fixture
def daemon(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """Return a daemon that is not started yet, with its files below a separate directory.

    Its mechanism is the kernel's best one, or the parameter of the test.
    """
    (tmp_path / "etc").mkdir()
    mechanism = getattr(request, "param", "")
    with inside("host"):
        if mechanism == OWNER and not guard_daemon.accepts_persist():
            pytest.skip("this kernel, older than 6.9, has no table whose owner's end it survives")
    daemon = Daemon(tmp_path, mechanism)
    yield daemon
    daemon.stop(signal.SIGKILL)
    unload()
    nft(f"table inet imitated_docker\ndelete table inet imitated_docker\n{DOCKER}")


@pytest.fixture
def host(daemon: Daemon) -> Callable[..., Host]:
    """Return a guard on the host's namespace, as one run of the module has it."""

    def run(command: list) -> tuple[int, str, str]:
        done = subprocess.run(["ip", "netns", "exec", f"{PREFIX}host", *command], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def make(check: bool = False) -> Host:
        return Host(run, nft=shutil.which("nft"), root=str(daemon.root), check=check, service=daemon)

    return make


def unload() -> None:
    """Remove the tables, which have no owner by then."""
    tables = re.findall(rf"^table (\w+) {guard.TABLE}$", sh("nft list tables", "host"), re.MULTILINE)
    nft("".join(f"delete table {family} {guard.TABLE}\n" for family in tables))


def shown() -> str:
    """Return the guard's rules as nft prints them, without counters and owner."""
    tables = "".join(sh(f"nft --stateless list table {family} {guard.TABLE}", "host") for family in ("inet", "bridge"))
    return re.sub(r" # progname .*|^\tflags.*\n+", "", tables, flags=re.MULTILINE)


def comes_back(before: str) -> bool:
    """Return whether the tables have certain rules within some time. The daemon is not queried, which would wake it."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if sh("nft list tables", "host").count(guard.TABLE) == 2 and shown() == before:
            return True
    return False


def ports(*sources: str, addresses: tuple[str, ...] = ()) -> list[dict]:
    return [
        {"port": port, "protocol": protocol, "sources": list(sources), "addresses": list(addresses)}
        for port in PORTS
        for protocol in ("tcp", "udp")
    ]


def section(*sources: str, name: str = "prover_broker", addresses: tuple[str, ...] = ()) -> guard.Section:
    return guard.section_of(name, ports(*sources, addresses=addresses), ["aztec0"], containers=CONTAINERS)


# Single attempts


class Target(NamedTuple):
    """The destination of a packet."""

    address: str
    port: int
    protocol: str = "tcp"
    size: int = 4


def targets_of(name: str, *numbers: int, protocols: tuple[str, ...] = ("tcp", "udp")) -> list[Target]:
    """Return the targets for ports of a host, over IPv4 and IPv6."""
    return [Target(target, port, protocol) for port in numbers for target in ADDRESS[name] for protocol in protocols]


def connection(source: str, target: str, port: int, from_port: int = 0) -> socket.socket:
    client = new_socket(source, family_of(target), socket.SOCK_STREAM)
    client.settimeout(PATIENCE)
    if from_port:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("", from_port))
    try:
        client.connect((target, port))
    except OSError:
        client.close()
        raise
    return client


def answers(client: socket.socket, size: int = 4) -> bool:
    """Return whether what is sent over a connection comes back."""
    deadline = time.monotonic() + PATIENCE
    try:
        client.sendall(b"x" * size)
        while time.monotonic() < deadline:
            data = client.recv(65535)
            if b"x" in data or not data:
                return bool(data)
    except OSError:
        pass
    return False


def reaches(source: str, target: str, port: int, protocol: str = "tcp", size: int = 4) -> bool:
    """Return whether a source gets an answer from a port."""
    if protocol == "tcp":
        try:
            with connection(source, target, port) as client:
                return answers(client, size)
        except OSError:
            return False
    with new_socket(source, family_of(target), socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE / 3)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            destination = (target, port)
            if target.startswith(("fe80:", "ff02:")):
                with inside(source):
                    destination = (target, port, 0, socket.if_nametoindex("lan0"))
            elif target == "255.255.255.255":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lan0")
            for _ in range(3):
                client.sendto(b"x" * size, destination)
                with contextlib.suppress(TimeoutError):
                    return bool(client.recv(65535))
        except OSError:
            pass
    return False


def at_once(test: Callable, items: list) -> list:
    """Return the items for which a slow function returns true, in their order. All calls run at the same time."""
    with ThreadPoolExecutor(len(items) or 1) as pool:
        return [item for item, answer in zip(items, pool.map(test, items)) if answer]


def reached(source: str, wanted: list[Target]) -> list[Target]:
    """Return the targets from which a source gets an answer. All are tried at the same time."""
    return at_once(lambda target: reaches(source, *target), wanted)


def link_local(name: str) -> str:
    return sh("ip -6 -br addr show dev lan0 scope link", name).split()[2].split("/")[0]


# Continuous attempts


class Traffic(threading.Thread):
    """Connects to ports in turn, without pause and at a steady rate, until the block that it is used with ends.

    A client that must be served expects an echo from each connection; `failed` has those without one. One that must
    be blocked notes in `reached` when each attempt began that had any answer, an accepted connection or a refusal, and
    holds what was accepted in `held`.
    """

    def __init__(self, source: str, targets: list[Target], served: bool, pause: float = 0.01) -> None:
        super().__init__(daemon=True)
        self.source, self.targets, self.served, self.pause = source, targets, served, pause
        self.patience = 5.0 if served else 0.3
        self.stopped = threading.Event()
        self.selector = selectors.DefaultSelector()
        self.begun = 0
        self.failed: list[tuple[Target, str]] = []
        self.reached: list[tuple[float, Target]] = []
        self.held: list[tuple[Target, socket.socket]] = []
        self.waiting: dict[socket.socket, tuple[float, Target]] = {}

    def __enter__(self) -> Traffic:
        self.first = time.monotonic()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()
        self.seconds = time.monotonic() - self.first

    def run(self) -> None:
        with inside(self.source):
            due = time.monotonic()
            while not self.stopped.is_set() or (self.served and self.waiting):
                now = time.monotonic()
                if now >= due and not self.stopped.is_set():
                    # Attempts that a busy machine has put off are made up for.
                    due += self.pause
                    self.begin(now)
                for key, event in self.selector.select(max(0.0, min(due - now, 0.02))):
                    self.proceed(key.fileobj, event)
                for client, (begun, target) in list(self.waiting.items()):
                    if now - begun < self.patience:
                        break
                    self.end(client, target, "no answer")
        for client, (_, target) in list(self.waiting.items()):
            self.end(client, target)
        self.selector.close()

    def begin(self, now: float) -> None:
        target = self.targets[self.begun % len(self.targets)]
        self.begun += 1
        client = socket.socket(family_of(target.address), socket.SOCK_STREAM)
        client.setblocking(False)
        # Ended with a reset: so many connections in TIME_WAIT would use up the ports.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.waiting[client] = (now, target)
        self.selector.register(client, selectors.EVENT_WRITE)
        error = client.connect_ex((target.address, target.port))
        if error not in (0, errno.EINPROGRESS):
            self.end(client, target, os.strerror(error))

    def proceed(self, client: socket.socket, event: int) -> None:
        begun, target = self.waiting[client]
        try:
            if event & selectors.EVENT_READ:
                data = client.recv(65535)
                if not data or b"x" in data:
                    self.end(client, target, "" if data else "closed")
                return
            error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            if self.served:
                client.send(b"x")
                self.selector.modify(client, selectors.EVENT_READ)
                return
            self.reached.append((begun, target))
            self.held.append((target, client))
            self.selector.unregister(client)
            del self.waiting[client]
        except OSError as problem:
            if isinstance(problem, ConnectionRefusedError):
                self.reached.append((begun, target))
            self.end(client, target, str(problem))

    def end(self, client: socket.socket, target: Target, problem: str = "") -> None:
        if problem:
            self.failed.append((target, problem))
        self.selector.unregister(client)
        del self.waiting[client]
        client.close()

    def release(self) -> None:
        """Close what was accepted."""
        while self.held:
            self.held.pop()[1].close()

    def rate(self) -> float:
        """Return the attempts a second."""
        return self.begun / self.seconds


@contextlib.contextmanager
def load(served: list[Target]) -> Iterator[None]:
    """Connect as the stranger and as the agent during the block, and assert that only the agent is answered."""
    shut = targets_of("host", 7000, 8080, protocols=("tcp",)) + targets_of("broker", 8080, 8880, protocols=("tcp",))
    with Traffic("stranger", shut, served=False) as stranger, Traffic("agent", served, served=True) as agent:
        # The block begins with attempts in progress.
        time.sleep(0.1)
        yield
        time.sleep(0.1)
    stranger.release()
    assert not stranger.reached
    assert not agent.failed
    assert stranger.rate() >= 50 and agent.rate() >= 50


USERLAND = targets_of("host", 7000, protocols=("tcp",))
TRANSLATED = targets_of("host", 8080, protocols=("tcp",))


# Who reaches what

# Targets that only certain sources may reach.
AT_THE_HOST = [
    *targets_of("host", 7000, 8080, 8082),
    Target("10.66.0.1", 7000, "udp", 4000),
    Target("fd66::1", 7000, "udp", 4000),
    *(Target(target, 7000) for target in ELSEWHERE),
    *(Target(target, 8080) for target in ELSEWHERE),
    Target("10.67.0.1", 7000),
    Target("10.68.0.1", 8080),
    Target("10.66.0.255", 7000, "udp"),
    Target("255.255.255.255", 7000, "udp"),
]
# Connections that are blocked from outside for all sources: no section lists 9000 and 40400.
FOR_NO_SOURCE = [
    *targets_of("broker", 8080, 8880, 9000),
    *targets_of("node", 8081, 8880, 40400),
    Target("10.67.0.2", 8080, "udp", 4000),
    Target("fd67::2", 8080, "udp", 4000),
]


@BOTH
def test_only_admitted_sources_reach_a_port(host, daemon: Daemon) -> None:
    assert reached("stranger", AT_THE_HOST) == AT_THE_HOST, "open without the guard, or the check proves nothing"
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert reached("stranger", AT_THE_HOST) == []
    assert reached("agent", AT_THE_HOST) == AT_THE_HOST
    daemon.stop()
    unload()
    assert reached("stranger", AT_THE_HOST) == AT_THE_HOST, "open again: it was the guard that shut it"


def test_none_outside_reaches_a_container_by_a_route(host, daemon: Daemon) -> None:
    assert reached("stranger", FOR_NO_SOURCE) == FOR_NO_SOURCE, "open without the guard, or the check proves nothing"
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert reached("stranger", FOR_NO_SOURCE) == []
    assert reached("agent", FOR_NO_SOURCE) == []
    daemon.stop()
    unload()
    assert reached("stranger", FOR_NO_SOURCE) == FOR_NO_SOURCE, "open again: it was the guard that shut it"


def test_link_local_and_multicast_sources_are_strangers_until_they_are_listed(host) -> None:
    """The source of a packet to an IPv6 multicast address is link-local, the agent's too."""
    wanted = [Target(link_local("host"), 7000, "udp"), Target("ff02::1", 7000, "udp")]
    assert reached("stranger", wanted) == wanted
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert reached("stranger", wanted) == []
    assert reached("agent", wanted) == []
    host().apply(section("fe80::/10"), present=True)
    assert reached("stranger", wanted) == wanted


def test_a_port_published_on_loopback_is_shut_to_neighbours(host) -> None:
    """The stranger sends packets for 127.0.0.1 over the wire, and the address translation takes them."""
    assert reaches("stranger", "127.0.0.1", 8084)
    listed = [{"port": 8084, "addresses": ["127.0.0.0/8", "::1"]}]
    host().apply(guard.section_of("prover_node", listed, ["aztec0"]), present=True)
    assert not reaches("stranger", "127.0.0.1", 8084)


def test_at_other_addresses_than_the_listed_ones_a_port_is_not_touched(host) -> None:
    listed = targets_of("host", 7000, 8080)
    others = [
        Target(target, port, protocol) for target in ELSEWHERE for port in (7000, 8080) for protocol in ("tcp", "udp")
    ] + [Target("10.68.0.1", 7000), *targets_of("neighbour", 8080)]
    host().apply(section(*ADDRESS["agent"], addresses=ADDRESS["host"]), present=True)
    assert reached("stranger", listed) == []
    assert reached("agent", listed) == listed
    assert reached("stranger", others) == others


@pytest.mark.parametrize(
    ("source", "target", "numbers"),
    [
        pytest.param("neighbour", "stranger", [8080], id="egress_of_another_bridge"),
        pytest.param("host", "stranger", [8080], id="egress_of_the_host"),
        pytest.param("stranger", "neighbour", [8080], id="forwarded_to_another_bridge"),
        pytest.param("stranger", "host", [7500], id="a_port_of_the_host_that_is_not_listed"),
        pytest.param("stranger", "host", [40400], id="a_published_port_that_is_not_listed"),
        pytest.param("broker", "host", [7000], id="container_to_the_host"),
        pytest.param("broker", "node", [9000], id="container_to_container"),
        pytest.param("host", "broker", [8080, 8880], id="host_to_the_broker"),
        pytest.param("host", "node", [8081, 8880], id="host_to_the_node"),
        pytest.param("host", "host", [7000], id="host_to_itself"),
        pytest.param("broker", "broker", [8880], id="container_to_itself"),
    ],
)
def test_other_traffic_passes(host, source: str, target: str, numbers: list[int]) -> None:
    host().apply(section(), present=True)
    assert reached(source, targets_of(target, *numbers)) == targets_of(target, *numbers)


def test_another_bridge_of_the_host_is_a_stranger(host) -> None:
    wanted = [Target("10.68.0.1", 7000), Target("fd68::1", 7000), *targets_of("broker", 8080, 9000)]
    assert reached("neighbour", wanted) == wanted
    host().apply(section(), present=True)
    assert reached("neighbour", wanted) == []


def test_replies_to_the_hosts_own_connections_pass(host) -> None:
    """A connection that the host begins from a guarded port: the answers come in with that destination port."""
    host().apply(section(), present=True)
    for target in ADDRESS["stranger"]:
        with connection("host", target, 8080, from_port=8082) as client:
            assert answers(client)


@BOTH
def test_connections_that_containers_begin_work(host, daemon: Daemon) -> None:
    """Over IPv4 they are masqueraded, over IPv6 the broker's are too; the node's IPv6 address is routed."""
    host().apply(section(), present=True)
    for name in ("broker", "node"):
        assert reached(name, targets_of("stranger", 8080)) == targets_of("stranger", 8080)
        for target in ADDRESS["stranger"]:
            with new_socket(name, family_of(target), socket.SOCK_DGRAM) as client:
                client.settimeout(PATIENCE)
                client.connect((target, 5))
                client.send(b"x")
                with pytest.raises(ConnectionRefusedError):
                    # The ICMP error of the other side belongs to the connection.
                    client.recv(100)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(connection(name, target, 8080))
            for name in ("broker", "node")
            for target in ADDRESS["stranger"]
        ]
        host().apply(section("10.70.0.1"), present=True)
        assert all(answers(client) for client in clients), "they outlive a change of the list"
        daemon.stop()
        daemon.start()
        assert all(answers(client) for client in clients), "and a restart of the daemon"


@WATCHED
def test_a_connection_that_a_container_began_outlives_a_gap(host, daemon: Daemon) -> None:
    host().apply(section(), present=True)
    with connection("node", ADDRESS["stranger"][1], 8080) as client:
        assert answers(client)
        with a_gap(daemon, "flush ruleset"):
            # Far beyond the window that the connection had when the kernel stopped to track it.
            for _ in range(100):
                assert answers(client, 60000)
        assert answers(client)


@pytest.mark.parametrize("port", [7000, 8080])
def test_a_removed_agents_connection_ends(host, port: int) -> None:
    host().apply(section(*ADDRESS["agent"], *ADDRESS["stranger"]), present=True)
    with contextlib.ExitStack() as stack:
        stay = [stack.enter_context(connection("agent", target, port)) for target in ADDRESS["host"]]
        go = [stack.enter_context(connection("stranger", target, port)) for target in ADDRESS["host"]]
        assert at_once(answers, stay + go) == stay + go
        host().apply(section(*ADDRESS["agent"]), present=True)
        assert at_once(answers, stay + go) == stay
    assert reached("stranger", targets_of("host", port)) == []


@BOTH
def test_a_removed_agent_that_tries_is_named(host, daemon: Daemon) -> None:
    """By its addresses, as long as it is not admitted again; strangers are not, and the rules count as unchanged."""

    def denied() -> list[str]:
        state = daemon.state()
        assert state and state["intact"]
        return state["denied"]

    both = section(*ADDRESS["agent"], *ADDRESS["neighbour"], *ADDRESS["stranger"])
    host().apply(both, present=True)
    assert reached("agent", targets_of("host", 8080, protocols=("tcp",)))
    text, _names = host().apply(section(*ADDRESS["stranger"]), present=True)
    assert denied() == []
    again = host()
    assert (again.apply(section(*ADDRESS["stranger"]), present=True)[0], again.actions) == (text, [])
    assert reached("agent", targets_of("host", 8080, protocols=("tcp",))) == []
    assert denied() == sorted(ADDRESS["agent"])
    assert reached("stranger", targets_of("host", 8080, protocols=("tcp",)))
    time.sleep(2 * guard_daemon._PAUSE)
    assert denied() == sorted(ADDRESS["agent"])
    assert daemon.keeps(text)
    host().apply(both, present=True)
    assert denied() == []


@OWNER_ATTRIBUTES
def test_a_stranger_that_tries_is_not_named(host, daemon: Daemon) -> None:
    host().apply(section(*ADDRESS["agent"], *ADDRESS["neighbour"]), present=True)
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert reached("stranger", targets_of("host", 8080, protocols=("tcp",))) == []
    assert (daemon.state() or {})["denied"] == []


def test_sections_are_kept_apart_and_a_shared_port_is_open_to_both(host) -> None:
    broker = guard.section_of("prover_broker", [{"port": 8080, "sources": ["10.66.0.2"]}], ["aztec0"])
    node = guard.section_of("prover_node", [{"port": 8080, "sources": []}, {"port": 7000, "sources": []}], ["aztec0"])
    host().apply(broker, present=True)
    _text, names = host().apply(node, present=True)
    assert names == ["prover_broker", "prover_node"]
    assert reaches("agent", "10.66.0.1", 8080)
    assert not reaches("agent", "10.66.0.1", 7000)
    assert not reaches("stranger", "10.66.0.1", 8080)
    host().apply(node, present=False)
    assert reaches("stranger", "10.66.0.1", 7000)
    assert not reaches("stranger", "10.66.0.1", 8080)


# Containers of one bridge


def detour(name: str) -> list[tuple[str, str]]:
    """Return the commands (of ip, by namespace) that reroute the broker's packets for the node."""
    targets = list(zip(ADDRESS["node"], ("10.67.0.1", "fd67::1")))
    if name == "a_route_through_the_host":
        return [("broker", f"route replace {target} via {gateway}") for target, gateway in targets]
    if name == "the_hosts_mac_address":
        mac = sh("cat /sys/class/net/aztec0/address", "host").strip()
        entries = [("broker", target, mac) for target, _ in targets]
        # The broker's reply to the node's ARP request would take the other route too, and be rejected.
        entries += [("node", target, MAC["broker"]) for target in ADDRESS["broker"]]
        return [(where, f"neigh replace {target} lladdr {to} dev eth0 nud permanent") for where, target, to in entries]
    return []


@pytest.mark.parametrize("route", ["the_bridge", "a_route_through_the_host", "the_hosts_mac_address"])
def test_a_container_does_not_reach_the_inside_ports_of_another(host, route: str) -> None:
    shut = targets_of("node", 8081, 8880, protocols=("tcp",))
    others = targets_of("node", 9000) + targets_of("node", 8081, protocols=("udp",))
    back = targets_of("broker", 8880, protocols=("tcp",))
    try:
        for name, command in detour(route):
            sh(f"ip {command}", name)
        assert reached("broker", shut + others) == shut + others, "open without the guard, or the check proves nothing"
        assert reached("node", back) == back
        host().apply(section(), present=True)
        for on in (False, True):
            if on and not bridge_netfilter(True):
                continue
            assert reached("broker", shut + others) == others
            assert reached("node", back + targets_of("broker", 8080)) == targets_of("broker", 8080)
            assert reached("host", shut + others) == shut + others
    finally:
        bridge_netfilter(False)
        for name, command in detour(route):
            sh(f"ip {command.replace(' replace ', ' del ').replace(' nud permanent', '')}", name)


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def first_packet(source: str, target: str, from_port: int, port: int) -> bytes:
    """Return the IPv4 packet that requests a connection."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    tcp = struct.pack("!HHIIBBHHH", from_port, port, 1, 0, 0x50, 2, 64000, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", checksum(ends + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + ends
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp


def accepts(port: int, tags: tuple[int, ...], from_port: int) -> bool:
    """Return whether the node accepts a connection from the broker in a frame with VLAN tags of ID 0."""
    ends = bytes.fromhex((MAC["node"] + MAC["broker"]).replace(":", ""))
    packet = first_packet(ADDRESS["broker"][0], ADDRESS["node"][0], from_port, port)
    with new_socket("broker", socket.AF_PACKET, socket.SOCK_RAW) as raw:
        # 3 is ETH_P_ALL, all protocols.
        raw.bind(("eth0", 3))
        raw.send(ends + b"".join(struct.pack("!HH", tag, 0) for tag in tags) + b"\x08\0" + packet)
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            raw.settimeout(max(0.01, deadline - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                answer = raw.recv(2000)
                # SYN and ACK from that port.
                if answer[34:38] == struct.pack("!HH", port, from_port) and answer[47] == 0x12:
                    return True
    return False


def test_vlan_tags_do_not_bypass_the_guard(host) -> None:
    """The kernel treats a frame with tags of ID 0 as one without. The rules see at most what the first tag contains."""
    frames = [(), (0x8100,), (0x88A8,), (0x8100, 0x8100), (0x88A8, 0x8100), (0x88A8, 0x88A8), (0x8100,) * 3]
    open_to = [tags for number, tags in enumerate(frames) if accepts(8081, tags, 20000 + number)]
    assert {(), (0x8100,), (0x8100, 0x8100)} <= set(open_to), "open without the guard, or the check proves nothing"
    host().apply(section(), present=True)
    assert [tags for number, tags in enumerate(frames) if accepts(8081, tags, 21000 + number)] == []
    assert accepts(9000, (), 22000)


# Changes of the tables by other programs


@OWNER_ATTRIBUTES
def test_nothing_that_others_do_opens_a_port(host, daemon: Daemon) -> None:
    """With an owner, not even root can change the tables."""
    text, _ = host().apply(section(*ADDRESS["agent"]), present=True)
    before = shown()
    done = []
    # Not by the address translation, which a flush does remove.
    with load(USERLAND):
        for act in (
            "flush ruleset",
            f"flush ruleset\n{DOCKER}",
            *(f"delete table {family} {guard.TABLE}" for family in guard_daemon.FAMILIES),
            f"flush table inet {guard.TABLE}",
            f"flush chain inet {guard.TABLE} to_host",
            f"insert rule inet {guard.TABLE} prerouting accept",
            f"add element inet {guard.TABLE} v4_tcp_7000 {{ 10.66.0.3 }}",
            f"add table inet {guard.TABLE} {{ flags dormant; }}",
            "flush ruleset",
        ):
            done.append((act.split("\n")[0], nft(act, check=False).returncode))
            time.sleep(0.1)
            assert daemon.keeps(text), act
            assert shown() == before, act
    assert [act for act, code in done if not code] == ["flush ruleset"] * 3, "these succeed and change nothing here"


@BOTH
def test_the_end_of_the_daemon_opens_nothing(host, daemon: Daemon) -> None:
    text, _ = host().apply(section(*ADDRESS["agent"]), present=True)
    before = shown()
    with load(USERLAND + TRANSLATED):
        for number in range(10):
            daemon.stop(signal.SIGKILL)
            time.sleep(0.1 * (number % 2))
            daemon.start()
            assert daemon.keeps(text)
        daemon.stop()
        assert daemon.owners() == {"inet": 0, "bridge": 0}
        assert shown() == before
        time.sleep(0.2)
        daemon.start()
        assert daemon.keeps(text)
        assert shown() == before


@OWNER_ATTRIBUTES
def test_a_second_daemon_does_not_start(host, daemon: Daemon) -> None:
    text, _ = host().apply(section(*ADDRESS["agent"]), present=True)
    code, errors = daemon.another()
    assert code == 1
    assert f"table inet {guard.TABLE} belongs to process {daemon.process.pid}: end that process" in errors
    assert daemon.keeps(text)
    daemon.stop()
    daemon.start()
    assert daemon.keeps(text)


@BOTH
def test_no_change_of_the_list_opens_a_port(host, daemon: Daemon) -> None:
    with_agent = [*ADDRESS["agent"], "10.70.0.0/24"]
    host().apply(section(*with_agent), present=True)
    process = daemon.process
    with load(USERLAND + TRANSLATED):
        for number in range(50):
            change = host()
            text, _ = change.apply(section(*with_agent, f"10.71.0.{number}"), present=True)
            assert change.actions[-1] == "load the rules"
    assert daemon.keeps(text)
    assert daemon.process is process


def test_rules_that_do_not_load_leave_the_tables_as_they_are(host, daemon: Daemon) -> None:
    host().apply(section(*ADDRESS["agent"]), present=True)
    before = shown()
    (daemon.root / guard.TABLE_FILE.lstrip("/")).write_text(f"delete chain inet {guard.TABLE} to_host\nnonsense\n")
    answer = guard_daemon.send_command("reload", daemon.control)
    assert answer["problem"] and answer["intact"]
    assert shown() == before
    again = host()
    again.apply(section(*ADDRESS["agent"]), present=True)
    assert again.actions == [f"write {guard.TABLE_FILE}"]


@BOTH
def test_a_saved_ruleset_with_the_tables_in_it(host, daemon: Daemon) -> None:
    """It cannot be loaded while the daemon owns them. Without an owner it can, and the daemon corrects the tables."""
    text, _ = host().apply(section(*ADDRESS["agent"]), present=True)
    before, saved = shown(), sh("nft list ruleset", "host")
    has_owner = daemon.state()["mechanism"] == OWNER
    loaded = nft(f"flush ruleset\n{saved}", check=False)
    assert bool(loaded.returncode) == has_owner
    assert "Operation not permitted" in loaded.stderr or not has_owner
    assert daemon.keeps(text)
    # As nft prints it, and as an operator corrects it: without owner, with somebody let in.
    plain = re.sub(r"^\tflags owner.*\n", "", saved, flags=re.MULTILINE)
    for ruleset in (saved, f"{plain}\nadd element inet {guard.TABLE} v4_tcp_7000 {{ 10.66.0.3 }}\n"):
        daemon.stop()
        nft(f"flush ruleset\n{ruleset}")
        daemon.start()
        assert daemon.keeps(text)
        assert shown() == before
    assert reached("stranger", targets_of("host", 7000, 8080)) == []
    assert reached("agent", targets_of("host", 7000, 8080)) == targets_of("host", 7000, 8080)


# Where the daemon watches, there is a gap

HARM = {
    "flush_ruleset": ("flush ruleset", 10),
    "configuration_loaded": (f"flush ruleset\n{DOCKER}", 5),
    "table_gone": (f"delete table inet {guard.TABLE}", 3),
    "rules_gone": (f"flush chain inet {guard.TABLE} prerouting", 3),
    "rule_inserted": (f"insert rule inet {guard.TABLE} prerouting accept", 3),
    "stranger_in_the_set": (f"add element inet {guard.TABLE} v4_tcp_7001 {{ 10.66.0.3 }}", 3),
}


@WATCHED
def test_what_others_do_is_undone_within_a_second(host, daemon: Daemon) -> None:
    text, _ = host().apply(section(*ADDRESS["agent"]), present=True)
    before = shown()
    targets = targets_of("host", 7001, 8083, protocols=("tcp",)) + targets_of("broker", 9001, protocols=("tcp",))
    gaps: dict[str, list[float]] = {name: [] for name in HARM}
    with Traffic("stranger", targets, served=False, pause=0.002) as stranger:
        for name, (act, times) in HARM.items():
            for _ in range(times):
                seen, begun = len(stranger.reached), time.monotonic()
                nft(act)
                assert comes_back(before), name
                time.sleep(0.05)
                # Not those whose first packet was sent, and dropped, before.
                came_in = [moment for moment, _ in stranger.reached[seen:] if moment > begun]
                # From the first attempt that was answered to the first one that was not.
                gaps[name].append(max(came_in) - min(came_in) + stranger.pause if came_in else 0.0)
                if "imitated_docker" not in sh("nft list tables", "host"):
                    nft(DOCKER)
        assert daemon.keeps(text)
        made = list(stranger.held)
    for name, figures in gaps.items():
        figures = [1000 * figure for figure in figures]
        median = statistics.median(figures)
        print(f"gap, {name}: median {median:.0f} ms, at most {max(figures):.0f} ms, {len(figures)} repeats")
        assert max(figures) < 1000
    assert made, "no connection was accepted: the check proves nothing"
    for _, client in made:
        client.settimeout(PATIENCE)
    assert at_once(lambda held: answers(held[1]), made[-200:]) == []
    stranger.release()


@WATCHED
def test_a_change_right_after_the_daemons_own_is_undone_too(host, daemon: Daemon) -> None:
    """A restart of nftables.service flushes twice: the second time may come while the daemon is loading the tables."""
    host().apply(section(*ADDRESS["agent"]), present=True)
    before = shown()
    with inside("host"):
        somebody = guard_daemon.Nftables()
        events = guard_daemon.netlink_socket(1 << 6)
    new_table = struct.pack("=H", 0xA00)
    try:
        for number in range(10):
            somebody.run("flush ruleset")
            while events.recv(65536)[4:6] != new_table:
                pass
            with contextlib.suppress(guard_daemon.Failed):
                somebody.run(("flush ruleset", f"insert rule inet {guard.TABLE} prerouting accept")[number % 2])
            with contextlib.suppress(TimeoutError):
                events.settimeout(0.1)
                while events.recv(65536):
                    pass
            events.settimeout(5)
            assert comes_back(before), f"attempt {number}"
    finally:
        events.close()
        somebody.close()


@contextlib.contextmanager
def a_gap(daemon: Daemon, act: str) -> Iterator[None]:
    """Change the tables while the daemon is stopped, until the end of the block."""
    before = shown()
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        nft(act)
        yield
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert comes_back(before)


@pytest.mark.parametrize("act", ["flush ruleset", f"flush ruleset\n{DOCKER}"], ids=["flushed", "reloaded"])
@pytest.mark.parametrize("daemon", [OWNER, WATCH], indirect=True)
def test_a_connection_made_in_a_gap_ends(host, daemon: Daemon, act: str) -> None:
    """The server speaks first once the table is there, so that conntrack takes its packet for the first one.

    With an owner there is one gap, before the guard is installed.
    """
    targets = targets_of("host", 7001, protocols=("tcp",)) + targets_of("broker", 9001, protocols=("tcp",))
    if "imitated_docker" in act:
        targets += targets_of("host", 8083, protocols=("tcp",))
    with contextlib.ExitStack() as stack:
        if daemon.mechanism == WATCH:
            host().apply(section(*ADDRESS["agent"]), present=True)
            with a_gap(daemon, act):
                made = [stack.enter_context(connection("stranger", *target[:2])) for target in targets]
                admitted = [stack.enter_context(connection("agent", *target[:2])) for target in targets[:2]]
                assert at_once(answers, made) == made
        else:
            nft(act)
            made = [stack.enter_context(connection("stranger", *target[:2])) for target in targets]
            admitted = [stack.enter_context(connection("agent", *target[:2])) for target in targets[:2]]
            assert at_once(answers, made) == made
            host().apply(section(*ADDRESS["agent"]), present=True)
        time.sleep(1)
        assert at_once(answers, made) == []
        assert at_once(answers, admitted) == admitted


# Runs of the module


def test_drops_are_counted(host) -> None:
    host().apply(section(*ADDRESS["agent"]), present=True)
    assert not reached("stranger", [Target("10.66.0.1", 7000), Target("10.67.0.2", 8080)])
    assert not reached("broker", [Target("10.67.0.3", 8081)])
    for chain, rule in (
        (f"inet {guard.TABLE} to_host", "tcp dport 7000 counter"),
        (f"inet {guard.TABLE} to_containers", '"aztec0" counter'),
        (f"bridge {guard.TABLE} forward", f"ether daddr {MAC['node']} tcp dport"),
    ):
        lines = [line for line in sh(f"nft list chain {chain}", "host").splitlines() if rule in line]
        assert len(lines) == 1 and "packets 0" not in lines[0], lines


@BOTH
def test_second_run_changes_nothing_and_other_tables_are_untouched(host, daemon: Daemon) -> None:
    others = "nft --stateless list table inet imitated_docker"
    before = sh(others, "host")
    first = host()
    first.apply(section("10.66.0.0/24", "0.0.0.0/0", "fd66::2"), present=True)
    assert first.actions[-1] == "start the guard"
    second = host()
    second.apply(section("fd66::2", "0.0.0.0/0"), present=True)
    assert (second.actions, second.diff) == ([], [])
    assert sh(others, "host") == before


@BOTH
@pytest.mark.parametrize(
    "harm",
    [
        pytest.param("flush ruleset", id="flush_ruleset"),
        pytest.param(f"insert rule inet {guard.TABLE} prerouting accept", id="rule_inserted"),
    ],
)
def test_a_run_corrects_what_was_done_while_no_daemon_was_there(host, daemon: Daemon, harm: str) -> None:
    text, _ = host().apply(section(*ADDRESS["agent"]), present=True)
    before = shown()
    daemon.stop()
    nft(harm)
    assert reaches("stranger", "10.66.0.1", 7000)
    checked = host(check=True)
    checked.apply(section(*ADDRESS["agent"]), present=True)
    assert checked.actions == ["start the guard"]
    assert reaches("stranger", "10.66.0.1", 7000), "check mode changes nothing"
    again = host()
    again.apply(section(*ADDRESS["agent"]), present=True)
    assert again.actions == ["start the guard"]
    assert daemon.keeps(text)
    assert shown() == before
    assert not reaches("stranger", "10.66.0.1", 7000)


def _applied(host, name: str = "prover_broker") -> list[str]:
    """Apply a section and return what was done for it."""
    one = host()
    one.apply(section(name=name), present=True)
    return one.actions


def test_tables_of_another_program_are_rejected(host) -> None:
    nft(f"add table inet {guard.TABLE}")
    with pytest.raises(Failed, match=f"table inet {guard.TABLE} exists and was not created by this module") as caught:
        host().apply(section(), present=True)
    (command,) = re.findall(r"remove it with nft (.*), and from", str(caught.value))
    nft(command)
    assert "start the guard" in _applied(host)


@BOTH
def test_the_last_section_removes_everything(host, daemon: Daemon) -> None:
    before = sh("nft --stateless list ruleset", "host")
    host().apply(section(), present=True)
    host().apply(section(name="prover_node"), present=True)
    host().apply(section(), present=False)
    assert guard.TABLE in sh("nft list ruleset", "host")
    host().apply(section(name="prover_node"), present=False)
    assert sh("nft --stateless list ruleset", "host") == before
    assert daemon.properties() == {"ActiveState": "inactive", "UnitFileState": "disabled"}
    assert [path for folder in ("etc", "usr") for path in (daemon.root / folder).rglob("*") if path.is_file()] == []
    again = host()
    again.apply(section(name="prover_node"), present=False)
    assert again.actions == []


def test_check_mode_writes_nothing(host, tmp_path: Path) -> None:
    before = sh("nft --stateless list ruleset", "host")
    checked = host(check=True)
    text, names = checked.apply(section(*ADDRESS["agent"]), present=True)
    assert checked.actions and names == ["prover_broker"] and "10.66.0.2" in text
    assert sh("nft --stateless list ruleset", "host") == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_damaged_section_stops_before_anything_is_changed(host, daemon: Daemon) -> None:
    text, _ = host().apply(section(*ADDRESS["agent"]), present=True)
    (daemon.root / "etc/aztec-port-guard/prover_node.json").write_text("{")
    remedy = "delete it and run the role of prover_node again"
    with pytest.raises(Failed, match=rf"prover_node\.json is damaged.*: {remedy}"):
        host().apply(section(), present=True)
    assert daemon.keeps(text)
    assert reaches("agent", "10.66.0.1", 7000)
    (daemon.root / "etc/aztec-port-guard/prover_node.json").unlink()
    assert _applied(host, "prover_node")
    assert _applied(host) != []
