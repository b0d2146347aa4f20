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
# The name of the signal in Docker's option; systemd shuts down on it.
STOP_SIGNAL = "SIGRTMIN+3"
CGROUP_V1 = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
TRY_TCP = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).close()
except ConnectionRefusedError:
    print("refused")
except OSError as error:
    print("filtered")
else:
    print("open")
"""


@dataclass(frozen=True)
class Result:
    """The result of a command on a host."""

    code: int
    out: str
    err: str


def may_be_privileged(status: str) -> bool:
    """Return whether /proc/self/status (its text) shows all capabilities that --privileged needs."""
    bound = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bound, 16) >> CAP_SYS_RESOURCE & 1)


def boot_options(unified: bool, privileged: bool, engine: int) -> dict[str, Any]:
    """Return the options of a container that boots systemd and runs an engine, in the format of the engine's API.

    unified: the outer machine has cgroup v2. privileged: the outer engine can grant all capabilities. engine: its major
    version.
    """
    host: dict[str, Any] = {
        "Tmpfs": {"/run": "exec", "/run/lock": ""},
        # A reboot ends the container with an error: start it again. A machine that a test stops stays stopped.
        "RestartPolicy": {"Name": "on-failure"},
        "Sysctls": {"net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.default.disable_ipv6": "0"},
    }
    if privileged:
        host["Privileged"] = True
    else:
        # The CLI's systempaths=unconfined is these two empty lists.
        host |= {"CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined"], "MaskedPaths": [], "ReadonlyPaths": []}
        # Before 23, ALL means all capabilities of the kernel. Since then it means those of the engine.
        host |= {"CapDrop": ["SYS_RESOURCE"]} if engine < KNOWS_ITS_CAPABILITIES else {}
    if unified and privileged:
        host["CgroupnsMode"] = "private"
    else:
        host |= {"CgroupnsMode": "host", "Binds": ["/sys/fs/cgroup:/sys/fs/cgroup:rw"]}
    return {
        "host": host,
        "StopSignal": STOP_SIGNAL,
        "Env": ["container=docker", *([] if unified else [f"SYSTEMD_PROC_CMDLINE={CGROUP_V1}"])],
        # overlay2 does not work on overlay2: the machine's own engine needs a real directory.
        "Volumes": {"/var/lib/docker": {}},
    }


def make_key(settings: Settings) -> str:
    """Return the public part of the lab's ssh key. Create the key if it is missing."""
    key = settings.ssh_key
    if not key.exists():
        need({"ssh-keygen": "openssh-client", "ssh": "openssh-client"})
        key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "aztec-lab", "-f", key])
    return key.with_suffix(".pub").read_text()


def one_file_archive(name: str, content: str, mode: int, owner: int) -> bytes:
    """Return a tar archive with one file, as the engine expects it."""
    data = content.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.uid, entry.gid = len(data), mode, owner, owner
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def make_user(client: docker.DockerClient, machine: Machine, public: str) -> None:
    """Create the ordinary user of the inventory, with the lab's key, and with sudo with or without a password."""
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
    """Write a file to a machine, running or not. Its directory must exist."""
    directory, _, file = path.rpartition("/")
    container_of(client, name).put_archive(directory, one_file_archive(file, content, mode, owner))


def put_settings(client: docker.DockerClient, settings: Settings, machine: Machine) -> None:
    """Write the settings that differ from the image, before the machine boots for the first time."""
    if machine.ssh_port != SSH_PORT:
        put_file(client, machine.name, "/etc/ssh/sshd_config.d/lab.conf", f"Port {machine.ssh_port}\n")
    if machine.address is None:
        put_file(client, machine.name, "/etc/lab-no-ipv4", "")
    if machine.engine:
        put_file(client, machine.name, "/etc/docker/daemon.json", json.dumps(engine_options(settings)))


def engine_options(settings: Settings) -> dict[str, Any]:
    """Return the content of daemon.json of a preinstalled engine: its registry mirrors, and IPv6 for containers."""
    mirrors = [f"http://{settings.registry_address}:5000"]
    if settings.registry_address6:
        mirrors.append(f"http://[{settings.registry_address6}]:5000")
    # An engine before 27 translates IPv6 addresses only with these options.
    return {"registry-mirrors": mirrors, "experimental": True, "ip6tables": True}


def make_machines(client: docker.DockerClient, settings: Settings, images: Images) -> list[str]:
    """Create the missing machines and start the stopped ones. Return the names of the new ones."""
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
    """Wait until systemd has booted and sshd accepts connections."""
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
    """Record the host key of each machine in known_hosts. Keep the lines of other machines."""
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
        raise LabError(f"{name}: no such machine in the lab: run `lab/up --machines` if the inventory contains it")
    return found


def read_file(client: docker.DockerClient, name: str, path: str) -> str:
    """Return the content of a file of a machine. Uses the engine's archive and needs no program on the machine."""
    stream, _ = container_of(client, name).get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        if member is None:
            raise LabError(f"{name}: {path} is not a file")
        return member.read().decode()


def streams(body: bytes) -> tuple[bytes, bytes]:
    """Return stdout and stderr of a command from the frames (stream, 3 bytes, length) that the engine sends."""
    written = {1: b"", 2: b""}
    while body:
        stream, length = struct.unpack_from(">BxxxL", body)
        written[stream] += body[8 : 8 + length]
        body = body[8 + length :]
    return written[1], written[2]


def execute(client: docker.DockerClient, name: str, command: str | Sequence[str], *, check: bool = True) -> Result:
    """Run a command (text: with sh) as root on a machine. Raise LabError if it fails and check is set."""
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    api = client.api
    made = api.exec_create(container_of(client, name).id, words)["Id"]
    # The library's own exec_start takes over the socket, and on a busy machine loses data that came with the header.
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
    """Try a TCP connection from a machine. Return open, refused (nothing listens) or filtered (no answer)."""
    return execute(client, source, ["python3", "-c", TRY_TCP, address, str(port), str(seconds)]).out.strip()


def add_route(client: docker.DockerClient, name: str, subnet: str, via: str) -> None:
    """Add a route to a subnet through another machine, as an attacker on the network would."""
    family = "-6" if ":" in subnet else "-4"
    execute(client, name, ["ip", family, "route", "replace", subnet, "via", via])


def drop_route(client: docker.DockerClient, name: str, subnet: str) -> None:
    """Remove a route, unless it no longer exists (after a reboot)."""
    family = "-6" if ":" in subnet else "-4"
    if execute(client, name, ["ip", family, "route", "show", "exact", subnet]).out.strip():
        execute(client, name, ["ip", family, "route", "del", subnet])


def reboot(client: docker.DockerClient, name: str) -> None:
    """Shut a machine down and boot it again."""
    container_of(client, name).restart(timeout=60)
    wait_for_boot(client, name)


def containers_on(client: docker.DockerClient, name: str) -> list[dict[str, object]]:
    """Return the `docker inspect` data of all containers on a machine, or an empty list without an engine."""
    script = "command -v docker > /dev/null || exit 0; all=$(docker ps -aq) || exit; "
    script += '[ -z "$all" ] || docker inspect $all'
    output = execute(client, name, script).out.strip()
    return list(json.loads(output)) if output else []
