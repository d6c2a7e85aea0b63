// TableRules: which table of the target a change belongs to, where target.table is a template.
// Pure; immutable once compiled, any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "task/task.h"

namespace sluice::task {

// What a template can name. Empty: the message does not say it.
struct SourceTable {
  std::string_view topic;
  std::string_view db;
  std::string_view schema;
  std::string_view table;
};

struct TargetTable {
  std::string schema;  // empty: found through the search_path
  std::string name;
  bool operator==(const TargetTable&) const = default;
  std::string text() const { return schema.empty() ? name : schema + "." + name; }
};

class TableRules {
 public:
  // {topic}, {source.db}, {source.schema}, {source.table}: whether `table` holds one of them.
  static bool is_template(std::string_view table);
  // Errors are of the document: Error::code is the key.
  static Result<TableRules> compile(const Target& target, const Tables& tables);

  TableRules(TableRules&&) noexcept;
  TableRules& operator=(TableRules&&) noexcept;
  TableRules(const TableRules&) = delete;
  TableRules& operator=(const TableRules&) = delete;
  ~TableRules();

  // Whether messages of one topic can be of several tables.
  bool by_source() const { return names_db_ || names_schema_ || names_table_; }
  bool names_db() const { return names_db_; }
  bool names_schema() const { return names_schema_; }
  bool names_table() const { return names_table_; }
  // None: left out by `include` or `exclude`. Error, of the message: it does not say what the
  // template names, or the name that results is none.
  Result<std::optional<TargetTable>> table_of(const SourceTable& source) const;

 private:
  struct Pattern;
  // In the order of what table_of() puts there.
  enum class Variable : unsigned char { kText, kTopic, kDb, kSchema, kTable };
  struct Piece {
    Variable variable = Variable::kText;
    std::string text;
  };
  using Part = std::vector<Piece>;

  TableRules();
  static Result<std::vector<Part>> parse(std::string_view text);
  static Result<std::vector<Pattern>> patterns(const std::vector<std::string>& texts,
                                               std::string_view path);

  std::vector<Part> parts_;  // [schema,] name
  bool names_db_ = false;
  bool names_schema_ = false;
  bool names_table_ = false;
  std::vector<Pattern> include_, exclude_;
  std::map<std::string, TargetTable> rename_;
};

}  // namespace sluice::task
