// BatchBuilder: messages into a batch, each to the rows of its table. Owns the tables that one lane
// knows, with their plans; a task of one table has just that. One lane's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "message/change.h"
#include "message/table_change.h"
#include "postgres/catalog.h"
#include "sink/batch.h"
#include "sink/plan.h"
#include "sink/row_builder.h"
#include "task/table_rules.h"
#include "task/task.h"

namespace sluice::sink {

class BatchBuilder {
 public:
  struct Options {
    task::Tuning::CopyFormat copy_format = task::Tuning::CopyFormat::kAuto;
    // A failure cuts its partition; nothing of it from there on is added.
    bool retain = false;
    OnDemand on_demand = OnDemand::kFail;
    // Kept messages without their neighbours: a tombstone that was kept was a delete.
    bool letters = false;
  };
  // Error: target.table is no good template.
  static Result<BatchBuilder> create(const task::Task& task, Options options);

  // The table `number`, or a new one if that is tables(): unless another name has led to it before.
  // Batches that hold rows of the one before must be cleared or rebuilt.
  Result<bool> set_table(std::size_t number, Plan plan);
  std::size_t tables() const { return tables_.size(); }
  const Plan& plan(std::size_t number = 0) const { return tables_[number]->plan; }
  // As it is asked for: target.table, or what the template made of it.
  const postgres::TableName& name(std::size_t number = 0) const { return names_[number]; }

  // Empties `batch`.
  void begin(Batch& batch) const;

  enum class Added : std::uint8_t {
    kRow,
    kFailure,
    kNothing,   // a tombstone that is ignored, a table that is left out, or behind a cut
    kStop,      // Batch::stop says why
    kNewTable,  // wanted() is to be set as the table tables(); the record is not in the batch
  };
  // Adds the record at the end of `records`. When a value is beyond the binary encoders all rows of
  // its table are encoded again as text, where PostgreSQL's own input functions judge.
  Added add(Batch& batch, Records& records, std::uint16_t partition);
  // Valid until the table is set.
  const postgres::TableName& wanted() const { return names_.back(); }
  bool wants_table() const { return names_.size() > tables_.size(); }
  // The table cannot be had.
  void forget_wanted() { names_.resize(tables_.size()); }
  // Adds the record at the end of `records` as a failure.
  void refuse(Batch& batch, Records& records, std::uint16_t partition, Error error);
  // Encodes every record of the batch anew, by other plans.
  void rebuild(Batch& batch, Records& records);

  // With OnDemand::kNote: of all tables.
  std::vector<std::string> demanded_sql() const;
  // The same: whether an event of schema changes came since it was asked last. Messages before it,
  // which had no types, may be more than failures when they are encoded anew.
  bool learned() { return std::exchange(learned_, false); }

 private:
  struct Table {
    Plan plan;
    RowBuilder builder;
  };
  // What the last message of a topic was of.
  struct Seen {
    message::Expected expected;
    bool known = false;                     // there was one
    std::uint16_t table = Batch::kNoTable;  // or it is left out
  };
  enum class Route : std::uint8_t {
    kTable,
    kNothing,
    kNewTable,
    kProblem,
    kStop,
    kStructure,  // of locator_
  };

  BatchBuilder(const task::Task& task, Options options);
  Form first_form(const Plan& plan) const;
  TableRows& rows_of(Batch& batch, std::size_t number) const;
  Added add_record(Batch& batch, Records& records, std::uint32_t index, bool& needs_text);
  void encode_all(Batch& batch, Records& records);
  Route route(const message::Message& message, Seen*& seen);
  Route ask_tables(std::span<const message::TableChange> changes);
  Route find(std::string_view topic, const message::Origin& origin, Seen& seen);
  void note(const message::ChangeDecoder& decoder, Seen& seen) const;

  Options options_;
  task::Source source_;
  std::vector<std::unique_ptr<Table>> tables_;
  std::vector<postgres::TableName> names_;  // of tables_, and the one that is wanted
  message::Problem problem_;
  Stop stop_;

  // Of a template.
  std::optional<task::TableRules> rules_;
  std::optional<message::ChangeDecoder> locator_;
  std::map<std::string, Seen, std::less<>> seen_;  // by topic
  std::map<std::pair<std::string, std::string>, std::uint16_t> numbers_;
  const std::string* last_topic_ = nullptr;
  Seen* last_seen_ = nullptr;
  bool only_flat_ = false;
  bool learned_ = false;
};

}  // namespace sluice::sink
