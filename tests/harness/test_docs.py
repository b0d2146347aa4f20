"""The generated documentation matches the specs of roles and plugins."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.harness.docs import DOCS, ROOT, default_of, markdown


@pytest.mark.parametrize("place", DOCS)
def test_committed_file_is_up_to_date(place: str) -> None:
    """Run python -m tests.harness.docs to update a file."""
    assert (ROOT / place).read_text(encoding="utf-8").splitlines() == DOCS[place]().splitlines()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Digest C(sha256:...),\n  or V(x)", "Digest `sha256:...`, or `x`"),
        ("From M(a.b.c) and P(a.b.d#filter)", "From `a.b.c` and `a.b.d`"),
        ("Takes O(a.b.c#module:ports), returns RV(state)", "Takes `ports`, returns `state`"),
        ("PROC(1) stays", "PROC(1) stays"),
    ],
)
def test_markup(text: str, shown: str) -> None:
    """Ansible's markup becomes Markdown."""
    assert markdown(text) == shown


@pytest.mark.parametrize(
    ("option", "raw", "shown"),
    [
        ({"default": 8081}, 8081, "`8081`"),
        ({"default": ""}, "", '`""`'),
        ({"default": "info"}, "{{ aztec_log_level | default('info') }}", "`aztec_log_level`, else `info`"),
        ({"required": True}, "{{ preflight_fleet.hosts[x].broker_host | default('') }}", "the fleet's, else required"),
        ({}, "", ""),
    ],
)
def test_defaults(option: dict, raw: object, shown: str) -> None:
    """A default names the variables that it is derived from."""
    assert default_of(option, raw) == shown


@pytest.mark.parametrize("role", [path.parent.parent.name for path in ROOT.glob("roles/*/meta/argument_specs.yml")])
def test_example_of_a_role(role: str) -> None:
    """ansible-doc shows the example of the role's README."""
    spec = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
    readme = (ROOT / f"roles/{role}/README.md").read_text(encoding="utf-8")
    example = re.search(r"^```yaml\n(.*?)```", readme, re.DOTALL | re.MULTILINE)
    assert example and spec["argument_specs"]["main"]["examples"] == example[1]


@pytest.mark.parametrize("pattern", ["modules/*", "filter/*.yml", "callback/*.py", "inventory/*.py", "lookup/*.py"])
def test_version_added(pattern: str) -> None:
    """Each plugin names the version that added it."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "plugins").glob(pattern) if path.is_file()}
    assert texts
    missing = [name for name, text in texts.items() if not re.search(r"^ *version_added: ", text, re.MULTILINE)]
    assert missing == []


@pytest.mark.parametrize(
    ("role", "variable"),
    [
        ("prover_node", "prover_node_p2p_port"),
        ("prover_node", "prover_node_port"),
        ("prover_node", "prover_node_admin_port"),
        ("prover_broker", "prover_broker_port"),
        ("prover_agent", "prover_agent_port"),
    ],
)
def test_ports_of_the_page(role: str, variable: str) -> None:
    """docs/ports.md has the default of each port."""
    default = yaml.safe_load((ROOT / f"roles/{role}/defaults/main.yml").read_text(encoding="utf-8"))[variable]
    page = (ROOT / "docs/ports.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| \w+ \| {default} .*`{variable}` \|$", page, re.MULTILINE)


def test_names_of_the_page() -> None:
    """docs/ports.md names each host that code or default settings contact, and only known settings."""
    page = (ROOT / "docs/ports.md").read_text(encoding="utf-8")
    places = ("plugins/module_utils/aztec/network_config.py", "plugins/module_utils/host/image_registry.py")
    text = "".join((ROOT / place).read_text(encoding="utf-8") for place in places)
    text += (ROOT / "roles/docker_engine/defaults/main.yml").read_text(encoding="utf-8")
    names = set(re.findall(r"https://([a-z0-9.-]+\.[a-z]+)/?", text))
    names -= {"www.gnu.org"}  # the license
    assert len(names) >= 4 and [name for name in names if f"`{name}`" not in page] == []
    settings = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    used = re.findall(r"`((?:aztec|prover|docker)_[a-z0-9_]+)`", page)
    assert [name for name in used if name != "aztec_address" and f"`{name}`" not in settings] == []
