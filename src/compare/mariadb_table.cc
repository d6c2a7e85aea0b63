#include "compare/mariadb_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace sluice::compare {

using mariadb::Connection;

namespace {

constexpr auto kDigits = "TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {}))";

std::string without_zeros(const std::string& text) {
  return fmt::format(
      "CASE WHEN LOCATE('.', {0}) > 0 THEN TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {0})) "
      "ELSE {0} END",
      text);
}

// Debezium sends a date without month or day as NULL.
std::string date_text(const std::string& e, std::string_view format) {
  const std::string text = fmt::format("DATE_FORMAT({}, '{}')", e, format);
  return fmt::format("IF(MONTH({0}) = 0 OR DAYOFMONTH({0}) = 0, NULL, {1})", e,
                     format.ends_with("%f") ? fmt::format(fmt::runtime(kDigits), text) : text);
}

std::string text_of(const std::string& e) {
  return fmt::format("CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin", e);
}

// The canonical text of a column that has one.
std::string canonical(const MariadbColumn& column) {
  const std::string e = "t." + Connection::identifier(column.name);
  const Kind own = kind_of(column.type);
  switch (column.form.kind) {
    case Kind::kInteger:
    case Kind::kNumber:
      return without_zeros(fmt::format("CAST({} + 0 AS CHAR)", e));
    case Kind::kPadded:
      return fmt::format("TRIM(TRAILING ' ' FROM {})", text_of(e));
    case Kind::kBytes:
      return fmt::format("LOWER(HEX({}))", e);
    case Kind::kDate:
      return date_text(e, "%Y-%m-%d");
    case Kind::kMoment:
    case Kind::kInstant:
      return date_text(e, "%Y-%m-%d %H:%i:%s.%f");
    case Kind::kTime:
      return fmt::format(fmt::runtime(kDigits), fmt::format("TIME_FORMAT({}, '%H:%i:%s.%f')", e));
    case Kind::kInterval:
      return without_zeros(fmt::format("CAST(TIME_TO_SEC({}) AS CHAR)", e));
    case Kind::kBits:
      return fmt::format("LPAD(BIN({} + 0), {}, '0')", e, std::max(column.type.typmod, 1));
    default:
      break;
  }
  return own == Kind::kText ? text_of(e) : fmt::format("CAST({} AS CHAR)", e);
}

// What an input function of PostgreSQL takes.
std::string original(const MariadbColumn& column) {
  const std::string e = "t." + Connection::identifier(column.name);
  switch (kind_of(column.type)) {
    case Kind::kReal4:
    case Kind::kReal8:
      return fmt::format("CAST(CAST({} AS DOUBLE) AS CHAR)", e);
    case Kind::kJson:
      return text_of(e);
    case Kind::kBytes:
      return fmt::format("CONCAT('\\x', HEX({}))", e);
    case Kind::kTime:
    case Kind::kOther:
      return fmt::format("CAST({} AS CHAR)", e);
    case Kind::kPadded:
      return text_of(e);
    default:
      return canonical(column);
  }
}

std::string joined(std::size_t columns) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < columns; ++i) {
    parts.push_back(fmt::format("IFNULL(CONCAT(CHAR_LENGTH(q.c{0}), ':', q.c{0}), '-')", i));
  }
  return fmt::format("MD5(CONCAT({}))", fmt::join(parts, ", "));
}

std::string listed(const std::vector<MariadbColumn>& columns, char name) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    parts.push_back(fmt::format("{} AS {}{}", canonical(columns[i]), name, i));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

// The order that PostgreSQL has, too: numbers and times by value, texts by their bytes.
bool by_value(const MariadbColumn& column) {
  const Kind kind = column.form.kind;
  return kind == Kind::kInteger || kind == Kind::kNumber || kind == Kind::kDate ||
         kind == Kind::kMoment || kind == Kind::kInstant || kind == Kind::kTime ||
         kind == Kind::kBytes;
}

std::string ordered(const MariadbColumn& column) {
  if (by_value(column)) return "t." + Connection::identifier(column.name);
  return fmt::format("CAST({} AS BINARY)", canonical(column));
}

std::string literal(const MariadbColumn& column, const std::string& text) {
  const Kind kind = column.form.kind;
  if (kind == Kind::kBytes) return "x" + Connection::literal(text);
  const bool digits = text.find_first_not_of("-.0123456789") == std::string::npos;
  if ((kind == Kind::kInteger || kind == Kind::kNumber) && digits) return text;
  if (by_value(column)) return Connection::literal(text);
  return fmt::format("CAST({} AS BINARY)", Connection::literal(text));
}

class MariadbTable : public Table {
 public:
  MariadbTable(Connection& connection, PostgresReader& postgres, std::string from,
               std::string counted, std::vector<MariadbColumn> key,
               const std::vector<MariadbColumn>& values)
      : connection_(connection),
        postgres_(postgres),
        from_(std::move(from)),
        counted_(std::move(counted)),
        key_(std::move(key)),
        all_(key_) {
    all_.insert(all_.end(), values.begin(), values.end());
    through_postgres_ = !std::all_of(all_.begin(), all_.end(), has_text);
  }

  bool by_index() const override { return by_value(key_.front()); }

  Result<std::int64_t> count() override {
    auto rows = read(fmt::format("SELECT {} FROM {} t", counted_, from_));
    if (!rows) return fail(rows.error());
    return std::stoll(rows->at(0).at(0).value_or("0"));
  }

  Result<Digest> digest(const Range& range) override {
    if (through_postgres_) {
      auto table = read_by_postgres(within(range));
      if (!table) return fail(table.error());
      return (*table)->digest({});
    }
    auto rows = read(fmt::format(
        "SELECT COUNT(*), COALESCE(SUM(CAST(CONV(LEFT({}, 15), 16, 10) AS UNSIGNED)), 0) FROM "
        "(SELECT {} FROM {} t WHERE {}) q",
        joined(all_.size()), listed(all_, 'c'), from_, within(range)));
    if (!rows) return fail(rows.error());
    const auto& row = rows->at(0);
    return Digest{std::stoll(row[0].value_or("0")), row[1].value_or("")};
  }

  Result<std::optional<Key>> key_at(const Range& range, std::int64_t number) override {
    auto rows = read(fmt::format("SELECT {} FROM {} t WHERE {} ORDER BY {} LIMIT 1 OFFSET {}",
                                 listed(key_, 'k'), from_, within(range), order(), number - 1));
    if (!rows) return fail(rows.error());
    if (rows->empty()) return std::optional<Key>();
    return std::optional<Key>(key_of(rows->front()));
  }

  Result<std::vector<RowHash>> hashes(const Range& range) override {
    return hashes_where(within(range));
  }
  Result<std::vector<RowHash>> hashes_of(const std::vector<Key>& keys) override {
    return hashes_where(is_one_of(keys));
  }

  Result<std::vector<Row>> rows_of(const std::vector<Key>& keys) override {
    if (through_postgres_) {
      auto table = read_by_postgres(is_one_of(keys));
      if (!table) return fail(table.error());
      return (*table)->rows_of(keys);
    }
    return rows(listed(all_, 'c'), is_one_of(keys), key_.size());
  }

  Result<std::vector<Row>> originals(const std::vector<Key>& keys) override {
    std::vector<std::string> texts;
    for (const auto& column : all_) texts.push_back(original(column));
    return rows(fmt::format("{}", fmt::join(texts, ", ")), is_one_of(keys), 0);
  }

 private:
  Result<mariadb::Rows> read(const std::string& sql) {
    auto rows = connection_.query(sql);
    if (rows) return rows;
    Error error = rows.error();
    error.message = "the source: " + error.message;
    return fail(std::move(error));
  }

  std::string order() const {
    std::vector<std::string> parts;
    for (const auto& column : key_) parts.push_back(ordered(column));
    return fmt::format("{}", fmt::join(parts, ", "));
  }

  // Row comparison use no index here: column by column, and the first one by itself.
  std::string bound(const Key& key, char sign, bool with_equal) const {
    std::string condition = with_equal ? "TRUE" : "FALSE";
    for (std::size_t i = key_.size(); i-- > 0;) {
      const std::string column = ordered(key_[i]);
      const std::string value = literal(key_[i], key[i]);
      condition =
          fmt::format("({0} {1} {2} OR ({0} = {2} AND {3}))", column, sign, value, condition);
    }
    return fmt::format("{} {}= {} AND {}", ordered(key_[0]), sign, literal(key_[0], key[0]),
                       condition);
  }

  std::string within(const Range& range) const {
    std::string condition = "TRUE";
    if (range.after) condition += " AND " + bound(*range.after, '>', false);
    if (range.up_to) condition += " AND " + bound(*range.up_to, '<', true);
    return condition;
  }

  // Texts by the column's own collation, whose index serves: it finds all that is wanted, and more.
  std::string is_one_of(const std::vector<Key>& keys) const {
    std::vector<std::string> names;
    for (const auto& column : key_) {
      const bool text = kind_of(column.type) == Kind::kText;
      names.push_back(text ? "t." + Connection::identifier(column.name) : ordered(column));
    }
    std::vector<std::string> rows;
    for (const auto& key : keys) {
      std::vector<std::string> literals;
      for (std::size_t i = 0; i < key_.size(); ++i) {
        literals.push_back(kind_of(key_[i].type) == Kind::kText ? Connection::literal(key[i])
                                                                : literal(key_[i], key[i]));
      }
      rows.push_back(fmt::format("({})", fmt::join(literals, ", ")));
    }
    return fmt::format("({}) IN ({})", fmt::join(names, ", "), fmt::join(rows, ", "));
  }

  Key key_of(const std::vector<std::optional<std::string>>& row) const {
    Key key;
    for (std::size_t i = 0; i < key_.size(); ++i) key.push_back(row[i].value_or(""));
    return key;
  }

  Result<std::vector<RowHash>> hashes_where(const std::string& condition) {
    if (through_postgres_) {
      auto table = read_by_postgres(condition);
      if (!table) return fail(table.error());
      return (*table)->hashes({});
    }
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < key_.size(); ++i) keys.push_back(fmt::format("q.c{}", i));
    auto found = read(fmt::format("SELECT {}, {} FROM (SELECT {} FROM {} t WHERE {}) q",
                                  fmt::join(keys, ", "), joined(all_.size()), listed(all_, 'c'),
                                  from_, condition));
    if (!found) return fail(found.error());
    std::vector<RowHash> result;
    for (const auto& row : *found) result.push_back({key_of(row), row.back().value_or("")});
    return result;
  }

  // `skipped`: so many of `values` are the key's, and no values of a row.
  Result<std::vector<Row>> rows(const std::string& values, const std::string& condition,
                                std::size_t skipped) {
    auto found = read(fmt::format("SELECT {}, {} FROM {} t WHERE {}", listed(key_, 'k'), values,
                                  from_, condition));
    if (!found) return fail(found.error());
    std::vector<Row> result;
    for (auto& row : *found) {
      Row each{key_of(row), {}};
      const auto first = row.begin() + static_cast<std::ptrdiff_t>(key_.size() + skipped);
      each.values.assign(std::make_move_iterator(first), std::make_move_iterator(row.end()));
      result.push_back(std::move(each));
    }
    return result;
  }

  // The rows as a table of PostgreSQL's: what has a text here as that, all others by their types.
  Result<std::unique_ptr<Table>> read_by_postgres(const std::string& condition) {
    std::vector<std::string> texts, casts, names, arrays;
    std::vector<PostgresColumn> columns;
    postgres::Type text;
    text.oid = 25;
    text.name = "text";
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const bool mine = has_text(all_[i]);
      texts.push_back(mine ? canonical(all_[i]) : original(all_[i]));
      names.push_back(fmt::format("x{}", i));
      casts.push_back(fmt::format("u.x{0}::{1} AS x{0}", i, mine ? "text" : all_[i].type.name));
      columns.push_back({names.back(), mine ? text : all_[i].type,
                         mine ? Form{Kind::kText, false} : all_[i].form});
    }
    auto fetched = rows(fmt::format("{}", fmt::join(texts, ", ")), condition, 0);
    if (!fetched) return fail(fetched.error());
    for (std::size_t i = 0; i < all_.size(); ++i) {
      arrays.push_back(
          fmt::format(" {}::text[]", postgres::Connection::literal(array_of(*fetched, i))));
    }
    const auto middle = columns.begin() + static_cast<std::ptrdiff_t>(key_.size());
    return std::make_unique<PostgresTable>(
        postgres_,
        fmt::format("(SELECT {} FROM unnest({}) AS u({}))", fmt::join(casts, ", "),
                    fmt::join(arrays, ", "), fmt::join(names, ", ")),
        "count(*)", std::vector<PostgresColumn>(columns.begin(), middle),
        std::vector<PostgresColumn>(middle, columns.end()), true);
  }

  Connection& connection_;
  PostgresReader& postgres_;
  std::string from_;
  std::string counted_;
  std::vector<MariadbColumn> key_;
  std::vector<MariadbColumn> all_;  // the key's first
  bool through_postgres_ = false;
};

std::string grouped_by_hash(const std::string& from, const std::vector<MariadbColumn>& columns) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    texts.push_back(fmt::format("COALESCE(q.c{}, 'NULL')", i));
  }
  return fmt::format(
      "(SELECT {} AS `hash`, COUNT(*) AS `rows`, MIN(CONCAT_WS(', ', {})) AS `values` "
      "FROM (SELECT {} FROM {} t) q GROUP BY 1)",
      joined(columns.size()), fmt::join(texts, ", "), listed(columns, 'c'), from);
}

}  // namespace

bool has_text(const MariadbColumn& column) {
  switch (column.form.kind) {
    case Kind::kReal4:
    case Kind::kReal8:
    case Kind::kJson:
      return false;
    case Kind::kOther:
      return kind_of(column.type) != Kind::kOther;
    default:
      return true;
  }
}

std::unique_ptr<Table> mariadb_table(Connection& connection, PostgresReader& postgres,
                                     const std::string& from, std::vector<MariadbColumn> key,
                                     std::vector<MariadbColumn> values) {
  if (!key.empty()) {
    return std::make_unique<MariadbTable>(connection, postgres, from, "COUNT(*)", std::move(key),
                                          values);
  }
  postgres::Type text;
  text.oid = 25;
  postgres::Type number;
  number.oid = 20;
  return std::make_unique<MariadbTable>(
      connection, postgres, grouped_by_hash(from, values), "COALESCE(SUM(t.`rows`), 0)",
      std::vector<MariadbColumn>{{"hash", text, {Kind::kText, false}}},
      std::vector<MariadbColumn>{{"rows", number, {Kind::kInteger, false}},
                                 {"values", text, {Kind::kText, false}}});
}

}  // namespace sluice::compare
