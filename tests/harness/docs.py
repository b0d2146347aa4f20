"""Write docs/settings.md and docs/plugins.md from what roles and plugins say: python -m tests.harness.docs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COLLECTION = "aztec_ops.prover"
RENDERED = "tests/rendered/test_settings.py"

# Where the collection's own code, and what ansible-doc shows, is taken from.
sys.path.insert(0, str(ROOT / "collections"))

SETTINGS_HEAD = """\
# Settings

Written by `python -m tests.harness.docs` from the roles' argument_specs, their defaults, the table of ranges and the
table of tests; do not edit it.

Fleet-wide settings are those of `preflight` that begin with `aztec_`; a component's own setting wins over them. Where a
default is *the fleet's*, the playbooks derive it from the inventory, and a role that is used alone has the value behind
it. The last column names the test that covers a setting.
"""

PLUGINS_HEAD = """\
# Modules and filters

Written by `python -m tests.harness.docs` from what `ansible-doc` shows; do not edit it.
"""


def markdown(text: object) -> str:
    """Return a text of Ansible's documentation as Markdown, in one line."""
    line = " ".join(str(text).split())
    # Names of options, values, plugins and code stand in one kind of brackets each; of a reference the name is shown.
    line = re.sub(r"\b(?:O|RV)\((?:[^()#]+#\w+:)?([^()]+)\)", r"`\1`", line)
    line = re.sub(r"\b[MP]\(([^()#]+)(?:#\w+)?\)", r"`\1`", line)
    return re.sub(r"\b[CV]\(([^()]+)\)", r"`\1`", line)


def sentences(description: object) -> str:
    """Return a description as one text."""
    return markdown(description if isinstance(description, str) else " ".join(map(str, description)))


def code(value: object) -> str:
    """Return a value as code."""
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)]


def type_of(option: dict[str, Any]) -> str:
    """Return an option's type with its choices."""
    kind = f"list of {option['elements']}" if option.get("elements") else option.get("type", "str")
    choices = f": {', '.join(code(choice) for choice in option['choices'])}" if option.get("choices") else ""
    return kind + choices + (", secret" if option.get("no_log") else "")


def default_of(option: dict[str, Any], raw: object) -> str:
    """Return an option's default, and what it is derived from where that is set."""
    derived = ["the fleet's"] if "preflight_fleet" in str(raw) else []
    derived += [f"`{name}`" for name in re.findall(r"\baztec_[a-z0-9_]+", str(raw).replace("preflight_fleet", ""))]
    if option.get("required"):
        return ", else ".join([*derived, "required"])
    return ", else ".join(derived + ([code(option["default"])] if "default" in option else []))


def options_of(options: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Return options by name, and the parts of an option after it."""
    for name, option in options.items():
        yield above + name, option
        yield from options_of(option.get("options") or option.get("suboptions") or {}, f"{above}{name}.")


def settings() -> str:
    """Return docs/settings.md."""
    from ansible_collections.aztec_ops.prover.plugins.action.validate_inventory import ROLES, read_specs
    from ansible_collections.aztec_ops.prover.plugins.plugin_utils.inventory.value_ranges import range_of

    specs = read_specs(ROLES)
    tests = yaml.safe_load((ROOT / "tests/rendered/settings.yml").read_text(encoding="utf-8"))
    lines = [SETTINGS_HEAD]
    for role in ("preflight", "prover_node", "prover_broker", "prover_agent", "docker_engine", "port_guard"):
        main = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"][
            "main"
        ]
        rows = []
        for name, option in options_of(specs.options[role]):
            wanted = range_of(name)
            does = [text for text in option["description"] if wanted is None or text != wanted.sentence]
            test = tests[name.partition(".")[0]].get("test", RENDERED)
            takes = markdown(wanted.words) if wanted else ""
            default = default_of(option, specs.defaults[role].get(name, ""))
            rows.append([code(name), type_of(option), default, takes, sentences(does), code(test)])
        lines += [f"## {role}", "", f"{markdown(main['short_description'])}. {sentences(main['description'])}", ""]
        lines += [*table(["setting", "type", "default", "takes", "what it does", "test"], rows), ""]
    return "\n".join(lines)


def shown_by_ansible_doc(kind: str, names: list[str]) -> dict[str, Any]:
    """Return what ansible-doc shows of plugins of a kind, by name."""
    run = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-doc"),
            "--json",
            "-t",
            kind,
            *(f"{COLLECTION}.{name}" for name in names),
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def returned(values: dict[str, Any]) -> list[list[str]]:
    """Return the rows of what a plugin returns."""
    rows = []
    for name, value in values.items():
        kind = f"list of {value['elements']}" if value.get("elements") else value["type"]
        rows.append([code(name), kind, sentences(value["description"])])
    return rows


def plugins() -> str:
    """Return docs/plugins.md."""
    lines = [PLUGINS_HEAD]
    for kind, directory in (("module", "modules"), ("filter", "filter")):
        files = sorted({path.stem for path in (ROOT / "plugins" / directory).glob("*.*")})
        documented = [name for name in files if kind == "module" or (ROOT / "plugins/filter" / f"{name}.yml").is_file()]
        lines += [f"## {kind.capitalize()}s", ""]
        for name, shown in sorted(shown_by_ansible_doc(kind, documented).items()):
            doc = shown["doc"]
            rows = [
                [code(option), type_of(spec), default_of(spec, ""), sentences(spec["description"])]
                for option, spec in options_of(doc.get("options") or {})
            ]
            lines += [f"### {name}", "", f"{markdown(doc['short_description'])}. {sentences(doc['description'])}", ""]
            if rows:
                lines += [*table(["option", "type", "default", "what it is"], rows), ""]
            if shown.get("return"):
                lines += [*table(["returns", "type", "what it is"], returned(shown["return"])), ""]
            lines += ["```yaml+jinja", shown["examples"].strip("\n"), "```", ""]
    return "\n".join(lines)


DOCS = {"docs/settings.md": settings, "docs/plugins.md": plugins}

if __name__ == "__main__":
    for place, give in DOCS.items():
        (ROOT / place).write_text(give(), encoding="utf-8")
