#include "control/control.h"

#include <cstdlib>

#include "base/log.h"
#include "control/migrations.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

constexpr auto kHouse = 5s;
constexpr auto kForget = 10min;

// The first time a secret key meets a control database it leaves a mark there, so that a wrong key
// is found at the start, not when the first connection is opened.
Answer<bool> check_key(Database& database, const SecretBox& box) {
  constexpr const char* kName = "secret_key";
  return database.transact([&](Transaction& transaction) -> Answer<bool> {
    transaction.run("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    {kName, to_hex(box.seal("sluice", kName))});
    const auto rows = transaction.run("SELECT value FROM setting WHERE name = $1", {kName});
    if (rows.size() == 0) return true;  // the transaction has failed
    const auto opened = box.open(from_hex(rows.text(0, 0)), kName);
    if (!opened) return refuse("internal", opened.error());
    return true;
  });
}

}  // namespace

std::string default_key_file() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state != '\0') return std::string(state) + "/sluice/secret.key";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : ".") + "/.local/state/sluice/secret.key";
}

Result<SecretBox> open_secret_box(const Settings& settings, bool make) {
  if (!settings.secret_key.empty()) {
    return SecretBox::from_text(settings.secret_key, "secret_key.value");
  }
  return SecretBox::from_file(
      settings.secret_key_file.empty() ? default_key_file() : settings.secret_key_file, make);
}

Control::Control(Settings given, SecretBox box)
    : settings(std::move(given)),
      secrets(box),
      database(settings.database_url, settings.database_schema, settings.database_sessions),
      events(database),
      access(database, settings),
      connections(database, secrets, settings, events),
      tasks(database, connections, settings, events) {
  connections.on_restart([this](const std::string& id) { tasks.open_anew(id); });
}

Result<std::unique_ptr<Control>> Control::open(Settings settings) {
  auto migrated = migrate(settings.database_url, settings.database_schema);
  if (!migrated) return fail(migrated.error());
  if (migrated->from != migrated->to) {
    log::info("the control database was brought up to date",
              {{"from", migrated->from}, {"to", migrated->to}});
  }
  auto box = open_secret_box(settings, true);
  if (!box) return fail(box.error());
  std::unique_ptr<Control> control(new Control(std::move(settings), *box));
  auto right = check_key(control->database, control->secrets);
  if (!right) {
    const auto& problem = right.error();
    return fail(Domain::kFile, problem.code, "the control database: " + problem.detail,
                problem.advice);
  }
  return control;
}

Control::~Control() { stop(0ms); }

void Control::start() {
  events.add({"server.started",
              {"server", "", ""},
              "the server started",
              {{"version", SLUICE_VERSION}, {"address", settings.listen}}});
  tasks.start();
  house_ = std::thread([this] { keep_house(); });
}

void Control::stop(std::chrono::milliseconds time) {
  if (stopping_.exchange(true)) return;
  {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  const bool started = house_.joinable();
  if (started) house_.join();
  connections.stop();
  tasks.stop(time);
  if (started) {
    events.add({"server.stopped",
                {"server", "", ""},
                "the server stopped",
                {{"version", SLUICE_VERSION}}});
  }
}

bool Control::is_ready() { return !stopping_ && database.ping().has_value(); }

void Control::keep_house() {
  auto forget_at = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    connections.recheck_some();
    if (std::chrono::steady_clock::now() >= forget_at) {
      forget_at = std::chrono::steady_clock::now() + kForget;
      events.forget_older(settings.events_kept, settings.audit_kept);
    }
    lock.lock();
    wake_.wait_for(lock, kHouse, [&] { return stopping_.load(); });
  }
}

}  // namespace sluice::control
