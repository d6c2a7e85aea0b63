// What reads bytes of others: each target takes any bytes, and ends the process if a promise of the
// code behind it is broken (SLUICE_CHECK, or a sanitizer).
#pragma once

#include <string_view>

namespace sluice::fuzz {

void message(std::string_view bytes);  // the first byte chooses between value and key
// The first byte chooses the decoder; then the key, a zero byte, the value, a zero byte, and a
// header's value (the new key).
void change(std::string_view bytes);
void path(std::string_view bytes);        // a JSONPath
void document(std::string_view bytes);    // a task document
void copy_error(std::string_view bytes);  // the context of a COPY error

}  // namespace sluice::fuzz
