#include "pipeline/run.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/log.h"
#include "kafka/errors.h"
#include "pipeline/check.h"
#include "pipeline/completeness.h"
#include "pipeline/failure.h"
#include "pipeline/lane.h"

namespace sluice::pipeline {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kTick{100};
constexpr milliseconds kLedgerPeriod{250};  // with until_end: how often the ledger is looked at
constexpr seconds kWatchPeriod{10};         // topics, lag
constexpr std::int64_t kBacklog = 50'000;   // messages; from here on a second lane helps
constexpr int kAutoLanes = 2;
constexpr seconds kMarkPeriod{1};  // complete_at, while it is not yet that of the last look
constexpr seconds kFirstWatch{1};
constexpr int kRestartsInARow = 5;
constexpr seconds kTopicReturns{10};  // so long a topic may be gone from under a running task
constexpr seconds kMembersLeave{12};  // session.timeout.ms and a little; see nobody_runs_it()

bool passes(const Error& error) {
  const FailureClass failure = classify(error, Phase::kConnect);
  return failure == FailureClass::kEnvironment || failure == FailureClass::kConflict;
}

// The lanes measure with a clock that nobody sets; people and other processes have another one.
std::chrono::system_clock::time_point by_the_wall(steady_clock::time_point time) {
  return std::chrono::system_clock::now() +
         duration_cast<std::chrono::system_clock::duration>(time - steady_clock::now());
}

class Supervisor {
 public:
  Supervisor(const TaskSource& source, const RunOptions& options, StopSignal stop)
      : source_(source), task_(source.task), options_(options), stop_(stop) {
    lane_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    SLUICE_CHECK(lane_event_ >= 0);
  }
  ~Supervisor() { close(lane_event_); }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  RunReport run() {
    OpenOptions open = options_.open;
    check_when_reachable();
    while (!report_) {
      if (!open_when_reachable(open)) break;
      open = {};  // --adopt and --reset act once
      start_lanes();
      if (!report_) watch();
      stop_lanes();
      if (!report_) judge_ends();
    }
    report_->figures = progress();
    report_->figures.state = "ended";
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    report_->resident_bytes_peak = static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
    if (past_.first_taken && past_.last_applied) {
      report_->first_to_last_seconds =
          duration<double>(*past_.last_applied - *past_.first_taken).count();
      report_->first_message_at = by_the_wall(*past_.first_taken);
      report_->last_commit_at = by_the_wall(*past_.last_applied);
    }
    return std::move(*report_);
  }

 private:
  // ---- opening

  // What `sluice check` says: wrong configuration ends the run, all of it named at once;
  // surroundings that may heal are waited for.
  void check_when_reachable() {
    const auto since = steady_clock::now();
    for (int tries = 0;; ++tries) {
      std::vector<Error> wrong;
      bool heals = true;
      for (const auto& finding : check(source_, {}, options_.open)) {
        if (finding.level == Finding::Level::kWarning && tries == 0) {
          log::warning(finding.message, {{"task", task_.name},
                                         {"step", finding.step},
                                         {"subject", finding.subject},
                                         {"remedy", finding.remedy}});
        }
        if (finding.level != Finding::Level::kError) continue;
        heals = heals && finding.environment;
        const std::string subject = finding.subject.empty() ? "" : finding.subject + ": ";
        wrong.push_back(
            fail(Domain::kDocument, finding.step, subject + finding.message, finding.remedy)
                .value());
      }
      if (wrong.empty()) return;
      const bool patient = !task_.retry_for || steady_clock::now() - since < *task_.retry_for;
      if (!heals || !patient) {
        end(RunEnd::kFailed);
        report_->errors = std::move(wrong);
        return;
      }
      if (!wait_for(wrong.front(), tries)) return;
    }
  }

  // Sleeps before another try; false when the run was stopped meanwhile.
  bool wait_for(const Error& reason, int tries) {
    const auto pause =
        std::min(milliseconds(10'000), milliseconds(200) * (1 << std::min(tries, 6)));
    if (tries < 3 || tries % 10 == 0) {
      log::warning("waiting", {{"task", task_.name},
                               {"code", reason.code},
                               {"reason", reason.message},
                               {"remedy", reason.remedy}});
    }
    waiting_ = reason.message;
    show();
    if (!stop_.wait(pause)) return true;
    end(RunEnd::kStopped);
    return false;
  }

  bool open_when_reachable(OpenOptions open) {
    const auto since = steady_clock::now();
    int tries = 0;
    while (true) {
      if (stop_.raised()) {
        end(RunEnd::kStopped);
        return false;
      }
      auto opened = open_task(source_, open);
      if (opened) {
        opened_ = std::move(*opened);
        opened_before_ = true;
        for (const auto& note : opened_.notes) {
          log::info(note, {{"task", task_.name}});
        }
        return true;
      }
      Error& error = opened.error();
      const bool patient = !task_.retry_for || steady_clock::now() - since < *task_.retry_for;
      const bool may_heal = opened_before_ ? passes(error) : worth_waiting(error);
      // The group knows a member that left or was killed for a while longer.
      const bool may_leave = error.domain == Domain::kLedger && error.code == "running" &&
                             steady_clock::now() - since < kMembersLeave;
      // Whoever deletes a topic under a running task is probably about to create it again.
      const bool gone = opened_before_ && kafka::is_unknown_topic(error);
      const bool may_return = gone && (task_.source.on_gap == task::OnGap::kContinue ||
                                       steady_clock::now() - since < kTopicReturns);
      if (gone) error.remedy = "It was there before: was it deleted, or its ACL changed?";
      if (!(may_heal || may_leave || may_return) || !patient) {
        end(error.domain == Domain::kDocument ? RunEnd::kBadDocument : RunEnd::kFailed, error);
        return false;
      }
      if (!wait_for(error, tries++)) return false;
    }
  }

  // ---- lanes

  void start_lanes() {
    waiting_.clear();
    if (options_.until_end && ends_.empty()) {
      for (const auto& [key, marks] : opened_.watermarks) {
        ends_[key] = marks.end;
        const auto position = opened_.positions.find(key);
        const auto from = position == opened_.positions.end() ? marks.low : position->second;
        total_ += std::max<std::int64_t>(0, marks.end - from);
      }
    }
    const int partitions = std::max<int>(1, static_cast<int>(opened_.watermarks.size()));
    int lanes = 1;
    if (task_.tuning.lanes) {
      lanes = *task_.tuning.lanes;
    } else if (lag_of(opened_.positions, opened_.watermarks) >= kBacklog) {
      lanes = std::min(partitions, kAutoLanes);
    }
    auto kafka_properties = source_.kafka_properties();
    if (!kafka_properties) return end(RunEnd::kFailed, kafka_properties.error());
    config_ = LaneConfig{};
    config_.task = std::make_shared<const task::Task>(task_);
    config_.epoch = opened_.row.epoch;
    config_.positions = opened_.positions;
    config_.topics = opened_.row.topics;
    config_.table = opened_.table;
    config_.zone = opened_.zone;
    config_.writer.conninfo = source_.conninfo;
    config_.writer.instance = options_.instance;
    config_.writer.handle = opened_.handle;
    config_.writer.ledger = task_.keeps_ledger();
    config_.writer.on_failure = task_.on_failure;
    const int shares =
        std::max(lanes, task_.tuning.lanes ? lanes : std::min(partitions, kAutoLanes));
    const std::int64_t memory = task_.tuning.memory_mb * (1 << 20) / shares;
    config_.consumer.properties = std::move(*kafka_properties);
    config_.consumer.group = opened_.group;
    config_.consumer.client_id = "sluice-" + task_.name;
    config_.consumer.queue_bytes = memory / 2;
    config_.consumer.partitions = std::max(1, partitions / lanes);
    config_.batch_bytes = std::min(task_.tuning.batch_bytes, std::max<std::int64_t>(1, memory / 4));
    for (int i = 0; i < lanes; ++i) add_lane();
    note_lags();
    log::info("running",
              {{"task", task_.name},
               {"lanes", lanes},
               {"partitions", static_cast<int>(opened_.watermarks.size())},
               {"group", opened_.group},
               {"table", task_.has_many_tables() ? task_.target.table : opened_.table.qualified()},
               {"epoch", opened_.row.epoch}});
  }

  void add_lane() {
    const int fd = lane_event_;
    lanes_.push_back(std::make_unique<Lane>(config_, static_cast<int>(lanes_.size()),
                                            [fd] { eventfd_write(fd, 1); }));
  }

  void stop_lanes() {
    for (const auto& lane : lanes_) lane->stop();
    ends_of_lanes_.clear();
    for (auto& lane : lanes_) {
      while (!lane->end()) wait(kTick);
      ends_of_lanes_.push_back(*lane->end());
      past_.add(lane->figures());
    }
    lanes_.clear();
  }

  void wait(milliseconds time) const {
    pollfd fds[2] = {{stop_.fd(), POLLIN, 0}, {lane_event_, POLLIN, 0}};
    ::poll(fds, 2, static_cast<int>(time.count()));
    eventfd_t ignored = 0;
    if ((fds[1].revents & POLLIN) != 0) eventfd_read(lane_event_, &ignored);
  }

  // ---- watching

  // Until the task is done, stopped, or a lane has ended by itself.
  void watch() {
    auto ledger_at = steady_clock::now() + kLedgerPeriod;
    auto watch_at = steady_clock::now() + kFirstWatch;
    auto mark_at = watch_at;
    while (true) {
      wait(kTick);
      show();
      if (stop_.raised()) return end(RunEnd::kStopped);
      for (const auto& lane : lanes_) {
        if (lane->end()) return;
      }
      const auto now = steady_clock::now();
      if (options_.until_end && now >= ledger_at) {
        ledger_at = now + kLedgerPeriod;
        if (read_ledger() && reached_ends()) {
          look_at_ends();
          mark_complete();
          return end(RunEnd::kApplied);
        }
      }
      if (now >= mark_at) {
        mark_at = now + kMarkPeriod;
        mark_complete();
      }
      if (now >= watch_at) {
        watch_at = now + kWatchPeriod;
        if (!watch_topics()) return;
      }
    }
  }

  // The supervisor's own connection, with a deadline for what comes next.
  bool reconnect() {
    if (!opened_.connection->is_open()) {
      auto conninfo = source_.conninfo();
      if (!conninfo) return false;
      *opened_.connection = postgres::Connection();
      auto connected = opened_.connection->drive(
          opened_.connection->connect(*conninfo, "sluice supervisor", milliseconds(2'000)));
      if (!connected) return false;
    }
    opened_.connection->set_deadline(steady_clock::now() + seconds(5));
    return true;
  }

  void look_at_ends() {
    if (!reconnect()) return;
    auto marks = completeness_.look(*opened_.connection, *opened_.admin, opened_.topics);
    if (marks) opened_.watermarks = std::move(*marks);
  }

  void mark_complete() {
    if (task_.keeps_ledger() && completeness_.pending() && reconnect()) {
      completeness_.mark(*opened_.connection, opened_.handle);
    }
  }

  // The ledger is what counts, also for partitions that other processes have.
  bool read_ledger() {
    if (!task_.keeps_ledger()) return read_group_offsets();
    if (!reconnect()) return false;
    auto rows = opened_.connection->drive(ledger::read_ledger(*opened_.connection, opened_.handle));
    if (!rows) {
      opened_.connection->close();
      return false;
    }
    for (const auto& row : *rows) opened_.positions[row.key] = row.next_offset;
    return true;
  }

  bool read_group_offsets() {
    auto offsets =
        opened_.admin->committed(opened_.group, partitions_of(opened_.topics), milliseconds(2'000));
    if (!offsets) return false;
    for (const auto& [id, next] : *offsets) opened_.positions[{id.topic, id.partition}] = next;
    return true;
  }

  bool reached_ends() const {
    return std::all_of(ends_.begin(), ends_.end(), [&](const auto& end) {
      const auto position = opened_.positions.find(end.first);
      return position != opened_.positions.end() ? position->second >= end.second : end.second == 0;
    });
  }

  static std::int64_t lag_of(const std::map<ledger::Key, std::int64_t>& positions,
                             const std::map<ledger::Key, kafka::Watermarks>& watermarks) {
    std::int64_t lag = 0;
    for (const auto& [key, marks] : watermarks) {
      const auto position = positions.find(key);
      const auto from = position == positions.end() ? marks.low : position->second;
      lag += std::max<std::int64_t>(0, marks.end - from);
    }
    return lag;
  }

  void note_lags() {
    std::map<ledger::Key, PartitionLag> lags;
    for (const auto& [key, marks] : opened_.watermarks) {
      const auto position = opened_.positions.find(key);
      lags[key] = {position == opened_.positions.end() ? marks.low : position->second, marks.end};
    }
    partition_lags_ = std::make_shared<const std::map<ledger::Key, PartitionLag>>(std::move(lags));
  }

  // False when a topic is not the one that this task reads any more: the task is opened again,
  // which decides what that means.
  bool watch_topics() {
    if (stopped_by_others()) return false;  // an idle lane would learn it a minute later
    auto topics = opened_.admin->topics(task_.source.topics, milliseconds(2'000));
    if (!topics) return !kafka::is_unknown_topic(topics.error());  // lanes report the rest
    for (const auto& topic : *topics) {
      const auto known = opened_.row.topics.find(topic.name);
      if (known != opened_.row.topics.end() && !known->second.id.empty() && !topic.id.empty() &&
          known->second.id != topic.id) {
        log::warning("a topic was created again", {{"task", task_.name}, {"topic", topic.name}});
        return false;
      }
    }
    opened_.topics = std::move(*topics);
    look_at_ends();
    if (!options_.until_end) read_ledger();
    const std::int64_t lag = lag_of(opened_.positions, opened_.watermarks);
    lag_known_ = true;
    note_lags();
    log::info("progress", {{"task", task_.name},
                           {"rows", progress().tally.written},
                           {"lag", lag},
                           {"rows_per_second", rate_}});
    const int wanted = std::min(static_cast<int>(opened_.watermarks.size()), kAutoLanes);
    if (!task_.tuning.lanes && lag >= kBacklog && static_cast<int>(lanes_.size()) < wanted) {
      add_lane();
      log::info("a lane was added for the backlog", {{"task", task_.name}, {"lag", lag}});
    }
    return true;
  }

  // ---- ends

  // Some lane ended by itself: what does that mean for the task?
  void judge_ends() {
    const LaneEnd* halted = nullptr;
    const LaneEnd* failed = nullptr;
    const LaneEnd* gap = nullptr;
    bool fenced = false;
    for (const auto& end : ends_of_lanes_) {
      if (end.kind == LaneEnd::Kind::kHalted) halted = &end;
      if (end.kind == LaneEnd::Kind::kFailed) failed = &end;
      if (end.kind == LaneEnd::Kind::kGap) gap = &end;
      fenced = fenced || end.kind == LaneEnd::Kind::kFenced;
    }
    if (halted != nullptr) return halt(*halted);
    if (failed != nullptr) return end(RunEnd::kFailed, failed->error);
    if (fenced && stopped_by_others()) return;
    const auto now = steady_clock::now();
    if (now - restarted_at_ > seconds(60)) restarts_ = 0;
    restarted_at_ = now;
    if (++restarts_ > kRestartsInARow) {
      if (gap != nullptr) return end(RunEnd::kFailed, gap->error);
      return end(RunEnd::kFailed, fail(Domain::kLedger, "fenced",
                                       "the ledger's epoch keeps changing under this process",
                                       "Look for another process that runs this task.")
                                      .value());
    }
    if (gap != nullptr) (void)wait_for(gap->error, restarts_ - 1);
  }

  // Policy retain: what stopped the task is written down before the process ends, in a transaction
  // of its own that raises the epoch, so that other processes of the task end as well.
  void halt(const LaneEnd& halted) {
    ledger::HaltNote note;
    note.reason = fmt::format("{} {}", name_of(halted.error.domain), halted.error.code);
    note.message = to_string(halted.error);
    note.key = halted.key;
    note.offset = halted.offset;
    ledger::EpochChange change;
    change.halt = note;
    change.only_from = opened_.row.epoch;  // not a newer revision
    int tries = 0;
    while (task_.keeps_ledger()) {
      Result<bool> written = write_halt(change);
      if (written) break;
      if (!passes(written.error()) || stop_.wait(milliseconds(200) * ++tries) || tries > 50) {
        log::error("the halt could not be written to the ledger",
                   {{"task", task_.name}, {"code", written.error().code}});
        break;
      }
    }
    end(RunEnd::kHalted, halted.error);
    report_->halt_key = halted.key;
    report_->halt_offset = halted.offset;
    report_->halt_excerpt = halted.excerpt;
  }

  Result<bool> write_halt(const ledger::EpochChange& change) {
    if (!opened_.connection->is_open()) {
      auto conninfo = source_.conninfo();
      if (!conninfo) return fail(conninfo.error());
      *opened_.connection = postgres::Connection();
      auto connected = opened_.connection->drive(
          opened_.connection->connect(*conninfo, "sluice supervisor", milliseconds(5'000)));
      if (!connected) return connected;
    }
    opened_.connection->set_deadline(steady_clock::now() + seconds(30));
    auto raised =
        opened_.connection->drive(ledger::raise_epoch(*opened_.connection, opened_.handle, change));
    if (!raised) {
      if (raised.error().code == "55P03") {  // a frozen process may hold its locks for ever
        (void)opened_.connection->drive(
            ledger::end_stopped_holder(*opened_.connection, opened_.handle, {}));
      }
      opened_.connection->close();
      return fail(raised.error());
    }
    return true;
  }

  // After a newer epoch: did another process halt the task, or take it over with another document?
  bool stopped_by_others() {
    if (!task_.keeps_ledger()) return false;
    auto row =
        reconnect()
            ? opened_.connection->drive(ledger::read_task(*opened_.connection, opened_.handle))
            : Result<std::optional<ledger::TaskRow>>(std::nullopt);
    if (!row || !*row) return false;
    const ledger::TaskRow& now = **row;
    if (now.halt) {
      end(RunEnd::kHalted,
          fail(Domain::kLedger, "halted",
               fmt::format("another process of this task halted it: {}", now.halt->message),
               "Mend the cause and start the task again.")
              .value());
      report_->halt_key = now.halt->key;
      report_->halt_offset = now.halt->offset;
      return true;
    }
    if (now.uid != opened_.row.uid ||
        now.identity.document_hash != opened_.row.identity.document_hash) {
      end(RunEnd::kFailed, fail(Domain::kLedger, "fenced",
                                "another process took this task over with another document",
                                "Run the same document here to share its partitions.")
                               .value());
      return true;
    }
    return false;
  }

  void end(RunEnd how) {
    report_.emplace();
    report_->end = how;
  }
  void end(RunEnd how, Error error) {
    end(how);
    report_->errors.push_back(std::move(error));
  }

  // ---- figures

  Progress progress() {
    LaneFigures sum = past_;
    Progress progress;
    progress.state = lanes_.empty() ? "starting" : "running";
    for (const auto& lane : lanes_) {
      const LaneFigures figures = lane->figures();
      sum.add(figures);
      progress.partitions += figures.partitions;
      if (!figures.retrying.empty()) {
        progress.state = "retrying";
        progress.reason = figures.retrying;
      }
    }
    if (!waiting_.empty()) {
      progress.state = "retrying";
      progress.reason = waiting_;
    }
    progress.tally = sum.tally;
    progress.batches = sum.batches;
    progress.bytes = sum.bytes;
    progress.failed_message = sum.failed_message;
    progress.failed_data = sum.failed_data;
    progress.connects = sum.connects;
    progress.alterations = sum.alterations;
    progress.commit_seconds = sum.commit_seconds;
    progress.latency_seconds = sum.latency_seconds;
    progress.partition_lags = partition_lags_;
    progress.lanes = static_cast<int>(lanes_.size());
    const std::int64_t handled = sum.tally.written + sum.tally.deleted + sum.tally.ignored +
                                 sum.tally.discarded + sum.tally.dead;
    if (options_.until_end) {
      progress.total = total_;
      progress.lag = std::max<std::int64_t>(0, total_ - handled);
    } else if (lag_known_) {
      progress.lag = lag_of(opened_.positions, opened_.watermarks);
    }
    const auto now = steady_clock::now();
    progress.elapsed = duration_cast<milliseconds>(now - started_);
    // The rate of the last two seconds or so.
    samples_.push_back({now, handled});
    while (samples_.size() > 2 && now - samples_.front().first > seconds(2)) {
      samples_.erase(samples_.begin());
    }
    const double span = duration<double>(now - samples_.front().first).count();
    rate_ = span > 0.05 ? static_cast<double>(handled - samples_.front().second) / span : rate_;
    progress.rows_per_second = rate_;
    return progress;
  }

  void show() {
    const Progress now = progress();
    if (options_.on_progress) options_.on_progress(now);
  }

  const TaskSource& source_;
  const task::Task& task_;
  const RunOptions& options_;
  const StopSignal stop_;
  int lane_event_ = -1;

  OpenedTask opened_;
  bool opened_before_ = false;
  LaneConfig config_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<LaneEnd> ends_of_lanes_;
  LaneFigures past_;                          // of lanes that have ended
  std::map<ledger::Key, std::int64_t> ends_;  // with until_end: where the topics ended at the start
  std::int64_t total_ = 0;
  bool lag_known_ = false;
  Completeness completeness_;
  std::shared_ptr<const std::map<ledger::Key, PartitionLag>> partition_lags_;
  std::string waiting_;
  int restarts_ = 0;
  steady_clock::time_point restarted_at_;
  std::optional<RunReport> report_;

  const steady_clock::time_point started_ = steady_clock::now();
  std::vector<std::pair<steady_clock::time_point, std::int64_t>> samples_;
  double rate_ = 0;
};

}  // namespace

RunReport run(const TaskSource& source, const RunOptions& options, StopSignal stop) {
  return Supervisor(source, options, stop).run();
}

}  // namespace sluice::pipeline
