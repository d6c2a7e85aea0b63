// Connections: reusable endpoints with credentials, checked before they are used.
//
// Thread-safe. Secrets never leave: not in answers, events, audit or logs.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/database.h"
#include "control/events.h"
#include "control/page.h"
#include "control/problem.h"
#include "control/secrets.h"
#include "control/settings.h"

namespace sluice::control {

// The kinds of server: names of the PostgreSQL family share parameters and differ in hints.
bool is_postgres_type(std::string_view type);
bool is_connection_type(std::string_view type);  // those and "kafka"

// A connection as tasks use it, secrets and all. Lives in memory only.
struct OpenConnection {
  std::string id, name, type;
  bool ready = false;  // has passed its last check
  // PostgreSQL: a conninfo without dbname; `database` is what the connection names by itself.
  std::string conninfo;
  std::string database;
  // Kafka: librdkafka's properties.
  std::map<std::string, std::string> properties;
};

class Connections {
 public:
  Connections(Database& database, const SecretBox& secrets, const Settings& settings,
              Events& events);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // JSON as the API shows and takes them; `version` is the ETag that a change must name.
  struct Filter {
    std::string type, status;
  };
  // {"items", "next_cursor", "total"}
  Answer<boost::json::object> list(const Page& page, const Filter& filter);
  Answer<boost::json::object> show(const std::string& id);
  // Made, then checked in the background: the answer has status "checking".
  Answer<boost::json::object> create(const Caller& caller, const boost::json::object& body);
  // May name user, password, name, description; with "restart_tasks": true the tasks that use it
  // are opened anew and listed in the answer.
  Answer<boost::json::object> edit(const Caller& caller, const std::string& id,
                                   std::optional<std::int64_t> version,
                                   const boost::json::object& body);
  Answer<bool> remove(const Caller& caller, const std::string& id,
                      std::optional<std::int64_t> version);
  // Starts a check, or joins the one under way.
  Answer<boost::json::object> check(const Caller& caller, const std::string& id);
  // The steps of the check under way or the last one, from number `from` on: for streams.
  struct Steps {
    boost::json::array steps;
    bool ended = false;
    boost::json::object connection;  // once it ended
  };
  Answer<Steps> steps(const std::string& id, std::size_t from);
  // Tasks that use it: [{"id", "name", "state", "role": "source" | "target"}].
  Answer<boost::json::array> tasks_of(const std::string& id);

  // What is behind it: browse() of databases, schemas, tables, columns, topics, partitions, groups.
  struct Look {
    std::string
        what;  // "databases", "schemas", "tables", "table", "topics", "topic", "groups", "group"
    std::string database, schema, name, search;
    int limit = kDefaultPage;
    std::string cursor;
    bool fresh = false;  // not from the cache
  };
  Answer<boost::json::object> browse(const std::string& id, const Look& look);

  // For tasks, by name or id. Errors: not_found, connection_not_ready (unless `any_status`),
  // internal for a secret that does not open.
  Answer<OpenConnection> open(const std::string& name, bool any_status = false);
  // Seals every secret again with `box`, in one transaction: a new key.
  Answer<int> reseal(const SecretBox& box);

  // Looks again at what was looked at longest ago; called by the house every few seconds.
  void recheck_some();
  // What is called for each linked task's id after an edit() with restart_tasks, once the
  // connection has passed its check. Set once, before threads.
  void on_restart(std::function<void(const std::string& task_id)> restart) {
    restart_ = std::move(restart);
  }
  void stop();  // ends checks; none begins any more

 private:
  struct Checking;
  struct State;
  struct Row;

  Answer<Row> load(const std::string& id);
  std::optional<Row> read_row(Transaction& transaction, const std::string& condition,
                              const std::string& value) const;
  boost::json::object show_row(const Row& row) const;
  Result<OpenConnection> open_row(const Row& row);
  Answer<Row> insert(const Caller& caller, const Row& row);
  void tell_quota();
  void start_check(const std::string& id, bool asked, std::vector<std::string> restart);
  void work();
  void run_check(const std::string& id, Checking& checking);
  bool store_check(const Row& row, const Checking& checking);

  Database& database_;
  const SecretBox& secrets_;
  const Settings& settings_;
  Events& events_;
  std::function<void(const std::string&)> restart_;
  const std::unique_ptr<State> state_;
};

}  // namespace sluice::control
