#include "message/change.h"

#include <gtest/gtest.h>

#include <map>

namespace sluice::message {
namespace {

class Given : public Headers {
 public:
  std::span<const Header> headers() override { return list; }
  std::vector<Header> list;
};

// A decoder of a table (id, name, big), and the messages that it gets.
class Changes {
 public:
  explicit Changes(std::size_t key_columns = 1, Format format = Format::kAuto)
      : decoder_({.format = format,
                  .columns = {"id", "name", "big"},
                  .key_columns = key_columns,
                  .same_key = true,
                  .ignored = {}}) {}

  ChangeDecoder::Outcome take(std::string_view key, std::string_view value) {
    Message message;
    message.topic = "t";
    message.key = key;
    message.key_null = key.empty();
    message.value = value;
    message.value_null = value == "(null)";
    return decoder_.decode(message, headers, change, problem);
  }
  static std::string show(const Change::Row& row) {
    std::string text;
    for (const Value& value : row.values) {
      text += text.empty() ? "" : " ";
      text += value.kind == Kind::kAbsent ? "-"
              : value.kind == Kind::kNull ? "null"
                                          : std::string(value.text());
    }
    return text;
  }
  ChangeDecoder& decoder() { return decoder_; }

  Given headers;
  Change change;
  Problem problem;

 private:
  ChangeDecoder decoder_;
};

using Outcome = ChangeDecoder::Outcome;
constexpr std::string_view kSchema =
    R"({"schema":{"type":"struct","optional":false,"name":"t.Envelope","fields":[)"
    R"({"type":"struct","optional":true,"field":"before","fields":[{"type":"int32","field":"id"}]},)"
    R"({"type":"struct","optional":true,"field":"after","fields":[{"type":"int32","field":"id"},)"
    R"({"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},)"
    R"("field":"name"}]},{"type":"string","field":"op"}]},"payload":)";

TEST(Change, TakesEnvelopes) {
  Changes changes;
  ASSERT_EQ(changes.take(R"({"id":1})",
                         R"({"before":null,"after":{"id":1,"name":"a"},"source":{},"op":"c"})"),
            Outcome::kChange);
  EXPECT_EQ(changes.change.kind, Change::Kind::kWrite);
  EXPECT_EQ(Changes::show(changes.change.row), "1 a -");
  EXPECT_FALSE(changes.change.partial);
  ASSERT_EQ(changes.take(R"({"id":1})", R"({"before":{"id":1},"after":null,"source":{},"op":"d"})"),
            Outcome::kChange);
  EXPECT_EQ(changes.change.kind, Change::Kind::kDelete);
  EXPECT_EQ(Changes::show(changes.change.key), "1");
  ASSERT_EQ(changes.take("", R"({"before":null,"after":null,"source":{},"op":"t"})"),
            Outcome::kChange);
  EXPECT_EQ(changes.change.kind, Change::Kind::kTruncate);
}

TEST(Change, KnowsASchemaByItsBytes) {
  Changes changes;
  for (int i = 0; i < 3; ++i) {
    const std::string value =
        std::string(kSchema) + R"({"before":null,"after":{"id":7,"name":"AMg="},"op":"u"}})";
    if (i == 0) {
      ASSERT_EQ(changes.take("", value), Outcome::kNewSchema) << changes.problem.detail;
      ASSERT_EQ(changes.take("", value), Outcome::kNewSchema) << "until it is accepted";
      EXPECT_EQ(changes.decoder().asked().names, (std::vector<std::string>{"id", "name"}));
      changes.decoder().accept_schema();
    }
    ASSERT_EQ(changes.take("", value), Outcome::kChange) << changes.problem.detail;
    EXPECT_EQ(Changes::show(changes.change.row), "7 AMg= -");
    ASSERT_NE(changes.change.row.types[1], nullptr);
    EXPECT_EQ(changes.change.row.types[1]->meaning, Meaning::kDecimal);
    EXPECT_EQ(changes.change.row.types[1]->scale, 2);
    EXPECT_TRUE(changes.change.partial);
  }
  EXPECT_EQ(changes.take("", R"({"schema":{"type":"row"},"payload":{"id":1}})"), Outcome::kProblem);
  EXPECT_EQ(changes.problem.code, ProblemCode::kBadSchema);
}

TEST(Change, TakesFlatRowsAndAllTheirDeletes) {
  Changes changes;
  ASSERT_EQ(changes.take("", R"({"id":1,"name":null,"__op":"c","__lsn":5})"), Outcome::kChange);
  EXPECT_EQ(Changes::show(changes.change.row), "1 null -");
  for (const std::string_view value :
       {R"({"id":1,"__deleted":"true"})", R"({"id":1,"__deleted":true})", R"({"id":1,"__op":"d"})",
        "(null)", "null", " null"}) {
    if (value[0] == ' ') continue;
    ASSERT_EQ(changes.take(R"({"id":1})", value), Outcome::kChange) << value;
    EXPECT_EQ(changes.change.kind, Change::Kind::kDelete) << value;
    EXPECT_EQ(Changes::show(changes.change.key), "1") << value;
  }
  ASSERT_EQ(changes.take(R"({"id":1})", R"({"schema":{"type":"string"},"payload":null})"),
            Outcome::kChange);
  EXPECT_EQ(changes.change.kind, Change::Kind::kDelete);
  EXPECT_EQ(changes.take("", "(null)"), Outcome::kProblem);
}

TEST(Change, MovesARowToItsNewKey) {
  Changes changes;
  changes.headers.list = {{"__debezium.newkey", R"({"id":"b\n2"})", false}};
  for (const std::string_view value :
       {R"({"before":{"id":"a\n1"},"after":null,"source":{},"op":"d"})", "(null)"}) {
    ASSERT_EQ(changes.take(R"({"id":"a\n1"})", value), Outcome::kChange);
    EXPECT_EQ(changes.change.kind, Change::Kind::kMove);
    EXPECT_EQ(Changes::show(changes.change.key), "a\n1");
    EXPECT_EQ(Changes::show(changes.change.row), "b\n2");
  }
  changes.headers.list = {{"__debezium.oldkey", R"({"id":1})", false}};
  ASSERT_EQ(changes.take(R"({"id":2})", R"({"before":null,"after":{"id":2},"source":{},"op":"c"})"),
            Outcome::kChange);
  EXPECT_TRUE(changes.change.partial);
}

TEST(Change, FindsColumnsInOtherCase) {
  Changes changes;
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(changes.take(R"({"ID":1})",
                           R"({"before":null,"after":{"ID":1,"Name":"x"},"source":{},"op":"c"})"),
              Outcome::kChange);
    EXPECT_EQ(Changes::show(changes.change.row), "1 x -");
  }
  // Which of two spellings is meant, nobody says.
  EXPECT_EQ(changes.take("", R"({"id":1,"BIG":1,"Big":2})"), Outcome::kNewFields);
}

TEST(Change, SaysWhichFieldsAreNew) {
  Changes changes;
  ASSERT_EQ(changes.take("", R"({"before":null,"after":{"id":1,"more":1},"source":{},"op":"c"})"),
            Outcome::kNewFields);
  EXPECT_EQ(changes.decoder().asked().names, std::vector<std::string>{"more"});
  EXPECT_EQ(changes.take("", R"({"status":"BEGIN","event_count":1,"data_collections":[]})"),
            Outcome::kChange);
  EXPECT_EQ(changes.change.kind, Change::Kind::kNothing);
}

TEST(Change, AsksForTheKeyOfATableThatIsToBeMade) {
  ChangeDecoder decoder(
      {.format = Format::kAuto, .columns = {}, .key_columns = 0, .same_key = true, .ignored = {}});
  Given headers;
  Change change;
  Problem problem;
  Message message;
  message.topic = "t";
  message.key = R"({"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}]},)"
                R"("payload":{"id":7}})";
  message.key_null = message.value_null = false;
  const std::string value =
      std::string(kSchema) + R"({"before":null,"after":{"id":7,"name":"AMg="},"op":"u"}})";
  message.value = value;
  ASSERT_EQ(decoder.decode(message, headers, change, problem), Outcome::kNewSchema);
  EXPECT_EQ(decoder.asked().names.size(), 2U);
  ASSERT_EQ(decoder.key_fields().size(), 1U);
  EXPECT_EQ(decoder.key_fields()[0], "id");
  // Without schema what is null asks for nothing, and what is not is guessed from its value.
  message.value = R"({"id":1,"at":1.5,"none":null,"parts":[1]})";
  ASSERT_EQ(decoder.decode(message, headers, change, problem), Outcome::kNewFields);
  EXPECT_EQ(decoder.asked().names, (std::vector<std::string>{"id", "at", "parts"}));
  EXPECT_EQ(decoder.asked().parts[0].bits, 64);
  // There is no row yet that could go.
  message.value_null = true;
  ASSERT_EQ(decoder.decode(message, headers, change, problem), Outcome::kChange);
  EXPECT_EQ(change.kind, Change::Kind::kNothing);
}

TEST(Change, ComparesKeys) {
  Changes changes;
  ASSERT_EQ(changes.take(R"({"id":1,"k2":1})",
                         R"({"before":null,"after":{"id":1},"source":{},"op":"c"})"),
            Outcome::kOtherKey);
  ASSERT_EQ(changes.decoder().key_fields().size(), 2U);
  EXPECT_EQ(changes.decoder().key_fields()[1], "k2");
}

TEST(Change, NeedsAnIdentityWithoutKey) {
  Changes changes(0);
  ASSERT_EQ(
      changes.take(
          "", R"({"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"source":{},"op":"u"})"),
      Outcome::kChange);
  EXPECT_EQ(Changes::show(changes.change.before), "1 a -");
  ASSERT_EQ(changes.take("", R"({"before":null,"after":{"id":1},"source":{},"op":"u"})"),
            Outcome::kProblem);
  EXPECT_EQ(changes.problem.code, ProblemCode::kNoIdentity);
  ASSERT_EQ(changes.take("", "(null)"), Outcome::kChange);
  EXPECT_EQ(changes.change.kind, Change::Kind::kNothing);
}

TEST(Change, RefusesWhatIsNoChange) {
  const std::map<std::string_view, ProblemCode> kBad = {
      {"", ProblemCode::kEmptyValue},
      {"[]", ProblemCode::kNotAnObject},
      {"{", ProblemCode::kNotJson},
      {R"({"before":null,"after":null,"source":{},"op":"c"})", ProblemCode::kBadEnvelope},
      {R"({"before":null,"after":{"id":1},"source":{},"op":"x"})", ProblemCode::kBadEnvelope},
      {R"({"before":null,"after":null,"source":{},"op":"d"})", ProblemCode::kNoIdentity},
  };
  for (const auto& [value, code] : kBad) {
    Changes changes;
    EXPECT_EQ(changes.take("", value), Outcome::kProblem) << value;
    EXPECT_EQ(changes.problem.code, code) << value;
  }
}

}  // namespace
}  // namespace sluice::message
