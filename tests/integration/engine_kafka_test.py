"""What Kafka does while a task reads it: topics that grow, end, lose records, come again; every way to reach it."""

import datetime
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


@concurrent_test
def idle_topic_then_messages():
    topic = Topic(partitions=2)
    with Database() as db:
        db.sql(TABLE)
        with Sluice(numbered(topic, db)) as sluice:
            sluice.wait_output("partitions assigned")
            rows = produce(topic, 0, 2)
            await_rows(sluice, db, rows, "the first messages of an idle topic", 30)
            rows += produce(topic, 2, 3)
            await_rows(sluice, db, rows, "messages after a pause", 30)
            sluice.stop().expect(143)


@concurrent_test
def empty_topic_until_end():
    topic = Topic(partitions=3)
    with Database() as db:
        db.sql(TABLE)
        ended = until_end(numbered(topic, db))
        check_equal((ended.summary["end"], ended.summary["rows_written"]), ("applied", 0))
        check(ended.seconds < 30, f"it took {ended.seconds:.1f} s to see that a topic is empty")
        check_rows(db, [])


@concurrent_test
def until_end_means_the_end_at_the_start():
    """A topic that never stands still: the run ends all the same, and the next one goes on where it ended."""
    topic = Topic(partitions=2)
    with Database() as db, Feed(topic) as feed:
        db.sql(TABLE)
        eventually(lambda: len(feed.rows) > 100, "messages")
        document = numbered(topic, db)
        known = list(feed.rows)
        until_end(document)
        check(set(known) <= set(rows_of(db)), "messages from before the start are missing at the end")
        rows = feed.end()
        until_end(document)
        check_rows(db, rows)


@concurrent_test
def compacted_topic_with_gaps():
    topic = Topic(config={"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
                          "max.compaction.lag.ms": "200"})

    def gaps():
        topic.produce([Message(value={"id": number}, key=f"key {number % 3}") for number in range(6)])
        return len(topic.consume()) < ends(topic)[0] - 3

    eventually(gaps, "compaction makes gaps")
    with Database() as db:
        db.sql("CREATE TABLE t (key text PRIMARY KEY, id int)")
        document = task_for(topic, db, "t", sync={"write": "upsert", "columns": [
            {"meta": "key", "column": "key"}, {"field": "id", "column": "id"}]})
        until_end(document)
        check_equal(dict(db.rows("SELECT key, id FROM t")), {"key 0": 3, "key 1": 4, "key 2": 5})
        check_equal(ledger(db, document), {(topic.name, 0): ends(topic)[0]}, "the ledger")
        until_end(document)  # nothing is left, and nothing is taken for a lost record


@concurrent_test
def aborted_records_and_markers_are_passed():
    """The position goes over what nobody may see, so that --until-end ends and lag tools show 0."""
    topic = Topic(partitions=2)
    rows = produce(topic, 0, 4)
    with topic.transaction() as transaction:
        for message, (partition, offset) in zip(numbers(4, 2, 2), transaction.produce(numbers(4, 2, 2))):
            rows.append((message.value["id"], partition, offset))
    with topic.transaction() as transaction:
        transaction.produce(numbers(100, 6, 2))
        transaction.abort()
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db)
        until_end(document)
        check_rows(db, rows, "committed messages only")
        end = ends(topic)
        check_equal(ledger(db, document), {(topic.name, each): offset for each, offset in end.items()}, "the ledger")
        group = group_of(db, document)
        check_equal(group_offsets(group, topic), end, "offsets of the group")
        lines = [line.split() for line in kafka_tool("groups", "--describe", "--group", group).splitlines()
                 if topic.name in line]
        check_equal([line[5] for line in lines], ["0", "0"], "LAG as Kafka's own tool shows it")
        more = numbered(topic, db, name=document["name"])
        until_end(more)
        check_rows(db, rows, "after another run")


@concurrent_test
def read_uncommitted_when_told_so():
    topic = Topic()
    rows = produce(topic, 0, 2)
    with topic.transaction() as transaction:
        rows.append((7, *transaction.produce(numbers(7, 1))[0]))
        transaction.abort()
    with Database() as db:
        db.sql(TABLE)
        until_end(numbered(topic, db, kafka={"isolation.level": "read_uncommitted"}))
        check_rows(db, rows, "aborted messages too")


@concurrent_test
def an_open_transaction_is_waited_for():
    """Its messages are behind the last stable offset: not the end for --until-end, and applied once it commits."""
    with numbered_task(3) as (topic, rows, db, document):
        with topic.transaction() as transaction:
            rows_open = [(10, *transaction.produce(numbers(10, 1))[0])]
            until_end(document)
            check_rows(db, rows, "while the transaction is open")
        until_end(document)
        check_rows(db, rows + rows_open, "after it was committed")


@concurrent_test
def messages_of_nearly_10_mb():
    topic = Topic(partitions=2)
    sizes = [9_900_000, 10, 9_000_000, 20]
    topic.produce([Message(value={"id": number, "text": "x" * size}, partition=number % 2)
                   for number, size in enumerate(sizes)])
    with Database() as db:
        db.sql("CREATE TABLE t (id int, text text)")
        until_end(task_for(topic, db, "t", tuning={"memory_mb": 32}))
        check_equal(db.rows("SELECT id, length(text) FROM t ORDER BY id"), list(enumerate(sizes)))


@concurrent_test
def every_compression_in_one_topic():
    topic = Topic(partitions=2)
    rows = []
    for number, codec in enumerate(("gzip", "snappy", "lz4", "zstd", "none")):
        messages = numbers(1_000 * number, 200, 2)
        rows += [(message.value["id"], partition, offset)
                 for message, (partition, offset) in zip(messages, topic.produce(messages, compression=codec))]
    with Database() as db:
        db.sql(TABLE)
        until_end(numbered(topic, db))
        check_rows(db, rows)


def _reached_by(kafka):
    with numbered_task(20, partitions=2, kafka=kafka) as (_, rows, db, document):
        Sluice.run(document, command="check").expect(0)
        until_end(document)
        check_rows(db, rows)


for _name, _settings in (("sasl-plain", lambda: kafka_settings("sasl", "PLAIN")),
                         ("sasl-scram-sha-256", lambda: kafka_settings("sasl", "SCRAM-SHA-256")),
                         ("sasl-scram-sha-512", lambda: kafka_settings("sasl", "SCRAM-SHA-512")),
                         ("tls", lambda: kafka_settings("tls")),
                         ("sasl-tls-plain", lambda: kafka_settings("sasl_tls", "PLAIN")),
                         ("sasl-tls-scram-sha-512", lambda: kafka_settings("sasl_tls", "SCRAM-SHA-512"))):
    concurrent_test(lambda settings=_settings: _reached_by(settings()), name=f"source-by-{_name}")


@concurrent_test
def topics_that_match_later_are_picked_up():
    prefix = unique("late")
    first = Topic(name=prefix + "_a")
    other = Topic(name="x" + prefix)
    rows = produce(first, 0, 3)
    produce(other, 1_000, 3)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(first, db, kafka={"topic.metadata.refresh.interval.ms": "1000"})
        document["source"]["topics"] = [f"^{prefix}_.*"]
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "the first topic")
            second = Topic(name=prefix + "_b", partitions=2)
            rows += produce(second, 100, 6)
            await_rows(sluice, db, rows, "a topic that was created while it runs")
            rows += produce(first, 200, 1) + produce(second, 300, 2)
            await_rows(sluice, db, rows, "both go on")
            check_equal(set(ledger(db, document)), {(first.name, 0), (second.name, 0), (second.name, 1)})
            sluice.stop().expect(143)
        rows += produce(second, 400, 2)
        until_end(document)
        check_rows(db, rows, "after another start")


@concurrent_test
def partition_added_while_running():
    with numbered_task(3, kafka={"topic.metadata.refresh.interval.ms": "1000"}) as (topic, rows, db, document):
        document["source"]["start"] = "latest"  # of what was there at the start; what appears later begins at 0
        with Sluice(document) as sluice:
            sluice.wait_output("partitions assigned")
            topic.add_partitions(3)
            rows = produce(topic, 100, 6)
            await_rows(sluice, db, rows, "messages of new partitions, from their first one")
            rows += produce(topic, 200, 6)
            await_rows(sluice, db, rows, "all three go on")
            sluice.stop().expect(143)
        topic.add_partitions(4)
        rows += produce(topic, 300, 8)
        until_end(document)
        check_rows(db, rows, "a partition that appeared while nobody ran")


@concurrent_test
def start_positions():
    topic = Topic(partitions=2, config={"retention.ms": "-1"})  # its messages are from 2020
    old = []
    for message in numbers(0, 10, 2):
        message.timestamp_ms = 1_600_000_000_000 + 1_000 * message.value["id"]
        old.append((message.value["id"], *topic.produce([message])[0]))

    def stamp(number, plus_ms=0):
        moment = datetime.datetime.fromtimestamp(1_600_000_000 + number + plus_ms / 1000, datetime.timezone.utc)
        return {"timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")}

    with Database() as db:
        db.sql(TABLE)
        for start, expected in (("earliest", old), (stamp(6), old[6:]), (stamp(6, 1), old[7:]), (stamp(1_000_000), []),
                                ({"offsets": {0: 5, 1: 2}}, old[5::2]),
                                ({"offsets": {topic.name: {0: 0, 1: 4}}}, old[0::2] + old[9::2]), ("latest", [])):
            db.sql("TRUNCATE t")
            document = numbered(topic, db)
            document["source"]["start"] = start
            until_end(document)
            check_rows(db, expected, f"start: {start}")
        more = produce(topic, 10, 2)
        until_end(document)
        check_rows(db, more, "messages after latest was resolved")
        for offsets, text in (({0: 1}, "partition 1"), ({0: 0, 1: 99}, "offset 99"), ({0: 0, 1: 0, 2: 0}, "partition 2")):
            document = numbered(topic, db)
            document["source"]["start"] = {"offsets": offsets}
            db.sql("TRUNCATE t")
            until_end(document, code=1, texts=(text,))
            Sluice.run(document, command="check").expect(1, text)
            check_rows(db, [], f"refused start at {offsets}")


@concurrent_test
def records_lost_to_retention():
    topic = Topic(partitions=2)
    produce(topic, 0, 10)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db)
        until_end(document)
        before = rows_of(db)
        left = [row for row in produce(topic, 10, 10) if row[1] == 1 or row[2] >= 8]
        topic.delete_records({0: 8})
        until_end(document, code=1, texts=(f"{topic.name}/0", "5 to 7", "on_gap"))
        check_rows(db, before, "on_gap: stop")
        document["source"]["on_gap"] = "continue"
        until_end(document)
        check_rows(db, before + left, "on_gap: continue")
        check_equal(db.rows("SELECT topic, partition, from_offset, to_offset, reason FROM sluice.gap"),
                    [(topic.name, 0, 5, 8, "retention")], "sluice.gap")
        until_end(document)
        check_equal(db.value("SELECT count(*) FROM sluice.gap"), 1, "gaps after another run")


@concurrent_test
def records_lost_while_it_runs_far_behind():
    """The broker refuses a position that was good when it was taken: a gap as well, between what was fetched and what is left."""
    topic = Topic(config={"max.message.bytes": "200000"})
    rows = produce(topic, 0, 5)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning={"memory_mb": 4, "lanes": 1, "batch_rows": 10})
        document["source"]["on_gap"] = "continue"
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "the first messages")
            blocker = db.connect()
            blocker.autocommit = False
            blocker.cursor().execute("LOCK TABLE t IN SHARE MODE")
            topic.produce([{"id": number, "pad": "x" * 100_000} for number in range(5, 205)], **{"batch.size": 150_000})
            topic.delete_records({0: 190})
            blocker.rollback()
            blocker.close()
            sluice.wait_for(lambda: ledger(db, document) == {(topic.name, 0): 205}, "it goes on behind the gap", 60)
            sluice.stop().expect(143)
        [(begin, end)] = db.rows("SELECT from_offset, to_offset FROM sluice.gap")
        check(5 <= begin < end == 190, f"the gap is {begin} to {end}")
        check_rows(db, [(number, 0, number) for number in [*range(begin), *range(190, 205)]],
                   "what is not in the gap")


@concurrent_test
def topic_deleted_and_created_again_between_runs():
    with numbered_task(6, partitions=2) as (topic, rows, db, document):
        until_end(document)
        topic.delete()
        topic.create(2)
        again = produce(topic, 100, 20)  # more than there were: the old positions would fit
        until_end(document, code=1, texts=(topic.name, "created again", "on_gap: continue"))
        check_rows(db, rows, "on_gap: stop")
        document["source"]["on_gap"] = "continue"
        until_end(document)
        check_rows(db, rows + again, "on_gap: continue")
        check_equal(sorted(db.rows("SELECT partition, reason FROM sluice.gap")),
                    [(0, "topic_created_again"), (1, "topic_created_again")])
        again += produce(topic, 200, 2)
        until_end(document)
        check_rows(db, rows + again, "after another run")


@concurrent_test
def topic_brought_back_from_a_mirror():
    """Another id, but what was applied last is there as it was: the same offset, timestamp, key and value."""
    topic = Topic(partitions=2)
    hour_ago = int(time.time() - 3600) * 1000
    messages = [Message(value={"id": number}, key=str(number), partition=number % 2, timestamp_ms=hour_ago + number)
                for number in range(24)]
    rows = [(number, at, offset) for number, (at, offset) in enumerate(topic.produce(messages[:20]))]
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db)
        until_end(document)
        topic.delete()
        topic.create(partitions=2)
        rows += [(number, at, offset) for number, (at, offset) in enumerate(topic.produce(messages)) if number >= 20]
        until_end(document, texts=["holds what was applied last", "CRC of 2 partitions"])
        check_rows(db, rows)
        check_equal(db.sql("SELECT count(*) FROM sluice.gap"), [(0,)], "gaps")
        # Its new id is known from now on: nothing is said again.
        check("holds what was applied" not in until_end(document).err, "it says so again")


@concurrent_test
def topic_created_again_with_other_messages_of_as_many():
    """Ends and offsets are what they were; the message at the last offset is another."""
    with numbered_task(10) as (topic, rows, db, document):
        until_end(document)
        topic.delete()
        topic.create()
        produce(topic, 100, 15)
        until_end(document, code=1, texts=["deleted and created again", "offset 9 of", "holds another message"])
        check_rows(db, rows)


@concurrent_test
def topic_deleted_and_created_again_while_running():
    with numbered_task(6, kafka={"topic.metadata.refresh.interval.ms": "1000"}) as (topic, rows, db, document):
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "the first messages")
            topic.delete()
            topic.create()
            again = produce(topic, 100, 20)
            sluice.wait(60).expect(1, topic.name, "created again")
            check_rows(db, rows, "on_gap: stop, while running")
        document["source"]["on_gap"] = "continue"
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows + again, "on_gap: continue, after a start")
            topic.delete()
            topic.create()
            more = produce(topic, 200, 3)
            await_rows(sluice, db, rows + again + more, "on_gap: continue, while running")
            sluice.stop().expect(143)


@concurrent_test
def topic_gone_from_under_a_running_task():
    """For so long that the client reports its partitions as unknown: it is waited for, and then judged like any other."""
    with numbered_task(6, partitions=3, kafka={"topic.metadata.refresh.interval.ms": "300"}) as (topic, rows, db, document):

        def delete(sluice):
            topic.delete()
            sluice.wait_output("has no topic", 30)

        def create(first):
            time.sleep(2)
            topic.create(3)
            return produce(topic, first, 20)

        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "the first messages")
            delete(sluice)
            again = create(100)
            sluice.wait(60).expect(1, topic.name, "created again", "on_gap: continue")
            check_rows(db, rows, "on_gap: stop")
        document["source"]["on_gap"] = "continue"
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows + again, "on_gap: continue, after a start")
            delete(sluice)
            more = create(200)
            await_rows(sluice, db, rows + again + more, "on_gap: continue, while running", 60)
            sluice.stop().expect(143)
        document["source"]["on_gap"] = "stop"
        with Sluice(document) as sluice:
            sluice.wait_output("running", 30)
            delete(sluice)
            sluice.wait(60).expect(1, f'has no topic "{topic.name}"', "was it deleted")
        check_rows(db, rows + again + more, "on_gap: stop, and it does not come back")


@concurrent_test
def topic_created_again_while_it_starts():
    """Between the look at the topics and the first question of the consumer; the old positions would fit the new topic."""
    with numbered_task(6) as (topic, rows, db, document):
        with proxied(document, encrypted=False) as proxy:
            until_end(document)
            proxy.hold_back(b"coalesce(last_offset, -1)")
            with Sluice(document) as sluice:
                sluice.wait_for(proxy.holds, "it has looked at its topics, and asks for its positions")
                topic.delete()
                topic.create()
                produce(topic, 100, 20)
                proxy.let_go()
                sluice.wait(60).expect(1, topic.name, "created again")
        check_rows(db, rows, "nothing of the new topic")
        check_equal(ledger(db, document), {(topic.name, 0): 6}, "the position")


@concurrent_test
def group_offsets_follow_the_ledger():
    topic = Topic(partitions=3)
    rows = produce(topic, 0, 30)
    with Database() as db:
        db.sql(TABLE)
        group = unique("group")
        document = numbered(topic, db)
        document["source"]["group"] = group
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "the first messages")
            eventually(lambda: group_offsets(group, topic) == ends(topic), "offsets of the group while it runs", 20)
            rows += produce(topic, 30, 10)
            await_rows(sluice, db, rows, "more messages")
            sluice.stop().expect(143)
        check_equal({(topic.name, each): offset for each, offset in group_offsets(group, topic).items()},
                    ledger(db, document), "offsets of the group at the end")


@concurrent_test
def kafka_unreachable_at_start():
    topic = Topic()
    rows = produce(topic, 0, 5)
    with Database() as db, Proxy(address(os.environ["SLUICE_KAFKA"]), open_now=False) as proxy:
        db.sql(TABLE)
        document = numbered(topic, db, kafka={"bootstrap.servers": f"127.0.0.1:{proxy.port}",
                                              "reconnect.backoff.max.ms": "500"})
        with Sluice(document) as sluice:
            sluice.wait_output("waiting", 60)
            check(sluice.running(), "it gave up")
            proxy.open()
            await_rows(sluice, db, rows, "messages once Kafka can be reached")
            sluice.stop().expect(143)


main()
