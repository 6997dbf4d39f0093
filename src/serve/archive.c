#include "serve/archive.h"

#include "base/file.h"
#include "base/json_write.h"
#include "base/clock.h"
#include "base/vec.h"
#include "data/reader.h"
#include "model/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LEVEL        9
#define CHUNK        20000 /* positions of the log a commit: others wait for it */
#define FRAME_BYTES  ((size_t)4 << 20)
#define CLEANED_NAME "cleaned" /* the log's position up to which deletions are dealt with */

typedef struct segment {
  uint64_t first, last; /* positions of the log, inclusive */
  int64_t before_ms;    /* it holds those of them that are older */
} segment;
typedef WN_VEC(segment) segment_list;

static const char *path_of(const char *dir, const char *name, char out[4352]) {
  snprintf(out, 4352, "%s/archive%s%s", dir, name[0] != '\0' ? "/" : "", name);
  return out;
}

static const char *segment_path(const char *dir, segment s, char out[4352]) {
  char name[96];
  snprintf(name, sizeof name, "events-%" PRIu64 "-%" PRIu64 "-%" PRId64 ".jsonl.zst", s.first,
           s.last, s.before_ms);
  return path_of(dir, name, out);
}

static const char *dir_of(const wn_store *store, char out[4096]) {
  snprintf(out, 4096, "%.*s", WN_STR_ARG(wn_store_dir(store)));
  return out;
}

static int by_first(const void *a, const void *b) {
  const segment *x = a, *y = b;
  return (x->first > y->first) - (x->first < y->first);
}

/* In the order of the log. */
static wn_status list_segments(const char *dir, segment_list *out, wn_error *err) {
  char path[4352];
  struct dirent *entry;
  *out = (segment_list){0};
  DIR *folder = opendir(path_of(dir, "", path));
  if (folder == NULL)
    return errno == ENOENT ? WN_OK : wn_fail_errno(err, "data", "cannot read %s", path);
  bool good = true;
  while (good && (entry = readdir(folder)) != NULL) {
    segment s;
    int end = 0;
    if (sscanf(entry->d_name, "events-%" SCNu64 "-%" SCNu64 "-%" SCNd64 ".jsonl.zst%n", &s.first,
               &s.last, &s.before_ms, &end) == 3 &&
        end > 0 && entry->d_name[end] == '\0')
      good = wn_vec_push(out, s);
  }
  closedir(folder);
  if (!good) {
    wn_vec_clear(out);
    return wn_fail_memory(err);
  }
  if (out->len > 0) qsort(out->data, out->len, sizeof *out->data, by_first);
  return WN_OK;
}

wn_status wn_archive_segments(const char *dir, size_t *count, wn_error *err) {
  segment_list list;
  wn_status status = list_segments(dir, &list, err);
  *count = list.len;
  wn_vec_clear(&list);
  return status;
}

/* --- lines, compressed frame by frame --- */

typedef struct writer {
  wn_buf lines, out;
} writer;

static wn_status flush(writer *w, wn_error *err) {
  size_t bound = ZSTD_compressBound(w->lines.len);
  if (w->lines.failed) return wn_fail_memory(err);
  if (w->lines.len == 0) return WN_OK;
  char *room = wn_malloc(bound);
  if (room == NULL) return wn_fail_memory(err);
  size_t size = ZSTD_compress(room, bound, w->lines.data, w->lines.len, LEVEL);
  if (!ZSTD_isError(size)) wn_buf_append(&w->out, room, size);
  wn_free(room);
  wn_buf_reset(&w->lines);
  if (ZSTD_isError(size))
    return wn_fail(err, WN_E_INTERNAL, "archive", "zstd: %s", ZSTD_getErrorName(size));
  return w->out.failed ? wn_fail_memory(err) : WN_OK;
}

static void writer_clear(writer *w) {
  wn_buf_clear(&w->lines);
  wn_buf_clear(&w->out);
}

static wn_status write_segment(writer *w, const char *path, wn_archive_report *report,
                               wn_error *err) {
  wn_status status = flush(w, err);
  if (status != WN_OK) return status;
  report->bytes += w->out.len;
  return wn_write_file_atomic(path, (wn_str){w->out.data, w->out.len}, err);
}

/* --- moving --- */

typedef struct move {
  const wn_store *store;
  uint32_t limit;
  segment range;
  uint64_t events;
  writer w;
} move;

/* The user first: cleaning looks for it there. */
static void put_line(move *m, const wn_stored_event *event) {
  wn_json j;
  char id[32];
  snprintf(id, sizeof id, "wn-%" PRIu64, event->seq);
  wn_json_init(&j, &m->w.lines);
  wn_json_object(&j);
  wn_json_key(&j, "user");
  wn_json_string(&j, wn_dict_key(wn_store_users(m->store), event->user));
  wn_json_key(&j, "item");
  wn_json_string(&j, wn_dict_key(wn_store_items(m->store), event->item));
  wn_json_key(&j, "type");
  wn_json_string(&j, wn_dict_key(wn_store_types(m->store), event->type));
  if (event->value == event->value) { /* no NaN */
    wn_json_key(&j, "value");
    wn_json_double(&j, event->value);
  }
  char time[40];
  wn_json_key(&j, "time");
  wn_json_cstring(&j, wn_time_format(event->time_ms, time, sizeof time));
  wn_json_key(&j, "id");
  wn_json_cstring(&j, id);
  if (event->slate.ptr != NULL) {
    wn_json_key(&j, "slate");
    wn_json_string(&j, event->slate);
  }
  wn_json_end_object(&j);
  wn_buf_char(&m->w.lines, '\n');
}

/* WN_E_CANCELLED ends the scan when the segment is full. */
static wn_status move_one(void *ctx, const wn_stored_event *event, wn_error *err) {
  move *m = ctx;
  if (event->time_ms >= m->range.before_ms) return WN_OK;
  if (m->events == m->limit) return WN_E_CANCELLED;
  if (m->events++ == 0) m->range.first = event->seq;
  m->range.last = event->seq;
  put_line(m, event);
  return m->w.lines.len < FRAME_BYTES ? WN_OK : flush(&m->w, err);
}

/* Deletes what a segment holds from the log. */
static wn_status expire(const wn_archive_options *options, segment s, wn_error *err) {
  wn_status status = WN_OK;
  for (uint64_t from = s.first; from <= s.last && status == WN_OK; from += CHUNK) {
    uint64_t upto = s.last - from < CHUNK ? s.last : from + CHUNK - 1;
    wn_op op = {.kind = WN_OP_EXPIRE,
                .u.expire = {from, upto, s.before_ms, .recount = upto == s.last}};
    status = options->commit(options->ctx, &op, 1, err);
  }
  return status;
}

/* The position that every kept snapshot has learned. */
static wn_status learned_upto(const char *dir, uint64_t *seq, wn_error *err) {
  wn_snapshot_entry *entries = NULL;
  size_t count = 0;
  wn_status status = wn_snapshot_list(dir, false, &entries, &count, err);
  *seq = count > 0 ? UINT64_MAX : 0;
  for (size_t i = 0; status == WN_OK && i < count; i++)
    if (!entries[i].readable || entries[i].about.last_seq < *seq)
      *seq = entries[i].readable ? entries[i].about.last_seq : 0;
  wn_free(entries);
  return status;
}

/* After a crash between a segment and its deletions. */
static wn_status finish_last(const wn_archive_options *options, const char *dir, wn_error *err) {
  segment_list list = {0};
  wn_status status;
  WN_TRY(list_segments(dir, &list, err));
  if (list.len > 0) WN_TRY(expire(options, list.data[list.len - 1], err));
cleanup:
  wn_vec_clear(&list);
  return status;
}

/* Writes one segment of what is old enough and learned, and deletes it from the log. *events 0:
 * there is no more. */
static wn_status move_segment(wn_store *store, const wn_archive_options *options, uint64_t upto,
                              wn_archive_report *report, uint64_t *events, wn_error *err) {
  char dir[4096], path[4352];
  wn_status status;
  move m = {.store = store,
            .limit =
                options->segment_events > 0 ? options->segment_events : WN_ARCHIVE_SEGMENT_EVENTS,
            .range = {.before_ms = options->before_ms}};
  status = wn_store_scan_events(store, 0, upto, move_one, &m, err);
  if (status != WN_OK && !(status == WN_E_CANCELLED && m.events == m.limit)) goto cleanup;
  status = WN_OK;
  *events = m.events;
  if (m.events == 0) goto cleanup;
  WN_TRY(wn_make_dir(path_of(dir_of(store, dir), "", path), err));
  WN_TRY(write_segment(&m.w, segment_path(dir, m.range, path), report, err));
  WN_TRY(expire(options, m.range, err));
  report->events += m.events;
  report->segments++;
cleanup:
  writer_clear(&m.w);
  return status;
}

wn_status wn_archive_run(wn_store *store, const wn_archive_options *options,
                         wn_archive_report *report, wn_error *err) {
  char dir[4096];
  uint64_t upto = 0, events = 1;
  wn_status status;
  WN_TRY(finish_last(options, dir_of(store, dir), err));
  WN_TRY(learned_upto(dir, &upto, err));
  while (upto > 0 && events > 0) WN_TRY(move_segment(store, options, upto, report, &events, err));
cleanup:
  return status;
}

/* --- cleaning --- */

typedef struct cleaning {
  const wn_store *store;
  uint64_t since, upto; /* deletions from `since` on; the greatest position seen */
  wn_dict *gone;        /* ids of deleted users, by their number in `seq` */
  WN_VEC(uint64_t) seq; /* up to where their events go */
} cleaning;

static wn_status note_erased(void *ctx, wn_user_ix user, uint64_t seq, bool gone WN_UNUSED,
                             wn_error *err) {
  cleaning *c = ctx;
  uint32_t number;
  bool added;
  if (seq < c->since) return WN_OK;
  if (seq > c->upto) c->upto = seq;
  wn_str id = wn_dict_key(wn_store_users(c->store), user);
  if (wn_dict_add(c->gone, id, &number, &added) != WN_OK) return wn_fail_memory(err);
  return wn_vec_push(&c->seq, seq) ? WN_OK : wn_fail_memory(err);
}

static bool goes(const cleaning *c, const json_t *event) {
  const char *user = json_string_value(json_object_get(event, "user"));
  const char *id = json_string_value(json_object_get(event, "id"));
  uint32_t number = user != NULL ? wn_dict_find(c->gone, wn_str_of(user)) : WN_NO_IX;
  return number != WN_NO_IX && id != NULL && strtoull(id + 3, NULL, 10) <= c->seq.data[number];
}

/* Rewrites the segment without them; untouched when it holds none. */
static wn_status clean_segment(const cleaning *c, const char *path, wn_archive_report *report,
                               wn_error *err) {
  wn_input *input = NULL;
  writer w = {0};
  wn_str line;
  uint64_t taken = 0;
  wn_status status;
  WN_TRY(wn_input_open(path, &input, err));
  for (;;) {
    WN_TRY(wn_input_line(input, &line, err));
    if (line.ptr == NULL) break;
    json_t *event = json_loadb(line.ptr, line.len, 0, NULL);
    bool away = event != NULL && goes(c, event);
    json_decref(event);
    taken += away;
    if (away) continue;
    wn_buf_append(&w.lines, line.ptr, line.len);
    wn_buf_char(&w.lines, '\n');
    if (w.lines.len >= FRAME_BYTES) WN_TRY(flush(&w, err));
  }
  wn_input_close(input);
  input = NULL;
  wn_archive_report ignored = {0};
  if (taken > 0) WN_TRY(write_segment(&w, path, &ignored, err));
  report->erased += taken;
cleanup:
  if (input != NULL) wn_input_close(input);
  writer_clear(&w);
  return status;
}

static wn_status read_cleaned(const char *dir, uint64_t *seq, wn_error *err) {
  char path[4352];
  wn_buf text = {0};
  wn_error missing;
  *seq = 0;
  wn_status status = wn_read_file(path_of(dir, CLEANED_NAME, path), 64, &text, &missing);
  if (status == WN_OK && wn_buf_c(&text) != NULL) *seq = strtoull(text.data, NULL, 10);
  wn_buf_clear(&text);
  if (status == WN_OK || status == WN_E_NOT_FOUND) return WN_OK;
  *err = missing;
  return status;
}

static wn_status write_cleaned(const char *dir, uint64_t seq, wn_error *err) {
  char path[4352], text[24];
  snprintf(text, sizeof text, "%" PRIu64, seq);
  return wn_write_file_atomic(path_of(dir, CLEANED_NAME, path), wn_str_of(text), err);
}

wn_status wn_archive_clean(wn_store *store, wn_archive_report *report, wn_error *err) {
  char dir[4096], path[4352];
  segment_list list = {0};
  cleaning c = {.store = store};
  wn_status status;
  WN_TRY(list_segments(dir_of(store, dir), &list, err));
  if (list.len == 0) goto cleanup;
  WN_TRY(read_cleaned(dir, &c.since, err));
  c.gone = wn_dict_create();
  if (c.gone == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_store_scan_erased(store, note_erased, &c, err));
  for (size_t i = 0; i < list.len && c.seq.len > 0; i++)
    WN_TRY(clean_segment(&c, segment_path(dir, list.data[i], path), report, err));
  if (c.upto > c.since) WN_TRY(write_cleaned(dir, c.upto, err));
cleanup:
  wn_dict_free(c.gone);
  wn_vec_clear(&c.seq);
  wn_vec_clear(&list);
  return status;
}
