#!/usr/bin/python3
"""`source.start: {group: NAME}`: a task takes over where a consumer group, such as a connector's, has stopped."""

import pathlib
import sys

import confluent_kafka

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


def consumer_of(group):
    return confluent_kafka.Consumer({**kafka_settings(), "group.id": group, "enable.auto.commit": False,
                                     "auto.offset.reset": "earliest", "session.timeout.ms": 6000, "log_level": 2})


def commit(group, topic, offsets):
    """As an application that has read so far and is stopped."""
    consumer = consumer_of(group)
    try:
        consumer.commit(offsets=[confluent_kafka.TopicPartition(topic.name, partition, offset)
                                 for partition, offset in offsets.items()], asynchronous=False)
    finally:
        consumer.close()


def after(topic, database, group):
    document = numbered(topic, database)
    document["source"]["start"] = {"group": group}
    return document


def refused(document, *texts):
    Sluice.run(document, "--until-end").expect(1, *texts)
    Sluice.run(document, command="check").expect(1, *texts)
    Sluice.run(document, command="preview").expect(1, *texts)


@concurrent_test
def goes_on_where_a_real_consumer_has_stopped():
    topic, group = Topic(partitions=2), unique("connect")
    rows = produce(topic, 0, 20)
    consumer, taken = consumer_of(group), []
    consumer.subscribe([topic.name])
    while len(taken) < 14:  # more than one partition has
        taken += consumer.consume(14 - len(taken), timeout=1)
    consumer.commit(asynchronous=False)
    commits = {partition: sum(message.partition() == partition for message in taken) for partition in (0, 1)}
    with Database() as db:
        db.sql(TABLE)
        document = after(topic, db, group)
        Sluice.run(document, command="check").expect(0, "warning", "still at work")
        Sluice.run(document, command="preview").expect(0)
        Sluice.run(document, "--until-end").expect(1, "still at work")
        check_rows(db, [], "nothing while the group is at work")
        consumer.close()
        Sluice.run(document, command="check").expect(0, "begins where this group has committed")
        Sluice.run(document, "--until-end").expect(0)
        expected = [row for row in rows if row[2] >= commits[row[1]]]
        check_equal(len(expected), 6, "rows behind the group")
        check_rows(db, expected)
        check_equal(group_offsets(group, topic), commits, "the group is only read")
        # From now on the ledger says where the task is, whatever becomes of the group.
        commit(group, topic, {0: 0, 1: 0})
        expected += produce(topic, 20, 4)
        Sluice.run(document, "--until-end").expect(0)
        check_rows(db, expected)
        # A reset asks the group again.
        db.sql("TRUNCATE t")
        Sluice.run(document, "--until-end", "--reset").expect(0)
        check_equal(len(rows_of(db)), 24, "rows after a reset to the group's new position")


@concurrent_test
def partitions_without_an_offset_are_named_unless_they_are_empty():
    topic, group = Topic(partitions=3), unique("connect")
    messages = [Message(value={"id": number}, partition=number % 2) for number in range(6)]
    topic.produce(messages)  # nothing in partition 2
    commit(group, topic, {0: 1})
    with Database() as db:
        db.sql(TABLE)
        document = after(topic, db, group)
        refused(document, f'group "{group}" has committed no offset for {topic.name}/1', "source.start")
        check(f"{topic.name}/2" not in Sluice.run(document, command="check").out, "an empty partition is no error")
        commit(group, topic, {1: 3})
        Sluice.run(document, "--until-end").expect(0)
        check_equal([row[0] for row in rows_of(db)], [2, 4])
        check_equal(ledger(db, document), {(topic.name, 0): 3, (topic.name, 1): 3, (topic.name, 2): 0})


@concurrent_test
def offsets_outside_the_log_are_refused():
    topic, group = Topic(), unique("connect")
    produce(topic, 0, 10)
    with Database() as db:
        db.sql(TABLE)
        document = after(topic, db, group)
        commit(group, topic, {0: 11})
        refused(document, "offset 11", "outside its log", "offsets 0 to 10")
        commit(group, topic, {0: 3})
        topic.delete_records({0: 5})
        refused(document, "offset 3", "outside its log", "offsets 5 to 10")
        check_rows(db, [], "nothing was applied")
        commit(group, topic, {0: 10})
        Sluice.run(document, "--until-end").expect(0)
        check_rows(db, [], "everything was applied before")


@concurrent_test
def a_group_that_kafka_does_not_know():
    topic = Topic()
    produce(topic, 0, 3)
    with Database() as db:
        db.sql(TABLE)
        group = unique("nobody")
        refused(after(topic, db, group), f'no consumer group "{group}"', "kafka-consumer-groups.sh --list")


@concurrent_test
def a_commit_in_an_open_transaction_is_not_passed_over():
    """An application that writes exactly once commits offsets in transactions: the one in flight may count."""
    topic, group = Topic(), unique("connect")
    produce(topic, 0, 6)
    commit(group, topic, {0: 2})
    producer = confluent_kafka.Producer({**kafka_settings(), "transactional.id": unique("tx")})
    producer.init_transactions(20)
    producer.begin_transaction()
    consumer = consumer_of(group)
    producer.send_offsets_to_transaction([confluent_kafka.TopicPartition(topic.name, 0, 4)],
                                         consumer.consumer_group_metadata(), 20)
    with Database() as db:
        db.sql(TABLE)
        document = after(topic, db, group)
        Sluice.run(document, command="check").expect(1, group)  # for as long as it asks, nothing is certain
        producer.commit_transaction(20)
        Sluice.run(document, "--until-end").expect(0)
        check_equal([row[0] for row in rows_of(db)], [4, 5], "rows behind the transaction's offset")
    consumer.close()


if __name__ == "__main__":
    main()
