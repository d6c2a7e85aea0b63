#include "curated.h"

#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

#include "compare.h"

namespace sluice::values {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells;
  std::size_t from = 0;
  for (std::size_t tab = line.find('\t'); tab != std::string::npos; tab = line.find('\t', from)) {
    cells.push_back(line.substr(from, tab - from));
    from = tab + 1;
  }
  cells.push_back(line.substr(from));
  return cells;
}

// \t, \n, \r and \\ in an expected text.
std::string unescaped(const std::string& cell) {
  std::string text;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    const auto at = cell[i] == '\\' && i + 1 < cell.size() ? std::string("tnr\\").find(cell[i + 1])
                                                           : std::string::npos;
    if (at == std::string::npos) {
      text += cell[i];
    } else {
      text += "\t\n\r\\"[at];
      ++i;
    }
  }
  return text;
}

std::string shown(const Bench::Stored& stored) {
  if (!stored.refused.empty()) return stored.refused;
  return stored.text ? "'" + *stored.text + "'" : "\\N";
}

// One path of one case; "" if it is as expected.
std::string check(Bench& bench, const message::Value& value, bool binary,
                  const std::vector<std::string>& cells) {
  const Bench::Stored stored = bench.store(value, binary);
  const std::string path = binary ? "binary: " : "text: ";
  const bool short_cut = cells.size() > 3 && cells[3] == "binary";
  if (stored.taken == sink::Encoded::kNeedsText) {
    return short_cut ? path + "needs text, although the case says binary" : "";
  }
  const std::string& expected = cells[2];
  const bool equal = expected == "\\N"           ? stored.refused.empty() && !stored.text
                     : expected.starts_with("!") ? stored.refused == expected
                                                 : stored.text == unescaped(expected);
  return equal ? "" : path + shown(stored) + " where " + expected + " is expected";
}

}  // namespace

void Report::add(const std::string& name, const std::vector<std::string>& failures) {
  if (failures.empty()) {
    ++passed_;
    std::printf("ok %s\n", name.c_str());
    return;
  }
  ++failed_;
  for (const std::string& failure : failures) {
    std::printf("FAIL %s: %s\n", name.c_str(), failure.c_str());
  }
}

void run_curated(Server& server, const std::string& path, Report& report) {
  std::ifstream file(path);
  if (!file) report.add("curated", {"cannot read " + path});
  std::unique_ptr<Bench> bench;
  std::string of;  // the subject that `bench` is for
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    const std::vector<std::string> cells = split(line);
    const std::string name = "values.tsv:" + std::to_string(number) + " " + cells[0] + " " +
                             (cells.size() > 1 ? cells[1].substr(0, 60) : "");
    if (!report.wants(name)) continue;
    Subject subject;
    if (cells.size() < 3 || cells.size() > 4 || !parse_subject(cells[0], subject)) {
      report.add(name, {"not: type, tab, JSON, tab, expected[, tab, binary]"});
      continue;
    }
    if (of != cells[0]) {
      bench.reset();  // before the next one makes its tables
      bench = std::make_unique<Bench>(server, subject);
      of = cells[0];
    }
    const Decoded decoded(cells[1]);
    std::vector<std::string> failures;
    if (!decoded.good()) failures.push_back("the JSON cannot be read");
    for (const bool binary : {false, true}) {
      std::string failure = decoded.good() ? check(*bench, decoded.value(), binary, cells) : "";
      if (!failure.empty()) failures.push_back(std::move(failure));
    }
    report.add(name, failures);
  }
}

}  // namespace sluice::values
