#!/bin/sh
# Entry of the image: makes the cluster's key where it was told to and there is none, shapes this container's links where
# it was told its zone and may, then becomes the command.
set -eu
case "${1:-} ${2:-}" in
    "starling node" | "starling monitor") member=yes ;;
    *) member=no ;;
esac
if [ $member = yes ] && [ "${KEY_IF_ABSENT:-}" = make ]; then
    starling key new --file "${STARLING_KEY_FILE:?KEY_IF_ABSENT=make: say with STARLING_KEY_FILE where}" --if-absent
fi
if [ $member = yes ] && [ "${NETEM_BACKEND:-auto}" != none ] && [ -n "${STARLING_ZONE:-}" ]; then
    netem apply || echo "LINKS ARE NOT SHAPED (see above): the container needs cap_add: [NET_ADMIN, NET_RAW]" >&2
fi
exec "$@"
