// docs/reference/task.md, made from the table of keys.
#include <fmt/format.h>

#include "task/schema.h"

namespace sluice::task {

namespace {

constexpr std::string_view kIntroduction = R"(# The task document

<!-- Made from the table in src/task/schema.cc. Change it there, then run
     SLUICE_REGENERATE=1 task_test (the program is in src/ of the build folder). -->

One document describes a task: the YAML file of `sluice run FILE` and `sluice check FILE`. Complete ones are in
[examples/](examples). A key that is not listed here is an error; errors name the file, the line, the path of the key,
what was found and what is allowed, and all of them are reported at once. `[]` stands for every entry of a list.

)";

constexpr std::string_view kForms = R"(## Forms of values

- **YAML** is read by the 1.2 core schema: `null`, `true`, `false` and numbers are what they look like, everything else is
  a text, and what is quoted is always a text (`on_null: null` and `on_null: "null"` mean the same). Tags, several
  documents in one file and a key given twice are refused; anchors and aliases are followed within limits. A file may have
  1 MB. Numbers keep the digits they are written with, those beyond 64 bits too.
- **Durations** are a number and a unit, `500ms`, `10s`, `5m`, `2h`, `1d`, or a plain number of seconds.
- **Sizes** are a number and a unit, `512 kB`, `16 MB`, `1 GB`, or a plain number of bytes. 1 kB is 1024 bytes, as in
  PostgreSQL's own settings.
- **null** says the same as leaving a key out where the default is null or `{}`; elsewhere it is an error.

## Placeholders

`${env:NAME}` stands for an environment variable and `${file:/path}` for the contents of a file, in any text value (not in
names of keys). `$${` writes `${` itself. What stands in for them is never read as YAML, never shown, and read again at
every new connection to PostgreSQL, so that a changed password needs no restart.

- A variable that is not set is an error; one that is set and empty is an empty text.
- A file must be a regular file with an absolute path and at most 64 kB of UTF-8. Others may have no right to read it, and its
  group only if root owns it (`chmod 600`). One newline at its end is left out.
- In `target.postgres` write the secret as it is, without quoting or percent-encoding. Where a placeholder is the password of a
  URI (`postgresql://app:${env:PW}@host/db`), a whole value behind `=` in its query, or a whole value of a keyword
  (`password=${env:PW}`), it is encoded as that place needs. Anywhere else it is put in unchanged, so that
  `postgres: ${env:DATABASE_URL}` works.
- Keys that take a number take it from a placeholder, too.

## What counts as a change of the task

The ledger keeps a SHA-256 over the document in canonical form: names sorted, what has its default value left out. While
processes of a task are running, one with another hash is refused. Not in the hash is what does not change which rows are written:
`description`, `tuning`, `retry_for`, `target.postgres`, `target.pooler`, and `source.kafka` but for `isolation.level`. So
passwords, host names, TLS settings and speed may change freely; where the connections really lead is compared by itself: the
cluster's id, the server, the database and the oid of the table.

## What is shown of secrets

The canonical form has `***` for passwords in `target.postgres` and for the values of properties in `source.kafka` whose
name says that they are secret (password, secret, private keys and the like). Errors never show a value of
`target.postgres` or `source.kafka`, nor what a placeholder stood for.
)";

std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string type_cell(const Key& key) {
  if (key.type == Type::kChoice) {
    return fmt::format("`{}`", fmt::join(split_choices(key.allowed), "`, `"));
  }
  if (key.type == Type::kSection) return "a map";
  return cell(allowed_text(key));
}

std::string default_cell(const Key& key) {
  if (key.required) return "required";
  if (key.default_text.empty()) return "none";
  return fmt::format("`{}`", key.default_text);
}

std::string available() {
  std::string out = "| key | takes | default | what it does | since |\n|---|---|---|---|---|\n";
  for (const Key& key : keys()) {
    if (key.type == Type::kLater || key.type == Type::kServer || key.path.ends_with(".*")) continue;
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", key.path, type_cell(key),
                       default_cell(key), cell(key.what), key.since);
  }
  return out;
}

std::string server() {
  std::string out =
      "\n## On a server\n\nA task of `sluice serve` names its connections instead of "
      "`source.kafka` and `target.postgres`, and nothing in its document is expanded: `${...}` is "
      "text there.\n\n| key | what it does | since |\n|---|---|---|\n";
  for (const Key& key : keys()) {
    if (key.type != Type::kServer) continue;
    out += fmt::format("| `{}` | {} | {} |\n", key.path, cell(key.what), key.since);
  }
  return out;
}

std::string later() {
  std::string out =
      "\n## Not in this version\n\nThese keys and values have their place in the document already. "
      "This version refuses "
      "them with a message that says so;\na key may be written with the value that is given here, "
      "which means what "
      "leaving it out means.\n\n| key | taken | what it will be |\n|---|---|---|\n";
  for (const Key& key : keys()) {
    if (key.type == Type::kLater) {
      out += fmt::format(
          "| `{}` | {} | {} |\n", key.path,
          key.default_text.empty() ? std::string("nothing") : fmt::format("`{}`", key.default_text),
          cell(key.what));
    } else if (!key.later.empty()) {
      out +=
          fmt::format("| `{}` | | `{}` |\n", key.path, fmt::join(split_choices(key.later), "`, `"));
    }
  }
  return out + "\n";
}

}  // namespace

std::string reference_markdown() {
  return std::string(kIntroduction) + available() + server() + later() + std::string(kForms);
}

}  // namespace sluice::task
