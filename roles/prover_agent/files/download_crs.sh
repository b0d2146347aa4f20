#!/bin/sh
# Fill the CRS directory and check it, before the first agent of the host starts. The arguments are the command with
# which Aztec downloads what is missing.
#
# CRS_DELIVERY       download (by Aztec), url (from CRS_SOURCE), or copy (the files are already there)
# CRS_SOURCE         URL of a mirror
# CRS_FILES          names of the files
# CRS_OPTIONAL       those of them that may be missing at CRS_SOURCE
# CRS_DIGESTS        NAME=SHA256 of each file whose digest is checked
# CRS_LEAST_BYTES    PATTERN=BYTES for each file that must exist in this size or larger
set -ef
# 4 GiB in blocks of 512 bytes; the largest file has 2 GiB. curl's own limit needs a size that the server announces.
ulimit -f 8388608
cd /var/lib/crs

download() {
  for name in $CRS_FILES; do
    [ -e "$name" ] && continue
    # A server that sends a few bytes per second is given up.
    if curl -fsS --retry 3 --connect-timeout 30 --max-time 14400 --speed-limit 10240 --speed-time 60 \
      -o "$name.part" "$CRS_SOURCE/$name"; then
      mv "$name.part" "$name"
      continue
    fi
    rm -f "$name.part"
    case " $CRS_OPTIONAL " in
      *" $name "*) echo "$name is not at $CRS_SOURCE; the CRS is complete without it" ;;
      *)
        echo "$name cannot be downloaded from $CRS_SOURCE: check that it exists, has at most 4 GiB and arrives within 4 hours" >&2
        exit 1
        ;;
    esac
  done
}

check_digests() {
  for entry in $CRS_DIGESTS; do
    echo "${entry#*=}  ${entry%%=*}" | sha256sum -c --status 2>/dev/null && continue
    rm -f "${entry%%=*}"
    echo "${entry%%=*} has another digest than in prover_agent_crs_digests: it was removed, correct the source" >&2
    exit 1
  done
}

if [ "$CRS_DELIVERY" = url ]; then
  download
fi
# Files from elsewhere are checked before Aztec would replace a missing one.
if [ "$CRS_DELIVERY" = download ]; then
  "$@"
  check_digests
else
  check_digests
  "$@"
fi
for entry in $CRS_LEAST_BYTES; do
  [ -n "$(find . -name "${entry%%=*}" -size "+$((${entry#*=} - 1))c")" ] && continue
  echo "the CRS is incomplete, no ${entry%%=*} of ${entry#*=} bytes or more exists: fill the source again" >&2
  exit 1
done
