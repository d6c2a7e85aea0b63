// ^regex of a subscription, matched as librdkafka does. Internal to this module.
#pragma once

#include <fmt/format.h>
#include <regex.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"

namespace sluice::kafka {

// ^regex as librdkafka matches a subscription with the classic protocol: POSIX extended, by the C
// library. (With group.protocol=consumer the broker matches, by RE2/J and the whole name.)
class TopicPattern {
 public:
  static Result<TopicPattern> compile(const std::string& text) {
    TopicPattern pattern;
    const int status = regcomp(pattern.regex_.get(), text.c_str(), REG_EXTENDED | REG_NOSUB);
    if (status != 0) {
      std::array<char, 256> reason{};
      regerror(status, pattern.regex_.get(), reason.data(), reason.size());
      return fail(Domain::kKafka, "_INVALID_ARG",
                  fmt::format("\"{}\" is not a regular expression: {}", text, reason.data()),
                  "Topics that begin with ^ are POSIX extended regular expressions");
    }
    pattern.compiled_ = true;
    return pattern;
  }
  TopicPattern(TopicPattern&& other) noexcept
      : regex_(std::move(other.regex_)), compiled_(std::exchange(other.compiled_, false)) {}
  TopicPattern& operator=(TopicPattern&&) = delete;
  TopicPattern(const TopicPattern&) = delete;
  TopicPattern& operator=(const TopicPattern&) = delete;
  ~TopicPattern() {
    if (compiled_) regfree(regex_.get());
  }
  bool matches(const std::string& topic) const {
    return regexec(regex_.get(), topic.c_str(), 0, nullptr, 0) == 0;
  }

 private:
  TopicPattern() : regex_(std::make_unique<regex_t>()) {}
  std::unique_ptr<regex_t> regex_;
  bool compiled_ = false;
};

}  // namespace sluice::kafka
