"""The commands lab/up, lab/down, lab/shell and lab/fund."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, InvalidOperation
from pathlib import Path

import docker
from docker.errors import APIError

from lab.fleet import engine, fund, hosts, l1, names, network, proof, registry, report, settings
from lab.fleet.images import SUITE, Images
from lab.fleet.progress import say, step
from lab.fleet.settings import LabError, Settings


def machines_up(found: Settings) -> docker.DockerClient:
    """Create the missing parts: engine, images, network, registry, L1, sequencer and machines. Provision nothing."""
    client = engine.start_engine(found)
    network.make_network(client, found)
    images = Images(client, found)
    with ThreadPoolExecutor(max_workers=3) as pool:
        aztec = pool.submit(images.aztec)
        services = pool.submit(images.services)
        kinds = {(machine.engine, machine.suite) for machine in found.machines}
        host = pool.submit(lambda: [images.host(*kind) for kind in kinds])
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
            raise LabError(f"site.yml ended with {done.returncode}; see the output above")


def up(found: Settings, arguments: argparse.Namespace) -> None:
    client = machines_up(found)
    if arguments.machines:
        return
    provision(found, arguments.ansible)
    # Only a proof that is made after provisioning shows that the provisioned fleet proves.
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


def send(found: Settings, arguments: argparse.Namespace) -> None:
    passwords = [f"--vault-password-file={path}" for path in arguments.vault_password_file]
    passwords += [f"--vault-id={one}" for one in arguments.vault_id]
    passwords += ["--ask-vault-pass"] if arguments.ask_vault_pass else []
    inventory = arguments.inventory or found.inventory
    fund.fund_and_show(found, arguments.address, inventory, arguments.ether, passwords)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="lab", description="A fleet of real hosts on this machine.")
    commands = made.add_subparsers(dest="what", required=True)
    to_up = commands.add_parser("up", help="build the lab, provision it with site.yml, wait for a proof")
    to_up.add_argument("--machines", action="store_true", help="only create the missing machines and services")
    to_up.add_argument("--inventory", type=Path, help="the inventory (inventories/lab)")
    to_up.add_argument("ansible", nargs="*", help="additional arguments for ansible-playbook, after --")
    to_down = commands.add_parser("down", help="remove the lab; its cache stays")
    to_down.add_argument("--cache", action="store_true", help="remove the cache too")
    to_shell = commands.add_parser("shell", help="run a command as root on a machine of the lab")
    to_shell.add_argument("host")
    to_shell.add_argument("command", nargs=argparse.REMAINDER)
    to_fund = commands.add_parser("fund", help="send ETH of the lab's L1 to an account, run preflight.yml")
    to_fund.add_argument("address", nargs="?", default="", help="the account (that of the inventory's key)")
    to_fund.add_argument("-i", "--inventory", type=Path, help="the inventory of the publisher")
    to_fund.add_argument("--ether", type=ether, default=Decimal(1), help="the amount (1)")
    to_fund.add_argument("--vault-password-file", action="append", default=[], help="as for ansible-playbook")
    to_fund.add_argument("--vault-id", action="append", default=[], help="as for ansible-playbook")
    to_fund.add_argument("--ask-vault-pass", action="store_true", help="as for ansible-playbook")
    return made


def ether(text: str) -> Decimal:
    """Return an amount of ETH. Raise ArgumentTypeError unless it is greater than zero."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise argparse.ArgumentTypeError("give an amount of ETH, such as 0.5")
    return amount


def main() -> int:
    arguments = parser().parse_args()
    try:
        # The inventory of lab/fund is a user's own: the lab's addresses are in the lab's inventory.
        found = settings.load(None if arguments.what == "fund" else getattr(arguments, "inventory", None))
        return {"up": up, "down": down, "shell": shell, "fund": send}[arguments.what](found, arguments) or 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
    except APIError as error:
        print(f"lab: the engine refused: {error.explanation or error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
