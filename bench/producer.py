#!/usr/bin/python3
"""bench/producer.py TOPIC PARTITIONS COUNT RATE: messages at a steady rate, each with the time when it was produced.

A process of its own, so that the one that looks for the rows does not hold it up. `sent` is CLOCK_MONOTONIC in
nanoseconds, the same for all processes of a machine, taken right before the message is handed to the client. The
schedule does not wait for anybody: a message that is late, is late in `sent` too, and the caller looks at the rate.
"""

import os
import sys
import time

import confluent_kafka

TICK_S = 0.001


def main() -> None:
    topic, partitions, count, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    producer = confluent_kafka.Producer({"bootstrap.servers": os.environ["SLUICE_KAFKA"], "linger.ms": 1})
    producer.list_topics(topic, timeout=10)  # connected before the clock starts
    began = time.monotonic()
    number = 0
    while number < count:
        while number < min(count, (time.monotonic() - began) * rate):
            value = (f'{{"id":{number},"name":"customer-{number % 1_000_000:06d}","amount":{number % 100_000 / 100},'
                     f'"at":"2026-01-01T00:00:00Z","active":true,"sent":{time.monotonic_ns()}}}')
            producer.produce(topic, value=value, partition=number % partitions)
            number += 1
        producer.poll(0)
        time.sleep(TICK_S)
    left = producer.flush(30)
    sys.exit(f"{left} messages were not taken by {os.environ['SLUICE_KAFKA']}" if left else 0)


main()
