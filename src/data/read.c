/* wn_read(): which format a path holds, and the files of a folder. */
#include "data/csv.h"
#include "data/folder.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

typedef enum read_format { F_CSV, F_TSV, F_JSONL, F_MOVIELENS, F_DEBIAN, F_AUTO } read_format;

static const char *const format_names[] = {"csv", "tsv", "jsonl", "movielens", "debian", "auto"};

static wn_status format_of_name(const char *name, read_format *out, wn_error *err) {
  for (int i = 0; i <= F_AUTO; i++) {
    *out = (read_format)i;
    if (name == NULL || strcmp(name, format_names[i]) == 0) return WN_OK;
  }
  return wn_fail(err, WN_E_ARGUMENT, "format",
                 "must be auto, csv, tsv, jsonl, movielens or debian, got \"%s\"", name);
}

/* By the file's ending; F_AUTO when it says nothing. */
static read_format format_of_file(const char *path) {
  static const struct {
    const char *ending;
    read_format format;
  } rows[] = {{".csv", F_CSV}, {".tsv", F_TSV}, {".jsonl", F_JSONL}, {".ndjson", F_JSONL}};
  wn_str stem = wn_folder_stem(wn_base_name(path));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    size_t len = strlen(rows[i].ending);
    if (stem.len > len && strncasecmp(stem.ptr + stem.len - len, rows[i].ending, len) == 0) {
      return rows[i].format;
    }
  }
  return F_AUTO;
}

/* By the first line that is not blank. */
static wn_status sniff_format(wn_reader *reader, read_format *out, wn_error *err) {
  wn_str line;
  wn_status status = wn_input_peek(reader->input, &line, err);
  *out = F_CSV;
  if (status != WN_OK || line.ptr == NULL)
    return status; /* an empty file holds no records in any format */
  if (line.ptr[0] == '{') {
    *out = F_JSONL;
  } else if (wn_csv_separator(line) == '\0') {
    status = wn_fail(err, WN_E_FORMAT, "format",
                     "neither JSON lines nor a table with commas, tabs or semicolons");
    if (err != NULL) wn_error_at(err, reader->file, 1, 0);
  }
  return status;
}

/* A file system with apt's lists in it. */
static bool is_root(const char *path) {
  struct stat st;
  char *lists = wn_folder_join(path, "var/lib/apt/lists");
  bool is = lists != NULL && stat(lists, &st) == 0 && S_ISDIR(st.st_mode);
  wn_free(lists);
  return is;
}

static read_format format_of_folder(const wn_folder *folder) {
  if (wn_folder_has(folder, "*_Packages") || is_root(folder->path)) return F_DEBIAN;
  if (wn_folder_has(folder, "u.data")) return F_MOVIELENS;
  if (wn_folder_has(folder, "ratings*.dat")) return F_MOVIELENS;
  if (wn_folder_has(folder, "ratings.csv") && wn_folder_has(folder, "movies.csv")) {
    return F_MOVIELENS;
  }
  return F_CSV;
}

static wn_status read_file(wn_reader *reader, const char *path, read_format format, bool lenient,
                           wn_error *err) {
  wn_status status = WN_OK;
  char separator = format == F_CSV ? ',' : format == F_TSV ? '\t' : '\0';
  if (format == F_AUTO) format = format_of_file(path);
  WN_TRY(wn_reader_open(reader, path, err));
  if (format == F_AUTO) WN_TRY(sniff_format(reader, &format, err));
  if (format == F_JSONL)
    WN_TRY(wn_read_jsonl(reader, err));
  else
    WN_TRY(wn_read_csv(reader, separator, lenient, err));
cleanup:
  wn_reader_close(reader);
  return status;
}

/* One file of a folder: items are read first, then users, then events. */
typedef struct folder_file {
  char *path;
  read_format format;
  wn_record_kind kind;
} folder_file;

static wn_record_kind kind_of_jsonl(const char *path) {
  const char *name = wn_base_name(path);
  if (strcasestr(name, "item") != NULL) return WN_RECORD_ITEMS;
  if (strcasestr(name, "user") != NULL) return WN_RECORD_USERS;
  return WN_RECORD_EVENTS;
}

/* Notes the mapped columns that the header has. */
static void note_columns(const wn_read_options *options, const wn_csv *csv, bool *met) {
  for (size_t i = 0; i < options->map_len; i++) {
    for (size_t j = 0; j < csv->cells_len && !met[i]; j++) {
      met[i] = wn_str_equal(options->map[i].column, wn_str_trim(csv->cells[j]));
    }
  }
}

/* A column that no table has is a slip of the pen. Keys of JSON lines are not known yet. */
static wn_status check_columns(const wn_read_options *options, const folder_file *files, size_t len,
                               const bool *met, wn_error *err) {
  for (size_t i = 0; i < len; i++) {
    if (files[i].format == F_JSONL) return WN_OK;
  }
  for (size_t i = 0; i < options->map_len; i++) {
    wn_str column = options->map[i].column;
    if (met[i] || column.len == 0 || column.ptr[0] == '!') continue;
    return wn_fail(err, WN_E_ARGUMENT, "map", "no file of the folder has a column '%.*s'",
                   WN_STR_ARG(column));
  }
  return WN_OK;
}

/* Reads the header; bad lines are reported when the file's turn comes. */
static wn_status kind_of_table(wn_reader *reader, folder_file *file, bool *met, wn_error *err) {
  wn_status status;
  bool end;
  wn_csv csv = {0};
  wn_read_report report = {0};
  wn_read_options quiet = *reader->options;
  wn_reader peek;
  quiet.on_bad = NULL;
  quiet.progress = NULL;
  wn_reader_init(&peek, &quiet, reader->sink, &report);
  WN_TRY(wn_reader_open(&peek, file->path, err));
  WN_TRY(wn_csv_init(&csv, &peek, '\0', err));
  WN_TRY(wn_csv_next(&csv, &end, err));
  if (!end) {
    file->kind = wn_csv_kind(reader->options, file->path, csv.cells, csv.cells_len);
    note_columns(reader->options, &csv, met);
  }
cleanup:
  wn_csv_clear(&csv);
  peek.failed = false;
  return wn_reader_finish(&peek, status, err);
}

static wn_status add_file(wn_reader *reader, const wn_folder *folder, const char *name,
                          folder_file *file, bool *met, wn_error *err) {
  file->format = format_of_file(name);
  file->path = wn_folder_join(folder->path, name);
  if (file->path == NULL) return wn_fail_memory(err);
  if (file->format != F_JSONL) return kind_of_table(reader, file, met, err);
  file->kind = kind_of_jsonl(name);
  return WN_OK;
}

static wn_status read_in_order(wn_reader *reader, const folder_file *files, size_t len,
                               wn_error *err) {
  static const wn_record_kind order[] = {WN_RECORD_ITEMS, WN_RECORD_USERS, WN_RECORD_EVENTS,
                                         WN_RECORD_AUTO};
  for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
    for (size_t i = 0; i < len; i++) {
      if (files[i].kind != order[k]) continue;
      wn_status status = read_file(reader, files[i].path, F_AUTO, true, err);
      if (status != WN_OK) return status;
    }
  }
  return WN_OK;
}

static wn_status read_tables(wn_reader *reader, const wn_folder *folder, read_format format,
                             wn_error *err) {
  wn_status status = WN_OK;
  size_t len = 0;
  folder_file *files = wn_calloc(folder->len + 1, sizeof *files);
  bool *met = wn_calloc(reader->options->map_len + 1, sizeof *met);
  if (files == NULL || met == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t i = 0; i < folder->len; i++) {
    read_format has = format_of_file(folder->names[i]);
    if (has == F_AUTO || (format != F_AUTO && format != has)) continue;
    folder_file *file = &files[len++];
    file->kind = WN_RECORD_AUTO;
    WN_TRY(add_file(reader, folder, folder->names[i], file, met, err));
  }
  if (len == 0) {
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "", "no .csv, .tsv or .jsonl file in the folder %s",
                   folder->path));
  }
  WN_TRY(check_columns(reader->options, files, len, met, err));
  WN_TRY(read_in_order(reader, files, len, err));
cleanup:
  wn_free(met);
  for (size_t i = 0; i < len; i++) wn_free(files[i].path);
  wn_free(files);
  return status;
}

static wn_status read_folder(wn_reader *reader, const char *path, read_format format,
                             wn_error *err) {
  wn_status status;
  wn_folder folder = {0};
  WN_TRY(wn_folder_open(&folder, path, err));
  bool any = format == F_AUTO;
  read_format is = any ? format_of_folder(&folder) : format;
  if (is == F_DEBIAN)
    WN_TRY(wn_read_debian(reader, path, err));
  else if (is == F_MOVIELENS)
    WN_TRY(wn_read_movielens(reader, path, err));
  else
    WN_TRY(read_tables(reader, &folder, any ? F_AUTO : format, err));
cleanup:
  wn_folder_clear(&folder);
  return status;
}

static wn_status read_path(wn_reader *reader, const char *path, wn_error *err) {
  read_format format;
  struct stat st;
  wn_status status = format_of_name(reader->options->format, &format, err);
  if (status != WN_OK) return status;
  if (path == NULL) {
    if (format == F_DEBIAN) return wn_read_debian(reader, NULL, err);
    return wn_fail(err, WN_E_ARGUMENT, "path", "is needed for every format but debian");
  }
  if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return read_folder(reader, path, format, err);
  if (format == F_MOVIELENS || format == F_DEBIAN) {
    return wn_fail(err, WN_E_ARGUMENT, "path", "the format %s wants a folder: %s",
                   format_names[format], path);
  }
  return read_file(reader, path, format, false, err);
}

wn_status wn_read(const char *path, const wn_read_options *options, const wn_sink *sink,
                  wn_read_report *report, wn_error *err) {
  wn_reader reader;
  wn_reader_init(&reader, options, sink, report);
  return wn_reader_finish(&reader, read_path(&reader, path, err), err);
}
