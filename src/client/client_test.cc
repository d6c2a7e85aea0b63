#include "client/client.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace sluice::client {
namespace {

std::string read(std::string_view text) {
  const auto url = read_url(text);
  return url ? *url : "error: " + url.error().message;
}

TEST(Url, HasOneForm) {
  EXPECT_EQ(read("http://127.0.0.1:8080/"), "http://127.0.0.1:8080");
  EXPECT_EQ(read("https://Sluice.Internal"), "https://sluice.internal");
  EXPECT_EQ(read("https://host/behind/a/proxy//"), "https://host/behind/a/proxy");
  EXPECT_EQ(read("http://[::1]:8080"), "http://[::1]:8080");
}

TEST(Url, RefusesWhatIsNoBase) {
  EXPECT_NE(read("127.0.0.1:8080").find("does not begin with"), std::string::npos);
  EXPECT_NE(read("file:///etc/passwd").find("does not begin with"), std::string::npos);
  EXPECT_NE(read("http://").find("cannot be read"), std::string::npos);
  EXPECT_NE(read("http://u:secret@host").find("user or password"), std::string::npos);
  EXPECT_EQ(read("http://u:secret@host").find("secret"), std::string::npos);
  EXPECT_NE(read("http://host/?a=b").find("query"), std::string::npos);
}

TEST(Url, KnowsWhatOthersCanRead) {
  EXPECT_FALSE(is_open_to_others("http://127.0.0.1:8080"));
  EXPECT_FALSE(is_open_to_others("http://localhost"));
  EXPECT_FALSE(is_open_to_others("http://[::1]:1"));
  EXPECT_FALSE(is_open_to_others("https://far.away"));
  EXPECT_TRUE(is_open_to_others("http://far.away"));
  EXPECT_TRUE(is_open_to_others("http://localhost.far.away"));
  EXPECT_TRUE(is_open_to_others("http://127.0.0.1.far.away"));
}

TEST(Url, EncodesParts) {
  EXPECT_EQ(encoded("task-1_a.b~"), "task-1_a.b~");
  EXPECT_EQ(encoded("a/b c?\xC3\xA4"), "a%2Fb%20c%3F%C3%A4");
}

std::vector<std::string> events(std::string_view stream, std::size_t piece) {
  EventLines lines;
  std::vector<std::string> seen;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    const bool more = lines.feed(stream.substr(at, piece), [&](const ServerEvent& event) {
      seen.push_back(event.name + '|' + event.data + '|' + event.id);
      return event.data != "stop";
    });
    if (!more) break;
  }
  return seen;
}

TEST(EventLines, AreReadHoweverTheyAreCut) {
  constexpr std::string_view kStream =
      ": hello\n\nid: 7\nevent: step\ndata: {\"a\":1}\n\r\ndata: two\r\ndata:lines\r\n\r\n"
      "event: lost\n\ndata: stop\n\ndata: never\n\n";
  const std::vector<std::string> expected{"step|{\"a\":1}|7", "|two\nlines|7", "|stop|7"};
  for (std::size_t piece = 1; piece <= kStream.size(); ++piece) {
    EXPECT_EQ(events(kStream, piece), expected) << "pieces of " << piece;
  }
}

TEST(EventLines, RefuseWhatDoesNotEnd) {
  EventLines lines;
  const std::string piece(1024 * 1024, 'x');
  bool more = true;
  int pieces = 0;
  while (more && pieces < 100) {
    more = lines.feed(piece, [](const ServerEvent&) { return true; });
    ++pieces;
  }
  EXPECT_FALSE(more);
  EXPECT_EQ(pieces, 9);
}

}  // namespace
}  // namespace sluice::client
