#include "cli/placeholder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "json/text.h"
#include "task/schema.h"
#include "task/validate.h"

namespace sluice::cli {

namespace {

std::string errno_name(int number) {
  switch (number) {
    case ENOENT:
      return "ENOENT";
    case EACCES:
      return "EACCES";
    case EPERM:
      return "EPERM";
    case EISDIR:
      return "EISDIR";
    case ENOTDIR:
      return "ENOTDIR";
    case ELOOP:
      return "ELOOP";
    case ENAMETOOLONG:
      return "ENAMETOOLONG";
    case EMFILE:
      return "EMFILE";
    case ENFILE:
      return "ENFILE";
    case ENOMEM:
      return "ENOMEM";
    case EIO:
      return "EIO";
    case ENXIO:
      return "ENXIO";
    default:
      return fmt::format("errno {}", number);
  }
}

tl::unexpected<Error> file_failed(const std::string& path, int number) {
  switch (number) {
    case ENOENT:
      return fail(Domain::kFile, "ENOENT", fmt::format("{}: there is no such file", path),
                  path.starts_with('/') ? "Correct the name."
                                        : "Relative names start in the current folder.");
    case EACCES:
      return fail(Domain::kFile, "EACCES", fmt::format("{}: this user may not read it", path),
                  "Check the rights of the file and of the folders above it.");
    default:
      return fail(
          Domain::kFile, errno_name(number),
          fmt::format("{}: cannot be read: {}", path, std::generic_category().message(number)));
  }
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }

 private:
  int number_;
};

Result<bool> judge(const std::string& path, const struct stat& status, std::size_t limit,
                   Readers readers) {
  if (S_ISDIR(status.st_mode)) {
    return fail(Domain::kFile, "EISDIR", fmt::format("{}: is a folder, not a file", path),
                "Name a file.");
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(Domain::kFile, "not_regular",
                fmt::format("{}: is not a regular file (a pipe, socket or device)", path),
                "Write the contents to a file.");
  }
  if (status.st_size > static_cast<off_t>(limit)) {
    return fail(Domain::kFile, "too_large",
                fmt::format("{}: has {} bytes; allowed: at most {}", path, status.st_size,
                            task::bytes_text(static_cast<std::int64_t>(limit))),
                "Is it the right file?");
  }
  const bool group = (status.st_mode & S_IRWXG) != 0 && status.st_uid != 0;
  if (readers == Readers::kOwnerOnly && ((status.st_mode & S_IRWXO) != 0 || group)) {
    return fail(Domain::kFile, "too_open",
                fmt::format("{}: other users have rights to it (mode {:04o}); a secret must be its "
                            "owner's alone (its group's too if root owns it)",
                            path, status.st_mode & 07777U),
                fmt::format("chmod 600 {}", path));
  }
  return true;
}

// One placeholder: what is between ${ and }.
Result<std::string> look_up(std::string_view body) {
  const std::string shown = fmt::format("${{{}}}", body);
  if (body.starts_with("env:")) {
    const std::string name(body.substr(4));
    const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
    if (value == nullptr) {
      return fail(
          Domain::kDocument, "placeholder",
          fmt::format("the environment variable {} of {} is not set", task::quoted(name), shown),
          "Set it (export NAME=...) or write the value.");
    }
    return std::string(value);
  }
  if (!body.starts_with("file:")) {
    return fail(Domain::kDocument, "placeholder",
                fmt::format("found the placeholder {}; allowed: ${{env:NAME}}, ${{file:/path}}",
                            task::quoted(shown)),
                "Write $${ for the characters themselves.");
  }
  const std::string path(body.substr(5));
  if (!path.starts_with('/')) {
    return fail(Domain::kDocument, "placeholder",
                fmt::format("found the placeholder {}; allowed: an absolute path, ${{file:/path}}",
                            task::quoted(shown)));
  }
  auto contents = read_small_file(path, kMaxSecretBytes, Readers::kOwnerOnly);
  if (!contents) return contents;
  if (contents->ends_with('\n')) contents->pop_back();
  if (contents->ends_with('\r')) contents->pop_back();
  return contents;
}

Result<std::string> look_up_text(std::string_view body) {
  auto value = look_up(body);
  if (!value) return value;
  if (value->find('\0') != std::string::npos || !json::is_utf8(*value)) {
    return fail(
        Domain::kDocument, "placeholder",
        fmt::format("what ${{{}}} stands for is not text: it has bytes that are no UTF-8, or "
                    "U+0000",
                    body));
  }
  return value;
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string backslashed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// How libpq wants a value between `before` and `after`, the rest of a conninfo. A value that is
// only a part of something else is left as it is: it may well be two things, such as host and port.
std::string encoded(const std::string& value, std::string_view before, std::string_view after) {
  const char last = before.empty() ? '\0' : before.back();
  const char next = after.empty() ? '\0' : after.front();
  if (before.starts_with("postgresql://") || before.starts_with("postgres://") ||
      before.starts_with("mysql://") || before.starts_with("mariadb://")) {
    const bool in_query = before.find('?') != std::string_view::npos;
    const bool password = !in_query && last == ':' && next == '@';
    const bool parameter = in_query && last == '=' && (next == '\0' || next == '&');
    return password || parameter ? percent_encoded(value) : value;
  }
  if (last == '\'' && next == '\'') return backslashed(value);
  const bool ends = next == '\0' || next == ' ' || next == '\t' || next == '\n';
  return last == '=' && ends ? "'" + backslashed(value) + "'" : value;
}

}  // namespace

Result<std::string> read_small_file(const std::string& path, std::size_t limit, Readers readers) {
  // Non-blocking, so that a pipe without a writer is refused instead of waited for.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.number() < 0) return file_failed(path, errno);
  struct stat status = {};
  if (::fstat(file.number(), &status) != 0) return file_failed(path, errno);
  if (auto good = judge(path, status, limit, readers); !good) return fail(good.error());
  std::string contents;
  char piece[16384];
  for (;;) {
    const ssize_t length = ::read(file.number(), piece, sizeof piece);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return file_failed(path, errno);
    if (length == 0) return contents;
    contents.append(piece, static_cast<std::size_t>(length));
    if (contents.size() > limit) {  // it grew since, or says 0 as files of /proc do
      return fail(Domain::kFile, "too_large",
                  fmt::format("{}: has more than {}", path,
                              task::bytes_text(static_cast<std::int64_t>(limit))),
                  "Is it the right file?");
    }
  }
}

bool has_placeholder(std::string_view text) { return text.find("${") != std::string_view::npos; }

Result<std::string> expand(std::string_view text, Place place) {
  std::string out;
  std::size_t from = 0;
  for (;;) {
    const std::size_t at = text.find("${", from);
    if (at == std::string_view::npos) return out.append(text.substr(from));
    if (at > from && text[at - 1] == '$') {
      out.append(text.substr(from, at - from - 1)).append("${");
      from = at + 2;
      continue;
    }
    const std::size_t end = text.find('}', at);
    if (end == std::string_view::npos) {
      return fail(Domain::kDocument, "placeholder",
                  "found a placeholder without its end; allowed: ${env:NAME}, ${file:/path}",
                  "Write $${ for the characters themselves.");
    }
    auto value = look_up_text(text.substr(at + 2, end - at - 2));
    if (!value) return value;
    out.append(text.substr(from, at - from));
    from = end + 1;
    out += place == Place::kConninfo ? encoded(*value, text.substr(0, at), text.substr(from))
                                     : std::move(*value);
  }
}

}  // namespace sluice::cli
