#include "control/browse.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "control/connection_check.h"
#include "kafka/admin.h"
#include "kafka/errors.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"

namespace sluice::control {
namespace {

using std::chrono::steady_clock;
using Look = Connections::Look;

constexpr std::size_t kMostPartitions = 10'000;  // of one topic or group, in one answer

Answer<std::optional<Page::After>> after_of(const Look& look, const Page& page) {
  if (look.cursor.empty()) return std::nullopt;
  auto after = read_cursor(page, look.cursor);
  if (!after) return tl::unexpected(after.error());
  return std::move(*after);
}

// ---- PostgreSQL ----

// A list as a SELECT of its rows: the first column is what they are sorted and searched by.
struct Listing {
  std::string_view sql;
  std::vector<std::string_view> members;  // names of the columns in the answer
  std::string_view flags;                 // those that are true or false, by blanks
  std::string_view numbers;
};

const Listing* listing_of(std::string_view what) {
  static const std::map<std::string_view, Listing> kListings{
      {"databases",
       {"SELECT d.datname::text, pg_catalog.pg_get_userbyid(d.datdba)::text,"
        " pg_catalog.pg_encoding_to_char(d.encoding)::text,"
        " pg_catalog.has_database_privilege(d.oid, 'CONNECT')::text"
        " FROM pg_catalog.pg_database d WHERE d.datallowconn AND NOT d.datistemplate",
        {"name", "owner", "encoding", "may_connect"},
        "may_connect",
        ""}},
      {"schemas",
       {"SELECT n.nspname::text, pg_catalog.pg_get_userbyid(n.nspowner)::text,"
        " pg_catalog.has_schema_privilege(n.oid, 'USAGE')::text,"
        " pg_catalog.has_schema_privilege(n.oid, 'CREATE')::text,"
        " pg_catalog.obj_description(n.oid, 'pg_namespace')"
        " FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <>"
        " 'information_schema'",
        {"name", "owner", "may_use", "may_create", "comment"},
        "may_use may_create",
        ""}},
      {"tables",
       {"SELECT c.relname::text, n.nspname::text, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' "
        "THEN"
        " 'partitioned' WHEN 'v' THEN 'view' WHEN 'f' THEN 'foreign' ELSE 'materialized view' END,"
        " greatest(c.reltuples, 0)::bigint::text,"
        " pg_catalog.has_table_privilege(c.oid, 'INSERT')::text,"
        " pg_catalog.has_table_privilege(c.oid, 'UPDATE')::text,"
        " pg_catalog.obj_description(c.oid, 'pg_class')"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <>"
        " 'information_schema' AND ($5::text IS NULL OR n.nspname = $5)",
        {"name", "schema", "kind", "rows_estimated", "may_insert", "may_update", "comment"},
        "may_insert may_update",
        "rows_estimated"}}};
  const auto found = kListings.find(what);
  return found == kListings.end() ? nullptr : &found->second;
}

bool is_among(std::string_view name, std::string_view names) {
  return (" " + std::string(names) + " ").find(" " + std::string(name) + " ") != std::string::npos;
}

// One statement gives the page and the total: the total also where the page is empty.
std::string paged(const Listing& listing) {
  std::string columns;
  for (std::size_t i = 0; i < listing.members.size(); ++i) {
    columns += fmt::format("{}c{}", i == 0 ? "" : ", ", i);
  }
  // Schemas tell tables of one name apart.
  const std::string second = listing.members[1] == "schema" ? "c1" : "''::text";
  return fmt::format(
      "WITH every ({0}) AS ({1}), wanted AS (SELECT * FROM every WHERE $1::text IS NULL OR"
      " pg_catalog.strpos(pg_catalog.lower(c0), pg_catalog.lower($1)) > 0),"
      " page AS (SELECT * FROM wanted WHERE $2::text IS NULL OR (c0 COLLATE \"C\", {2} COLLATE"
      " \"C\") > ($2, $3) ORDER BY c0 COLLATE \"C\", {2} COLLATE \"C\" LIMIT $4::int)"
      " SELECT total.n, {0} FROM (SELECT pg_catalog.count(*) AS n FROM wanted) AS total"
      " LEFT JOIN page ON true ORDER BY c0 COLLATE \"C\", {2} COLLATE \"C\"",
      columns, listing.sql, second);
}

boost::json::value value_of(const Listing& listing, std::size_t member, const postgres::Rows& rows,
                            int row) {
  const int column = static_cast<int>(member) + 1;
  if (rows.is_null(row, column)) return nullptr;
  const auto name = listing.members[member];
  if (is_among(name, listing.flags)) return rows.text(row, column) == "true";
  if (is_among(name, listing.numbers)) return rows.integer(row, column);
  return boost::json::value(rows.text(row, column));
}

Answer<boost::json::object> list_rows(postgres::Connection& session, const Listing& listing,
                                      const Look& look) {
  Page page;
  page.limit = look.limit;
  page.sort = look.what;
  auto after = after_of(look, page);
  if (!after) return tl::unexpected(after.error());
  const auto text = [](const std::string& given) {
    return given.empty() ? std::optional<std::string>() : std::optional<std::string>(given);
  };
  std::vector<std::optional<std::string>> parameters{text(look.search), std::nullopt, std::nullopt,
                                                     std::to_string(look.limit + 1)};
  if (*after) {
    parameters[1] = (*after)->value;
    parameters[2] = (*after)->id;
  }
  if (look.what == "tables") parameters.push_back(text(look.schema));
  const auto rows = session.drive(session.query_params(paged(listing), std::move(parameters)));
  if (!rows) return refuse("connection_failed", rows.error());
  boost::json::array items;
  boost::json::value next = nullptr;
  for (int row = 0; row < rows->size(); ++row) {
    if (rows->is_null(row, 1)) continue;  // only the total
    if (row == look.limit) {
      const std::string last(rows->text(row - 1, 1));
      const bool schema = listing.members[1] == "schema";
      next = cursor_of(page, last, schema ? std::string(rows->text(row - 1, 2)) : "");
      break;
    }
    boost::json::object item;
    for (std::size_t i = 0; i < listing.members.size(); ++i) {
      item[listing.members[i]] = value_of(listing, i, *rows, row);
    }
    items.push_back(std::move(item));
  }
  return boost::json::object{{"items", std::move(items)},
                             {"next_cursor", std::move(next)},
                             {"total", rows->integer(0, 0)}};
}

boost::json::value text_or_null(const std::string& text) {
  return text.empty() ? boost::json::value(nullptr) : boost::json::value(text);
}

// "primary", "unique" (of any unique index), or nothing.
boost::json::value key_of(const postgres::TableInfo& table, const std::string& column) {
  boost::json::value key = nullptr;
  for (const auto& index : table.unique_indexes) {
    const auto& names = index.columns;
    if (std::find(names.begin(), names.end(), column) == names.end()) continue;
    if (index.primary) return "primary";
    key = "unique";
  }
  return key;
}

std::string_view name_of(postgres::RelationKind kind) {
  constexpr std::string_view kNames[] = {"table",   "partitioned", "view", "materialized view",
                                         "foreign", "other"};
  return kNames[static_cast<std::size_t>(kind)];
}

boost::json::array texts(const std::vector<std::string>& given) {
  return boost::json::array(given.begin(), given.end());
}

boost::json::object json_of(const postgres::TableInfo& table) {
  boost::json::array columns, indexes;
  for (const auto& column : table.columns) {
    columns.push_back({{"name", column.name},
                       {"type", column.type.name},
                       {"nullable", !column.not_null},
                       {"default", text_or_null(column.default_sql)},
                       {"key", key_of(table, column.name)},
                       {"comment", text_or_null(column.comment)},
                       {"generated", column.generated},
                       {"identity", column.identity == 'a'   ? boost::json::value("always")
                                    : column.identity == 'd' ? boost::json::value("by default")
                                                             : boost::json::value(nullptr)},
                       {"may_insert", column.may_insert},
                       {"may_update", column.may_update}});
  }
  for (const auto& index : table.unique_indexes) {
    indexes.push_back({{"name", index.name},
                       {"columns", texts(index.columns)},
                       {"expressions", texts(index.expressions)},
                       {"primary", index.primary},
                       {"unusable", text_or_null(index.unusable)}});
  }
  return {{"schema", table.schema},
          {"name", table.name},
          {"kind", name_of(table.kind)},
          {"columns", std::move(columns)},
          {"unique_indexes", std::move(indexes)},
          {"foreign_keys", texts(table.foreign_keys)},
          {"may_insert", table.may_insert},
          {"may_update", table.may_update},
          {"may_delete", table.may_delete}};
}

Answer<boost::json::object> show_table(postgres::Connection& session, const Look& look) {
  auto table = session.drive(postgres::read_table(session, {look.schema, look.name}));
  if (table) return json_of(*table);
  const bool absent = table.error().code == "42P01" || table.error().code == "3F000";
  return refuse(absent ? "not_found" : "connection_failed", table.error());
}

Answer<boost::json::object> browse_postgres(const OpenConnection& open, const Look& look,
                                            const std::vector<std::string>& ranges) {
  const auto* listing = listing_of(look.what);
  if (listing == nullptr && look.what != "table") {
    return refuse("not_found", fmt::format("a {} connection has no {}", open.type, look.what),
                  "It has databases, schemas and tables.");
  }
  if (look.what == "table" && look.name.empty()) {
    Problem problem{"invalid", "?name: is required"};
    problem.fields.push_back({"?name", "is required"});
    return refuse(std::move(problem));
  }
  postgres::Connection session;
  const auto opened = open_session(session, open, look.database, kBrowseTime);
  if (!opened) {
    auto error = explain_postgres(opened.error(), open, ranges);
    if (error.code == "3D000" && !look.database.empty()) {
      return refuse("not_found", fmt::format("there is no database \"{}\"", look.database));
    }
    return refuse("connection_failed", error);
  }
  session.set_deadline(steady_clock::now() + kBrowseTime);
  // One transaction, so that nothing stays set in a pooled session.
  const auto begun = session.drive(
      session.query(fmt::format("BEGIN READ ONLY; SET LOCAL search_path = pg_catalog; SET LOCAL"
                                " statement_timeout = {}; SET LOCAL lock_timeout = 2000",
                                kBrowseTime.count())));
  if (!begun) return refuse("connection_failed", begun.error());
  return listing == nullptr ? show_table(session, look) : list_rows(session, *listing, look);
}

// ---- Kafka ----

// A page of items that are already here, by name.
Answer<boost::json::object> page_of(const Look& look, std::vector<boost::json::object> items) {
  Page page;
  page.limit = look.limit;
  page.sort = look.what;
  auto after = after_of(look, page);
  if (!after) return tl::unexpected(after.error());
  const auto name = [](const boost::json::object& item) {
    return std::string_view(item.at("name").get_string());
  };
  std::erase_if(items, [&](const boost::json::object& item) {
    return name(item).find(look.search) == std::string_view::npos;
  });
  std::sort(items.begin(), items.end(),
            [&](const auto& a, const auto& b) { return name(a) < name(b); });
  boost::json::array shown;
  boost::json::value next = nullptr;
  for (auto& item : items) {
    if (*after && name(item) <= (*after)->value) continue;
    if (shown.size() == static_cast<std::size_t>(look.limit)) {
      next = cursor_of(page, std::string(name(shown.back().get_object())), "");
      break;
    }
    shown.push_back(std::move(item));
  }
  return boost::json::object{
      {"items", std::move(shown)}, {"next_cursor", std::move(next)}, {"total", items.size()}};
}

tl::unexpected<Problem> refuse_kafka(Error error) {
  const bool unknown = kafka::is_unknown_topic(error);
  return refuse(unknown ? "not_found" : "connection_failed", explain_kafka(std::move(error)));
}

Answer<boost::json::object> list_topics(kafka::Admin& admin, const Look& look) {
  const auto topics = admin.all_topics(kBrowseTime);
  if (!topics) return refuse_kafka(topics.error());
  std::vector<boost::json::object> items;
  for (const auto& topic : *topics) {
    if (topic.name.starts_with("__")) continue;
    items.push_back({{"name", topic.name}, {"partitions", topic.partitions}});
  }
  return page_of(look, std::move(items));
}

Answer<boost::json::object> show_topic(kafka::Admin& admin, const Look& look) {
  if (look.name.starts_with('^')) return not_found("topic", look.name);
  const auto topics = admin.topics({look.name}, kBrowseTime);
  if (!topics) return refuse_kafka(topics.error());
  if (topics->empty()) return not_found("topic", look.name);
  const auto& topic = topics->front();
  std::vector<kafka::TopicPartition> asked;
  for (int i = 0; i < topic.partitions && asked.size() < kMostPartitions; ++i) {
    asked.push_back({look.name, i});
  }
  const auto marks = admin.watermarks(asked, kBrowseTime);
  if (!marks) return refuse_kafka(marks.error());
  boost::json::array partitions;
  std::int64_t messages = 0;
  for (const auto& [id, mark] : *marks) {
    messages += mark.end - mark.low;
    partitions.push_back({{"partition", id.partition}, {"low", mark.low}, {"end", mark.end}});
  }
  return boost::json::object{{"name", topic.name},
                             {"id", text_or_null(topic.id)},
                             {"may_read", topic.may_read},
                             {"messages", messages},
                             {"partitions", std::move(partitions)}};
}

Answer<boost::json::object> list_groups(kafka::Admin& admin, const Look& look) {
  const auto groups = admin.groups(kBrowseTime);
  if (!groups) return refuse_kafka(groups.error());
  std::vector<boost::json::object> items;
  for (const auto& group : *groups) {
    items.push_back({{"name", group.name}, {"state", text_or_null(group.state)}});
  }
  return page_of(look, std::move(items));
}

boost::json::array json_of(const std::vector<kafka::GroupMember>& members) {
  boost::json::array all;
  for (const auto& member : members) {
    boost::json::array partitions;
    for (const auto& id : member.partitions) {
      partitions.push_back({{"topic", id.topic}, {"partition", id.partition}});
    }
    all.push_back({{"id", member.id},
                   {"client_id", member.client_id},
                   {"host", member.host},
                   {"partitions", std::move(partitions)}});
  }
  return all;
}

Answer<boost::json::object> show_group(kafka::Admin& admin, const Look& look) {
  const auto group = admin.group(look.name, kBrowseTime);
  if (!group) return refuse_kafka(group.error());
  if (!group->may_read) {
    return refuse("connection_failed",
                  fmt::format("Kafka does not allow this user to see the group \"{}\"", look.name),
                  "Allow it Describe on the group (an ACL).");
  }
  if (group->state == "Dead") return not_found("group", look.name);
  const auto committed = admin.committed(look.name, kBrowseTime);
  if (!committed) return refuse_kafka(committed.error());
  // Offsets outlive their topics: those are asked for no ends.
  const auto topics = admin.all_topics(kBrowseTime);
  if (!topics) return refuse_kafka(topics.error());
  std::map<std::string, int> counts;
  for (const auto& topic : *topics) counts[topic.name] = topic.partitions;
  std::vector<kafka::TopicPartition> asked;
  for (const auto& [id, offset] : *committed) {
    const auto found = counts.find(id.topic);
    if (found != counts.end() && id.partition < found->second && asked.size() < kMostPartitions) {
      asked.push_back(id);
    }
  }
  const auto marks = admin.watermarks(asked, kBrowseTime);
  if (!marks) return refuse_kafka(marks.error());
  boost::json::array partitions;
  std::int64_t lag = 0;
  for (const auto& id : asked) {
    const auto mark = marks->find(id);
    const std::int64_t offset = committed->at(id);
    const auto end = mark == marks->end() ? offset : mark->second.end;
    lag += std::max<std::int64_t>(0, end - offset);
    partitions.push_back({{"topic", id.topic},
                          {"partition", id.partition},
                          {"committed", offset},
                          {"end", end},
                          {"lag", std::max<std::int64_t>(0, end - offset)}});
  }
  return boost::json::object{{"name", look.name},
                             {"state", group->state},
                             {"assignor", text_or_null(group->assignor)},
                             {"lag", lag},
                             {"members", json_of(group->member_list)},
                             {"partitions", std::move(partitions)}};
}

Answer<boost::json::object> browse_kafka(const OpenConnection& open, const Look& look) {
  const bool known = look.what == "topics" || look.what == "topic" || look.what == "groups" ||
                     look.what == "group";
  if (!known) {
    return refuse("not_found", fmt::format("a kafka connection has no {}", look.what),
                  "It has topics and groups.");
  }
  auto admin = kafka::Admin::create(open.properties, "sluice-browse");
  if (!admin) return refuse_kafka(admin.error());
  if (look.what == "topics") return list_topics(**admin, look);
  if (look.what == "topic") return show_topic(**admin, look);
  if (look.what == "groups") return list_groups(**admin, look);
  return show_group(**admin, look);
}

}  // namespace

Answer<boost::json::object> browse_server(const OpenConnection& open, const Look& look,
                                          const std::vector<std::string>& ranges) {
  return open.type == "kafka" ? browse_kafka(open, look) : browse_postgres(open, look, ranges);
}

}  // namespace sluice::control
