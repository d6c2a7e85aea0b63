#include "cli/options.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/terminal.h"

namespace sluice::cli {

Signals::Signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

Signals::~Signals() { close(fd_); }

int Signals::exit_code() const {
  signalfd_siginfo info{};
  const bool read_one = read(fd_, &info, sizeof info) == sizeof info;
  return 128 + (read_one ? static_cast<int>(info.ssi_signo) : SIGTERM);
}

std::optional<LoadedTask> load_or_explain(const std::string& file) {
  auto loaded = load(file);
  if (loaded) return std::move(*loaded);
  for (const auto& error : loaded.error()) print_error(error);
  return std::nullopt;
}

pipeline::TaskSource source_of(const LoadedTask& loaded) {
  return {loaded.task, loaded.reread_postgres, loaded.reread_kafka};
}

void configure_quiet_logs(const Options& options) {
  log::configure(options.verbose ? log::Level::kDebug : log::Level::kError, log::Format::kText);
}

}  // namespace sluice::cli
