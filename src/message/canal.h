// Canal: changes of MySQL rows, several in one message, all values as texts.
//
// Sources: FlatMessage of Alibaba's Canal 1.1 (its class canal.protocol.FlatMessage, "Canal Kafka
// Quick Start"): data, old, type, isDdl, pkNames, mysqlType, database, table, es, ts. TiCDC's
// canal-json is the same. Tencent's DIP writes it with `old` whole and without types and key, the
// rows of deletes in `old`; its "official format 1" is one row: NEW_VALUES, OLD_VALUES, TYPE
// (I, U, D), DATABASE, TABLE, BINLOG_NAME, BINLOG_POS. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json/reader.h"
#include "message/change.h"
#include "message/message.h"
#include "message/type.h"

namespace sluice::message {

// One message, taken apart. Views are valid as the document and the reader are.
struct CanalMessage {
  enum class Kind : std::uint8_t {
    kNone,     // not of Canal
    kNothing,  // DDL, whose SQL is nobody's to run, and what holds no row
    kRows,
    kTruncate,  // of the whole table
  };
  Kind kind = Kind::kNone;
  char op = '\0';                      // c, u, d
  std::vector<std::string_view> rows;  // JSON objects: as they are now; of deletes as they were
  std::vector<std::string_view> old;   // u: of each row the fields that were something else
  std::string_view types;              // JSON object: MySQL's types by field; empty: not said
  std::string_view key_names;          // JSON array; empty: not said
  std::string_view db;
  std::string_view table;
  std::array<Value, kEventMetas> metadata = {};
};

class CanalReader {
 public:
  CanalReader();
  // False: not JSON, or a message of Canal that contradicts itself. kNone is no problem.
  bool read(std::string_view document, CanalMessage& message, Problem& problem);

 private:
  bool read_rows(CanalMessage& message, Problem& problem);

  json::Reader reader_;
  std::vector<json::Slot> found_;
};

// {"id": "bigint(20) unsigned", ...} as a struct, whose fields are texts that MySQL wrote
// (Meaning::kMysqlText). What it is not is an empty struct.
Type canal_types(std::string_view types);
// ["id", ...]
std::vector<std::string> canal_key(std::string_view key_names);

}  // namespace sluice::message
