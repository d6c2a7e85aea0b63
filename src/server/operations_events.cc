// Operations: events, their catalogue and their stream; the audit.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "server/api.h"

namespace sluice::server {
namespace {

using control::AuditFilter;
using control::EventFilter;
using control::Page;
using control::refuse;

constexpr int kUsualEvents = 50;
constexpr int kStreamPage = 200;  // events sent at once
// The right to a stream is looked at again after so many polls.
constexpr int kPollsTrusted = 10;

std::optional<std::int64_t> id_of(std::string_view text) {
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool good = error == std::errc() && end == text.data() + text.size() && id >= 0;
  return good ? std::optional(id) : std::nullopt;
}

bool is_event_type(std::string_view type) {
  const auto kinds = control::event_kinds();
  return std::any_of(kinds.begin(), kinds.end(),
                     [&](const control::EventKind& kind) { return kind.type == type; });
}

// Newest first, so the cursor is the last id.
Page newest_first() {
  Page page;
  page.sort = "id";
  page.descending = true;
  return page;
}

struct Part {
  int limit = kUsualEvents;
  std::optional<std::int64_t> before;
};
Answer<Part> part_of(const Call& call) {
  Part part;
  auto limit = call.number("limit", 1, control::kMaxPage, kUsualEvents);
  if (!limit) return tl::unexpected(limit.error());
  part.limit = static_cast<int>(*limit);
  if (!call.query.contains("cursor")) return part;
  auto after = control::read_cursor(newest_first(), call.parameter("cursor"));
  if (!after) return tl::unexpected(after.error());
  part.before = id_of(after->id);
  if (!part.before) return refuse("bad_cursor", "cursor is not one that this list gave");
  return part;
}

// `rows` has one more than the page, if there is more.
Reply list_reply(boost::json::array rows, int limit, std::int64_t total) {
  boost::json::value next = nullptr;
  if (rows.size() > static_cast<std::size_t>(limit)) {
    rows.pop_back();
    const std::string id = std::to_string(rows.back().at("id").as_int64());
    next = control::cursor_of(newest_first(), id, id);
  }
  return Reply{200,
               {{"items", std::move(rows)}, {"next_cursor", std::move(next)}, {"total", total}}};
}

// What the list and the stream share.
Answer<EventFilter> filter_of(const Call& call) {
  EventFilter filter;
  filter.type = call.parameter("type");
  if (call.query.contains("type") && !is_event_type(filter.type)) {
    return refuse_parameter("type", "takes one of the types that GET /api/v1/event-types lists");
  }
  filter.severity = call.parameter("severity");
  if (call.query.contains("severity") && filter.severity != "info" &&
      filter.severity != "warning" && filter.severity != "error") {
    return refuse_parameter("severity", "takes one of info, warning, error");
  }
  filter.subject_kind = call.parameter("kind");
  if (call.query.contains("kind") && filter.subject_kind != "task" &&
      filter.subject_kind != "connection" && filter.subject_kind != "account" &&
      filter.subject_kind != "server") {
    return refuse_parameter("kind", "takes one of task, connection, account, server");
  }
  filter.subject_id = call.parameter("subject");
  filter.search = call.parameter("search");
  return filter;
}

Answer<Reply> list_events(Call& call) {
  auto filter = filter_of(call);
  if (!filter) return tl::unexpected(filter.error());
  auto since = call.time("since"), until = call.time("until");
  if (!since) return tl::unexpected(since.error());
  if (!until) return tl::unexpected(until.error());
  filter->since = std::move(*since);
  filter->until = std::move(*until);
  const auto part = part_of(call);
  if (!part) return tl::unexpected(part.error());
  filter->before_id = part->before;
  filter->limit = part->limit + 1;
  auto events = call.control.events.list(*filter);
  if (!events) return tl::unexpected(events.error());
  const auto total = call.control.events.count(*filter);
  if (!total) return tl::unexpected(total.error());
  return list_reply(std::move(*events), part->limit, *total);
}

Answer<Reply> show_event(Call& call) {
  const auto id = id_of(call.path[0]);
  if (!id) return control::not_found("event", call.path[0]);
  auto event = call.control.events.event(*id);
  if (!event) return tl::unexpected(event.error());
  return Reply{200, std::move(*event)};
}

Answer<Reply> list_event_types(Call& call) {
  boost::json::array items;
  const bool chinese = call.language == control::Language::kChinese;
  for (const auto& kind : control::event_kinds()) {
    items.push_back({{"type", kind.type},
                     {"severity", control::name_of(kind.severity)},
                     {"title", chinese ? kind.title_zh : kind.title},
                     {"data", kind.data}});
  }
  const auto total = items.size();
  return Reply{200, {{"items", std::move(items)}, {"next_cursor", nullptr}, {"total", total}}};
}

// Called once a second on one thread at a time.
class EventStream {
 public:
  EventStream(control::Control& control, EventFilter filter, Caller caller)
      : control_(control), filter_(std::move(filter)), caller_(std::move(caller)) {}

  std::optional<std::string> operator()() {
    if (++polls_ % kPollsTrusted == 0 && !control_.access.still_counts(caller_)) {
      return std::nullopt;
    }
    std::string out;
    if (polls_ == 1) {  // what a client that is cut off goes on behind
      out = server_sent("start", boost::json::object{{"after", *filter_.after_id}},
                        *filter_.after_id);
    }
    const auto events = control_.events.list(filter_);
    if (!events) return out;  // the database is away: later
    for (const auto& event : *events) {
      const std::int64_t id = event.at("id").as_int64();
      out += server_sent("event", event, id);
      filter_.after_id = id;
    }
    return out;
  }

 private:
  control::Control& control_;
  EventFilter filter_;
  const Caller caller_;
  int polls_ = 0;
};

Answer<Reply> stream_events(Call& call) {
  auto filter = filter_of(call);
  if (!filter) return tl::unexpected(filter.error());
  filter->limit = kStreamPage;
  // What the browser remembers goes before what the address said when it was first opened.
  const auto last = call.request.header("last-event-id");
  if (last && !last->empty()) {
    filter->after_id = id_of(*last);
    if (!filter->after_id) return refuse("bad_request", "Last-Event-ID takes the id of an event");
  } else if (call.query.contains("after")) {
    const auto after = call.number("after", 0, INT64_MAX, 0);
    if (!after) return tl::unexpected(after.error());
    filter->after_id = *after;
  } else {
    const auto newest = call.control.events.newest_id();
    if (!newest) return tl::unexpected(newest.error());
    filter->after_id = *newest;
  }
  Reply reply;
  reply.stream = EventStream(call.control, std::move(*filter), call.caller);
  reply.stream_every = std::chrono::seconds(1);
  return reply;
}

Answer<Reply> list_audit(Call& call) {
  AuditFilter filter;
  filter.account = call.parameter("account");
  filter.operation = call.parameter("operation");
  filter.subject_id = call.parameter("subject");
  auto since = call.time("since"), until = call.time("until");
  if (!since) return tl::unexpected(since.error());
  if (!until) return tl::unexpected(until.error());
  filter.since = std::move(*since);
  filter.until = std::move(*until);
  const auto part = part_of(call);
  if (!part) return tl::unexpected(part.error());
  filter.before_id = part->before;
  filter.limit = part->limit + 1;
  auto entries = call.control.events.list_audit(filter);
  if (!entries) return tl::unexpected(entries.error());
  const auto total = call.control.events.count_audit(filter);
  if (!total) return tl::unexpected(total.error());
  return list_reply(std::move(*entries), part->limit, *total);
}

const Operation kOperations[] = {
    {.method = "GET",
     .path = "/api/v1/events",
     .name = "listEvents",
     .role = Role::kViewer,
     .query = "type severity subject kind search since until limit cursor",
     .perform = list_events},
    {.method = "GET",
     .path = "/api/v1/events/stream",
     .name = "streamEvents",
     .role = Role::kViewer,
     .query = "type severity subject kind search after",
     .perform = stream_events},
    {.method = "GET",
     .path = "/api/v1/events/{id}",
     .name = "showEvent",
     .role = Role::kViewer,
     .perform = show_event},
    {.method = "GET",
     .path = "/api/v1/event-types",
     .name = "listEventTypes",
     .role = Role::kViewer,
     .perform = list_event_types},
    {.method = "GET",
     .path = "/api/v1/audit",
     .name = "listAudit",
     .role = Role::kAdmin,
     .query = "account operation subject since until limit cursor",
     .perform = list_audit},
};

}  // namespace

std::span<const Operation> event_operations() { return kOperations; }

}  // namespace sluice::server
