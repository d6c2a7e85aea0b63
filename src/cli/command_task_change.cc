// sluice task: documents become tasks and revisions of tasks.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <map>

#include "cli/command_task.h"
#include "cli/document.h"
#include "cli/options.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "pipeline/check.h"

namespace sluice::cli {
namespace {

constexpr const char* kFileFooter = R"(
FILE is a task document (docs/reference/task.md) with connections of the server by name:

  name: orders
  source: {connection: kafka, topics: [orders]}
  target: {connection: shop, database: shop, table: public.orders}
  sync: {write: upsert, primary_key: [id]}

${env:NAME} and ${file:/path} are replaced here: a server never does that.)";

struct Change {
  std::string name, file, new_name, description, comment;
  std::vector<std::string> tags, untags;
  bool dry_run = false;
  CLI::Option* described = nullptr;
  WaitOptions wait;
};

// A document, and what its keys' lines are.
struct Document {
  std::string file;
  task::Node node;
  std::string name() const {
    const auto* found = node.find("name");
    return found != nullptr && found->kind == task::Node::Kind::kText ? found->text : "";
  }
};

std::optional<Document> read_document(const std::string& file) {
  auto node = load_document(file);
  if (node) return Document{file, std::move(*node)};
  for (const auto& error : node.error()) print_error(error);
  return std::nullopt;
}

// A refusal of a document, with the lines of its file.
int refuse(client::Refusal refusal, const std::optional<Document>& document) {
  if (!document || refusal.code != "invalid_document") return print_refusal(refusal);
  for (auto& [path, message] : refusal.fields) {
    const int line = task::line_of(document->node, path);
    if (line == 0) continue;
    const std::string place = fmt::format("{}:{}", document->file, line);
    if (!message.starts_with(path)) message = fmt::format("{}: {}", path, message);
    path = place;
  }
  refusal.detail = fmt::format("{}: the task document is not valid", document->file);
  return print_refusal(refusal);
}

// {"document": ..., and the rest}, the document's numbers as they were written.
std::string body_of(const std::optional<Document>& document, const boost::json::object& rest) {
  if (!document) return boost::json::serialize(rest);
  std::string text = fmt::format("{{\"document\":{}", task::to_json(document->node));
  for (const auto& member : rest) {
    text += fmt::format(",{}:{}", boost::json::serialize(boost::json::string(member.key())),
                        boost::json::serialize(member.value()));
  }
  return text + '}';
}

// Adds tags that are given as NAME=VALUE or NAME, and takes away others.
bool change_tags(const Change& change, boost::json::object& tags) {
  for (const auto& text : change.tags) {
    const auto equals = text.find('=');
    if (equals == 0 || text.empty()) {
      print_wrong("--tag", "--tag takes NAME=VALUE or NAME", "");
      return false;
    }
    tags[text.substr(0, equals)] = equals == std::string::npos ? "" : text.substr(equals + 1);
  }
  for (const auto& name : change.untags) tags.erase(name);
  return true;
}

// Of a dry run: exit code 1 if something stands against it.
int print_findings(const Session& session, const boost::json::value& answer) {
  const auto* object = answer.if_object();
  if (object == nullptr) return kFailed;
  const auto* good = object->if_contains("ok");
  const int code = good != nullptr && good->is_bool() && good->get_bool() ? 0 : kFailed;
  const auto* findings = object->if_contains("findings");
  if (!session.is_table() || findings == nullptr || !findings->is_array()) {
    session.print_value(answer);
    return code;
  }
  for (const auto& each : findings->get_array()) {
    pipeline::Finding finding;
    const auto level = cell(each, "level");
    finding.level = pipeline::Finding::Level::kOk;
    for (const auto some : {pipeline::Finding::Level::kWarning, pipeline::Finding::Level::kError}) {
      if (level == pipeline::name_of(some)) finding.level = some;
    }
    const auto text = [&](std::string_view name) {
      return each.is_object() ? one_line(text_at(each.get_object(), name)) : std::string();
    };
    finding.step = text("step");
    finding.subject = text("subject");
    finding.message = text("message");
    finding.remedy = text("remedy");
    print_finding(finding);
  }
  return code;
}

int create(Session& session, const Change& change, const std::optional<Document>& document) {
  boost::json::object rest, tags;
  if (!change_tags(change, tags)) return kDocumentWrong;
  if (!tags.empty()) rest["tags"] = std::move(tags);
  client::Request request{.method = "POST", .path = "/api/v1/tasks"};
  request.body = body_of(document, rest);
  if (change.dry_run) request.query.emplace_back("dry_run", "true");
  const auto answer = session.client().call(request);
  if (!answer) return refuse(answer.error(), document);
  if (change.dry_run) return print_findings(session, answer->body);
  return end_change(session, *answer, change.wait, "was created");
}

int create_task(Session& session, const Change& change) {
  const auto document = read_document(change.file);
  return document ? create(session, change, document) : kDocumentWrong;
}

// PATCH with the version that was looked at, so that nobody's change is overwritten unseen.
int edit(Session& session, const Change& change, const boost::json::object& before,
         const std::optional<Document>& document) {
  boost::json::object rest;
  if (!change.new_name.empty()) rest["name"] = change.new_name;
  if (change.described != nullptr && change.described->count() > 0) {
    rest["description"] = change.description;
  }
  if (!change.comment.empty()) rest["comment"] = change.comment;
  if (!change.tags.empty() || !change.untags.empty()) {
    boost::json::object tags;
    if (const auto* old = before.if_contains("tags"); old && old->is_object()) {
      tags = old->get_object();
    }
    if (!change_tags(change, tags)) return kDocumentWrong;
    rest["tags"] = std::move(tags);
  }
  client::Request request{
      .method = "PATCH",
      .path = fmt::format("{}/{}", kTask.path, client::encoded(text_at(before, "id")))};
  request.body = body_of(document, rest);
  if (const auto version = version_of(before)) {
    request.headers.emplace_back("If-Match", fmt::format("\"{}\"", *version));
  }
  const auto answer = session.client().call(request);
  if (!answer) return refuse(answer.error(), document);
  const bool same = cell(answer->body, "revision") == cell(before, "revision");
  return end_change(session, *answer, change.wait,
                    same ? std::string("keeps revision ") + cell(before, "revision")
                         : "has revision " + cell(answer->body, "revision"));
}

int edit_task(Session& session, const Change& change) {
  std::optional<Document> document;
  if (!change.file.empty()) {
    document = read_document(change.file);
    if (!document) return kDocumentWrong;
  }
  const bool described = change.described != nullptr && change.described->count() > 0;
  if (!document && change.new_name.empty() && !described && change.tags.empty() &&
      change.untags.empty()) {
    return print_wrong("NAME", "nothing to change was given",
                       "Give a FILE, --name, --description, --tag or --untag.");
  }
  const auto path = path_of(session, kTask, change.name);
  if (!path) return kFailed;
  const auto before = session.get(*path);
  return before ? edit(session, change, *before, document) : kFailed;
}

int apply_task(Session& session, const Change& change) {
  const auto document = read_document(change.file);
  if (!document) return kDocumentWrong;
  if (document->name().empty()) {
    return print_wrong("FILE", fmt::format("{}: the document has no name", change.file),
                       "apply finds the task by it.");
  }
  if (change.dry_run) return create(session, change, document);
  bool missing = false;
  const auto before = find_item(session, kTask, document->name(), missing);
  if (missing) return create(session, change, document);
  return before ? edit(session, change, *before, document) : kFailed;
}

// copy and rebuild: POST with an optional document.
int post_document(Session& session, const Change& change, std::string_view action,
                  std::string_view what) {
  std::optional<Document> document;
  if (!change.file.empty()) {
    document = read_document(change.file);
    if (!document) return kDocumentWrong;
  }
  const auto path = path_of(session, kTask, change.name, fmt::format("/{}", action));
  if (!path) return kFailed;
  boost::json::object rest;
  if (!change.new_name.empty()) rest["name"] = change.new_name;
  client::Request request{.method = "POST", .path = *path};
  request.body = body_of(document, rest);
  const auto answer = session.client().call(request);
  if (!answer) return refuse(answer.error(), document);
  return end_change(session, *answer, change.wait, what);
}
int copy_task(Session& session, const Change& change) {
  return post_document(session, change, "copy", "was created");
}
int rebuild_task(Session& session, const Change& change) {
  return post_document(session, change, "rebuild", "is created again");
}

// ---- revisions

struct Revision {
  std::string name;
  std::int64_t number = 0, against = 0;
  WaitOptions wait;
};

int list_revisions(Session& session, const Revision& options) {
  const auto path = path_of(session, kTask, options.name, "/revisions");
  if (!path) return kFailed;
  const auto list = session.get(*path);
  if (!list || !list->contains("items") || !list->at("items").is_array()) return kFailed;
  if (!session.is_table()) {
    session.print_value(*list);
  } else {
    print_items(list->at("items").get_array(), {{"REVISION", "revision"},
                                                {"CREATED", "created_at"},
                                                {"BY", "created_by"},
                                                {"COMMENT", "comment"}});
  }
  return 0;
}

// What `number` has, else the task's present revision.
int show_difference(Session& session, const Revision& options) {
  const auto path = path_of(session, kTask, options.name);
  if (!path) return kFailed;
  std::string number = std::to_string(options.number);
  if (options.number == 0) {
    const auto task = session.get(*path);
    if (!task) return kFailed;
    number = cell(*task, "revision");
  }
  client::Request request{.path = fmt::format("{}/revisions/{}", *path, number)};
  if (options.against > 0) request.query.emplace_back("against", std::to_string(options.against));
  const auto answer = session.call(request);
  if (!answer || !answer->body.is_object()) return kFailed;
  if (!session.is_table()) {
    session.print_value(answer->body);
    return 0;
  }
  const auto* changes = answer->body.get_object().if_contains("changes");
  if (changes == nullptr || !changes->is_array()) {
    print(fmt::format("revision {} is the first\n", number));
    return 0;
  }
  print(fmt::format("revision {} against {}\n", number, cell(answer->body, "against")));
  for (const auto& change : changes->get_array()) {
    print(fmt::format("{}\n  - {}\n  + {}\n", cell(change, "path"), cell(change, "before"),
                      cell(change, "after")));
  }
  return 0;
}

int roll_back(Session& session, const Revision& options) {
  const auto path = path_of(session, kTask, options.name);
  if (!path) return kFailed;
  const auto before = session.get(*path);
  if (!before) return kFailed;
  const auto answer = session.send("POST", *path + "/rollback", {{"revision", options.number}},
                                   version_of(*before));
  if (!answer) return kFailed;
  return end_change(session, *answer, options.wait,
                    "has revision " + cell(answer->body, "revision"));
}

void add_tags(CLI::App& command, Change& change) {
  command.add_option("--tag", change.tags, "a tag that it has from now on")
      ->type_name("NAME[=VALUE]");
}

}  // namespace

void add_task_change_commands(CLI::App& task, Remote& remote) {
  auto [create, created] =
      add_remote<Change>(task, remote, "create", "make a task of a document", create_task);
  auto [apply, applied] = add_remote<Change>(
      task, remote, "apply", "make the document's task, or edit the one of its name", apply_task);
  for (auto [command, change] : {std::pair(create, created), std::pair(apply, applied)}) {
    command->add_option("FILE", change->file, "the task document (YAML)")->required();
    add_tags(*command, *change);
    command->add_flag("--dry-run", change->dry_run, "check it on the server; keep nothing");
    add_wait_options(*command, change->wait);
    command->footer(kFileFooter);
  }
  apply->add_option("--comment", applied->comment, "about the revision");

  auto [edit, edited] = add_remote<Change>(
      task, remote, "edit", "another document, name, description or tags", edit_task);
  edit->add_option("NAME", edited->name, "the task's name or id")->required();
  edit->add_option("FILE", edited->file, "its new document (YAML)");
  edit->add_option("--name", edited->new_name, "its new name");
  edited->described = edit->add_option("--description", edited->description, "its new description");
  add_tags(*edit, *edited);
  edit->add_option("--untag", edited->untags, "a tag that goes")->type_name("NAME");
  edit->add_option("--comment", edited->comment, "about the revision");
  add_wait_options(*edit, edited->wait);

  auto [copy, copied] = add_remote<Change>(task, remote, "copy", "a new task like it", copy_task);
  copy->add_option("NAME", copied->name, "the task's name or id")->required();
  copy->add_option("FILE", copied->file, "another document than its own (YAML)");
  copy->add_option("--name", copied->new_name, "the new task's name")->required();
  add_wait_options(*copy, copied->wait);

  auto [rebuild, rebuilt] = add_remote<Change>(
      task, remote, "rebuild", "create again what could not be created", rebuild_task);
  rebuild->add_option("NAME", rebuilt->name, "the task's name or id")->required();
  rebuild->add_option("FILE", rebuilt->file, "another document than its own (YAML)");
  add_wait_options(*rebuild, rebuilt->wait);

  auto [revisions, listed] =
      add_remote<Revision>(task, remote, "revisions", "the documents that it had", list_revisions);
  revisions->add_option("NAME", listed->name, "the task's name or id")->required();
  auto [diff, compared] =
      add_remote<Revision>(task, remote, "diff", "what a revision has changed", show_difference);
  diff->add_option("NAME", compared->name, "the task's name or id")->required();
  diff->add_option("REVISION", compared->number, "its number; else the present one")
      ->check(CLI::Range(1, 999'999'999));
  diff->add_option("--against", compared->against, "another one than the one before")
      ->type_name("REVISION")
      ->check(CLI::Range(1, 999'999'999));
  auto [rollback, rolled] = add_remote<Revision>(
      task, remote, "rollback", "an old document again, as a new revision", roll_back);
  rollback->add_option("NAME", rolled->name, "the task's name or id")->required();
  rollback->add_option("REVISION", rolled->number, "its number")
      ->required()
      ->check(CLI::Range(1, 999'999'999));
  add_wait_options(*rollback, rolled->wait);
}

}  // namespace sluice::cli
