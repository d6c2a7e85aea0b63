#include "cli/document.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sluice::cli {
namespace {

constexpr std::string_view kGood = R"(name: orders
source:
  kafka: {bootstrap.servers: "h:9092", sasl.password: "${env:SLUICE_TEST_KAFKA}", client.rack: 007}
  topics: [orders]
target:
  postgres: "host=h password=${env:SLUICE_TEST_PG}"
  table: public.orders
)";

class Document : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::filesystem::permissions(folder_, std::filesystem::perms(0755));
    ::setenv("SLUICE_TEST_KAFKA", "k3y", 1);
    ::setenv("SLUICE_TEST_PG", "p w", 1);
    ::unsetenv("SLUICE_TEST_UNSET");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(std::string_view contents) const {
    const std::string path = (folder_ / "task.yaml").string();
    std::ofstream(path, std::ios::binary) << contents;
    return path;
  }
  static std::string replaced(std::string_view from, std::string_view to) {
    std::string text(kGood);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    return text.replace(at, from.size(), to);
  }

  std::filesystem::path folder_;
};

template <class Loaded>
void expect_one(const Loaded& loaded, std::string_view code,
                std::initializer_list<std::string_view> parts) {
  ASSERT_FALSE(loaded);
  ASSERT_EQ(loaded.error().size(), 1U) << to_string(loaded.error()[1]);
  const Error& error = loaded.error().front();
  const std::string text = to_string(error);
  EXPECT_EQ(error.code, code) << text;
  for (const std::string_view part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "no <" << part << "> in: " << text;
  }
}

TEST_F(Document, IsLoaded) {
  const auto loaded = load(write(kGood));
  ASSERT_TRUE(loaded) << to_string(loaded.error().front());
  EXPECT_EQ(loaded->task.name, "orders");
  EXPECT_EQ(loaded->task.target.postgres, "host=h password='p w'");
  EXPECT_EQ(loaded->task.source.kafka.at("sasl.password"), "k3y");
  EXPECT_EQ(loaded->task.source.kafka.at("client.rack"), "007");
}

TEST_F(Document, LooksSecretsUpAgain) {
  const auto loaded = load_text(kGood, "task.yaml");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->reread_postgres(), "host=h password='p w'");
  ::setenv("SLUICE_TEST_PG", "new", 1);
  ::setenv("SLUICE_TEST_KAFKA", "newer", 1);
  const LoadedTask copy = *loaded;
  EXPECT_EQ(copy.reread_postgres(), "host=h password='new'");
  ASSERT_TRUE(copy.reread_kafka());
  EXPECT_EQ(
      *copy.reread_kafka(),
      (std::map<std::string, std::string>{
          {"bootstrap.servers", "h:9092"}, {"client.rack", "007"}, {"sasl.password", "newer"}}));
  ::unsetenv("SLUICE_TEST_PG");
  const auto failed = copy.reread_postgres();
  ASSERT_FALSE(failed);
  EXPECT_NE(
      failed.error().message.find("target.postgres: the environment variable \"SLUICE_TEST_PG\""),
      std::string::npos)
      << failed.error().message;
}

TEST_F(Document, FilesThatCannotBeRead) {
  const std::string missing = (folder_ / "missing.yaml").string();
  expect_one(load(missing), "ENOENT", {missing, "no such file"});
  expect_one(load(folder_.string()), "EISDIR", {folder_.string(), "is a folder", "Name a file."});
  expect_one(load(write(kGood) + "/x"), "ENOTDIR", {"cannot be read", "Not a directory"});
  expect_one(load("/dev/null"), "not_regular", {"/dev/null", "not a regular file"});
  expect_one(load(""), "ENOENT", {"no such file"});
}

TEST_F(Document, UnreadableFile) {
  const std::string path = write(kGood);
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  const bool is_root = ::geteuid() == 0;  // who may read everything: become somebody else
  ASSERT_EQ(is_root ? ::seteuid(65534) : 0, 0);
  const auto loaded = load(path);
  ASSERT_EQ(is_root ? ::seteuid(0) : 0, 0);
  expect_one(loaded, "EACCES", {path, "may not read it", "rights"});
}

TEST_F(Document, FilesThatAreNoDocument) {
  expect_one(load(write("")), "", {"task.yaml: the file is empty"});
  expect_one(load(write(" \n\n")), "", {"the file is empty"});
  expect_one(load(write("# nothing\n")), "", {"found nothing in it"});
  expect_one(load(write(std::string("name: a\n\x7f"
                                    "ELF\0\1",
                                    14))),
             "", {"task.yaml:2: this is not a text file: byte 12 is 0x00"});
  expect_one(load(write("name: a\xFF\n")), "", {"byte 7 is 0xff, which is not UTF-8"});
  expect_one(load(write(std::string("\xFF\xFEn\0", 4))), "", {"UTF-16", "UTF-8"});
  expect_one(load(write("just a text")), "", {"task.yaml:1: the document: found \"just a text\""});
  expect_one(load(write("- a\n- b\n")), "", {"found a list", "allowed: a map with the keys name"});
  expect_one(load(write(std::string(10 << 20, 'x'))), "too_large",
             {"has 10485760 bytes", "at most 1 MB"});
  expect_one(load(write(std::string(kGood) + "---\n" + std::string(kGood))), "",
             {"several documents", "one task"});
  expect_one(load(write("a: b: c")), "", {"task.yaml:1:5: this is not YAML"});
  expect_one(load(write("name: a\nname: b\n")), "", {"task.yaml:2:1:", "\"name\" a second time"});
}

TEST_F(Document, ErrorsHaveFileAndLine) {
  const auto loaded = load_text(
      "name: 5\n"
      "source:\n"
      "  kafka: {bootstrap.servers: h}\n"
      "  topics: [a, a]\n"
      "target:\n"
      "  table: t\n"
      "sync:\n"
      "  columns:\n"
      "    - {field: a, column: a}\n"
      "    - field: b\n"
      "      column: a\n"
      "  wirte: upsert\n",
      "task.yaml");
  ASSERT_FALSE(loaded);
  std::vector<std::string> starts;
  for (const Error& error : loaded.error())
    starts.push_back(error.message.substr(0, error.message.find(": f")));
  EXPECT_EQ(starts, (std::vector<std::string>{"task.yaml:1: name", "task.yaml:4: source.topics[1]",
                                              "task.yaml:5: target.postgres",
                                              "task.yaml:11: sync.columns[1].column",
                                              "task.yaml:12: sync.wirte"}));
}

TEST_F(Document, PlainNullIsAChoice) {
  const auto loaded =
      load_text(std::string(kGood) +
                    "sync:\n  columns:\n"
                    "    - {field: a, column: a, on_null: null, on_absent: null}\n"
                    "    - {field: b, column: b, on_null: \"null\", default: 0.10}\n",
                "task.yaml");
  ASSERT_TRUE(loaded) << to_string(loaded.error().front());
  const auto& columns = *loaded->task.sync.columns;
  EXPECT_EQ(columns[0].on_null, task::OnNull::kNull);
  EXPECT_EQ(columns[0].on_absent, task::OnAbsent::kNull);
  EXPECT_EQ(columns[1].on_null, task::OnNull::kNull);
  EXPECT_EQ(columns[1].default_json, "0.10");
}

TEST_F(Document, MissingPlaceholdersComeWithTheOtherErrors) {
  const auto loaded = load_text(replaced("public.orders", "a.b.c").replace(0, 4, "nmae") +
                                    "description: ${env:SLUICE_TEST_UNSET}\n",
                                "task.yaml");
  ASSERT_FALSE(loaded);
  std::vector<std::string> codes;
  for (const Error& error : loaded.error()) {
    EXPECT_EQ(error.domain, Domain::kDocument);
    codes.push_back(error.code);
  }
  std::sort(codes.begin(), codes.end());
  EXPECT_EQ(codes, (std::vector<std::string>{"description", "name", "nmae", "target.table"}));
  expect_one(load_text(replaced("SLUICE_TEST_PG", "SLUICE_TEST_UNSET"), "task.yaml"),
             "target.postgres",
             {"task.yaml:6: target.postgres: the environment variable \"SLUICE_TEST_UNSET\" of "
              "${env:SLUICE_TEST_UNSET} is not set"});
}

TEST_F(Document, PlaceholdersCannotInject) {
  ::setenv("SLUICE_TEST_PG", "x\"\ntable: evil\nzzz: [", 1);
  auto loaded = load_text(kGood, "task.yaml");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->task.target.table, "public.orders");
  EXPECT_EQ(loaded->task.target.postgres, "host=h password='x\"\ntable: evil\nzzz: ['");
  ::setenv("SLUICE_TEST_PG", "x host=evil", 1);
  EXPECT_EQ(*loaded->reread_postgres(), "host=h password='x host=evil'");
}

TEST_F(Document, ExpandedValuesAreNeverShown) {
  ::setenv("SLUICE_TEST_PG", "s3cr3t[", 1);
  const std::pair<std::string, std::string> kCases[] = {
      {"name: orders", "name: \"${env:SLUICE_TEST_PG}\""},
      {"topics: [orders]", "topics: [\"${env:SLUICE_TEST_PG}\"]"},
      {"topics: [orders]", "topics: [\"^${env:SLUICE_TEST_PG}\"]"},
      {"topics: [orders]", "topics: [\"a\", \"a\"]\n  start: \"${env:SLUICE_TEST_PG}\""},
      {"public.orders", "\"a.b.${env:SLUICE_TEST_PG}\""},
      {"public.orders", "t\nsync: {write: \"${env:SLUICE_TEST_PG}\"}"},
      {"public.orders", "t\nsync: {columns: [{field: \"$.${env:SLUICE_TEST_PG}\", column: a}]}"},
      {"public.orders",
       "t\nsync: {columns: [{column: \"${env:SLUICE_TEST_PG}\", field: a}, "
       "{column: \"${env:SLUICE_TEST_PG}\", field: b}]}"},
      {"public.orders",
       "t\nsync: {primary_key: [\"${env:SLUICE_TEST_PG}\"], columns: [{column: a, "
       "field: a}]}"},
      {"public.orders", "t\ntuning: {lanes: \"${env:SLUICE_TEST_PG}\"}"},
      {"public.orders", "t\nretry_for: \"${env:SLUICE_TEST_PG}\""},
      {"host=h password=${env:SLUICE_TEST_PG}", "${env:SLUICE_TEST_PG}"},
  };
  for (const auto& [from, to] : kCases) {
    const auto loaded = load_text(replaced(from, to), "task.yaml");
    ASSERT_FALSE(loaded) << to;
    for (const Error& error : loaded.error()) {
      const std::string text = to_string(error);
      EXPECT_EQ(text.find("s3cr3t"), std::string::npos) << text;
    }
  }
}

TEST_F(Document, ExamplesAreValid) {
  const auto examples =
      std::filesystem::path(__FILE__).parent_path() / "../../docs/reference/examples";
  ::setenv("SHOP_PASSWORD", "x", 1);
  const std::string secret = (folder_ / "kafka-password").string();
  std::ofstream(secret) << "x\n";
  std::filesystem::permissions(secret, std::filesystem::perms(0600));
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(examples)) {
    ++count;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    std::string document = text.str();
    constexpr std::string_view kSecret = "/etc/sluice/kafka-password";
    if (const auto at = document.find(kSecret); at != std::string::npos) {
      document.replace(at, kSecret.size(), secret);
    }
    const auto loaded = load_text(document, entry.path().string());
    ASSERT_TRUE(loaded) << to_string(loaded.error().front());
    EXPECT_LE(std::count(document.begin(), document.end(), '\n'), 40) << "an example fits a screen";
  }
  EXPECT_GE(count, 4);
}

}  // namespace
}  // namespace sluice::cli
