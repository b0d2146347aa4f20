"""Problems of a host's container engine: a row is (a part of the line, the host with it, the host after it).

`planned(bare_host(**engine))` is what docker_engine reports on a host, `agent(...)` what the preflight reports on an
agent's host.
"""

from __future__ import annotations

from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.plan import (
    changed_root_problem,
    engine_plan,
)
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.preflight.host_settings import EngineSettings

from tests.remedies.case import Lines, cases, returned
from tests.remedies.tables.hosts import but_for, host
from tests.unit.plugins.module_utils.host.test_docker_engine_usable import COMMAND, MANAGED, bare_host
from tests.unit.plugins.module_utils.host.test_docker_engine_usable import SERVES as THEIRS
from tests.unit.plugins.plugin_utils.docker_engine.test_plan_roots import CONTAINERD, DATA
from tests.unit.plugins.plugin_utils.preflight.test_hardware_checks import BIG, IMAGE, LEGACY, OWN
from tests.unit.plugins.plugin_utils.preflight.test_hardware_checks import host_info as seen
from tests.unit.plugins.plugin_utils.preflight.test_hardware_checks import lines as found
from tests.unit.plugins.plugin_utils.preflight.test_host_checks import SERVES, engine


def planned(here: dict, source: str = "docker", **options: object) -> Lines:
    """Return what is decided about the engine of a host. options: of daemon.json."""
    return lambda: engine_plan(here, source, "", "https://any.lan/linux", [], options)["problems"]


def moved(data: str = "", containerd: str = "", **roots: object) -> Lines:
    """Return what checks an engine that holds images, for these roots. roots: where they are, and whether they hold."""
    now = {"data_root": DATA, "containerd_root": CONTAINERD, "containerd_configured": CONTAINERD}
    here = {"engine": {**now, "data_root_holds": True, "containerd_root_holds": True, **roots}}
    return returned(changed_root_problem, here, data, containerd)


def agent(*images: str, present: tuple = (), machine: str = "riscv64") -> Lines:
    """Return what checks the architecture of an agent's host. present: the images that are there already."""

    def lines() -> list[str]:
        here = seen(BIG, {**LEGACY, "architecture": machine}, {image: {} for image in present})
        return [": ".join(line.split(" | ")[2:]) for line in found(here, images)]

    return lines


def rooted(
    current: str, wanted: str = "", containerd: str = "/var/lib/containerd", containerd_wanted: str = ""
) -> Lines:
    """Return what checks a host with these roots of an unmanaged engine. wanted, containerd_wanted: as set."""
    options = {"data-root": wanted} if wanted else {}
    there = engine(**SERVES, root=current, containerd_root=containerd)
    return host(wanted=EngineSettings(options=options, containerd_root=containerd_wanted), engine=there)


REMOVE = "remove those that nothing else needs"
FLAG = {"command": [*COMMAND, "--log-driver=local"]}
OTHER_FILE = {"command": [*COMMAND, "--config-file=/etc/other.json"]}

ENGINES = cases(
    # packages that conflict
    (
        f"{REMOVE} (apt-get remove containerd runc), or set docker_engine_source to distribution",
        planned(bare_host(packages={"containerd": "1.7.24", "runc": "1.1.15"})),
        planned(bare_host()),
        planned(bare_host(packages={"containerd": "1.7.24", "runc": "1.1.15"}), "distribution"),
    ),
    (
        f"{REMOVE} (apt-get remove containerd.io), or set docker_engine_source to docker",
        planned(bare_host(packages={"containerd.io": "1.7.24"}), "distribution"),
        planned(bare_host(), "distribution"),
        planned(bare_host(packages={"containerd.io": "1.7.24"})),
    ),
    (
        f"{REMOVE} (apt-get remove containerd)",
        planned(bare_host("debian 12", packages={"containerd": "1.6.20"})),
        planned(bare_host("debian 12")),
    ),
    # a daemon.json from before the engine
    (
        "sets data-root: set the same in docker_engine_daemon_options, or remove the file",
        planned(bare_host(daemon_json_names=["data-root"])),
        planned(bare_host(daemon_json_names=["data-root"]), **{"data-root": "/srv/docker"}),
        planned(bare_host()),
    ),
    (
        "is not a JSON object, and no engine is installed yet: correct it, or remove it",
        planned(bare_host(daemon_json_names=None)),
        planned(bare_host(daemon_json_names=["mtu"]), mtu=1400),
        planned(bare_host()),
    ),
    # engines that cannot be used
    (
        "the engine responds but does not return its state (docker info: timed out): see systemctl status docker",
        planned(bare_host(**{**THEIRS, "error": "timed out"})),
        planned(bare_host(**THEIRS)),
    ),
    (
        "docker compose version --short did not end in time: run again when the host is less busy",
        planned({**bare_host(**{**THEIRS, "compose": None}), "timed_out": ["docker compose version --short"]}),
        planned(bare_host(**THEIRS)),
    ),
    ("boot it with systemd", planned(bare_host(systemd=False)), planned(bare_host())),
    (
        "(snap remove docker) and run again",
        planned(bare_host(**{**THEIRS, "source": "other"}, snap=True)),
        planned(bare_host()),
    ),
    (
        "Docker Desktop runs",
        planned(bare_host(**THEIRS, desktop=True)),
        planned(bare_host(**THEIRS)),
        planned(bare_host()),
    ),
    ("the engine is rootless", planned(bare_host(**THEIRS, security=["rootless"])), planned(bare_host(**THEIRS))),
    (
        "the engine maps the users of containers",
        planned(bare_host(**THEIRS, security=["seccomp", "userns"])),
        planned(bare_host(**THEIRS, security=["seccomp"])),
    ),
    (
        "the engine labels containers for SELinux",
        planned(bare_host(**THEIRS, security=["selinux"], selinux_enforcing=True)),
        planned(bare_host(**THEIRS, selinux_enforcing=True)),
    ),
    # settings that no engine starts with, or with which it cannot be used
    (
        "userns-remap maps the users of containers",
        planned(bare_host(**MANAGED), **{"userns-remap": "default"}),
        planned(bare_host(**MANAGED)),
    ),
    (
        "with selinux-enabled containers cannot read",
        planned(bare_host(**MANAGED, selinux_enforcing=True), **{"selinux-enabled": True}),
        planned(bare_host(**MANAGED, selinux_enforcing=True)),
    ),
    (
        "sets dns too: remove dns from docker_engine_daemon_options, or the flag from its unit",
        planned(bare_host(**MANAGED, command=[*COMMAND, "--dns=9.9.9.9"]), dns=["9.9.9.9"]),
        planned(bare_host(**MANAGED, command=[*COMMAND, "--dns=9.9.9.9"])),
        planned(bare_host(**MANAGED, command=COMMAND), dns=["9.9.9.9"]),
    ),
    (
        "sets log-driver too: remove the flag from its unit",
        planned(bare_host(**MANAGED, **FLAG)),
        planned(bare_host(**MANAGED, command=COMMAND)),
    ),
    (
        "reads another file than",
        planned(bare_host(**MANAGED, **OTHER_FILE)),
        planned(bare_host(**MANAGED, command=COMMAND)),
    ),
    # roots
    (
        "set docker_engine_data_root to /var/lib/docker, or stop all containers",
        moved("/d"),
        moved(DATA),
        moved("/d", data_root_holds=False),
    ),
    (
        "set docker_engine_containerd_root to /var/lib/containerd, or stop all containers",
        moved(containerd="/c"),
        moved(containerd=CONTAINERD),
        moved(containerd="/c", containerd_root_holds=False),
    ),
    (
        "set docker_engine_data_root to /there for this host, or set it in",
        rooted("/there", "/d"),
        rooted("/there", "/there"),
        rooted("/d", "/d"),
    ),
    (
        "set docker_engine_containerd_root to /there for this host, or set it in",
        rooted(DATA, containerd="/there", containerd_wanted="/c"),
        rooted(DATA, containerd="/there", containerd_wanted="/there"),
        rooted(DATA, containerd="/c", containerd_wanted="/c"),
    ),
    # SELinux and architecture
    (
        "run setenforce 0 on the host and set SELINUX=permissive in /etc/selinux/config",
        host(engine=engine(selinux_enforcing=True)),
        host(engine=engine()),
    ),
    (
        "is published for amd64 and arm64, but the host is riscv64",
        agent(IMAGE),
        agent(IMAGE, machine="amd64"),
        agent(IMAGE, machine="arm64"),
        # It was built for this host, which is unknown before it is present.
        but_for(agent(OWN), "may not be built for the host's architecture"),
        agent(OWN, present=(OWN,)),
    ),
    (
        "may not be built for the host's architecture",
        agent(OWN),
        agent(OWN, present=(OWN,)),
        agent(OWN, machine="amd64"),
    ),
)
