// Parser: from a document's nodes to a Task; what is wrong is gathered, not only the first.
// Internal to parse*.cc.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "task/identifiers.h"
#include "task/names.h"
#include "task/parse.h"
#include "task/validate.h"
#include "task/values.h"

namespace sluice::task {

class Parser {
 public:
  explicit Parser(const Node& document) : valid_(document) {}

  tl::expected<Task, Errors> run() {
    read_head();
    read_source();
    read_target();
    read_sync();
    read_tuning();
    Errors errors = valid_.take_errors();
    if (!errors.empty()) return tl::unexpected(std::move(errors));
    return std::move(task_);
  }

 private:
  template <class E, std::size_t N>
  void read_choice(std::string_view path, const Name<E> (&names)[N], E& into) {
    const Node* node = valid_.at(path);
    if (node == nullptr) return;
    const std::string_view text = node->is_null() ? std::string_view("null") : node->text;
    for (const auto& [name, value] : names) {
      if (name == text) into = value;
    }
  }
  // The text at a path where `good` holds for it; else there is an error about it.
  template <class Good>
  bool read_text(std::string_view path, std::string& into, Good good) {
    const Node* node = valid_.at(path);
    if (node == nullptr) return false;
    if (!good(std::string_view(node->text))) {
      valid_.refuse(path, *node);
      return false;
    }
    into = node->text;
    return true;
  }
  void read_integer(std::string_view path, std::int64_t& into) {
    if (const Node* node = valid_.at(path)) into = *parse_integer(node->text);
  }
  std::vector<std::string> texts(std::string_view path) {
    std::vector<std::string> found;
    if (const Node* node = valid_.at(path)) {
      for (const Node& item : node->items) found.push_back(item.text);
    }
    return found;
  }
  void refuse_duplicates(std::string_view path, const std::vector<std::string>& values);

  void read_head();
  void read_source();
  void read_topics();
  void read_start();
  void read_start_offsets(const Node& node);
  bool read_partitions(const Node& node, std::string_view path, const std::string& topic,
                       StartOffsets& start);
  void read_target();
  void read_sync();
  void read_mirror();
  void read_tables();
  void read_extra_fields();
  template <class E, std::size_t N>
  void read_choices_by_column(std::string_view path, const Name<E> (&names)[N],
                              std::map<std::string, E>& choices);
  template <class E, std::size_t N>
  std::optional<std::string> read_choice_or_column(std::string_view path, std::string_view word,
                                                   const Name<E> (&names)[N], E& choice);
  void read_columns();
  Column read_column(const Node& item, const std::string& path);
  void check_column(const Column& column, const Node& item, const std::string& path);
  void check_columns_together();
  void check_write();
  void check_only_if_newer();
  void check_position();
  void check_sweep();
  void read_tuning();

  // Existing rows are found by their key and changed.
  bool changes_rows() const {
    return task_.sync.write == Write::kUpsert || task_.sync.write == Write::kUpdate;
  }

  Validator valid_;
  Task task_;
};

}  // namespace sluice::task
