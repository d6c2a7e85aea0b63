#include "pipeline/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "pipeline/failure.h"
#include "pipeline/look.h"
#include "sink/batch.h"
#include "sink/plan.h"
#include "sink/writer.h"

namespace sluice::pipeline {

namespace {

constexpr std::int64_t kLetters = 1000;  // of one transaction
constexpr std::int64_t kBytes = 16 << 20;

// Letters as the records behind a batch.
class LetterList final : public sink::Records {
 public:
  explicit LetterList(std::vector<ledger::KeptLetter> letters) : letters_(std::move(letters)) {}

  // The batch sees them one after the other.
  bool advance() { return shown_ < letters_.size() && ++shown_ > 0; }
  std::size_t size() const override { return shown_; }
  const ledger::KeptLetter& letter(std::size_t index) const { return letters_[index]; }

  message::Message at(std::size_t index) const override {
    const ledger::KeptLetter& letter = letters_[index];
    message::Message message;
    message.topic = letter.key.topic;
    message.partition = letter.key.partition;
    message.offset = letter.offset;
    message.timestamp_ms = letter.timestamp_ms;
    message.key_null = !letter.message_key;
    if (letter.message_key) message.key = *letter.message_key;
    message.value_null = !letter.value;
    if (letter.value) message.value = *letter.value;
    return message;
  }
  message::Message full(std::size_t index) override {
    headers_.clear();
    for (const auto& [name, value] : letters_[index].headers) {
      headers_.push_back({name, value ? std::string_view(*value) : std::string_view(), !value});
    }
    message::Message message = at(index);
    message.headers = headers_;
    return message;
  }

 private:
  std::vector<ledger::KeptLetter> letters_;
  std::size_t shown_ = 0;
  std::vector<message::Header> headers_;
};

// The target with its ledger; a ledger that is not there has no letters.
Result<TargetLook> reach_letters(const TaskSource& source, const std::string& task_name) {
  auto target = reach_target(source, "sluice dead-letters");
  if (!target) return target;
  if (!task_name.empty()) target->handle.task = task_name;
  auto ready =
      target->connection->drive(ledger::inspect(*target->connection, target->handle.schema));
  if (!ready) return fail(ready.error());
  if (!*ready) {
    return fail(Domain::kLedger, "no_ledger",
                fmt::format("there is no ledger in schema \"{}\" of database \"{}\"",
                            target->handle.schema, target->endpoint.database),
                "Check target.postgres and target.ledger_schema: a run creates it.");
  }
  return target;
}

class Replaying {
 public:
  Replaying(const TaskSource& source, const ledger::LetterFilter& filter, ReplayReport& report)
      : source_(source), task_(source.task), all_(filter), filter_(filter), report_(report) {}

  Result<bool> run(const std::string& task_name, StopSignal stop) {
    auto reached = reach_letters(source_, task_name);
    if (!reached) return fail(reached.error());
    target_ = std::move(*reached);
    auto known = target_.connection->drive(ledger::read_task(*target_.connection, target_.handle));
    if (!known) return fail(known.error());
    report_.task_known = known->has_value();
    auto builder =
        start_builder(target_, task_, {.copy_format = task_.tuning.copy_format, .letters = true});
    if (!builder) return fail(builder.error().front());
    builder_ = std::move(*builder);
    sink::WriterConfig config;
    config.conninfo = source_.conninfo;
    config.instance = "replay";
    config.handle = target_.handle;
    config.on_failure = task::OnFailure::kDiscard;  // what fails again is settled here
    config.classify = &classify;
    sink::Writer writer(std::move(config));
    while (!stop.raised()) {
      auto more = step(writer);
      if (!more) return more;
      if (!*more) break;
    }
    auto causes =
        target_.connection->drive(ledger::list_letters(*target_.connection, target_.handle, all_));
    if (!causes) return fail(causes.error());
    std::int64_t there = 0;
    for (const auto& cause : *causes) there += cause.count;
    report_.left = std::max<std::int64_t>(0, there - report_.failed);
    return true;
  }

 private:
  // One transaction. False when there is nothing more.
  Result<bool> step(sink::Writer& writer) {
    if (auto begun = writer.drive(writer.begin_apart(task_)); !begun) return begun;
    auto taken = writer.drive(
        ledger::take_letters(writer.active(), target_.handle, filter_, kLetters, kBytes));
    if (!taken) return fail(taken.error());
    if (taken->empty()) {
      writer.drop();
      return false;
    }
    LetterList letters(std::move(*taken));
    sink::Batch batch;
    if (auto filled = fill(batch, letters); !filled) return filled;
    if (auto written = writer.drive(writer.write_apart(batch, letters)); !written) {
      return written;
    }
    std::vector<ledger::FailedLetter> failed;
    std::vector<bool> bad(letters.size(), false);
    for (const auto& failure : batch.failures) {
      bad[failure.record] = true;
      failed.push_back(failed_letter(letters.letter(failure.record).id, failure.error));
    }
    std::vector<std::int64_t> applied;
    for (std::size_t i = 0; i < letters.size(); ++i) {
      if (!bad[i]) applied.push_back(letters.letter(i).id);
    }
    filter_.after_id = letters.letter(letters.size() - 1).id;
    const auto failed_count = static_cast<std::int64_t>(failed.size());
    const auto applied_count = static_cast<std::int64_t>(applied.size());
    auto settled = writer.drive(ledger::settle_letters(writer.active(), target_.handle,
                                                       std::move(applied), std::move(failed)));
    if (!settled) return settled;
    auto committed = writer.drive(writer.commit_apart());
    if (!committed) return fail(committed.error());
    report_.applied += applied_count;
    report_.failed += failed_count;
    return true;
  }

  Result<bool> fill(sink::Batch& batch, LetterList& letters) {
    builder_->begin(batch);
    while (letters.advance()) {
      const ledger::KeptLetter& letter = letters.letter(letters.size() - 1);
      const std::uint16_t partition = batch.partition_index(letter.key, letter.offset);
      auto added = add_record(*target_.connection, task_, target_.zone, *builder_, batch, letters,
                              partition);
      if (added) continue;
      if (added.error().domain == Domain::kPostgres && !target_.connection->is_open()) {
        return fail(added.error());
      }
      builder_->forget_wanted();
      builder_->refuse(batch, letters, partition, added.error());
    }
    return true;
  }

  static ledger::FailedLetter failed_letter(std::int64_t id, const Error& error) {
    ledger::FailedLetter letter;
    letter.id = id;
    letter.reason_class = error.domain == Domain::kMessage ? "message" : "data";
    letter.code = error.code;
    letter.message = to_string(error);
    if (!error.detail.empty()) letter.message += "\n" + error.detail;
    letter.column = error.column;
    return letter;
  }

  const TaskSource& source_;
  const task::Task& task_;
  const ledger::LetterFilter all_;
  ledger::LetterFilter filter_;  // what is left of it
  ReplayReport& report_;
  TargetLook target_;
  std::optional<sink::BatchBuilder> builder_;
};

}  // namespace

Result<std::vector<ledger::LetterCause>> list_dead_letters(const TaskSource& source,
                                                           const std::string& task_name,
                                                           const ledger::LetterFilter& filter) {
  auto target = reach_letters(source, task_name);
  if (!target) return fail(target.error());
  auto& db = *target->connection;
  return db.drive(ledger::list_letters(db, target->handle, filter));
}

Result<std::vector<ledger::KeptLetter>> show_dead_letters(const TaskSource& source,
                                                          const std::string& task_name,
                                                          const ledger::LetterFilter& filter,
                                                          std::int64_t limit) {
  auto target = reach_letters(source, task_name);
  if (!target) return fail(target.error());
  auto& db = *target->connection;
  return db.drive(ledger::read_letters(db, target->handle, filter, limit, kBytes));
}

Result<std::int64_t> purge_dead_letters(const TaskSource& source, const std::string& task_name,
                                        const ledger::LetterFilter& filter) {
  auto target = reach_letters(source, task_name);
  if (!target) return fail(target.error());
  auto& db = *target->connection;
  return db.drive(ledger::purge_letters(db, target->handle, filter));
}

Result<bool> replay_dead_letters(const TaskSource& source, const std::string& task_name,
                                 const ledger::LetterFilter& filter, ReplayReport& report,
                                 StopSignal stop) {
  return Replaying(source, filter, report).run(task_name, stop);
}

}  // namespace sluice::pipeline
