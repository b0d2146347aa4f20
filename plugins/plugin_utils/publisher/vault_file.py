# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A vault file of an inventory: its path, changes to its decrypted text, and writing it. Does not encrypt.

No message of this module quotes the content of a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ansible_collections.aztec_ops.prover.plugins.module_utils.common.files import write_atomically

try:
    import yaml
except ImportError:  # part of ansible-core; missing only where this file is imported without it
    yaml = None

EXTENSIONS = (".yml", ".yaml")
# Ansible reads the variables of a group or host from the first of these that exists, a folder or a file.
_ENDINGS = ("", ".yml", ".yaml", ".json")
_TEXT = "tag:yaml.org,2002:str"


def inventory_folder(sources: Sequence) -> Path:
    """Return the folder of the inventory given with -i. Raise ValueError if it is not exactly one folder."""
    how = "give one folder, -i inventories/prod"
    if len(sources) > 1:
        raise ValueError(f"{len(sources)} inventories are given, but the key can go into only one: {how}")
    source = str(sources[0]) if sources else ""
    # The default of ansible-core
    if source in ("", "/etc/ansible/hosts"):
        raise ValueError(f"no inventory is given: {how}")
    if "," in source:
        raise ValueError(f"the inventory is a list of hosts, which cannot have a vault file: {how}")
    folder = Path(source)
    if not folder.exists():
        raise ValueError(f"the inventory {source} does not exist: {how}")
    if not folder.is_dir():
        raise ValueError(f"the inventory {source} is a single file: give its folder, -i {folder.parent}")
    return folder


def vault_path(folder: Path, name: str, groups: Iterable, hosts: Iterable) -> Path:
    """Return the path of a vault file. Raise ValueError if Ansible would not read it for the node's host.

    name: its path in the inventory. groups, hosts: those whose variables apply to the node's host.
    """
    path = Path(os.path.normpath(folder / name))
    parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
    entities = {"group_vars": list(groups), "host_vars": list(hosts)}
    in_folder = len(parts) != 2
    entity = "".join(parts[1:2]) if in_folder or path.suffix not in EXTENSIONS else path.stem
    if not entity or parts[0] not in entities or not _is_read(parts[2:]):
        raise ValueError(
            f"Ansible does not read the vault file {name} from the inventory: name a YAML file like "
            "group_vars/all/vault.yml or host_vars/HOST/vault.yml"
        )
    if entity not in entities[parts[0]]:
        known = ", ".join(f"{kind}/{one}" for kind, some in entities.items() for one in some)
        raise ValueError(f"the vault file {name} does not apply to the node's host: put it under one of {known}")
    base = folder / parts[0] / entity
    existing = next((one for ending in _ENDINGS if (one := base.with_name(entity + ending)).exists()), None)
    if existing and not in_folder and path != existing:
        raise ValueError(f"Ansible would read {shown(existing)}, not {shown(path)}: name a file that it reads")
    if existing and in_folder and not existing.is_dir():
        moved = shown(base / f"main{existing.suffix or '.yml'}")
        raise ValueError(f"with {shown(path)} Ansible would no longer read {shown(existing)}: move it to {moved} first")
    return path


def _is_read(parts: Sequence) -> bool:
    """Return whether Ansible reads a file in the folder of a group or host as YAML. parts: its path in that folder."""
    *folders, name = parts or ("",)
    ending = os.path.splitext(name)[1]
    return not name.startswith(".") and ending in ("", *EXTENSIONS) and not any("." in part for part in folders)


def shown(path: Path) -> str:
    """Return a path for a message, relative to the current folder if it is inside it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _pairs_of(text: str) -> tuple:
    """Return (mapping node or None, its pairs) of a YAML text. Raise ValueError unless it is a mapping or empty."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        # The parser's message quotes the text, so the error must not be chained.
        node = "invalid"
    if isinstance(node, yaml.MappingNode):
        return node, node.value
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
        return None, []
    raise ValueError("it does not contain NAME: value lines: correct it with ansible-vault edit")


def variables_in(text: str) -> list:
    """Return (name, value) of the variables in the text of a vars file, None for a value that is not plain text."""
    return [(key.value, value.value if value.tag == _TEXT else None) for key, value in _pairs_of(text)[1]]


def _verified(text: str, pairs: Sequence, problem: str) -> str:
    """Return a changed text. Raise ValueError with this problem unless it contains exactly these pairs."""
    try:
        node = _pairs_of(text)[0]
    except ValueError:
        node = False
    expected = node and yaml.MappingNode(node.tag, list(pairs), flow_style=node.flow_style)
    if node is False or (yaml.serialize(node) != yaml.serialize(expected) if node else pairs):
        raise ValueError(f"{problem}: write the file's content as NAME: value lines with ansible-vault edit")
    return text


def with_added(text: str, variables: Mapping) -> str:
    """Return the text of a vars file with variables added at its end and all else unchanged.

    variables: name -> (text of the value, comment above it).
    """
    pairs = list(_pairs_of(text)[1])
    lines = [] if text.strip() else ["---"]
    for name, (value, comment) in variables.items():
        lines += [f"# {comment}", f'{name}: "{value}"']
        pairs.append((yaml.ScalarNode(_TEXT, name), yaml.ScalarNode(_TEXT, value, style='"')))
    newline = "" if not text or text.endswith("\n") else "\n"
    return _verified(f"{text}{newline}" + "\n".join(lines) + "\n", pairs, "nothing can be added at its end")


def with_renamed(text: str, names: Mapping, comments: Sequence = ()) -> str:
    """Return the text of a vars file with some variables renamed or removed and all else unchanged.

    names: name -> new name, None to remove it. comments: beginnings of comments to remove with a variable.
    """
    pairs, changed, end, found = [], "", 0, []
    for key, value in _pairs_of(text)[1]:
        if key.value not in names:
            pairs.append((key, value))
            continue
        found.append(key.value)
        new = names[key.value]
        if new is None:
            begin, after = _lines_of(text, key, value, comments)
        else:
            begin, after = key.start_mark.index, key.end_mark.index
            pairs.append((yaml.ScalarNode(_TEXT, new), value))
        changed += text[end:begin] + (new or "")
        end = after
    return _verified(changed + text[end:], pairs, f"{' and '.join(found)} cannot be changed in place")


def _lines_of(text: str, key, value, comments: Sequence) -> tuple:
    """Return where the lines of a variable begin and end in a text, with such a comment above them."""
    begin = text.rfind("\n", 0, key.start_mark.index) + 1
    above = text.rfind("\n", 0, max(begin - 1, 0)) + 1
    if begin and text[above:begin].startswith(tuple(f"# {one}" for one in comments)):
        begin = above
    line = text.find("\n", max(value.end_mark.index - 1, 0))
    return begin, len(text) if line < 0 else line + 1


@contextlib.contextmanager
def locked(folder: Path):
    """Create a folder if it is missing, and lock it for this process."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write(path: Path, content: bytes) -> None:
    """Write a file atomically with mode 0600, keeping its owner. Follow a symbolic link instead of replacing it."""
    write_atomically(os.path.realpath(path), content, keep_owner=True)
