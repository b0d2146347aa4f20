#!/usr/bin/env bash
# Bring each host of a desired state to it, all at once, with one ssh connection to each: ssh.sh DIRECTORY
# DIRECTORY: ssh_config, and a directory for each host with `settings` and `root`.
set -uo pipefail
state=$1
here=$(dirname "$(realpath "$0")")
# The files contain secrets: they are unpacked to memory, readable by root.
# shellcheck disable=SC2016
remote='d=$(mktemp -d -p /run) && trap "rm -rf $d" EXIT && tar -xpf - -C "$d" && cd "$d" && sh ./apply.sh'

declare -A jobs
for directory in "$state"/*/; do
  host=$(basename "$directory")
  tar -C "$directory" -cf - . -C "$here" apply.sh | ssh -F "$state/ssh_config" "$host" "sudo sh -c '$remote'" 2>&1 | sed "s/^/$host: /" &
  jobs[$host]=$!
done
failed=0
for host in "${!jobs[@]}"; do
  wait "${jobs[$host]}" || { echo "$host: failed" >&2; failed=1; }
done
exit "$failed"
