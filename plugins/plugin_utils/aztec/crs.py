# Copyright (c) Aztec Ops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the agents of a host come by the CRS: the points that every proof is made with, 2 GiB of them.

Aztec fetches what is missing when an agent starts, straight into the files and with no lock: agents that start side by
side would spoil each other's. So a service of its own, which ends before the first agent starts, fills the directory.
"""

from __future__ import annotations

import os

from ansible_collections.aztec_ops.prover.plugins.module_utils.compose.component import service_name

SERVICE = f"{service_name('prover_agent')}-crs"
PATH = "/var/lib/crs"

# Aztec takes these for true, and anything else for false.
_TRUE = ("1", "true", "TRUE")

# The limit of a file of the CRS, of which the largest has 2 GiB, in POSIX's blocks of 512 bytes. The shell sets it, as
# curl refuses only a file whose size it is told before.
LONGEST_BLOCKS = 4 * 2**30 // 512
# curl's, for each try: a source that sends a byte at a time is given up.
CURL_LIMITS = "--connect-timeout 30 --max-time 14400 --speed-limit 10240 --speed-time 60"

_FETCH = """\
for name in $files; do
  [ -e "$name" ] && continue
  if curl -fsS --retry 3 $limits -o "$name.part" "$source/$name"; then
    mv "$name.part" "$name"
    continue
  fi
  rm -f "$name.part"
  case " $optional " in
    *" $name "*) echo "$name is not at $source; the CRS is whole without it" ;;
    *)
      echo "$name cannot be fetched from $source: \
check that it is there, has at most 4 GiB and arrives within 4 hours, at 10 KB/s or more" >&2
      exit 1
      ;;
  esac
done
"""
_VERIFY = """\
for entry in $digests; do
  echo "${entry#*=}  ${entry%%=*}" | sha256sum -c --status 2>/dev/null && continue
  rm -f "${entry%%=*}"
  echo "${entry%%=*} has another digest than prover_agent_crs_digests says: it was removed, mend the source" >&2
  exit 1
done
"""
_MEASURE = """\
for entry in $least; do
  [ -n "$(find . -name "${entry%%=*}" -size "+${entry#*=}c")" ] && continue
  echo "the CRS is not whole, no ${entry%%=*} of more than ${entry#*=} bytes is there: fill the source again" >&2
  exit 1
done
"""


def crs_delivery(source: str, image: str, release: dict, environment: dict) -> str:
    """Give how agents come by the CRS: none, image, download, url or copy.

    source: the option prover_agent_crs_source. image: the image without a tag. environment: that of the agents.
    """
    if environment.get("PROVER_REAL_PROOFS", "true") not in _TRUE:
        return "none"
    carries = release.get("crs_image") or ""
    if source == "image" or (not source and carries and image.rsplit("/", 1)[-1] == carries.rsplit("/", 1)[-1]):
        return "image"
    if not source:
        return "download"
    return "copy" if source.startswith("/") else "url"


def crs_to_copy(source: str, directory: str, files: dict) -> list:
    """Give the files of the controller's directory `source`, where it is one, that a host has not in the same size.

    directory: the host's. files: path -> size of what is there, from a look. ValueError where there is nothing to copy.
    """
    if not source.startswith("/"):
        return []
    try:
        found = sorted(entry.name for entry in os.scandir(source) if entry.is_file() and entry.name.endswith(".dat"))
    except OSError as error:
        raise ValueError("cannot be read on the controller: name a directory there") from error
    if not found:
        raise ValueError("holds no .dat file: name a directory that an agent has filled")
    return [name for name in found if files.get(f"{directory}/{name}") != os.path.getsize(os.path.join(source, name))]


def seed_entrypoint(way: str, release: dict, source: str = "", digests: dict | None = None) -> list:
    """Give the command that fills the CRS directory, under a lock on it: Aztec's own, and what stands around it.

    As Compose wants it, with every $ doubled. digests: file name -> sha256:... that it must have.
    """
    preload = " ".join([*release["entrypoint"][:-1], "preload-crs"])
    files = release["crs_files"]
    optional = [file["name"] for file in files if not file["required"] and file["name"] not in (digests or {})]
    least = {file["pattern"] or file["name"]: file["least_bytes"] for file in files if file["required"]}
    pairs = {
        "source": source.rstrip("/"),
        "limits": CURL_LIMITS,
        "files": " ".join(dict.fromkeys([*(file["name"] for file in files), *(digests or {})])),
        "optional": " ".join(optional),
        "digests": " ".join(f"{name}={value.rpartition(':')[2]}" for name, value in sorted((digests or {}).items())),
        "least": " ".join(f"{name}={size - 1}" for name, size in least.items()),
    }
    steps = [f"set -f\nulimit -f {LONGEST_BLOCKS}\ncd {PATH}\n"]
    steps += [f"{name}='{value}'\n" for name, value in pairs.items()]
    verify = [_VERIFY] if digests else []
    if way == "url":
        steps.append(_FETCH)
    # What is brought from elsewhere is checked before Aztec would fetch in its place.
    steps += [f"{preload}\n", *verify] if way == "download" else [*verify, f"{preload}\n"]
    script = "".join([*steps, _MEASURE])
    return ["flock", PATH, "sh", "-ec", script.replace("$", "$$")]


def with_crs_seed(project: dict, way: str, release: dict, source: str = "", digests: dict | None = None) -> dict:
    """Give an agents' Compose model with the service that fills the CRS directory before the first agent starts."""
    if way in ("none", "image"):
        return project
    agents = project["services"]
    # As an agent in all that the operator may have set for it: mounts, names of hosts, proxies, limits.
    like = next(iter(agents.values()))
    seed = {
        **{key: value for key, value in like.items() if key not in ("depends_on", "mac_address", "ports")},
        "container_name": SERVICE,
        "entrypoint": seed_entrypoint(way, release, source, digests),
        "restart": "no",
        "healthcheck": {"disable": True},
    }
    services = {name: {**service, "depends_on": _after_seed(service)} for name, service in agents.items()}
    return {**project, "services": {SERVICE: seed, **services}}


def _after_seed(service: dict) -> dict:
    before = service.get("depends_on") or {}
    if isinstance(before, list):
        before = {name: {"condition": "service_started"} for name in before}
    return {SERVICE: {"condition": "service_completed_successfully"}, **before}
