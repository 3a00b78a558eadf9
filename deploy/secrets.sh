#!/bin/sh
# Makes the secrets that deploy/compose.yaml mounts, each only where it is missing. The two backends
# get random passwords; the endpoints get random secrets, to be replaced by what the providers show.
set -eu
cd "$(dirname "$0")"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# put NAME FORMAT ARGUMENT...: without a newline at its end, unless the format has one.
put() {
    name=$1
    shift
    # shellcheck disable=SC2059 # the format is the argument
    [ -e "secrets/$name" ] || printf "$@" >"secrets/$name"
    # Compose mounts files as they are, and three users read them; the directory keeps others out.
    chmod 0444 "secrets/$name"
}

mkdir -p secrets
chmod 0700 secrets

# A backend and the URL to it share a password, so they are made together.
if ! [ -e secrets/redis.conf ] || ! [ -e secrets/ledger-url ]; then
    rm -f secrets/redis.conf secrets/ledger-url
    password=$(random)
    put redis.conf 'requirepass %s\n' "$password"
    put ledger-url 'redis://:%s@redis:6379' "$password"
fi
# RabbitMQ makes the user at its first start only: with its volume kept, keep these two as well.
if ! [ -e secrets/rabbitmq.conf ] || ! [ -e secrets/publisher-url ]; then
    rm -f secrets/rabbitmq.conf secrets/publisher-url
    password=$(random)
    put rabbitmq.conf 'default_user = hookgate\ndefault_pass = %s\n' "$password"
    put publisher-url 'amqp://hookgate:%s@rabbitmq:5672/%%2f' "$password"
fi
put acme-stripe 'whsec_%s' "$(random)"
put globex-github '%s' "$(random)"
