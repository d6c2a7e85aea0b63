#include "compare.h"

#include <array>
#include <cstdio>
#include <cstdlib>

#include "json/reader.h"
#include "postgres/encode.h"

namespace sluice::values {
namespace {

using message::Kind;
using message::Value;

constexpr std::string_view kBinaryHeader("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19);
constexpr std::string_view kBinaryTrailer("\xff\xff", 2);

std::string trim(const std::string& text) {
  const auto from = text.find_first_not_of(' ');
  if (from == std::string::npos) return "";
  return text.substr(from, text.find_last_not_of(' ') - from + 1);
}

struct Read {
  std::array<json::Path, 1> paths = {*json::Path::compile("v")};
  json::Reader reader{paths, json::Unmapped::kIgnore};
  std::array<json::Slot, 1> slots;
};

Kind kind_of(const json::Slot& slot) {
  switch (slot.type) {
    case json::Type::kNull:
      return Kind::kNull;
    case json::Type::kBool:
      return Kind::kBool;
    case json::Type::kNumber:
      return Kind::kNumber;
    case json::Type::kString:
      return Kind::kString;
    case json::Type::kObject:
      return Kind::kJsonObject;
    case json::Type::kArray:
      return Kind::kJsonArray;
    case json::Type::kAbsent:
      break;
  }
  return Kind::kAbsent;
}

}  // namespace

bool parse_subject(const std::string& text, Subject& subject) {
  subject = {};
  subject.name = trim(text);
  std::size_t from = 0;
  for (bool first = true; from <= text.size(); first = false) {
    const std::size_t end = std::min(text.find(';', from), text.size());
    const std::string part = trim(text.substr(from, end - from));
    from = end + 1;
    sink::EncoderOptions& options = subject.options;
    if (first) {
      subject.type = part;
    } else if (part == "unit=s") {
      options.unit = task::Unit::kSeconds;
    } else if (part == "unit=ms") {
      options.unit = task::Unit::kMillis;
    } else if (part == "unit=us") {
      options.unit = task::Unit::kMicros;
    } else if (part == "unit=ns") {
      options.unit = task::Unit::kNanos;
    } else if (part == "encoding=base64") {
      options.encoding = task::Encoding::kBase64;
    } else if (part == "encoding=hex") {
      options.encoding = task::Encoding::kHex;
    } else if (part == "nul=strip") {
      options.nul = task::Nul::kStrip;
    } else if (part == "nul=replace") {
      options.nul = task::Nul::kReplace;
    } else if (part.starts_with("zone=")) {
      options.time_zone = part.substr(5);
    } else {
      return false;
    }
  }
  return !subject.type.empty();
}

Decoded::Decoded(const std::string& json) {
  std::size_t bad_at = 0;
  if (json.starts_with("@bytes")) {
    Buffer bytes;
    good_ = postgres::decode_hex(json.size() > 7 ? std::string_view(json).substr(7) : "", bytes,
                                 bad_at);
    bytes_ = bytes.view();
    value_ = Value::of(Kind::kBytes, bytes_);
    return;
  }
  for (const auto& [name, kind] :
       {std::pair{"@micros ", Kind::kMicros}, std::pair{"@integer ", Kind::kInteger}}) {
    if (!json.starts_with(name)) continue;
    std::int64_t integer = 0;
    good_ =
        postgres::parse_integer(std::string_view(json).substr(std::string(name).size()), integer);
    value_ = Value::of(kind, integer);
    return;
  }
  text_ = "{\"v\":" + json + "}";
  static Read read;
  json::Failure failure;
  good_ = read.reader.read(text_, read.slots, failure);
  const json::Slot& slot = read.slots[0];
  value_ = Value::of(kind_of(slot), slot.text());
  value_.integer = slot.boolean ? 1 : 0;
}

Bench::Bench(Server& server, const Subject& subject) : server_(server), subject_(subject) {
  for (const char* table : {"oracle", "by_text", "by_binary"}) {
    server_.run(std::string("CREATE UNLOGGED TABLE ") + table + " (n int PRIMARY KEY, c " +
                subject_.type + ")");
  }
  server_.run("SET TimeZone = '" + subject_.options.time_zone + "'");
  if (!postgres::is_utc(subject_.options.time_zone)) {
    const Answer rules = server_.query(postgres::TimeZone::sql(subject_.options.time_zone));
    auto zone = postgres::TimeZone::parse(rules.scalar());
    SLUICE_CHECK(zone.has_value());
    subject_.options.zone = std::make_shared<const postgres::TimeZone>(std::move(*zone));
  }
  auto encoder = sink::ColumnEncoder::compile(server_.describe("oracle", "c"), subject_.options);
  if (!encoder) {
    std::fprintf(stderr, "values_test: %s: %s\n", subject_.name.c_str(),
                 to_string(encoder.error()).c_str());
    std::exit(1);
  }
  encoder_ = std::move(*encoder);
  send_ = server_
              .query(
                  "SELECT typsend::regproc FROM pg_attribute JOIN pg_type t ON t.oid = atttypid "
                  "WHERE attrelid = 'oracle'::regclass AND attname = 'c'")
              .scalar();
}

Bench::~Bench() { server_.run("DROP TABLE oracle, by_text, by_binary"); }

Bench::Row Bench::encode(std::size_t number, const Value& value) {
  Row row;
  Buffer out;
  out.append(std::to_string(number));
  out.append('\t');
  row.text_taken = encoder_->copy_text(value, out, scratch_, problem_);
  out.append('\n');
  row.text = out.view();
  out.clear();
  out.append_u16(2);
  postgres::append_int4(static_cast<std::int32_t>(number), out);
  row.binary_taken = encoder_->binary(value, out, scratch_, problem_);
  row.binary = out.view();
  return row;
}

Answer Bench::copy(bool binary, const std::string& rows) {
  if (!binary) return server_.copy("COPY by_text (n, c) FROM STDIN", rows);
  std::string data(kBinaryHeader);
  data += rows;
  data += kBinaryTrailer;
  return server_.copy("COPY by_binary (n, c) FROM STDIN (FORMAT binary)", data);
}

// For each sample the SQLSTATE, or "" if PostgreSQL takes it: then it is in the table `oracle`.
std::vector<std::string> Bench::ask_oracle(const std::vector<Sample>& samples) {
  std::string rows;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const bool populate = samples[i].oracle == Oracle::kPopulate;
    const std::optional<std::string> value = populate ? samples[i].json : samples[i].reference;
    rows += std::to_string(i) + (populate ? "\tt\t" : "\tf\t");
    if (!value) rows += "\\N";
    for (const char c : value.value_or("")) {
      const auto at = std::string("\t\n\r\\").find(c);
      rows += at == std::string::npos ? std::string(1, c) : std::string("\\") + "tnr\\"[at];
    }
    rows += '\n';
  }
  server_.run("CREATE TEMPORARY TABLE sample (n int, populate boolean, value text)");
  const Answer loaded = server_.copy("COPY sample FROM STDIN", rows);
  const Answer asked = server_.query("SELECT ask(n, populate, value) FROM sample ORDER BY n");
  server_.run("DROP TABLE sample");
  if (!loaded.ok || asked.rows.size() != samples.size()) {
    std::fprintf(stderr, "values_test: %s%s\n", loaded.message.c_str(), asked.message.c_str());
    std::exit(1);
  }
  std::vector<std::string> states;
  for (const auto& row : asked.rows) states.push_back(row[0].value_or(""));
  return states;
}

// PostgreSQL refuses it: so must both paths, each in its way.
void Bench::check_refused(const Sample& sample, const Row& row, const std::string& sqlstate,
                          Outcome& outcome) {
  const auto refused = [&](bool binary, sink::Encoded taken, const std::string& bytes) {
    if (taken != sink::Encoded::kOk) return;
    const Answer copied = copy(binary, bytes);
    if (copied.ok) server_.run(std::string("DELETE FROM ") + (binary ? "by_binary" : "by_text"));
    if (copied.ok || copied.sqlstate != sqlstate) {
      outcome.failures.push_back(std::string(binary ? "binary" : "text") + " COPY of " +
                                 sample.json + ": PostgreSQL refuses it with " + sqlstate +
                                 ", here " + (copied.ok ? "it is taken" : copied.message));
    }
  };
  refused(false, row.text_taken, row.text);
  refused(true, row.binary_taken, row.binary);
}

void Bench::check_equal(const std::vector<Sample>& samples, const std::string& table,
                        Outcome& outcome) {
  const Answer different =
      server_.query("SELECT o.n, o.c::text, t.c::text FROM oracle o JOIN " + table +
                    " t USING (n) WHERE o.c::text IS DISTINCT FROM t.c::text OR " + send_ +
                    "(o.c) IS DISTINCT FROM " + send_ + "(t.c) ORDER BY n LIMIT 20");
  if (!different.ok) outcome.failures.push_back(different.message);
  for (const auto& row : different.rows) {
    outcome.failures.push_back(table + " of " + samples[std::stoul(*row[0])].json + ": '" +
                               row[2].value_or("NULL") + "', PostgreSQL makes it '" +
                               row[1].value_or("NULL") + "'");
  }
}

Outcome Bench::compare(const std::vector<Sample>& samples) {
  Outcome outcome;
  std::string text;
  std::string binary;
  std::size_t taken = 0;
  const std::vector<std::string> asked = ask_oracle(samples);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Sample& sample = samples[i];
    const Decoded decoded(sample.json);
    if (!decoded.good()) {
      outcome.failures.push_back("no JSON: " + sample.json);
      continue;
    }
    const Row row = encode(i, decoded.value());
    if (!asked[i].empty()) {
      check_refused(sample, row, asked[i], outcome);
      continue;
    }
    if (row.text_taken != sink::Encoded::kOk || row.binary_taken == sink::Encoded::kProblem) {
      outcome.failures.push_back("Sluice refuses " + sample.json +
                                 ", which PostgreSQL takes: " + problem_.detail);
      continue;
    }
    ++taken;
    text += row.text;
    if (row.binary_taken != sink::Encoded::kOk) continue;
    ++outcome.binary;
    binary += row.binary;
  }
  for (const bool by_binary : {false, true}) {
    const std::string table = by_binary ? "by_binary" : "by_text";
    const Answer copied = copy(by_binary, by_binary ? binary : text);
    if (!copied.ok) outcome.failures.push_back("COPY " + table + ": " + copied.message);
    const std::size_t rows = std::stoul(server_.query("SELECT count(*) FROM " + table).scalar());
    if (copied.ok && rows != (by_binary ? outcome.binary : taken)) {
      outcome.failures.push_back(table + ": " + std::to_string(rows) + " rows");
    }
    check_equal(samples, table, outcome);
  }
  return outcome;
}

Bench::Stored Bench::store(const Value& value, bool binary) {
  Stored stored;
  const Row row = encode(0, value);
  stored.taken = binary ? row.binary_taken : row.text_taken;
  if (stored.taken == sink::Encoded::kProblem) {
    stored.refused = "!" + std::string(message::name_of(problem_.code));
  }
  if (stored.taken != sink::Encoded::kOk) return stored;
  const Answer copied = copy(binary, binary ? row.binary : row.text);
  const std::string table = binary ? "by_binary" : "by_text";
  if (!copied.ok) {
    stored.refused = "!" + copied.sqlstate;
    return stored;
  }
  stored.text = server_.query("SELECT c::text FROM " + table).rows.at(0).at(0);
  server_.run("DELETE FROM " + table);
  return stored;
}

}  // namespace sluice::values
