# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that writes a host's metrics: the modules of host_info in one file that Python runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import project_name
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.monitor.images import IMAGES

PACKAGE = "ansible_collections.aztec_ops.prover.plugins.module_utils"
MODULE_UTILS = Path(__file__).resolve().parents[2] / "module_utils"
START = "host.host_metrics"
_IMPORT = re.compile(rf"^\s*from {re.escape(PACKAGE)}(?:\.([\w.]+))? import (\([^)]*\)|[^\n]*)", re.MULTILINE)

PROGRAM = '''#!/usr/bin/python3
# {header}
# Made from the collection's module_utils: {package}
import importlib.abc
import importlib.machinery
import json
import sys

SOURCES = json.loads(r"""
{sources}
""")
PACKAGES = {{name.rsplit(".", depth)[0] for name in SOURCES for depth in range(1, name.count(".") + 1)}}


class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the modules of this file."""

    def find_spec(self, name, path=None, target=None):
        if name in SOURCES or name in PACKAGES:
            return importlib.machinery.ModuleSpec(name, self, is_package=name in PACKAGES)
        return None

    def exec_module(self, module):
        source = SOURCES.get(module.__name__, "")
        exec(compile(source, f"<{{module.__name__}}>", "exec"), module.__dict__)


sys.meta_path.insert(0, Sources())
from {package}.{start} import main  # noqa: E402

main()
'''


def imported(source: str) -> set[str]:
    """Return the modules of module_utils that a module may import, relative to it, such as host.health."""
    found = set()
    for package, names in _IMPORT.findall(source):
        listed = [one.split(" as ")[0].strip(" \n") for one in names.strip("()").split(",")]
        found |= {package, *(f"{package}.{name}" for name in listed if name)}
    return {name for name in found if name and (MODULE_UTILS / f"{name.replace('.', '/')}.py").exists()}


def sources(start: str = START) -> dict[str, str]:
    """Return the text of a module and of each module that it imports, by name."""
    found: dict[str, str] = {}
    missing = [start]
    while missing:
        name = missing.pop()
        if name not in found:
            found[name] = (MODULE_UTILS / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
            missing += imported(found[name])
    return {f"{PACKAGE}.{name}": found[name] for name in sorted(found)}


def measured_components(components: Sequence[str], instance: str, layout: Mapping) -> dict[str, dict]:
    """Return what the program compares each component of a host with: its project, and the containers and agents.

    layout: agent_layout of the host, {} without agents.
    """
    found = {}
    for component in components:
        services = 1
        if component in ("prover_agent", "prover_monitor"):
            services = len(IMAGES if component == "prover_monitor" else layout["services"])
        agents = services * layout["agents"] if component == "prover_agent" else 0
        found[component] = {"project": project_name(component, instance), "containers": services, "agents": agents}
    return found


def host_metrics_program(header: str) -> str:
    """Return the text of the program. header: the line with the name of what manages the file."""
    # Each escape of JSON has one form, so that the text is the same in each run.
    text = json.dumps(sources(), indent=0)
    return PROGRAM.format(header=header, package=PACKAGE, start=START, sources=text)
