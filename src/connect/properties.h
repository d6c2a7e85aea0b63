// The text of a Java .properties file, as java.util.Properties.load(InputStream) reads it: that is
// what Kafka Connect's standalone mode does with a connector's file.
//
// Bytes above 0x7f are Latin-1, also in a file that looks like UTF-8: what Connect understood is
// what counts. Values come back in UTF-8. No I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::connect {

struct Property {
  std::string name;
  std::string value;
  bool repeated = false;  // stands in the file more than once: the last one counts, as in Java
};
// In the order of the file; names are unique.
using Properties = std::vector<Property>;

// Adds to the end, or takes the place of the one with that name.
void put(Properties& properties, std::string name, std::string value);

// Error: domain kDocument, "line N: ..." for a \u without four hexadecimal digits. Never a value.
Result<Properties> parse_properties(std::string_view text);

}  // namespace sluice::connect
