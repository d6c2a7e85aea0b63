// The SQL by which PostgreSQL brings values to the text in which both sides are compared, and by
// which it finds keys. No I/O.
//
// It is meant for a transaction with text_settings(): the texts depend on them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compare/kind.h"
#include "compare/table.h"

namespace sluice::compare {

struct PostgresColumn {
  std::string name;
  postgres::Type type;
  Form form;
};

// A SELECT of calls of set_config(): until the end of the transaction values have the same texts on
// every server, and are read from them.
std::string_view text_settings();

// The text of a value of type `own` as a value of `form`; NULL for NULL.
std::string canonical(std::string_view expression, const postgres::Type& own, Form form);

// The values at `at` of all rows, as PostgreSQL reads a text[].
std::string array_of(const std::vector<Row>& rows, std::size_t at);

// One text of all columns' canonical texts q.c0, q.c1, ...: never equal for different ones.
std::string joined(std::size_t columns);
// md5 of joined(); `utf8`: the database's encoding is UTF8, so that its bytes are every server's.
std::string hash(std::size_t columns, bool utf8);
// Adds up the hashes in column q.hash.
std::string_view checksum();

// How keys are compared. In the order that both sides share: numbers and times by value, all others
// by the bytes of their canonical text in UTF-8.
class KeySql {
 public:
  KeySql(std::vector<PostgresColumn> columns, bool utf8);

  std::size_t size() const { return columns_.size(); }
  // The first column's own index has this order.
  bool by_index() const;
  std::string order() const;                     // for ORDER BY
  std::string text(std::size_t column) const;    // of one column: what stands in a Key
  std::string within(const Range& range) const;  // a condition
  std::string is_one_of(const std::vector<Key>& keys) const;

 private:
  std::string ordered(const PostgresColumn& column) const;
  std::string ordered_literal(const PostgresColumn& column, std::string_view text) const;
  std::string bound(const Key& key) const;

  std::vector<PostgresColumn> columns_;
  bool utf8_;
};

}  // namespace sluice::compare
