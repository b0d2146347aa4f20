#!/bin/sh
# Bring this host to the state in the current directory: `settings`, and the files below `root`. Run it as root.
set -eu
# shellcheck source=/dev/null
. ./settings

install_missing() {
  missing=""
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing="$missing $package"
  done
  [ -z "$missing" ] && return
  apt-get update -q
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}

copy_files() {
  (
    cd root
    find . -mindepth 1 -type d | while read -r path; do
      [ -d "/$path" ] || install -d -m "$(stat -c %a "$path")" "/$path"
    done
    find . -type f | while read -r path; do
      [ "$(stat -c '%a %u' "$path")" = "$(stat -c '%a %u' "/$path" 2>/dev/null)" ] && cmp -s "$path" "/$path" && continue
      cp -p "$path" "/$path"
      echo "$path"
    done
  )
}

healthy() {
  for container in $(docker ps -aq); do
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$container")" = healthy ] || return 1
  done
}

# The engine does not start without the port guard.
install_missing nftables
changed=$(copy_files)
case $changed in *systemd/system*) systemctl daemon-reload ;; esac
systemctl is-enabled -q aztec-port-guard || systemctl enable -q aztec-port-guard
systemctl is-active -q aztec-port-guard || systemctl start aztec-port-guard
case $changed in *etc/aztec-port-guard*) systemctl reload aztec-port-guard ;; esac

# shellcheck disable=SC2086
install_missing $PACKAGES
case $changed in *docker/daemon.json*) systemctl restart docker ;; esac
systemctl is-active -q docker || systemctl start docker

for image in $IMAGES; do
  docker image inspect "$image" >/dev/null 2>&1 || docker pull -q "$image"
done
# shellcheck disable=SC2086
docker network inspect "$NETWORK" >/dev/null 2>&1 || docker network create $NETWORK_OPTIONS "$NETWORK"
for project in /opt/aztec/*/; do
  (cd "$project" && docker compose up --detach --quiet-pull --remove-orphans)
done

seconds=0
until healthy; do
  seconds=$((seconds + 1))
  [ "$seconds" -lt 300 ] || { echo "containers are not healthy after 300 s" >&2; exit 1; }
  sleep 1
done
[ -z "$changed" ] || printf 'changed: %s\n' "$changed"
