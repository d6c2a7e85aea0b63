// The document of a task on a server: the same keys as in a file of `sluice run`, but connections
// by name instead of addresses and passwords. Nothing in it is expanded.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/connections.h"
#include "control/problem.h"
#include "pipeline/environment.h"
#include "task/task.h"

namespace sluice::control {

struct TaskDocument {
  boost::json::object json;  // as it was given
  // Without source.kafka and target.postgres, which the connections give.
  task::Task task;
  std::string source_connection, target_connection;
  std::string database;  // empty: the connection's own
  std::string text() const;
  // For lists: "kafka-1: orders, payments" and "warehouse: shop.public.orders".
  std::string source_text() const;
  std::string target_text() const;
};

// Errors: invalid_document, with a field for each mistake.
Answer<TaskDocument> read_document(const boost::json::object& json);

// What runs: the document with what its connections say now. `id` becomes the task's name, the key
// of its ledger. Errors: connection_not_ready, not_found, internal, database_unavailable.
Answer<pipeline::TaskSource> source_of(const TaskDocument& document, const std::string& id,
                                       Connections& connections);

// What differs, by path: [{"path", "before", "after"}]; a missing value is null.
boost::json::array difference(const boost::json::value& before, const boost::json::value& after);

}  // namespace sluice::control
