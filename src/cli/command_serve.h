// sluice serve and sluice config: the server, and what it is configured with.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace sluice::cli {

struct ServeOptions {
  std::string config;             // a YAML file; empty: none
  std::vector<std::string> sets;  // KEY=VALUE
  std::string listen, database;   // shorthands of two of them
  bool init = false;              // make the first administrator and end
};

// Each returns the exit code of the process.
int serve_command(const ServeOptions& options);
int config_show_command(const ServeOptions& options);

}  // namespace sluice::cli
