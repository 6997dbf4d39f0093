/* The tables. docs/schema.md explains them to people who read them with the sqlite3 shell; change
 * both together, and WN_SQLITE_VERSION with them. Columns stand in the order of their size, since
 * SQLite reads a row only as far as it needs to: `text` comes last. No index but slates_feed:
 * each costs more than the row it points to. */
#include "store/sqlite.h"

const char wn_sqlite_schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;\n"
    "CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;\n"
    "CREATE TABLE users(\n"
    "  ix INTEGER PRIMARY KEY,\n"
    "  id TEXT NOT NULL,\n"
    "  attributes TEXT,\n"
    "  updated_ms INTEGER NOT NULL,\n"
    "  deleted INTEGER NOT NULL DEFAULT 0\n"
    ");\n"
    "CREATE TABLE items(\n"
    "  ix INTEGER PRIMARY KEY,\n"
    "  id TEXT NOT NULL,\n"
    "  status INTEGER NOT NULL DEFAULT 0,\n"
    "  created_ms INTEGER NOT NULL,\n"
    "  updated_ms INTEGER NOT NULL,\n"
    "  rev INTEGER NOT NULL,\n"
    "  title TEXT,\n"
    "  attributes TEXT,\n"
    "  text TEXT\n"
    ");\n"
    "CREATE TABLE erased(user INTEGER PRIMARY KEY, seq INTEGER NOT NULL);\n"
    "CREATE TABLE event_types(type INTEGER PRIMARY KEY, name TEXT NOT NULL);\n"
    "CREATE TABLE events(\n"
    "  seq INTEGER PRIMARY KEY,\n"
    "  user INTEGER NOT NULL,\n"
    "  item INTEGER NOT NULL,\n"
    "  type INTEGER NOT NULL,\n"
    "  value REAL,\n"
    "  time_ms INTEGER NOT NULL,\n"
    "  slate TEXT\n"
    ");\n"
    "CREATE TABLE event_keys(key BLOB PRIMARY KEY) WITHOUT ROWID;\n"
    "CREATE TABLE slates(\n"
    "  seq INTEGER PRIMARY KEY,\n"
    "  id TEXT NOT NULL,\n"
    "  time_ms INTEGER NOT NULL,\n"
    "  surface TEXT NOT NULL,\n"
    "  user INTEGER,\n"
    "  user_id TEXT,\n"
    "  session TEXT,\n"
    "  anchor INTEGER,\n"
    "  snapshot INTEGER NOT NULL,\n"
    "  feed INTEGER NOT NULL,\n"
    "  items TEXT NOT NULL,\n"
    "  policy INTEGER NOT NULL DEFAULT 0,\n"
    "  arms TEXT,\n"
    "  features BLOB,\n"
    "  filter TEXT,\n"
    "  excluded TEXT,\n"
    "  context BLOB,\n"
    "  request TEXT,\n"
    "  weights TEXT\n"
    ");\n"
    "CREATE INDEX slates_feed ON slates(time_ms) WHERE feed = 1;\n";

const char *const wn_sqlite_upgrades[WN_SQLITE_VERSION - 1] = {
    "ALTER TABLE slates ADD COLUMN policy INTEGER NOT NULL DEFAULT 0;\n"
    "ALTER TABLE slates ADD COLUMN arms TEXT;\n",
    "ALTER TABLE slates ADD COLUMN features BLOB;\n",
    "ALTER TABLE slates ADD COLUMN filter TEXT;\n"
    "ALTER TABLE slates ADD COLUMN excluded TEXT;\n",
    "ALTER TABLE slates ADD COLUMN context BLOB;\n",
    "ALTER TABLE slates ADD COLUMN request TEXT;\n"
    "ALTER TABLE slates ADD COLUMN weights TEXT;\n",
};

/* Made anew by each upgrade. */
const char wn_sqlite_views[] =
    "DROP VIEW IF EXISTS events_readable;\n"
    "DROP VIEW IF EXISTS impressions;\n"
    "CREATE VIEW events_readable AS\n"
    "  SELECT e.seq, strftime('%Y-%m-%dT%H:%M:%fZ', e.time_ms / 1000.0, 'unixepoch') AS time,\n"
    "    u.id AS user, i.id AS item, t.name AS type, e.value, e.slate\n"
    "  FROM events e\n"
    "  LEFT JOIN users u ON u.ix = e.user\n"
    "  LEFT JOIN items i ON i.ix = e.item\n"
    "  LEFT JOIN event_types t ON t.type = e.type;\n"
    "CREATE VIEW impressions AS\n"
    "  SELECT s.seq AS slate_seq, s.id AS slate,\n"
    "    strftime('%Y-%m-%dT%H:%M:%fZ', s.time_ms / 1000.0, 'unixepoch') AS time,\n"
    "    s.surface, coalesce(u.id, s.user_id) AS user, s.session, a.id AS anchor, s.snapshot,\n"
    "    printf('%016x', s.policy) AS policy, s.arms,\n"
    "    j.key + 1 AS position, i.id AS item, json_extract(j.value, '$[1]') AS propensity\n"
    "  FROM slates s JOIN json_each(s.items) j\n"
    "  LEFT JOIN users u ON u.ix = s.user\n"
    "  LEFT JOIN items a ON a.ix = s.anchor\n"
    "  LEFT JOIN items i ON i.ix = json_extract(j.value, '$[0]');\n";
