# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removing a Compose project, and what only it uses: its network, images and data directories."""

from __future__ import annotations

import json
import os
import posixpath
import shutil
from typing import Any

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose import running
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.actions import describe
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.containers import Container
from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.project import LABEL_PROJECT

# What `docker image ls` prints for an image without a tag or digest.
NONE = "<none>"


def unused(stack: Any) -> list[dict]:
    """Return the actions that remove what no container of another project uses, as the module's options request it.

    Raise Problem if Docker does not reply.
    """
    params = stack.module.params
    if not (params["remove_network"] or params["remove_images"] or params["remove_data"]):
        return []
    ids = stack.run_checked("Querying Docker for containers", "ps", "--all", "--quiet", "--no-trunc").split()
    others = [one for one in stack.inspect_containers(ids) if _project(one) != stack.desired.project]
    actions = []
    if params["remove_network"] and stack.network() and stack.desired.network["name"] not in used_networks(others):
        actions.append({"do": "remove_network", "what": stack.desired.network["name"]})
    for repository in params["remove_images"]:
        words = ("image", "ls", "--digests", "--no-trunc", "--format", "{{json .}}", repository)
        rows = map(json.loads, stack.run_checked("Querying Docker for images", *words).splitlines())
        actions += [{"do": "remove_image", "what": one} for one in unused_images(list(rows), others)]
    return actions + unused_data(stack, others)


def unused_data(stack: Any, others: list[dict]) -> list[dict]:
    """Return the actions that remove data directories. Warn of those that another container uses.

    others: what `docker inspect` prints for the containers of other projects.
    """
    actions = []
    for path in stack.desired.directories if stack.module.params["remove_data"] else []:
        user = user_of(path, others)
        if user:
            why = f"because the container {user} uses it"
            stack.warnings.append(f"{path} is kept, {why}: remove it after that container")
        # An empty mount point stays.
        elif os.path.isdir(path) and (os.listdir(path) or not os.path.ismount(path)):
            actions.append({"do": "remove_data", "what": path})
    return actions


def _project(inspected: dict) -> str:
    return ((inspected.get("Config") or {}).get("Labels") or {}).get(LABEL_PROJECT, "")


def used_networks(others: list[dict]) -> set[str]:
    """Return the names of the networks of containers, of stopped ones as well."""
    return {name for one in others for name in (one.get("NetworkSettings") or {}).get("Networks") or {}}


def unused_images(rows: list[dict], others: list[dict]) -> list[str]:
    """Return the references of the images that no other container uses. rows: those of `docker image ls`."""
    used = {one.get("Image") for one in others}
    found = []
    for row in rows:
        tag, digest = (row.get(name) or NONE for name in ("Tag", "Digest"))
        if row["ID"] not in used and (tag, digest) != (NONE, NONE):
            found.append(f"{row['Repository']}:{tag}" if tag != NONE else f"{row['Repository']}@{digest}")
    return sorted(set(found))


def user_of(path: str, others: list[dict]) -> str:
    """Return the name of a container that mounts a directory, or one in it, '' if none does."""
    real = os.path.realpath(path)
    for one in others:
        for mount in one.get("Mounts") or []:
            source = os.path.realpath(mount.get("Source") or "/")
            if source == real or source.startswith(real + "/"):
                return str(one.get("Name", "")).lstrip("/")
    return ""


def remove(stack: Any, actions: list[dict], containers: list[Container]) -> dict:
    """Remove the containers and files of a project, and what only it uses. Return the result."""
    stack.touched, project = True, stack.desired.project
    stack.done += [describe(action) for action in actions]
    running.drain(stack, containers)
    if any(action["do"] == "remove" for action in actions):
        stack.report_progress(f"removing {project}")
        down = ("compose", "--project-name", project, "down", "--remove-orphans")
        stack.run_checked(f"Removing {project}", *down, seconds=stack.work_seconds())
    for action in actions:
        what = action.get("what", "")
        if action["do"] == "remove_network":
            stack.run_checked(f"Removing network {what}", "network", "rm", what)
        elif action["do"] == "remove_image":
            stack.report_progress(f"removing image {what}")
            stack.run_checked(f"Removing image {what}", "image", "rm", what, seconds=stack.work_seconds())
        # With its last key file, the directory of the key files is removed.
        elif action["do"] == "remove_data" and os.path.isdir(what):
            stack.report_progress(f"removing {what}")
            remove_tree(what)
        elif action["do"] == "unlink" and what != ".stack":
            stack.storage.remove(what, [])
    # At the end: an interrupted run continues then, and nothing else works on the project before.
    shutil.rmtree(stack.storage.own, ignore_errors=True)
    remove_empty(stack.desired.directory, parents=stack.module.params["remove_network"])
    return {"changed": bool(actions), "actions": stack.done, "status": {}}


def remove_tree(path: str) -> None:
    """Remove what a directory contains, and the directory unless something is mounted on it. Raise OSError."""
    # A link stays a link: the directory that it leads to is the operator's.
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    if not os.path.ismount(path) and not os.path.islink(path):
        os.rmdir(path)


def remove_empty(path: str, parents: bool) -> None:
    """Remove a directory if it is empty. parents: also the directories above it, except those directly below /."""
    if not os.path.isdir(path) or os.path.islink(path) or os.path.ismount(path) or os.listdir(path):
        return
    os.rmdir(path)
    parent = posixpath.dirname(path)
    if parents and parent.count("/") > 1:
        remove_empty(parent, parents)
