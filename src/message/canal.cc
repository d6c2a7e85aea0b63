#include "message/canal.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "message/slot.h"

namespace sluice::message {

namespace {

enum Place : std::size_t {
  kData,
  kOld,
  kType,
  kIsDdl,
  kKeyNames,
  kTypes,
  kDatabase,
  kTable,
  kSourceTime,
  kTime,
  kGtid,
  kNewValues,
  kOldValues,
  kChangeType,
  kBinlogDatabase,
  kBinlogTable,
  kBinlogName,
  kBinlogPos,
  kPlaces,
};

std::vector<json::Path> paths() {
  constexpr const char* kNames[] = {"data",      "old",         "type",       "isDdl", "pkNames",
                                    "mysqlType", "database",    "table",      "es",    "ts",
                                    "gtid",      "NEW_VALUES",  "OLD_VALUES", "TYPE",  "DATABASE",
                                    "TABLE",     "BINLOG_NAME", "BINLOG_POS"};
  static_assert(std::size(kNames) == kPlaces);
  std::vector<json::Path> paths;
  for (const char* const name : kNames) paths.push_back(json::Path::of_members({name}));
  return paths;
}

Problem bad(std::string detail) {
  Problem problem;
  problem.code = ProblemCode::kBadEnvelope;
  problem.detail = std::move(detail);
  return problem;
}

std::string_view text_of(const json::Slot& slot) {
  return slot.type == json::Type::kString ? slot.text() : std::string_view();
}

// The elements of a valid JSON array of objects. False: there is another element.
bool split(std::string_view array, std::vector<std::string_view>& objects) {
  int depth = 0;
  bool in_string = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < array.size(); ++i) {
    const char c = array[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') {
      if (depth == 1 && c == '{') begin = i;
      if (depth == 1 && c == '[') return false;
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
      if (depth == 1) objects.push_back(array.substr(begin, i + 1 - begin));
    } else if (depth == 1 && c != ',' && c != ' ' && c != '\n' && c != '\t' && c != '\r') {
      return false;
    }
  }
  return true;
}

void put_meta(CanalMessage& message, EventMeta meta, const json::Slot& slot) {
  if (slot.type == json::Type::kAbsent || slot.type == json::Type::kNull) return;
  put(message.metadata[static_cast<std::size_t>(meta)], slot);
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return result;
}

// "decimal(10,2) unsigned": DECIMAL UNSIGNED, 10, 2, as Debezium would name it.
SourceType mysql_type(std::string_view text) {
  SourceType type;
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  type.name = upper(text.substr(0, std::min(open, text.find(' '))));
  if (text.find("unsigned") != std::string_view::npos) type.name += " UNSIGNED";
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return type;
  }
  const char* at = text.data() + open + 1;
  const char* const end = text.data() + close;
  const auto number = [&]() -> std::optional<std::int32_t> {
    std::int32_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc()) return std::nullopt;
    at = next;
    return value;
  };
  type.length = number();
  if (type.length && at < end && *at == ',') {
    ++at;
    type.scale = number();
  }
  return type;
}

}  // namespace

CanalReader::CanalReader() : reader_(paths(), json::Unmapped::kIgnore), found_(kPlaces) {}

bool CanalReader::read(std::string_view document, CanalMessage& message, Problem& problem) {
  message.kind = CanalMessage::Kind::kNone;
  message.rows.clear();
  message.old.clear();
  message.metadata = {};
  json::Failure failure;
  if (!reader_.read(document, found_, failure)) {
    problem = to_problem(failure, document);
    return false;
  }
  const bool native = found_[kIsDdl].type == json::Type::kBool && !text_of(found_[kType]).empty();
  const bool one_row =
      !text_of(found_[kBinlogName]).empty() && !text_of(found_[kChangeType]).empty();
  if (!native && !one_row) return true;
  message.db = text_of(found_[native ? kDatabase : kBinlogDatabase]);
  message.table = text_of(found_[native ? kTable : kBinlogTable]);
  message.types =
      found_[kTypes].type == json::Type::kObject ? found_[kTypes].text() : std::string_view();
  message.key_names =
      found_[kKeyNames].type == json::Type::kArray ? found_[kKeyNames].text() : std::string_view();
  put_meta(message, EventMeta::kTime, found_[kTime]);
  put_meta(message, EventMeta::kSourceTime, found_[kSourceTime]);
  put_meta(message, EventMeta::kTxId, found_[kGtid]);
  put_meta(message, EventMeta::kFile, found_[kBinlogName]);
  put_meta(message, EventMeta::kPos, found_[kBinlogPos]);
  const std::string_view type = text_of(found_[native ? kType : kChangeType]);
  const bool ddl = native && found_[kIsDdl].boolean;
  message.op = ddl                               ? '\0'
               : type == "INSERT" || type == "I" ? 'c'
               : type == "UPDATE" || type == "U" ? 'u'
               : type == "DELETE" || type == "D" ? 'd'
                                                 : '\0';
  if (type == "TRUNCATE") {
    message.kind = CanalMessage::Kind::kTruncate;
    return true;
  }
  message.kind = message.op == '\0' ? CanalMessage::Kind::kNothing : CanalMessage::Kind::kRows;
  return message.op == '\0' || read_rows(message, problem);
}

bool CanalReader::read_rows(CanalMessage& message, Problem& problem) {
  const auto take = [&](const json::Slot& slot, std::vector<std::string_view>& into) {
    if (slot.type == json::Type::kObject) into.push_back(slot.text());
    return slot.type != json::Type::kArray || split(slot.text(), into);
  };
  const bool native = found_[kIsDdl].type == json::Type::kBool;
  const bool taken = take(found_[native ? kData : kNewValues], message.rows) &&
                     take(found_[native ? kOld : kOldValues], message.old);
  if (!taken) {
    problem = bad("`data` or `old` is no list of objects");
    return false;
  }
  if (message.op == 'd' && message.rows.empty()) message.rows.swap(message.old);
  if (message.rows.empty()) {
    problem = bad("a change without rows: no `data`");
    return false;
  }
  if (message.op != 'u') message.old.clear();
  if (!message.old.empty() && message.old.size() != message.rows.size()) {
    problem = bad("`old` and `data` have different numbers of rows");
    return false;
  }
  return true;
}

Type canal_types(std::string_view types) {
  Type row;
  row.base = Base::kStruct;
  boost::system::error_code failed;
  const auto json = boost::json::parse(types, failed);
  const auto* object = json.if_object();
  if (failed || object == nullptr) return row;
  for (const auto& [name, said] : *object) {
    Type type;
    type.base = Base::kString;
    type.meaning = Meaning::kMysqlText;
    if (const auto* string = said.if_string()) {
      const std::string_view text(string->data(), string->size());
      type.source = mysql_type(text);
      type.name = type.source.name;
      const std::size_t open = text.find('(');
      if (type.name == "ENUM" || type.name == "SET") {
        type.allowed = text.substr(std::min(open, text.size() - 1) + 1);
        if (type.allowed.ends_with(')')) type.allowed.pop_back();
      }
    }
    row.names.emplace_back(name);
    row.parts.push_back(std::move(type));
  }
  return row;
}

std::vector<std::string> canal_key(std::string_view key_names) {
  std::vector<std::string> names;
  boost::system::error_code failed;
  const auto json = boost::json::parse(key_names, failed);
  const auto* array = json.if_array();
  if (failed || array == nullptr) return names;
  for (const auto& name : *array) {
    if (const auto* text = name.if_string()) names.emplace_back(text->data(), text->size());
  }
  return names;
}

}  // namespace sluice::message
