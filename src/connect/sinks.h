// The sinks that `sluice import` takes, and the one table of the properties that need no more than
// a sentence. Properties that become part of the document are handled in rows.cc, source.cc and
// postgres.cc and stand here with an empty text, so that the table is complete.
//
// Compiled from the sinks' own sources:
//   Confluent  kafka-connect-jdbc 10.10.0 (388d41d, August 2026), JdbcSinkConfig
//   Aiven      jdbc-connector-for-apache-kafka 6.12.0 (eef3e68, March 2025), JdbcSinkConfig and
//              JdbcConfig
//   Debezium   debezium-connector-jdbc 3.7.0.Alpha2 (aad5519, August 2026),
//              JdbcSinkConnectorConfig and SinkConnectorConfig; older names of 2.x beside them
//   all three  Kafka Connect 4.x, ConnectorConfig and SinkConnectorConfig
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "connect/report.h"

namespace sluice::connect {

enum class Sink : std::uint8_t { kConfluent = 1, kAiven = 2, kDebezium = 4 };

struct Rule {
  std::string_view property;  // or a prefix that ends with *
  std::uint8_t sinks = 0;     // those that have it: Sink values added up
  Fate fate = Fate::kNotNeeded;
  std::string_view text = {};
  // With one of these values (joined by |, any case) nothing is asked for that is not so anyway.
  std::string_view harmless = {};
};

std::optional<Sink> sink_of(std::string_view connector_class);
std::string_view name_of(Sink sink);
// "io.confluent.connect.jdbc.JdbcSinkConnector, ...": for people.
std::string_view classes_taken();

std::span<const Rule> rules();
// The rule for a property, the longest prefix where none has its whole name; null if there is none.
const Rule* rule_of(Sink sink, std::string_view property);
bool is_harmless(const Rule& rule, std::string_view value);

}  // namespace sluice::connect
