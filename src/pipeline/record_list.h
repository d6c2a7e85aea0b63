// RecordList: the Kafka records behind one batch, as the messages that `sink` knows. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "kafka/consumer.h"
#include "pipeline/shared_prefix.h"
#include "sink/batch.h"

namespace sluice::pipeline {

class RecordList final : public sink::Records {
 public:
  explicit RecordList(const sink::Batch& batch) : batch_(batch) {}

  void push(kafka::Record record) { records_.push_back(std::move(record)); }
  // Takes the last record back out; it must not be shrunk.
  void drop_last() { records_.pop_back(); }
  // Lets go of what the last record shares with others before it: views of it are void. Returns
  // how many bytes of its key and value are still held.
  std::size_t shrink_last();
  void clear();
  std::size_t size() const override { return records_.size(); }
  // A record that was shrunk is put together for this: its views are valid until another is asked
  // for.
  message::Message at(std::size_t index) const override;
  message::Message full(std::size_t index) override;

 private:
  // A record without the prefix of its value: key, the rest of the value, then each header as
  // lengths, name and value, at `begin` of kept_.
  struct Kept {
    bool shrunk = false;
    bool key_null = false;
    std::uint16_t headers = 0;
    std::uint32_t prefix = 0;
    std::uint32_t key = 0;
    std::uint32_t rest = 0;
    std::size_t begin = 0;
    std::int64_t offset = 0;
    std::int64_t timestamp_ms = 0;
  };

  const sink::Batch& batch_;  // knows the topic and partition of each record
  std::vector<kafka::Record> records_;
  std::vector<Kept> shrunk_;  // of the first records; those behind them were never shrunk
  Buffer kept_;
  SharedPrefixes prefixes_;
  mutable std::string value_;  // of the record at whole_
  mutable std::size_t whole_ = SIZE_MAX;
  std::vector<kafka::Record::HeaderView> views_;
  std::vector<message::Header> headers_;
};

}  // namespace sluice::pipeline
