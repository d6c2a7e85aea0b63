// Dead letters after they were written: what is there, one by one, again, and away. The same rules
// of connections and errors as ledger.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/async.h"
#include "base/result.h"
#include "ledger/ledger.h"
#include "postgres/connection.h"

namespace sluice::ledger {

// Which letters of the task `handle.task`; everything that is set must hold.
struct LetterFilter {
  std::vector<std::int64_t> ids;  // empty: any
  std::string code;
  std::string column;
  std::string topic;
  std::optional<std::string> before;  // failed_at < this, as PostgreSQL reads a timestamptz
  std::int64_t after_id = 0;
};

struct LetterCause {
  std::string reason_class, code, column;
  std::int64_t count = 0;
  std::int64_t first_id = 0;
  std::string first_at, last_at;  // as PostgreSQL shows a timestamptz
  std::string message;            // of the first
};
Async<Result<std::vector<LetterCause>>> list_letters(postgres::Connection& connection,
                                                     Handle handle, LetterFilter filter);

// A dead letter as it is kept; owns its bytes.
struct KeptLetter {
  std::int64_t id = 0;
  Key key;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;
  std::optional<std::string> message_key, value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  std::string reason_class, code, message, column, failed_at;
};
// In order of id, at most `limit`, and no more once about `bytes` of keys and values are together
// (at least one).
Async<Result<std::vector<KeptLetter>>> read_letters(postgres::Connection& connection, Handle handle,
                                                    LetterFilter filter, std::int64_t limit,
                                                    std::int64_t bytes);

// Deletes; returns how many.
Async<Result<std::int64_t>> purge_letters(postgres::Connection& connection, Handle handle,
                                          LetterFilter filter);

// Inside the caller's transaction: as read_letters, but locks what it returns until the end of the
// transaction and leaves out what others have locked.
Async<Result<std::vector<KeptLetter>>> take_letters(postgres::Connection& connection, Handle handle,
                                                    LetterFilter filter, std::int64_t limit,
                                                    std::int64_t bytes);
// Inside the caller's transaction: letters that became rows are deleted, those that failed again
// get their new reason.
struct FailedLetter {
  std::int64_t id = 0;
  std::string reason_class, code, message, column;
};
Async<Result<bool>> settle_letters(postgres::Connection& connection, Handle handle,
                                   std::vector<std::int64_t> applied,
                                   std::vector<FailedLetter> failed);

}  // namespace sluice::ledger
