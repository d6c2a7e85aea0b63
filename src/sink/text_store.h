// TextStore: memory for texts that live as long as one row is being encoded. What it has given out
// stays where it is until clear().
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "base/buffer.h"

namespace sluice::sink {

class TextStore {
 public:
  // Room for `size` bytes.
  char* take(std::size_t size) {
    if (chunks_.empty() || chunks_.back().size - used_ < size) {
      const std::size_t room = std::max(size, kChunk);
      chunks_.push_back({std::make_unique<char[]>(room), room});
      used_ = 0;
    }
    char* const place = chunks_.back().memory.get() + used_;
    used_ += size;
    return place;
  }
  // Gives the end of the last take() back.
  void give_back(std::size_t size) { used_ -= size; }
  // For work in between; empty at each call.
  Buffer& work() {
    work_.clear();
    return work_;
  }
  std::string_view keep(std::string_view text) {
    char* const place = take(text.size());
    std::copy(text.begin(), text.end(), place);
    return {place, text.size()};
  }
  // Keeps the first chunk.
  void clear() {
    if (chunks_.size() > 1) chunks_.resize(1);
    if (!chunks_.empty() && chunks_.front().size > kChunk) chunks_.clear();
    used_ = 0;
  }

 private:
  static constexpr std::size_t kChunk = 64 << 10;
  struct Chunk {
    std::unique_ptr<char[]> memory;
    std::size_t size;
  };
  std::vector<Chunk> chunks_;  // the last one is being filled
  std::size_t used_ = 0;       // of it
  Buffer work_;
};

}  // namespace sluice::sink
