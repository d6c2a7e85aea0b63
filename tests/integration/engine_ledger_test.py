"""Who may write: processes that share a task, take it over, are refused; halts; a ledger that is another one or damaged."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kit"))
from engine import *  # noqa: E402,F403 pylint: disable=wrong-import-position,wildcard-import,unused-wildcard-import


def halt_of(db, document):
    return db.rows("SELECT halt_topic, halt_partition, halt_offset FROM sluice.task WHERE id = %s AND halt_reason "
                   "IS NOT NULL", (document["name"],))


def await_share(sluice, partitions):
    """Until it has so many partitions: given at once, or left when others came."""
    sluice.wait_for(lambda: f"all={partitions}\n" in sluice.err or f"left={partitions}\n" in sluice.err,
                    f"a share of {partitions} partitions")


# ---- several processes ---------------------------------------------------------------------------------------------------


@concurrent_test
def two_processes_share_the_partitions_and_one_dies():
    topic = Topic(partitions=4)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning={"lanes": 1})
        with Sluice(document) as one, Sluice(document) as two:
            for sluice in (one, two):
                await_share(sluice, 2)
            rows = produce(topic, 0, 40)
            await_rows(one, db, rows, "what both write")
            one.kill()
            more = produce(topic, 40, 40)
            await_rows(two, db, rows + more, "what the other one takes over")
            ended = two.stop().expect(143)
            check("partitions assigned" in ended.err, "the other one never got partitions")
        check_rows(db, rows + more)


@concurrent_test
def until_end_waits_for_the_partitions_of_others():
    """The ledger of all partitions counts, also of those that another process has."""
    topic = Topic(partitions=2)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning={"lanes": 1})
        with Sluice(document) as other:
            other.wait_output("partitions assigned")
            rows = produce(topic, 0, 400)
            ended = until_end(document)
            check_rows(db, rows, "at the end of the one that ends by itself")
            check(ended.summary["rows_written"] <= len(rows), "it counts rows that others wrote")
            rows += produce(topic, 400, 10)
            await_rows(other, db, rows, "the one that stays has all partitions again")
            other.stop().expect(143)


@concurrent_test
def another_document_is_refused_while_the_first_runs():
    topic = Topic(partitions=2)
    rows = produce(topic, 0, 4)
    with Database() as db:
        db.sql(TABLE + "; ALTER TABLE t ADD extra text DEFAULT 'by default'")
        document = numbered(topic, db)
        other = {**document, "sync": {**document["sync"], "columns": COLUMNS + [{"field": "x", "column": "extra"}]}}
        harmless = {**document, "tuning": {"lanes": 1}, "description": "the same task"}
        with Sluice(document) as first:
            await_rows(first, db, rows, "the first process")
            ended = Sluice.run(other, "--until-end").expect(1, "another document")
            check("Stop it there first" in ended.err, f"no remedy in {ended.err[-600:]}")
            check(first.running(), "the first process ended")
            until_end(harmless)
            rows += produce(topic, 4, 4)
            await_rows(first, db, rows, "the first process goes on")
            first.stop().expect(143)
        rows += produce(topic, 8, 2)
        until_end(other)
        check_rows(db, rows, "the other document, once nobody runs the first")


# ---- halts -----------------------------------------------------------------------------------------------------------------


@concurrent_test
def halt_stops_in_front_of_the_message_and_a_repair_resumes_there():
    topic = Topic(partitions=2)
    topic.produce([Message(value={"id": number}, partition=0) for number in range(3)])
    topic.produce([Message(value={"id": 2**40, "note": "too large for int"}, partition=0)])
    topic.produce([Message(value={"id": number}, partition=0) for number in range(4, 8)])
    others = [(number, 1, number - 100) for number in range(100, 105)]
    topic.produce([Message(value={"id": number}, partition=1) for number, _, _ in others])
    with Database() as db:
        db.sql(TABLE.replace("bigint, p", "int, p"))
        document = numbered(topic, db)
        for attempt in range(2):  # without a repair it halts at the same message again
            ended = Sluice.run(document).expect(3, f"{topic.name}/0 offset 3", "id")
            check("too large for int" in ended.err, "an excerpt of the message is shown")
            check_equal(ended.summary["halt"], {"topic": topic.name, "partition": 0, "offset": 3})
            check_equal(halt_of(db, document), [(topic.name, 0, 3)], "the halt in the ledger")
            check_equal(ledger(db, document)[(topic.name, 0)], 3, "the position of its partition")
            check_equal([row for row in rows_of(db) if row[1] == 0], [(each, 0, each) for each in range(3)],
                        f"rows of its partition, attempt {attempt}")
        Sluice.run(document, command="check").expect(0, "halted", "offset 3")
        db.sql("ALTER TABLE t ALTER COLUMN id TYPE bigint")
        until_end(document, texts=("clearing the halt",))
        check_rows(db, [(2**40 if each == 3 else each, 0, each) for each in range(8)] + others, "after the repair")
        check_equal(halt_of(db, document), [], "the halt in the ledger")


@concurrent_test
def halt_repaired_by_another_policy():
    topic = Topic()
    topic.produce([{"id": 0}, "not json", {"id": 2}])
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db)
        until_end(document, code=3, texts=("offset 1",))
        check_rows(db, [(0, 0, 0)])
        until_end({**document, "on_failure": "deliver"}, texts=("clearing the halt",))
        check_rows(db, [(0, 0, 0), (2, 0, 2)])
        check_equal(db.rows("SELECT message_offset, convert_from(value, 'UTF8') FROM sluice.dead_letter"),
                    [(1, "not json")])


@concurrent_test
def halt_ends_every_process_of_the_task():
    with numbered_task(10, partitions=2, tuning={"lanes": 1}) as (topic, rows, db, document):
        with Sluice(document) as one, Sluice(document) as two:
            for sluice in (one, two):
                await_share(sluice, 1)
            await_rows(one, db, rows, "before the bad message")
            topic.produce([Message(value="not json", partition=0)])
            eventually(lambda: halt_of(db, document) == [(topic.name, 0, 5)], "the halt is in the ledger")
            produce(topic, 11, 1)  # the other process meets the halt at its next batch
            for sluice in (one, two):
                sluice.wait(30).expect(3, f"{topic.name}/0", "offset 5")
        check_equal([row for row in rows_of(db) if row[1] == 0], [row for row in rows if row[1] == 0])


# ---- identity --------------------------------------------------------------------------------------------------------------


@concurrent_test
def a_copy_of_the_database_is_another_task():
    topic = Topic(partitions=2)
    rows = produce(topic, 0, 6)
    with Database() as original:
        original.sql(TABLE)
        document = numbered(topic, original)
        until_end(document)
        original.close()
        with Database() as copy:
            Database.server(f"DROP DATABASE {copy.name}")
            Database.server(f"CREATE DATABASE {copy.name} TEMPLATE {original.name} OWNER sluice")
            there = {**document, "target": {**document["target"], "postgres": copy.uri}}
            with Sluice(document) as first:
                rows += produce(topic, 6, 2)
                await_rows(first, original, rows, "the original goes on")
                until_end(there, code=1, texts=("copy of that database", original.name, copy.name, "--adopt"))
                check_rows(copy, rows[:6], "the copy, refused")
                before = group_of(copy, document)
                check_equal(before, group_of(original, document), "the copy's group is the original's")
                until_end(there, "--adopt")
                check_rows(copy, rows, "the copy, adopted")
                check(group_of(copy, document) != before, "an adopted task keeps the group of the original")
                rows += produce(topic, 8, 2)
                await_rows(first, original, rows, "the original keeps its partitions")
                first.stop().expect(143)
            until_end(there)
            check_rows(copy, rows, "the copy goes on without --adopt")


@concurrent_test
def another_cluster_is_another_task():
    with numbered_task(3) as (_, rows, db, document):
        until_end(document)
        db.sql("UPDATE sluice.task SET cluster_id = 'AnotherClusterOfLongAgo'")
        until_end(document, code=1, texts=("Kafka cluster AnotherClusterOfLongAgo", "--adopt"))
        check_rows(db, rows)


@concurrent_test
def a_table_created_again_is_another_one():
    with numbered_task(5) as (topic, rows, db, document):
        until_end(document)
        db.sql("DROP TABLE t; " + TABLE)
        more = produce(topic, 5, 2)
        until_end(document, code=1, texts=("dropped and created again", "--adopt", "--reset"))
        check_rows(db, [], "refused")
        until_end(document, "--adopt")
        check_rows(db, more, "--adopt goes on where the ledger is")
        until_end(document, "--reset")
        check_rows(db, more + rows + more, "--reset replays everything")
        until_end(document)
        check_rows(db, more + rows + more, "after another run")


@concurrent_test
def reset_is_refused_while_the_task_runs():
    with numbered_task(5) as (topic, rows, db, document):
        with Sluice(document) as first:
            await_rows(first, db, rows, "the first process")
            ended = Sluice.run(document, "--until-end", "--reset").expect(1, "running elsewhere")
            check("another document" not in ended.err, f"it is the same document: {ended.err[-500:]}")
            rows += produce(topic, 5, 1)
            await_rows(first, db, rows, "it goes on")
            first.stop().expect(143)
        check_rows(db, rows)


@concurrent_test
def a_topic_created_again_is_begun_once():
    """One process is held up just before it moves the positions; meanwhile another has moved them, and gone on."""
    with numbered_task(6, partitions=2) as (topic, rows, db, document):
        document["source"]["on_gap"] = "continue"
        with proxied(document, encrypted=False) as proxy:
            until_end(document)
            topic.delete()
            topic.create(2)
            rows += produce(topic, 100, 30)
            proxy.hold_back(b"FOR NO KEY UPDATE")
            with Sluice(document) as late:
                late.wait_for(proxy.holds, "it is about to move the positions")
                until_end(document)
                check_rows(db, rows, "the other one")
                proxy.let_go()
                rows += produce(topic, 200, 4)
                await_rows(late, db, rows, "the late one")
                late.stop().expect(143)
        check_equal(sorted(db.rows("SELECT partition, to_offset FROM sluice.gap")), [(0, 3), (1, 3)], "gaps")


# ---- a ledger that was damaged or restored --------------------------------------------------------------------------


@concurrent_test
def a_lost_ledger_row_stops_the_task():
    with numbered_task(6, partitions=2) as (topic, rows, db, document):
        until_end(document)
        db.sql("DELETE FROM sluice.ledger WHERE partition = 1")
        until_end(document, code=1, texts=(f"{topic.name}/1", "ledger", "--reset"))
        check_rows(db, rows, "not begun again in silence")
        until_end(document, "--reset")
        check_rows(db, rows + rows, "--reset replays")
        with Sluice(document) as sluice:
            rows += rows + produce(topic, 6, 2)
            await_rows(sluice, db, rows, "it runs again")
            db.sql("DELETE FROM sluice.ledger WHERE partition = 0")
            produce(topic, 8, 2)
            sluice.wait(60).expect(1, f"{topic.name}/0", "--reset")
        check_equal([row for row in rows_of(db) if row[1] == 0], sorted(row for row in rows if row[1] == 0))


@concurrent_test
def the_ledger_decides_when_it_is_elsewhere():
    """Behind (a restored backup): written again from there. Ahead (another process was first): left out."""
    with numbered_task(10) as (topic, rows, db, document):
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "the first messages")
            db.sql("DELETE FROM t WHERE o >= 4; UPDATE sluice.ledger SET next_offset = 4")
            rows += produce(topic, 10, 2)
            await_rows(sluice, db, rows, "after the ledger went back")
            db.sql("UPDATE sluice.ledger SET next_offset = 14")
            rows += produce(topic, 12, 6)[2:]
            await_rows(sluice, db, rows, "after the ledger went ahead")
            sluice.stop().expect(143)
        check_equal(ledger(db, document), {(topic.name, 0): 18})

def give_a_partition_up(first):
    topic = Topic(partitions=2)
    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning={"lanes": 1, "linger_ms": 5})
        rows = produce(topic, 0, 10)

        def more(partition):
            start = len(rows)
            sent = topic.produce([Message(value={"id": start + each}, partition=partition) for each in range(5)])
            rows.extend((start + each, at, offset) for each, (at, offset) in enumerate(sent))

        with Sluice(document) as one:
            await_rows(one, db, rows, "the first rows")
            with db.connect(superuser=True) as dba:
                dba.cursor().execute("BEGIN; LOCK TABLE t")
                more(first)
                one.wait_for(lambda: db.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), "a batch waits for the table")
                more(first)
                more(1 - first)
                with Sluice(document) as two:
                    one.wait_output("partitions given up")
                    dba.cursor().execute("ROLLBACK")
                    await_rows(two, db, rows, f"partition {first} in the first batch", 30)
                    more(0)
                    more(1)
                    await_rows(one, db, rows, "more messages", 30)
                    two.stop().expect(143)
                one.stop().expect(143)


@concurrent_test
def a_partition_given_up_while_others_wait_in_two_batches():
    """One batch waits for a lock, the next holds messages of its partition and of the one that is given up."""
    for first in (0, 1):  # the group takes one of them away: each is the one in the first batch once
        give_a_partition_up(first)


@concurrent_test
def a_partition_lost_while_the_table_is_read_again():
    """A batch waits for the table's new columns, from a server that does not answer; meanwhile the group gives it up."""
    with numbered_task(20) as (topic, rows, db, document), proxied(document, encrypted=False) as proxy:
        with Sluice(document) as sluice:
            await_rows(sluice, db, rows, "the first rows")
            proxy.hold_back(b"pg_get_triggerdef")  # only who reads a table says so
            db.sql("ALTER TABLE t ALTER id TYPE numeric")
            rows += produce(topic, 20, 20)
            sluice.wait_for(proxy.holds, "it reads the table again")
            sluice.signal(signal.SIGSTOP)
            time.sleep(3)  # past its session's time-out
            sluice.signal(signal.SIGCONT)
            sluice.wait_output("partitions given up", 10)
            began = time.monotonic()
            await_rows(sluice, db, rows, "with another connection")
            took = time.monotonic() - began
            check(took < 10, f"it went on after {took:.0f} s")  # an answer is waited for 30 s
            proxy.let_go()
            sluice.stop().expect(143)


@concurrent_test
def an_open_snapshot_does_not_slow_the_ledger_down():
    """A long report keeps every dead version of the ledger's rows: finding the live one must not read them all."""
    topic = Topic(partitions=2)
    rows = produce(topic, 0, 1_500)

    def reads(db):
        db.sql("SELECT pg_stat_force_next_flush()", superuser=True)
        return db.sql("SELECT heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0) "
                      "FROM pg_statio_user_tables WHERE relid = 'sluice.ledger'::regclass", superuser=True)[0][0]

    with Database() as db:
        db.sql(TABLE)
        document = numbered(topic, db, tuning={"batch_rows": 1, "lanes": 1})
        until_end({**document, "source": {**document["source"], "start": "latest"}})
        snapshot = db.connect()
        snapshot.cursor().execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t")
        until_end(document, "--reset")
        check_rows(db, rows)
        versions = db.sql("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'sluice.ledger'::regclass")
        eventually(lambda: reads(db) > 0, "figures of the ledger")
        each = reads(db) / len(rows)
        check(each < 16, f"{each:.0f} blocks of the ledger were read for each of {len(rows)} batches ({versions} dead rows)")
        snapshot.rollback()


main()
