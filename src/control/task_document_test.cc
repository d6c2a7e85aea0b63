#include "control/task_document.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace sluice::control {
namespace {

boost::json::object document_with(const boost::json::value& default_value) {
  return {{"name", "orders"},
          {"source", {{"connection", "kafka"}, {"topics", boost::json::array{"orders"}}}},
          {"target", {{"connection", "warehouse"}, {"table", "public.t"}}},
          {"sync",
           {{"columns", boost::json::array{
                            {{"field", "id"}, {"column", "id"}, {"default", default_value}}}}}}};
}

std::string field_of(const Answer<TaskDocument>& answer) {
  return answer ? "" : answer.error().fields.at(0).path;
}

TEST(TaskDocument, TakesConnectionsByName) {
  const auto document = read_document(document_with(1));
  ASSERT_TRUE(document) << document.error().detail;
  EXPECT_EQ(document->source_connection, "kafka");
  EXPECT_EQ(document->target_text(), "warehouse: public.t");
}

TEST(TaskDocument, RefusesWhatCannotBeKept) {
  constexpr const char* kPath = "sync.columns[0].default";
  for (const char* bad : {R"("a\u0000b")", "1e400", "-1e400", "123456789012345678901", "[1e17]",
                          R"({"a": "\u0000"})", R"({"\u0000": 1})"}) {
    const auto answer = read_document(document_with(boost::json::parse(bad)));
    EXPECT_TRUE(field_of(answer).starts_with(kPath)) << bad << ": " << field_of(answer);
  }
  for (const char* good : {R"("a\tb")", "0.10", "9223372036854775807", "18446744073709551615",
                           "1e15", R"("123456789012345678901")"}) {
    const auto answer = read_document(document_with(boost::json::parse(good)));
    EXPECT_TRUE(answer) << good << ": " << answer.error().detail;
  }
}

}  // namespace
}  // namespace sluice::control
