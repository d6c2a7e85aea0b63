// In steady state decoding allocates nothing. The sanitizers of the presets dev and tsan tell of
// each malloc; other builds skip this test.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "message/decoder.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLUICE_SEES_MALLOC 1
// Of sanitizer/allocator_interface.h, which GCC does not install.
extern "C" int __sanitizer_install_malloc_and_free_hooks(  // NOLINT
    void (*on_malloc)(const volatile void*, std::size_t), void (*on_free)(const volatile void*));
#else
#define SLUICE_SEES_MALLOC 0
#endif

namespace sluice::message {
namespace {

std::size_t allocations = 0;  // of this program's one thread

bool count_allocations() {
#if SLUICE_SEES_MALLOC
  const auto on_malloc = [](const volatile void*, std::size_t) { ++allocations; };
  const auto on_free = [](const volatile void*) {};
  return __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0;
#else
  return false;
#endif
}

TEST(Decoder, AllocatesNothingInSteadyState) {
  if (!count_allocations()) GTEST_SKIP() << "needs a build with a sanitizer";
  DecoderConfig config;
  for (const auto* name : {"id", "$.customer.name", "$.items[-1].sku", "note"}) {
    config.inputs.push_back({.field = name, .meta = Input::Meta::kNone});
  }
  config.inputs.push_back({.field = std::nullopt, .meta = Input::Meta::kHeaders});
  config.extra = Extra::kCollect;
  auto decoder = Decoder::compile(config);
  ASSERT_TRUE(decoder);
  const std::string documents[] = {
      R"({"id":1,"customer":{"name":"a\nb"},"items":[{"sku":"x"},{"sku":"y\u00e9"}],"note":null})",
      R"({"note":"a \"quoted\" word","extra":[1,2,{"deep":[[]]}],"id":12345678901234567890,"x":"y"})"};
  const Header headers[] = {{"b", "2", false}, {"a", "\xFF", false}, {"b", "3", false}};
  std::vector<Value> values(decoder->slots());
  Problem problem;
  const auto decode_all = [&] {
    bool good = true;
    for (const auto& document : documents) {
      Message message;
      message.value = document;
      message.value_null = false;
      message.headers = headers;
      good = decoder->decode(message, values, problem) && good;
    }
    return good;
  };
  ASSERT_TRUE(decode_all());
  const std::size_t before = allocations;
  bool good = true;
  for (int i = 0; i < 1000; ++i) good = decode_all() && good;
  const std::size_t after = allocations;
  EXPECT_TRUE(good);
  EXPECT_EQ(after, before);
  EXPECT_GT(before, 0U);  // it does count
}

}  // namespace
}  // namespace sluice::message
