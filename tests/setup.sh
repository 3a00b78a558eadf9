#!/bin/sh
# Installs what the tests need beside Rust: Redis, RabbitMQ, a Python with an AMQP client, Node.js with
# what the worker in examples/ needs, and the vendors' SDKs that tests/sdk runs. The tests start servers
# of their own, on ports of their own. Silent where nothing is missing.
set -eu
cd "$(dirname "$0")/.."

missing=
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
need redis-server test -x /usr/bin/redis-server
# Not the wrapper in /usr/sbin: the tests start the script it wraps, as whoever they run as.
need rabbitmq-server test -x /usr/lib/rabbitmq/bin/rabbitmq-server
# What lets the campaign set the clock of a gateway.
need faketime sh -c 'ls /usr/lib/*/faketime/libfaketimeMT.so.1'
# What docs/SEALING.md makes keys with.
need openssl command -v openssl
need python3-venv python3 -c 'import ensurepip, venv'
need nodejs node --eval 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'
# Debian's npm comes with Debian's Node.js; other packages of Node.js bring their own.
need npm command -v npm

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "setup.sh: the tests need$missing as Debian packages them, and apt-get is not here" >&2
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null; then
        as_root=sudo
    else
        echo "setup.sh: the tests need$missing, and neither root nor sudo without a password is at hand; run" >&2
        echo "  apt-get update && apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    echo "setup.sh: installing$missing"
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages, or nothing
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $missing >/dev/null
fi

./deploy/tools.sh tests/requirements.txt

# The SDKs in Python are kept apart, in an environment of their own. What was installed is remembered as a copy of
# the file that asked for it.
sdk=tests/sdk
if ! cmp -s $sdk/requirements.txt .tools/sdk/requirements.txt; then
    python3 -m venv --clear .tools/sdk
    .tools/sdk/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
        --require-hashes --requirement $sdk/requirements.txt
    cp $sdk/requirements.txt .tools/sdk/
fi
# Scripts of packages are not run: none of these has anything to build.
for packages in $sdk examples; do
    if ! cmp -s "$packages"/package-lock.json "$packages"/node_modules/package-lock.json; then
        npm ci --prefix "$packages" --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null
        cp "$packages"/package-lock.json "$packages"/node_modules/
    fi
done
