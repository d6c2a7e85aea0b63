// Tables of texts for standard output. No I/O.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::cli {

// The value of a member, as a cell: texts as they are, "-" for null and what is not there, objects
// and lists as JSON. `path` may name members of members: "subject.name".
std::string cell(const boost::json::value& value, std::string_view path);

// What is safe on one line of a terminal: control characters become points.
std::string one_line(std::string_view text);

// How many columns of a terminal a text takes: two for wide characters, none for combining ones.
std::size_t width_of(std::string_view text);

// Lines of aligned columns, two blanks between them; the first row is the heading. Where `width` is
// not 0 no line is longer: the widest columns are cut, which "…" shows.
std::string table_text(std::vector<std::vector<std::string>> rows, std::size_t width);

}  // namespace sluice::cli
