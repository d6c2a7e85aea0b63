#include "sink/breaker.h"

#include <gtest/gtest.h>

namespace sluice::sink {
namespace {

TEST(Breaker, OpensWhenTheShareOfTheLastWindowIsBad) {
  Breaker breaker(0.5, 10);
  for (std::uint64_t message = 0; message < 100; ++message) {
    const bool bad = message >= 50 && message % 2 == 0;  // from 50 on every second one
    if (!bad) continue;
    const bool open = breaker.bad(message);
    EXPECT_EQ(open, message >= 58) << message;  // the fifth of the window 49..58
    if (open) return;
  }
  FAIL() << "never opened";
}

TEST(Breaker, StaysClosedBelowTheShare) {
  Breaker breaker(0.5, 10);
  for (std::uint64_t message = 0; message < 10'000; message += 3) {
    EXPECT_FALSE(breaker.bad(message)) << message;
  }
}

TEST(Breaker, SaysNothingBeforeAWindowIsFull) {
  Breaker breaker(0.5, 10);
  for (std::uint64_t message = 0; message < 9; ++message) EXPECT_FALSE(breaker.bad(message));
  EXPECT_TRUE(breaker.bad(9));
}

TEST(Breaker, CountsAMessageOnceHoweverOftenItIsTried) {
  Breaker breaker(1.0, 4);
  for (int attempt = 0; attempt < 10; ++attempt) EXPECT_FALSE(breaker.bad(7));
}

TEST(Breaker, AWindowOfOneStopsAtTheFirst) { EXPECT_TRUE(Breaker(1.0, 1).bad(0)); }

}  // namespace
}  // namespace sluice::sink
