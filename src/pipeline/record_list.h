// RecordList: the Kafka records behind one batch, as the messages that `sink` knows.
#pragma once

#include <vector>

#include "kafka/consumer.h"
#include "sink/batch.h"

namespace sluice::pipeline {

class RecordList final : public sink::Records {
 public:
  explicit RecordList(const sink::Batch& batch) : batch_(batch) {}

  void push(kafka::Record record) { records_.push_back(std::move(record)); }
  void clear() { records_.clear(); }
  std::size_t size() const override { return records_.size(); }
  message::Message at(std::size_t index) const override;
  message::Message full(std::size_t index) override;

 private:
  const sink::Batch& batch_;  // knows the topic and partition of each record
  std::vector<kafka::Record> records_;
  std::vector<kafka::Record::HeaderView> views_;
  std::vector<message::Header> headers_;
};

}  // namespace sluice::pipeline
