#include "pipeline/environment.h"

#include <poll.h>

#include <thread>

namespace sluice::pipeline {

bool StopSignal::wait(std::chrono::milliseconds time) const {
  if (fd_ < 0) {
    std::this_thread::sleep_for(time);
    return false;
  }
  pollfd fd{fd_, POLLIN, 0};
  return ::poll(&fd, 1, static_cast<int>(time.count())) > 0;
}

}  // namespace sluice::pipeline
