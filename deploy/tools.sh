#!/bin/sh
# Puts the packages of a pinned and hashed requirements file into .tools/, a Python environment that
# git ignores. Says and does nothing where they are there already.
#   deploy/tools.sh [deploy/requirements.txt]
set -eu
cd "$(dirname "$0")/.."

wanted=${1:-deploy/requirements.txt}
# What was installed is remembered as a copy of the file that asked for it.
installed=.tools/$(echo "$wanted" | tr / -)

if cmp -s "$wanted" "$installed"; then
    exit 0
fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    echo "tools.sh: python3 with venv is missing; tests/setup.sh installs it on Debian" >&2
    exit 1
fi
[ -x .tools/bin/python ] || python3 -m venv .tools
.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$wanted"
cp "$wanted" "$installed"
