#include "pipeline/record_list.h"

namespace sluice::pipeline {

message::Message RecordList::at(std::size_t index) const {
  const kafka::Record& record = records_[index];
  const ledger::Key& key = batch_.partitions[batch_.record_partitions[index]].key;
  message::Message message;
  message.topic = key.topic;
  message.partition = key.partition;
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
  records_[index].headers(views_);
  headers_.clear();
  for (const auto& view : views_) headers_.push_back({view.name, view.value, view.null});
  message.headers = headers_;
  return message;
}

}  // namespace sluice::pipeline
