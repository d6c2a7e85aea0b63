#include "cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

namespace sluice::cli {
namespace {

struct Word {
  std::string text;
  std::string what;
  bool takes_value = false;
};

struct Command {
  std::string path;  // "dead-letters list"; empty for sluice itself
  std::vector<Word> commands;
  std::vector<Word> options;
  std::vector<std::string> choices;  // of an argument that is one of some words
  bool takes_file = false;
};

// What an option checks against, where that is a set of words: "{a,b}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  std::string text = option.get_type_name();
  const std::size_t open = text.find('{');
  const std::size_t close = text.find('}');
  if (open == std::string::npos || close == std::string::npos) return {};
  return CLI::detail::split(text.substr(open + 1, close - open - 1), ',');
}

void collect(const CLI::App& app, const std::string& path, std::vector<Command>& all) {
  Command command;
  command.path = path;
  for (const CLI::Option* option : app.get_options()) {
    if (option->nonpositional()) {
      for (const auto& name : option->get_lnames()) {
        command.options.push_back(
            {"--" + name, option->get_description(), option->get_items_expected_max() > 0});
      }
    } else if (auto choices = choices_of(*option); !choices.empty()) {
      command.choices = std::move(choices);
    } else if (option->get_name(true) == "FILE") {
      command.takes_file = true;
    }
  }
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* each : subcommands) {
    command.commands.push_back({each->get_name(), each->get_description()});
  }
  all.push_back(std::move(command));
  for (const CLI::App* each : subcommands) {
    collect(*each, path.empty() ? each->get_name() : path + " " + each->get_name(), all);
  }
}

std::string words_of(const std::vector<Word>& words) {
  std::vector<std::string> texts;
  for (const auto& word : words) texts.push_back(word.text);
  return fmt::format("{}", fmt::join(texts, " "));
}

std::string words_of(const Command& command) {
  std::string words = words_of(command.commands);
  if (!command.choices.empty()) words += fmt::format("{}", fmt::join(command.choices, " "));
  return words;
}

std::string file_flag(const Command& command) { return command.takes_file ? "yes" : ""; }

// Single quotes of a POSIX shell; fish reads the backslash form, too.
std::string quoted(std::string text) {
  for (std::size_t at = text.find('\''); at != std::string::npos; at = text.find('\'', at + 4)) {
    text.replace(at, 1, "'\\''");
  }
  return "'" + text + "'";
}

std::string tables(const std::vector<Command>& all) {
  std::string commands = "_sluice_commands() {\n  case $1 in\n";
  std::string known = "_sluice_known() {\n  case $1 in\n";
  for (const auto& command : all) {
    commands += fmt::format("    {}) echo {} ;;\n", quoted(command.path),
                            quoted(words_of(command.commands)));
    std::vector<Word> values;
    for (const auto& option : command.options) {
      if (option.takes_value) values.push_back(option);
    }
    known +=
        fmt::format("    {}) offered={} options={} values={} file={} ;;\n", quoted(command.path),
                    quoted(words_of(command)), quoted(words_of(command.options)),
                    quoted(words_of(values)), quoted(file_flag(command)));
  }
  return commands + "  esac\n}\n" + known + "  esac\n}\n";
}

// Both walk over the words in front of the cursor to find the command, then offer what is possible
// there. Each in its own shell's words: zsh has other indexes, and names that must not be used.
std::string bash(const std::vector<Command>& all) {
  return "# bash: source <(sluice completion bash), or the output as\n"
         "# ~/.local/share/bash-completion/completions/sluice\n" +
         tables(all) + R"(_sluice() {
  local at= offered= options= values= file= i word
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    [ -n "$word" ] || continue
    case " $(_sluice_commands "$at") " in
      *" $word "*) at=${at:+$at }$word ;;
    esac
  done
  _sluice_known "$at"
  word=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  case " $values " in
    *" ${COMP_WORDS[COMP_CWORD - 1]} "*)
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
  esac
  case $word in
    -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
    *)
      mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$word")
      [ -z "$file" ] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
      ;;
  esac
}
complete -o filenames -F _sluice sluice
)";
}

std::string zsh(const std::vector<Command>& all) {
  return "#compdef sluice\n"
         "# zsh: source <(sluice completion zsh) behind compinit, or the output as _sluice in a\n"
         "# folder of $fpath\n" +
         tables(all) + R"(_sluice() {
  local at= offered= options= values= file= i word
  for ((i = 2; i < CURRENT; i++)); do
    word=${words[i]}
    [ -n "$word" ] || continue
    case " $(_sluice_commands "$at") " in
      *" $word "*) at="${at:+$at }$word" ;;
    esac
  done
  _sluice_known "$at"
  if [[ " $values " == *" ${words[CURRENT-1]} "* ]]; then
    _files
    return
  fi
  if [[ ${words[CURRENT]} == -* ]]; then
    compadd -- ${=options}
    return
  fi
  compadd -- ${=offered}
  [[ -z $file ]] || _files
}
if [[ $funcstack[1] == _sluice ]]; then _sluice "$@"; else compdef _sluice sluice; fi
)";
}

std::string fish(const std::vector<Command>& all) {
  std::string out =
      "# fish: the output as ~/.config/fish/completions/sluice.fish\n"
      "complete -c sluice -f\n";
  for (const auto& command : all) {
    std::string when;
    std::string_view rest = command.path;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      when += fmt::format("{}__fish_seen_subcommand_from {}", when.empty() ? "" : "; and ",
                          rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    const std::string here = when.empty() ? "__fish_use_subcommand" : when;
    std::string names = words_of(command.commands);
    const std::string not_yet =
        when.empty() || names.empty()
            ? here
            : fmt::format("{}; and not __fish_seen_subcommand_from {}", when, names);
    for (const auto& each : command.commands) {
      out += fmt::format("complete -c sluice -n {} -a {} -d {}\n", quoted(not_yet), each.text,
                         quoted(each.what));
    }
    for (const auto& choice : command.choices) {
      out += fmt::format("complete -c sluice -n {} -a {}\n", quoted(here), choice);
    }
    if (command.takes_file) out += fmt::format("complete -c sluice -n {} -F\n", quoted(here));
    for (const auto& option : command.options) {
      out +=
          fmt::format("complete -c sluice -n {} -l {}{} -d {}\n", quoted(here),
                      option.text.substr(2), option.takes_value ? " -r" : "", quoted(option.what));
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, std::string_view shell) {
  std::vector<Command> all;
  collect(app, "", all);
  if (shell == "zsh") return zsh(all);
  return shell == "fish" ? fish(all) : bash(all);
}

}  // namespace sluice::cli
