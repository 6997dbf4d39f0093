/* Rows of a batch job as CSV, JSON lines or a table of SQLite. Text is made by all threads, a piece
 * a tile, and written in order. SQLite keeps how far it is in a table of its own, in the
 * transaction of the rows. Parquet is not among the formats: Debian 12 has no library for it but
 * through Apache Arrow's C++ (which it does not package either). */
#include "lab/batch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json_write.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct wn_batch_writer {
  const wn_batch_output *output;
  char partial[PATH_MAX];
  int fd; /* −1: SQLite */
  wn_buf *pieces;
  size_t pieces_len;
  sqlite3 *db;
  sqlite3_stmt *insert;
  double format_seconds;
};

/* --- text --- */

static void csv_field(wn_buf *out, wn_str s) {
  bool plain = true;
  for (size_t i = 0; i < s.len && plain; i++) plain = s.ptr[i] != '"' && s.ptr[i] != ',';
  if (plain) {
    wn_buf_append(out, s.ptr, s.len);
    return;
  }
  wn_buf_char(out, '"');
  for (size_t i = 0; i < s.len; i++) {
    if (s.ptr[i] == '"') wn_buf_char(out, '"');
    wn_buf_char(out, s.ptr[i]);
  }
  wn_buf_char(out, '"');
}

typedef struct row {
  wn_str user, item;
  float score;
  unsigned rank;
} row;

static void csv_row(wn_buf *out, const row *r) {
  wn_json number;
  csv_field(out, r->user);
  wn_buf_char(out, ',');
  csv_field(out, r->item);
  wn_buf_char(out, ',');
  wn_json_init(&number, out);
  wn_json_float(&number, r->score);
  wn_buf_char(out, ',');
  wn_json_init(&number, out);
  wn_json_int(&number, r->rank);
  wn_buf_char(out, '\n');
}

static void jsonl_row(wn_buf *out, const row *r) {
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  wn_json_key(&j, "user");
  wn_json_string(&j, r->user);
  wn_json_key(&j, "item");
  wn_json_string(&j, r->item);
  wn_json_key(&j, "score");
  wn_json_float(&j, r->score);
  wn_json_key(&j, "rank");
  wn_json_int(&j, r->rank);
  wn_json_end_object(&j);
  wn_buf_char(out, '\n');
}

typedef struct formatting {
  wn_batch_writer *writer;
  const wn_batch_job *job;
  const wn_batch_tile *chunk;
} formatting;

static void format_pieces(void *ctx, size_t begin, size_t end, int worker WN_UNUSED) {
  const formatting *f = ctx;
  char user_room[WN_BATCH_ID_ROOM], item_room[WN_BATCH_ID_ROOM];
  for (size_t p = begin; p < end; p++) {
    wn_buf *out = &f->writer->pieces[p];
    size_t first = p * WN_BATCH_TILE, last = first + WN_BATCH_TILE;
    wn_buf_reset(out);
    for (size_t i = first; i < last && i < f->chunk->len; i++) {
      const wn_scored *list = f->chunk->out + i * f->job->n;
      row r = {.user = f->job->user(f->job->ctx, f->chunk->at + i, user_room)};
      for (size_t k = 0; k < f->chunk->count[i]; k++) {
        r.item = f->job->item(f->job->ctx, list[k].ix, item_room);
        r.score = list[k].score;
        r.rank = (unsigned)k + 1;
        if (f->writer->output->format == WN_BATCH_CSV)
          csv_row(out, &r);
        else
          jsonl_row(out, &r);
      }
    }
  }
}

static wn_status write_all(const wn_batch_writer *w, const char *data, size_t len, wn_error *err) {
  while (len > 0) {
    ssize_t n = write(w->fd, data, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return wn_fail_errno(err, "", "cannot write %s", w->partial);
    data += n;
    len -= (size_t)n;
  }
  return WN_OK;
}

static wn_status text_chunk(wn_batch_writer *w, const wn_batch_job *job, const wn_batch_tile *chunk,
                            wn_batch_state *state, wn_error *err) {
  formatting f = {w, job, chunk};
  size_t pieces = (chunk->len + WN_BATCH_TILE - 1) / WN_BATCH_TILE;
  uint64_t start = wn_mono_ns();
  wn_pool_run(w->output->pool, pieces, 1, format_pieces, &f);
  w->format_seconds += (double)(wn_mono_ns() - start) * 1e-9;
  for (size_t p = 0; p < pieces; p++) {
    if (w->pieces[p].failed) return wn_fail_memory(err);
    wn_status status = write_all(w, w->pieces[p].data, w->pieces[p].len, err);
    if (status != WN_OK) return status;
    state->bytes += w->pieces[p].len;
  }
  if (fdatasync(w->fd) != 0) return wn_fail_errno(err, "", "cannot write %s", w->partial);
  return WN_OK;
}

static wn_status text_open(wn_batch_writer *w, wn_batch_state *state, wn_error *err) {
  static const char head[] = "user,item,score,rank\n";
  wn_status status = WN_OK;
  w->pieces_len = (size_t)w->output->chunk / WN_BATCH_TILE + 1;
  w->pieces = wn_calloc(w->pieces_len, sizeof *w->pieces);
  if (w->pieces == NULL) return wn_fail_memory(err);
  w->fd = open(w->partial, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (w->fd < 0) return wn_fail_errno(err, "", "cannot write %s", w->partial);
  off_t size = lseek(w->fd, 0, SEEK_END);
  if (size < 0 || (uint64_t)size < state->bytes)
    return wn_fail(err, WN_E_CORRUPT, "out", "%s is shorter than its state says: begin again",
                   w->partial);
  if (ftruncate(w->fd, (off_t)state->bytes) != 0 || lseek(w->fd, 0, SEEK_END) < 0)
    return wn_fail_errno(err, "", "cannot write %s", w->partial);
  if (w->output->format == WN_BATCH_CSV && state->bytes == 0) {
    status = write_all(w, head, sizeof head - 1, err);
    state->bytes = sizeof head - 1;
  }
  return status;
}

/* --- SQLite --- */

static wn_status lite_fail(const wn_batch_writer *w, wn_error *err) {
  return wn_fail(err, WN_E_IO, "out", "%s: %s", w->partial, sqlite3_errmsg(w->db));
}

static wn_status lite_run(const wn_batch_writer *w, const char *sql, wn_error *err) {
  return sqlite3_exec(w->db, sql, NULL, NULL, NULL) == SQLITE_OK ? WN_OK : lite_fail(w, err);
}

static wn_status lite_open(wn_batch_writer *w, wn_batch_state *state, wn_error *err) {
  sqlite3_stmt *done = NULL;
  wn_status status;
  if (state->done == 0) (void)unlink(w->partial);
  if (sqlite3_open(w->partial, &w->db) != SQLITE_OK) return lite_fail(w, err);
  WN_TRY(lite_run(w,
                  "PRAGMA synchronous = FULL;"
                  "CREATE TABLE IF NOT EXISTS recommendations(user TEXT NOT NULL, item TEXT NOT "
                  "NULL, score REAL NOT NULL, rank INTEGER NOT NULL);"
                  "CREATE TABLE IF NOT EXISTS unfinished(done INTEGER NOT NULL);"
                  "INSERT INTO unfinished SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM unfinished)",
                  err));
  if (sqlite3_prepare_v2(w->db, "INSERT INTO recommendations VALUES(?1, ?2, ?3, ?4)", -1,
                         &w->insert, NULL) != SQLITE_OK ||
      sqlite3_prepare_v2(w->db, "SELECT done FROM unfinished", -1, &done, NULL) != SQLITE_OK ||
      sqlite3_step(done) != SQLITE_ROW)
    WN_TRY(lite_fail(w, err));
  /* Rows may have been committed just before the state was written. */
  int64_t rows_done = sqlite3_column_int64(done, 0);
  if (rows_done < (int64_t)state->done || rows_done > (int64_t)state->users)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "out", "%s does not fit its state: begin again", w->partial));
  state->done = (uint64_t)rows_done;
cleanup:
  sqlite3_finalize(done);
  return status;
}

static bool lite_insert(sqlite3_stmt *insert, const row *r) {
  bool good =
      sqlite3_bind_text(insert, 1, r->user.ptr, (int)r->user.len, SQLITE_STATIC) == SQLITE_OK &&
      sqlite3_bind_text(insert, 2, r->item.ptr, (int)r->item.len, SQLITE_STATIC) == SQLITE_OK &&
      sqlite3_bind_double(insert, 3, (double)r->score) == SQLITE_OK &&
      sqlite3_bind_int(insert, 4, (int)r->rank) == SQLITE_OK && sqlite3_step(insert) == SQLITE_DONE;
  return sqlite3_reset(insert) == SQLITE_OK && good;
}

static wn_status lite_chunk(wn_batch_writer *w, const wn_batch_job *job, const wn_batch_tile *chunk,
                            wn_error *err) {
  char user_room[WN_BATCH_ID_ROOM], item_room[WN_BATCH_ID_ROOM], sql[80];
  wn_status status;
  WN_TRY(lite_run(w, "BEGIN", err));
  for (size_t i = 0; i < chunk->len; i++) {
    const wn_scored *list = chunk->out + i * job->n;
    row r = {.user = job->user(job->ctx, chunk->at + i, user_room)};
    for (size_t k = 0; k < chunk->count[i]; k++) {
      r.item = job->item(job->ctx, list[k].ix, item_room);
      r.score = list[k].score;
      r.rank = (unsigned)k + 1;
      if (!lite_insert(w->insert, &r)) WN_TRY(lite_fail(w, err));
    }
  }
  snprintf(sql, sizeof sql, "UPDATE unfinished SET done = %llu; COMMIT",
           (unsigned long long)(chunk->at + chunk->len));
  WN_TRY(lite_run(w, sql, err));
cleanup:
  return status;
}

static wn_status lite_finish(wn_batch_writer *w, wn_error *err) {
  wn_status status = lite_run(w,
                              "CREATE INDEX IF NOT EXISTS recommendations_by_user ON "
                              "recommendations(user); DROP TABLE IF EXISTS unfinished",
                              err);
  if (status != WN_OK) return status;
  sqlite3_finalize(w->insert);
  w->insert = NULL;
  if (sqlite3_close(w->db) != SQLITE_OK) return lite_fail(w, err);
  w->db = NULL;
  return WN_OK;
}

/* --- both --- */

wn_status wn_batch_writer_open(const wn_batch_output *output, wn_batch_state *state,
                               wn_batch_writer **out, wn_error *err) {
  wn_status status;
  wn_batch_writer *w = wn_calloc(1, sizeof *w);
  if (w == NULL) return wn_fail_memory(err);
  w->output = output;
  w->fd = -1;
  snprintf(w->partial, sizeof w->partial, "%s.partial", output->path);
  WN_TRY(output->format == WN_BATCH_SQLITE ? lite_open(w, state, err) : text_open(w, state, err));
  *out = w;
  w = NULL;
cleanup:
  wn_batch_writer_close(w);
  return status;
}

wn_status wn_batch_writer_chunk(wn_batch_writer *w, const wn_batch_job *job,
                                const wn_batch_tile *chunk, wn_batch_state *state, wn_error *err) {
  wn_status status = w->output->format == WN_BATCH_SQLITE ? lite_chunk(w, job, chunk, err)
                                                          : text_chunk(w, job, chunk, state, err);
  if (status == WN_OK) state->done += chunk->len;
  return status;
}

wn_status wn_batch_writer_finish(wn_batch_writer *w, wn_error *err) {
  char folder[PATH_MAX];
  if (w->db != NULL) {
    wn_status status = lite_finish(w, err);
    if (status != WN_OK) return status;
  } else if (fsync(w->fd) != 0) {
    return wn_fail_errno(err, "", "cannot write %s", w->partial);
  }
  if (rename(w->partial, w->output->path) != 0)
    return wn_fail_errno(err, "", "cannot write %s", w->output->path);
  snprintf(folder, sizeof folder, "%s", w->output->path);
  char *slash = strrchr(folder, '/');
  if (slash != NULL) slash[slash == folder] = '\0';
  return wn_sync_dir(slash != NULL ? folder : ".", err);
}

double wn_batch_writer_format_seconds(const wn_batch_writer *w) {
  return w->format_seconds;
}

void wn_batch_writer_close(wn_batch_writer *w) {
  if (w == NULL) return;
  if (w->fd >= 0) close(w->fd);
  for (size_t p = 0; w->pieces != NULL && p < w->pieces_len; p++) wn_buf_clear(&w->pieces[p]);
  wn_free(w->pieces);
  sqlite3_finalize(w->insert);
  sqlite3_close(w->db);
  wn_free(w);
}
