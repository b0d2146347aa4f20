"""pyinfra: bring a host to its desired state, `settings` and the files below `root` in the directory of its data."""

import shlex
from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, docker, files, server, systemd
from pyinfra.operations.util import any_changed

HEALTHY = """for i in $(seq 300); do
  bad=0
  for c in $(docker ps -aq); do [ "$(docker inspect -f '{{.State.Health.Status}}' $c)" = healthy ] || bad=1; done
  [ $bad = 1 ] || exit 0
  sleep 1
done
exit 1"""

state = Path(host.data.state)
settings = dict(line.split("=", 1) for line in shlex.split((state / "settings").read_text()))
root = state / "root"
paths = sorted(root.rglob("*"))

# The engine does not start without the port guard.
apt.packages(name="Install nftables", packages=["nftables"], no_recommends=True, update=True, cache_time=86400)
for path in paths:
    if path.is_dir() and str(path.relative_to(root)).startswith(("opt/aztec", "etc/aztec")):
        files.directory(path=f"/{path.relative_to(root)}", mode=oct(path.stat().st_mode & 0o777)[2:], user="root")
written = {
    f"/{path.relative_to(root)}": files.put(
        src=str(path),
        dest=f"/{path.relative_to(root)}",
        mode=oct(path.stat().st_mode & 0o777)[2:],
        user="root",
        group="root",
    )
    for path in paths
    if path.is_file()
}
units = [put for dest, put in written.items() if dest.startswith("/etc/systemd/")]
rules = [put for dest, put in written.items() if dest.startswith("/etc/aztec-port-guard/")]
systemd.daemon_reload(name="Read the units again", _if=any_changed(*units))
systemd.service(name="Run the port guard", service="aztec-port-guard", running=True, enabled=True)
systemd.service(name="Load the rules", service="aztec-port-guard", reloaded=True, _if=any_changed(*rules))

apt.packages(name="Install the engine", packages=settings["PACKAGES"].split(), no_recommends=True)
systemd.service(
    name="Restart the engine", service="docker", restarted=True, _if=written["/etc/docker/daemon.json"].did_change
)
systemd.service(name="Run the engine", service="docker", running=True, enabled=True)
for image in settings["IMAGES"].split():
    docker.image(name=f"Pull {image}", image=image)
server.shell(
    name="Create the network",
    commands=[
        f"docker network inspect {settings['NETWORK']} >/dev/null 2>&1 || "
        f"docker network create {settings['NETWORK_OPTIONS']} {settings['NETWORK']}"
    ],
)
server.shell(
    name="Run the projects and wait until they are healthy",
    commands=[
        *(
            f"cd /{path.relative_to(root)} && docker compose up --detach --quiet-pull --remove-orphans"
            for path in sorted((root / "opt/aztec").iterdir())
        ),
        HEALTHY,
    ],
)
