// Named places where a test can make the process die or an operation fail. They exist only in
// builds with SLUICE_FAIL_POINTS (presets dev and tsan); in a release the macros are nothing.
//
// A point is armed by the environment: SLUICE_FAIL_POINT="name[:hit[:action]]", several joined by
// commas. `hit` is the visit that triggers (1 is the first; default 1); `action` is `kill`
// (default: SIGKILL to the process itself), `disconnect` (the call site drops its PostgreSQL
// connection) or `stop` (SIGSTOP to the process itself). Thread-safe.
#pragma once

#include <string_view>

namespace sluice {

// Every fail point there is; tests iterate over it.
inline constexpr std::string_view kFailPoints[] = {
    "after_poll",
    "in_copy",
    "before_ledger",
    "after_ledger",
    "before_commit",
    "after_commit_before_answer",
    "after_commit_before_group_offset",
};

#ifdef SLUICE_FAIL_POINTS
// Visits `name`; true if its armed action is `disconnect` and this is the visit.
bool fail_point(std::string_view name);
#define SLUICE_FAIL_POINT(name) (::sluice::fail_point(name))
#else
#define SLUICE_FAIL_POINT(name) (false)
#endif

}  // namespace sluice
