#include "control/connections.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>

#include "base/log.h"
#include "control/body.h"
#include "control/browse.h"
#include "control/connections_state.h"

namespace sluice::control {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMaxDescription = 128;
constexpr std::size_t kMostCached = 256;
constexpr std::chrono::seconds kCachedFor{10};
constexpr std::chrono::minutes kQuotaSilence{10};
// Whoever makes or renames a connection: names and the quota are judged one after the other.
constexpr const char* kNamesLock = "SELECT pg_advisory_xact_lock(7309471, 1)";
constexpr const char* kTimeText =
    "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.{}\"Z\"')";

std::string time_text(std::string_view column, std::string_view digits = "MS") {
  return fmt::format(fmt::runtime(kTimeText), column, digits);
}

std::string columns() {
  return fmt::format(
      "c.id, c.name, c.type, c.description, c.parameters::text,"
      " coalesce(encode(c.secrets, 'hex'), ''), c.status, c.reason::text, c.steps::text, {}, "
      "c.version,"
      " {}, c.created_by, {}, (SELECT count(*) FROM task t WHERE t.state <> 'deleted' AND"
      " (t.source_connection = c.id OR t.target_connection = c.id)), {}",
      time_text("c.checked_at"), time_text("c.created_at"), time_text("c.updated_at"),
      time_text("c.created_at", "US"));
}

boost::json::value parsed(std::string_view text) {
  boost::json::error_code error;
  auto value = boost::json::parse(text, error);
  return error ? boost::json::value(nullptr) : value;
}

boost::json::value text_or_null(std::string_view text) {
  return text.empty() ? boost::json::value(nullptr) : boost::json::value(text);
}

std::string hex_of(std::string_view bytes) {
  std::string text = "\\x";
  for (const unsigned char c : bytes) text += fmt::format("{:02x}", c);
  return text;
}

// What the audit has of a connection.
boost::json::object for_audit(const boost::json::object& shown) {
  boost::json::object kept;
  for (const auto* name : {"name", "type", "description", "parameters", "secrets"}) {
    if (shown.contains(name)) kept[name] = shown.at(name);
  }
  return kept;
}

tl::unexpected<Problem> refuse_stale(std::int64_t now) {
  return refuse("stale", fmt::format("its version is {} now", now));
}

boost::json::array tasks_in(Transaction& transaction, const std::string& id) {
  const auto rows = transaction.run(
      "SELECT id, name, state, CASE WHEN source_connection = $1 THEN 'source' ELSE 'target' END"
      " FROM task WHERE state <> 'deleted' AND (source_connection = $1 OR target_connection = $1)"
      " ORDER BY name, id",
      {id});
  boost::json::array tasks;
  for (int row = 0; row < rows.size(); ++row) {
    tasks.push_back({{"id", rows.text(row, 0)},
                     {"name", rows.text(row, 1)},
                     {"state", rows.text(row, 2)},
                     {"role", rows.text(row, 3)}});
  }
  return tasks;
}

tl::unexpected<Problem> refuse_use(const boost::json::array& tasks, std::string_view what,
                                   std::string advice) {
  Problem problem{"in_use",
                  fmt::format("{} task{} it, so it cannot be {}", tasks.size(),
                              tasks.size() == 1 ? " uses" : "s use", what),
                  std::move(advice)};
  problem.more["tasks"] = tasks;
  return refuse(std::move(problem));
}

bool name_is_taken(Transaction& transaction, const std::string& name, const std::string& but_id) {
  return transaction.run("SELECT 1 FROM connection WHERE name = $1 AND id <> $2", {name, but_id})
             .size() > 0;
}

Subject subject_of(const std::string& id, const std::string& name) {
  return {"connection", id, name};
}

}  // namespace

Connections::Connections(Database& database, const SecretBox& secrets, const Settings& settings,
                         Events& events)
    : database_(database),
      secrets_(secrets),
      settings_(settings),
      events_(events),
      state_(std::make_unique<State>()) {}

Connections::~Connections() { stop(); }

// ---- rows ----

std::optional<Connections::Row> Connections::read_row(Transaction& transaction,
                                                      const std::string& condition,
                                                      const std::string& value) const {
  const auto rows = transaction.run(
      fmt::format("SELECT {} FROM connection c WHERE {}", columns(), condition), {value});
  if (rows.size() == 0) return std::nullopt;
  return Row::of(rows, 0, secrets_);
}

Connections::Row Connections::Row::of(const postgres::Rows& rows, int at, const SecretBox& box) {
  Row row;
  row.id = rows.text(at, 0);
  row.name = rows.text(at, 1);
  row.type = rows.text(at, 2);
  row.description = rows.text(at, 3);
  const auto parameters = parsed(rows.text(at, 4));
  if (parameters.is_object()) row.given.parameters = parameters.get_object();
  if (const auto hex = rows.text(at, 5); !hex.empty()) {
    std::string sealed;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      sealed += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    }
    auto plain = box.open(sealed, row.id);
    if (plain) {
      row.given.secrets = read_secrets(*plain);
    } else {
      row.sealed_error = plain.error();
    }
  }
  row.status = rows.text(at, 6);
  row.reason = parsed(rows.text(at, 7));
  row.steps = parsed(rows.text(at, 8));
  row.checked_at = rows.text(at, 9);
  row.version = rows.integer(at, 10);
  row.created_at = rows.text(at, 11);
  row.created_by = rows.text(at, 12);
  row.updated_at = rows.text(at, 13);
  row.tasks = rows.integer(at, 14);
  row.created_exactly = rows.text(at, 15);
  return row;
}

// The last check that ended was passed, whatever is under way now.
bool Connections::Row::was_ready() const {
  return status == "ready" || (status == "checking" && reason.is_null() && !checked_at.empty());
}

boost::json::object Connections::show_row(const Row& row) const {
  boost::json::object secrets;
  for (const auto& [name, value] : row.given.secrets) secrets[name] = true;
  return {{"id", row.id},
          {"name", row.name},
          {"type", row.type},
          {"description", row.description},
          {"parameters", row.given.parameters},
          {"secrets", std::move(secrets)},
          {"status", row.status},
          {"reason", row.reason},
          {"steps", row.steps},
          {"checked_at", text_or_null(row.checked_at)},
          {"tasks", row.tasks},
          {"version", row.version},
          {"created_at", row.created_at},
          {"created_by", row.created_by},
          {"updated_at", row.updated_at}};
}

Answer<Connections::Row> Connections::load(const std::string& id) {
  return database_.transact([&](Transaction& transaction) -> Answer<Row> {
    auto row = read_row(transaction, "c.id = $1", id);
    if (!row) return not_found("connection", id);
    return std::move(*row);
  });
}

Result<OpenConnection> Connections::open_row(const Row& row) {
  if (row.sealed_error) return fail(*row.sealed_error);
  std::string ca_file;
  const auto* pem = row.given.parameters.if_contains("ca_certificate");
  if (pem != nullptr && pem->is_string()) {
    auto path = state_->certificates.path_of(row.id, std::string(pem->get_string()));
    if (!path) return fail(path.error());
    ca_file = std::move(*path);
  }
  auto open = open_with(row.type, row.given, ca_file);
  open.id = row.id;
  open.name = row.name;
  open.ready = row.was_ready();
  return open;
}

// ---- what the API does ----

Answer<boost::json::object> Connections::list(const Page& page, const Filter& filter) {
  std::string where = " WHERE true";
  Parameters parameters;
  const auto add = [&](std::string_view condition, const std::string& value) {
    if (value.empty()) return;
    parameters.emplace_back(value);
    where += fmt::format(fmt::runtime(condition), parameters.size());
  };
  add(" AND c.type = ${}", filter.type);
  add(" AND c.status = ${}", filter.status);
  add(" AND strpos(lower(c.name || ' ' || c.description), lower(${})) > 0", page.search);
  const std::string counted = fmt::format("SELECT count(*) FROM connection c{}", where);
  const auto counted_by = parameters;
  const bool by_time = page.sort == "created_at";
  const std::string key = by_time ? "c.created_at" : fmt::format("c.{} COLLATE \"C\"", page.sort);
  const std::string_view order = page.descending ? "DESC" : "ASC";
  if (page.after) {
    if (by_time && !read_time(page.after->value)) return refuse("bad_cursor", "");
    parameters.emplace_back(page.after->value);
    parameters.emplace_back(page.after->id);
    where +=
        fmt::format(" AND ({}, c.id) {} (${}::{}, ${})", key, page.descending ? "<" : ">",
                    parameters.size() - 1, by_time ? "timestamptz" : "text", parameters.size());
  }
  const std::string sql =
      fmt::format("SELECT {} FROM connection c{} ORDER BY {} {}, c.id {} LIMIT {}", columns(),
                  where, key, order, order, page.limit + 1);
  return database_.transact([&](Transaction& transaction) -> Answer<boost::json::object> {
    const auto total = transaction.run(counted, counted_by);
    const auto rows = transaction.run(sql, parameters);
    boost::json::array items;
    boost::json::value next = nullptr;
    Row last;
    for (int at = 0; at < rows.size(); ++at) {
      if (at == page.limit) {
        const auto& value = by_time               ? last.created_exactly
                            : page.sort == "type" ? last.type
                                                  : last.name;
        next = cursor_of(page, value, last.id);
        break;
      }
      last = Row::of(rows, at, secrets_);
      items.push_back(show_row(last));
    }
    return boost::json::object{{"items", std::move(items)},
                               {"next_cursor", std::move(next)},
                               {"total", total.size() > 0 ? total.integer(0, 0) : 0}};
  });
}

Answer<boost::json::object> Connections::show(const std::string& id) {
  auto row = load(id);
  if (!row) return tl::unexpected(row.error());
  auto shown = show_row(*row);
  const std::lock_guard lock(state_->mutex);
  const auto checking = state_->checking.find(id);
  if (checking != state_->checking.end()) shown["steps"] = checking->second->steps;
  return shown;
}

Answer<boost::json::object> Connections::create(const Caller& caller,
                                                const boost::json::object& body) {
  Body reader(body);
  Row row;
  row.name = reader.name("name", true).value_or("");
  row.description = reader.text("description", {.max = kMaxDescription}).value_or("");
  const auto type = reader.choice("type",
                                  {"kafka", "postgresql", "warehouse_postgresql",
                                   "tdsql_postgresql", "tdsql_c_postgresql", "greenplum"},
                                  true);
  if (type) {
    row.type = *type;
    row.given = read_parameters(reader, *type);
  } else {
    reader.object("parameters", true);
    reader.object("secrets");
  }
  if (const auto good = reader.finish(); !good) return tl::unexpected(good.error());
  row.id = random_id("conn");
  auto made = insert(caller, row);
  if (!made) {
    if (made.error().code == "quota_reached") tell_quota();
    return tl::unexpected(made.error());
  }
  start_check(row.id, true, {});
  return show_row(*made);
}

Answer<Connections::Row> Connections::insert(const Caller& caller, const Row& row) {
  return database_.transact([&](Transaction& transaction) -> Answer<Row> {
    transaction.run(kNamesLock);
    const auto count = transaction.run("SELECT count(*) FROM connection");
    if (count.size() > 0 && count.integer(0, 0) >= settings_.most_connections) {
      return refuse("quota_reached", fmt::format("there are {} connections, the most there may be",
                                                 settings_.most_connections));
    }
    if (name_is_taken(transaction, row.name, "")) {
      return refuse("name_taken", fmt::format("there is a connection \"{}\" already", row.name));
    }
    transaction.run(
        "INSERT INTO connection (id, name, type, description, parameters, secrets, status,"
        " created_by) VALUES ($1, $2, $3, $4, $5, $6, 'checking', $7)",
        {row.id, row.name, row.type, row.description, boost::json::serialize(row.given.parameters),
         hex_of(secrets_.seal(write_secrets(row.given.secrets), row.id)), caller.account});
    const auto subject = subject_of(row.id, row.name);
    Events::add(transaction, {"connection.created",
                              subject,
                              fmt::format("The {} connection \"{}\" was made by {}", row.type,
                                          row.name, caller.account),
                              {{"type", row.type}}});
    auto made = read_row(transaction, "c.id = $1", row.id);
    if (!made) return not_found("connection", row.id);
    Events::audit(transaction, caller,
                  {"connection.create", subject, nullptr, for_audit(show_row(*made))});
    return std::move(*made);
  });
}

void Connections::tell_quota() {
  {
    const std::lock_guard lock(state_->mutex);
    const auto now = steady_clock::now();
    if (state_->quota_told && now - *state_->quota_told < kQuotaSilence) return;
    state_->quota_told = now;
  }
  events_.add(
      {"quota.reached",
       {"server", "", ""},
       fmt::format("There are {} connections, the most there may be", settings_.most_connections),
       {{"what", "connections"}, {"limit", settings_.most_connections}}});
}

Answer<boost::json::object> Connections::edit(const Caller& caller, const std::string& id,
                                              std::optional<std::int64_t> version,
                                              const boost::json::object& body) {
  struct Edited {
    Row row;
    bool login = false;  // what it logs in with is another
    boost::json::array tasks;
  };
  bool restart = false;
  auto edited = database_.transact([&](Transaction& transaction) -> Answer<Edited> {
    transaction.run(kNamesLock);
    const auto before = read_row(transaction, "c.id = $1 FOR UPDATE", id);
    if (!before) return not_found("connection", id);
    if (version && *version != before->version) return refuse_stale(before->version);
    Body reader(body);
    const auto name = reader.name("name");
    const auto description = reader.text("description", {.max = kMaxDescription});
    restart = reader.flag("restart_tasks").value_or(false);
    auto change = read_change(reader, before->type, before->given);
    if (const auto good = reader.finish(); !good) return tl::unexpected(good.error());
    Edited edit{*before, !change.changed.empty(), tasks_in(transaction, id)};
    if (name && *name != before->name) {
      if (!edit.tasks.empty()) {
        return refuse_use(edit.tasks, "renamed",
                          "Their documents name it; make a new connection, or delete them first.");
      }
      if (name_is_taken(transaction, *name, id)) {
        return refuse("name_taken", fmt::format("there is a connection \"{}\" already", *name));
      }
      change.changed.emplace_back("name");
      edit.row.name = *name;
    }
    if (description && *description != before->description) {
      change.changed.emplace_back("description");
      edit.row.description = *description;
    }
    edit.row.given = std::move(change.now);
    if (change.changed.empty()) return edit;
    transaction.run(
        "UPDATE connection SET name = $2, description = $3, parameters = $4, secrets = $5,"
        " version = version + 1, updated_at = now() WHERE id = $1",
        {id, edit.row.name, edit.row.description, boost::json::serialize(edit.row.given.parameters),
         hex_of(secrets_.seal(write_secrets(edit.row.given.secrets), id))});
    if (edit.login) {
      transaction.run("UPDATE connection SET status = 'checking' WHERE id = $1", {id});
    }
    const auto now = read_row(transaction, "c.id = $1", id);
    if (!now) return edit;
    edit.row = *now;
    boost::json::array keys(change.changed.begin(), change.changed.end());
    auto after = for_audit(show_row(*now));
    after["changed"] = keys;
    const auto subject = subject_of(id, now->name);
    Events::add(transaction,
                {"connection.edited",
                 subject,
                 fmt::format("The connection \"{}\" was changed by {}", now->name, caller.account),
                 {{"keys", keys}}});
    Events::audit(transaction, caller,
                  {"connection.edit", subject, for_audit(show_row(*before)), std::move(after)});
    return edit;
  });
  if (!edited) return tl::unexpected(edited.error());
  std::vector<std::string> again;
  if (restart) {
    for (const auto& task : edited->tasks) {
      again.emplace_back(task.get_object().at("id").get_string());
    }
  }
  auto shown = show_row(edited->row);
  if (restart) shown["restarted_tasks"] = edited->tasks;
  if (edited->login) {
    start_check(id, true, std::move(again));
  } else if (restart_) {
    for (const auto& task : again) restart_(task);
  }
  return shown;
}

Answer<bool> Connections::remove(const Caller& caller, const std::string& id,
                                 std::optional<std::int64_t> version) {
  auto removed = database_.transact([&](Transaction& transaction) -> Answer<bool> {
    const auto row = read_row(transaction, "c.id = $1 FOR UPDATE", id);
    if (!row) return not_found("connection", id);
    if (version && *version != row->version) return refuse_stale(row->version);
    const auto tasks = tasks_in(transaction, id);
    if (!tasks.empty()) {
      return refuse_use(tasks, "deleted", "Delete them first, or let them use another.");
    }
    // Rows of deleted tasks are of no use to anybody, and would hold it.
    transaction.run(
        "DELETE FROM task WHERE state = 'deleted' AND (source_connection = $1 OR"
        " target_connection = $1)",
        {id});
    transaction.run("DELETE FROM connection WHERE id = $1", {id});
    const auto subject = subject_of(id, row->name);
    Events::add(transaction, {"connection.deleted", subject,
                              fmt::format("The connection \"{}\" was deleted by {}", row->name,
                                          caller.account)});
    Events::audit(transaction, caller,
                  {"connection.delete", subject, for_audit(show_row(*row)), nullptr});
    return true;
  });
  if (removed) state_->certificates.drop(id);
  return removed;
}

Answer<boost::json::array> Connections::tasks_of(const std::string& id) {
  return database_.transact([&](Transaction& transaction) -> Answer<boost::json::array> {
    if (!read_row(transaction, "c.id = $1", id)) return not_found("connection", id);
    return tasks_in(transaction, id);
  });
}

Answer<boost::json::object> Connections::browse(const std::string& id, const Look& look) {
  auto row = load(id);
  if (!row) return tl::unexpected(row.error());
  // Lists of names: no member may be taken for another.
  const std::string key = boost::json::serialize(
      boost::json::array{id, row->version, look.what, look.database, look.schema, look.name,
                         look.search, look.limit, look.cursor});
  const auto now = steady_clock::now();
  {
    const std::lock_guard lock(state_->mutex);
    const auto cached = state_->cache.find(key);
    if (!look.fresh && cached != state_->cache.end() && now - cached->second.at < kCachedFor) {
      return cached->second.answer;
    }
    // The other threads must stay free for requests that do not wait for servers elsewhere.
    if (state_->browsing >= std::max(1, settings_.http_threads / 2)) {
      return refuse("busy", "too many look at what is behind connections right now");
    }
    ++state_->browsing;
  }
  const auto open = open_row(*row);
  Answer<boost::json::object> answer =
      open ? browse_server(*open, look, settings_.allowlist_ranges)
           : Answer<boost::json::object>(refuse("internal", open.error()));
  const std::lock_guard lock(state_->mutex);
  --state_->browsing;
  if (answer) {
    std::erase_if(state_->cache,
                  [&](const auto& item) { return now - item.second.at >= kCachedFor; });
    if (state_->cache.size() >= kMostCached) state_->cache.clear();
    state_->cache.insert_or_assign(key, State::Cached{now, *answer});
  }
  return answer;
}

// ---- for tasks ----

Answer<OpenConnection> Connections::open(const std::string& name, bool any_status) {
  auto row = database_.transact([&](Transaction& transaction) -> Answer<Row> {
    auto found =
        read_row(transaction, "c.name = $1 OR c.id = $1 ORDER BY (c.name = $1) DESC LIMIT 1", name);
    if (!found) return not_found("connection", name);
    return std::move(*found);
  });
  if (!row) return tl::unexpected(row.error());
  if (!any_status && !row->was_ready()) {
    std::string why = row->status == "failed" ? "did not pass its check" : "is not checked yet";
    if (const auto* reason = row->reason.if_object();
        reason != nullptr && reason->contains("message")) {
      why += fmt::format(": {}", std::string_view(reason->at("message").get_string()));
    }
    return refuse("connection_not_ready", fmt::format("the connection \"{}\" {}", row->name, why));
  }
  auto open = open_row(*row);
  if (!open) return refuse("internal", open.error());
  return std::move(*open);
}

Answer<int> Connections::reseal(const SecretBox& box) {
  return database_.transact([&](Transaction& transaction) -> Answer<int> {
    const auto rows = transaction.run(fmt::format(
        "SELECT {} FROM connection c WHERE c.secrets IS NOT NULL ORDER BY c.id FOR UPDATE",
        columns()));
    for (int at = 0; at < rows.size(); ++at) {
      const auto row = Row::of(rows, at, secrets_);
      if (row.sealed_error) {
        return refuse("internal",
                      fmt::format("connection \"{}\": {}", row.name, row.sealed_error->message),
                      row.sealed_error->remedy);
      }
      transaction.run("UPDATE connection SET secrets = $2 WHERE id = $1",
                      {row.id, hex_of(box.seal(write_secrets(row.given.secrets), row.id))});
    }
    return rows.size();
  });
}

}  // namespace sluice::control
