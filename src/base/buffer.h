// Buffer: a growing run of bytes that keeps its memory when cleared, with the big-endian writers
// that PostgreSQL's binary COPY needs. Not thread-safe.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/result.h"

namespace sluice {

class Buffer {
 public:
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  const char* data() const { return data_.get(); }
  char* data() { return data_.get(); }
  std::string_view view() const { return {data_.get(), size_}; }
  std::string_view view(std::size_t from, std::size_t length) const {
    SLUICE_CHECK(from + length <= size_);
    return {data_.get() + from, length};
  }

  void clear() { size_ = 0; }
  // Forgets everything from `size` on.
  void truncate(std::size_t size) {
    SLUICE_CHECK(size <= size_);
    size_ = size;
  }
  // Gives memory above `capacity` back, so that one huge batch does not stay resident.
  void shrink(std::size_t capacity) {
    if (capacity_ > capacity && size_ == 0) {
      data_.reset();
      capacity_ = 0;
    }
  }

  // Room for `length` more bytes; the caller writes them and calls advance().
  char* reserve(std::size_t length) {
    if (capacity_ - size_ < length) grow(length);
    return data_.get() + size_;
  }
  void advance(std::size_t length) { size_ += length; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  void append(char byte) {
    *reserve(1) = byte;
    ++size_;
  }
  void append_u16(std::uint16_t value) { append_raw(__builtin_bswap16(value)); }
  void append_u32(std::uint32_t value) { append_raw(__builtin_bswap32(value)); }
  void append_u64(std::uint64_t value) { append_raw(__builtin_bswap64(value)); }
  // Overwrites four bytes written before: for lengths known only afterwards.
  void put_u32(std::size_t at, std::uint32_t value) {
    SLUICE_CHECK(at + 4 <= size_);
    value = __builtin_bswap32(value);
    std::memcpy(data_.get() + at, &value, 4);
  }

 private:
  static_assert(std::endian::native == std::endian::little, "a big-endian machine needs no swaps");
  template <class T>
  void append_raw(T value) {
    std::memcpy(reserve(sizeof value), &value, sizeof value);
    size_ += sizeof value;
  }
  void grow(std::size_t length);

  struct Free {
    void operator()(char* memory) const;
  };
  std::unique_ptr<char[], Free> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace sluice
