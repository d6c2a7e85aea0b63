// Secrets: how passwords of connections rest in the control database: sealed with a key that is not
// in it. libsodium's secretbox (XSalsa20 and Poly1305), a fresh nonce each time.
//
// Thread-safe after construction.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::control {

class SecretBox {
 public:
  static constexpr std::size_t kKeyBytes = 32;
  using Key = std::array<unsigned char, kKeyBytes>;

  explicit SecretBox(const Key& key) : key_(key) {}
  ~SecretBox();  // wipes the key
  SecretBox(const SecretBox&) = default;
  SecretBox& operator=(const SecretBox&) = default;

  // The key of a file (44 characters of base64 and a line end; readable by its owner alone). A file
  // that does not exist is made, with a random key, if `make` says so. Errors of domain kFile.
  static Result<SecretBox> from_file(const std::string& path, bool make);
  // The same 44 characters, from the environment.
  static Result<SecretBox> from_text(std::string_view base64, std::string_view where);

  // Bytes: a version, the nonce, the sealed text. `context` (the id of what it belongs to) is
  // sealed with it: what was copied into another row does not open there.
  std::string seal(std::string_view plain, std::string_view context) const;
  // Error of domain kInternal, code "secret_key": not sealed with this key, or for something else.
  Result<std::string> open(std::string_view sealed, std::string_view context) const;

 private:
  Key key_;
};

// ---- passwords and tokens ----

// argon2id, libsodium's interactive limits (64 MiB, about 0.1 s): 97 bytes of text with parameters
// and salt. At most two threads compute at once; others wait. Never throws; empty if memory is
// short.
std::string hash_password(std::string_view password);
bool password_is(std::string_view hash, std::string_view password);
// Of no password, and as costly to compare with as any: for names without an account.
inline constexpr std::string_view kDummyHash =
    "$argon2id$v=19$m=65536,t=2,p=1$c2x1aWNlIG5vIGFjY291bg$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

// Whether both are the same, in a time that depends on their lengths alone.
bool is_same_secret(std::string_view one, std::string_view other);

// 256 random bits as 43 characters of base64 for URLs.
std::string random_token();
// "task-4k7qz1m9x2": a prefix and ten characters of a-z and 0-9.
std::string random_id(std::string_view prefix);
// Bytes as hex digits and back; what are none give nothing. How bytea parameters are written.
std::string to_hex(std::string_view bytes);
std::string from_hex(std::string_view digits);
// SHA-256 in hex: how tokens are stored and looked up.
std::string token_hash(std::string_view token);

}  // namespace sluice::control
