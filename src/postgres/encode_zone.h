// TimeZone: the offsets of one time zone as the server itself has them. The rules come from the
// server, not from this host's zone files: the two may be of different releases, and then a naive
// timestamp encoded here would not be the one that PostgreSQL's input function makes of the same
// text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::postgres {

// Immutable; may be shared by threads.
class TimeZone {
 public:
  // A SELECT of one text value for parse(); about 25,000 small rows of work for the server. An
  // unknown zone is the server's error 22023.
  static std::string sql(std::string_view name);
  // Domain kInternal if `text` is not what sql() gives.
  static Result<TimeZone> parse(std::string_view text);

  // Seconds east of UTC that PostgreSQL assumes for a wall clock time without offset, given in
  // seconds since 1970-01-01 00:00:00 of that wall clock. In the gap when clocks go forward the
  // offset before it, in the hour that comes twice the offset after it, as
  // DetermineTimeZoneOffset() in PostgreSQL's datetime.c has it. False outside of 1970 to 2037,
  // which sql() does not ask about.
  bool offset(std::int64_t local_seconds, std::int32_t& seconds_east) const;

 private:
  struct Transition {
    std::int64_t at;  // seconds since the epoch, UTC
    std::int32_t before;
    std::int32_t after;
  };
  std::int32_t first_ = 0;  // the offset before any transition
  std::vector<Transition> transitions_;
};

// Whether `name` is one of the names of UTC, for which no rules are needed.
bool is_utc(std::string_view name);

}  // namespace sluice::postgres
