// Parts of the generators, by kind of value. Internal to generate*.cc.
#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "generate.h"

namespace sluice::values {

using std::string;

string format(const char* form, auto... arguments) {
  std::array<char, 128> text;
  std::snprintf(text.data(), text.size(), form, arguments...);
  return text.data();
}

// `text` as a JSON string, its characters now and then escaped although they need not be.
string quoted(Random& random, const string& text);
// JSON text of a string with only the escapes that it must have.
string canonical(const string& text);

Sample text_sample(Random& random, const string& text);
// A number token: what PostgreSQL gets as it is.
Sample token_sample(const string& token);
// The same text as a number or, one time in three, as a string.
Sample either(Random& random, const string& text);
Sample null_sample();

// Text of up to `most` pieces that one encoding or another may stumble over.
string any_text(Random& random, int most);
// One byte changed, lost, doubled or put in: what a reader of a grammar gets wrong.
string mutated(Random& random, string text);

// --- generate_numbers.cc

// An integer, around a type of so many bits.
Sample integer(Random& random, int bits);
// A number token with up to `most` digits on either side of the point.
string decimal(Random& random, int most);
Sample numeric(Random& random);
Sample floating(Random& random, bool narrow);
Sample boolean(Random& random);

// --- generate_times.cc

string any_date(Random& random);
string any_time(Random& random);
string any_timestamp(Random& random);
Sample date_time(Random& random);
// Naive times around the moments at which clocks change.
Sample naive(Random& random, const std::vector<std::int64_t>& transitions);
// An epoch number whose value is known in whole microseconds, in units of 10^power of them.
Sample epoch(Random& random, int power);

}  // namespace sluice::values
