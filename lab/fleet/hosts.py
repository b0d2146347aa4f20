"""The machines: containers that boot systemd and are reached over ssh."""

from __future__ import annotations

import io
import json
import shlex
import struct
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from lab.fleet.engine import TIMEOUT
from lab.fleet.images import Images
from lab.fleet.network import find, place
from lab.fleet.progress import step
from lab.fleet.settings import SSH_PORT, LabError, Machine, Settings
from lab.fleet.system import need, run

CAP_SYS_RESOURCE = 24
KNOWS_ITS_CAPABILITIES = 23
BOOT_TIME = 60
# Docker's option names the signal that systemd takes for a shutdown
STOP_SIGNAL = "SIGRTMIN+3"
CGROUP_V1 = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
TRY_TCP = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()
except ConnectionRefusedError:
    print("refused")
except OSError as error:
    print("shut")
else:
    print("in")
"""


@dataclass(frozen=True)
class Result:
    """What a command on a host came to."""

    code: int
    out: str
    err: str


def may_be_privileged(status: str) -> bool:
    """Does the text of /proc/self/status bound the engine to all capabilities that --privileged asks for?"""
    bound = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bound, 16) >> CAP_SYS_RESOURCE & 1)


def boot_options(unified: bool, privileged: bool, engine: int) -> dict[str, Any]:
    """How a container is created for systemd to boot in it and for an engine to run in it, in the engine's own words.

    `unified`: the outer machine has cgroup v2. `privileged`: the outer engine may give all capabilities. `engine`: its
    major version.
    """
    host: dict[str, Any] = {
        "Tmpfs": {"/run": "exec", "/run/lock": ""},
        "Sysctls": {"net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.default.disable_ipv6": "0"},
    }
    if privileged:
        host["Privileged"] = True
    else:
        # What the CLI calls systempaths=unconfined is these two empty lists
        host |= {"CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined"], "MaskedPaths": [], "ReadonlyPaths": []}
        # Before 23 ALL means what the kernel knows; since then what the engine has, and dropping another is an error
        host |= {"CapDrop": ["SYS_RESOURCE"]} if engine < KNOWS_ITS_CAPABILITIES else {}
    if unified and privileged:
        host["CgroupnsMode"] = "private"
    else:
        host |= {"CgroupnsMode": "host", "Binds": ["/sys/fs/cgroup:/sys/fs/cgroup:rw"]}
    return {
        "host": host,
        "StopSignal": STOP_SIGNAL,
        "Env": ["container=docker", *([] if unified else [f"SYSTEMD_PROC_CMDLINE={CGROUP_V1}"])],
        # overlay2 does not stack on overlay2: the machine's own engine needs a real directory
        "Volumes": {"/var/lib/docker": {}},
    }


def make_key(settings: Settings) -> str:
    """The lab's ssh key, made when it is missing; return the public part."""
    key = settings.ssh_key
    if not key.exists():
        need({"ssh-keygen": "openssh-client", "ssh": "openssh-client"})
        key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "aztec-lab", "-f", key])
    return key.with_suffix(".pub").read_text()


def one_file_archive(name: str, content: str, mode: int, owner: int) -> bytes:
    """A tar with one file, as the engine takes it."""
    data = content.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.uid, entry.gid = len(data), mode, owner, owner
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def make_user(client: docker.DockerClient, machine: Machine, public: str) -> None:
    """The ordinary user that the inventory names, with the lab's key, and sudo with or without a password."""
    user, password = machine.user, machine.sudo_password
    directory = f"/home/{user}/.ssh"
    rule = f"{user} ALL=(ALL) {'' if password else 'NOPASSWD: '}ALL"
    script = f"""
        set -e
        useradd --create-home --shell /bin/bash {user}
        install -d -m 700 -o {user} -g {user} {directory}
        umask 337
        echo {shlex.quote(rule)} > /etc/sudoers.d/lab
    """
    if password:
        script += f"echo {shlex.quote(f'{user}:{password}')} | chpasswd"
    execute(client, machine.name, script)
    owner = int(execute(client, machine.name, ["id", "-u", user]).out)
    put_file(client, machine.name, f"{directory}/authorized_keys", public, 0o600, owner)


def put_file(
    client: docker.DockerClient, name: str, path: str, content: str, mode: int = 0o644, owner: int = 0
) -> None:
    """A file of a machine, running or not; its directory is there."""
    directory, _, file = path.rpartition("/")
    container_of(client, name).put_archive(directory, one_file_archive(file, content, mode, owner))


def put_settings(client: docker.DockerClient, settings: Settings, machine: Machine) -> None:
    """What makes a machine other than its image, before it boots for the first time."""
    if machine.ssh_port != SSH_PORT:
        put_file(client, machine.name, "/etc/ssh/sshd_config.d/lab.conf", f"Port {machine.ssh_port}\n")
    if machine.address is None:
        put_file(client, machine.name, "/etc/lab-no-ipv4", "")
    if machine.engine:
        put_file(client, machine.name, "/etc/docker/daemon.json", json.dumps(engine_options(settings)))


def engine_options(settings: Settings) -> dict[str, Any]:
    """daemon.json of an engine that is there already: where it pulls from, and IPv6 for its containers."""
    mirrors = [f"http://{settings.registry_address}:5000"]
    if settings.registry_address6:
        mirrors.append(f"http://[{settings.registry_address6}]:5000")
    # An engine before 27 translates the addresses of IPv6 only when asked
    return {"registry-mirrors": mirrors, "experimental": True, "ip6tables": True}


def make_machines(client: docker.DockerClient, settings: Settings, images: Images) -> list[str]:
    """Create the machines that are missing, start those that are stopped; return the names of the new ones."""
    public = make_key(settings)
    made = []
    unified = client.info().get("CgroupVersion") == "2"
    version = int(client.version()["Version"].split(".")[0])
    options = boot_options(unified, may_be_privileged(Path("/proc/self/status").read_text()), version)
    for machine in settings.machines:
        container = find(client, machine.name)
        if container is None:
            image = images.host(machine.engine, machine.suite)
            container = place(client, machine.name, image, machine.address, machine.address6, **options)
            put_settings(client, settings, machine)
            made.append(machine.name)
        if container.status != "running":
            container.start()
    with step(f"waiting for {', '.join(machine.name for machine in settings.machines)}"):
        for machine in settings.machines:
            wait_for_boot(client, machine.name)
            if machine.name in made:
                make_user(client, machine, public)
        note_host_keys(client, settings)
    return made


def wait_for_boot(client: docker.DockerClient, name: str, seconds: float = BOOT_TIME) -> None:
    """Wait until systemd has booted and sshd takes connections."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = execute(client, name, ["systemctl", "is-system-running"], check=False).out.strip()
        if state in ("running", "degraded"):
            sshd = execute(client, name, ["systemctl", "is-active", "ssh.service"], check=False).out.strip()
            if sshd == "active":
                return
        time.sleep(0.3)
    raise LabError(f"{name}: did not boot in {seconds:.0f} s; see `lab/shell {name} journalctl -b`")


def note_host_keys(client: docker.DockerClient, settings: Settings) -> None:
    """Note in known_hosts what each machine itself says to be its key; lines of other machines stay."""
    names = {machine.known_as for machine in settings.machines}
    known = settings.known_hosts.read_text().splitlines() if settings.known_hosts.exists() else []
    lines = [line for line in known if line.split()[0] not in names]
    for machine in settings.machines:
        key = read_file(client, machine.name, "/etc/ssh/ssh_host_ed25519_key.pub").split()
        lines.append(f"{machine.known_as} {key[0]} {key[1]}")
    settings.known_hosts.write_text("\n".join(lines) + "\n")


def container_of(client: docker.DockerClient, name: str) -> Container:
    found = find(client, name)
    if found is None:
        raise LabError(f"{name}: the lab has no such machine; `lab/up --machines` makes what the inventory names")
    return found


def read_file(client: docker.DockerClient, name: str, path: str) -> str:
    """A file of a machine, by the engine's archive, which needs no program on it."""
    stream, _ = container_of(client, name).get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        if member is None:
            raise LabError(f"{name}: {path} is no file")
        return member.read().decode()


def streams(body: bytes) -> tuple[bytes, bytes]:
    """What a command wrote to stdout and stderr, out of the frames (stream, 3 bytes, length) that the engine sends."""
    written = {1: b"", 2: b""}
    while body:
        stream, length = struct.unpack_from(">BxxxL", body)
        written[stream] += body[8 : 8 + length]
        body = body[8 + length :]
    return written[1], written[2]


def execute(client: docker.DockerClient, name: str, command: str | Sequence[str], *, check: bool = True) -> Result:
    """Run a command (a text is given to sh) as root on a machine; with check, one that fails raises."""
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    api = client.api
    made = api.exec_create(container_of(client, name).id, words)["Id"]
    # The library's own exec_start takes over the socket, and on a busy machine loses what came with the header.
    start = f"{api.base_url}/v{api.api_version}/exec/{made}/start"
    answer = api.post(start, json={"Detach": False, "Tty": False}, timeout=TIMEOUT)
    answer.raise_for_status()
    out, err = streams(answer.content)
    result = Result(api.exec_inspect(made)["ExitCode"], out.decode(errors="replace"), err.decode(errors="replace"))
    if check and result.code != 0:
        last = (result.err or result.out).strip().splitlines()[-3:]
        raise LabError(f"{name}: {shlex.join(words)} ended with {result.code}: {' / '.join(last)}")
    return result


def reachable(client: docker.DockerClient, source: str, address: str, port: int, seconds: float = 2) -> str:
    """Try a TCP connection from a machine: in, refused (nothing listens), or shut (no answer, no route)."""
    return execute(client, source, ["python3", "-c", TRY_TCP, address, str(port), str(seconds)]).out.strip()


def add_route(client: docker.DockerClient, name: str, subnet: str, via: str) -> None:
    """Return a machine a route to a subnet by way of another machine, as a bad neighbour would."""
    family = "-6" if ":" in subnet else "-4"
    execute(client, name, ["ip", family, "route", "replace", subnet, "via", via])


def drop_route(client: docker.DockerClient, name: str, subnet: str) -> None:
    """Take a route away again; one that is gone by itself (after a reboot) is no failure."""
    family = "-6" if ":" in subnet else "-4"
    if execute(client, name, ["ip", family, "route", "show", "exact", subnet]).out.strip():
        execute(client, name, ["ip", family, "route", "del", subnet])


def reboot(client: docker.DockerClient, name: str) -> None:
    """Shut a machine down in order and boot it again."""
    container_of(client, name).restart(timeout=60)
    wait_for_boot(client, name)


def containers_on(client: docker.DockerClient, name: str) -> list[dict[str, object]]:
    """What `docker inspect` says of every container that a machine's own engine has; nothing where it has no engine."""
    script = "command -v docker > /dev/null || exit 0; all=$(docker ps -aq) || exit; "
    script += '[ -z "$all" ] || docker inspect $all'
    output = execute(client, name, script).out.strip()
    return list(json.loads(output)) if output else []
