# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A vault file of an inventory: where it may lie, what its text becomes, and how it is written. Encrypts nothing.

No message here quotes what a file holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

try:
    import yaml
except ImportError:  # Ansible itself needs it; only where this file is looked at alone it may lack
    yaml = None

EXTENSIONS = (".yml", ".yaml")
# Of the variables of one group or host Ansible reads the first of these, a folder or a file.
_ENDINGS = ("", ".yml", ".yaml", ".json")
_TEXT = "tag:yaml.org,2002:str"


def inventory_folder(sources: Sequence) -> Path:
    """Give the folder of the inventory that a run was given with -i. ValueError where it is not one folder."""
    how = "give one folder, -i inventories/prod"
    if len(sources) > 1:
        raise ValueError(f"{len(sources)} inventories are given, and the key goes into one: {how}")
    source = str(sources[0]) if sources else ""
    # What ansible-core takes where nothing is given
    if source in ("", "/etc/ansible/hosts"):
        raise ValueError(f"no inventory is given: {how}")
    if "," in source:
        raise ValueError(f"the inventory is a list of hosts, in which no vault file has a place: {how}")
    folder = Path(source)
    if not folder.exists():
        raise ValueError(f"the inventory {source} does not exist: {how}")
    if not folder.is_dir():
        raise ValueError(f"the inventory {source} is a single file: give its folder, -i {folder.parent}")
    return folder


def vault_path(folder: Path, name: str, groups: Iterable, hosts: Iterable) -> Path:
    """Give the path of a vault file, checked to be one that Ansible reads for the node's host.

    name: its path in the inventory. groups, hosts: for which of them it may stand.
    """
    path = Path(os.path.normpath(folder / name))
    parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
    entities = {"group_vars": list(groups), "host_vars": list(hosts)}
    alone = len(parts) == 2
    entity = (path.stem if path.suffix in EXTENSIONS else path.name) if alone else "".join(parts[1:2])
    if not entity or parts[0] not in entities or not _is_read(parts[2:]):
        where = "group_vars/all/vault.yml or host_vars/HOST/vault.yml"
        raise ValueError(
            f"the vault file {name} is no YAML file that Ansible reads from the inventory: name one like {where}"
        )
    if entity not in entities[parts[0]]:
        known = ", ".join(f"{kind}/{one}" for kind, some in entities.items() for one in some)
        raise ValueError(f"the vault file {name} would not reach the node's host: put it under one of {known}")
    _check_rivals(path, folder / parts[0] / entity, alone)
    return path


def _is_read(parts: Sequence) -> bool:
    """Tell whether Ansible takes a file in the folder of a group or host for one of YAML; parts: its path there."""
    *folders, name = parts or ("",)
    ending = os.path.splitext(name)[1]
    return not name.startswith(".") and ending in ("", *EXTENSIONS) and not any("." in part for part in folders)


def _check_rivals(path: Path, entity: Path, alone: bool) -> None:
    """Check that Ansible would read path, and no less than before: of a group it reads its folder or its file."""
    rivals = [rival for rival in (entity.with_name(entity.name + ending) for ending in _ENDINGS) if rival.exists()]
    if alone and rivals and path != rivals[0]:
        raise ValueError(f"beside {shown(rivals[0])} Ansible would not read {shown(path)}: name a file that it reads")
    if not alone and rivals and not rivals[0].is_dir():
        moved = shown(entity / f"main{rivals[0].suffix or '.yml'}")
        raise ValueError(
            f"beside {shown(path)} Ansible would no longer read {shown(rivals[0])}: move it to {moved} first"
        )


def shown(path: Path) -> str:
    """Give a path for a message: from the current folder where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _composed(text: str):
    """Give a text's YAML mapping as a node, None for an empty text. ValueError for any other text."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        # The parser's message quotes the text.
        node = "broken"
    if node is None or isinstance(node, yaml.MappingNode):
        return node
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return None
    raise ValueError("it does not hold NAME: value lines: mend it with ansible-vault edit")


def names_in(text: str) -> list:
    """Give the names of the variables that a vars file's text sets."""
    node = _composed(text)
    return [key.value for key, _value in node.value] if node else []


def _same(before, after) -> bool:
    """Tell whether a mapping still begins with what another one holds."""
    old = before.value if before else []
    begin = yaml.MappingNode(after.tag, after.value[: len(old)])
    return not old or yaml.serialize(begin) == yaml.serialize(yaml.MappingNode(before.tag, old))


def with_added(text: str, variables: Mapping) -> str:
    """Give a vars file's text with variables added at its end and all else as it was.

    variables: name -> (text of the value, comment above it).
    """
    before = _composed(text)
    lines = [] if text.strip() else ["---"]
    for name, (value, comment) in variables.items():
        lines += [f"# {comment}", f'{name}: "{value}"']
    joint = "" if not text or text.endswith("\n") else "\n"
    added = f"{text}{joint}" + "\n".join(lines) + "\n"
    try:
        after = _composed(added)
        kept = _same(before, after) and names_in(added) == [*names_in(text), *variables]
    except ValueError:
        kept = False
    if not kept:
        raise ValueError(
            "nothing can be added at its end: write its content as NAME: value lines with ansible-vault edit"
        )
    return added


def texts_in(text: str) -> dict:
    """Give name -> value of the variables that a vars file's text sets, None for a value that is no plain text."""
    node = _composed(text)
    return {key.value: value.value if value.tag == _TEXT else None for key, value in (node.value if node else [])}


def with_changed(text: str, names: Mapping, comments: Sequence = ()) -> str:
    """Give a vars file's text with some variables renamed, or taken out, where they stand, and all else as it was.

    names: name -> its new name, None for one to take out. comments: how a comment begins that goes with it.
    """
    before = _composed(text)
    pairs = before.value if before else []
    found = [(key, value, names[key.value]) for key, value in pairs if key.value in names]
    wanted = [(_named(key, names), value) for key, value in pairs if names.get(key.value, "") is not None]
    pieces, end = [], 0
    for key, value, name in found:
        if name is None:
            begin, after = _lines_of(text, key, value, comments)
            pieces.append(text[end:begin])
        else:
            begin, after = key.start_mark.index, key.end_mark.index
            pieces.append(text[end:begin] + name)
        end = after
    changed = "".join(pieces) + text[end:]
    try:
        after = _composed(changed)
        kept = _read_as(after, wanted)
    except ValueError:
        kept = False
    if not kept:
        raise ValueError(
            f"{' and '.join(key.value for key, _value, _name in found)} cannot be changed where it stands: "
            "write the file's content as NAME: value lines with ansible-vault edit"
        )
    return changed


def _lines_of(text: str, key, value, comments: Sequence) -> tuple:
    """Give where the lines of a variable begin and end in a text, with a comment of ours above them."""
    begin = text.rfind("\n", 0, key.start_mark.index) + 1
    above = text.rfind("\n", 0, max(begin - 1, 0)) + 1
    if begin and text[above:begin].startswith(tuple(f"# {one}" for one in comments)):
        begin = above
    line = text.find("\n", max(value.end_mark.index - 1, 0))
    return begin, len(text) if line < 0 else line + 1


def _read_as(after, wanted: Sequence) -> bool:
    """Tell whether a mapping holds these pairs and no others, in their order."""
    if after is None:
        return not wanted
    expected = yaml.MappingNode(after.tag, list(wanted), flow_style=after.flow_style)
    return yaml.serialize(after) == yaml.serialize(expected)


def _named(key, names: Mapping):
    """Give the node of a variable's name, or of the new one that it gets."""
    return yaml.ScalarNode(_TEXT, names[key.value]) if key.value in names else key


@contextlib.contextmanager
def locked(folder: Path):
    """Make a folder where it is missing and hold it for one process at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write(path: Path, content: bytes) -> None:
    """Write a file at once and whole, with mode 0600; it keeps its owner. A link stays, what it leads to is written."""
    path = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if path.exists():
                was = path.stat()
                os.fchown(file.fileno(), was.st_uid, was.st_gid)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    # An account that is funded now must be there after a power failure.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
