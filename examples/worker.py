"""Prints each signal of the queue `hookgate` once: worker.py [AMQP_URL]"""

import json
import os
import sys

import pika

seen = set()  # a real worker keeps this where it keeps its results, in the same transaction


def work(channel, method, properties, body):
    if properties.message_id not in seen:
        signal = json.loads(body)
        print(signal["type"], signal["id"], flush=True)
        seen.add(properties.message_id)
    channel.basic_ack(method.delivery_tag)


url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://localhost")
channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
channel.basic_qos(prefetch_count=16)
channel.basic_consume("hookgate", work)
channel.start_consuming()
