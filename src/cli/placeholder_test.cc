#include "cli/placeholder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sluice::cli {
namespace {

class Placeholder : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    ::setenv("SLUICE_TEST_PW", "p@ 'w\\/:?&", 1);
    ::setenv("SLUICE_TEST_EMPTY", "", 1);
    ::unsetenv("SLUICE_TEST_UNSET");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& contents, mode_t mode) {
    const std::string path = (folder_ / "secret").string();
    std::ofstream(path, std::ios::binary) << contents;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  static std::string text(std::string_view written, Place place = Place::kText) {
    const auto value = expand(written, place);
    return value ? *value : "error: " + to_string(value.error());
  }
  static void expect_error(std::string_view written, std::string_view code,
                           std::initializer_list<std::string_view> parts) {
    const auto value = expand(written, Place::kText);
    ASSERT_FALSE(value) << written;
    EXPECT_EQ(value.error().code, code);
    for (const std::string_view part : parts) {
      const std::string shown = to_string(value.error());
      EXPECT_NE(shown.find(part), std::string::npos) << "no <" << part << "> in: " << shown;
    }
  }

  std::filesystem::path folder_;
};

TEST_F(Placeholder, ReadsTheEnvironment) {
  ::setenv("SLUICE_TEST_A", "${env:SLUICE_TEST_PW}", 1);
  EXPECT_EQ(text("a"), "a");
  EXPECT_EQ(text("<${env:SLUICE_TEST_PW}>"), "<p@ 'w\\/:?&>");
  EXPECT_EQ(text("${env:SLUICE_TEST_A}"), "${env:SLUICE_TEST_PW}");  // not looked at again
  EXPECT_EQ(text("${env:SLUICE_TEST_EMPTY}${env:SLUICE_TEST_EMPTY}x"), "x");
}

TEST_F(Placeholder, IsEscapedByAnotherDollar) {
  EXPECT_EQ(text("$${env:X}"), "${env:X}");
  EXPECT_EQ(text("a$${b}$$c$"), "a${b}$$c$");
  EXPECT_EQ(text("$.a"), "$.a");
  EXPECT_EQ(text("^a$"), "^a$");
  EXPECT_FALSE(has_placeholder("$.a^b$"));
  EXPECT_TRUE(has_placeholder("$${"));
}

TEST_F(Placeholder, NamesWhatIsWrong) {
  expect_error("${env:SLUICE_TEST_UNSET}", "placeholder", {"SLUICE_TEST_UNSET", "is not set"});
  expect_error("${env:}", "placeholder", {"is not set"});
  expect_error("${ENV:X}", "placeholder",
               {"\"${ENV:X}\"", "allowed: ${env:NAME}, ${file:/path}", "$${"});
  expect_error("a ${env:X", "placeholder", {"without its end"});
  expect_error("${file:relative}", "placeholder", {"relative", "an absolute path"});
}

TEST_F(Placeholder, ReadsFiles) {
  EXPECT_EQ(text("${file:" + file("s3\n", 0600) + "}"), "s3");
  EXPECT_EQ(text("${file:" + file("s3\r\n", 0400) + "}"), "s3");
  EXPECT_EQ(text("${file:" + file("a\nb\n\n", 0600) + "}"), "a\nb\n");
  EXPECT_EQ(text("${file:" + file("", 0600) + "}"), "");
}

TEST_F(Placeholder, RefusesFilesThatOthersMayRead) {
  for (const mode_t mode : {0604U, 0644U, 0602U, 0601U}) {
    const std::string path = file("s3cr3t", static_cast<mode_t>(mode));
    expect_error("${file:" + path + "}", "too_open", {path, "mode 06", "chmod 600"});
  }
  const std::string path = file("s3cr3t", 0640);
  if (::geteuid() == 0) {
    EXPECT_EQ(text("${file:" + path + "}"), "s3cr3t");  // root's, for a group: as libpq takes keys
    ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
  }
  expect_error("${file:" + path + "}", "too_open", {"mode 0640"});
}

TEST_F(Placeholder, RefusesWhatIsNoSmallTextFile) {
  const std::string missing = (folder_ / "missing").string();
  expect_error("${file:" + missing + "}", "ENOENT", {missing, "no such file"});
  expect_error("${file:" + folder_.string() + "}", "EISDIR", {"is a folder"});
  expect_error("${file:/dev/null}", "not_regular", {"/dev/null", "not a regular file"});
  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error("${file:" + pipe + "}", "not_regular", {"pipe"});
  expect_error("${file:" + file(std::string(kMaxSecretBytes + 1, 'x'), 0600) + "}", "too_large",
               {"at most 64 kB"});
  expect_error("${file:" + file("s3cr3t\xFF", 0600) + "}", "placeholder", {"is not text"});
  expect_error("${file:" + file(std::string("s3\0x", 4), 0600) + "}", "placeholder",
               {"is not text"});
}

TEST_F(Placeholder, IsEncodedForLibpqWhereItIsAWholeValue) {
  const auto conninfo = [](std::string_view written) { return text(written, Place::kConninfo); };
  EXPECT_EQ(conninfo("postgresql://u:${env:SLUICE_TEST_PW}@h/db"),
            "postgresql://u:p%40%20%27w%5C%2F%3A%3F%26@h/db");
  EXPECT_EQ(conninfo("mysql://u:${env:SLUICE_TEST_PW}@h/db"),
            "mysql://u:p%40%20%27w%5C%2F%3A%3F%26@h/db");
  EXPECT_EQ(conninfo("postgres://h/db?user=u&password=${env:SLUICE_TEST_PW}"),
            "postgres://h/db?user=u&password=p%40%20%27w%5C%2F%3A%3F%26");
  EXPECT_EQ(conninfo("password=${env:SLUICE_TEST_PW} host=h"), R"(password='p@ \'w\\/:?&' host=h)");
  EXPECT_EQ(conninfo("host=h password='${env:SLUICE_TEST_PW}'"),
            R"(host=h password='p@ \'w\\/:?&')");
  EXPECT_EQ(conninfo("password=${env:SLUICE_TEST_EMPTY}"), "password=''");
  ::setenv("SLUICE_TEST_URL", "postgresql://a:b%20c@h:1/d?x=y", 1);
  EXPECT_EQ(conninfo("${env:SLUICE_TEST_URL}"), "postgresql://a:b%20c@h:1/d?x=y");
  ::setenv("SLUICE_TEST_HOST", "h:5433", 1);
  EXPECT_EQ(conninfo("postgresql://u@${env:SLUICE_TEST_HOST}/db"), "postgresql://u@h:5433/db");
  EXPECT_EQ(text("password=${env:SLUICE_TEST_PW}"), "password=p@ 'w\\/:?&");
}

}  // namespace
}  // namespace sluice::cli
