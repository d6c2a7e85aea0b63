#include "postgres/encode_zone.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace sluice::postgres {
namespace {

constexpr std::int64_t kSecondsPerDay = 86'400;
// 1970-01-02 and 2038-01-01: inside of what sql() covers, so that the day before a time is covered
// too.
constexpr std::int64_t kFromSeconds = kSecondsPerDay;
constexpr std::int64_t kToSeconds = 2'145'916'800;

std::string literal(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += c;
  }
  return quoted + "'";
}

template <class T>
bool take_number(std::string_view& text, char after, T& value) {
  const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto used = static_cast<std::size_t>(stopped - text.data());
  if (error != std::errc() || used == text.size() || text[used] != after) return false;
  text.remove_prefix(used + 1);
  return true;
}

}  // namespace

// Looks at noon of each day from 1969-12-31 to 2038-01-02; where the offset differs from that of
// the day before, seventeen halvings find the second in which it changed. A backslash in the name
// needs no care: standard_conforming_strings is on unless somebody turned it off, and then the name
// is unknown.
std::string TimeZone::sql(std::string_view name) {
  const std::string zone = literal(name);
  const auto offset_at = [&](const std::string& seconds) {
    return "extract(epoch from timezone(" + zone + ", to_timestamp(" + seconds +
           "::float8)) - timezone('UTC', to_timestamp(" + seconds + "::float8)))::int";
  };
  return "WITH RECURSIVE day AS (SELECT d, " + offset_at("d") +
         " AS o FROM generate_series(-43200::bigint, 2146046400, 86400) AS d), "
         "change AS (SELECT d - 86400 AS low, d AS high, b AS before, o AS after FROM "
         "(SELECT d, o, lag(o) OVER (ORDER BY d) AS b FROM day) AS pair WHERE o <> b), "
         "halve AS (SELECT low, high, before, after, 0 AS step FROM change UNION ALL "
         "SELECT CASE WHEN m.o = before THEN m.at ELSE low END, "
         "CASE WHEN m.o = before THEN high ELSE m.at END, before, after, step + 1 "
         "FROM halve CROSS JOIN LATERAL (SELECT (low + high) / 2 AS at, " +
         offset_at("((low + high) / 2)") +
         " AS o) AS m WHERE step < 17 AND high - low > 1) "
         "SELECT (SELECT o FROM day ORDER BY d LIMIT 1) || ';' || coalesce(("
         "SELECT string_agg(high || ',' || before || ',' || after || ';', '' ORDER BY high) "
         "FROM halve WHERE high - low = 1), '')";
}

Result<TimeZone> TimeZone::parse(std::string_view text) {
  const auto bad = [&] {
    return fail(Domain::kInternal, "time_zone",
                "the server's rules of the time zone cannot be read: '" +
                    std::string(text.substr(0, 40)) + "'");
  };
  TimeZone zone;
  if (!take_number(text, ';', zone.first_)) return bad();
  while (!text.empty()) {
    Transition next{};
    if (!take_number(text, ',', next.at) || !take_number(text, ',', next.before) ||
        !take_number(text, ';', next.after)) {
      return bad();
    }
    if (!zone.transitions_.empty() && zone.transitions_.back().at >= next.at) return bad();
    zone.transitions_.push_back(next);
  }
  return zone;
}

bool TimeZone::offset(std::int64_t local_seconds, std::int32_t& seconds_east) const {
  if (local_seconds < kFromSeconds || local_seconds >= kToSeconds) return false;
  const auto next = std::upper_bound(
      transitions_.begin(), transitions_.end(), local_seconds - kSecondsPerDay,
      [](std::int64_t at, const Transition& transition) { return at < transition.at; });
  if (next == transitions_.end()) {
    seconds_east = transitions_.empty() ? first_ : transitions_.back().after;
    return true;
  }
  const std::int64_t by_before = local_seconds - next->before;
  const std::int64_t by_after = local_seconds - next->after;
  if (by_before < next->at && by_after < next->at) {
    seconds_east = next->before;
  } else if (by_before > next->at && by_after >= next->at) {
    seconds_east = next->after;
  } else {  // in the gap, or in the hour that comes twice
    seconds_east = by_before > by_after ? next->before : next->after;
  }
  return true;
}

bool is_utc(std::string_view name) {
  constexpr std::array<std::string_view, 5> kNames = {"utc", "etc/utc", "gmt", "etc/gmt", "zulu"};
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  return std::find(kNames.begin(), kNames.end(), lower) != kNames.end();
}

}  // namespace sluice::postgres
