// Tasks: what makes and changes documents: create, edit, copy, rebuild, restart, revisions.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "control/secrets.h"
#include "control/tasks_state.h"
#include "pipeline/check.h"
#include "pipeline/look.h"

namespace sluice::control {
namespace {

boost::json::object finding_json(const pipeline::Finding& finding) {
  return {{"level", pipeline::name_of(finding.level)},
          {"step", finding.step},
          {"subject", finding.subject},
          {"message", finding.message},
          {"remedy", finding.remedy}};
}

// Where a task writes, as far as that decides which ledger it has.
std::string ledger_place(const TaskDocument& document) {
  return fmt::format("{}\n{}\n{}", document.target_connection, document.database,
                     document.task.target.ledger_schema);
}

// "skip 120, repeat 0": what a restart from elsewhere means, and what confirms it.
struct Moved {
  std::int64_t skipped = 0, repeated = 0;
  boost::json::object start;  // positions for TaskRow::opening
  std::int64_t epoch = 0;
  std::string confirmation() const { return fmt::format("skip {}, repeat {}", skipped, repeated); }
};

// Blocking: asks Kafka and the target.
Answer<Moved> positions_from(const pipeline::TaskSource& source) {
  auto from = pipeline::reach_source(source, "sluice-control");
  if (!from) return refuse("connection_failed", from.error());
  auto target = pipeline::reach_target(source, "sluice control");
  if (!target) return refuse("connection_failed", target.error());
  auto positions =
      pipeline::start_positions(*from->admin, source.task, from->topics, from->watermarks);
  if (!positions) {
    if (positions.error().domain == Domain::kDocument) {
      Problem problem{"invalid", positions.error().message, positions.error().remedy};
      problem.fields.push_back({"from", positions.error().message});
      return refuse(std::move(problem));
    }
    return refuse("connection_failed", positions.error());
  }
  auto& db = *target->connection;
  auto known = db.drive(ledger::read_task(db, target->handle));
  if (!known) return refuse("connection_failed", known.error());
  auto rows = db.drive(ledger::read_ledger(db, target->handle));
  if (!rows) return refuse("connection_failed", rows.error());
  std::map<ledger::Key, std::int64_t> now;
  for (const auto& row : *rows) now[row.key] = row.next_offset;
  Moved moved;
  if (*known) moved.epoch = (*known)->epoch;
  for (const auto& [key, offset] : *positions) {
    auto& topic = moved.start[key.topic];
    if (!topic.is_object()) topic.emplace_object();
    topic.get_object()[std::to_string(key.partition)] = offset;
    const auto before = now.find(key);
    if (before == now.end()) continue;
    moved.skipped += std::max<std::int64_t>(0, offset - before->second);
    moved.repeated += std::max<std::int64_t>(0, before->second - offset);
  }
  return moved;
}

// Whether anything but what people call the task has changed.
bool concerns_run(const boost::json::array& changes) {
  return std::any_of(changes.begin(), changes.end(), [](const boost::json::value& change) {
    const auto& path = change.at("path").as_string();
    return path != "name" && path != "description";
  });
}

// The document with another name.
boost::json::object renamed(boost::json::object document, const std::string& name) {
  document["name"] = name;
  return document;
}

}  // namespace

boost::json::object read_tags(Body& body, std::string_view name) {
  boost::json::object tags;
  const auto* given = body.object(name);
  if (given == nullptr) return tags;
  if (given->size() > 20) {
    body.wrong(name, "takes at most 20 tags");
    return tags;
  }
  for (const auto& tag : *given) {
    const auto mistake = name_mistake(tag.key());
    const auto* text = tag.value().if_string();
    if (!mistake.empty()) {
      body.wrong(name, "has a tag whose name is not valid: it " + mistake);
    } else if (text == nullptr || utf8_length(*text) > 128 ||
               has_control_characters(*text, false)) {
      body.wrong(fmt::format("{}.{}", name, std::string_view(tag.key())),
                 "takes a text of up to 128 characters");
    } else {
      tags[tag.key()] = tag.value();
    }
  }
  return tags;
}

Answer<std::pair<std::string, std::string>> Tasks::State::connection_ids(
    Transaction& transaction, const TaskDocument& document) const {
  std::vector<FieldProblem> wrong;
  const auto find = [&](const std::string& name, bool source) {
    const auto rows =
        transaction.run("SELECT id, type FROM connection WHERE name = $1 FOR SHARE", {name});
    const std::string path = source ? "source.connection" : "target.connection";
    if (rows.size() == 0) {
      wrong.push_back({path, fmt::format("there is no connection \"{}\"", name)});
      return std::string();
    }
    const std::string type(rows.text(0, 1));
    if (source ? type != "kafka" : !is_postgres_type(type)) {
      wrong.push_back({path, fmt::format("connection \"{}\" is of type {}", name, type)});
    }
    return std::string(rows.text(0, 0));
  };
  auto source = find(document.source_connection, true);
  auto target = find(document.target_connection, false);
  if (wrong.empty()) return std::pair(std::move(source), std::move(target));
  Problem problem{"invalid_document", fmt::format("{}: {}", wrong[0].path, wrong[0].message)};
  problem.fields = std::move(wrong);
  return refuse(std::move(problem));
}

Answer<bool> Tasks::State::quota(Transaction& transaction) const {
  const auto rows = transaction.run("SELECT count(*) FROM task WHERE state <> 'deleted'");
  if (rows.size() == 0 || rows.integer(0, 0) < settings.most_tasks) return true;
  return refuse("quota_reached",
                fmt::format("there are {} tasks already (limits.tasks)", settings.most_tasks));
}

Answer<TaskRow> Tasks::State::insert(Transaction& transaction, const Caller& caller,
                                     const TaskDocument& document, const boost::json::object& tags,
                                     std::string_view operation, const std::string& from) {
  if (auto room = quota(transaction); !room) return tl::unexpected(room.error());
  auto ids = connection_ids(transaction, document);
  if (!ids) return tl::unexpected(ids.error());
  const std::string id = random_id("task");
  const auto inserted = transaction.run(
      "INSERT INTO task (id, name, description, tags, document, state, source_connection,"
      " target_connection, source_text, target_text, created_by) VALUES ($1, $2, $3, $4, $5,"
      " 'creating', $6, $7, $8, $9, $10) ON CONFLICT (name) WHERE state <> 'deleted' DO NOTHING",
      {id, document.task.name, document.task.description, boost::json::serialize(tags),
       document.text(), ids->first, ids->second, document.source_text(), document.target_text(),
       caller.account});
  if (!transaction.failed() && inserted.affected() == 0) {
    return refuse("name_taken", fmt::format("there is a task \"{}\" already", document.task.name));
  }
  transaction.run(
      "INSERT INTO task_revision (task_id, revision, document, created_by) VALUES ($1, 1, $2, $3)",
      {id, document.text(), caller.account});
  auto row = find_task(transaction, id, false);
  if (!row) return not_found("task", id);  // the transaction has failed
  NewEvent event{operation == "task.copy" ? "task.copied" : "task.created", row->subject(),
                 fmt::format("task {} was created", row->name)};
  event.data = {{"revision", 1}};
  if (!from.empty()) event.data["from"] = from;
  Events::add(transaction, event);
  Events::audit(transaction, caller,
                {std::string(operation), row->subject(), nullptr, task_json(*row)});
  return std::move(*row);
}

Answer<boost::json::object> Tasks::create(const Caller& caller, const boost::json::object& json) {
  Body body(json);
  const auto* given = body.object("document", true);
  const auto tags = read_tags(body, "tags");
  if (auto good = body.finish(); !good) return tl::unexpected(good.error());
  auto document = read_document(*given);
  if (!document) return tl::unexpected(document.error());
  auto answer =
      state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
        auto row = state_->insert(transaction, caller, *document, tags, "task.create", "");
        if (!row) return tl::unexpected(row.error());
        return state_->shown(*row);
      });
  state_->changed();
  return answer;
}

Answer<boost::json::object> Tasks::try_out(const boost::json::object& json) {
  Body body(json);
  const auto* given = body.object("document", true);
  (void)read_tags(body, "tags");
  if (auto good = body.finish(); !good) return tl::unexpected(good.error());
  auto document = read_document(*given);
  if (!document) return tl::unexpected(document.error());
  auto source = source_of(*document, "", state_->connections);
  if (!source) return tl::unexpected(source.error());
  boost::json::array findings;
  bool good = true;
  for (const auto& finding : pipeline::check(*source)) {
    good = good && finding.level != pipeline::Finding::Level::kError;
    findings.push_back(finding_json(finding));
  }
  return boost::json::object{{"ok", good}, {"findings", std::move(findings)}};
}

// A new revision, at the next run. What the edit changes decides how that run opens the ledger: the
// same place again is taken over; another table, or another server behind the names, is adopted;
// another ledger gets the positions of the old one.
Answer<boost::json::object> Tasks::edit(const Caller& caller, const std::string& id,
                                        std::optional<std::int64_t> version,
                                        const boost::json::object& json) {
  Body body(json);
  const auto* given = body.object("document");
  const auto name = body.name("name");
  const auto description = body.text("description", {.max = 128});
  const bool tagged = body.has_value("tags");
  const auto tags = read_tags(body, "tags");
  const auto comment = body.text("comment", {.max = 256});
  if (auto good = body.finish(); !good) return tl::unexpected(good.error());
  auto answer = state_->database.transact([&](Transaction& transaction)
                                              -> Answer<boost::json::object> {
    auto row = state_->lock(transaction, id, version);
    if (!row) return tl::unexpected(row.error());
    const auto what = verdict(row->state, TaskAction::kEdit);
    if (what.kind == Verdict::Kind::kRefuse) return refuse_state(*row, TaskAction::kEdit);
    boost::json::object wanted = given != nullptr ? *given : row->document;
    if (name) wanted["name"] = *name;
    if (description) wanted["description"] = *description;
    auto document = read_document(wanted);
    if (!document) return tl::unexpected(document.error());
    auto before = read_document(row->document);
    if (!before) return tl::unexpected(before.error());
    auto ids = state_->connection_ids(transaction, *document);
    if (!ids) return tl::unexpected(ids.error());

    const auto changes = difference(row->document, wanted);
    const TaskRow old = *row;
    if (document->task.name != row->name) {
      const auto taken =
          transaction.run("SELECT FROM task WHERE name = $1 AND id <> $2 AND state <> 'deleted'",
                          {document->task.name, id});
      if (taken.size() > 0) {
        return refuse("name_taken",
                      fmt::format("there is a task \"{}\" already", document->task.name));
      }
    }
    boost::json::object opening = row->opening;
    opening["take_over"] = true;
    if (ledger_place(*before) != ledger_place(*document)) {
      // An edit on top of one that was not carried out yet still comes from the oldest place.
      if (!opening.contains("old")) opening["old"] = row->document;
    }
    if (before->target_text() != document->target_text() ||
        before->source_connection != document->source_connection) {
      opening["adopt"] = true;
    }
    const bool documents_differ = !changes.empty();
    const bool runs = what.next == TaskState::kResuming && concerns_run(changes);
    if (documents_differ) ++row->revision;
    transaction.run(
        "UPDATE task SET name = $2, description = $3, tags = $4, document = $5, revision = $6,"
        " source_connection = $7, target_connection = $8, source_text = $9, target_text = $10,"
        " opening = $11, run = run + $12, version = version + 1, updated_at = now() WHERE id = $1",
        {id, document->task.name, document->task.description,
         boost::json::serialize(tagged ? tags : row->tags), document->text(),
         std::to_string(row->revision), ids->first, ids->second, document->source_text(),
         document->target_text(), boost::json::serialize(documents_differ ? opening : row->opening),
         runs ? "1" : "0"});
    if (documents_differ) {
      transaction.run(
          "INSERT INTO task_revision (task_id, revision, document, comment, created_by) VALUES ($1,"
          " $2, $3, $4, $5)",
          {id, std::to_string(row->revision), document->text(), comment.value_or(""),
           caller.account});
    }
    row->name = document->task.name;
    if (runs && row->state != TaskState::kResuming) {
      move_task(transaction, *row, TaskState::kResuming);
    }
    auto after = find_task(transaction, id, false);
    if (!after) return not_found("task", id);  // the transaction has failed
    NewEvent event{"task.edited", after->subject(),
                   fmt::format("task {} has revision {}", after->name, after->revision)};
    boost::json::array keys;
    for (const auto& change : changes) keys.push_back(change.at("path"));
    event.data = {{"revision", after->revision}, {"keys", std::move(keys)}};
    Events::add(transaction, event);
    Events::audit(transaction, caller,
                  {"task.edit", after->subject(), task_json(old), task_json(*after)});
    return state_->shown(*after);
  });
  state_->changed();
  return answer;
}

Answer<boost::json::object> Tasks::restart(const Caller& caller, const std::string& id,
                                           std::optional<std::int64_t> version,
                                           const boost::json::object& json) {
  Body body(json);
  const auto* from = body.value("from");
  const auto confirm = body.text("confirm", {.max = 128});
  if (auto good = body.finish(); !good) return tl::unexpected(good.error());

  // Kafka and the target are asked outside of the transaction: they may be slow.
  std::optional<Moved> moved;
  if (from != nullptr) {
    auto row = state_->database.transact([&](Transaction& transaction) -> Answer<TaskRow> {
      auto found = find_task(transaction, id, false);
      if (!found) return not_found("task", id);
      return std::move(*found);
    });
    if (!row) return tl::unexpected(row.error());
    if (verdict(row->state, TaskAction::kRestart).kind != Verdict::Kind::kGo) {
      return refuse_state(*row, TaskAction::kRestart);
    }
    auto document = row->document;
    if (!document["source"].is_object()) document["source"].emplace_object();
    document["source"].get_object()["start"] = *from;
    auto read = read_document(document);
    if (!read) return tl::unexpected(read.error());
    auto source = source_of(*read, id, state_->connections);
    if (!source) return tl::unexpected(source.error());
    auto positions = positions_from(*source);
    if (!positions) return tl::unexpected(positions.error());
    if (confirm.value_or("") != positions->confirmation()) {
      Problem problem{"confirmation_needed",
                      fmt::format("{} messages would be skipped and {} repeated",
                                  positions->skipped, positions->repeated)};
      problem.more = {{"skipped", positions->skipped},
                      {"repeated", positions->repeated},
                      {"confirm", positions->confirmation()}};
      return refuse(std::move(problem));
    }
    moved = std::move(*positions);
  }
  auto answer =
      state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
        auto row = state_->lock(transaction, id, version);
        if (!row) return tl::unexpected(row.error());
        const auto what = verdict(row->state, TaskAction::kRestart);
        if (what.kind == Verdict::Kind::kRefuse) return refuse_state(*row, TaskAction::kRestart);
        if (what.kind == Verdict::Kind::kAlready) return state_->shown(*row);
        const auto before = row->state;
        if (moved) {
          row->opening["start"] = moved->start;
          row->opening["epoch"] = moved->epoch;
          NewEvent event{
              "task.moved", row->subject(),
              fmt::format("task {} goes on elsewhere: {}", row->name, moved->confirmation())};
          event.data = {
              {"skipped", moved->skipped}, {"repeated", moved->repeated}, {"from", *from}};
          Events::add(transaction, event);
        }
        move_task(transaction, *row, what.next);
        transaction.run(
            "UPDATE task SET version = version + 1, run = run + 1, opening = $2 WHERE id = "
            "$1",
            {id, boost::json::serialize(row->opening)});
        ++row->version;
        boost::json::object after{{"state", name_of(row->state)}};
        if (moved) after["from"] = *from;
        Events::audit(
            transaction, caller,
            {"task.restart", row->subject(), {{"state", name_of(before)}}, std::move(after)});
        return state_->shown(*row);
      });
  state_->changed();
  return answer;
}

Answer<boost::json::object> Tasks::copy(const Caller& caller, const std::string& id,
                                        const boost::json::object& json) {
  Body body(json);
  const auto name = body.name("name", true);
  const auto* given = body.object("document");
  if (auto good = body.finish(); !good) return tl::unexpected(good.error());
  auto answer =
      state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
        const auto from = find_task(transaction, id, false);
        if (!from) return not_found("task", id);
        auto document = read_document(renamed(given != nullptr ? *given : from->document, *name));
        if (!document) return tl::unexpected(document.error());
        auto row =
            state_->insert(transaction, caller, *document, from->tags, "task.copy", from->id);
        if (!row) return tl::unexpected(row.error());
        return state_->shown(*row);
      });
  state_->changed();
  return answer;
}

// Of a task whose creation failed: the same id, another try, with another document if one is given.
Answer<boost::json::object> Tasks::rebuild(const Caller& caller, const std::string& id,
                                           std::optional<std::int64_t> version,
                                           const boost::json::object& json) {
  Body body(json);
  const auto* given = body.object("document");
  if (auto good = body.finish(); !good) return tl::unexpected(good.error());
  if (given != nullptr) {
    boost::json::object change{{"document", *given}, {"comment", "rebuild"}};
    auto edited = edit(caller, id, version, change);
    if (!edited) return edited;
    version.reset();
  }
  auto answer =
      state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
        auto row = state_->lock(transaction, id, version);
        if (!row) return tl::unexpected(row.error());
        const auto what = verdict(row->state, TaskAction::kRebuild);
        if (what.kind == Verdict::Kind::kRefuse) return refuse_state(*row, TaskAction::kRebuild);
        if (what.kind == Verdict::Kind::kAlready) return state_->shown(*row);
        move_task(transaction, *row, what.next);
        transaction.run(
            "UPDATE task SET version = version + 1, run = run + 1, percent = 0, steps = '[]'"
            " WHERE id = $1",
            {id});
        ++row->version;
        Events::audit(transaction, caller,
                      {"task.rebuild", row->subject(), nullptr, task_json(*row)});
        return state_->shown(*row);
      });
  state_->changed();
  return answer;
}

Answer<boost::json::array> Tasks::revisions(const std::string& id) {
  return state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::array> {
    if (!find_task(transaction, id, false)) return not_found("task", id);
    const auto rows = transaction.run(
        "SELECT revision, comment, created_by, to_char(created_at AT TIME ZONE 'UTC',"
        " 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM task_revision WHERE task_id = $1"
        " ORDER BY revision DESC",
        {id});
    boost::json::array list;
    for (int row = 0; row < rows.size(); ++row) {
      list.push_back({{"revision", rows.integer(row, 0)},
                      {"comment", rows.text(row, 1)},
                      {"created_by", rows.text(row, 2)},
                      {"created_at", rows.text(row, 3)}});
    }
    return list;
  });
}

Answer<boost::json::object> Tasks::revision(const std::string& id, int number,
                                            std::optional<int> against) {
  return state_->database.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    if (!find_task(transaction, id, false)) return not_found("task", id);
    const auto read = [&](int wanted) -> Answer<boost::json::value> {
      const auto rows =
          transaction.run("SELECT document FROM task_revision WHERE task_id = $1 AND revision = $2",
                          {id, std::to_string(wanted)});
      if (rows.size() == 0) return not_found("revision", std::to_string(wanted));
      return parse_json(rows.text(0, 0));
    };
    auto document = read(number);
    if (!document) return tl::unexpected(document.error());
    boost::json::object json{{"revision", number}, {"document", *document}};
    const int before = against.value_or(number - 1);
    if (before > 0) {
      auto other = read(before);
      if (!other) return tl::unexpected(other.error());
      json["against"] = before;
      json["changes"] = difference(*other, *document);
    }
    return json;
  });
}

Answer<boost::json::object> Tasks::roll_back(const Caller& caller, const std::string& id,
                                             std::optional<std::int64_t> version,
                                             const boost::json::object& json) {
  Body body(json);
  const auto number = body.integer("revision", 1, 1'000'000'000, true);
  if (auto good = body.finish(); !good) return tl::unexpected(good.error());
  auto old = revision(id, static_cast<int>(*number), static_cast<int>(*number));
  if (!old) return old;
  boost::json::object change{{"document", old->at("document")},
                             {"comment", fmt::format("back to revision {}", *number)}};
  return edit(caller, id, version, change);
}

}  // namespace sluice::control
