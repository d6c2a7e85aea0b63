#include "pipeline/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <variant>

#include "base/number.h"
#include "kafka/admin.h"
#include "kafka/errors.h"
#include "ledger/ledger.h"
#include "pipeline/check_partitions.h"
#include "pipeline/failure.h"
#include "pipeline/look.h"
#include "pipeline/open.h"
#include "pipeline/open_group.h"
#include "pipeline/record_list.h"
#include "pipeline/sample.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"
#include "sink/plan.h"

namespace sluice::pipeline {

using postgres::Connection;
using postgres::RelationKind;
using postgres::TableInfo;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using Level = Finding::Level;

namespace {

constexpr milliseconds kTimeout{10'000};

std::string quoted(std::string_view name) { return Connection::identifier(name); }

std::string joined(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

class Check {
 public:
  Check(const TaskSource& source, const std::function<void(const Finding&)>& on_finding,
        OpenOptions options)
      : source_(source), task_(source.task), on_finding_(on_finding), options_(options) {}

  std::vector<Finding> run() {
    check_kafka();
    if (check_postgres()) {
      check_ledger();
      check_start();
      if (task_.has_many_tables()) {
        if (was_) check_identity();
        check_tables();
      } else if (check_table()) {
        check_identity();
        check_plan();
      }
    }
    return std::move(findings_);
  }

 private:
  void add(Finding finding) {
    if (on_finding_) on_finding_(finding);
    findings_.push_back(std::move(finding));
  }
  void ok(std::string step, std::string subject, std::string message) {
    add({Level::kOk, std::move(step), std::move(subject), std::move(message), {}, false});
  }
  void warn(std::string step, std::string subject, std::string message, std::string remedy) {
    add({Level::kWarning, std::move(step), std::move(subject), std::move(message),
         std::move(remedy), false});
  }
  void error(std::string step, std::string subject, std::string message, std::string remedy) {
    add({Level::kError, std::move(step), std::move(subject), std::move(message), std::move(remedy),
         false});
  }
  void error(std::string step, std::string subject, const Error& cause) {
    add({Level::kError, std::move(step), std::move(subject), cause.message, cause.remedy,
         worth_waiting(cause)});
  }

  // ---- Kafka

  void check_kafka() {
    auto properties = source_.kafka_properties();
    if (!properties) return error("kafka", "", properties.error());
    const auto server = properties->find("bootstrap.servers");
    const std::string servers = server == properties->end() ? "" : server->second;
    auto admin = kafka::Admin::create(*properties, "sluice-check");
    if (!admin) return error("kafka", "", admin.error());
    admin_ = std::move(*admin);
    auto cluster = admin_->cluster_id(kTimeout);
    if (!cluster) return error("kafka", "", cluster.error());
    identity_.cluster_id = *cluster;
    ok("kafka", servers, fmt::format("reachable, cluster {}", *cluster));
    check_topics();
    check_group();
  }

  void check_topics() {
    all_topics_ = true;
    for (const auto& name : task_.source.topics) {
      auto topics = admin_->topics({name}, kTimeout);
      if (!topics) {
        all_topics_ = false;
        error("topics", name, topics.error());
        continue;
      }
      if (topics->empty()) {
        warn("topics", name, "no topic matches yet", "The task waits for the first that does.");
      }
      for (const auto& topic : *topics) {
        if (!topic.may_read) {
          all_topics_ = false;
          error("topics", topic.name, "this user may not read it",
                fmt::format("Grant it: kafka-acls --bootstrap-server ... --add --allow-principal "
                            "User:NAME --operation Read --operation Describe --topic '{}'",
                            topic.name));
          continue;
        }
        describe_topic(topic);
      }
    }
  }

  void describe_topic(const kafka::TopicInfo& topic) {
    auto marks = read_watermarks(*admin_, {topic});
    if (!marks) {
      all_topics_ = false;
      return error("topics", topic.name, marks.error());
    }
    std::int64_t messages = 0;
    for (const auto& [key, mark] : *marks) messages += mark.end - mark.low;
    topics_.push_back(topic);
    watermarks_.insert(marks->begin(), marks->end());
    ok("topics", topic.name,
       fmt::format("{}, offsets for up to {}", counted(topic.partitions, "partition"),
                   counted(messages, "message")));
    for (auto& finding : judge_partitions(task_.sync, topic)) add(std::move(finding));
  }

  void check_group() {
    // The uid that ends the group's name is drawn when the task is created.
    const std::string group =
        task_.source.group.value_or(fmt::format("sluice-{}-000000", task_.name));
    auto info = admin_->group(group, kTimeout);
    const std::string shown = task_.source.group ? group : fmt::format("sluice-{}-*", task_.name);
    if (!info) return error("group", shown, info.error());
    if (!info->may_read) {
      return error(
          "group", shown, "this user may not use the group",
          fmt::format("Grant it: kafka-acls --bootstrap-server ... --add --allow-principal "
                      "User:NAME --operation Read --resource-pattern-type prefixed "
                      "--group 'sluice-{}-'",
                      task_.name));
    }
    ok("group", shown, "may be used");
  }

  // ---- PostgreSQL

  bool check_postgres() {
    auto conninfo = source_.conninfo();
    if (!conninfo) return error("postgres", "", conninfo.error()), false;
    auto endpoint = postgres::endpoint_of(*conninfo);
    if (!endpoint) return error("postgres", "", endpoint.error()), false;
    identity_.host = endpoint->host;
    identity_.port = endpoint->port;
    identity_.database = endpoint->database;
    const std::string subject =
        fmt::format("{}:{}/{}", endpoint->host, endpoint->port, endpoint->database);
    auto connected = db_.drive(db_.connect(*conninfo, "sluice check", kTimeout));
    if (!connected) {
      const Error cause = postgres::explain_connection_failure(connected.error(), *endpoint, {});
      error("postgres", subject, cause);
      return false;
    }
    db_.set_deadline(steady_clock::now() + seconds(60));
    auto facts = db_.drive(
        db_.query(std::string(Connection::own_timeouts()) +
                  "SELECT current_setting('server_version'), current_user, pg_is_in_recovery(), "
                  "current_setting('default_transaction_read_only'), "
                  "pg_backend_pid(), " +
                  (db_.server_version() < 90500
                       ? "NULL"
                       : "coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), "
                         "false)")));
    if (!facts) return error("postgres", subject, facts.error()), false;
    const auto& row = facts->back();
    role_ = row.text(0, 1);
    ok("postgres", subject,
       fmt::format("PostgreSQL {}, user {}, TLS {}", row.text(0, 0), role_,
                   row.is_null(0, 5)   ? "unknown"
                   : row.boolean(0, 5) ? "on"
                                       : "off"));
    const auto served = serves(task_.target.level, db_.server_version());
    if (!served) return error("postgres", subject, served.error()), false;
    // A pooler announces a process of its own making.
    if (row.integer(0, 4) != db_.backend_pid() && task_.target.pooler == task::Pooler::kNone) {
      warn("postgres", subject, "a connection pooler stands in front of the server",
           "If it pools by transactions: target.pooler: transaction. In session mode nothing needs "
           "to be said.");
    }
    if (row.boolean(0, 2)) {
      add({Level::kError, "postgres", subject, "the server is a standby and takes no writes",
           "Name the primary, or several hosts with target_session_attrs=read-write.", true});
      return false;
    }
    if (row.text(0, 3) == "on") {
      error("postgres", subject, "transactions are read-only by default for this role or database",
            fmt::format("ALTER ROLE {} SET default_transaction_read_only = off;", quoted(role_)));
    }
    return true;
  }

  void check_ledger() {
    if (!task_.keeps_ledger()) {
      return warn("ledger", group_of(task_),
                  "delivery: at_least_once: there is no ledger; this consumer group keeps the "
                  "positions, and rows can come twice after trouble",
                  "Where the role may create a schema, leave `delivery` out.");
    }
    const std::string& schema = task_.target.ledger_schema;
    auto ready = db_.drive(ledger::inspect(db_, schema));
    if (!ready) return error("ledger", schema, ready.error());
    if (!*ready) return ok("ledger", schema, "will be created");
    handle_.schema = schema;
    handle_.task = task_.name;
    auto task = db_.drive(ledger::read_task(db_, handle_));
    if (!task) return error("ledger", schema, task.error());
    if (!*task) return ok("ledger", schema, "the task begins at source.start");
    was_ = (*task)->identity;
    if ((*task)->halt) {
      warn("ledger", schema,
           fmt::format("the task was halted at {}/{} offset {}: {}", (*task)->halt->key.topic,
                       (*task)->halt->key.partition, (*task)->halt->offset, (*task)->halt->reason),
           "A run clears the halt and begins with that message.");
    }
    ok("ledger", schema, "the task goes on where it was");
  }

  // Offsets and groups count for a task that has no positions of its own yet.
  void check_start() {
    const auto* group = std::get_if<task::StartGroup>(&task_.source.start);
    if (group == nullptr && !std::holds_alternative<task::StartOffsets>(task_.source.start)) return;
    if (!all_topics_ || topics_.empty() || (was_ && !options_.reset)) return;
    const auto starts = start_positions(*admin_, task_, topics_, watermarks_);
    if (!starts) return error("start", starts.error().code, starts.error());
    const auto members = members_of_start_group(*admin_, task_);
    if (!members) return error("start", members.error().code, members.error());
    if (*members > 0) {
      const Error at_work = start_group_at_work(task_, *members);
      warn("start", at_work.code, at_work.message, at_work.remedy);
    } else if (group != nullptr) {
      ok("start", group->group, "the task begins where this group has committed");
    }
  }

  // After the table is known: a task of that name that reads or writes elsewhere is another one.
  void check_identity() {
    if (!was_ || options_.adopt || options_.reset) return;
    if (identity_.cluster_id.empty()) identity_.cluster_id = was_->cluster_id;  // not reached
    if (table_.oid != 0) identity_.tables[table_.qualified()] = table_.oid;
    const auto same = same_task(handle_, *was_, identity_);
    if (!same) error("ledger", handle_.schema, same.error());
  }

  // Which tables there are, messages say: the first of each topic is asked.
  void check_tables() {
    const std::string& name = task_.target.table;
    auto builder = sink::BatchBuilder::create(task_, {.on_demand = sink::OnDemand::kNote});
    if (!builder) return error("table", name, builder.error());
    Positions first;
    AllWatermarks ends;
    std::string last;
    for (const auto& [key, marks] : watermarks_) {
      if (marks.end <= marks.low || key.topic == last) continue;
      last = key.topic;
      first[key] = marks.low;
      ends[key] = marks;
    }
    auto reader = SampleReader::create(source_, first, ends);
    if (!reader) return error("table", name, reader.error());
    sink::Batch batch;
    RecordList records(batch);
    builder->begin(batch);
    const auto count = static_cast<std::int64_t>(first.size());
    const auto take = [&](const ledger::Key& key, kafka::Record record) {
      const std::uint16_t partition = batch.partition_index(key, record.offset());
      records.push(std::move(record));
      auto added = add_record(db_, task_, nullptr, *builder, batch, records, partition);
      if (added) return;
      error("table", key.topic, added.error());
      records.drop_last();
      builder->forget_wanted();
    };
    auto read = reader->read(count, 1, task_.tuning.batch_bytes, take, StopSignal(-1));
    if (!read) return error("table", name, read.error());
    for (const auto& failure : batch.failures) {
      warn("table", batch.partitions[failure.partition].key.topic,
           "its first message makes no row: " + failure.error.message, failure.error.remedy);
    }
    for (std::size_t i = 0; i < builder->tables(); ++i) {
      table_ = builder->plan(i).table;
      if (describe_table()) check_plan();
    }
    if (builder->tables() == 0) {
      warn("table", name, "no message names a table yet",
           "The task waits for the first that does.");
    }
  }

  bool check_table() {
    auto name = postgres::parse_table_name(task_.target.table);
    if (!name) return error("table", task_.target.table, name.error()), false;
    auto table = find_table(db_, task_, *name);
    if (!table) return error("table", task_.target.table, table.error()), false;
    table_ = std::move(*table);
    return describe_table();
  }

  // False: it is yet to be made, or cannot be written.
  bool describe_table() {
    subject_ = table_.qualified();
    if (table_.oid == 0) return check_schema_of_new_table();
    if (auto apart = apart_from_ledger(table_, task_.target.ledger_schema); !apart) {
      return error("table", subject_, apart.error()), false;
    }
    if (!table_.may_use_schema) {
      error("table", subject_, "this role may not use its schema",
            fmt::format("GRANT USAGE ON SCHEMA {} TO {};", quoted(table_.schema), quoted(role_)));
      return false;
    }
    describe_relation();
    return true;
  }

  bool check_schema_of_new_table() {
    if (auto apart = apart_from_ledger(table_, task_.target.ledger_schema); !apart) {
      return error("table", subject_, apart.error()), false;
    }
    const std::string schema = Connection::literal(table_.schema);
    auto may = db_.drive(db_.query(fmt::format(
        "SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = {}",
        schema)));
    if (!may) return error("table", subject_, may.error()), false;
    if (may->front().size() == 0) {
      error("table", subject_, fmt::format("there is no schema {}", quoted(table_.schema)),
            fmt::format("CREATE SCHEMA {};", quoted(table_.schema)));
    } else if (!may->front().boolean(0, 0)) {
      error("table", subject_, "it does not exist, and this role may not make it",
            fmt::format("GRANT CREATE ON SCHEMA {} TO {};", quoted(table_.schema), quoted(role_)));
    } else {
      ok("table", subject_, "will be made from the schema of the first message");
    }
    return false;
  }

  void describe_relation() {
    switch (table_.kind) {
      case RelationKind::kTable:
        ok("table", subject_, fmt::format("a table of {} columns", table_.columns.size()));
        break;
      case RelationKind::kPartitioned:
        ok("table", subject_, fmt::format("partitioned, {} partitions", table_.partitions.size()));
        if (table_.partitions.empty()) {
          warn("table", subject_, "it has no partition yet",
               "A row that no partition takes makes the task wait: create partitions, or a DEFAULT "
               "one.");
        }
        break;
      case RelationKind::kView:
        warn("table", subject_, "a view: rows go through a temporary table and INSERT, not COPY",
             "Name the table behind it for full speed.");
        break;
      case RelationKind::kForeign:
        warn("table", subject_,
             "a foreign table: the ledger is in this database and the rows are in another",
             "After a crash in between, rows can be there twice; see docs/delivery.md.");
        break;
      default:
        break;  // the plan refuses it
    }
    if (table_.unlogged) {
      warn("table", subject_, "unlogged: a crash of the server empties it, but not the ledger",
           fmt::format("ALTER TABLE {} SET LOGGED;", subject_));
    }
    if (table_.row_security) {
      warn("table", subject_,
           "row security applies to this role: rows go by INSERT, refused ones are data failures",
           fmt::format("For full speed: ALTER ROLE {} BYPASSRLS;", quoted(role_)));
    }
    if (table_.has_rules) {
      warn("table", subject_, "has rules for INSERT or UPDATE: rows go by INSERT, not COPY",
           "Drop the rules, or use triggers.");
    }
    for (const auto& trigger : table_.triggers) {
      warn("table", subject_,
           fmt::format("trigger {} runs {}", quoted(trigger.name),
                       trigger.row_level ? "for each row" : "for each batch"),
           "It slows the task down; what it does outside this transaction is not exactly once. An "
           "exception (P0001) makes its message a data failure.");
    }
    for (const auto& key : table_.foreign_keys) {
      warn("table", subject_, fmt::format("foreign key {}", key),
           "A row whose parent is not there yet is a data failure: feed the parent first, or drop "
           "the constraint.");
    }
  }

  // ---- the plan

  void check_plan() {
    auto plan = sink::compile(task_, table_);
    if (!plan) {
      for (const auto& cause : plan.error()) error("columns", cause.code, cause);
      return;
    }
    check_privileges(*plan);
    check_fed_columns(*plan);
    std::vector<std::string> text;
    for (const auto& column : plan->columns) {
      if (!column.encoder.has_binary()) text.push_back(column.name);
    }
    ok("columns", subject_,
       fmt::format("{} columns are written{}", plan->columns.size(),
                   plan->binary ? ", by binary COPY"
                                : fmt::format(", by text COPY{}",
                                              text.empty() ? "" : " because of " + joined(text))));
    if (plan->key_columns > 0) check_key(*plan);
  }

  void check_key(const sink::Plan& plan) {
    std::vector<std::string> key;
    for (int i = 0; i < plan.key_columns; ++i) {
      key.push_back(plan.columns[static_cast<std::size_t>(i)].name);
    }
    ok("key", subject_,
       fmt::format("{} by ({}){}", task::name_of(plan.write), joined(key),
                   plan.newer >= 0 ? ", only if " + *task_.sync.only_if_newer + " grows" : ""));
    if (plan.write == task::Write::kUpdate) return;  // makes no new keys
    const std::set<std::string> wanted(key.begin(), key.end());
    for (const auto& index : table_.unique_indexes) {
      const std::set<std::string> columns(index.columns.begin(), index.columns.end());
      if (columns == wanted && index.expressions.empty()) continue;
      warn("key", subject_, fmt::format("unique index {} besides the key", quoted(index.name)),
           "Two keys with one value there make the later message a data failure.");
    }
  }

  void require(bool allowed, std::string_view privilege, const std::string& on, bool environment) {
    if (allowed) return;
    add({Level::kError, "privileges", subject_,
         fmt::format("role {} lacks {}", quoted(role_), privilege),
         fmt::format("GRANT {} ON {} TO {};", privilege, on, quoted(role_)), environment});
  }

  void check_privileges(const sink::Plan& plan) {
    const bool inserts = plan.write != task::Write::kUpdate;
    const bool updates = plan.write == task::Write::kUpsert || plan.write == task::Write::kUpdate;
    std::vector<std::string> insert;
    std::vector<std::string> update;
    std::vector<std::string> select;
    for (const auto& column : plan.columns) {
      const auto* info = table_.find(column.name);
      if (inserts && !info->may_insert) insert.push_back(quoted(column.name));
      if (updates && !column.key && column.update && !info->may_update)
        update.push_back(quoted(column.name));
      const bool read = column.key || (plan.skip_unchanged && column.update) ||
                        (plan.newer >= 0 && column.name == task_.sync.only_if_newer);
      if (read && !info->may_select) select.push_back(quoted(column.name));
    }
    const auto lacking = [&](const char* privilege, const std::vector<std::string>& columns) {
      if (columns.empty()) return;
      error("privileges", subject_,
            fmt::format("role {} may not {} {}", quoted(role_), privilege, joined(columns)),
            fmt::format("GRANT {} ON {} TO {};", privilege, subject_, quoted(role_)));
    };
    lacking("INSERT", insert);
    if (!plan.stage_ddl.empty()) {
      require(table_.may_create_temp, "TEMPORARY", "DATABASE " + database(), false);
    }
    lacking("UPDATE", update);
    lacking("SELECT", select);
    if (plan.deletes) require(table_.may_delete, "DELETE", subject_, false);
    if (insert.empty() && update.empty()) {
      ok("privileges", subject_,
         fmt::format("may {}{}{}", inserts ? "insert" : "", inserts && updates ? " and " : "",
                     updates ? "update" : ""));
    }
  }

  std::string database() {
    auto name = db_.drive(db_.query("SELECT quote_ident(current_database())"));
    return name ? std::string(name->front().text(0, 0)) : "(this database)";
  }

  // NOT NULL columns that nothing feeds make every row fail; metadata that can never fit likewise.
  void check_fed_columns(const sink::Plan& plan) {
    for (const auto& info : table_.columns) {
      if (plan.write == task::Write::kUpdate) break;  // makes no new rows
      if (!info.not_null || info.has_default || info.generated || info.identity != 0) continue;
      const bool fed = std::any_of(plan.columns.begin(), plan.columns.end(),
                                   [&](const auto& column) { return column.name == info.name; });
      if (fed || table_.kind == RelationKind::kView) continue;
      error("columns", info.name, "is NOT NULL without a default, and no field feeds it",
            fmt::format("Add it to sync.columns, or: ALTER TABLE {} ALTER COLUMN {} SET DEFAULT "
                        "...;",
                        subject_, quoted(info.name)));
    }
    if (!task_.sync.columns) return;
    for (const auto& column : *task_.sync.columns) {
      const auto* info = table_.find(column.column);
      if (!column.meta || info == nullptr || !never_fits(*column.meta, info->type)) continue;
      error("columns", column.column, fmt::format("this metadata can never be {}", info->type.name),
            "Use a column of another type.");
    }
  }

  // Types (by oid, pg_type.dat) that no value of this kind of metadata can become.
  static bool never_fits(task::Meta meta, const postgres::Type& type) {
    constexpr postgres::Oid kBool = 16, kUuid = 2950, kBytea = 17, kDate = 1082, kTime = 1083,
                            kTimestamp = 1114, kTimestamptz = 1184, kJson = 114, kJsonb = 3802;
    const auto is = [&](std::initializer_list<postgres::Oid> oids) {
      return std::find(oids.begin(), oids.end(), type.oid) != oids.end();
    };
    switch (meta) {
      case task::Meta::kPartition:
      case task::Meta::kOffset:
        return is({kUuid, kDate, kTime, kTimestamp, kTimestamptz});
      case task::Meta::kTimestamp:
      case task::Meta::kIngestedAt:
        return is({kBool, kUuid, kBytea});
      case task::Meta::kHeaders:
        return !is({kJson, kJsonb}) && type.category == 'b' && is({kBool, kUuid, kDate, kTime});
      case task::Meta::kTopic:
      case task::Meta::kKey:
        return false;
    }
    return false;
  }

  const TaskSource& source_;
  const task::Task& task_;
  const std::function<void(const Finding&)>& on_finding_;
  const OpenOptions options_;
  std::vector<Finding> findings_;
  ledger::Handle handle_;
  std::optional<ledger::Identity> was_;  // of the ledger's task of that name
  ledger::Identity identity_;            // as it is now
  std::unique_ptr<kafka::Admin> admin_;
  bool all_topics_ = false;  // are these two of all topics
  std::vector<kafka::TopicInfo> topics_;
  AllWatermarks watermarks_;
  Connection db_;
  std::string role_;
  TableInfo table_;
  std::string subject_;
};

}  // namespace

std::string_view name_of(Finding::Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "error";
}

std::vector<Finding> check(const TaskSource& source,
                           const std::function<void(const Finding&)>& on_finding,
                           OpenOptions options) {
  return Check(source, on_finding, options).run();
}

}  // namespace sluice::pipeline
