// parse: a document becomes a Task, or all that is wrong with it at once. No I/O.
//
// Each Error has domain kDocument and the path in its code ("sync.columns[2].column"); its message
// is "PATH: found WHAT; allowed: WHAT" or a sentence behind the path. Values of source.kafka and
// target.postgres never appear, nor what placeholders stood for.
#pragma once

#include <boost/json/value.hpp>
#include <tl/expected.hpp>
#include <vector>

#include "base/result.h"
#include "task/node.h"
#include "task/task.h"

namespace sluice::task {

using Errors = std::vector<Error>;

// Errors are in the order of the table of keys as far as types go; what concerns several keys
// follows.
tl::expected<Task, Errors> parse(const Node& document);
tl::expected<Task, Errors> parse(const boost::json::value& document);

}  // namespace sluice::task
