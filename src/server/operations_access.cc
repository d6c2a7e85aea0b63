// Operations: log-in, accounts, tokens; and what there is to call.
#include <fmt/format.h>

#include "server/api.h"

namespace sluice::server {
namespace {

constexpr std::size_t kMostName = 64, kMostPassword = 128;

// Seconds of 0 make the browser forget it.
std::string cookie_of(const Call& call, const std::string& session, std::int64_t seconds) {
  const bool secure = !call.control.settings.tls_certificate.empty();
  return fmt::format("sluice_session={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{}", session,
                     seconds, secure ? "; Secure" : "");
}

Reply no_content() { return Reply{204}; }

Answer<Reply> log_in(Call& call) {
  control::Body body(call.body);
  const auto user = body.text("user", {.min = 1, .max = kMostName}, true);
  const auto password = body.text("password", {.min = 1, .max = kMostPassword}, true);
  if (auto good = body.finish(); !good) return tl::unexpected(good.error());
  auto log_in = call.control.access.log_in(*user, *password, call.caller);
  if (!log_in) return tl::unexpected(log_in.error());
  Reply reply;
  reply.body = {{"account", std::move(log_in->account)},
                {"csrf_token", log_in->csrf},
                {"expires_in", log_in->lives_seconds}};
  reply.headers.emplace_back("Set-Cookie", cookie_of(call, log_in->session, log_in->lives_seconds));
  return reply;
}

Answer<Reply> log_out(Call& call) {
  auto ended = call.control.access.log_out(call.caller);
  if (!ended) return tl::unexpected(ended.error());
  Reply reply = no_content();
  reply.headers.emplace_back("Set-Cookie", cookie_of(call, "", 0));
  return reply;
}

// The answer of a function of control, as it is.
Answer<Reply> reply_of(Answer<boost::json::object> answer) {
  if (!answer) return tl::unexpected(answer.error());
  return with_etag(std::move(*answer));
}

Answer<Reply> nothing_of(const Answer<bool>& answer) {
  if (!answer) return tl::unexpected(answer.error());
  return no_content();
}

Answer<Reply> created_of(Answer<boost::json::object> answer, std::string_view place) {
  if (!answer) return tl::unexpected(answer.error());
  std::string location = fmt::format("{}/{}", place, answer->at("id").as_string().c_str());
  return created(std::move(*answer), std::move(location));
}

Answer<Reply> me(Call& call) { return reply_of(call.control.access.me(call.caller)); }

Answer<Reply> change_password(Call& call) {
  return nothing_of(call.control.access.change_password(call.caller, call.body));
}

Answer<Reply> list_accounts(Call& call) {
  const auto page = call.page({"name"});
  if (!page) return tl::unexpected(page.error());
  return reply_of(call.control.access.accounts(*page));
}

Answer<Reply> create_account(Call& call) {
  return created_of(call.control.access.create_account(call.caller, call.body), "/api/v1/accounts");
}

Answer<Reply> show_account(Call& call) {
  return reply_of(call.control.access.account(call.path[0]));
}

Answer<Reply> edit_account(Call& call) {
  const auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  return reply_of(call.control.access.edit_account(call.caller, call.path[0], *version, call.body));
}

Answer<Reply> delete_account(Call& call) {
  const auto version = call.if_match();
  if (!version) return tl::unexpected(version.error());
  return nothing_of(call.control.access.delete_account(call.caller, call.path[0], *version));
}

Answer<Reply> list_tokens(Call& call) {
  const auto page = call.page({"name"});
  if (!page) return tl::unexpected(page.error());
  return reply_of(call.control.access.tokens(call.caller, *page));
}

Answer<Reply> create_token(Call& call) {
  return created_of(call.control.access.create_token(call.caller, call.body), "/api/v1/tokens");
}

Answer<Reply> revoke_token(Call& call) {
  return nothing_of(call.control.access.revoke_token(call.caller, call.path[0]));
}

Answer<Reply> list_operations(Call& call) {
  boost::json::array items;
  for (const Operation* operation : all_operations()) {
    items.push_back({{"name", operation->name},
                     {"method", operation->method},
                     {"path", operation->path},
                     {"role", control::name_of(operation->role)},
                     {"allowed", control::role_of(call.caller.role) >= operation->role}});
  }
  const auto total = items.size();
  return Reply{200, {{"items", std::move(items)}, {"next_cursor", nullptr}, {"total", total}}};
}

constexpr std::string_view kPage = "limit cursor sort search";

const Operation kOperations[] = {
    {.method = "POST",
     .path = "/api/v1/login",
     .name = "logIn",
     .role = Role::kNobody,
     .takes_body = true,
     .perform = log_in},
    {.method = "POST",
     .path = "/api/v1/logout",
     .name = "logOut",
     .role = Role::kViewer,
     .perform = log_out},
    {.method = "GET",
     .path = "/api/v1/operations",
     .name = "listOperations",
     .role = Role::kViewer,
     .perform = list_operations},
    {.method = "GET", .path = "/api/v1/me", .name = "me", .role = Role::kViewer, .perform = me},
    {.method = "PUT",
     .path = "/api/v1/me/password",
     .name = "changePassword",
     .role = Role::kViewer,
     .takes_body = true,
     .perform = change_password},
    {.method = "GET",
     .path = "/api/v1/accounts",
     .name = "listAccounts",
     .role = Role::kAdmin,
     .query = kPage,
     .perform = list_accounts},
    {.method = "POST",
     .path = "/api/v1/accounts",
     .name = "createAccount",
     .role = Role::kAdmin,
     .takes_body = true,
     .creates = true,
     .perform = create_account},
    {.method = "GET",
     .path = "/api/v1/accounts/{id}",
     .name = "showAccount",
     .role = Role::kAdmin,
     .perform = show_account},
    {.method = "PATCH",
     .path = "/api/v1/accounts/{id}",
     .name = "editAccount",
     .role = Role::kAdmin,
     .takes_body = true,
     .perform = edit_account},
    {.method = "DELETE",
     .path = "/api/v1/accounts/{id}",
     .name = "deleteAccount",
     .role = Role::kAdmin,
     .perform = delete_account},
    {.method = "GET",
     .path = "/api/v1/tokens",
     .name = "listTokens",
     .role = Role::kViewer,
     .query = kPage,
     .perform = list_tokens},
    {.method = "POST",
     .path = "/api/v1/tokens",
     .name = "createToken",
     .role = Role::kViewer,
     .takes_body = true,
     .creates = true,
     .secret = "token",
     .perform = create_token},
    {.method = "DELETE",
     .path = "/api/v1/tokens/{id}",
     .name = "revokeToken",
     .role = Role::kViewer,
     .perform = revoke_token},
};

}  // namespace

std::span<const Operation> access_operations() { return kOperations; }

}  // namespace sluice::server
