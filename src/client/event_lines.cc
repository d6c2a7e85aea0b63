#include "client/event_lines.h"

#include <utility>

namespace sluice::client {

bool EventLines::feed(std::string_view bytes, const std::function<bool(const ServerEvent&)>& take) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (line_.size() + event_.data.size() > kMaxBytes) return false;
    if (end == std::string_view::npos) return true;
    bytes.remove_prefix(end + 1);
    if (line_.ends_with('\r')) line_.pop_back();
    const bool more = take_line(line_, take);
    line_.clear();
    if (!more) return false;
  }
  return true;
}

bool EventLines::take_line(std::string_view line,
                           const std::function<bool(const ServerEvent&)>& take) {
  if (line.empty()) {
    const bool whole = std::exchange(has_data_, false);
    const bool more = !whole || take(event_);
    event_.name.clear();
    event_.data.clear();
    return more;
  }
  const auto colon = line.find(':');
  if (colon == 0) return true;  // a comment
  const auto field = line.substr(0, colon);
  auto value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  } else if (field == "event") {
    event_.name = value;
  } else if (field == "id") {
    event_.id = value;
  }
  return true;
}

}  // namespace sluice::client
