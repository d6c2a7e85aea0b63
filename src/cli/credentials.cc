#include "cli/credentials.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "cli/placeholder.h"

namespace sluice::cli {
namespace {

constexpr std::size_t kMaxBytes = 256 * 1024;

tl::unexpected<Error> file_failed(const std::string& path, int code, std::string remedy) {
  return fail(Domain::kFile, std::to_string(code),
              fmt::format("{}: {}", path, std::strerror(code)),  // NOLINT(concurrency-mt-unsafe)
              std::move(remedy));
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? std::string() : std::string(value);
}

Result<std::filesystem::path> folder() {
  // The base directory specification has relative paths ignored.
  if (const auto base = environment("XDG_CONFIG_HOME"); base.starts_with('/')) {
    return std::filesystem::path(base) / "sluice";
  }
  if (const auto home = environment("HOME"); home.starts_with('/')) {
    return std::filesystem::path(home) / ".config" / "sluice";
  }
  return fail(Domain::kFile, "no_home", "neither XDG_CONFIG_HOME nor HOME is set",
              "Set one of them, or give the token in SLUICE_TOKEN.");
}

// Whoever may change the folder can put another file in place of ours.
Result<bool> judge_folder(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return file_failed(path, errno, "");
  if (S_ISDIR(status.st_mode) && status.st_uid == ::geteuid() && (status.st_mode & 077) == 0) {
    return true;
  }
  return fail(Domain::kFile, "too_open",
              fmt::format("{}: is no folder of yours, or is open to others (mode {:o})", path,
                          status.st_mode & 0777),
              fmt::format("chmod 700 {}", path));
}

std::string text_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

Result<bool> write_whole(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return file_failed(path, errno, "");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return file_failed(path, errno, "");
  return true;
}

}  // namespace

Result<Credentials> read_credentials() {
  auto place = folder();
  if (!place) return fail(place.error());
  const std::string path = (*place / "credentials.json").string();
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return Credentials();
  }
  if (auto good = judge_folder(place->string()); !good) return fail(good.error());
  auto text = read_small_file(path, kMaxBytes, Readers::kOwnerOnly);
  if (!text) return fail(text.error());
  boost::json::error_code bad;
  const auto value = boost::json::parse(*text, bad);
  const auto* servers =
      bad || !value.is_object() ? nullptr : value.get_object().if_contains("servers");
  if (servers == nullptr || !servers->is_object()) {
    return fail(Domain::kFile, "not_credentials",
                fmt::format("{}: is not a file that sluice login wrote", path),
                "Remove it, and log in again.");
  }
  Credentials credentials;
  credentials.current = text_of(value.get_object(), "current");
  for (const auto& [url, entry] : servers->get_object()) {
    if (!entry.is_object()) continue;
    const auto& fields = entry.get_object();
    credentials.servers[std::string(url)] = {text_of(fields, "user"), text_of(fields, "role"),
                                             text_of(fields, "token_id"), text_of(fields, "token"),
                                             text_of(fields, "ca_file")};
  }
  return credentials;
}

Result<bool> write_credentials(const Credentials& credentials) {
  auto place = folder();
  if (!place) return fail(place.error());
  const std::string directory = place->string();
  std::error_code failed;
  std::filesystem::create_directories(place->parent_path(), failed);
  if (failed) return file_failed(place->parent_path().string(), failed.value(), "");
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return file_failed(directory, errno, "");
  }
  if (auto good = judge_folder(directory); !good) return good;
  boost::json::object servers;
  for (const auto& [url, entry] : credentials.servers) {
    servers[url] = {{"user", entry.user},
                    {"role", entry.role},
                    {"token_id", entry.token_id},
                    {"token", entry.token},
                    {"ca_file", entry.ca_file}};
  }
  const std::string text = boost::json::serialize(boost::json::object{
                               {"current", credentials.current}, {"servers", std::move(servers)}}) +
                           '\n';
  std::string path = (*place / "credentials.json.XXXXXX").string();
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) return file_failed(directory, errno, "");
  auto written = write_whole(fd, text, path);
  ::close(fd);
  const std::string final = (*place / "credentials.json").string();
  if (written && ::rename(path.c_str(), final.c_str()) != 0) {
    written = file_failed(final, errno, "");
  }
  if (!written) ::unlink(path.c_str());
  return written;
}

}  // namespace sluice::cli
