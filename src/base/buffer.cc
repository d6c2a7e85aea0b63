#include "base/buffer.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace sluice {

void Buffer::Free::operator()(char* memory) const { std::free(memory); }  // NOLINT

void Buffer::grow(std::size_t length) {
  const std::size_t needed = std::max({size_ + length, capacity_ * 2, std::size_t{256}});
  auto* memory = static_cast<char*>(std::realloc(data_.get(), needed));  // NOLINT
  if (memory == nullptr) throw std::bad_alloc();
  (void)data_.release();
  data_.reset(memory);
  capacity_ = needed;
}

}  // namespace sluice
