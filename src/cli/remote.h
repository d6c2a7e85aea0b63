// What the commands over the API share: where the server is, who asks, how answers are shown.
#pragma once

#include <CLI/CLI.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cli/credentials.h"
#include "client/client.h"

namespace sluice::cli {

// The command that the command line names, once it is parsed.
struct Remote {
  std::function<int()> chosen;
};

struct RemoteOptions {
  std::string server, ca_file;
  std::string output = "table";
};

// Which server, and the token for it: --server or SLUICE_SERVER, else that of the last log-in, else
// where `sluice serve` listens by default. SLUICE_TOKEN goes before what a log-in kept.
Result<client::Server> find_server(const RemoteOptions& options, const Credentials& credentials);

// One command's dealings with the server. Whatever is refused is printed where it happens.
class Session {
 public:
  Session(client::Server server, std::string output)
      : client_(std::move(server)), output_(std::move(output)) {}

  client::Client& client() { return client_; }
  bool is_table() const { return output_ == "table"; }
  bool is_json() const { return output_ == "json"; }

  // The answer, or nothing and the refusal printed.
  std::optional<client::Answer> call(const client::Request& request);
  std::optional<boost::json::object> get(const std::string& path);
  // POST and the like with a body; `version`: for If-Match.
  std::optional<client::Answer> send(std::string_view method, const std::string& path,
                                     const boost::json::object& body,
                                     std::optional<std::int64_t> version = std::nullopt);

  // JSON as it is, or YAML.
  void print_value(const boost::json::value& value) const;

 private:
  client::Client client_;
  std::string output_;
};

// "error: ..." with every field and the advice. Returns kFailed.
int print_refusal(const client::Refusal& refusal);
int print_wrong(std::string option, std::string message, std::string remedy);  // kDocumentWrong

// ---- lists

struct ListOptions {
  std::string search, sort;
  std::int64_t limit = 100;
  bool all = false;
};
void add_list_options(CLI::App& command, ListOptions& options, bool search, std::string_view sorts);

// A heading and the path of the member below it.
using Columns = std::vector<std::pair<std::string_view, std::string_view>>;
using Query = std::vector<std::pair<std::string, std::string>>;

// Follows next_cursor; the last answer with the items of all.
std::optional<boost::json::object> read_list(Session& session, const std::string& path, Query query,
                                             const ListOptions& options);
void print_items(const boost::json::array& items, const Columns& columns);
int list_command(Session& session, const std::string& path, Query query, const ListOptions& options,
                 const Columns& columns);
// The members that there are, one a line; lists and objects behind them as YAML.
void print_members(const boost::json::object& object, const Columns& columns);

// ---- names

struct Kind {
  std::string_view word;  // "task"
  std::string_view path;  // "/api/v1/tasks"
  bool searched = true;   // its list takes ?search= that finds names
};
inline constexpr Kind kTask{"task", "/api/v1/tasks"};
inline constexpr Kind kConnection{"connection", "/api/v1/connections"};
inline constexpr Kind kAccount{"account", "/api/v1/accounts"};
inline constexpr Kind kToken{"token", "/api/v1/tokens", false};

// What the kind's list has under this name, or else this id. nullopt with `missing` set: nothing.
std::optional<boost::json::object> find_item(Session& session, const Kind& kind,
                                             const std::string& name, bool& missing);
// The same; nothing is an error that is printed.
std::optional<std::string> id_of(Session& session, const Kind& kind, const std::string& name);
// "/api/v1/tasks/ID" and what follows.
std::optional<std::string> path_of(Session& session, const Kind& kind, const std::string& name,
                                   std::string_view rest = "");
std::string text_at(const boost::json::object& object, std::string_view name);
std::optional<std::int64_t> version_of(const boost::json::object& object);

// ---- the tree

int open_and_perform(const RemoteOptions& options, const std::function<int(Session&)>& perform);

// A command with options of its own, which live as long as it does.
template <class Options>
std::pair<CLI::App*, Options*> add_remote(CLI::App& parent, Remote& remote, std::string name,
                                          std::string what,
                                          int (*perform)(Session&, const Options&)) {
  struct Both {
    RemoteOptions remote;
    Options own;
  };
  auto both = std::make_shared<Both>();
  auto* command = parent.add_subcommand(std::move(name), std::move(what));
  command->add_option("--server", both->remote.server, "the server's URL")->type_name("URL");
  command->add_option("--ca", both->remote.ca_file, "PEM file of the authorities to trust")
      ->type_name("FILE");
  command->add_option("-o,--output", both->remote.output, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}))
      ->capture_default_str();
  command->callback([&remote, both, perform] {
    remote.chosen = [both, perform] {
      return open_and_perform(both->remote,
                              [&](Session& session) { return perform(session, both->own); });
    };
  });
  return {command, &both->own};
}

void add_login_commands(CLI::App& app, Remote& remote);
void add_connection_commands(CLI::App& app, Remote& remote);
void add_task_commands(CLI::App& app, Remote& remote);
void add_event_commands(CLI::App& app, Remote& remote);
void add_account_commands(CLI::App& app, Remote& remote);

}  // namespace sluice::cli
