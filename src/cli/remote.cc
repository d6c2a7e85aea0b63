#include "cli/remote.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>

#include "cli/options.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/yaml_writer.h"

namespace sluice::cli {
namespace {

constexpr const char* kDefaultServer = "http://127.0.0.1:8080";  // the setting `listen`
constexpr std::int64_t kPage = 100;

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? std::string() : std::string(value);
}

std::size_t output_width() {
  if (isatty(STDOUT_FILENO) == 0) return 0;
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// What a problem's code means for somebody at the command line.
std::string advice_of(const client::Refusal& refusal) {
  if (refusal.code == "not_logged_in") return "Log in with sluice login, or set SLUICE_TOKEN.";
  if (refusal.code == "stale") return "Somebody else changed it: look at it, and try again.";
  // "`fields` names each": they stand right above.
  return refusal.advice.starts_with('`') ? "" : refusal.advice;
}

}  // namespace

Result<client::Server> find_server(const RemoteOptions& options, const Credentials& credentials) {
  std::string given = options.server.empty() ? environment("SLUICE_SERVER") : options.server;
  if (given.empty()) given = credentials.current.empty() ? kDefaultServer : credentials.current;
  auto url = client::read_url(given);
  if (!url) return fail(url.error());
  client::Server server{std::move(*url), environment("SLUICE_TOKEN"), options.ca_file};
  const auto known = credentials.servers.find(server.url);
  if (known != credentials.servers.end()) {
    if (server.token.empty()) server.token = known->second.token;
    if (server.ca_file.empty()) server.ca_file = known->second.ca_file;
  }
  for (const unsigned char c : server.token) {
    if (c > 0x20 && c < 0x7F) continue;
    return fail(Domain::kCommandLine, "SLUICE_TOKEN",
                "the token in SLUICE_TOKEN has characters that no token has",
                "Set it to the token alone, without quotes or a line feed.");
  }
  return server;
}

int open_and_perform(const RemoteOptions& options, const std::function<int(Session&)>& perform) {
  auto credentials = read_credentials();
  if (!credentials) {
    print_error(credentials.error());
    return kFailed;
  }
  auto server = find_server(options, *credentials);
  if (!server) {
    print_error(server.error());
    return kDocumentWrong;
  }
  Session session(std::move(*server), options.output);
  return perform(session);
}

int print_refusal(const client::Refusal& refusal) {
  Error error;
  error.message = one_line(refusal.detail);
  // The one field that the detail already tells.
  const bool told = refusal.fields.size() == 1 &&
                    refusal.detail.find(refusal.fields[0].second) != std::string::npos;
  for (const auto& [path, message] : told ? decltype(refusal.fields){} : refusal.fields) {
    const std::string place = message.starts_with(path) ? "" : one_line(path) + ": ";
    error.message += fmt::format("\n  {}{}", place, one_line(message));
  }
  if (const auto* document = refusal.document.if_object()) {
    if (const auto* tasks = document->if_contains("tasks"); tasks && tasks->is_array()) {
      for (const auto& task : tasks->get_array()) {
        error.message += fmt::format("\n  task {} ({})", cell(task, "name"), cell(task, "state"));
      }
    }
  }
  error.remedy = one_line(advice_of(refusal));
  print_error(error);
  return kFailed;
}

int print_wrong(std::string option, std::string message, std::string remedy) {
  print_error(
      fail(Domain::kCommandLine, std::move(option), std::move(message), std::move(remedy)).value());
  return kDocumentWrong;
}

std::optional<client::Answer> Session::call(const client::Request& request) {
  auto answer = client_.call(request);
  if (answer) return std::move(*answer);
  print_refusal(answer.error());
  return std::nullopt;
}

std::optional<boost::json::object> Session::get(const std::string& path) {
  auto answer = call({.path = path});
  if (!answer) return std::nullopt;
  auto* object = answer->body.if_object();
  return object == nullptr ? boost::json::object() : std::move(*object);
}

std::optional<client::Answer> Session::send(std::string_view method, const std::string& path,
                                            const boost::json::object& body,
                                            std::optional<std::int64_t> version) {
  client::Request request{.method = std::string(method), .path = path};
  request.body = boost::json::serialize(body);
  if (version) request.headers.emplace_back("If-Match", fmt::format("\"{}\"", *version));
  return call(request);
}

void Session::print_value(const boost::json::value& value) const {
  print(is_json() ? boost::json::serialize(value) + '\n' : to_yaml(value));
}

void add_list_options(CLI::App& command, ListOptions& options, bool search,
                      std::string_view sorts) {
  if (search) command.add_option("--search", options.search, "only what has this text");
  if (!sorts.empty()) {
    command.add_option("--sort", options.sort, fmt::format("{}; -NAME: backwards", sorts))
        ->type_name("NAME");
  }
  command.add_option("-n,--limit", options.limit, "how many at most")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  command.add_flag("--all", options.all, "without a limit");
}

std::optional<boost::json::object> read_list(Session& session, const std::string& path, Query query,
                                             const ListOptions& options) {
  if (!options.search.empty()) query.emplace_back("search", options.search);
  if (!options.sort.empty()) query.emplace_back("sort", options.sort);
  boost::json::array items;
  std::string cursor;
  for (;;) {
    const auto rest = options.limit - static_cast<std::int64_t>(items.size());
    client::Request request{.path = path, .query = query};
    const auto page = options.all ? kPage : std::min(rest, kPage);
    request.query.emplace_back("limit", std::to_string(page));
    if (!cursor.empty()) request.query.emplace_back("cursor", cursor);
    auto answer = session.call(request);
    if (!answer) return std::nullopt;
    auto* object = answer->body.if_object();
    auto* more = object == nullptr ? nullptr : object->if_contains("items");
    if (more == nullptr || !more->is_array()) {
      print_refusal({0, "not_sluice", "the answer is no list", ""});
      return std::nullopt;
    }
    for (auto& item : more->get_array()) items.push_back(std::move(item));
    cursor = text_at(*object, "next_cursor");
    const bool enough = !options.all && static_cast<std::int64_t>(items.size()) >= options.limit;
    if (cursor.empty() || enough) {
      (*object)["items"] = std::move(items);
      return std::move(*object);
    }
  }
}

void print_items(const boost::json::array& items, const Columns& columns) {
  std::vector<std::vector<std::string>> rows(1);
  for (const auto& [heading, path] : columns) rows[0].emplace_back(heading);
  for (const auto& item : items) {
    auto& row = rows.emplace_back();
    for (const auto& [heading, path] : columns) row.push_back(cell(item, path));
  }
  print(table_text(std::move(rows), output_width()));
}

int list_command(Session& session, const std::string& path, Query query, const ListOptions& options,
                 const Columns& columns) {
  const auto list = read_list(session, path, std::move(query), options);
  if (!list) return kFailed;
  if (!session.is_table()) {
    session.print_value(*list);
    return 0;
  }
  const auto& items = list->at("items").get_array();
  print_items(items, columns);
  if (!text_at(*list, "next_cursor").empty()) {
    std::fputs(
        fmt::format("{} of {}; --all shows all\n", items.size(), cell(*list, "total")).c_str(),
        stderr);
  }
  return 0;
}

void print_members(const boost::json::object& object, const Columns& columns) {
  std::size_t width = 0;
  for (const auto& [heading, path] : columns) width = std::max(width, heading.size());
  for (const auto& [heading, path] : columns) {
    const auto* value = object.if_contains(path);
    const bool nested = value != nullptr && ((value->is_object() && !value->get_object().empty()) ||
                                             (value->is_array() && !value->get_array().empty()));
    if (!nested) {
      print(fmt::format("{:<{}}  {}\n", heading, width, cell(object, path)));
      continue;
    }
    print(fmt::format("{}\n", heading));
    const std::string yaml = to_yaml(*value);
    for (std::size_t at = 0; at < yaml.size();) {
      const auto end = yaml.find('\n', at);
      print("  " + yaml.substr(at, end - at) + '\n');
      at = end + 1;
    }
  }
}

std::string text_at(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::optional<std::int64_t> version_of(const boost::json::object& object) {
  const auto* value = object.if_contains("version");
  if (value == nullptr || !value->is_int64()) return std::nullopt;
  return value->get_int64();
}

std::optional<boost::json::object> find_item(Session& session, const Kind& kind,
                                             const std::string& name, bool& missing) {
  missing = false;
  if (name.empty()) {
    print_wrong("NAME", fmt::format("the name of the {} is empty", kind.word), "");
    return std::nullopt;
  }
  ListOptions options;
  options.all = true;
  if (kind.searched) options.search = name;
  const auto list = read_list(session, std::string(kind.path), {}, options);
  if (!list) return std::nullopt;
  std::vector<const boost::json::object*> named;
  const boost::json::object* numbered = nullptr;
  for (const auto& item : list->at("items").get_array()) {
    if (!item.is_object()) continue;
    if (text_at(item.get_object(), "name") == name) named.push_back(&item.get_object());
    if (text_at(item.get_object(), "id") == name) numbered = &item.get_object();
  }
  if (named.size() > 1) {  // tokens may share a name
    std::string ids;
    for (const auto* item : named) ids += (ids.empty() ? "" : ", ") + text_at(*item, "id");
    print_wrong("NAME", fmt::format("there are {} of the name \"{}\"", named.size(), name),
                fmt::format("Give the id of one: {}.", ids));
    return std::nullopt;
  }
  if (!named.empty()) return *named[0];
  if (numbered != nullptr) return *numbered;
  if (kind.searched) {  // a search need not look at ids
    auto answer =
        session.client().call({.path = fmt::format("{}/{}", kind.path, client::encoded(name))});
    if (answer && answer->body.is_object()) return std::move(answer->body.get_object());
    if (!answer && answer.error().code != "not_found") {
      print_refusal(answer.error());
      return std::nullopt;
    }
  }
  missing = true;
  return std::nullopt;
}

std::optional<std::string> id_of(Session& session, const Kind& kind, const std::string& name) {
  bool missing = false;
  const auto item = find_item(session, kind, name, missing);
  if (item) return text_at(*item, "id");
  if (missing) {
    print_refusal({404, "not_found",
                   fmt::format("there is no {} with the name or id \"{}\"", kind.word, name),
                   fmt::format("sluice {} list shows those that there are.", kind.word)});
  }
  return std::nullopt;
}

std::optional<std::string> path_of(Session& session, const Kind& kind, const std::string& name,
                                   std::string_view rest) {
  const auto id = id_of(session, kind, name);
  if (!id) return std::nullopt;
  return fmt::format("{}/{}{}", kind.path, client::encoded(*id), rest);
}

}  // namespace sluice::cli
