// The inside of Connections: a row of its table, checks under way, what browsing keeps. Internal to
// `control`.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/connection_parameters.h"
#include "control/connections.h"

namespace sluice::control {

struct Connections::Row {
  std::string id, name, type, description;
  ConnectionParameters given;
  std::optional<Error> sealed_error;  // its secrets do not open
  std::string status = "checking";
  boost::json::value reason = nullptr;
  boost::json::value steps = boost::json::array();
  std::string checked_at, created_at, created_by, updated_at, created_exactly;
  std::int64_t version = 1, tasks = 0;

  static Row of(const postgres::Rows& rows, int at, const SecretBox& box);
  bool was_ready() const;
};

// One check, from the question for it to its end. Guarded by State::mutex.
struct Connections::Checking {
  bool asked = false;                // a person wants to know: its end is an event in any case
  boost::json::array steps;          // that have ended
  std::vector<std::string> restart;  // tasks, once it has passed
};

struct Connections::State {
  struct Cached {
    std::chrono::steady_clock::time_point at;
    boost::json::object answer;
  };

  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::map<std::string, std::shared_ptr<Checking>> checking;  // waiting or under way, by id
  std::deque<std::string> waiting;
  std::vector<std::thread> threads;
  int idle = 0;  // of them
  std::map<std::string, Cached> cache;
  int browsing = 0;
  std::optional<std::chrono::steady_clock::time_point> quota_told;
  CertificateFiles certificates;
};

}  // namespace sluice::control
