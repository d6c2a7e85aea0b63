// The configuration of a JDBC sink of Kafka Connect becomes a task document. Pure: what `sluice
// import` does beside reading and writing files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "connect/configuration.h"
#include "connect/report.h"

namespace sluice::connect {

struct Options {
  std::string bootstrap_servers;  // empty: a placeholder
  std::string topic;              // of several that go to several tables: this one
};

struct Conversion {
  std::string document;      // YAML with comments; holds no secret
  std::vector<Line> report;  // every property of the file, in its order; then what is left to do
};

// `file` is what comments and errors call the configuration. Errors: domain kDocument; a connector
// that is none of the three sinks, another database, topics that one task cannot take.
Result<Conversion> convert(const Configuration& configuration, std::string_view file,
                           const Options& options);

}  // namespace sluice::connect
