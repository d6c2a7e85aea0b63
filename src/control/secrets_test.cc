#include "control/secrets.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace sluice::control {
namespace {

constexpr const char* kKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr const char* kOther = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

SecretBox box_of(const char* text) { return SecretBox::from_text(text, "the test").value(); }

TEST(SecretBox, OpensWhatItSealed) {
  const auto box = box_of(kKey);
  for (const std::string& plain : {std::string(), std::string("p\0w", 3), std::string(5000, 'x')}) {
    const std::string sealed = box.seal(plain, "conn-1");
    EXPECT_EQ(box.open(sealed, "conn-1").value(), plain);
    if (!plain.empty()) {
      EXPECT_EQ(sealed.find(plain), std::string::npos);
    }
    EXPECT_NE(box.seal(plain, "conn-1"), sealed) << "a fresh nonce each time";
  }
}

TEST(SecretBox, RefusesWhatWasTouched) {
  const auto box = box_of(kKey);
  const std::string sealed = box.seal("secret", "conn-1");
  EXPECT_FALSE(box.open(sealed, "conn-2")) << "of another row";
  EXPECT_FALSE(box_of(kOther).open(sealed, "conn-1")) << "with another key";
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string touched = sealed;
    touched[i] = static_cast<char>(touched[i] ^ 1);
    EXPECT_FALSE(box.open(touched, "conn-1")) << i;
    EXPECT_FALSE(box.open(sealed.substr(0, i), "conn-1")) << i;
  }
  EXPECT_EQ(box.open("", "conn-1").error().code, "secret_key");
}

TEST(SecretBox, KeyTextsHaveOneForm) {
  EXPECT_TRUE(SecretBox::from_text(std::string(kKey) + "\n", "a file"));
  EXPECT_TRUE(SecretBox::from_text(std::string(kKey) + "\r\n", "a file"));
  for (const std::string& bad : {std::string(), std::string(44, '='), std::string(44, '!'),
                                 std::string(kKey).substr(1), std::string(kKey) + "A"}) {
    const auto box = SecretBox::from_text(bad, "the place");
    ASSERT_FALSE(box) << bad;
    EXPECT_NE(box.error().message.find("the place"), std::string::npos);
    if (!bad.empty()) {
      EXPECT_EQ(box.error().message.find(bad), std::string::npos);
    }
  }
}

class KeyFile : public testing::Test {
 protected:
  KeyFile() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-key-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~KeyFile() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ + "/deeper/secret.key"; }

  std::string folder_;
};

TEST_F(KeyFile, IsMadeOnceForItsOwnerAlone) {
  EXPECT_FALSE(SecretBox::from_file(path(), false));
  const auto made = SecretBox::from_file(path(), true);
  ASSERT_TRUE(made) << made.error().message;
  struct stat status = {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  const std::string sealed = made->seal("secret", "conn-1");
  const auto again = SecretBox::from_file(path(), true);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->open(sealed, "conn-1").value(), "secret");
}

TEST_F(KeyFile, IsRefusedIfOthersMayReadIt) {
  ASSERT_TRUE(SecretBox::from_file(path(), true));
  ASSERT_EQ(::chmod(path().c_str(), 0640), 0);
  const auto open = SecretBox::from_file(path(), false);
  ASSERT_FALSE(open);
  EXPECT_NE(open.error().remedy.find("chmod 600"), std::string::npos);
}

TEST(Password, HashesVerify) {
  const std::string hash = hash_password("a long password");
  EXPECT_TRUE(hash.starts_with("$argon2id$"));
  EXPECT_NE(hash_password("a long password"), hash) << "a salt of its own";
  EXPECT_TRUE(password_is(hash, "a long password"));
  EXPECT_FALSE(password_is(hash, "a long passworD"));
  EXPECT_FALSE(password_is(hash, ""));
  EXPECT_FALSE(password_is("", "a long password"));
  EXPECT_FALSE(password_is(std::string(4096, 'x'), "a long password"));
}

// A name without an account takes as long as one with.
TEST(Password, TheDummyHashCostsAsMuch) {
  const std::string hash = hash_password("a long password");
  const auto parameters = [](std::string_view text) {
    return text.substr(0, text.find('$', text.find("p=")));
  };
  EXPECT_EQ(parameters(kDummyHash), parameters(hash));
  EXPECT_EQ(kDummyHash.size(), hash.size()) << "one that cannot be read would be no work";
  const auto time_of = [](std::string_view of) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(password_is(of, "another password"));
    return std::chrono::steady_clock::now() - start;
  };
  EXPECT_GT(time_of(kDummyHash), time_of(hash) / 4);
}

TEST(Random, TokensAndIds) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string token = random_token(), id = random_id("tok");
    EXPECT_EQ(token.size(), 43U);
    EXPECT_EQ(token.find_first_of("+/="), std::string::npos);
    EXPECT_TRUE(id.starts_with("tok-"));
    EXPECT_EQ(id.size(), 14U);
    EXPECT_TRUE(seen.insert(token).second);
    EXPECT_TRUE(seen.insert(id).second);
  }
}

TEST(Token, IsHashedWithSha256) {
  EXPECT_EQ(token_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(SameSecret, Compares) {
  EXPECT_TRUE(is_same_secret("abc", "abc"));
  EXPECT_TRUE(is_same_secret("", ""));
  EXPECT_FALSE(is_same_secret("abc", "abd"));
  EXPECT_FALSE(is_same_secret("abc", "ab"));
  EXPECT_FALSE(is_same_secret("", "a"));
}

}  // namespace
}  // namespace sluice::control
