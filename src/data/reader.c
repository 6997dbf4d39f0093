/* The common part of all readers, see read.h; the formats are in read_*.c, the dispatch in read.c.
 */
#include "data/read.h"
#include "base/clock.h"
#include "base/map64.h"

#include <stdio.h>
#include <string.h>

#define PROGRESS_LINES 8192 /* a call of the progress function every so many lines */

void wn_read_options_defaults(wn_read_options *options) {
  *options = (wn_read_options){
      .format = "auto", .kind = WN_RECORD_AUTO, .list_separator = "|", .bad_lines_max = 20};
}

const char *wn_base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

void wn_reader_init(wn_reader *reader, const wn_read_options *options, const wn_sink *sink,
                    wn_read_report *report) {
  *reader = (wn_reader){.options = options, .sink = sink, .report = report};
  reader->now_ms = options->now_ms != 0 ? options->now_ms : wn_now_ms();
  reader->bad_max = options->bad_lines_max > 0 ? options->bad_lines_max : 1;
  *report = (wn_read_report){0};
}

static wn_status bad_lines_failure(const wn_reader *reader, wn_error *err) {
  const wn_error *first = &reader->first_bad;
  wn_status status = WN_E_FORMAT;
  if (reader->report->bad_lines == 1) {
    wn_fail(err, status, first->field, "%s", first->message);
  } else {
    wn_fail(err, status, first->field, "%s (the first of %llu bad lines)", first->message,
            (unsigned long long)reader->report->bad_lines);
  }
  if (err != NULL) wn_error_at(err, first->file, first->line, first->column);
  return status;
}

wn_status wn_reader_finish(wn_reader *reader, wn_status status, wn_error *err) {
  wn_reader_close(reader);
  wn_line_set_clear(&reader->seen);
  if (status == WN_OK && reader->failed) return bad_lines_failure(reader, err);
  return status;
}

wn_status wn_reader_open(wn_reader *reader, const char *path, wn_error *err) {
  wn_input *input;
  wn_reader_close(reader);
  wn_status status = wn_input_open(path, &input, err);
  if (status != WN_OK) return status;
  wn_reader_use(reader, input, path);
  reader->owns_input = true;
  return WN_OK;
}

void wn_reader_use(wn_reader *reader, wn_input *input, const char *file) {
  wn_reader_close(reader);
  reader->input = input;
  reader->file = file;
  reader->line = 0;
  wn_line_set_reset(&reader->seen);
  snprintf(reader->stage, sizeof reader->stage, "reading %.80s", wn_base_name(file));
}

void wn_reader_close(wn_reader *reader) {
  if (reader->owns_input) wn_input_close(reader->input);
  reader->input = NULL;
  reader->owns_input = false;
}

static wn_status report_progress(wn_reader *reader, wn_error *err) {
  double done = (double)wn_input_consumed(reader->input);
  double total = (double)wn_input_size(reader->input);
  if (wn_progress_at(reader->options->progress, reader->stage, done, total, "bytes")) return WN_OK;
  wn_fail(err, WN_E_CANCELLED, "", "stopped on request");
  return wn_error_at(err, reader->file, reader->line, 0);
}

static wn_str without_mark(wn_str line) {
  if (line.len >= 3 && memcmp(line.ptr, "\xef\xbb\xbf", 3) == 0) {
    return (wn_str){line.ptr + 3, line.len - 3};
  }
  return line;
}

wn_status wn_reader_line(wn_reader *reader, wn_str *line, wn_error *err) {
  for (;;) {
    wn_error why;
    wn_status status = wn_input_line(reader->input, line, &why);
    if (status == WN_OK && line->ptr == NULL) return report_progress(reader, err);
    reader->line++;
    reader->report->lines++;
    if (reader->line % PROGRESS_LINES == 0) {
      wn_status stop = report_progress(reader, err);
      if (stop != WN_OK) return stop;
    }
    if (status == WN_OK) {
      if (reader->line == 1) *line = without_mark(*line);
      return WN_OK;
    }
    if (status != WN_E_TOO_LARGE) {
      wn_fail(err, status, why.field, "%s", why.message);
      return err != NULL ? wn_error_at(err, reader->file, reader->line, 0) : status;
    }
    status = wn_reader_bad(reader, reader->line, &why, err);
    if (status != WN_OK) return status;
  }
}

static bool is_the_lines_fault(wn_status status) {
  return status == WN_E_FORMAT || status == WN_E_ARGUMENT || status == WN_E_TOO_LARGE ||
         status == WN_E_UNSUPPORTED;
}

wn_status wn_reader_bad(wn_reader *reader, long line, const wn_error *why, wn_error *err) {
  const wn_read_options *options = reader->options;
  if (!is_the_lines_fault(why->status)) {
    wn_fail(err, why->status, why->field, "%s", why->message);
    return err != NULL ? wn_error_at(err, reader->file, line, 0) : why->status;
  }
  wn_bad_line bad = {reader->file, line, why->field, why->message};
  if (options->on_bad != NULL) options->on_bad(options->on_bad_ctx, &bad);
  reader->report->bad_lines++;
  if (options->skip_bad) return WN_OK;
  if (!reader->failed) {
    reader->first_bad = *why;
    wn_error_at(&reader->first_bad, reader->file, line, why->column);
  }
  reader->failed = true;
  if (reader->report->bad_lines < (uint64_t)reader->bad_max) return WN_OK;
  return bad_lines_failure(reader, err);
}

/* The sink's own failure, with the place where reading stood. */
static wn_status from_sink(const wn_reader *reader, wn_status status, long line, wn_error *err) {
  if (status == WN_OK || err == NULL) return status;
  err->status = status;
  return wn_error_at(err, reader->file, line, 0);
}

uint64_t wn_reader_hash(const wn_reader *reader, wn_str raw) {
  uint64_t hash = wn_hash64(raw.ptr, raw.len, 0) | 1; /* never 0 */
  wn_line_set_prefetch(&reader->seen, hash);
  return hash;
}

wn_status wn_reader_event(wn_reader *reader, long line, const wn_event_record *event, uint64_t hash,
                          wn_error *err) {
  wn_error why;
  if (wn_event_check(event, reader->now_ms, &why) != WN_OK) {
    return wn_reader_bad(reader, line, &why, err);
  }
  if (hash != 0) {
    bool added;
    wn_status status = wn_line_set_add(&reader->seen, hash, &added, err);
    if (status != WN_OK) return status;
    if (!added) {
      reader->report->duplicate_lines++;
      return WN_OK;
    }
  }
  reader->report->events++;
  if (reader->failed || reader->sink->event == NULL) return WN_OK;
  return from_sink(reader, reader->sink->event(reader->sink->ctx, event, err), line, err);
}

wn_status wn_reader_item(wn_reader *reader, long line, const wn_item_record *item, wn_error *err) {
  wn_error why;
  if (wn_item_check(item, &why) != WN_OK) return wn_reader_bad(reader, line, &why, err);
  reader->report->items++;
  if (reader->failed || reader->sink->item == NULL) return WN_OK;
  return from_sink(reader, reader->sink->item(reader->sink->ctx, item, err), line, err);
}

wn_status wn_reader_user(wn_reader *reader, long line, const wn_user_record *user, wn_error *err) {
  wn_error why;
  if (wn_user_check(user, &why) != WN_OK) return wn_reader_bad(reader, line, &why, err);
  reader->report->users++;
  if (reader->failed || reader->sink->user == NULL) return WN_OK;
  return from_sink(reader, reader->sink->user(reader->sink->ctx, user, err), line, err);
}
