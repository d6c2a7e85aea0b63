// Control: the control plane of one process, put together: its database, secrets, accounts,
// connections, tasks and events. The API's operations are calls of its parts.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "control/access.h"
#include "control/connections.h"
#include "control/database.h"
#include "control/events.h"
#include "control/secrets.h"
#include "control/settings.h"
#include "control/tasks.h"

namespace sluice::control {

class Control {
 public:
  // Brings the schema up to date, opens the key. Errors: of the database, the key file, a newer
  // schema. Nothing runs before start().
  static Result<std::unique_ptr<Control>> open(Settings settings);
  ~Control();  // stop()
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Tasks begin where the database says they are; the chores of the house begin.
  void start();
  // Ends tasks cleanly (batches in flight are committed), up to `time`; what has not ended by then
  // is left to the ledger.
  void stop(std::chrono::milliseconds time);
  // Whether requests make sense: the database answers, and no stop is under way.
  bool is_ready();

  const Settings settings;
  const SecretBox secrets;
  Database database;
  Events events;
  Access access;
  Connections connections;
  Tasks tasks;

 private:
  Control(Settings given, SecretBox box);
  void keep_house();

  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread house_;  // last: uses what stands above
};

// Where the key lies if the settings do not say.
std::string default_key_file();
Result<SecretBox> open_secret_box(const Settings& settings, bool make);

}  // namespace sluice::control
