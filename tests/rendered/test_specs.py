"""Defaults, argument_specs, ranges and use agree, in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import component_names
from ansible_collections.aztec_ops.prover.plugins.module_utils.host.host_metrics import METRICS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import FACTS, ROLES, read_specs
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.checks.variables import type_problem
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.options import MONITOR
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import (
    RANGES,
    range_of,
    range_problem,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan import operations, removal, upgrade
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.plan.differences import (
    ENGINE_GROUP,
    GROUPS,
    REPLACE_GROUP,
    STATUS_GROUP,
)

ROOT = Path(__file__).parents[2]
SPECS = read_specs(ROLES)
DECLARED = {*SPECS.names(), *FACTS}
COLLECTION_NAME = re.compile(rf"(?:aztec|{'|'.join(SPECS.options)})_[a-z0-9_]+")

# Keys of a task whose value is an expression by itself.
CONDITIONS = ("when", "until", "changed_when", "failed_when")


def options() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all options by name, and the parts of those that have parts."""
    for role in SPECS.options.values():
        for name, option in role.items():
            yield name, option
            yield from ((f"{name}.{part}", one) for part, one in option.get("options", {}).items())


OPTIONS = [pytest.param(name, option, id=name) for name, option in options()]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_an_option_is_complete(name: str, option: dict[str, Any]) -> None:
    """It has a type, one good sentence or more, and a default that it would take itself, or is required."""
    assert option["type"] in ("str", "int", "bool", "path", "list", "dict", "float", "raw")
    assert (option["type"] == "list") == ("elements" in option)
    assert all(re.fullmatch(r"[A-Z].*\.", sentence, re.DOTALL) for sentence in option["description"])
    if option.get("required"):
        assert "default" not in option
    elif not name.startswith("aztec_") or "address" not in name:
        default = option["default"]
        assert type_problem(name, option, default) is None
        assert range_problem(name, default) is None or default in ("", [])


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_a_description_ends_with_the_range(name: str, option: dict[str, Any]) -> None:
    """The sentence of the table of ranges is at the end of the option's description, and nowhere else."""
    wanted = range_of(name)
    sentences = [sentence for sentence in option["description"] if sentence.startswith("Takes ")]
    assert sentences == ([wanted.sentence] if wanted else [])
    assert wanted is None or option["description"][-1] == wanted.sentence


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_a_type_is_exact_or_there_is_a_range(name: str, option: dict[str, Any]) -> None:
    """Any number, text or path has a range or choices. Dictionaries of settings and booleans do not need one."""
    free = option["type"] in ("bool", "dict") or option.get("elements") == "dict"
    assert (range_of(name) is not None) or free or "choices" in option


def test_every_range_has_an_option() -> None:
    """Every line of the table belongs to an option."""
    used = {id(range_of(name)) for name, _option in options()}
    assert [key for key, one in RANGES.items() if id(one) not in used] == []


def templated_defaults(role: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return a role's defaults, templated by Ansible, on a host that has nothing but the given variables."""
    names = {f"__{role}_names": component_names(role)} if role in (*COMPONENTS, MONITOR) else {}
    raw = {**SPECS.defaults[role], **given, **names}
    variables = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in raw.items()}
    templar = Templar(loader=DataLoader(), variables={"inventory_hostname": "host", **variables})
    return {name: templar.template(trust_as_template(f"{{{{ {name} }}}}")) for name in SPECS.defaults[role]}


@pytest.mark.parametrize("role", SPECS.options)
def test_defaults_are_those_of_the_specification(role: str) -> None:
    """Each default is the same in defaults and specification. Required options are empty or missing in the defaults."""
    found = templated_defaults(role, {})
    declared = {name: option for name, option in SPECS.options[role].items() if name.startswith(f"{role}_")}
    assert {name: value for name, value in found.items() if not declared[name].get("required")} == {
        name: option["default"] for name, option in declared.items() if not option.get("required")
    }
    assert [name for name, value in found.items() if declared[name].get("required") and value not in ("", [])] == []


@pytest.mark.parametrize("role", SPECS.options)
def test_fleet_wide_defaults_are_those_that_the_roles_have_without_them(role: str) -> None:
    """An aztec_ variable that is set to its declared default changes nothing."""
    declared = {name: option["default"] for name, option in SPECS.options["preflight"].items() if "default" in option}
    wide = {name: value for name, value in declared.items() if name.startswith("aztec_")}
    assert templated_defaults(role, wide) == templated_defaults(role, {})


def texts(value: Any, condition: bool = False) -> Iterator[str]:
    """Yield each template inside of YAML, conditions as templates too."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, key in CONDITIONS)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, condition)
    elif isinstance(value, str):
        yield f"{{{{ {value} }}}}" if condition else value


def read_by(role: str) -> set[str]:
    """Return the variables that a role's tasks, variables and defaults read."""
    found = set()
    for path in [
        *(ROLES / role).glob("tasks/*.yml"),
        *(ROLES / role).glob("vars/*.yml"),
        *(ROLES / role).glob("defaults/*.yml"),
    ]:
        for text in texts(yaml.safe_load(path.read_text(encoding="utf-8"))):
            found |= names_in(text)
    for path in (ROLES / role).glob("templates/*.j2"):
        found |= names_in(path.read_text(encoding="utf-8"))
    return found


def names_in_file(path: Path) -> set[str]:
    """Return the variables that a YAML file reads."""
    return set().union(*map(names_in, texts(yaml.safe_load(path.read_text(encoding="utf-8")))))


def names_in(template: str) -> set[str]:
    """Return the variables that a template reads."""
    tree = jinja2.Environment().parse(template)
    return {node.name for node in tree.find_all(jinja2.nodes.Name) if node.ctx == "load"}


def handed_over(role: str) -> Iterator[str]:
    """Yield the variables that a role's tasks set for other roles."""
    for path in (ROLES / role).glob("tasks/*.yml"):
        for task in yaml.safe_load(path.read_text(encoding="utf-8")):
            yield from task.get("vars", {})


PLUGINS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "plugins").rglob("*.py")))


def read_in_plugins(name: str) -> bool:
    """Return whether a plugin reads a variable: by its name, or by the part after the component's name."""
    component = next((one for one in SPECS.options if name.startswith(f"{one}_")), "aztec")
    tail = name[len(component) + 1 :]
    by_tail = rf'\b(?:value|setting|option_value|option_variable)\([^()]*"{tail}"\)'
    return f'"{name}"' in PLUGINS or re.search(by_tail, PLUGINS) is not None


@pytest.mark.parametrize("role", SPECS.options)
def test_every_option_is_read(role: str) -> None:
    """Every option of a specification is read."""
    # The fleet's variables are declared in preflight and read by the roles' defaults.
    read = set().union(*(read_by(one) for one in SPECS.options)) if role == "preflight" else read_by(role)
    # What only a playbook reads.
    read |= {name for path in (ROOT / "playbooks").glob("*.yml") for name in names_in_file(path)}
    assert [name for name in SPECS.options[role] if name not in read and not read_in_plugins(name)] == []


@pytest.mark.parametrize("role", SPECS.options)
def test_what_is_read_or_set_is_declared(role: str) -> None:
    """No variable with a name of the collection's is read, set or given a default that no specification declares."""
    used = read_by(role) | set(handed_over(role)) | set(SPECS.defaults[role])
    assert sorted(name for name in used if COLLECTION_NAME.fullmatch(name) and name not in DECLARED) == []


# Names of Docker and nftables objects, of metrics, and of groups of site.yml, with the prefix of variables.
NO_VARIABLES = {
    *METRICS,
    *("aztec_prover", STATUS_GROUP, REPLACE_GROUP, ENGINE_GROUP, operations.REBOOT_GROUP),
    *(*GROUPS, *operations.GROUPS.values(), operations.REBOOT_AGENTS_GROUP),
    *(*removal.GROUPS.values(), removal.WAIT_GROUP, removal.ADMISSION_GROUP, removal.ENGINE_GROUP),
}


def test_what_plugins_read_is_declared() -> None:
    """No plugin reads a variable of the collection that no specification declares."""
    named = set(re.findall(rf'"({COLLECTION_NAME.pattern})"', PLUGINS)) - set(SPECS.options) - {*FACTS} - NO_VARIABLES
    # Groups of hosts.
    named -= {upgrade.UPGRADE_GROUP, upgrade.UPGRADE_AGENTS_GROUP}
    assert sorted(named - DECLARED) == []
