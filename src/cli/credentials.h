// What `sluice login` keeps: for each server a token, in $XDG_CONFIG_HOME/sluice/credentials.json
// (or ~/.config/sluice). The file is for its owner alone, and so is its folder: anything else is
// refused. A token goes only to the server that it is of.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/result.h"

namespace sluice::cli {

struct Credential {
  std::string user, role, token_id, token;
  std::string ca_file;  // as --ca said at the log-in; may be empty
};

struct Credentials {
  std::string current;                        // the URL that the last log-in was at; empty: none
  std::map<std::string, Credential> servers;  // by URL
};

// Errors (kFile): no home folder known; open to others; cannot be read; is not what was written. No
// file: empty.
Result<Credentials> read_credentials();
// Written whole beside the old file and put in its place.
Result<bool> write_credentials(const Credentials& credentials);

}  // namespace sluice::cli
