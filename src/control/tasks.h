// Tasks: declared outflows, their states and revisions, and the workers that run them.
//
// The control database says what shall be; a loop compares it with what runs in this process and
// starts, stops and opens anew. So a crash at any moment is repaired by the next start: whatever
// was half done is in the row's state (control/task_state.h), and the ledger in the target says
// what was applied.
//
// Thread-safe.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/connections.h"
#include "control/database.h"
#include "control/events.h"
#include "control/page.h"
#include "control/problem.h"
#include "control/settings.h"
#include "control/task_state.h"
#include "pipeline/run.h"

namespace sluice::control {

class Tasks {
 public:
  Tasks(Database& database, Connections& connections, const Settings& settings, Events& events);
  ~Tasks();
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;

  // ---- what the API does ----
  struct Filter {
    std::string state, source, target, type, tag;  // tag: "name" or "name=value"
  };
  Answer<boost::json::object> list(const Page& page, const Filter& filter);
  Answer<boost::json::object> show(const std::string& id);
  // Body: {"document": {...}, "tags": {...}}. With dry_run nothing is kept: {"findings": [...]}.
  Answer<boost::json::object> create(const Caller& caller, const boost::json::object& body);
  Answer<boost::json::object> try_out(const boost::json::object& body);
  Answer<boost::json::object> edit(const Caller& caller, const std::string& id,
                                   std::optional<std::int64_t> version,
                                   const boost::json::object& body);
  // pause, resume: no body.
  Answer<boost::json::object> act(const Caller& caller, const std::string& id, TaskAction action,
                                  std::optional<std::int64_t> version);
  // Body: {"from": ..., "confirm": "..."} or empty.
  Answer<boost::json::object> restart(const Caller& caller, const std::string& id,
                                      std::optional<std::int64_t> version,
                                      const boost::json::object& body);
  Answer<boost::json::object> copy(const Caller& caller, const std::string& id,
                                   const boost::json::object& body);
  Answer<boost::json::object> rebuild(const Caller& caller, const std::string& id,
                                      std::optional<std::int64_t> version,
                                      const boost::json::object& body);
  Answer<boost::json::object> remove(const Caller& caller, const std::string& id,
                                     std::optional<std::int64_t> version, bool with_ledger);
  Answer<boost::json::array> revisions(const std::string& id);
  Answer<boost::json::object> revision(const std::string& id, int number,
                                       std::optional<int> against);
  Answer<boost::json::object> roll_back(const Caller& caller, const std::string& id,
                                        std::optional<std::int64_t> version,
                                        const boost::json::object& body);
  // For the wizard: see api/openapi.yaml, previewTask.
  Answer<boost::json::object> preview(const boost::json::object& body);
  // Live figures of one task.
  Answer<boost::json::object> figures(const std::string& id);

  // ---- the life of the process ----
  void start();
  void stop(std::chrono::milliseconds time);
  // The task is opened anew with what its connections say now.
  void open_anew(const std::string& id);
  // For /metrics: of tasks that run here.
  struct Running {
    std::string id, name;
    pipeline::Progress progress;
  };
  std::vector<Running> running();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::control
