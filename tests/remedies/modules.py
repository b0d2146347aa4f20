"""Check arguments of the collection's modules and filters as they check them, without running the module."""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.aztec_ops.prover.plugins.action.compose_stack import compose_model
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import project as compose
from ansible_collections.aztec_ops.prover.plugins.module_utils.port_guard import nft
from ansible_collections.aztec_ops.prover.plugins.modules import compose_stack, host_info
from jinja2.nativetypes import NativeEnvironment

from tests.remedies.lines import ROOT

_PLUGINS = "ansible_collections.aztec_ops.prover.plugins.modules"


def arguments(name: str, given: dict) -> dict:
    """Return a module's arguments with the defaults that its documentation names."""
    options = _options(name)
    texts = {
        key: json.dumps(value) if key == "files" and not isinstance(value, str) else value
        for key, value in given.items()
    }
    checked = ArgumentSpecValidator(_spec(options)).validate(texts)
    assert not checked.error_messages, checked.error_messages
    return checked.validated_parameters


@cache
def _options(name: str) -> dict:
    """Return the options of a module as its documentation describes them."""
    return yaml.safe_load(import_module(f"{_PLUGINS}.{name}").DOCUMENTATION)["options"]


@cache
def _environment() -> NativeEnvironment:
    environment = NativeEnvironment()
    for path in sorted((ROOT / "plugins/filter").glob("*.py")):
        module = import_module(f"ansible_collections.aztec_ops.prover.plugins.filter.{path.stem}")
        filters = module.FilterModule().filters()
        environment.filters.update({f"aztec_ops.prover.{name}": function for name, function in filters.items()})
    return environment


def _spec(options: dict) -> dict:
    kept = ("type", "default", "elements", "choices", "required")
    return {
        name: {
            **{key: option[key] for key in kept if key in option},
            **({"options": _spec(option["suboptions"])} if "suboptions" in option else {}),
        }
        for name, option in options.items()
    }


def problem(name: str, given: dict | str) -> str:
    """Return the line on what is wrong with arguments of a module, or with what a filter is given; '' for none."""
    try:
        if name == "filter":
            _environment().from_string("{{ " + str(given) + " }}").render()
            return ""
        params = arguments(name, given)
        if name == "host_info":
            return host_info.invalid_argument(params) or ""
        if name == "compose_stack":
            if params["compose"]:
                params["_model"] = compose_model(params["compose"])
            compose_stack.DesiredState(params)
            return ""
        nft.section_of(*(params[one] for one in ("section", "ports", "bridges", "required_by_docker", "containers")))
    except (compose.Problem, nft.InvalidSection, ValueError) as error:
        return str(error)
    except AnsibleError as error:
        return str(error)
    return ""
