// sluice import: what its command line says. Internal to cli.
#pragma once

#include <string>

namespace sluice::cli {

struct ImportOptions {
  std::string file;
  std::string output;  // empty: standard output
  std::string bootstrap_servers;
  std::string topic;
  bool force = false;
};

// The exit code of the process: 0 written, 1 the document could not be written, 2 refused.
int import_command(const ImportOptions& options);

}  // namespace sluice::cli
