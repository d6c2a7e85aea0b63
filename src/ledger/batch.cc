// The ledger's part of a batch's transaction: locking, moving, dead letters.
#include <fmt/format.h>

#include <algorithm>
#include <boost/crc.hpp>
#include <limits>

#include "ledger/statements.h"

namespace sluice::ledger {
namespace {

// PostgreSQL's timestamps run from 4713 BC to 294276 AD, in microseconds since 2000-01-01; Kafka's
// are whatever a producer wrote, in milliseconds since 1970.
constexpr std::int64_t kEpoch2000Ms = 946'684'800'000;
constexpr std::int64_t kFirstMs = -210'866'803'200'000;
constexpr std::int64_t kLastMs = 9'224'318'015'999'999;
constexpr std::int64_t kNoTimestamp = -1;

std::string timestamp_literal(std::int64_t timestamp_ms) {
  if (timestamp_ms == kNoTimestamp) return "NULL::timestamptz";
  if (timestamp_ms > kLastMs) return "'infinity'::timestamptz";
  if (timestamp_ms < kFirstMs) return "'-infinity'::timestamptz";
  // Days and milliseconds apart: each is exact, and neither overflows at the ends of the range.
  constexpr std::int64_t kDayMs = 86'400'000;
  const std::int64_t since_2000 = timestamp_ms - kEpoch2000Ms;
  return fmt::format(
      "(timestamp '2000-01-01' + {} * interval '1 day' + {} * interval '1 millisecond')"
      " AT TIME ZONE 'UTC'",
      since_2000 / kDayMs, since_2000 % kDayMs);
}

std::uint64_t binary_timestamp(std::int64_t timestamp_ms) {
  using Limits = std::numeric_limits<std::int64_t>;
  if (timestamp_ms > kLastMs) return static_cast<std::uint64_t>(Limits::max());
  if (timestamp_ms < kFirstMs) return static_cast<std::uint64_t>(Limits::min());
  return static_cast<std::uint64_t>((timestamp_ms - kEpoch2000Ms) * 1000);
}

void append_field(Buffer& out, std::string_view bytes) {
  SLUICE_CHECK(bytes.size() <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()));
  out.append_u32(static_cast<std::uint32_t>(bytes.size()));
  out.append(bytes);
}

void append_null(Buffer& out) { out.append_u32(0xFFFFFFFF); }

void append_text(Buffer& out, std::string_view text) {
  std::string clean;
  append_field(out, sql::is_clean(text, clean) ? text : std::string_view(clean));
}

void append_u64_field(Buffer& out, std::uint64_t value) {
  out.append_u32(8);
  out.append_u64(value);
}

void append_bytes_or_null(Buffer& out, const std::optional<std::string_view>& bytes) {
  if (bytes) {
    append_field(out, *bytes);
  } else {
    append_null(out);
  }
}

// Header of array_recv's form: dimensions, whether there are NULLs (only a hint), element type,
// then length and lower bound. Returns where the field's length is to be put.
std::size_t open_array(Buffer& out, std::uint32_t element_oid, std::size_t elements) {
  const std::size_t at = out.size();
  out.append_u32(0);
  out.append_u32(elements == 0 ? 0 : 1);
  out.append_u32(1);
  out.append_u32(element_oid);
  if (elements != 0) {
    out.append_u32(static_cast<std::uint32_t>(elements));
    out.append_u32(1);
  }
  return at;
}

void close_array(Buffer& out, std::size_t at) {
  out.put_u32(at, static_cast<std::uint32_t>(out.size() - at - 4));
}

// "l.ctid = ANY (...) AND ", or nothing unless all places are known.
std::string at_places(std::string_view alias, const Places& places, const std::vector<Key>& keys) {
  std::string list;
  for (const Key& key : keys) {
    const auto place = places.find(key);
    if (place == places.end()) return {};
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ",", place->second);
  }
  return fmt::format("{}ctid = ANY ('{{{}}}'::tid[]) AND ", alias, list);
}

}  // namespace

// The gate comes first and under the statement's first snapshot; a task row that was changed
// meanwhile is read anew when FOR SHARE has it. (A volatile function keeps a WITH from being pulled
// into its query.)
std::string lock_sql(const Handle& handle, const std::vector<Range>& ranges, const Places& places) {
  SLUICE_CHECK(!ranges.empty());
  std::vector<Key> keys;
  keys.reserve(ranges.size());
  for (const Range& range : ranges) keys.push_back(range.key);
  return fmt::format(
      "WITH gate AS (SELECT pg_catalog.pg_advisory_xact_lock_shared({}) IS NULL AS"
      " unused) SELECT CASE WHEN t.uid = {} THEN t.epoch ELSE {} END FROM gate, {} AS t"
      " WHERE t.id = {} FOR SHARE OF t;"
      "SELECT topic, partition, next_offset, epoch, ctid::text FROM {} WHERE {}task = {} AND {}"
      " ORDER BY topic, partition FOR UPDATE",
      sql::gate_key(handle), sql::literal(handle.uid), std::numeric_limits<std::int64_t>::max(),
      sql::table(handle.schema, "task"), sql::literal(handle.task),
      sql::table(handle.schema, "ledger"), at_places("", places, keys), sql::literal(handle.task),
      sql::among(keys));
}

Locked read_locked(const postgres::Rows& task, const postgres::Rows& ledger,
                   const std::vector<Range>& ranges) {
  Locked locked;
  locked.task_exists = task.size() != 0;
  if (locked.task_exists) locked.task_epoch = task.integer(0, 0);
  std::map<Key, Found> rows;
  for (int i = 0; i < ledger.size(); ++i) {
    Key key{std::string(ledger.text(i, 0)), static_cast<std::int32_t>(ledger.integer(i, 1))};
    rows[key] = {key, true, ledger.integer(i, 2), ledger.integer(i, 3)};
    locked.places[std::move(key)] = ledger.text(i, 4);
  }
  for (const Range& range : ranges) {
    const auto row = rows.find(range.key);
    locked.rows.push_back(row == rows.end() ? Found{range.key, false, 0, 0} : row->second);
  }
  return locked;
}

bool Locked::complete() const {
  return std::all_of(rows.begin(), rows.end(), [](const Found& row) { return row.exists; });
}

std::string move_sql(const Handle& handle, std::int64_t epoch, const std::vector<Move>& moves,
                     const Places& places) {
  SLUICE_CHECK(!moves.empty());
  std::string values;
  std::vector<Key> keys;
  for (const Move& move : moves) {
    SLUICE_CHECK(move.from <= move.to);
    keys.push_back(move.key);
    values += fmt::format(
        "{}({}, {}, {}::bigint, {}::bigint, {}, {}, {}::bigint, {}::bigint, {}::bigint,"
        " {}::bigint)",
        values.empty() ? "" : ", ", sql::literal(move.key.topic), move.key.partition, move.from,
        move.to, move.last_offset < 0 ? "NULL::bigint" : std::to_string(move.last_offset),
        timestamp_literal(move.last_offset < 0 ? kNoTimestamp : move.last_timestamp_ms),
        move.last_crc32c, move.applied, move.discarded, move.dead);
  }
  return fmt::format(
      "WITH moved AS (UPDATE {} AS l SET next_offset = m.to_offset,"
      " last_offset = coalesce(m.last_offset, l.last_offset),"
      " last_timestamp = CASE WHEN m.last_offset IS NULL THEN l.last_timestamp"
      " ELSE m.last_timestamp END,"
      " last_crc32c = CASE WHEN m.last_offset IS NULL THEN l.last_crc32c"
      " ELSE m.last_crc32c END,"
      " applied = l.applied + m.applied, discarded = l.discarded + m.discarded,"
      " dead = l.dead + m.dead,"
      " updated_at = pg_catalog.now()"
      " FROM (VALUES {}) AS m (topic, partition, from_offset, to_offset, last_offset,"
      " last_timestamp, last_crc32c, applied, discarded, dead)"
      " WHERE {}l.task = {} AND l.topic = m.topic AND l.partition = m.partition"
      " AND l.next_offset = m.from_offset AND l.epoch = {}"
      " RETURNING l.topic, l.partition, l.ctid::text AS place)"
      " SELECT 1 / (pg_catalog.count(*) = {})::integer,"
      " pg_catalog.string_agg(place, ' ' ORDER BY topic, partition) FROM moved",
      sql::table(handle.schema, "ledger"), values, at_places("l.", places, keys),
      sql::literal(handle.task), epoch, moves.size());
}

Places read_moved(const postgres::Rows& moved, const std::vector<Move>& moves) {
  std::vector<Key> keys;
  for (const Move& move : moves) keys.push_back(move.key);
  std::sort(keys.begin(), keys.end());
  Places places;
  std::string_view list = moved.text(0, 1);
  for (const Key& key : keys) {
    const std::size_t end = std::min(list.find(' '), list.size());
    places[key] = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return places;
}

std::uint32_t record_crc32c(std::string_view key, std::string_view value) {
  // CRC-32C as in RFC 3720, appendix B.4.
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(key.data(), key.size());
  crc.process_bytes(value.data(), value.size());
  return crc.checksum();
}

std::string dead_letter_copy_sql(const Handle& handle) {
  return fmt::format(
      "COPY {} (task, topic, partition, message_offset, message_timestamp, key, value,"
      " header_names, header_values, reason_class, code, message, column_name)"
      " FROM STDIN (FORMAT binary)",
      sql::table(handle.schema, "dead_letter"));
}

void append_dead_letter(const Handle& handle, const DeadLetter& letter, Buffer& out) {
  constexpr std::uint16_t kColumns = 13;
  constexpr std::uint32_t kTextOid = 25;
  constexpr std::uint32_t kByteaOid = 17;
  out.append_u16(kColumns);
  append_field(out, handle.task);
  append_field(out, letter.key.topic);
  out.append_u32(4);
  out.append_u32(static_cast<std::uint32_t>(letter.key.partition));
  append_u64_field(out, static_cast<std::uint64_t>(letter.offset));
  if (letter.timestamp_ms == kNoTimestamp) {
    append_null(out);
  } else {
    append_u64_field(out, binary_timestamp(letter.timestamp_ms));
  }
  append_bytes_or_null(out, letter.message_key);
  append_bytes_or_null(out, letter.value);
  const std::size_t names = open_array(out, kTextOid, letter.headers.size());
  for (const auto& header : letter.headers) append_text(out, header.name);
  close_array(out, names);
  const std::size_t values = open_array(out, kByteaOid, letter.headers.size());
  for (const auto& header : letter.headers) append_bytes_or_null(out, header.value);
  close_array(out, values);
  append_text(out, letter.reason_class);
  append_text(out, letter.code);
  append_text(out, letter.message);
  if (letter.column.empty()) {
    append_null(out);
  } else {
    append_text(out, letter.column);
  }
}

std::string application_name(const Handle& handle, std::string_view instance) {
  constexpr std::size_t kLimit = 63;  // NAMEDATALEN - 1
  std::string name = "sluice ";
  if (!handle.uid.empty()) name += handle.uid.substr(0, 16) + ' ';
  name += instance;
  name.resize(std::min(name.size(), kLimit));
  std::replace_if(name.begin(), name.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return name;
}

std::string group_name(const Handle& handle) {
  SLUICE_CHECK(handle.uid.size() >= 6);
  return fmt::format("sluice-{}-{}", handle.task, handle.uid.substr(0, 6));
}

}  // namespace sluice::ledger
