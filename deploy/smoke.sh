#!/usr/bin/env bash
# Runs an image as the user it is made for, without a container engine: it must say its version,
# serve, refuse a forged delivery, and drain on SIGTERM. Needs root and buildah.
#   deploy/smoke.sh IMAGE
set -euo pipefail

image=$1
public=127.0.0.1:28080
admin=127.0.0.1:28090
deadline_seconds=30

container=$(buildah from "$image")
root=$(buildah mount "$container")
pid=
cleanup() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    buildah rm "$container" >/dev/null
}
trap cleanup EXIT

fail() {
    echo "smoke.sh: $1" >&2
    exit 1
}

# wait_until WHAT COMMAND...: until the command succeeds, or the deadline.
wait_until() {
    local what=$1 end=$((SECONDS + deadline_seconds))
    shift
    until "$@" 2>/dev/null; do
        [ "$SECONDS" -lt "$end" ] || fail "not $what within $deadline_seconds s"
        sleep 0.2
    done
}

inside() { exec env -i "PATH=$PATH:/usr/sbin" SMOKE_SECRET=whsec_smoke chroot --userspec=65532:65532 "$root" /hookgate "$@"; }
ready() { curl --silent --fail --output /dev/null "http://$admin/readyz"; }
ended() { ! kill -0 "$pid"; }

mkdir -p "$root/etc/hookgate"
cat >"$root/etc/hookgate/hookgate.toml" <<CONFIG
[server]
listen = "$public"
admin_listen = "$admin"
public_url = "http://$public"

[ledger]
url = "sqlite:/var/lib/hookgate/ledger.db"

[publisher]
url = "stdout:"

[[endpoint]]
id = "smoke"
tenant = "smoke"
provider = "stripe"
secrets = ["env:SMOKE_SECRET"]
CONFIG

(inside --version)
inside serve --config /etc/hookgate/hookgate.toml &
pid=$!
wait_until ready ready

status=$(curl --silent --output /dev/null --write-out '%{http_code}' \
    --header 'Content-Type: application/json' --data '{}' "http://$public/hooks/smoke")
[ "$status" = 401 ] || fail "a forged delivery was answered $status"

kill -TERM "$pid"
wait_until ended ended
status=0
wait "$pid" || status=$?
pid=
[ "$status" = 0 ] || fail "exit status $status after SIGTERM"
[ "$(stat -c %u "$root/var/lib/hookgate/ledger.db")" = 65532 ] || fail "the ledger is not the image user's"
echo "smoke.sh: $image serves, refuses and drains"
