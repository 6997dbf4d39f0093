/* winnow import: files → reader → one transaction. All or nothing. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/map64.h"
#include "data/reader.h"
#include "model/vectors_file.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_OPS         8192
#define PAIRS_COUNTED_MAX ((size_t)64 * 1024 * 1024) /* 8 bytes each */

typedef struct batch {
  wn_arena arena; /* the ops' strings */
  wn_op *ops;
  size_t count;
} batch;

/* Reading and storing are two threads that pass two batches back and forth: one is filled while the
 * other is written. */
typedef struct importer {
  wn_store *store;
  batch batches[2];
  batch *filling;
  uint64_t digest; /* of everything read, in order: a second import of the same events is refused */
  int64_t now_ms;  /* the time of events that have none */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t moved;
  batch *handed; /* waits for the writer, or is being written; NULL: the writer is idle */
  bool ended;
  wn_status status; /* the writer's; once bad it stays so */
  wn_error error;
  /* the writer's own */
  WN_VEC(uint64_t) pairs; /* (user, item) of each event, to count duplicate pairs */
  bool pairs_whole;
  uint64_t stored, known; /* events; known: their client id was stored before */
} importer;

static struct {
  const char *data, *format, *kind, *separator, *vectors, *ids;
  wn_text_list map;
  bool skip_bad, again, json;
  uint64_t bad_max;
} opt;

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory; made when it is not there"},
    {"format", WN_OPT_TEXT, &opt.format, "NAME",
     "auto (default), csv, tsv, jsonl, movielens, debian"},
    {"kind", WN_OPT_TEXT, &opt.kind, "KIND",
     "what a file holds: auto (default), events, items, users"},
    {"map", WN_OPT_LIST, &opt.map, "FIELD=COLUMN",
     "which column is user, item, type, value, time, id …; type=!view sets a constant"},
    {"list-separator", WN_OPT_TEXT, &opt.separator, "TEXT",
     "splits multi-valued attributes, default |"},
    {"skip-bad", WN_OPT_FLAG, &opt.skip_bad, NULL, "report bad lines and import the others"},
    {"bad-max", WN_OPT_UINT, &opt.bad_max, "N", "bad lines reported before giving up, default 20"},
    {"again", WN_OPT_FLAG, &opt.again, NULL, "import even what was imported before"},
    {"vectors", WN_OPT_TEXT, &opt.vectors, "FILE",
     "vectors of items instead: a .npy matrix, float32 or float16; replaces earlier ones"},
    {"ids", WN_OPT_TEXT, &opt.ids, "FILE", "with --vectors: the items' ids, a line for each row"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "the report as JSON"},
};
static const wn_command command = {
    "import",
    "read events, items and users from files into a data directory",
    "--data DIR [--format NAME] [--map FIELD=COLUMN …] [PATH …]\n"
    "       --data DIR --vectors FILE --ids FILE",
    "Files may be compressed (gzip, zstd, xz, lz4). A bad line stops the import and nothing of it\n"
    "remains, unless --skip-bad is given. Without PATH, --format debian reads this machine's own\n"
    "package index. Formats and mapping: docs/data-formats.md.",
    options,
    sizeof options / sizeof options[0]};

static void digest_str(importer *im, wn_str s) {
  im->digest = wn_hash64(s.ptr, s.len, im->digest + s.len);
}

static int compare_u64(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static uint64_t duplicate_pairs(importer *im) {
  uint64_t n = 0;
  if (im->pairs.len == 0) return 0;
  qsort(im->pairs.data, im->pairs.len, sizeof im->pairs.data[0], compare_u64);
  for (size_t i = 1; i < im->pairs.len; i++) n += im->pairs.data[i] == im->pairs.data[i - 1];
  return n;
}

/* The writer's part of one batch. */
static wn_status store_batch(importer *im, batch *b, wn_error *err) {
  wn_status status = wn_store_append(im->store, b->ops, b->count, err);
  for (size_t i = 0; i < b->count && status == WN_OK; i++) {
    const wn_op *op = &b->ops[i];
    if (op->status != WN_OK) return wn_fail(err, op->status, op->field, "%s", op->reason);
    if (op->kind != WN_OP_EVENT) continue;
    if (op->duplicate) {
      im->known++;
      continue;
    }
    im->stored++;
    if (im->pairs.len < PAIRS_COUNTED_MAX) {
      if (!wn_vec_push(&im->pairs, (uint64_t)op->user_ix << 32 | op->item_ix))
        return wn_fail_memory(err);
    } else {
      im->pairs_whole = false;
    }
  }
  b->count = 0;
  wn_arena_reset(&b->arena);
  return status;
}

static void *write_batches(void *ctx) {
  importer *im = ctx;
  pthread_mutex_lock(&im->lock);
  for (;;) {
    while (im->handed == NULL && !im->ended) pthread_cond_wait(&im->moved, &im->lock);
    if (im->handed == NULL) break;
    pthread_mutex_unlock(&im->lock);
    wn_error err = {0};
    wn_status status = im->status == WN_OK ? store_batch(im, im->handed, &err) : im->status;
    pthread_mutex_lock(&im->lock);
    if (im->status == WN_OK && status != WN_OK) {
      im->status = status;
      im->error = err;
    }
    im->handed = NULL;
    pthread_cond_broadcast(&im->moved);
  }
  pthread_mutex_unlock(&im->lock);
  return NULL;
}

/* Hands the filled batch over as soon as the writer is idle, and says how the writer has fared so
 * far. `last`: waits for it, too, and ends it. */
static wn_status hand_over(importer *im, bool last, wn_error *err) {
  pthread_mutex_lock(&im->lock);
  while (im->handed != NULL) pthread_cond_wait(&im->moved, &im->lock);
  if (im->filling->count > 0 && im->status == WN_OK) {
    im->handed = im->filling;
    im->filling = im->filling == &im->batches[0] ? &im->batches[1] : &im->batches[0];
  }
  im->ended = last;
  pthread_cond_broadcast(&im->moved);
  while (last && im->handed != NULL) pthread_cond_wait(&im->moved, &im->lock);
  wn_status status = im->status;
  if (status != WN_OK) *err = im->error;
  pthread_mutex_unlock(&im->lock);
  return status;
}

/* The next free op, after handing over a full batch. */
static wn_status next_op(importer *im, wn_op_kind kind, wn_op **op, wn_error *err) {
  if (im->filling->count == BATCH_OPS || im->filling->arena.used_bytes > (64u << 20)) {
    wn_status status = hand_over(im, false, err);
    if (status != WN_OK) return status;
  }
  *op = &im->filling->ops[im->filling->count++];
  memset(*op, 0, sizeof **op);
  (*op)->kind = kind;
  return WN_OK;
}

static bool keep(importer *im, wn_str *s) {
  if (s->ptr == NULL) return true;
  *s = wn_arena_str(&im->filling->arena, *s);
  return s->ptr != NULL;
}

static bool keep_attrs(importer *im, wn_attrs *attrs) {
  if (attrs->len == 0) return true;
  wn_attr *copy = wn_arena_alloc(&im->filling->arena, attrs->len * sizeof *copy);
  if (copy == NULL) return false;
  for (size_t i = 0; i < attrs->len; i++) {
    copy[i] = attrs->data[i];
    if (!keep(im, &copy[i].name) || !keep(im, &copy[i].string)) return false;
    if (copy[i].list_len == 0) continue;
    wn_str *list = wn_arena_alloc(&im->filling->arena, copy[i].list_len * sizeof *list);
    if (list == NULL) return false;
    for (size_t j = 0; j < copy[i].list_len; j++) {
      list[j] = copy[i].list[j];
      if (!keep(im, &list[j])) return false;
    }
    copy[i].list = list;
  }
  attrs->data = copy;
  return true;
}

static wn_status take_event(void *ctx, const wn_event_record *event, wn_error *err) {
  importer *im = ctx;
  wn_op *op;
  wn_status status = next_op(im, WN_OP_EVENT, &op, err);
  if (status != WN_OK) return status;
  wn_event_record *e = &op->u.event;
  *e = *event;
  digest_str(im, e->user);
  digest_str(im, e->item);
  digest_str(im, e->type);
  digest_str(im, e->id);
  if (e->time_ms != im->now_ms) im->digest = wn_hash64(&e->time_ms, sizeof e->time_ms, im->digest);
  if (!isnan(e->value)) im->digest = wn_hash64(&e->value, sizeof e->value, im->digest);
  if (!keep(im, &e->id) || !keep(im, &e->user) || !keep(im, &e->item) || !keep(im, &e->type) ||
      !keep(im, &e->slate))
    return wn_fail_memory(err);
  return WN_OK;
}

static wn_status take_item(void *ctx, const wn_item_record *item, wn_error *err) {
  importer *im = ctx;
  wn_op *op;
  wn_status status = next_op(im, WN_OP_ITEM_PUT, &op, err);
  if (status != WN_OK) return status;
  wn_item_record *r = &op->u.item;
  *r = *item;
  if (!keep(im, &r->id) || !keep(im, &r->title) || !keep(im, &r->text) ||
      !keep_attrs(im, &r->attrs))
    return wn_fail_memory(err);
  return WN_OK;
}

static wn_status take_user(void *ctx, const wn_user_record *user, wn_error *err) {
  importer *im = ctx;
  wn_op *op;
  wn_status status = next_op(im, WN_OP_USER_PUT, &op, err);
  if (status != WN_OK) return status;
  op->u.user = *user;
  if (!keep(im, &op->u.user.id) || !keep_attrs(im, &op->u.user.attrs)) return wn_fail_memory(err);
  return WN_OK;
}

static void show_bad(void *ctx, const wn_bad_line *bad) {
  wn_meter_end(ctx);
  fprintf(stderr, "bad line: %s:%ld: %s%s%s\n", bad->file, bad->line, bad->field,
          bad->field[0] != '\0' ? ": " : "", bad->reason);
}

/* Refuses events that an earlier import already brought, else notes them; part of the transaction.
 */
static wn_status note_digest(importer *im, const wn_read_report *report, wn_error *err) {
  char key[40], now[32];
  wn_str before;
  if (report->events == 0)
    return WN_OK; /* items and users are replaced: importing them again is harmless */
  snprintf(key, sizeof key, "import/%016" PRIx64, im->digest);
  wn_status status = wn_store_meta_get(im->store, key, &im->filling->arena, &before, err);
  if (status != WN_OK) return status;
  if (before.ptr != NULL && !opt.again)
    return wn_fail(err, WN_E_CONFLICT, "",
                   "the same %" PRIu64 " events were imported at %.*s; --again imports them twice",
                   report->events, WN_STR_ARG(before));
  wn_time_format(wn_now_ms(), now, sizeof now);
  return wn_store_meta_set(im->store, key, wn_str_of(now), err);
}

static void sum_reports(wn_read_report *all, const wn_read_report *one) {
  all->lines += one->lines;
  all->events += one->events;
  all->items += one->items;
  all->users += one->users;
  all->bad_lines += one->bad_lines;
  all->duplicate_lines += one->duplicate_lines;
}

static int print_report(importer *im, const wn_read_report *r, double seconds) {
  wn_buf out = {0};
  uint64_t pairs = duplicate_pairs(im);
  if (opt.json) {
    wn_json j;
    wn_json_init(&j, &out);
    wn_json_object(&j);
    const struct {
      const char *key;
      uint64_t value;
    } rows[] = {{"events", r->events},       {"events_stored", im->stored},
                {"events_known", im->known}, {"items", r->items},
                {"users", r->users},         {"lines", r->lines},
                {"bad_lines", r->bad_lines}, {"duplicate_lines", r->duplicate_lines},
                {"duplicate_pairs", pairs}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
      wn_json_key(&j, rows[i].key);
      wn_json_int(&j, (int64_t)rows[i].value);
    }
    wn_json_key(&j, "seconds");
    wn_json_double(&j, seconds);
    wn_json_end_object(&j);
    return wn_cli_print(&out);
  }
  wn_buf_printf(&out, "imported %" PRIu64 " events, %" PRIu64 " items, %" PRIu64 " users in %.1f s",
                im->stored, r->items, r->users, seconds);
  if (seconds > 0 && im->stored > 0)
    wn_buf_printf(&out, " (%.0f events/s)", (double)im->stored / seconds);
  wn_buf_printf(&out,
                "\n%" PRIu64 " duplicate lines dropped, %" PRIu64 " events known before, %" PRIu64
                " events repeat a (user, item) pair%s, %" PRIu64 " bad lines",
                r->duplicate_lines, im->known, pairs, im->pairs_whole ? "" : " (of the first 64M)",
                r->bad_lines);
  return wn_cli_print(&out);
}

static wn_status read_all(importer *im, const wn_read_options *read, const wn_text_list *paths,
                          wn_read_report *all, wn_error *err) {
  wn_sink sink = {im, take_event, take_item, take_user};
  for (size_t i = 0; i < (paths->len > 0 ? paths->len : 1); i++) {
    wn_read_report one = {0};
    wn_status status = wn_read(paths->len > 0 ? paths->data[i] : NULL, read, &sink, &one, err);
    sum_reports(all, &one);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

/* Both threads, from the first line to the last batch. */
static wn_status read_and_store(importer *im, const wn_read_options *read,
                                const wn_text_list *paths, wn_read_report *all, wn_error *err) {
  wn_error late = {0};
  if (pthread_create(&im->thread, NULL, write_batches, im) != 0)
    return wn_fail(err, WN_E_MEMORY, "", "the system gives no thread");
  wn_status status = read_all(im, read, paths, all, err);
  if (status != WN_OK)
    im->filling->count = 0; /* its strings may be half copied, and nothing of it will stay */
  wn_status stored = hand_over(im, true, &late);
  pthread_join(im->thread, NULL);
  if (status == WN_OK && stored != WN_OK) {
    *err = late;
    status = stored;
  }
  return status == WN_OK ? note_digest(im, all, err) : status;
}

static wn_status run(const wn_read_options *read, const wn_text_list *paths, importer *im,
                     wn_read_report *all, wn_error *err) {
  for (size_t i = 0; i < paths->len; i++) /* before a data directory is made for nothing */
    if (access(paths->data[i], R_OK) != 0)
      return errno == ENOENT
                 ? wn_fail(err, WN_E_NOT_FOUND, "", "there is no file or folder %s", paths->data[i])
                 : wn_fail_errno(err, "", "cannot read %s", paths->data[i]);
  wn_status status = wn_store_open(opt.data, WN_STORE_WRITE, &im->store, err);
  if (status != WN_OK) return status;
  status = wn_store_begin(im->store, err);
  if (status == WN_OK) {
    status = read_and_store(im, read, paths, all, err);
    wn_error ending = {0};
    wn_status ended = wn_store_end(im->store, status == WN_OK, &ending);
    if (status == WN_OK && ended != WN_OK) {
      status = ended;
      *err = ending;
    }
  }
  wn_store_close(im->store);
  return status;
}

/* --kind and --map into the reader's options; −1 or the exit status. */
static int read_options(wn_read_options *read, wn_column_map *map) {
  static const char *const kinds[] = {"events", "items", "users", "auto"};
  wn_read_options_defaults(read);
  if (opt.format != NULL) read->format = opt.format;
  if (opt.separator != NULL) read->list_separator = opt.separator;
  read->skip_bad = opt.skip_bad;
  if (opt.bad_max < 1 || opt.bad_max > LONG_MAX)
    return wn_cli_usage(&command, "--bad-max takes 1 or more");
  read->bad_lines_max = (long)opt.bad_max;
  for (int k = 0; opt.kind != NULL; k++) {
    if (k == 4)
      return wn_cli_usage(&command, "--kind takes auto, events, items or users, not `%s`",
                          opt.kind);
    if (strcmp(opt.kind, kinds[k]) == 0) {
      read->kind = (wn_record_kind)k;
      break;
    }
  }
  for (size_t i = 0; i < opt.map.len; i++) {
    const char *equals = strchr(opt.map.data[i], '=');
    if (equals == NULL || equals == opt.map.data[i])
      return wn_cli_usage(&command, "--map takes FIELD=COLUMN, not `%s`", opt.map.data[i]);
    map[i] = (wn_column_map){{opt.map.data[i], (size_t)(equals - opt.map.data[i])},
                             wn_str_of(equals + 1)};
  }
  read->map = map;
  read->map_len = opt.map.len;
  return -1;
}

static int import_vectors(void) {
  wn_vectors_report report;
  wn_error err = {0};
  wn_buf out = {0};
  if (wn_vectors_import(opt.data, opt.vectors, opt.ids, &report, &err) != WN_OK) {
    int status = wn_cli_fail(&command, &err);
    fprintf(stderr, "Nothing was imported.\n");
    return status;
  }
  if (opt.json)
    wn_buf_printf(&out, "{\"vectors\":%" PRIu64 ",\"zero\":%" PRIu64 ",\"dimensions\":%u}",
                  report.vectors, report.zero, report.d);
  else
    wn_buf_printf(&out,
                  "imported %" PRIu64 " vectors of %u numbers, %" PRIu64
                  " of them all zero; the next training uses them",
                  report.vectors, report.d, report.zero);
  return wn_cli_print(&out);
}

int wn_cmd_import(int argc, char **argv) {
  static wn_text_list paths;
  wn_column_map map[64];
  wn_read_options read;
  wn_read_report report = {0};
  wn_error err = {0};
  wn_meter meter;
  opt.bad_max = 20;
  int status = wn_cli_parse(&command, argc, argv, &paths);
  if (status >= 0) return status;
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if ((opt.vectors == NULL) != (opt.ids == NULL))
    return wn_cli_usage(&command, "--vectors and --ids go together");
  if (opt.vectors != NULL && paths.len > 0)
    return wn_cli_usage(&command, "--vectors goes without other files");
  if (opt.vectors != NULL) return import_vectors();
  if (paths.len == 0 && (opt.format == NULL || strcmp(opt.format, "debian") != 0))
    return wn_cli_usage(&command, "which file or folder?");
  if (opt.map.len > sizeof map / sizeof map[0]) return wn_cli_usage(&command, "at most 64 --map");
  status = read_options(&read, map);
  if (status >= 0) return status;
  wn_meter_init(&meter);
  read.progress = &meter.progress;
  read.on_bad = show_bad;
  read.on_bad_ctx = &meter;

  read.now_ms = wn_now_ms();
  importer im = {.pairs_whole = true, .now_ms = read.now_ms};
  pthread_mutex_init(&im.lock, NULL);
  pthread_cond_init(&im.moved, NULL);
  bool ready = true;
  for (size_t b = 0; b < 2; b++) {
    wn_arena_init(&im.batches[b].arena, (size_t)1 << 30);
    im.batches[b].ops = wn_calloc(BATCH_OPS, sizeof(wn_op));
    ready = ready && im.batches[b].ops != NULL;
  }
  im.filling = &im.batches[0];
  uint64_t start = wn_mono_ns();
  wn_status done = ready ? run(&read, &paths, &im, &report, &err) : wn_fail_memory(&err);
  wn_meter_end(&meter);
  if (done == WN_OK) {
    status = print_report(&im, &report, (double)(wn_mono_ns() - start) * 1e-9);
  } else {
    status = wn_cli_fail(&command, &err);
    fprintf(stderr, "Nothing was imported.\n");
  }
  wn_vec_clear(&im.pairs);
  for (size_t b = 0; b < 2; b++) {
    wn_arena_clear(&im.batches[b].arena);
    wn_free(im.batches[b].ops);
  }
  pthread_cond_destroy(&im.moved);
  pthread_mutex_destroy(&im.lock);
  return status;
}
