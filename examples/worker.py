"""Applies the effect of each signal of a queue once, however often the signal comes.

    AMQP_URL=amqp://localhost QUEUE=hookgate DB=worker.db python3 worker.py

With SIGNED_BY (a file or URL of public keys) it refuses what the gateway did not sign; with OPEN_WITH (a file of
private keys) it opens what is sealed.
"""

import json
import os
import random
import signal as signals
import sqlite3
import sys
import time

import pika
from pika.exceptions import AMQPError

from trust import Openers, Refused, Signers

URL = os.environ.get("AMQP_URL", "amqp://localhost")
QUEUE = os.environ.get("QUEUE", "hookgate")
DB = os.environ.get("DB", "worker.db")
SIGNERS = Signers(os.environ["SIGNED_BY"]) if "SIGNED_BY" in os.environ else None
OPENERS = Openers(os.environ.get("OPEN_WITH"))
SIGNATURE = "hookgate-signature"  # the header
PREFETCH = 16  # signals that the broker sends ahead of their acknowledgement
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between attempts to reach the broker

stopping = False


def open_store():
    db = sqlite3.connect(DB)
    db.executescript("""
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS seen (signalid TEXT PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS effects (signalid TEXT NOT NULL, type TEXT NOT NULL, event TEXT NOT NULL, data ANY);
    """)
    return db


def effect(db, signal, data):
    """What this worker is for. Whatever it does, it does in this transaction."""
    text = data if isinstance(data, bytes) else json.dumps(data)
    row = (signal["signalid"], signal["type"], signal["id"], text)
    db.execute("INSERT INTO effects VALUES (?, ?, ?, ?)", row)


def apply(db, signal, data):
    """Takes note of the signal and applies its effect: both, or neither. False if it is a repeat."""
    with db:  # commits, or rolls back
        key = (signal["signalid"],)
        new = db.execute("INSERT OR IGNORE INTO seen VALUES (?)", key).rowcount == 1
        if new:
            effect(db, signal, data)
        return new


def read(headers, body):
    """Returns the signal and its data. Refuses what is no signal that can be believed, and never will be."""
    if SIGNERS:
        SIGNERS.verify(headers.get(SIGNATURE), body)
    try:
        signal = json.loads(body)
        names = [signal["signalid"], signal["type"], signal["id"]]
        if not all(isinstance(name, str) for name in names):
            raise Refused("it has no names")
        return signal, OPENERS.data(signal)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Refused("it is no signal") from error


def work(db, channel, tag, headers, body):
    try:
        signal, data = read(headers, body)
    except Refused as why:
        print(f"refused: {why}", file=sys.stderr, flush=True)
        channel.basic_reject(tag, requeue=False)  # to the dead letters
        return
    if apply(db, signal, data):
        print(signal["type"], signal["id"], flush=True)
    channel.basic_ack(tag)  # after the commit: a crash in between makes a repeat, which is dropped


def consume(db):
    """Works until the broker goes away or the process is to stop."""
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    for method, properties, body in channel.consume(QUEUE, inactivity_timeout=0.5):
        if stopping:
            break
        if method is not None:
            work(db, channel, method.delivery_tag, properties.headers or {}, body)
    connection.close()  # what was not acknowledged goes back to the queue


def stop(*_):
    global stopping
    stopping = True


def main():
    signals.signal(signals.SIGTERM, stop)
    signals.signal(signals.SIGINT, stop)
    db = open_store()
    pause = SHORTEST_PAUSE
    while not stopping:
        began = time.monotonic()
        try:
            consume(db)
        except AMQPError as error:
            print(f"broker: {error!r}", file=sys.stderr)
        ended = time.monotonic()
        pause = SHORTEST_PAUSE if ended - began > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
        again = ended + random.uniform(pause / 2, pause)
        while not stopping and time.monotonic() < again:
            time.sleep(0.1)
    db.close()


main()
