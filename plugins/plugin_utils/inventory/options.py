# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The value of a role's option on a host, from the variables of the inventory and the roles' defaults.

hostvars do not contain role defaults, so defaults come from the argument_specs.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import component_names, image_reference
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.aztec.releases import COMPONENTS, Release, release_of
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.argument_specs import default_value

NODE, BROKER, AGENT = COMPONENTS

# The group of the monitor. It does not prove anything, so that it is not one of the components of a release line.
MONITOR = "prover_monitor"
ALL_COMPONENTS = (*COMPONENTS, MONITOR)

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def as_bool(value: object) -> bool | None:
    """Return the boolean of a value, which -e passes as text, or None if it is not a boolean."""
    if isinstance(value, bool):
        return value
    text = str(value).lower() if isinstance(value, (str, int)) else ""
    return True if text in _TRUE else False if text in _FALSE else None


def option_variable(variables: Mapping, component: str, option: str) -> str | None:
    """Return the variable that sets a component's option on a host: its own, the fleet's, or None for the default.

    As in the roles' defaults, a variable counts even if its value is empty.
    """
    return next((name for name in (f"{component}_{option}", f"aztec_{option}") if name in variables), None)


def names_of(variables: Mapping, component: str) -> dict:
    """Return the names of a component on a host, with the instance name that variables of the host set."""
    instance = variables.get("aztec_instance")
    return component_names(component, instance if isinstance(instance, str) else "")


def option_value(variables: Mapping, component: str, option: str):
    """Return the value of a component's option on a host."""
    name = option_variable(variables, component, option)
    return variables[name] if name else option_default(variables, component, option)


def option_default(variables: Mapping, component: str, option: str):
    """Return the default of a component's option on a host."""
    if option in ("docker_network", "docker_bridge"):
        return names_of(variables, component)[option]
    return default_value(f"{component}_{option}")


def directories(variables: Mapping, component: str) -> dict:
    """Return the directories of a component on a host by their variables: its own, then that of its data or CRS."""
    option, leaf = ("crs_directory", "crs") if component == AGENT else ("data_directory", "data")
    base = variables.get("aztec_directory", default_value("aztec_directory"))
    own = variables.get(f"{component}_directory", f"{base}/{names_of(variables, component)['directory']}")
    return {
        f"{component}_directory": own,
        f"{component}_{option}": variables.get(f"{component}_{option}", f"{own}/{leaf}"),
    }


def agents_of(variables: Mapping) -> dict:
    """Return the number of a host's agents, which can be auto, and whether each has a container of its own."""
    count, separate = (option_value(variables, AGENT, option) for option in ("count", "separate_containers"))
    return {"count": count, "separate": as_bool(separate) is True}


def release_on(variables: Mapping, component: str) -> Release:
    """Return the release line of a component on a host. Raise ValueError if its version is not known."""
    return release_of(*(option_value(variables, component, option) for option in ("version", "release_line")))


def image_of(variables: dict, component: str) -> str:
    """Return the reference of a component's image on a host: the image that is set, or that of the release line."""
    image, version, digest = (
        option_value(variables, component, option) for option in ("image", "version", "image_digest")
    )
    return image_reference(image or release_on(variables, component).image, version, digest or "")


def environment_names(component: str, values: Mapping) -> list[str]:
    """Return the variables of the environment that the operator adds to a component. Later ones take precedence."""
    names = [f"{component}_{layer}environment" for layer in ("fleet_", "", "secret_")]
    return names if names[0] in values else ["aztec_environment", *names[1:]]


def environment_of(values: Mapping, component: str) -> dict:
    """Return the environment that the operator adds to a component."""
    layers = [values.get(name) for name in environment_names(component, values)]
    return {name: value for layer in layers if isinstance(layer, Mapping) for name, value in layer.items()}


def members_of(groups: Mapping, group_names: Mapping | None = None) -> dict:
    """Return component -> its hosts. group_names: the names of the components' groups, where they differ."""
    names = group_names or {}
    return {component: list(groups.get(names.get(component, component)) or []) for component in COMPONENTS}
