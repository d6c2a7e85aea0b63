// What the ledger's statements share. Internal to `ledger`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/ledger.h"

namespace sluice::ledger::sql {

// The layout that this program creates and understands.
inline constexpr int kLayout = 1;

std::string literal(std::string_view text);
// The tables of the layout with their comments, in a schema that exists, for a server of that
// version (as Connection::server_version).
std::string tables(const std::string& schema, int server_version);
// "schema".table; `table` is one of ours and needs no quotes.
std::string table(const std::string& schema, std::string_view table);

// Opens the transaction of a change: READ COMMITTED, 5 s for locks, nothing of the role's settings
// that could change what the statements mean, and a commit that survives a crash of the server (a
// raised epoch that is lost with the last half second would let an older batch in again).
std::string begin();
std::string own_timeouts();  // of Connection

// The task's gate, alone: see ledger.h.
std::string gate_alone(const Handle& handle);
std::int64_t gate_key(const Handle& handle);

// Three SELECTs: the row, its target tables, its topics; read_task_rows reads them from the last
// three of `results`.
std::string select_task(const Handle& handle);
std::optional<TaskRow> read_task_rows(const std::vector<postgres::Rows>& results);

// "target_names, target_oids, ..." of an identity or of topics, for SET and INSERT alike: pairs of
// column and value.
using Columns = std::vector<std::pair<std::string_view, std::string>>;
Columns columns_of(const Identity& identity);
Columns columns_of(const std::map<std::string, TopicState>& topics);
std::string set_list(const Columns& columns);

// INSERT of the ledger rows that are not there, to be run behind the task's gate; empty if `start`
// is.
std::string insert_ledger(const Handle& handle, const std::string& epoch,
                          const std::map<Key, std::int64_t>& start);

// "topic = 'a' AND partition = ANY ('{0,1}') OR ...", in brackets; TRUE for no keys.
std::string among(const std::vector<Key>& keys);

std::string fresh_uid();

// `text` as PostgreSQL's text can hold it: U+0000 and what is not UTF-8 become U+FFFD. True if it
// can be taken as it is, and `clean` is untouched then.
bool is_clean(std::string_view text, std::string& clean);

// Ends the transaction that `error` broke, so that the connection can be used again, and gives the
// error back. A connection that is broken is left alone.
Async<Result<bool>> roll_back(postgres::Connection& connection);
// COMMIT; an error unless the server says that it did.
Async<Result<bool>> commit(postgres::Connection& connection);

tl::unexpected<Error> task_missing(const Handle& handle);
tl::unexpected<Error> fenced(const Handle& handle, std::string what);

}  // namespace sluice::ledger::sql
