// Pages of lists: keyset cursors that stay right while rows come and go.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/problem.h"

namespace sluice::control {

inline constexpr int kDefaultPage = 20;
inline constexpr int kMaxPage = 100;

struct Page {
  int limit = kDefaultPage;
  std::string sort;  // the name of a column, as the list documents them; checked by the list
  bool descending = false;
  // Where the page before ended: the value of `sort` there, as text, and the id.
  struct After {
    std::string value, id;
  };
  std::optional<After> after = {};
  std::string search;  // empty: all
};

// Opaque text for clients. A cursor of another sort is refused: bad_cursor.
std::string cursor_of(const Page& page, const std::string& value, const std::string& id);
Answer<Page::After> read_cursor(const Page& page, std::string_view cursor);

}  // namespace sluice::control
