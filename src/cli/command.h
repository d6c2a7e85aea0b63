// The command line of sluice: subcommands, their help, and exit codes.
#pragma once

namespace sluice::cli {

// What main() does. Exit codes: 0 done; 1 failed; 2 the document or the command line is wrong; 3
// policy retain halted the task; 130 and 143 after a clean stop by SIGINT and SIGTERM.
int execute(int argc, char** argv);

}  // namespace sluice::cli
