// docs/reference/connections.md
#include "control/connection_parameters.h"

namespace sluice::control {
namespace {

constexpr std::string_view kFront = R"(# Connections

The table of properties is made from `src/control/connection_parameters.cc`, this page from `src/control/connections_page.cc`.

A connection is a server with credentials that tasks use by name. It has `name` (a letter first, then letters, digits,
`_` `-` `.`; at most 64), `type`, `description` (at most 128 characters), `parameters` and `secrets`. Secrets are sealed
with the server's key and never shown: an answer says `{"password": true}`.

What comes through the API is a list of what is allowed. Nothing in it loads code, runs a command, or names a file or
socket of the server.

## Types

| type | server |
|---|---|
| `kafka` | a Kafka cluster |
| `postgresql` | PostgreSQL |
| `warehouse_postgresql` | a cloud data warehouse that speaks PostgreSQL |
| `tdsql_postgresql`, `tdsql_c_postgresql` | TDSQL for PostgreSQL, TDSQL-C |
| `greenplum` | Greenplum and others made of PostgreSQL 9.4: `target.level: postgresql_9_4` in their tasks |

Those of the PostgreSQL family take the same parameters; what they differ in is the advice when a server refuses.

## PostgreSQL

| parameter | default | |
|---|---|---|
| `host` | required | a name or an address; several, up to 8, with commas: the one that takes writes is used |
| `port` | 5432 | of all hosts |
| `database` | none | where the check looks at the ledger; tasks name their own |
| `user` | required | |
| `sslmode` | prefer | disable, prefer, require, verify-ca, verify-full |
| `ca_certificate` | none | PEM text; required by verify-ca and verify-full |
| `connect_timeout` | 10 | seconds, 2 to 60 |
| `pooler` | none | none, or transaction: a pooler stands in front |

Secret: `password`, required.

## Kafka

`parameters` is `{"properties": {...}}` with librdkafka's own names and values; secret ones stand in `secrets`.

)";

constexpr std::string_view kBack = R"(
Not taken, though `sluice run` takes some of them: properties that name a file (`ssl.ca.location`, keytabs), GSSAPI and
OAUTHBEARER, `plugin.library.paths` and other code, `debug`, and those that Sluice sets itself.

## The check

Made after each creation and each change of the login, on demand (`POST /connections/{id}/check`; with
`Accept: text/event-stream` each step as it ends), and every `connection_check_minutes`. Only a connection that has
passed can be used by new tasks. A warning does not fail it. While a check of one that was ready is under way, tasks go on.

| step | PostgreSQL | Kafka |
|---|---|---|
| `name` | the hosts have addresses | the brokers of bootstrap.servers have addresses |
| `tcp` | one takes connections | one takes connections |
| `tls` | encrypted, and proved as sslmode says | encrypted |
| `login` | user, password, pg_hba.conf, database | SASL |
| `version` | 9.4 or later; 12 or later for all that Sluice can do | |
| `privileges` | takes writes; may make temporary tables | |
| `ledger` | the schema `sluice` of `database` can be used or made | |
| `cluster` | | the cluster's id |
| `topics` | | some can be seen |

Each step has at most 10 s. `milliseconds` is null where a client library does a step together with the next. What could
not be tried is `skipped`.

## Changes

User, password and the client's certificate can be changed, with name and description. Everything else makes another
server of it: make a new connection. A connection that tasks use is not renamed or deleted. With `"restart_tasks": true`
the tasks that use it are opened anew, once the connection has passed its check with what is new.
)";

}  // namespace

std::string connections_markdown() {
  return std::string(kFront) + kafka_properties_markdown() + std::string(kBack);
}

}  // namespace sluice::control
