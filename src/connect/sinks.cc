#include "connect/sinks.h"

#include <algorithm>
#include <array>

namespace sluice::connect {
namespace {

constexpr std::uint8_t kC = 1;
constexpr std::uint8_t kA = 2;
constexpr std::uint8_t kD = 4;
constexpr std::uint8_t kAll = kC | kA | kD;

constexpr Fate kNo = Fate::kNotSupported;
constexpr Fate kFine = Fate::kNotNeeded;
constexpr Fate kDone = Fate::kTaken;  // elsewhere

constexpr std::string_view kBatches = "batches grow with the backlog; tuning.batch_rows is a limit";
constexpr std::string_view kRetries =
    "trouble of the server is waited for as long as it lasts; retry_for sets a limit";
constexpr std::string_view kNoDdl =
    "tables are not made or altered; CREATE or ALTER TABLE first, sluice check says what is "
    "missing";
constexpr std::string_view kEpochs =
    "for numbers since 1970 give the column its unit (s, ms, us, ns) in sync.columns";
constexpr std::string_view kZone =
    "it is about logical types of Connect; sync.time_zone says where texts without an offset are";
constexpr std::string_view kOther = "for another database than PostgreSQL";
constexpr std::string_view kPool = "each lane has one connection";
constexpr std::string_view kLog = "failures are logged and counted in any case";
constexpr std::string_view kLetters = "dead letters are rows of a table beside the target's";

constexpr auto kRules = std::to_array<Rule>({
    // Kafka Connect
    {"name", kAll, kDone},
    {"connector.class", kAll, kDone},
    {"connector.plugin.version", kAll, kFine, "about the plugin"},
    {"tasks.max", kAll, kFine,
     "one lane, a second one while there is a backlog; tuning.lanes sets their number"},
    {"tasks.max.enforce", kAll, kFine, "about Connect's tasks"},
    {"config.action.reload", kAll, kFine, "secrets are read again at every new connection"},
    {"topics", kAll, kDone},
    {"topics.regex", kAll, kDone},
    {"bootstrap.servers", kAll, kDone},
    {"errors.tolerance", kAll, kDone},
    {"errors.deadletterqueue.topic.name", kAll, kDone},
    {"errors.deadletterqueue.topic.replication.factor", kAll, kFine, kLetters},
    {"errors.deadletterqueue.context.headers.enable", kAll, kFine,
     "a dead letter has its reason, coordinates and headers in columns"},
    {"errors.retry.timeout", kAll, kFine, kRetries},
    {"errors.retry.delay.max.ms", kAll, kFine, kRetries},
    {"errors.log.enable", kAll, kFine, kLog},
    {"errors.log.include.messages", kAll, kNo,
     "values of messages are never logged; sluice dead-letters show shows them", "false"},
    {"value.converter", kAll, kDone},
    {"value.converter.schemas.enable", kAll, kDone},
    {"value.converter.*", kAll, kFine, "about value.converter"},
    {"key.converter", kAll, kDone},
    {"key.converter.schemas.enable", kAll, kDone},
    {"key.converter.*", kAll, kFine, "about key.converter"},
    {"header.converter", kAll, kFine,
     "headers are not decoded; meta: headers has them as they are"},
    {"header.converter.*", kAll, kFine, "about header.converter"},
    {"transforms", kAll, kDone},
    {"transforms.*", kAll, kNo, "belongs to no transformation that `transforms` names"},
    {"predicates", kAll, kFine, "for the transformations that name one; see those"},
    {"predicates.*", kAll, kFine, "for the transformations that name one; see those"},
    {"consumer.override.*", kAll, kDone},
    {"producer.override.*", kAll, kFine, kLetters},
    {"admin.override.*", kAll, kFine, kLetters},

    // The connection
    {"connection.url", kAll, kDone},
    {"connection.user", kC | kA, kDone},
    {"connection.username", kD, kDone},
    {"connection.password", kAll, kDone},
    {"connection.attempts", kC, kFine, kRetries},
    {"connection.backoff.ms", kC, kFine, kRetries},
    {"connection.*", kC, kDone},
    {"jdbc.credentials.provider.*", kC, kNo,
     "no class of Java can supply the password; ${file:/path} is read at every new connection"},
    {"connection.provider", kD, kFine, kPool},
    {"connection.pool.*", kD, kFine, kPool},
    {"connection.restart.on.errors", kD, kFine, kRetries},
    {"hibernate.*", kD, kNo, "there is no Hibernate; what it did must be said otherwise"},
    {"dialect.name", kC | kA, kFine, "the target is PostgreSQL"},

    // Where rows go
    {"table.name.format", kAll, kDone},
    {"collection.name.format", kD, kDone},
    {"table.name.normalize", kA, kDone},
    {"topics.to.tables.mapping", kA, kDone},
    {"collection.naming.strategy", kD, kDone},
    {"table.naming.strategy", kD, kDone},
    {"column.naming.strategy", kD, kNo, "name the columns in sync.columns",
     "io.debezium.connector.jdbc.naming.DefaultColumnNamingStrategy"},
    {"collection.naming.style", kD, kNo, "write the name into target.table", "default"},
    {"collection.naming.prefix", kD, kNo, "write the name into target.table"},
    {"collection.naming.suffix", kD, kNo, "write the name into target.table"},
    {"column.naming.style", kD, kNo, "name the columns in sync.columns", "default"},
    {"column.naming.prefix", kD, kNo, "name the columns in sync.columns"},
    {"column.naming.suffix", kD, kNo, "name the columns in sync.columns"},
    {"collection.table.format", kD, kNo, "write the name into target.table", "${table}"},
    {"quote.sql.identifiers", kC, kDone},
    {"sql.quote.identifiers", kA, kDone},
    {"quote.identifiers", kD, kDone},
    {"table.types", kC, kFine, "tables, partitioned tables and views are written"},

    // How rows are written
    {"insert.mode", kAll, kDone},
    {"pk.mode", kC | kA, kDone},
    {"pk.fields", kC | kA, kDone},
    {"primary.key.mode", kD, kDone},
    {"primary.key.fields", kD, kDone},
    {"fields.whitelist", kC | kA, kDone},
    {"field.include.list", kD, kDone},
    {"field.exclude.list", kD, kDone},
    {"delete.enabled", kAll, kDone},
    {"truncate.enabled", kD, kNo, "change events of Debezium are not replayed yet", "false"},
    {"batch.size", kAll, kFine, kBatches},
    {"use.reduction.buffer", kD, kFine, "of one key in a batch only the last message is written"},
    {"keyed.message.batch.mode", kD, kFine, "of one key in a batch only the last is written"},
    {"enable.sces", kD, kFine, "about the inside of the connector"},
    {"internal.enable.sces", kD, kFine, "about the inside of the connector"},
    {"cloud.events.schema.name.pattern", kD, kNo,
     "CloudEvents are not unpacked; sync.columns with "
     "a JSONPath such as $.data.id takes their fields",
     ".*CloudEvents\\.Envelope$"},
    {"max.retries", kC | kA, kFine, kRetries},
    {"retry.backoff.ms", kC | kA, kFine, kRetries},
    {"flush.max.retries", kD, kFine, kRetries},
    {"flush.retry.delay.ms", kD, kFine, kRetries},
    {"auto.create", kC | kA, kNo, kNoDdl, "false"},
    {"auto.evolve", kC | kA, kNo, kNoDdl, "false"},
    {"schema.evolution", kD, kNo, kNoDdl, "none|validate-only"},
    {"replace.null.with.default", kC, kFine, "messages without a schema have no defaults"},
    {"string.output.value.column.name", kC, kNo, "a value must be one JSON object"},
    {"trim.sensitive.log", kC, kFine, "values of rows are never logged"},

    // Dates and times
    {"db.timezone", kC | kA, kNo, kZone, "UTC"},
    {"use.time.zone", kD, kNo, kZone, "UTC"},
    {"database.time_zone", kD, kNo, kZone, "UTC"},
    {"date.timezone", kC, kNo, kZone, "UTC|DB_TIMEZONE"},
    {"date.calendar.system", kC, kNo, "PostgreSQL's calendar is the proleptic Gregorian one",
     "PROLEPTIC_GREGORIAN"},
    {"timestamp.precision.mode", kC, kFine, kEpochs},
    {"timestamp.fields.list", kC, kDone},

    // For other databases, or PostgreSQL's own
    {"mssql.use.merge.holdlock", kC, kFine, kOther},
    {"dialect.sqlserver.identity.insert", kD, kFine, kOther},
    {"dialect.starrocks.catalog.name", kD, kFine, kOther},
    {"dialect.postgres.postgis.schema", kD, kFine, "PostGIS's own input function reads the values"},
    {"dialect.postgres.unnest.insert.enabled", kD, kFine, "rows are sent by COPY"},
});

bool same_text(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::string_view name_of(Fate fate) {
  switch (fate) {
    case Fate::kTaken:
      return "taken";
    case Fate::kNotNeeded:
      return "not needed";
    case Fate::kNotSupported:
      return "not supported";
    case Fate::kUnknown:
      return "unknown";
    case Fate::kToFillIn:
      return "to fill in";
  }
  return {};
}

std::optional<Sink> sink_of(std::string_view connector_class) {
  if (connector_class == "io.confluent.connect.jdbc.JdbcSinkConnector") return Sink::kConfluent;
  if (connector_class == "io.aiven.connect.jdbc.JdbcSinkConnector") return Sink::kAiven;
  if (connector_class == "io.debezium.connector.jdbc.JdbcSinkConnector") return Sink::kDebezium;
  return std::nullopt;
}

std::string_view name_of(Sink sink) {
  return sink == Sink::kConfluent ? "Confluent" : sink == Sink::kAiven ? "Aiven" : "Debezium";
}

std::string_view classes_taken() {
  return "io.confluent.connect.jdbc.JdbcSinkConnector, io.aiven.connect.jdbc.JdbcSinkConnector and "
         "io.debezium.connector.jdbc.JdbcSinkConnector";
}

std::span<const Rule> rules() { return kRules; }

const Rule* rule_of(Sink sink, std::string_view property) {
  const Rule* found = nullptr;
  for (const Rule& rule : kRules) {
    if ((rule.sinks & static_cast<std::uint8_t>(sink)) == 0) continue;
    if (rule.property == property) return &rule;
    if (!rule.property.ends_with('*')) continue;
    const auto prefix = rule.property.substr(0, rule.property.size() - 1);
    if (!property.starts_with(prefix) || property.size() == prefix.size()) continue;
    if (found == nullptr || found->property.size() < rule.property.size()) found = &rule;
  }
  return found;
}

bool is_harmless(const Rule& rule, std::string_view value) {
  std::string_view rest = rule.harmless;
  while (!rest.empty()) {
    const std::size_t bar = rest.find('|');
    if (same_text(rest.substr(0, bar), value)) return true;
    rest.remove_prefix(bar == std::string_view::npos ? rest.size() : bar + 1);
  }
  return false;
}

}  // namespace sluice::connect
