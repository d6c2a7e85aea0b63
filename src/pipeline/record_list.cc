#include "pipeline/record_list.h"

#include <cstring>
#include <limits>

namespace sluice::pipeline {

namespace {

constexpr std::uint32_t kNull = std::numeric_limits<std::uint32_t>::max();

void append_length(std::size_t length, Buffer& out) {
  const auto number = static_cast<std::uint32_t>(length);
  out.append({reinterpret_cast<const char*>(&number), sizeof number});
}

// Cuts a length from the front.
std::uint32_t take_length(std::string_view& text) {
  std::uint32_t length = 0;
  std::memcpy(&length, text.data(), sizeof length);
  text.remove_prefix(sizeof length);
  return length;
}

}  // namespace

std::size_t RecordList::shrink_last() {
  kafka::Record& record = records_.back();
  const std::string_view key = record.key();
  const std::string_view value = record.value();
  const auto prefix = prefixes_.find(value);
  if (!prefix) return key.size() + value.size();
  record.headers(views_);
  if (views_.size() > std::numeric_limits<std::uint16_t>::max()) return key.size() + value.size();
  const std::string_view rest = value.substr(prefixes_.at(*prefix).size());
  Kept kept;
  kept.shrunk = true;
  kept.key_null = record.key_null();
  kept.headers = static_cast<std::uint16_t>(views_.size());
  kept.prefix = static_cast<std::uint32_t>(*prefix);
  kept.key = static_cast<std::uint32_t>(key.size());
  kept.rest = static_cast<std::uint32_t>(rest.size());
  kept.begin = kept_.size();
  kept.offset = record.offset();
  kept.timestamp_ms = record.timestamp_ms();
  kept_.append(key);
  kept_.append(rest);
  for (const auto& header : views_) {
    append_length(header.name.size(), kept_);
    append_length(header.null ? kNull : header.value.size(), kept_);
    kept_.append(header.name);
    if (!header.null) kept_.append(header.value);
  }
  record = kafka::Record();
  whole_ = SIZE_MAX;
  shrunk_.resize(records_.size());
  shrunk_.back() = kept;
  return kept_.size() - kept.begin;
}

void RecordList::clear() {
  records_.clear();
  shrunk_.clear();
  kept_.clear();
  whole_ = SIZE_MAX;
  prefixes_.release();
}

message::Message RecordList::at(std::size_t index) const {
  const ledger::Key& partition = batch_.partitions[batch_.record_partitions[index]].key;
  message::Message message;
  message.topic = partition.topic;
  message.partition = partition.partition;
  if (index < shrunk_.size() && shrunk_[index].shrunk) {
    const Kept& kept = shrunk_[index];
    if (whole_ != index) {
      value_.assign(prefixes_.at(kept.prefix));
      value_.append(kept_.view(kept.begin + kept.key, kept.rest));
      whole_ = index;
    }
    message.offset = kept.offset;
    message.timestamp_ms = kept.timestamp_ms;
    message.key = kept_.view(kept.begin, kept.key);
    message.key_null = kept.key_null;
    message.value = value_;
    message.value_null = false;
    return message;
  }
  const kafka::Record& record = records_[index];
  message.offset = record.offset();
  message.timestamp_ms = record.timestamp_ms();
  message.key = record.key();
  message.key_null = record.key_null();
  message.value = record.value();
  message.value_null = record.value_null();
  return message;
}

message::Message RecordList::full(std::size_t index) {
  message::Message message = at(index);
  headers_.clear();
  if (index < shrunk_.size() && shrunk_[index].shrunk) {
    const Kept& kept = shrunk_[index];
    const std::size_t begin = kept.begin + kept.key + kept.rest;
    std::string_view text = kept_.view(begin, kept_.size() - begin);
    for (int i = 0; i < kept.headers; ++i) {
      const std::uint32_t name = take_length(text);
      const std::uint32_t value = take_length(text);
      const bool null = value == kNull;
      const std::size_t length = null ? 0 : value;
      headers_.push_back({text.substr(0, name), text.substr(name, length), null});
      text.remove_prefix(name + length);
    }
  } else {
    records_[index].headers(views_);
    for (const auto& view : views_) headers_.push_back({view.name, view.value, view.null});
  }
  message.headers = headers_;
  return message;
}

}  // namespace sluice::pipeline
