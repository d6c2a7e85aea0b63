#include "control/secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <semaphore>

namespace sluice::control {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kTextBytes = 44;  // of a key in base64

// libsodium's own start, once; everything here goes through it.
void ready() {
  static const int started = sodium_init();
  SLUICE_CHECK(started >= 0);
}

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

tl::unexpected<Error> file_error(const std::string& path, std::string_view what,
                                 std::string remedy) {
  return fail(Domain::kFile, std::to_string(errno),
              fmt::format("the key file {} {}: {}", path, what, std::strerror(errno)),
              std::move(remedy));
}

std::string new_key_text() {
  ready();
  SecretBox::Key key;
  randombytes_buf(key.data(), key.size());
  char text[kTextBytes + 1];
  sodium_bin2base64(text, sizeof text, key.data(), key.size(), sodium_base64_VARIANT_ORIGINAL);
  sodium_memzero(key.data(), key.size());
  return text;
}

Result<bool> make_file(const std::string& path) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 && errno == EEXIST) return false;  // another process was first
  if (file < 0) return file_error(path, "cannot be made", "Name a folder that may be written to.");
  const std::string text = new_key_text() + '\n';
  const bool written =
      ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fsync(file) == 0;
  ::close(file);
  if (written) return true;
  auto error = file_error(path, "cannot be written", "Make room, or name another file.");
  ::unlink(path.c_str());
  return error;
}

// What is hashed beside the text, so that a sealed value belongs to one place.
SecretBox::Key key_for(const SecretBox::Key& key, std::string_view context) {
  SecretBox::Key derived;
  crypto_generichash(derived.data(), derived.size(), bytes(context), context.size(), key.data(),
                     key.size());
  return derived;
}

}  // namespace

SecretBox::~SecretBox() { sodium_memzero(key_.data(), key_.size()); }

Result<SecretBox> SecretBox::from_file(const std::string& path, bool make) {
  if (make && ::access(path.c_str(), F_OK) != 0) {
    auto made = make_file(path);
    if (!made) return fail(made.error());
  }
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return file_error(
        path, "cannot be read",
        "It holds the key of all secrets: bring it back, or name it in secret_key.file.");
  }
  struct stat status = {};
  char text[kTextBytes + 2] = {};
  const ssize_t size = ::fstat(file, &status) == 0 ? ::read(file, text, sizeof text - 1) : -1;
  ::close(file);
  if (size < 0) return file_error(path, "cannot be read", "");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return fail(Domain::kFile, "EACCES",
                fmt::format("the key file {} is open to others than its owner", path),
                fmt::format("chmod 600 {}", path));
  }
  auto box = from_text(std::string_view(text, static_cast<std::size_t>(size)), path);
  sodium_memzero(text, sizeof text);
  return box;
}

Result<SecretBox> SecretBox::from_text(std::string_view base64, std::string_view where) {
  ready();
  while (!base64.empty() && (base64.back() == '\n' || base64.back() == '\r'))
    base64.remove_suffix(1);
  Key key;
  std::size_t size = 0;
  if (base64.size() != kTextBytes ||
      sodium_base642bin(key.data(), key.size(), base64.data(), base64.size(), nullptr, &size,
                        nullptr, sodium_base64_VARIANT_ORIGINAL) != 0 ||
      size != key.size()) {
    return fail(Domain::kFile, "EINVAL",
                fmt::format("{} holds no key: 32 bytes as 44 characters of base64", where),
                "Make one with: openssl rand -base64 32");
  }
  SecretBox box(key);
  sodium_memzero(key.data(), key.size());
  return box;
}

std::string SecretBox::seal(std::string_view plain, std::string_view context) const {
  ready();
  Key key = key_for(key_, context);
  std::string sealed(1 + crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + plain.size(),
                     '\0');
  sealed[0] = kVersion;
  unsigned char* nonce = bytes(sealed) + 1;
  randombytes_buf(nonce, crypto_secretbox_NONCEBYTES);
  crypto_secretbox_easy(nonce + crypto_secretbox_NONCEBYTES, bytes(plain), plain.size(), nonce,
                        key.data());
  sodium_memzero(key.data(), key.size());
  return sealed;
}

Result<std::string> SecretBox::open(std::string_view sealed, std::string_view context) const {
  ready();
  constexpr std::size_t kFront = 1 + crypto_secretbox_NONCEBYTES;
  std::string plain;
  bool opened = false;
  if (sealed.size() >= kFront + crypto_secretbox_MACBYTES && sealed[0] == kVersion) {
    Key key = key_for(key_, context);
    plain.resize(sealed.size() - kFront - crypto_secretbox_MACBYTES);
    opened = crypto_secretbox_open_easy(bytes(plain), bytes(sealed) + kFront,
                                        sealed.size() - kFront, bytes(sealed) + 1, key.data()) == 0;
    sodium_memzero(key.data(), key.size());
  }
  if (opened) return plain;
  return fail(Domain::kInternal, "secret_key",
              "a stored secret does not open with the key that this server has",
              "Start it with the key file that was in use when the secret was stored, or set the "
              "connection's password again.");
}

namespace {
// Each takes 64 MiB: log-ins must not be a way to fill the memory.
std::counting_semaphore<2> hashing(2);
}  // namespace

std::string hash_password(std::string_view password) {
  ready();
  char hash[crypto_pwhash_STRBYTES] = {};
  hashing.acquire();
  const int failed = crypto_pwhash_str_alg(
      hash, password.data(), password.size(), crypto_pwhash_OPSLIMIT_INTERACTIVE,
      crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13);
  hashing.release();
  return failed != 0 ? std::string() : std::string(hash);
}

bool password_is(std::string_view hash, std::string_view password) {
  ready();
  if (hash.size() >= crypto_pwhash_STRBYTES) return false;
  char text[crypto_pwhash_STRBYTES] = {};
  hash.copy(text, hash.size());
  hashing.acquire();
  const bool same = crypto_pwhash_str_verify(text, password.data(), password.size()) == 0;
  hashing.release();
  return same;
}

bool is_same_secret(std::string_view one, std::string_view other) {
  ready();
  return one.size() == other.size() && sodium_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string random_token() {
  ready();
  unsigned char raw[32];
  randombytes_buf(raw, sizeof raw);
  char text[44];
  sodium_bin2base64(text, sizeof text, raw, sizeof raw, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  return text;
}

std::string random_id(std::string_view prefix) {
  ready();
  constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::string id(prefix);
  id += '-';
  for (int i = 0; i < 10; ++i) id += kLetters[randombytes_uniform(kLetters.size())];
  return id;
}

std::string to_hex(std::string_view raw) {
  std::string text(raw.size() * 2 + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), bytes(raw), raw.size());
  text.pop_back();
  return text;
}

std::string from_hex(std::string_view digits) {
  std::string raw(digits.size() / 2, '\0');
  std::size_t size = 0;
  const bool good = sodium_hex2bin(bytes(raw), raw.size(), digits.data(), digits.size(), nullptr,
                                   &size, nullptr) == 0;
  raw.resize(good ? size : 0);
  return raw;
}

std::string token_hash(std::string_view token) {
  ready();
  unsigned char hash[crypto_hash_sha256_BYTES];
  crypto_hash_sha256(hash, bytes(token), token.size());
  char text[sizeof hash * 2 + 1];
  sodium_bin2hex(text, sizeof text, hash, sizeof hash);
  return text;
}

}  // namespace sluice::control
