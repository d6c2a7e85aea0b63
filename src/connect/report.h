// What became of each property of a connector's file. Texts never hold the value of a secret.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::connect {

enum class Fate : std::uint8_t {
  kTaken,         // stands in the task document now
  kNotNeeded,     // nothing is lost without it
  kNotSupported,  // what it does is not done; the text says why, and what to do instead
  kUnknown,       // no property of this sink, of its converters or of Kafka Connect
  kToFillIn,      // the file does not say what a task must know
};
std::string_view name_of(Fate fate);

struct Line {
  Fate fate = Fate::kUnknown;
  std::string property;
  std::string text;
};

class Report {
 public:
  void taken(std::string property, std::string text) {
    add(Fate::kTaken, std::move(property), std::move(text));
  }
  void not_needed(std::string property, std::string text) {
    add(Fate::kNotNeeded, std::move(property), std::move(text));
  }
  void not_supported(std::string property, std::string text) {
    add(Fate::kNotSupported, std::move(property), std::move(text));
  }
  void to_fill_in(std::string what, std::string text) {
    add(Fate::kToFillIn, std::move(what), std::move(text));
  }
  void add(Fate fate, std::string property, std::string text) {
    lines_.push_back({fate, std::move(property), std::move(text)});
  }
  bool has(std::string_view property) const {
    for (const Line& line : lines_) {
      if (line.property == property) return true;
    }
    return false;
  }
  std::vector<Line>& lines() { return lines_; }

 private:
  std::vector<Line> lines_;
};

}  // namespace sluice::connect
