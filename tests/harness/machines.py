"""Create machines of the lab that its own inventory does not contain.

usage: python -m tests.harness.machines --inventory PATH [--recreate NAME]... [NAME...]

A machine named with --recreate is removed first if it exists.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import docker

from lab.fleet import engine, hosts, network
from lab.fleet.images import Images
from lab.fleet.settings import LabError, Machine, Settings, load, machines_of

ROOT = Path(__file__).resolve().parents[2]


def known_machines(settings: Settings, inventories: list[Path]) -> tuple[Machine, ...]:
    """Return the machines of the lab's inventory and these inventories."""
    program = str(Path(sys.executable).with_name("ansible-inventory"))
    # The lab's inventory is last, so that its variables for all hosts take precedence.
    sources = [option for path in (*inventories, settings.inventory) for option in ("-i", str(path))]
    run = subprocess.run([program, *sources, "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
    return machines_of(json.loads(run.stdout))


def make(names: list[str], inventories: list[Path], recreated: Sequence[str] = ()) -> docker.DockerClient:
    """Create the named machines, and recreate the given ones, in the running lab. Return its engine's client."""
    settings = load()
    client = engine.start_engine(settings)
    known = known_machines(settings, inventories)
    names = [*names, *recreated]
    unknown = set(names) - {machine.name for machine in known}
    if unknown:
        raise LabError(f"no inventory names {', '.join(sorted(unknown))}")
    for found in filter(None, (network.find(client, name) for name in recreated)):
        found.remove(force=True, v=True)
    # The host keys of all machines are recorded together, so existing machines are part of the call.
    wanted = [machine for machine in known if machine.name in names or network.find(client, machine.name)]
    there = replace(settings, machines=tuple(wanted))
    hosts.make_machines(client, there, Images(client, settings))
    return client


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", type=Path, action="append", required=True)
    parser.add_argument("--recreate", action="append", default=[])
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    make(arguments.names, arguments.inventory, arguments.recreate).close()
