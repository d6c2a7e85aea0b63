#include "cli/command_import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "cli/options.h"
#include "cli/placeholder.h"
#include "cli/show.h"
#include "cli/terminal.h"
#include "cli/yaml.h"
#include "connect/convert.h"
#include "task/parse.h"

namespace sluice::cli {
namespace {

// What was made must be what `sluice run` takes. Placeholders stay as they are: they are looked up
// where the task runs, and only a whole URI behind one cannot be judged here.
bool is_valid(std::string document, const std::string& name) {
  constexpr std::string_view kUri = "${env:SLUICE_PG_URI}";
  if (const auto at = document.find(kUri); at != std::string::npos) {
    // In the value, not in the comments above it.
    const auto value = document.find(fmt::format("postgres: \"{}\"", kUri));
    if (value != std::string::npos) document.replace(value + 11, kUri.size(), "host=x");
  }
  const auto node = parse_yaml(document, name);
  if (!node) {
    print_error(node.error());
    return false;
  }
  const auto task = task::parse(*node);
  if (task) return true;
  for (const auto& error : task.error()) print_error(error);
  return false;
}

Error cannot_write(const std::string& path, int code) {
  return fail(Domain::kFile, std::to_string(code),
              fmt::format("\"{}\" cannot be written: {}", path,
                          std::generic_category().message(code)),
              code == EEXIST ? "It is there already: name another file, or add --force." : "")
      .value();
}

int write_document(const ImportOptions& options, const std::string& document) {
  if (options.output.empty()) {
    print(document);
    return 0;
  }
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (options.force ? O_TRUNC : O_EXCL);
  const int fd = open(options.output.c_str(), flags, 0644);
  if (fd < 0) {
    print_error(cannot_write(options.output, errno));
    return kFailed;
  }
  std::string_view rest = document;
  int code = 0;
  while (!rest.empty() && code == 0) {
    const ssize_t written = write(fd, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) code = errno;
    rest.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
  }
  if (close(fd) != 0 && code == 0) code = errno;
  if (code == 0) return 0;
  print_error(cannot_write(options.output, code));
  return kFailed;
}

// A name or text of the file on one line of a terminal.
std::string shown(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '.' : c;
  return out;
}

void print_report(const std::vector<connect::Line>& report) {
  std::array<int, 5> counts{};
  std::string text;
  for (const auto& line : report) {
    ++counts.at(static_cast<std::size_t>(line.fate));
    text +=
        fmt::format("{:<14} {}: {}\n", name_of(line.fate), shown(line.property), shown(line.text));
  }
  text += fmt::format("{} taken, {} not needed, {} not supported, {} unknown, {} to fill in\n",
                      counts[0], counts[1], counts[2], counts[3], counts[4]);
  std::fputs(text.c_str(), stderr);
}

}  // namespace

int import_command(const ImportOptions& options) {
  const auto text =
      read_small_file(options.file, connect::kMaxConfigurationBytes, Readers::kAnyone);
  if (!text) {
    print_error(text.error());
    return kDocumentWrong;
  }
  const auto configuration = connect::read_configuration(*text, options.file);
  if (!configuration) {
    print_error(configuration.error());
    return kDocumentWrong;
  }
  const std::string name = std::filesystem::path(options.file).filename().string();
  const auto conversion =
      connect::convert(*configuration, name, {options.bootstrap_servers, options.topic});
  if (!conversion) {
    print_error(conversion.error());
    return kDocumentWrong;
  }
  print_report(conversion->report);
  if (!is_valid(conversion->document, options.output.empty() ? name : options.output)) {
    std::fputs("the connector's file has values that no task takes: nothing was written\n", stderr);
    return kDocumentWrong;
  }
  return write_document(options, conversion->document);
}

}  // namespace sluice::cli
