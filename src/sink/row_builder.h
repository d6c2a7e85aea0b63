// RowBuilder: messages become rows of one table. Owns a decoder and scratch memory; compiled from a
// plan, and again when the plan changes. One lane's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "message/change.h"
#include "message/decoder.h"
#include "message/message.h"
#include "sink/batch.h"
#include "sink/plan.h"
#include "sink/structure.h"

namespace sluice::sink {

// What becomes of a message that asks for another table, or has another key.
enum class OnDemand : std::uint8_t {
  kFail,  // it fails
  kStop,  // it ends the batch: Batch::stop
  kNote,  // demanded_sql() says what the task would do; what no column takes is left out
};

class RowBuilder {
 public:
  static Result<RowBuilder> create(const Plan& plan, OnDemand on_demand);

  enum class Outcome : std::uint8_t {
    kOk,          // the row is appended; of the others nothing is left
    kIgnored,     // a message that makes no row by the task's own word
    kProblem,     // problem(): why it can become none
    kNeedsText,   // a value is beyond the binary encoders: all rows are to be encoded as text
    kStop,        // take_stop(): what the table must be given first, or why the task ends
    kAgain,       // within the builder: the message is to be decoded anew
    kOtherTable,  // it is of another table of the source: decoder().origin()
    kStructure,   // it says what tables are like: decoder().table_changes(), for ask()
  };
  // Where a record comes from: the partition's place in the batch, and whether its topic has more.
  struct Place {
    std::uint16_t partition = 0;
    bool has_siblings = false;
  };
  // The record's row, for `rows` that are encoded by `plan`. `expected`: the table of the source
  // whose messages are meant; nullptr: of any.
  Outcome add(TableRows& rows, const Plan& plan, Records& records, std::uint32_t record,
              Place place, const message::Expected* expected);
  // What an event of schema changes says of the table: kOk, kIgnored or kStop.
  Outcome ask(const Plan& plan, const message::TableChange& change);
  message::Problem& problem() { return problem_; }
  Stop take_stop() { return std::move(stop_); }
  const message::ChangeDecoder& decoder() const { return *change_decoder_; }  // of a mirror

  // With kNote: each statement once, in the order in which messages asked for them.
  const std::vector<std::string>& demanded_sql() const { return demanded_sql_; }

 private:
  RowBuilder(message::Decoder decoder, OnDemand on_demand);
  Outcome build(TableRows& rows, const Plan& plan, const message::Message& message, Row& row);
  Outcome decode(const Plan& plan, const message::Message& message, Row& row);
  bool resolve(const Plan& plan, int columns);
  Outcome encode(TableRows& rows, const Plan& plan, Row& row);
  Outcome append_fields(TableRows& rows, const Plan& plan, std::size_t first, std::size_t count,
                        std::uint16_t& fields);
  std::uint16_t shape_index(TableRows& rows, bool only_existing = false, bool must_exist = false);

  // row_builder_change.cc: mirror
  Outcome add_changes(TableRows& rows, const Plan& plan, Records& records, Row row,
                      const message::Expected* expected);
  Outcome build_change(TableRows& rows, const Plan& plan, Records& records, Row& row,
                       const message::Expected* expected, bool first);
  Outcome encode_change(TableRows& rows, const Plan& plan, const message::Change& change, Row& row);
  bool take_values(const Plan& plan, const message::Change::Row& from, std::size_t count,
                   bool partial);
  void take_beside(const Plan& plan, const message::Change& change);
  Outcome take_truncate(const Plan& plan, Row& row);
  Outcome tombstone_without_position(const Plan& plan);
  Outcome other_key(const Plan& plan);
  Demand demand_of(const Plan& plan, message::Type row, std::span<const std::string> key) const;
  Outcome meet(const Plan& plan, Demand demand);
  bool mention(const std::vector<Alteration>& all);

  message::Decoder decoder_;
  std::optional<message::ChangeDecoder> change_decoder_;  // mirror
  message::ChangeConfig change_config_;
  std::vector<message::Value> values_;    // as decoded, by slot
  std::vector<message::Value> resolved_;  // by column of the plan: policies applied
  std::string states_;                    // the row's shape
  Scratch scratch_;
  message::Problem problem_;
  Stop stop_;
  OnDemand on_demand_ = OnDemand::kFail;
  std::int64_t timestamp_ms_ = -1;  // of the message that is being built
  bool unsent_ = false;             // of the row: it has a value that the source did not send
  bool is_write_ = false;           // of the row: it is no delete
  bool updates_ = false;            // of the row: it can be there, and keep values
  bool ends_snapshot_ = false;      // the row does, and what it has not brought is to be swept
  bool seen_value_ = false;         // of any message: one that is no tombstone
  bool is_whole_ = false;           // of the row: it is new, and has all fields that the source has
  std::optional<Demand> demand_;    // of the row that is being built
  std::vector<std::string> demanded_sql_;  // noted or logged
  std::vector<std::string> told_;  // with kNote: fields whose types an event of schema changes says
};

}  // namespace sluice::sink
