#include "control/problem.h"

#include <fmt/format.h>

#include <utility>

namespace sluice::control {
namespace {

// By status, then by code.
constexpr ProblemKind kKinds[] = {
    {"bad_request", 400, "The request cannot be read", "无法读取请求",
     "See the description of the operation in the API reference.",
     "请查阅 API 参考中该操作的说明。"},
    {"bad_json", 400, "The body is not JSON", "请求体不是有效的 JSON",
     "Send one JSON object in UTF-8.", "请发送一个 UTF-8 编码的 JSON 对象。"},
    {"bad_cursor", 400, "The cursor is not one of this list", "游标不属于此列表",
     "Begin again without cursor.", "请去掉 cursor 重新开始。"},
    {"not_logged_in", 401, "Log in first", "请先登录",
     "Log in with POST /api/v1/login, or send a token: Authorization: Bearer TOKEN.",
     "请通过 POST /api/v1/login 登录，或发送令牌：Authorization: Bearer TOKEN。"},
    {"login_refused", 401, "User or password is wrong", "用户名或密码错误",
     "Check both; after several wrong ones the log-in is locked for a while.",
     "请检查用户名和密码；多次失败后将暂时锁定登录。"},
    {"bad_csrf_token", 403, "The request does not come from the console", "请求并非来自控制台",
     "Send the csrf_token of the log-in in the header X-CSRF-Token.",
     "请在 X-CSRF-Token 头中发送登录时得到的 csrf_token。"},
    {"not_allowed", 403, "Your role does not allow this", "您的角色无权执行此操作",
     "Ask an administrator.", "请联系管理员。"},
    {"not_found", 404, "There is no such thing", "对象不存在", "List what there is.",
     "请先列出现有对象。"},
    {"method_not_allowed", 405, "This method does not exist here", "此处不支持该方法",
     "The header Allow names those that do.", "Allow 头列出了可用的方法。"},
    {"not_acceptable", 406, "No such representation", "不支持所请求的表示形式",
     "Accept application/json.", "请接受 application/json。"},
    {"name_taken", 409, "The name is taken", "名称已被占用", "Choose another name.",
     "请换一个名称。"},
    {"last_admin", 409, "It is the last administrator", "这是最后一个管理员",
     "Make another enabled administrator first.", "请先创建另一个启用的管理员账号。"},
    {"in_use", 409, "It is in use", "对象正在使用中", "End its use first.", "请先解除引用。"},
    {"wrong_state", 409, "The state does not allow this", "当前状态不允许此操作",
     "See the table of states in docs/reference/states.md.",
     "请参阅 docs/reference/states.md 中的状态表。"},
    {"confirmation_needed", 409, "This needs a confirmation", "此操作需要确认",
     "Read what it means, then send the same with \"confirm\" as given.",
     "请确认影响后，携带给定的 confirm 再次发送。"},
    {"quota_reached", 409, "The quota is reached", "已达到配额",
     "Delete what is no longer needed, or raise the limit in the configuration.",
     "请删除不再需要的对象，或在配置中提高上限。"},
    {"request_in_progress", 409, "The same request is at work", "相同的请求正在处理",
     "Wait, then ask again with the same Idempotency-Key.",
     "请稍候，再以相同的 Idempotency-Key 查询。"},
    {"stale", 412, "It was changed meanwhile", "对象已被他人修改",
     "Read it again and repeat the change with its new ETag.",
     "请重新读取，并以新的 ETag 再次修改。"},
    {"body_too_large", 413, "The body is too large", "请求体过大", "Send less.", "请缩小请求体。"},
    {"uri_too_long", 414, "The address is too long", "地址过长", "Shorten it.", "请缩短地址。"},
    {"media_type", 415, "The body's media type is not taken", "不支持的媒体类型",
     "Send Content-Type: application/json.", "请发送 Content-Type: application/json。"},
    {"invalid", 422, "Something in the request is not valid", "请求内容无效",
     "`fields` names each member and what it takes.", "fields 列出了每个字段及其要求。"},
    {"invalid_document", 422, "The task document is not valid", "任务文档无效",
     "docs/reference/task.md has every key.", "所有键见 docs/reference/task.md。"},
    {"check_failed", 422, "The check found errors", "检查未通过",
     "`findings` says what and how to mend it.", "findings 说明了问题及解决办法。"},
    {"connection_not_ready", 422, "The connection has not passed its check", "连接未通过检查",
     "Check it with POST /api/v1/connections/{id}/check and mend what it names.",
     "请通过 POST /api/v1/connections/{id}/check 检查并修复问题。"},
    {"key_reused", 422, "The Idempotency-Key belongs to another request",
     "Idempotency-Key 已用于其他请求", "Use a new key for a new request.",
     "新的请求请使用新的键。"},
    {"locked_out", 429, "Too many wrong log-ins", "登录失败次数过多",
     "Wait as long as Retry-After says.", "请等待 Retry-After 指定的时间。"},
    {"too_many_requests", 429, "Too many requests", "请求过于频繁",
     "Wait as long as Retry-After says.", "请等待 Retry-After 指定的时间。"},
    {"header_too_large", 431, "The headers are too large", "请求头过大", "Send less.",
     "请缩小请求头。"},
    {"internal", 500, "Something is wrong inside Sluice", "内部错误",
     "Look at the server's log for the request id, and report it.",
     "请在服务器日志中按请求 ID 查找并反馈。"},
    {"connection_failed", 502, "The connection's server does not answer as it should",
     "连接的服务器未正常应答", "Check the connection.", "请检查该连接。"},
    {"database_unavailable", 503, "The control database cannot be reached", "控制数据库不可用",
     "Tasks go on; try again when it is back.", "任务不受影响；数据库恢复后请重试。"},
    {"stopping", 503, "The server is stopping", "服务器正在停止", "Try again in a moment.",
     "请稍后重试。"},
    {"busy", 503, "The server is busy", "服务器繁忙", "Try again in a moment.", "请稍后重试。"},
};

}  // namespace

std::span<const ProblemKind> problem_kinds() { return kKinds; }

std::string problems_markdown() {
  std::string out =
      "# Problems\n\nMade from `src/control/problem.cc`. What the API refuses is answered with a "
      "problem document (RFC 9457, `application/problem+json`): `type` "
      "(`urn:sluice:problem:CODE`), `title`, `status`, `code`, `detail`, `advice`, `request_id`, "
      "and where they apply `fields` (each a `path` and a `message`), `retry_after` (seconds) and "
      "members that the code's own advice names. `title` and `advice` are Chinese if "
      "Accept-Language prefers it.\n\n| code | status | title | advice | 中文 | 建议 "
      "|\n|---|---|---|---|---|---|\n";
  for (const auto& kind : kKinds) {
    out += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", kind.code, kind.status, kind.title,
                       kind.advice, kind.title_zh, kind.advice_zh);
  }
  return out;
}

const ProblemKind& problem_kind(std::string_view code) {
  for (const auto& kind : kKinds) {
    if (kind.code == code) return kind;
  }
  SLUICE_CHECK(!"a problem's code is in the table");
  return kKinds[0];
}

tl::unexpected<Problem> refuse(std::string_view code, std::string detail, std::string advice) {
  return refuse(Problem{std::string(code), std::move(detail), std::move(advice)});
}

tl::unexpected<Problem> not_found(std::string_view what, std::string_view id) {
  return refuse("not_found", fmt::format("there is no {} \"{}\"", what, id));
}

tl::unexpected<Problem> refuse(std::string_view code, const Error& error) {
  return refuse(code, error.message, error.remedy);
}

tl::unexpected<Problem> refuse_document(const std::vector<Error>& errors) {
  Problem problem{"invalid_document", fmt::format("the task document has {} error{}", errors.size(),
                                                  errors.size() == 1 ? "" : "s")};
  for (const auto& error : errors) problem.fields.push_back({error.code, error.message});
  return refuse(std::move(problem));
}

}  // namespace sluice::control
