// The lines of text/event-stream become messages. No I/O; one thread.
//
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sluice::client {

struct ServerEvent {
  std::string name;  // empty where the stream says nothing
  std::string data;  // lines are joined by line feeds
  std::string id;    // of this message or the last one before it that had one
};

class EventLines {
 public:
  static constexpr std::size_t kMaxBytes = 8 * 1024 * 1024;  // of one message

  // Takes the next bytes and hands out each message that they complete; `take` answers whether it
  // wants more. False: it does not, or a message is beyond kMaxBytes.
  bool feed(std::string_view bytes, const std::function<bool(const ServerEvent&)>& take);

 private:
  bool take_line(std::string_view line, const std::function<bool(const ServerEvent&)>& take);

  std::string line_;
  ServerEvent event_;
  bool has_data_ = false;
};

}  // namespace sluice::client
