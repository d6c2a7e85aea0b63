#include "sink/merge.h"

#include <fmt/format.h>

#include "postgres/connection.h"
#include "sink/fields.h"
#include "sink/position.h"

namespace sluice::sink {
namespace {

std::string quoted(std::string_view name) { return postgres::Connection::identifier(name); }

void add(std::string& list, std::string_view separator, std::string_view item) {
  if (!list.empty()) list += separator;
  list += item;
}

std::size_t first_value(const Plan& plan) { return static_cast<std::size_t>(plan.key_columns); }

// t.key = s.key, for each column of the key.
std::string same_key(const Plan& plan) {
  std::string condition;
  for (std::size_t i = 0; i < first_value(plan); ++i) {
    const std::string name = quoted(plan.columns[i].name);
    add(condition, " AND ", fmt::format("t.{} = s.{}", name, name));
  }
  return condition;
}

// The staged rows that count, as FROM item `s`.
std::string picked(const Plan& plan, Pick pick) {
  if (pick == Pick::kAll) return fmt::format("{} AS s", plan.stage);
  std::string order = plan.stage_sequence;
  if (pick == Pick::kNewest) {  // what is left if they come one by one
    order = fmt::format("{0} DESC NULLS LAST, CASE WHEN {0} IS NULL THEN -{1} ELSE {1} END",
                        newer_name(plan), plan.stage_sequence);
  }
  return fmt::format("(SELECT DISTINCT ON ({0}) * FROM {1} ORDER BY {0}, {2}) AS s", key_list(plan),
                     plan.stage, order);
}

// Whether the row `incoming` may change the row t, as a condition; empty: always.
std::string newer_condition(const Plan& plan, const std::string& states,
                            std::string_view incoming) {
  if (plan.newer < 0) return {};
  if (plan.mirror) {
    const auto value = [&](int column) {
      const auto i = static_cast<std::size_t>(column);
      if (column < 0 || states[i] != Shape::kPresent) return std::string();
      return fmt::format("{}.{}", incoming, quoted(plan.columns[i].name));
    };
    return may_change(plan, value(plan.newer), value(plan.snapshot_op));
  }
  const std::string name = newer_name(plan);
  std::string condition = fmt::format("t.{} IS NULL", name);
  if (states[static_cast<std::size_t>(plan.newer)] != Shape::kPresent) return condition;
  return fmt::format("({} OR {}.{} > t.{})", condition, incoming, name, name);
}

std::string of_shape(const Plan& plan, const Staged& staged) {
  return staged.shape ? fmt::format("s.{} = {}", plan.stage_shape, *staged.shape) : std::string();
}

// SET list of an update. `value` names the new value of a column that is present.
template <class Value>
std::string assignments(const Plan& plan, const std::string& states, Value value) {
  std::string set;
  for (std::size_t i = first_value(plan); i < plan.columns.size(); ++i) {
    if (Shape::keeps(states[i]) || !plan.columns[i].update) continue;
    add(set, ", ", fmt::format("{} = {}", quoted(plan.columns[i].name), value(i)));
  }
  return set;
}

// The new value of a column whose own default acts, where the catalog shows it; else empty.
std::string default_of(const Plan& plan, std::size_t i) {
  const PlanColumn& column = plan.columns[i];
  if (column.default_sql.empty()) return {};
  return fmt::format("({})::{}", column.default_sql, plan.table.find(column.name)->type.name);
}

// unchanged: skip: whether a column differs that the update sets. Byte for byte: types without an
// equality (json, xml, point) can be compared so, and what is equal but looks different (1.0 and
// 1.00, citext) counts as changed. The casts keep PostgreSQL from comparing column by column.
template <class Value>
std::string changed_condition(const Plan& plan, const std::string& states, Value value) {
  std::string before;
  std::string after;
  for (std::size_t i = first_value(plan); i < plan.columns.size(); ++i) {
    if (Shape::keeps(states[i]) || !plan.columns[i].update) continue;
    const std::string is = value(i);
    if (is.empty()) return {};  // not known here: written
    add(before, ", ", "t." + quoted(plan.columns[i].name));
    add(after, ", ", is);
  }
  return fmt::format("ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record", before, after);
}

std::string update_sql(const Plan& plan, const std::string& states, const Staged& staged) {
  const std::string set = assignments(plan, states, [&](std::size_t i) {
    return states[i] == Shape::kPresent ? "s." + quoted(plan.columns[i].name) : "DEFAULT";
  });
  if (set.empty()) return {};
  std::string where = same_key(plan);
  if (staged.shape) add(where, " AND ", of_shape(plan, staged));
  if (plan.newer >= 0) add(where, " AND ", newer_condition(plan, states, "s"));
  if (plan.skip_unchanged) {
    const std::string changed = changed_condition(plan, states, [&](std::size_t i) {
      return states[i] == Shape::kPresent ? "s." + quoted(plan.columns[i].name)
                                          : default_of(plan, i);
    });
    if (!changed.empty()) add(where, " AND ", changed);
  }
  return fmt::format("UPDATE {} AS t SET {} FROM {} WHERE {}", plan.target, set,
                     picked(plan, staged.pick), where);
}

// Rows of the stage whose key the table does not have.
std::string not_there(const Plan& plan) {
  return fmt::format("NOT EXISTS (SELECT FROM {} AS t WHERE {})", plan.target, same_key(plan));
}

std::string on_conflict(const Plan& plan, const std::string& states, bool only_new) {
  if (plan.way == Way::kStageInsert) return {};
  const std::string keys = key_list(plan);
  const std::string arbiter = keys.empty() ? "" : fmt::format(" ({})", keys);
  const auto incoming = [&](std::size_t i) { return "excluded." + quoted(plan.columns[i].name); };
  std::string set;
  if (plan.write == task::Write::kUpsert && !only_new) set = assignments(plan, states, incoming);
  if (set.empty()) return fmt::format(" ON CONFLICT{} DO NOTHING", arbiter);
  std::string sql = fmt::format(" ON CONFLICT{} DO UPDATE SET {}", arbiter, set);
  std::string where;
  if (plan.newer >= 0) where = newer_condition(plan, states, "excluded");
  if (plan.skip_unchanged) add(where, " AND ", changed_condition(plan, states, incoming));
  return where.empty() ? sql : sql + " WHERE " + where;
}

// An INSERT that leaves a required column out fails although the row is there and would keep it:
// NOT NULL is looked at before the conflict is.
bool keeps_required(const Plan& plan, const std::string& states) {
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (Shape::keeps(states[i]) && plan.columns[i].required) return true;
  }
  return false;
}

}  // namespace

std::string column_list(const Plan& plan, const std::string& states) {
  std::string list;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    if (states[i] == Shape::kPresent) add(list, ", ", quoted(plan.columns[i].name));
  }
  return list;
}

std::string newer_name(const Plan& plan) {
  return quoted(plan.columns[static_cast<std::size_t>(plan.newer)].name);
}

std::string key_list(const Plan& plan) {
  std::string list;
  for (std::size_t i = 0; i < first_value(plan); ++i) add(list, ", ", quoted(plan.columns[i].name));
  return list;
}

std::string merge_sql(const Plan& plan, const std::string& states, const Staged& staged) {
  if (plan.write == task::Write::kUpdate || staged.only_existing) {
    return update_sql(plan, states, staged);
  }
  const std::string columns = column_list(plan, states);
  const bool merges = plan.way == Way::kStageMerge;
  // First what is there, then what is not.
  const bool two_steps = merges && (!plan.on_conflict || keeps_required(plan, states));
  std::string sql;
  if (two_steps && plan.write == task::Write::kUpsert && !staged.only_new) {
    sql = update_sql(plan, states, staged);
    if (!sql.empty()) sql += "; ";
  }
  sql += fmt::format("INSERT INTO {}", plan.target);
  if (merges && !two_steps) sql += " AS t";  // for ON CONFLICT; 9.4 cannot
  if (!columns.empty()) sql += fmt::format(" ({})", columns);
  if (plan.overriding) sql += " OVERRIDING SYSTEM VALUE";
  sql += fmt::format(" SELECT {} FROM {}", columns, picked(plan, staged.pick));
  std::string where = of_shape(plan, staged);
  if (two_steps) add(where, " AND ", not_there(plan));
  if (!where.empty()) sql += " WHERE " + where;
  // Of two new rows that a unique index takes for one, the earlier message's is to be there first.
  if (plan.write == task::Write::kInsertIgnore && staged.pick == Pick::kAll) {
    sql += " ORDER BY s." + plan.stage_sequence;
  }
  return two_steps ? sql : sql + on_conflict(plan, states, staged.only_new);
}

std::string twice_sql(const Plan& plan) {
  return fmt::format("SELECT 1 FROM {} GROUP BY {} HAVING count(*) > 1 LIMIT 1", plan.stage,
                     key_list(plan));
}

std::string missing_sql(const Plan& plan, std::optional<std::uint16_t> shape) {
  std::string where = of_shape(plan, {.shape = shape});
  add(where, " AND ", not_there(plan));
  return fmt::format("SELECT s.{} FROM {} AS s WHERE {}", plan.stage_sequence, plan.stage, where);
}

std::string staged_columns(const Plan& plan) {
  std::string list = column_list(plan, std::string(plan.columns.size(), Shape::kPresent));
  return fmt::format("{}, {}, {}", list, plan.stage_sequence, plan.stage_shape);
}

void append_staged(const TableRows& rows, const Plan& plan, const Row& row, std::int64_t sequence,
                   Buffer& out) {
  const std::string& states = rows.shapes[row.shape].states;
  const std::string_view slice = rows.bytes.view(row.begin, row.length);
  const bool binary = rows.form == Form::kBinary;
  const bool whole = states.find_first_not_of(Shape::kPresent) == std::string::npos;
  if (binary) out.append_u16(static_cast<std::uint16_t>(plan.columns.size() + 2));
  if (whole) {
    out.append(binary ? slice.substr(2) : slice.substr(0, slice.size() - 1));
  } else {
    Fields fields(slice, rows.form);
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (!binary && i > 0) out.append('\t');
      if (states[i] == Shape::kPresent) {
        out.append(fields.next());
      } else if (binary) {
        out.append_u32(0xffffffffU);
      } else {
        out.append("\\N");
      }
    }
  }
  if (!binary) {
    out.append(fmt::format("\t{}\t{}\n", sequence, row.shape));
    return;
  }
  out.append_u32(8);
  out.append_u64(static_cast<std::uint64_t>(sequence));
  out.append_u32(2);
  out.append_u16(row.shape);
}

}  // namespace sluice::sink
