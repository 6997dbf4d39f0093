/* RFC 4180 records. Departures: a quote inside an unquoted cell is an ordinary byte; separators
 * other than the comma; line ends \n or \r\n. No allocation per record once the buffers have
 * grown, and lines without any quote (most) take a path of their own: memchr only.
 *
 * A quote that is opened and never closed would swallow the rest of the file. Such a record is
 * reported as one bad line and reading resumes at its second line, so that with skip_bad a stray
 * quote costs one line. A file full of stray quotes could make that quadratic; after
 * AGAIN_BYTES_MAX a bad record is dropped whole. */
#include "data/csv.h"
#include "base/mem.h"

#include <string.h>

#define RECORD_BYTES_MAX (4u << 20)
#define AGAIN_BYTES_MAX  (256u << 20)

char wn_csv_separator(wn_str header) {
  size_t commas = 0, tabs = 0, semicolons = 0;
  bool quoted = false;
  for (size_t i = 0; i < header.len; i++) {
    char c = header.ptr[i];
    quoted ^= c == '"';
    if (quoted) continue;
    commas += c == ',';
    tabs += c == '\t';
    semicolons += c == ';';
  }
  if (tabs > commas && tabs >= semicolons) return '\t';
  if (semicolons > commas) return ';';
  return commas > 0 ? ',' : '\0';
}

wn_status wn_csv_init(wn_csv *csv, wn_reader *reader, char separator, wn_error *err) {
  wn_str header = {0};
  *csv = (wn_csv){.reader = reader, .separator = separator};
  csv->cells = wn_calloc(WN_CSV_CELLS_MAX, sizeof *csv->cells);
  if (csv->cells == NULL) return wn_fail_memory(err);
  if (separator != '\0') return WN_OK;
  wn_status status = wn_input_peek(reader->input, &header, err);
  csv->separator = header.ptr != NULL ? wn_csv_separator(header) : ',';
  if (csv->separator == '\0') csv->separator = ','; /* one column */
  return status;
}

void wn_csv_clear(wn_csv *csv) {
  wn_free(csv->cells);
  wn_buf_clear(&csv->joined);
  wn_buf_clear(&csv->unquoted);
  wn_buf_clear(&csv->again);
  *csv = (wn_csv){0};
}

/* The next line: one that is read again, or the file's next. */
static wn_status take_line(wn_csv *csv, wn_str *line, wn_error *err) {
  if (csv->again_pos < csv->again.len) {
    char *from = csv->again.data + csv->again_pos;
    size_t left = csv->again.len - csv->again_pos;
    char *end = memchr(from, '\n', left);
    size_t len = end != NULL ? (size_t)(end - from) : left;
    *line = (wn_str){from, len};
    csv->again_pos += len + 1;
    csv->at++;
    return WN_OK;
  }
  wn_status status = wn_reader_line(csv->reader, line, err);
  csv->at = csv->reader->line;
  return status;
}

/* Whether a quoted cell is open after `text`, given whether one was before. */
static bool open_after(bool open, wn_str text, char separator) {
  bool at_start = !open;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (open) {
      if (c != '"') continue;
      if (i + 1 < text.len && text.ptr[i + 1] == '"')
        i++;
      else
        open = false;
    } else {
      open = at_start && c == '"';
      at_start = c == separator;
    }
  }
  return open;
}

/* Everything of the failed record but its first line is read again, before what is left of an
 * earlier such round. */
static wn_status resume_at_second_line(wn_csv *csv, wn_error *err) {
  char *end = csv->joined.data == NULL ? NULL : memchr(csv->joined.data, '\n', csv->joined.len);
  if (end == NULL || csv->again_bytes > AGAIN_BYTES_MAX) return WN_OK;
  csv->again_bytes += csv->joined.len;
  size_t first = (size_t)(end - csv->joined.data) + 1;
  wn_buf again = {0};
  wn_buf_append(&again, csv->joined.data + first, csv->joined.len - first);
  wn_buf_char(&again, '\n');
  if (csv->again_pos < csv->again.len) {
    wn_buf_append(&again, csv->again.data + csv->again_pos, csv->again.len - csv->again_pos);
  }
  wn_buf_clear(&csv->again);
  csv->again = again;
  csv->again_pos = 0;
  csv->at = csv->line;
  return again.failed ? wn_fail_memory(err) : WN_OK;
}

wn_status wn_csv_reject(wn_csv *csv, const wn_error *why, wn_error *err) {
  wn_status status = wn_reader_bad(csv->reader, csv->line, why, err);
  return status != WN_OK ? status : resume_at_second_line(csv, err);
}

/* Appends lines until the open quote is closed. *closed false: it never is. */
static wn_status join_lines(wn_csv *csv, wn_str first, bool *closed, wn_error *err) {
  bool open = true;
  wn_buf_append(&csv->joined, first.ptr, first.len);
  while (open) {
    wn_str line;
    wn_status status = take_line(csv, &line, err);
    if (status != WN_OK) return status;
    if (line.ptr == NULL) break;
    wn_buf_char(&csv->joined, '\n');
    wn_buf_append(&csv->joined, line.ptr, line.len);
    if (csv->joined.failed) return wn_fail_memory(err);
    open = open_after(true, line, csv->separator);
    if (csv->joined.len > RECORD_BYTES_MAX) break;
  }
  *closed = !open;
  csv->raw = (wn_str){csv->joined.data, csv->joined.len};
  return csv->joined.failed ? wn_fail_memory(err) : WN_OK;
}

static wn_status too_many_cells(wn_error *why) {
  return wn_fail(why, WN_E_FORMAT, "", "has more than %d columns", WN_CSV_CELLS_MAX);
}

static wn_status split_plain(wn_csv *csv, wn_error *why) {
  const char *from = csv->raw.ptr, *end = from + csv->raw.len;
  size_t n = 0;
  for (;;) {
    if (n == WN_CSV_CELLS_MAX) return too_many_cells(why);
    const char *to = memchr(from, csv->separator, (size_t)(end - from));
    csv->cells[n++] = (wn_str){from, (size_t)((to != NULL ? to : end) - from)};
    if (to == NULL) break;
    from = to + 1;
  }
  csv->cells_len = n;
  return WN_OK;
}

/* The inside of a quoted cell at `*pos`; `*pos` moves behind its closing quote. */
static bool take_quoted(wn_csv *csv, size_t *pos, wn_str *cell) {
  size_t begin = csv->unquoted.len, from = *pos + 1;
  for (;;) {
    const char *quote = memchr(csv->raw.ptr + from, '"', csv->raw.len - from);
    if (quote == NULL) return false;
    size_t at = (size_t)(quote - csv->raw.ptr);
    bool doubled = at + 1 < csv->raw.len && csv->raw.ptr[at + 1] == '"';
    wn_buf_append(&csv->unquoted, csv->raw.ptr + from, at - from + (doubled ? 1 : 0));
    *pos = at + 1;
    from = at + 2;
    if (!doubled) break;
  }
  *cell = (wn_str){csv->unquoted.data + begin, csv->unquoted.len - begin};
  return true;
}

static wn_status split_quoted(wn_csv *csv, wn_error *why) {
  size_t n = 0, pos = 0, len = csv->raw.len;
  /* Room for all cells at once: they must not move. */
  wn_buf_append(&csv->unquoted, csv->raw.ptr, len);
  wn_buf_reset(&csv->unquoted);
  if (csv->unquoted.failed) return wn_fail_memory(why);
  for (;; pos++) {
    if (n == WN_CSV_CELLS_MAX) return too_many_cells(why);
    wn_str *cell = &csv->cells[n++];
    if (pos < len && csv->raw.ptr[pos] == '"') {
      if (!take_quoted(csv, &pos, cell)) {
        return wn_fail(why, WN_E_FORMAT, "", "column %zu: the quote is never closed", n);
      }
      if (pos < len && csv->raw.ptr[pos] != csv->separator) {
        return wn_fail(why, WN_E_FORMAT, "",
                       "column %zu: text after the closing quote (a quote inside a quoted cell "
                       "is written twice)",
                       n);
      }
    } else {
      const char *from = csv->raw.ptr + pos;
      const char *to = memchr(from, csv->separator, len - pos);
      *cell = (wn_str){from, to != NULL ? (size_t)(to - from) : len - pos};
      pos += cell->len;
    }
    if (pos >= len) break;
  }
  csv->cells_len = n;
  return WN_OK;
}

/* One record from `first` on; *why is filled when it is malformed. */
static wn_status take_record(wn_csv *csv, wn_str first, bool *bad, wn_error *why, wn_error *err) {
  csv->raw = first;
  csv->line = csv->at;
  wn_buf_reset(&csv->joined);
  if (memchr(first.ptr, '"', first.len) == NULL) {
    *bad = split_plain(csv, why) != WN_OK;
    return WN_OK;
  }
  bool closed = true;
  if (open_after(false, first, csv->separator)) {
    wn_status status = join_lines(csv, first, &closed, err);
    if (status != WN_OK) return status;
  }
  if (closed) {
    *bad = split_quoted(csv, why) != WN_OK;
  } else {
    *bad = true;
    wn_fail(why, WN_E_FORMAT, "", "a quote is opened and never closed");
  }
  return WN_OK;
}

static bool is_blank(wn_str line) {
  return wn_str_trim(line).len == 0;
}

wn_status wn_csv_next(wn_csv *csv, bool *end, wn_error *err) {
  for (;;) {
    wn_str line;
    wn_error why;
    bool bad = false;
    wn_status status = take_line(csv, &line, err);
    *end = status == WN_OK && line.ptr == NULL;
    if (status != WN_OK || *end) return status;
    if (line.len == 0 || (line.ptr[0] <= ' ' && is_blank(line))) continue;
    status = take_record(csv, line, &bad, &why, err);
    if (status == WN_OK && bad) status = wn_csv_reject(csv, &why, err);
    if (status != WN_OK || !bad) return status;
  }
}
