#include "cli/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "cli/command_import.h"
#include "cli/command_serve.h"
#include "cli/completion.h"
#include "cli/options.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "kafka/consumer.h"
#include "pipeline/preview.h"

namespace sluice::cli {
namespace {

int version_command() {
  std::puts(
      fmt::format("sluice {}\nlibrdkafka {}", SLUICE_VERSION, kafka::library_version()).c_str());
  return 0;
}

void add_common(CLI::App& command, Options& options) {
  command.add_option("FILE", options.file, "the task document (YAML); see docs/reference/task.md")
      ->required();
  command.add_flag("-v,--verbose", options.verbose, "log more");
}

constexpr const char* kFooter = R"(
Examples
  sluice check orders.yaml               everything that can be known before the first row
  sluice run orders.yaml                 run until stopped (Ctrl-C leaves cleanly)
  sluice run orders.yaml --until-end     stop when what is in the topic now is in the table
  sluice preview orders.yaml             the next messages, each beside the row it would become
  sluice rehearse orders.yaml            write the next 10,000 messages and roll back
  sluice verify orders.yaml              is everything in the topic in the table?
  sluice verify orders.yaml --against URI   does the table equal its source, row by row?
  sluice dead-letters list orders.yaml   what was set aside, by cause
  sluice import sink.properties          a task document from a JDBC sink of Kafka Connect
  sluice serve                           connections, tasks and people behind one API
  sluice login                           then: connection, task, event, account, token, audit
  sluice task apply orders.yaml --wait   a task of the server, made or edited

Exit codes: 0 done; 1 failed; 2 the document or the command line is wrong. `sluice run --help` has
more, and the help of each command says what its own mean.)";

constexpr const char* kCheckFooter = R"(
Exit codes: 0 nothing stands against a run; 1 there are errors; 2 the document is wrong.)";

constexpr const char* kVerifyFooter = R"(
With --against the target is compared with the table that its change events come from instead: how
many rows, checksums by ranges of keys, and of ranges that differ the rows. SELECT on the source is
enough. URI is postgresql://USER@HOST:PORT/DATABASE, or mysql:// of the same form, or ${env:NAME} or
${file:/path} that stands for one: others can see a password in the command line. libpq's own
environment and .pgpass serve, too.
A difference counts when the task has applied what its topics held and the row has not changed for
--settle seconds. --repair reads those rows again and writes them, 500 in a transaction that keeps
other writers out of the table; the task may run meanwhile.

Exit codes: 0 all that the topics hold is applied, or source and target are the same (or were made
the same); 1 not, or one of them cannot be read; 2 the document or the command line is wrong.)";

constexpr const char* kRunFooter = R"(
A run that was killed goes on where the ledger in the target database says; no row is lost or doubled.
Start it as often as you like: processes of one task share its partitions.

Exit codes
  0  applied, or handled by the failure policy        1  failed
  2  the document or the command line is wrong        3  halted at a message (on_failure: retain)
  130, 143  stopped by Ctrl-C or SIGTERM: the batch in flight is committed, the group left)";

constexpr std::int64_t kMaxRehearsed = 10'000'000;

constexpr const char* kRehearseFooter = R"(
The real statements, locks, constraints and triggers, on one connection, in one transaction that is
rolled back. The ledger does not move and no dead letter is written. What a rollback does not undo:
sequences advance, existing rows that it changes are locked until it ends, dead rows wait for
vacuum, and triggers may act outside of the database.

Exit codes: 0 a run would get through; 1 it would stop, or the rehearsal itself could not go on.)";

void add_letter_filter(CLI::App& command, Options& options) {
  command.add_option("--task", options.task, "letters of this task instead of the document's")
      ->type_name("NAME");
  command.add_option("--id", options.ids, "only these letters")->type_name("N");
  command.add_option("--code", options.code, "only letters with this code or SQLSTATE")
      ->type_name("CODE");
  command.add_option("--column", options.column, "only letters of this column")->type_name("NAME");
  command.add_option("--topic", options.topic, "only letters of this topic")->type_name("NAME");
  command.add_option("--before", options.before, "only letters that failed before this time")
      ->type_name("TIME");
  command.add_flag("--json", options.json, "as JSON on standard output");
}

constexpr const char* kReplayFooter = R"(
Rows and the removal of their letters are one transaction: a replay that is killed, or run twice at
once, doubles nothing. Letters that fail again stay with their new reason. With write: upsert a
letter is older than what came after it and replaces it, unless sync.only_if_newer says which row
is newer.

Exit codes: 0 all letters became rows; 1 some failed again or were left.)";

constexpr const char* kImportFooter = R"(
Taken are the JDBC sinks of Confluent, Aiven and Debezium. What became of each property stands on
standard error: taken, not needed, not supported, unknown, or to fill in. Passwords and the like are
never copied: the document has placeholders. The task begins where the connector has committed
(source.start: {group: connect-NAME}); see docs/migrating.md.

Exit codes: 0 the document was written; 1 it could not be written; 2 the file was refused.)";

constexpr const char* kServeFooter = R"(
The first start makes the schema in the control database and the key that seals secrets. Nobody may
do anything without log-in: `sluice serve --init` makes the first account.

A stop by SIGTERM takes no more requests, commits the batches in flight, and exits with 143; a server
that was killed goes on where its database and the ledgers say.)";

constexpr const char* kCompletionFooter = R"(
  bash   source <(sluice completion bash)
  zsh    source <(sluice completion zsh)
  fish   sluice completion fish > ~/.config/fish/completions/sluice.fish)";

constexpr const char* kPreviewFooter = R"(
Values are shown as PostgreSQL reads them for the target's columns. Constraints, triggers and the
rows that are there already are not looked at. A message that cannot become a row is shown with
the reason.)";

}  // namespace

int execute(int argc, char** argv) {
  Options options;
  CLI::App app{"sluice moves Kafka topics into PostgreSQL tables, exactly once, at COPY speed."};
  app.name("sluice");
  app.require_subcommand(0, 1);  // none: below, after what was not understood is named
  app.failure_message([](const CLI::App* command, const CLI::Error& error) {
    return fmt::format("error: {}\n  -> {} --help says what is possible\n", error.what(),
                       command->get_parent() != nullptr
                           ? command->get_parent()->get_name() + ' ' + command->get_name()
                           : command->get_name());
  });

  auto* run = app.add_subcommand("run", "run one task from its file until it is stopped");
  add_common(*run, options);
  run->add_flag("--until-end", options.run.until_end,
                "end by itself when everything that the topics hold at the start is applied");
  run->add_option("--summary", options.summary, "write the final figures to this file, as JSON")
      ->type_name("PATH");
  run->add_option("--metrics", options.metrics,
                  "serve figures for Prometheus there, at /metrics; nobody is asked who they are")
      ->type_name("HOST:PORT");
  auto* adopt = run->add_flag("--adopt", options.run.open.adopt,
                              "this cluster, database or table is the task's from now on");
  run->add_flag("--reset", options.run.open.reset,
                "forget all positions and begin again at source.start (rows stay)")
      ->excludes(adopt);
  run->add_flag("--take-over", options.run.open.take_over,
                "run this document although processes run another one: those end")
      ->excludes("--reset");
  run->add_option("--log-format", options.log_format, "text or json; logs go to standard error")
      ->check(CLI::IsMember({"auto", "text", "json"}))
      ->capture_default_str();
  run->add_flag("-q,--quiet", options.quiet, "log errors only");
  run->footer(kRunFooter);

  auto* check = app.add_subcommand(
      "check", "look at Kafka, PostgreSQL, table and rights; write nothing; exit 1 on errors");
  add_common(*check, options);
  check->footer(kCheckFooter);
  check->add_flag("--json", options.json, "the findings as JSON on standard output");
  check->add_flag("--ddl", options.ddl,
                  "mirror: also what the next 100 messages would have the table altered by");

  auto* preview = app.add_subcommand(
      "preview", "show the next messages and the row that each would become; write nothing");
  add_common(*preview, options);
  preview->add_option("-n,--count", options.preview_count, "how many messages")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, pipeline::kMaxPreview));
  preview->add_flag("--from-start", options.from_start,
                    "from source.start, although the task has begun");
  preview->add_flag("--json", options.json, "as one JSON object on standard output");
  preview->footer(kPreviewFooter);

  auto* rehearse = app.add_subcommand(
      "rehearse", "write the next messages and roll back; exit 1 if a run would not get through");
  add_common(*rehearse, options);
  rehearse->add_option("-n,--count", options.rehearse_count, "how many messages")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, kMaxRehearsed));
  rehearse->add_flag("--from-start", options.from_start,
                     "from source.start, although the task has begun");
  rehearse->add_flag("--json", options.json, "as one JSON object on standard output");
  rehearse->footer(kRehearseFooter);

  auto* verify = app.add_subcommand(
      "verify", "compare the ledger with Kafka, by partition; exit 0 if everything is applied");
  add_common(*verify, options);
  verify->footer(kVerifyFooter);
  verify->add_flag("--json", options.json, "as one JSON object on standard output");
  auto* against =
      verify->add_option("--against", options.against.uri,
                         "compare the target's rows with their source's, in this database");
  against->type_name("URI");
  verify
      ->add_option("--table", options.against.table,
                   "the source's table; else the target's name (a template has none)")
      ->type_name("NAME")
      ->needs(against);
  verify->add_option("--ignore", options.against.ignored, "a column that is not compared")
      ->type_name("COLUMN")
      ->needs(against);
  verify
      ->add_option("--settle", options.settle_seconds,
                   "seconds for which a difference must last to count")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{3600}))
      ->needs(against);
  verify->add_option("--limit", options.against.listed, "how many differences are listed")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{100'000}))
      ->needs(against);
  verify
      ->add_flag("--repair", options.against.repair,
                 "write what differs into the target, as the source has it")
      ->needs(against);

  auto* letters = app.add_subcommand(
      "dead-letters", "list, show, replay or purge what on_failure: deliver has set aside");
  letters->require_subcommand(1);
  auto* list = letters->add_subcommand("list", "how many there are, by cause");
  auto* show = letters->add_subcommand("show", "letters with their reason, key, value and headers");
  auto* replay = letters->add_subcommand(
      "replay", "write them by this document; those that become rows are removed with it");
  auto* purge = letters->add_subcommand("purge", "delete them");
  for (auto* command : {list, show, replay, purge}) {
    add_common(*command, options);
    add_letter_filter(*command, options);
  }
  show->add_option("-n,--limit", options.limit, "how many letters")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1000}));
  purge->add_flag("--all", options.all, "every letter of the task");
  replay->footer(kReplayFooter);

  ImportOptions import_options;
  auto* import_sink = app.add_subcommand(
      "import", "make a task document from the configuration of a JDBC sink of Kafka Connect");
  import_sink
      ->add_option("FILE", import_options.file,
                   "the connector's .properties file, or JSON as Connect's REST API has it")
      ->required();
  import_sink
      ->add_option("-o,--output", import_options.output,
                   "write the document there instead of to standard output")
      ->type_name("PATH");
  import_sink
      ->add_option("--bootstrap-servers", import_options.bootstrap_servers,
                   "where Kafka is; a connector's file does not say it")
      ->type_name("HOST:PORT");
  import_sink
      ->add_option("--topic", import_options.topic,
                   "this one of the connector's topics, where each has a table of its own")
      ->type_name("NAME");
  import_sink->add_flag("--force", import_options.force, "overwrite the output");
  import_sink->footer(kImportFooter);

  ServeOptions serve_options;
  auto* serve = app.add_subcommand("serve", "serve the API, and run the tasks that it keeps");
  auto* config = app.add_subcommand("config", "look at the configuration of serve");
  config->require_subcommand(1);
  auto* config_show = config->add_subcommand(
      "show", "print every setting that is in force, and where it came from; secrets are masked");
  for (auto* command : {serve, config_show}) {
    command
        ->add_option("-c,--config", serve_options.config,
                     "a YAML file of settings (docs/reference/configuration.md)")
        ->type_name("FILE");
    command->add_option("--set", serve_options.sets, "one setting, before file and environment")
        ->type_name("KEY=VALUE");
    command->add_option("--listen", serve_options.listen, "the setting listen")
        ->type_name("HOST:PORT");
    command
        ->add_option("--database", serve_options.database,
                     "the setting database.url; others see it in the list of processes: a password "
                     "belongs into SLUICE_DATABASE_URL or the file")
        ->type_name("URI");
  }
  serve->add_flag("--init", serve_options.init,
                  "make the account admin, or give it a new password; print that once, and end");
  serve->footer(kServeFooter);

  Remote remote;
  add_login_commands(app, remote);
  add_connection_commands(app, remote);
  add_task_commands(app, remote);
  add_event_commands(app, remote);
  add_account_commands(app, remote);

  std::string shell;
  auto* completion =
      app.add_subcommand("completion", "print what completes sluice's command line in a shell");
  completion->add_option("SHELL", shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->footer(kCompletionFooter);

  auto* version =
      app.add_subcommand("version", "print the versions of sluice and its Kafka client");
  app.set_version_flag("--version", std::string("sluice ") + SLUICE_VERSION);

  app.footer(kFooter);  // last: a command begins with the footer that is there when it is made

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kDocumentWrong;
  }
  if (run->parsed()) return run_command(options);
  if (check->parsed()) return check_command(options);
  if (preview->parsed()) return preview_command(options);
  if (rehearse->parsed()) return rehearse_command(options);
  if (verify->parsed()) {
    return against->count() > 0 ? against_command(options) : verify_command(options);
  }
  if (list->parsed()) return list_letters_command(options);
  if (show->parsed()) return show_letters_command(options);
  if (replay->parsed()) return replay_letters_command(options);
  if (purge->parsed()) return purge_letters_command(options);
  if (import_sink->parsed()) return import_command(import_options);
  if (serve->parsed()) return serve_command(serve_options);
  if (config_show->parsed()) return config_show_command(serve_options);
  if (remote.chosen) return remote.chosen();
  if (completion->parsed()) {
    print(completion_script(app, shell));
    return 0;
  }
  if (version->parsed()) return version_command();
  std::fputs(
      "error: a command is missing: run, check, preview, rehearse, verify, dead-letters, import, "
      "serve, config, login, logout, connection, task, event, audit, account, token, completion or "
      "version\n  -> sluice --help says what is possible\n",
      stderr);
  return kDocumentWrong;
}

}  // namespace sluice::cli
