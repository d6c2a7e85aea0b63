// The catalogue of events.
#include <fmt/format.h>

#include "base/result.h"
#include "control/events.h"

namespace sluice::control {
namespace {

using enum Severity;

constexpr EventKind kKinds[] = {
    {"server.started", kInfo, "The server started", "服务已启动", "version, address"},
    {"server.stopped", kInfo, "The server stopped", "服务已停止", "version"},
    {"task.created", kInfo, "A task was created", "任务已创建", "revision"},
    {"task.state_changed", kInfo, "A task changed its state", "任务状态变更", "from, to, reason"},
    {"task.failed", kError, "A task ended by itself", "任务异常终止",
     "code, remedy; topic, partition, offset where a message stopped it"},
    {"task.edited", kInfo, "A task has a new revision", "任务已修改", "revision, keys"},
    {"task.copied", kInfo, "A task was copied", "任务已复制", "from"},
    {"task.moved", kWarning, "A task's position was moved", "任务位点已调整",
     "skipped, repeated, from"},
    {"task.finding", kWarning, "The check of a task found something", "任务检查发现问题",
     "step, subject, remedy"},
    {"task.table_altered", kInfo, "The table follows its source", "目标表结构已同步",
     "table, statement"},
    {"task.table_joined", kInfo, "A table joins the task", "新表加入任务", "table"},
    {"task.table_compiled", kInfo, "Somebody altered the table: compiled anew",
     "目标表已变更，重新编译", "table"},
    {"task.structure_missing", kWarning, "The table has not all that messages ask for",
     "目标表缺少消息所需的列", "table, statement"},
    {"task.gap", kWarning, "Messages were gone before they were applied", "消息在写入前已丢失",
     "topic, partition, from, to, reason"},
    {"task.letters", kWarning, "Messages could not be applied and were set aside",
     "部分消息写入失败", "discarded, dead_letters, code"},
    {"task.placeholder", kWarning, "A value that was not sent is not known here",
     "未发送的值无法获得", "table, column, topic, partition, offset"},
    {"task.topic_created_again", kWarning, "A topic was deleted and created again",
     "主题被重新创建", "topic"},
    {"task.new_partition", kInfo, "A topic has a new partition", "主题新增分区",
     "topic, partition"},
    {"task.rebalance", kInfo, "Partitions were handed out anew", "分区重新分配", "partitions"},
    {"task.rebalance_storm", kWarning, "Partitions are handed out again and again",
     "分区频繁重新分配", "times, seconds"},
    {"task.ledger_elsewhere", kWarning, "The ledger was moved: going on from its positions",
     "账本位点已变动", "topic, partition"},
    {"task.session_ended", kWarning, "A stopped session that held the ledger was ended",
     "已结束占用账本的会话", ""},
    {"task.note", kInfo, "Said when the task was opened", "任务启动提示", ""},
    {"connection.created", kInfo, "A connection was made", "连接已创建", "type"},
    {"connection.edited", kInfo, "A connection was changed", "连接已修改", "keys"},
    {"connection.deleted", kInfo, "A connection was deleted", "连接已删除", ""},
    {"connection.ready", kInfo, "A connection passed its check", "连接校验通过", "milliseconds"},
    {"connection.failed", kError, "A connection did not pass its check", "连接校验失败",
     "step, code, remedy"},
    {"account.created", kInfo, "An account was made", "账号已创建", "role"},
    {"account.changed", kInfo, "An account was changed", "账号已修改", "keys"},
    {"account.deleted", kInfo, "An account was deleted", "账号已删除", ""},
    {"account.locked", kWarning, "An account is locked after wrong passwords", "账号已锁定",
     "failures, seconds, address"},
    {"token.created", kInfo, "A token was made", "令牌已创建", "role"},
    {"token.revoked", kInfo, "A token was revoked", "令牌已吊销", ""},
    {"quota.reached", kWarning, "A quota is reached", "已达到配额", "what, limit"},
    {"database.lost", kError, "The control database could not be reached", "控制数据库不可用", ""},
    {"database.back", kInfo, "The control database is back", "控制数据库已恢复", "seconds"},
};

}  // namespace

std::string_view name_of(Severity severity) {
  constexpr std::string_view kNames[] = {"info", "warning", "error"};
  return kNames[static_cast<std::size_t>(severity)];
}

std::span<const EventKind> event_kinds() { return kKinds; }

const EventKind& event_kind(std::string_view type) {
  for (const auto& kind : kKinds) {
    if (kind.type == type) return kind;
  }
  SLUICE_CHECK(!"an event's type is in the catalogue");
  return kKinds[0];
}

std::string events_markdown() {
  std::string out =
      "# Events\n\nMade from `src/control/event_kinds.cc`. An event has id, at, type, severity, "
      "subject (kind, id, name), message and data.\n\n"
      "| type | severity | what it says | 中文 | data |\n|---|---|---|---|---|\n";
  for (const auto& kind : kKinds) {
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", kind.type, name_of(kind.severity),
                       kind.title, kind.title_zh, kind.data);
  }
  return out;
}

}  // namespace sluice::control
