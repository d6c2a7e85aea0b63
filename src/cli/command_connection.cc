// sluice connection: what tasks read from and write to.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <set>
#include <thread>

#include "cli/document.h"
#include "cli/options.h"
#include "cli/password.h"
#include "cli/placeholder.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kLookAgain = 300ms;
const std::vector<std::string> kSecrets{"password", "sasl.password", "ssl.key.pem",
                                        "ssl.key.password"};

constexpr const char* kCreateFooter = R"(
FILE is YAML with name, type, description, parameters and secrets, as the API takes them; ${env:NAME}
and ${file:/path} in it are replaced here. What flags say goes before it. No secret is taken as an
argument: others can see it in the list of processes.

  sluice connection create --name shop --type postgresql --host db1 --user sluice --database shop
  sluice connection create --name kafka --type kafka --property bootstrap.servers=broker1:9092

A new connection is checked at once; --wait shows how that ends (exit code 1: it failed).)";

struct ConnectionList {
  ListOptions list;
  std::string type, status;
};

int list_connections(Session& session, const ConnectionList& options) {
  Query query;
  if (!options.type.empty()) query.emplace_back("type", options.type);
  if (!options.status.empty()) query.emplace_back("status", options.status);
  return list_command(session, "/api/v1/connections", std::move(query), options.list,
                      {{"NAME", "name"},
                       {"TYPE", "type"},
                       {"STATUS", "status"},
                       {"TASKS", "tasks"},
                       {"CHECKED", "checked_at"},
                       {"ID", "id"},
                       {"REASON", "reason.message"}});
}

void print_step(const boost::json::value& step) {
  const std::string status = cell(step, "status");
  const std::string milliseconds = cell(step, "milliseconds");
  print(fmt::format("{:<8} {:<12} {}{}\n", status, cell(step, "step"),
                    milliseconds == "-" ? "" : milliseconds + " ms  ", cell(step, "message")));
  const std::string remedy = cell(step, "remedy");
  if (remedy != "-") print(fmt::format("{:>9}-> {}\n", "", remedy));
}

int show(Session& session, const boost::json::object& connection) {
  if (!session.is_table()) {
    session.print_value(connection);
    return 0;
  }
  print_members(connection, {{"name", "name"},
                             {"id", "id"},
                             {"type", "type"},
                             {"description", "description"},
                             {"status", "status"},
                             {"reason", "reason"},
                             {"parameters", "parameters"},
                             {"secrets", "secrets"},
                             {"checked", "checked_at"},
                             {"tasks", "tasks"},
                             {"version", "version"},
                             {"created", "created_at"},
                             {"by", "created_by"},
                             {"updated", "updated_at"}});
  return 0;
}

struct Named {
  std::string name;
};

int show_connection(Session& session, const Named& options) {
  const auto path = path_of(session, kConnection, options.name);
  if (!path) return kFailed;
  const auto connection = session.get(*path);
  return connection ? show(session, *connection) : kFailed;
}

// ---- check

// 0 if the check was passed. The steps were shown.
int end_check(Session& session, const boost::json::object& connection) {
  const bool ready = text_at(connection, "status") == "ready";
  if (!session.is_table()) {
    session.print_value(connection);
  } else {
    print(
        fmt::format("connection {} is {}\n", cell(connection, "name"), cell(connection, "status")));
  }
  return ready ? 0 : kFailed;
}

int check_connection(Session& session, const Named& options) {
  const auto path = path_of(session, kConnection, options.name, "/check");
  if (!path) return kFailed;
  std::optional<boost::json::object> ended;
  const auto streamed = session.client().stream(
      {.method = "POST", .path = *path}, [&](const client::ServerEvent& event) {
        boost::json::error_code bad;
        const auto value = boost::json::parse(event.data, bad);
        if (bad || !value.is_object()) return true;
        if (event.name == "step" && session.is_table()) print_step(value);
        if (event.name == "end") ended = value.get_object();
        return !ended;
      });
  if (!streamed) return print_refusal(streamed.error());
  if (!ended) {
    return print_refusal({0, "stream_ended", "the server ended the check's stream too early",
                          "Ask again; sluice connection show says how it ended."});
  }
  if (ended->contains("id")) return end_check(session, *ended);
  return print_refusal({0, text_at(*ended, "code"), text_at(*ended, "detail"), ""});
}

int wait_for_check(Session& session, const std::string& id) {
  std::size_t told = 0;
  for (;;) {
    const auto connection = session.get("/api/v1/connections/" + client::encoded(id));
    if (!connection) return kFailed;
    const auto* steps = connection->if_contains("steps");
    const bool checking = text_at(*connection, "status") == "checking";
    if (steps != nullptr && steps->is_array() && session.is_table()) {
      for (; told < steps->get_array().size(); ++told) print_step(steps->get_array()[told]);
    }
    if (!checking) return end_check(session, *connection);
    std::this_thread::sleep_for(kLookAgain);
  }
}

// ---- create and edit

struct ConnectionGiven {
  std::string name, file, new_name, type, description, host, user, database, sslmode, pooler;
  std::string ca_certificate, password_file;
  std::int64_t port = 0;
  std::vector<std::string> properties, secret_files;
  bool wait = false, restart = false, password = false;
  CLI::Option* description_option = nullptr;
};

// "NAME=VALUE"; nothing, and an error printed, without a name.
std::optional<std::pair<std::string, std::string>> assignment(const std::string& option,
                                                              const std::string& text) {
  const auto equals = text.find('=');
  if (equals != std::string::npos && equals > 0) {
    return std::pair(text.substr(0, equals), text.substr(equals + 1));
  }
  // Not repeated: it may be a secret at the wrong place.
  print_wrong(option, fmt::format("{} takes NAME=VALUE", option), "");
  return std::nullopt;
}

boost::json::object& member_object(boost::json::object& object, std::string_view name) {
  auto& member = object[name];
  if (!member.is_object()) member.emplace_object();
  return member.get_object();
}

bool add_secret(boost::json::object& body, const std::string& name, const std::string& file,
                std::string_view prompt) {
  auto secret = read_password(file, prompt);
  if (!secret) {
    print_error(secret.error());
    return false;
  }
  member_object(body, "secrets")[name] = *secret;
  return true;
}

// Adds what the flags say. False: an error was printed.
bool add_flags(const ConnectionGiven& given, std::string_view type, boost::json::object& body) {
  if (!given.new_name.empty()) body["name"] = given.new_name;
  if (given.description_option != nullptr && given.description_option->count() > 0) {
    body["description"] = given.description;
  }
  const auto put = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) member_object(body, "parameters")[name] = value;
  };
  put("host", given.host);
  put("user", given.user);
  put("database", given.database);
  put("sslmode", given.sslmode);
  put("pooler", given.pooler);
  if (given.port > 0) member_object(body, "parameters")["port"] = given.port;
  if (!given.ca_certificate.empty()) {
    auto pem = read_small_file(given.ca_certificate, kMaxSecretBytes, Readers::kAnyone);
    if (!pem) {
      print_error(pem.error());
      return false;
    }
    put("ca_certificate", *pem);
  }
  for (const auto& property : given.properties) {
    const auto pair = assignment("--property", property);
    if (!pair) return false;
    if (std::find(kSecrets.begin(), kSecrets.end(), pair->first) != kSecrets.end()) {
      print_wrong(
          "--property", fmt::format("{} is a secret: no argument", pair->first),
          fmt::format("Write it into a file for you alone: --secret-file {}=FILE.", pair->first));
      return false;
    }
    member_object(member_object(body, "parameters"), "properties")[pair->first] = pair->second;
  }
  for (const auto& secret : given.secret_files) {
    const auto pair = assignment("--secret-file", secret);
    if (!pair || !add_secret(body, pair->first, pair->second, pair->first)) return false;
  }
  const std::string password = type == "kafka" ? "sasl.password" : "password";
  if (!given.password_file.empty() || given.password) {
    return add_secret(body, password, given.password_file, "Password of the connection");
  }
  return true;
}

bool has_secret(const boost::json::object& body, std::string_view name) {
  const auto* secrets = body.if_contains("secrets");
  return secrets != nullptr && secrets->is_object() && secrets->get_object().contains(name);
}

// What a log-in of the connection needs and nothing has said so far is asked for.
bool ask_for_password(boost::json::object& body, std::string_view type) {
  bool needed = type != "kafka";
  if (const auto* parameters = body.if_contains("parameters");
      !needed && parameters != nullptr && parameters->is_object()) {
    const auto protocol = cell(*parameters, "properties");
    needed = protocol.find("\"sasl_") != std::string::npos ||
             protocol.find("\"SASL_") != std::string::npos;
  }
  const std::string name = type == "kafka" ? "sasl.password" : "password";
  if (!needed || has_secret(body, name)) return true;
  return add_secret(body, name, "", "Password of the connection");
}

std::optional<boost::json::object> read_body(const std::string& file) {
  if (file.empty()) return boost::json::object();
  auto document = load_document(file);
  if (!document) {
    for (const auto& error : document.error()) print_error(error);
    return std::nullopt;
  }
  auto value = boost::json::parse(task::to_json(*document));
  if (value.is_object()) return std::move(value.get_object());
  print_wrong("FILE", fmt::format("{}: is no map of keys", file), "");
  return std::nullopt;
}

int create_connection(Session& session, const ConnectionGiven& given) {
  auto body = read_body(given.file);
  if (!body) return kDocumentWrong;
  if (!given.type.empty()) (*body)["type"] = given.type;
  const std::string type = text_at(*body, "type");
  if (type.empty()) {
    return print_wrong("--type", "the connection's type is missing",
                       "Write --type kafka or --type postgresql, or name a FILE.");
  }
  if (!add_flags(given, type, *body) || !ask_for_password(*body, type)) return kDocumentWrong;
  const auto answer = session.send("POST", "/api/v1/connections", *body);
  if (!answer || !answer->body.is_object()) return kFailed;
  const auto& made = answer->body.get_object();
  if (given.wait) return wait_for_check(session, text_at(made, "id"));
  if (!session.is_table()) {
    session.print_value(made);
  } else {
    print(fmt::format("connection {} created ({}); it is being checked\n", cell(made, "name"),
                      cell(made, "id")));
  }
  return 0;
}

int edit_connection(Session& session, const ConnectionGiven& given) {
  const auto path = path_of(session, kConnection, given.name);
  if (!path) return kFailed;
  const auto before = session.get(*path);
  if (!before) return kFailed;
  auto body = read_body(given.file);
  if (!body) return kDocumentWrong;
  body->erase("type");  // cannot be changed, but a file that was created from has it
  if (!add_flags(given, text_at(*before, "type"), *body)) return kDocumentWrong;
  if (given.restart) (*body)["restart_tasks"] = true;
  if (body->empty()) {
    return print_wrong("NAME", "nothing to change was given",
                       "sluice connection edit --help says what can be changed.");
  }
  const auto answer = session.send("PATCH", *path, *body, version_of(*before));
  if (!answer || !answer->body.is_object()) return kFailed;
  const auto& edited = answer->body.get_object();
  if (given.wait) return wait_for_check(session, text_at(edited, "id"));
  if (!session.is_table()) {
    session.print_value(edited);
    return 0;
  }
  print(fmt::format("connection {} {}\n", cell(edited, "name"),
                    version_of(edited) == version_of(*before) ? "is so already" : "edited"));
  if (const auto* tasks = edited.if_contains("restarted_tasks"); tasks && tasks->is_array()) {
    for (const auto& task : tasks->get_array()) {
      print(fmt::format("  task {} is opened anew\n", cell(task, "name")));
    }
  }
  return 0;
}

int delete_connection(Session& session, const Named& options) {
  const auto path = path_of(session, kConnection, options.name);
  if (!path) return kFailed;
  const auto before = session.get(*path);
  if (!before) return kFailed;
  client::Request request{.method = "DELETE", .path = *path};
  if (const auto version = version_of(*before)) {
    request.headers.emplace_back("If-Match", fmt::format("\"{}\"", *version));
  }
  if (!session.call(request)) return kFailed;
  if (session.is_table()) print(fmt::format("connection {} deleted\n", cell(*before, "name")));
  return 0;
}

int list_tasks(Session& session, const Named& options) {
  const auto path = path_of(session, kConnection, options.name, "/tasks");
  if (!path) return kFailed;
  const auto list = session.get(*path);
  if (!list || !list->contains("items") || !list->at("items").is_array()) return kFailed;
  if (!session.is_table()) {
    session.print_value(*list);
  } else {
    print_items(list->at("items").get_array(),
                {{"NAME", "name"}, {"STATE", "state"}, {"AS", "role"}, {"ID", "id"}});
  }
  return 0;
}

// ---- browse

struct Browse {
  std::string connection, what, name, database, schema;
  ListOptions list;
  bool fresh = false;
};

const std::vector<std::pair<std::string, Columns>>& browsed_lists() {
  static const std::vector<std::pair<std::string, Columns>> kLists{
      {"databases",
       {{"NAME", "name"},
        {"OWNER", "owner"},
        {"ENCODING", "encoding"},
        {"MAY CONNECT", "may_connect"}}},
      {"schemas",
       {{"NAME", "name"},
        {"OWNER", "owner"},
        {"MAY USE", "may_use"},
        {"MAY CREATE", "may_create"}}},
      {"tables",
       {{"SCHEMA", "schema"},
        {"NAME", "name"},
        {"KIND", "kind"},
        {"ROWS", "rows_estimated"},
        {"MAY INSERT", "may_insert"},
        {"MAY UPDATE", "may_update"}}},
      {"topics", {{"NAME", "name"}, {"PARTITIONS", "partitions"}}},
      {"groups", {{"NAME", "name"}, {"STATE", "state"}}}};
  return kLists;
}

void print_browsed(const boost::json::object& thing) {
  Columns scalars;
  for (const auto& member : thing) {
    if (!member.value().is_array()) scalars.emplace_back(member.key(), member.key());
  }
  print_members(thing, scalars);
  for (const auto& member : thing) {
    const auto* items = member.value().if_array();
    if (items == nullptr || items->empty() || !items->at(0).is_object()) continue;
    Columns columns;
    for (const auto& column : items->at(0).get_object()) {
      columns.emplace_back(column.key(), column.key());
    }
    print(fmt::format("\n{}\n", std::string_view(member.key())));
    print_items(*items, columns);
  }
}

int browse(Session& session, const Browse& options) {
  Query query;
  std::string schema = options.schema, name = options.name;
  if (const auto point = name.find('.');
      options.what == "table" && schema.empty() && point != std::string::npos) {
    schema = name.substr(0, point);
    name.erase(0, point + 1);
  }
  if (options.what == "table" && schema.empty()) schema = "public";
  if (!options.database.empty()) query.emplace_back("database", options.database);
  if (!schema.empty()) query.emplace_back("schema", schema);
  if (options.fresh) query.emplace_back("fresh", "true");
  for (const auto& [what, columns] : browsed_lists()) {
    if (what != options.what) continue;
    const auto path = path_of(session, kConnection, options.connection, "/" + what);
    if (!path) return kFailed;
    return list_command(session, *path, std::move(query), options.list, columns);
  }
  if (options.name.empty()) {
    return print_wrong(
        "THING", fmt::format("{} takes a name", options.what),
        fmt::format("sluice connection browse CONNECTION {}s shows them.", options.what));
  }
  std::string rest = "/" + options.what;
  if (options.what == "table") {
    query.emplace_back("name", name);
  } else {
    rest += fmt::format("s/{}", client::encoded(options.name));
  }
  const auto path = path_of(session, kConnection, options.connection, rest);
  if (!path) return kFailed;
  auto answer = session.call({.path = *path, .query = std::move(query)});
  if (!answer || !answer->body.is_object()) return kFailed;
  if (session.is_table()) {
    print_browsed(answer->body.get_object());
  } else {
    session.print_value(answer->body);
  }
  return 0;
}

void add_login_flags(CLI::App& command, ConnectionGiven& given) {
  given.description_option =
      command.add_option("--description", given.description, "up to 128 characters");
  command.add_option("--user", given.user, "who logs in (PostgreSQL)");
  command
      .add_option("--property", given.properties,
                  "a property of librdkafka (Kafka); sasl.username for instance")
      ->type_name("NAME=VALUE");
  command
      .add_option("--password-file", given.password_file,
                  "a file for you alone with the password; for Kafka sasl.password")
      ->type_name("FILE");
  command.add_option("--secret-file", given.secret_files, "another secret, such as ssl.key.pem")
      ->type_name("NAME=FILE");
  command.add_flag("--wait", given.wait, "until its check has ended; shows the steps");
}

void add_named(CLI::App& parent, Remote& remote, const char* name, const char* what,
               int (*perform)(Session&, const Named&)) {
  auto [command, options] = add_remote<Named>(parent, remote, name, what, perform);
  command->add_option("NAME", options->name, "the connection's name or id")->required();
}

}  // namespace

void add_connection_commands(CLI::App& app, Remote& remote) {
  auto* parent = app.add_subcommand("connection", "what tasks of a server read from and write to");
  parent->require_subcommand(1);
  auto [list, list_options] = add_remote<ConnectionList>(
      *parent, remote, "list", "the connections, with their status", list_connections);
  add_list_options(*list, list_options->list, true, "name, type or created_at");
  list->add_option("--type", list_options->type, "only of this type");
  list->add_option("--status", list_options->status, "unchecked, checking, ready or failed");
  add_named(*parent, remote, "show", "one connection", show_connection);

  auto [create, created] = add_remote<ConnectionGiven>(
      *parent, remote, "create", "make a connection, from a file or flags", create_connection);
  create->add_option("FILE", created->file, "the connection as YAML");
  create->add_option("--name", created->new_name, "its name");
  create->add_option("--type", created->type, "kafka, postgresql, or a variant of that");
  create->add_option("--host", created->host, "name or address of the server (PostgreSQL)");
  create->add_option("--port", created->port, "its port")->check(CLI::Range(1, 65'535));
  create->add_option("--database", created->database, "the database that is used by default");
  create->add_option("--sslmode", created->sslmode,
                     "disable, prefer, require, verify-ca or verify-full");
  create
      ->add_option("--ca-certificate", created->ca_certificate,
                   "PEM file of the authority of the database's certificate")
      ->type_name("FILE");
  create->add_option("--pooler", created->pooler, "none or transaction");
  add_login_flags(*create, *created);
  create->footer(kCreateFooter);

  auto [edit, edited] = add_remote<ConnectionGiven>(
      *parent, remote, "edit", "another name, description or log-in", edit_connection);
  edit->add_option("NAME", edited->name, "the connection's name or id")->required();
  edit->add_option("FILE", edited->file, "what changes, as YAML");
  edit->add_option("--name", edited->new_name, "its new name");
  add_login_flags(*edit, *edited);
  edit->add_flag("--password", edited->password, "ask for a new password");
  edit->add_flag("--restart-tasks", edited->restart, "open its tasks anew, with the new log-in");

  add_named(*parent, remote, "check", "check it now, step by step; exit 1 if that fails",
            check_connection);
  add_named(*parent, remote, "delete", "delete it; refused while a task uses it",
            delete_connection);
  add_named(*parent, remote, "tasks", "which tasks use it", list_tasks);

  auto [look, looked] =
      add_remote<Browse>(*parent, remote, "browse", "look at what is behind a connection", browse);
  look->add_option("CONNECTION", looked->connection, "its name or id")->required();
  look->add_option("WHAT", looked->what,
                   "databases, schemas, tables, table, topics, topic, groups or group")
      ->required()
      ->check(CLI::IsMember(
          {"databases", "schemas", "tables", "table", "topics", "topic", "groups", "group"}));
  look->add_option("THING", looked->name, "the table (SCHEMA.NAME), topic or group");
  look->add_option("--database", looked->database, "another database than the connection's");
  look->add_option("--schema", looked->schema, "of tables; public for a table without one");
  look->add_flag("--fresh", looked->fresh, "do not take what was read seconds ago");
  add_list_options(*look, looked->list, true, "");
}

}  // namespace sluice::cli
