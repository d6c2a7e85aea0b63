// Structure: what the rows of change events ask of their table, and the SQL that gives it to them.
// docs/reference/change-events.md has the matrix of types that widens() follows.
//
// A table only ever grows: nothing here drops, narrows or renames. What is gone at the source stays
// in the target, because events from before may still come from another partition, and because a
// rename and a drop with an add look the same.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.h"
#include "base/result.h"
#include "message/type.h"
#include "message/value.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"
#include "task/task.h"

namespace sluice::sink {

// What one message asks for.
struct Demand {
  message::Type row;     // a struct of fields, by their names
  bool whole = false;    // they are all fields of a row, as its schema has them
  bool guessed = false;  // their types are a guess from what one message holds
  // An event of schema changes says them: rows may come without, and are read by the columns.
  bool told = false;
  std::vector<std::string> key;     // for a table that is to be made; empty: it gets none
  std::vector<std::string> beside;  // columns that are not the row's
  // Of a table that is to be made: those, as SQL with a comma in front; and
  // whether it holds a history: then it takes rows of which only the key is known.
  std::string own_columns;
  bool history = false;
  std::string null_in;   // this column is NOT NULL, and got a null
  std::string exceeded;  // this column is too small for what it got
  // Of that value the digits in front of the point, where those behind it fit into a numeric
  // column; 0: they do not, or it is another column.
  int whole_digits = 0;
};

struct Alteration {
  enum class Kind : std::uint8_t { kCreateTable, kAddColumn, kWidenColumn, kDropNotNull };
  Kind kind = Kind::kAddColumn;
  std::string column;  // unquoted; empty: the table
  std::string sql;     // one statement, without semicolon
  // Writes the whole table anew, under a lock that keeps readers out.
  bool rewrites = false;
  // The column's type is a guess.
  bool guessed = false;
  // Nothing is lost without it: a value that the column is too small for is refused, and asks
  // again.
  bool can_wait = false;

  // Neither long nor doubtful: what schema_changes: apply_safe does.
  bool safe() const { return !rewrites && !guessed; }
};

// In the order in which they must run; empty: the table has what is asked for. `table` with oid 0
// is one that is to be made, of which only the name counts. `absent_types`: names of types that the
// server does not have, out of extension_types().
std::vector<Alteration> alterations(const postgres::TableInfo& table, const Demand& demand,
                                    int server_version,
                                    const std::set<std::string, std::less<>>& absent_types = {});

// Those that the task's choice allows; and whether they are enough: false, the rest must be done by
// somebody else before messages go on.
struct Chosen {
  std::vector<Alteration> now;
  bool enough = true;
};
Chosen choose(task::SchemaChanges schema_changes, std::vector<Alteration> all);

// All of them, each with its semicolon, for people.
std::string to_sql(const std::vector<Alteration>& alterations);

// Types that alterations() may name and that only an extension brings.
const std::vector<std::string>& extension_types();

// Of a type whose values can be too large, long or fine for a column.
struct Bounds {
  postgres::Oid type = 0;
  std::int32_t typmod = -1;
};
std::optional<Bounds> bounds_of(const postgres::Type& column);
// Whether a column refuses the value for its size alone, or would round it. `value` as convert()
// left it; `exact`: all its digits count, other than those of a binary fraction.
bool is_too_small(const Bounds& bounds, const message::Value& value, bool exact);
// As Demand::whole_digits.
int whole_digits(const Bounds& bounds, const message::Value& value, bool exact);

// A table that is not there: what alterations() and compile() take for one. Without a schema in its
// name it goes to `home`.
postgres::TableInfo table_to_make(postgres::TableName name, std::string_view home);

// The table, or else the one that is to be made: where an unqualified CREATE TABLE would, but never
// among the ledger's tables. `connection` must stay where it is meanwhile.
Async<Result<postgres::TableInfo>> find_table(postgres::Connection& connection,
                                              postgres::TableName name, std::string ledger_schema);

}  // namespace sluice::sink
