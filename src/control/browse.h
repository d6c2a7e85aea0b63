// Browse: what is behind a connection: databases, schemas, tables, columns; topics, partitions,
// groups. Read anew at each call; Connections keeps answers for some seconds.
//
// Blocking, at most kBrowseTime; any thread. Nothing is changed there.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "control/connections.h"

namespace sluice::control {

inline constexpr std::chrono::milliseconds kBrowseTime{10'000};

// Lists are {"items", "next_cursor", "total"}; "table", "topic" and "group" one object. Errors:
// connection_failed, not_found, bad_cursor, invalid for what this type of connection does not have.
Answer<boost::json::object> browse_server(const OpenConnection& open, const Connections::Look& look,
                                          const std::vector<std::string>& ranges);

}  // namespace sluice::control
