// Comparison of the two COPY paths with what PostgreSQL itself makes of a value.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server.h"
#include "sink/encoder.h"

namespace sluice::values {

// A column and the options of its encoder, as values.tsv writes them: "timestamptz; unit=ms;
// zone=...".
struct Subject {
  std::string name;  // as it was written: the name of the test
  std::string type;  // SQL
  sink::EncoderOptions options;
};
// False if an option is unknown.
bool parse_subject(const std::string& text, Subject& subject);

// How the server is told what a value should become.
enum class Oracle {
  kInput,     // `reference` is given to the type's input function (nothing: SQL null)
  kPopulate,  // json_populate_record makes it of the JSON itself
};

struct Sample {
  std::string json;
  Oracle oracle = Oracle::kInput;
  std::optional<std::string> reference;
};

// What came of one subject.
struct Outcome {
  std::vector<std::string> failures;
  std::size_t binary = 0;  // values that the binary path took
};

// A value of JSON text, or of @bytes HEX, @micros N, @integer N. Holds what the Value points into,
// but for strings with escapes: those are good until the next Decoded is made.
class Decoded {
 public:
  explicit Decoded(const std::string& json);
  bool good() const { return good_; }
  const message::Value& value() const { return value_; }

 private:
  std::string text_;
  std::string bytes_;
  message::Value value_;
  bool good_ = false;
};

// One subject with its three tables (what PostgreSQL made, text COPY, binary COPY) and its encoder.
class Bench {
 public:
  Bench(Server& server, const Subject& subject);
  ~Bench();
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // Writes all samples in all three ways and compares: text, and bytes of the type's send function.
  Outcome compare(const std::vector<Sample>& samples);

  // One value by one path: its text as PostgreSQL shows it (nothing: null), or "!SQLSTATE" or
  // "!problem_name" in `refused`. `taken` is what the encoder answered.
  struct Stored {
    std::optional<std::string> text;
    std::string refused;
    sink::Encoded taken = sink::Encoded::kOk;
  };
  Stored store(const message::Value& value, bool binary);

 private:
  struct Row {
    std::string text;
    std::string binary;
    sink::Encoded text_taken = sink::Encoded::kOk;
    sink::Encoded binary_taken = sink::Encoded::kOk;
  };
  Row encode(std::size_t number, const message::Value& value);
  Answer copy(bool binary, const std::string& rows);
  std::vector<std::string> ask_oracle(const std::vector<Sample>& samples);
  void check_refused(const Sample& sample, const Row& row, const std::string& sqlstate,
                     Outcome& outcome);
  void check_equal(const std::vector<Sample>& samples, const std::string& table, Outcome& outcome);

  Server& server_;
  Subject subject_;
  std::optional<sink::ColumnEncoder> encoder_;
  sink::Scratch scratch_;
  message::Problem problem_;
  std::string send_;
};

}  // namespace sluice::values
