// SQLSTATEs by name, and Errors from what libpq reports. Internal to `postgres`.
#pragma once

#include <string_view>

namespace sluice::postgres {

// The condition name of PostgreSQL's appendix A, for example "unique_violation" for "23505"; the
// name of the class for a code that is not in the table ("integrity_constraint_violation" for
// "23XYZ"), and "unknown" for a class that is not.
std::string_view condition_name(std::string_view sqlstate);

}  // namespace sluice::postgres
