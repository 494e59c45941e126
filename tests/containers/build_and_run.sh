#!/bin/bash
# Build the Dockerfile with buildah on a stand-in base and run the image as a cluster would:
# read-only, without network, without HOME, as a user that is not root. By hand, not in CI:
#
#     tests/containers/build_and_run.sh WORK_DIR BASE_IMAGE [buildah options of the build]
#
# BASE_IMAGE is an image in the local store of WORK_DIR with Python >= 3.11 and venv.
set -euo pipefail
work=$(realpath "${1:?folder for images and output}")
base=${2:?base image}
shift 2
here=$(cd "$(dirname "$0")/../.." && pwd)
store=(--root "$work/store" --runroot "$work/run" --storage-driver overlay)

rm -rf "$work/context" "$work/out"
mkdir -p "$work/context" "$work/out"
git -C "$here" archive HEAD | tar -x -C "$work/context"
buildah "${store[@]}" bud --isolation chroot --network host --pull-never \
  --build-arg BASE="$base" -t localhost/brainfm:check "$@" "$work/context"

chmod 0777 "$work/out"
run() {
  unshare -m sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"' run \
    podman "${store[@]}" --cgroup-manager=cgroupfs --events-backend=file run --rm \
    --network=none --cgroups=disabled --read-only --read-only-tmpfs=false --tmpfs /tmp \
    --user 1000:1000 --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 \
    -v "$work/out:/out" "$@"
}
run localhost/brainfm:check --version
run --entrypoint /bin/sh localhost/brainfm:check -c \
  'id; touch /opt/brainfm/x 2>&1 | grep "Read-only file system"'
# podman sets HOME even where it is told not to
run --entrypoint /usr/bin/env localhost/brainfm:check -u HOME \
  /opt/brainfm/bin/python -m brainfm.demo /out/demo
