// JSON values as YAML 1.2, in block style: what parse_yaml() reads back as the same value. No I/O.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace sluice::cli {

// Ends with a line feed.
std::string to_yaml(const boost::json::value& value);

}  // namespace sluice::cli
