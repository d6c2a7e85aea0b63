#include "base/fail_point.h"

#ifdef SLUICE_FAIL_POINTS
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "base/result.h"

namespace sluice {
namespace {

struct Armed {
  int hit = 1;
  int visits = 0;
  std::string action = "kill";
};

// Reads SLUICE_FAIL_POINT once; a name that does not exist ends the process, so that no test passes
// because of a misspelt point.
std::map<std::string, Armed, std::less<>> read_environment() {
  std::map<std::string, Armed, std::less<>> armed;
  const char* text = std::getenv("SLUICE_FAIL_POINT");  // NOLINT(concurrency-mt-unsafe)
  std::string_view rest = text == nullptr ? "" : text;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    Armed point;
    const auto first = item.find(':');
    const std::string name(item.substr(0, first));
    if (first != std::string_view::npos) {
      item = item.substr(first + 1);
      const auto second = item.find(':');
      point.hit = std::atoi(std::string(item.substr(0, second)).c_str());
      if (second != std::string_view::npos) point.action = item.substr(second + 1);
    }
    bool known = false;
    for (const auto existing : kFailPoints) known = known || existing == name;
    SLUICE_CHECK(known && point.hit > 0);
    SLUICE_CHECK(point.action == "kill" || point.action == "disconnect" || point.action == "stop");
    armed.emplace(name, point);
  }
  return armed;
}

}  // namespace

bool fail_point(std::string_view name) {
  static std::mutex mutex;
  static auto armed = read_environment();
  if (armed.empty()) return false;
  const std::lock_guard lock(mutex);
  const auto found = armed.find(name);
  if (found == armed.end() || ++found->second.visits != found->second.hit) return false;
  if (found->second.action == "kill") std::raise(SIGKILL);
  if (found->second.action == "stop") std::raise(SIGSTOP);
  return found->second.action == "disconnect";
}

}  // namespace sluice
#endif
