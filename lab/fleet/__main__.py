"""lab/up, lab/down and lab/shell end here."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
from docker.errors import APIError

from lab.fleet import engine, hosts, l1, names, network, proof, registry, report, settings
from lab.fleet.images import SUITE, Images
from lab.fleet.progress import say, step
from lab.fleet.settings import LabError, Settings


def machines_up(found: Settings) -> docker.DockerClient:
    """Engine, images, network, registry, L1, sequencer and every machine that is missing; no provisioning."""
    client = engine.start_engine(found)
    network.make_network(client, found)
    images = Images(client, found)
    with ThreadPoolExecutor(max_workers=3) as pool:
        aztec = pool.submit(images.aztec)
        services = pool.submit(images.services)
        host = pool.submit(lambda: [images.host(kind) for kind in {machine.engine for machine in found.machines}])
        with step("registry and L1"):
            image = services.result()
            registry.start_registry(client, found, image)
            l1.start_l1(client, found, image)
            names.start_dns(client, found, image)
        host.result()
        made = hosts.make_machines(client, found, images)
        if made:
            say(f"new machines: {', '.join(made)}")
        registry.publish(client, found, images.base(), "library/debian", f"{SUITE}-slim")
        registry.publish(client, found, aztec.result(), found.aztec_image, found.aztec_version)
    l1.start_sequencer(client, found, aztec.result())
    owner = os.environ.get("SUDO_UID")
    if owner:
        for path in (found.state, found.state / "ssh", *(found.state / "ssh").iterdir()):
            os.chown(path, int(owner), int(os.environ["SUDO_GID"]))
    return client


def provision(found: Settings, arguments: list[str]) -> None:
    """Run the production playbook over the lab's inventory."""
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "playbooks/site.yml", "-i", str(found.inventory), *arguments]
    with step("ansible-playbook playbooks/site.yml"):
        done = subprocess.run(command, cwd=found.root, check=False)
        if done.returncode != 0:
            raise LabError(f"site.yml ended with {done.returncode}; what failed stands above")


def up(found: Settings, arguments: argparse.Namespace) -> None:
    client = machines_up(found)
    if arguments.machines:
        return
    provision(found, arguments.ansible)
    # Only a proof that comes after provisioning shows that what was provisioned proves.
    beyond, block = proof.proven_checkpoint(found), proof.block_number(found)
    with step("waiting for an epoch proof on the L1"):
        accepted = proof.wait_for_proof(found, beyond, block)
    print("\n" + report.report(client, found, accepted), flush=True)


def down(found: Settings, arguments: argparse.Namespace) -> None:
    client = engine.find_engine(found)
    if client is not None:
        with step("removing containers, volumes and network"):
            for name in network.remove_all(client):
                say(f"removed {name}")
    engine.stop_own(found)
    shutil.rmtree(found.state, ignore_errors=True)
    if arguments.cache:
        with step(f"removing the cache {found.cache}"):
            shutil.rmtree(found.cache, ignore_errors=True)


def shell(found: Settings, arguments: argparse.Namespace) -> int:
    client = engine.find_engine(found)
    if client is None:
        raise LabError("no engine serves the lab; run lab/up")
    words = arguments.command or ["uptime"]
    result = hosts.execute(client, arguments.host, words if len(words) > 1 else words[0], check=False)
    sys.stdout.write(result.out)
    sys.stderr.write(result.err)
    return result.code


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="lab", description="A fleet of real hosts on this machine.")
    commands = made.add_subparsers(dest="what", required=True)
    to_up = commands.add_parser("up", help="build the lab, provision it with site.yml, wait for a proof")
    to_up.add_argument("--machines", action="store_true", help="make what is missing of the machines and services only")
    to_up.add_argument("--inventory", type=Path, help="another inventory than inventories/lab")
    to_up.add_argument("ansible", nargs="*", help="more arguments for ansible-playbook, after --")
    to_down = commands.add_parser("down", help="remove the lab; its cache stays")
    to_down.add_argument("--cache", action="store_true", help="remove the cache too")
    to_shell = commands.add_parser("shell", help="run a command as root on a machine of the lab")
    to_shell.add_argument("host")
    to_shell.add_argument("command", nargs=argparse.REMAINDER)
    return made


def main() -> int:
    arguments = parser().parse_args()
    try:
        found = settings.load(getattr(arguments, "inventory", None))
        return {"up": up, "down": down, "shell": shell}[arguments.what](found, arguments) or 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
    except APIError as error:
        print(f"lab: the engine refused: {error.explanation or error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
