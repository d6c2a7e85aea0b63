#include "sink/plan_sql.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "postgres/connection.h"

namespace sluice::sink {

using postgres::ColumnInfo;

namespace {

std::string quoted(std::string_view name) { return postgres::Connection::identifier(name); }

// Whether equal keys always have equal bytes (types by oid, pg_type.dat).
void judge_key(Plan& plan, const std::vector<std::string>& key) {
  constexpr postgres::Oid kExactInText[] = {25, 1043, 19};  // text, varchar, name
  constexpr postgres::Oid kExactInBinary[] = {16,   17,   20,   21,   23,  26,  // bool ... oid
                                              1082, 1083, 1114, 1184, 2950};    // date ... uuid
  const auto among = [](const auto& list, postgres::Oid oid) {
    return std::find(std::begin(list), std::end(list), oid) != std::end(list);
  };
  for (const auto& name : key) {
    const ColumnInfo* info = plan.table.find(name);
    if (info == nullptr) continue;
    const bool text = among(kExactInText, info->type.oid) || info->type.category == 'e';
    plan.loose_key_text = plan.loose_key_text || !text;
    plan.loose_key_binary =
        plan.loose_key_binary || !(text || among(kExactInBinary, info->type.oid));
  }
  for (const auto& index : plan.table.unique_indexes) {
    if (index.nondeterministic.empty()) continue;
    plan.loose_key_text = plan.loose_key_binary = true;  // collations that make texts equal
  }
}

// A name that no column of the plan has.
std::string unused_name(const Plan& plan, std::string name) {
  while (std::ranges::find(plan.columns, name, &PlanColumn::name) != plan.columns.end())
    name += '_';
  return name;
}

std::string table_ddl(const Plan& plan, std::string_view table, const std::string& columns) {
  const auto name = table.substr(table.find('.') + 1);
  if (!plan.stage_stays) {
    return fmt::format("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP", name, columns);
  }
  return fmt::format("DROP TABLE IF EXISTS {}; CREATE TEMPORARY TABLE {} ({})", table, name,
                     columns);
}

}  // namespace

void add_sql(Plan& plan, const std::vector<std::string>& key) {
  judge_key(plan, key);
  const bool equal_rows = plan.mirror && key.empty();
  if (plan.table.oid == 0) return;
  if (plan.way == Way::kCopy && !equal_rows) return;
  std::string columns;
  std::string keys;
  std::string old_keys;
  std::string new_keys;
  int number = 0;
  for (const auto& column : plan.columns) {
    const ColumnInfo& info = *plan.table.find(column.name);
    std::string item = quoted(column.name) + ' ' + info.type.name;
    if (!info.collation.empty()) item += " COLLATE " + info.collation;
    columns += (columns.empty() ? "" : ", ") + item;
    if (!column.key) continue;
    keys += (keys.empty() ? "" : ", ") + item;
    const std::string rest = item.substr(quoted(column.name).size());
    ++number;
    old_keys += fmt::format("o{}{}, ", number, rest);
    new_keys += fmt::format("{}n{}{}", new_keys.empty() ? "" : ", ", number, rest);
  }
  if (equal_rows) keys = columns;
  if (plan.mirror && plan.newer >= 0) {  // deletes and moves have their own
    const PlanColumn& newer = plan.columns[static_cast<std::size_t>(plan.newer)];
    const std::string& type = plan.table.find(newer.name)->type.name;
    keys += fmt::format(", {} {}", quoted(newer.name), type);
    new_keys += fmt::format(", position {}", type);
  }
  if (plan.way == Way::kStageMerge) {
    plan.stage_sequence = unused_name(plan, "sluice_sequence");
    plan.stage_shape = unused_name(plan, "sluice_shape");
    columns += fmt::format(", {} bigint, {} smallint", plan.stage_sequence, plan.stage_shape);
  }
  plan.stage_ddl = table_ddl(plan, plan.stage, columns);
  if (plan.deletes) plan.delete_stage_ddl = table_ddl(plan, plan.delete_stage, keys);
  if (plan.mirror && !key.empty()) {
    plan.move_stage_ddl = table_ddl(plan, plan.move_stage, old_keys + new_keys);
  }
}

std::string reading_settings(const std::string& time_zone) {
  return fmt::format(
      "set_config('DateStyle', 'ISO, YMD', true), set_config('IntervalStyle', 'postgres', true), "
      "set_config('TimeZone', {}, true), set_config('client_encoding', 'UTF8', true), "
      "set_config('array_nulls', 'on', true), set_config('xmloption', 'content', true), "
      "set_config('bytea_output', 'hex', true)",
      postgres::Connection::literal(time_zone));
}

}  // namespace sluice::sink
