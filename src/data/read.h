#ifndef WN_DATA_READ_H
#define WN_DATA_READ_H
/* What the readers share: the current file with its line numbers, the policy for bad lines,
 * duplicates, progress, and the way to the sink. Internal to the data layer. */

#include "data/line_set.h"
#include "data/reader.h"

typedef struct wn_reader {
  const wn_read_options *options;
  const wn_sink *sink;
  wn_read_report *report;
  int64_t now_ms;
  int64_t bad_max;
  wn_error first_bad; /* what the call fails with when bad lines may not be skipped */
  bool failed;        /* bad lines that may not be skipped: read on to report them, store nothing */
  wn_line_set seen;   /* event lines of the current file */
  /* the current file */
  const char *file; /* as errors name it; borrowed */
  wn_input *input;
  bool owns_input;
  char stage[96];
  long line; /* number of the line last read, 0 before the first */
} wn_reader;

void wn_reader_init(wn_reader *reader, const wn_read_options *options, const wn_sink *sink,
                    wn_read_report *report);
/* Frees, and turns bad lines that may not be skipped into the failure. */
WN_MUST_USE wn_status wn_reader_finish(wn_reader *reader, wn_status status, wn_error *err);

WN_MUST_USE wn_status wn_reader_open(wn_reader *reader, const char *path, wn_error *err);
/* An input that the caller opened and closes. */
void wn_reader_use(wn_reader *reader, wn_input *input, const char *file);
void wn_reader_close(wn_reader *reader);

/* Next line (ptr NULL: the end) without a UTF-8 byte order mark. Overlong lines are bad lines. */
WN_MUST_USE wn_status wn_reader_line(wn_reader *reader, wn_str *line, wn_error *err);
/* Applies the policy to a bad record that began at `line`; fails when it is time to stop.
 * Failures that are not the line's fault (memory, files, a cancel) are passed on. */
WN_MUST_USE wn_status wn_reader_bad(wn_reader *reader, long line, const wn_error *why,
                                    wn_error *err);

/* A parsed record: checked, counted, handed to the sink. `line` is where it began. Events with
 * a time of their own come with wn_reader_hash() of their line, taken before it is parsed: an
 * identical line is dropped. 0: not compared. */
uint64_t wn_reader_hash(const wn_reader *reader, wn_str raw);
WN_MUST_USE wn_status wn_reader_event(wn_reader *reader, long line, const wn_event_record *event,
                                      uint64_t hash, wn_error *err);
WN_MUST_USE wn_status wn_reader_item(wn_reader *reader, long line, const wn_item_record *item,
                                     wn_error *err);
WN_MUST_USE wn_status wn_reader_user(wn_reader *reader, long line, const wn_user_record *user,
                                     wn_error *err);

/* One format each. The first two read the current file; `kind` AUTO: by columns or keys.
 * `separator` 0: by the header. `lenient`: mapped columns that the file lacks are passed over (one
 * of many files). */
WN_MUST_USE wn_status wn_read_csv(wn_reader *reader, char separator, bool lenient, wn_error *err);
WN_MUST_USE wn_status wn_read_jsonl(wn_reader *reader, wn_error *err);
WN_MUST_USE wn_status wn_read_movielens(wn_reader *reader, const char *folder, wn_error *err);
WN_MUST_USE wn_status wn_read_debian(wn_reader *reader, const char *path, wn_error *err);

/* What a CSV file with these header cells holds; AUTO when its columns do not tell. */
wn_record_kind wn_csv_kind(const wn_read_options *options, const char *file, const wn_str *header,
                           size_t header_len);
/* The last part of a path. */
const char *wn_base_name(const char *path);

#endif
