// The task document while it is put together. Internal to this module.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connect/configuration.h"
#include "connect/convert.h"
#include "connect/report.h"
#include "connect/sinks.h"

namespace sluice::connect {

struct DraftColumn {
  std::string field;  // this or meta
  std::string meta;
  std::string column;
  std::string unit;
};

struct Draft {
  Sink sink = Sink::kConfluent;
  std::string task;
  std::map<std::string, std::string> kafka;  // texts of the document: placeholders are placeholders
  std::vector<std::string> topics;
  std::string group;
  std::string postgres;
  std::string table;
  bool upsert = false;  // or update: both have a key
  bool update = false;
  std::vector<std::string> primary_key;
  std::string on_tombstone;                         // empty: the default
  std::optional<std::vector<DraftColumn>> columns;  // none: by name
  std::string on_failure = "retain";
};

// What `from` says as a text of the document: ${ that is no placeholder of Sluice's is written $${.
std::string literal(std::string_view from);

// target.postgres. Errors: a URL of another database.
Result<bool> read_connection(const Configuration& from, Draft& draft, Report& report);
// name, topics, source.kafka, source.start and target.table. Errors: no topic, or topics that go to
// several tables where no topic was chosen.
Result<bool> read_source(const Configuration& from, const Options& options, Draft& draft,
                         Report& report);
// The properties of the worker's consumer: consumer.override.*.
void read_consumer(const Configuration& from, Draft& draft, Report& report);
// How rows are written: modes, keys, fields, transformations, converters, failures.
void read_rows(const Configuration& from, Draft& draft, Report& report);
// What a chain of transformations makes of the topic's name: RegexRouter; others leave it.
std::string routed(const Configuration& from, std::string topic);

// The fields of a value as far as the configuration tells.
struct Fields {
  // In their order; none: whatever the message has.
  std::optional<std::vector<DraftColumn>> known;
  std::map<std::string, std::string> renamed;  // field of the message to its name afterwards
};
// Reads `transforms`: each one and its properties get their lines.
Fields read_transforms(const Configuration& from, Report& report);

std::string document_of(const Draft& draft, std::string_view file, const std::vector<Line>& report);

}  // namespace sluice::connect
