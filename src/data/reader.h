#ifndef WN_DATA_READER_H
#define WN_DATA_READER_H
/* Readers: files → records → a wn_sink. One file a format, all behind wn_read(). Input may be
 * compressed (gzip, zstd, xz, lz4), found by magic number, not by name. */

#include "base/progress.h"
#include "base/record.h"
#include "data/dataset.h"
#include <jansson.h>

/* What one line of a bad-line report says. */
typedef struct wn_bad_line {
  const char *file;
  long line;
  const char *field; /* "" when the whole line is meant */
  const char *reason;
} wn_bad_line;

/* One `--map field=column` of CSV and JSON lines. Targets: user item type value time id slate
 * (events), id title text status created and attr.NAME (items, users; attr.NAME[]: always a list);
 * a target `type` may be a constant: `type=!view`; an empty column: none is that field. */
typedef struct wn_column_map {
  wn_str field;
  wn_str column;
} wn_column_map;

typedef enum wn_record_kind {
  WN_RECORD_EVENTS,
  WN_RECORD_ITEMS,
  WN_RECORD_USERS,
  WN_RECORD_AUTO
} wn_record_kind;

typedef struct wn_read_options {
  const char *format;  /* "auto", "csv", "tsv", "jsonl", "movielens", "debian" */
  wn_record_kind kind; /* what a CSV or JSONL file holds; AUTO: by its columns or keys */
  const wn_column_map *map;
  size_t map_len;
  const char *list_separator; /* splits multi-valued CSV attributes, default "|" ; "" = never */
  bool skip_bad;              /* count and report bad lines and go on */
  long bad_lines_max; /* reported before giving up, default 20 (without skip_bad the import fails
                         after that many or at the end of the input, whichever comes first) */
  void (*on_bad)(void *ctx, const wn_bad_line *bad);
  void *on_bad_ctx;
  const wn_progress *progress; /* unit: bytes of the (compressed) input */
  int64_t now_ms;              /* for the check of future times; 0 = the clock */
} wn_read_options;

typedef struct wn_read_report {
  uint64_t lines;
  uint64_t events;
  uint64_t items;
  uint64_t users;
  uint64_t bad_lines;
  uint64_t duplicate_lines; /* event lines with a time, byte-identical to an earlier one of the
                               file: dropped */
} wn_read_report;

void wn_read_options_defaults(wn_read_options *options);
/* Reads a file or a folder (movielens: the folder of the data set; debian: the apt lists folder, or
 * NULL for this machine's; csv/jsonl: a file, or a folder whose *.csv / *.jsonl files are read
 * items first). Bad lines: each is reported through on_bad with file, line and reason. Without
 * skip_bad the call then fails with WN_E_FORMAT (the sink's owner rolls back). */
WN_MUST_USE wn_status wn_read(const char *path, const wn_read_options *options, const wn_sink *sink,
                              wn_read_report *report, wn_error *err);

/* Decompressing byte source; also used by the dataset files below. */
typedef struct wn_input wn_input;
WN_MUST_USE wn_status wn_input_open(const char *path, wn_input **out, wn_error *err);
WN_MUST_USE wn_status wn_input_open_memory(const void *bytes, size_t len, wn_input **out,
                                           wn_error *err);
/* Next line without its end (\\n or \\r\\n), valid until the next call; *line NULL at the end.
 * A line over 4 MiB is WN_E_TOO_LARGE, a torn compressed stream WN_E_FORMAT. */
WN_MUST_USE wn_status wn_input_line(wn_input *input, wn_str *line, wn_error *err);
/* The first line ahead that is not blank, trimmed, without reading past it (a pipe cannot be read
 * twice): whole, or its first 4 MiB; *line NULL when only blanks are left. Valid until the next
 * call. */
WN_MUST_USE wn_status wn_input_peek(wn_input *input, wn_str *line, wn_error *err);
uint64_t wn_input_consumed(const wn_input *input); /* compressed bytes read so far */
uint64_t wn_input_size(const wn_input *input);     /* compressed bytes in all; 0 unknown */
void wn_input_close(wn_input *input);

/* One event / item / user as a JSON object (the HTTP body's and JSON lines' form); strings
 * live in `arena`. Keys of an event: user, item, type, value?, time? (number or text; absent:
 * now_ms), id?, slate?. Item: id, title?, text?, status? ("active", "hidden"), created?, and
 * attributes under "attributes". User: id, "attributes". Ids may be whole numbers. Unknown keys are
 * refused by name. The records are checked (wn_event_check() and its like). */
WN_MUST_USE wn_status wn_event_from_json(const json_t *json, int64_t now_ms, wn_arena *arena,
                                         wn_event_record *out, wn_error *err);
WN_MUST_USE wn_status wn_item_from_json(const json_t *json, wn_arena *arena, wn_item_record *out,
                                        wn_error *err);
WN_MUST_USE wn_status wn_user_from_json(const json_t *json, wn_arena *arena, wn_user_record *out,
                                        wn_error *err);
void wn_item_to_json(const wn_item_record *item, wn_buf *out);
void wn_user_to_json(const wn_user_record *user, wn_buf *out);

/* Benchmarks' files straight into datasets, ids being integers below 2^31.
 * adjacency: a line is "user item item …"; sequence: a line is "user item", each user's in time
 * order; pairs: a line begins "user item", in any order. Duplicate items of a user are counted and
 * merged. */
WN_MUST_USE wn_status wn_read_adjacency(const char *path, wn_dataset_builder *builder,
                                        wn_error *err);
WN_MUST_USE wn_status wn_read_sequence(const char *path, wn_dataset_builder *builder,
                                       wn_error *err);
WN_MUST_USE wn_status wn_read_pairs(const char *path, wn_dataset_builder *builder, wn_error *err);
/* A line is "user item value time", time in seconds since 1970. */
WN_MUST_USE wn_status wn_read_ratings(const char *path, wn_dataset_builder *builder, wn_error *err);
/* What a sampled ranking may choose from: a line is "(user,item)", the user's test item, and then
 * items that she did not meet, with tabs or blanks between (the format of He et al. 2017). */
WN_MUST_USE wn_status wn_read_negatives(const char *path, wn_dataset_builder *builder,
                                        wn_error *err);

/* The catalogue beside such a file: JSON lines of items whose ids are its item numbers. The file is
 * read again by each scan; items from `items` on are passed over, an id that is no number is an
 * error of its line. */
typedef struct wn_item_file {
  const char *path;
  uint32_t items;
} wn_item_file;
wn_item_source wn_item_file_source(wn_item_file *file); /* `file` lives as long as the source */

#endif
