# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Metrics of a host that neither Aztec nor node_exporter has, for node_exporter's textfile collector.

The program runs on the host from a timer, with the same code as host_info: host_metrics CONFIG. The configuration is
JSON: output (path of the file), components (component -> project, containers, agents; containers and agents are the
numbers that the inventory requires), rpc and rollup_slots (as for host_info).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import write_atomically
from ansible_collections.aztec_ops.prover.plugins.module_utils.host import docker_engine
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.health import Prober
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.port_guard import guard_facts

COMMAND_SECONDS = 15
ROLLUP_HEADER = "x-aztec-l1rollupaddress"
# Owners of the guard's tables with which it works: the kernel keeps them for the guard, or the guard watches them.
GUARD_OWNERS = ("guard", "watch")

METRICS = {
    "aztec_ops_collector_time_seconds": "Time at which these metrics were written, in seconds since 1970.",
    "aztec_ops_engine_up": "Whether the container engine responds.",
    "aztec_ops_guard_loaded": "Whether the port guard is loaded, complete and held by its service.",
    "aztec_ops_containers_expected": "Containers of a component that the inventory requires.",
    "aztec_ops_containers_running": "Containers of a component that run.",
    "aztec_ops_container_restarts": "Restarts of a container since it was created.",
    "aztec_ops_container_waiting": "Whether a program is in standby or has shut down its work, and does not work.",
    "aztec_ops_rollup_mismatch": "Whether a program follows another rollup than the canonical one.",
    "aztec_ops_agents_expected": "Agents that the inventory requires.",
    "aztec_ops_agents_running": "Agents that respond and have contact with their broker.",
    "aztec_ops_agents_idle": "Agents that respond and do not work on a job.",
    "aztec_ops_l1_reachable": "Whether the node's L1 client responds to the host.",
}

# Name, labels and value.
Sample = tuple


def agent_samples(containers: list[dict[str, Any]], expected: int) -> list[Sample]:
    """Return how many agents of a host are expected, running and idle."""
    running = idle = 0
    for each in containers:
        answers = [one for one in (each.get("rpc") or {}).values() if isinstance(one, Mapping)]
        statuses = [one.get("status") for one in answers]
        if (each.get("broker_contact") or {}).get("state") == "ok":
            running += sum(status in ("running", "proving") for status in statuses)
        idle += statuses.count("running")
    return [
        ("aztec_ops_agents_expected", {}, expected),
        ("aztec_ops_agents_running", {}, running),
        ("aztec_ops_agents_idle", {}, idle),
    ]


def is_mismatched(container: Mapping[str, Any], canonical: str) -> bool | None:
    """Return whether a program follows another rollup than the canonical one, None where this is not known."""
    own = ((container.get("status") or {}).get("headers") or {}).get(ROLLUP_HEADER, "")
    if container.get("pinned") or not own or not canonical:
        return None
    return bool(own.lower() != canonical.lower())


def component_samples(component: str, wanted: Mapping[str, int], containers: list[dict[str, Any]]) -> list[Sample]:
    """Return the samples of a component on this host. containers: with the results of Prober.probe."""
    labels = {"component": component}
    running = [each for each in containers if each["state"] == "running"]
    samples: list[Sample] = [
        ("aztec_ops_containers_expected", labels, wanted["containers"]),
        ("aztec_ops_containers_running", labels, len(running)),
    ]
    for each in containers:
        samples.append(("aztec_ops_container_restarts", {**labels, "service": each["service"]}, each["restarts"] or 0))
    for each in running:
        if "waiting" in each:
            samples.append(("aztec_ops_container_waiting", labels, float(each["waiting"] is not None)))
        canonical = (each.get("l1") or {}).get("rollup", "")
        mismatched = is_mismatched(each, canonical)
        if mismatched is not None:
            samples.append(("aztec_ops_rollup_mismatch", labels, float(mismatched)))
        if each.get("l1"):
            samples.append(("aztec_ops_l1_reachable", {}, float(each["l1"]["block"] is not None)))
    if component == "prover_agent":
        samples += agent_samples(running, wanted["agents"])
    return samples


def guard_sample(guard: Mapping[str, Any]) -> Sample:
    """Return whether the guard works. guard: guard_facts."""
    works = guard["loaded"] and not guard["outdated"] and not guard["problems"] and guard["owner"] in GUARD_OWNERS
    return ("aztec_ops_guard_loaded", {}, float(bool(works)))


def escaped(value: str) -> str:
    """Return the value of a label in the text format."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def text(samples: list[Sample]) -> str:
    """Return samples in the text format of Prometheus. Of equal series, the largest value counts."""
    values: dict[str, dict[str, float]] = {}
    for name, labels, value in samples:
        shown = ",".join(f'{key}="{escaped(one)}"' for key, one in sorted(labels.items()))
        series = values.setdefault(name, {})
        series[shown] = max(float(value), series.get(shown, float("-inf")))
    lines = []
    for name, series in values.items():
        lines += [f"# HELP {name} {METRICS[name]}", f"# TYPE {name} gauge"]
        lines += [
            f"{name}{{{labels}}} {value!r}" if labels else f"{name} {value!r}" for labels, value in series.items()
        ]
    return "\n".join(lines) + "\n"


def run_command(command: list[str]) -> tuple[int, str, str]:
    """Run a command for at most COMMAND_SECONDS. Return exit code, output and errors."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr


def collect(config: Mapping[str, Any], root: Path, now: float) -> list[Sample]:
    """Return the samples of this host. An engine that does not respond is a sample, not an error."""
    engine = docker_engine.Engine("")
    prober = Prober(engine, run_command, config["rpc"], [], root, now, config["rollup_slots"])
    samples: list[Sample] = [guard_sample(guard_facts(run_command, root, shutil.which("nft")))]
    try:
        for component, wanted in config["components"].items():
            containers = []
            for shown, inspected in docker_engine.project_containers(engine, wanted["project"]):
                containers.append({**shown, **prober.probe(shown["service"], inspected)})
            samples += component_samples(component, wanted, containers)
        samples.append(("aztec_ops_engine_up", {}, 1.0))
    except docker_engine.EngineError:
        samples = samples[:1]
        for component, wanted in config["components"].items():
            samples += component_samples(component, wanted, [])
        samples.append(("aztec_ops_engine_up", {}, 0.0))
    return [*samples, ("aztec_ops_collector_time_seconds", {}, now)]


def main() -> None:
    """Write the metrics of this host to the file that the configuration names."""
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    write_atomically(config["output"], text(collect(config, Path("/"), time.time())), mode=0o644)


if __name__ == "__main__":
    main()
