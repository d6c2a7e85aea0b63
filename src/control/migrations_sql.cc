// The migrations themselves. One that was released is never edited: a mistake is mended by the
// next.
#include "control/migrations.h"

namespace sluice::control {
namespace {

constexpr Migration kMigrations[] = {
    {1, "0.2", R"sql(
-- People.
CREATE TABLE account (
  id            text PRIMARY KEY,
  name          text NOT NULL,
  role          text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  password_hash text,                        -- argon2id; none: cannot log in with a password
  disabled      boolean NOT NULL DEFAULT false,
  version       bigint NOT NULL DEFAULT 1,   -- the ETag
  created_at    timestamptz NOT NULL DEFAULT now(),
  last_login_at timestamptz
);
CREATE UNIQUE INDEX account_name ON account (lower(name));

-- Wrong passwords in a row, of any name: a lock does not tell whether there is such an account. The
-- name only as a hash: people type their password there.
CREATE TABLE login_failure (
  name_hash    text PRIMARY KEY,  -- SHA-256 of lower(name)
  failures     integer NOT NULL,
  locked_until timestamptz,
  at           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_failure_at ON login_failure (at);

-- A log-in of the console. Only hashes of what the browser holds.
CREATE TABLE session (
  hash       text PRIMARY KEY,  -- SHA-256 of the cookie
  account_id text NOT NULL REFERENCES account ON DELETE CASCADE,
  address    text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  seen_at    timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX session_account ON session (account_id);

-- For programs: acts with its own role, which is never above its maker's.
CREATE TABLE token (
  id         text PRIMARY KEY,
  hash       text NOT NULL UNIQUE,  -- SHA-256
  name       text NOT NULL,
  role       text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  account_id text NOT NULL REFERENCES account ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  used_at    timestamptz
);
CREATE INDEX token_account ON token (account_id);

CREATE TABLE connection (
  id          text PRIMARY KEY,
  name        text NOT NULL UNIQUE,
  type        text NOT NULL,
  description text NOT NULL DEFAULT '',
  parameters  jsonb NOT NULL,            -- nothing secret
  secrets     bytea,                     -- sealed JSON; the key is not in this database
  status      text NOT NULL DEFAULT 'unchecked' CHECK (status IN ('unchecked', 'checking', 'ready', 'failed')),
  reason      jsonb,                     -- of failed: the step, code, message, remedy
  steps       jsonb NOT NULL DEFAULT '[]',  -- of the last check
  checked_at  timestamptz,
  version     bigint NOT NULL DEFAULT 1, -- the ETag: grows with every change that a user makes
  created_at  timestamptz NOT NULL DEFAULT now(),
  created_by  text NOT NULL,
  updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE task (
  id                text PRIMARY KEY,       -- also its key in ledgers
  name              text NOT NULL,
  description       text NOT NULL DEFAULT '',
  tags              jsonb NOT NULL DEFAULT '{}',
  document          json NOT NULL,          -- of `revision`; json keeps the order of its keys
  revision          integer NOT NULL DEFAULT 1,
  state             text NOT NULL,          -- control/task_state.h
  state_since       timestamptz NOT NULL DEFAULT now(),
  reason            jsonb,                  -- why it is in this state: code, message, remedy, coordinates
  steps             jsonb NOT NULL DEFAULT '[]',  -- of its creation
  percent           integer NOT NULL DEFAULT 0,
  run               integer NOT NULL DEFAULT 0,   -- grows with each start that is asked for
  opening           jsonb NOT NULL DEFAULT '{}',  -- how the next start opens the ledger (control/task_worker.h)
  drop_ledger       boolean NOT NULL DEFAULT false,
  source_connection text NOT NULL REFERENCES connection,
  target_connection text NOT NULL REFERENCES connection,
  source_text       text NOT NULL,          -- for lists: "kafka-1: orders"
  target_text       text NOT NULL,
  figures           jsonb,                  -- the last ones, written now and then
  version           bigint NOT NULL DEFAULT 1,
  created_at        timestamptz NOT NULL DEFAULT now(),
  created_by        text NOT NULL,
  updated_at        timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX task_name ON task (name) WHERE state <> 'deleted';
CREATE INDEX task_source ON task (source_connection);
CREATE INDEX task_target ON task (target_connection);

CREATE TABLE task_revision (
  task_id    text NOT NULL REFERENCES task ON DELETE CASCADE,
  revision   integer NOT NULL,
  document   json NOT NULL,
  comment    text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL,
  PRIMARY KEY (task_id, revision)
);

CREATE TABLE event (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at           timestamptz NOT NULL DEFAULT clock_timestamp(),
  type         text NOT NULL,   -- control/event_kinds.cc
  severity     text NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
  subject_kind text NOT NULL,   -- task, connection, account, server
  subject_id   text NOT NULL,
  subject_name text NOT NULL,
  message      text NOT NULL,
  data         jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX event_subject ON event (subject_id, id);
CREATE INDEX event_at ON event (at);

CREATE TABLE audit (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  account_id text NOT NULL,   -- no reference: it outlives its account
  account    text NOT NULL,
  token_id   text,
  address    text NOT NULL,
  request_id text NOT NULL,
  operation  text NOT NULL,
  subject_id text NOT NULL DEFAULT '',
  subject    text NOT NULL DEFAULT '',
  before     jsonb,
  after      jsonb
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_subject ON audit (subject_id, id);

-- Answers to creates, by the client's Idempotency-Key.
CREATE TABLE idempotency (
  account_id text NOT NULL,
  key        text NOT NULL,
  request    text NOT NULL,  -- SHA-256 of method, path and body
  status     integer,        -- none: at work
  answer     text,
  etag       text,
  location   text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- One value a name: the check of the key that seals secrets, the one-time password's account.
CREATE TABLE setting (
  name  text PRIMARY KEY,
  value text NOT NULL
);
)sql"},
};

}  // namespace

std::span<const Migration> migrations() { return kMigrations; }

}  // namespace sluice::control
