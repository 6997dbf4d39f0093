/* Tables, progress and human units. */
#include "cli/cli.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int wn_cli_print(wn_buf *buf) {
  bool good = !buf->failed && fwrite(buf->data, 1, buf->len, stdout) == buf->len;
  good = good && fputc('\n', stdout) != EOF && fflush(stdout) == 0;
  wn_buf_clear(buf);
  return good ? 0 : wn_status_exit(WN_E_IO);
}

/* --- progress --- */

static void format_rate(double rate, const char *unit, char *buf, size_t size) {
  if (strcmp(unit, "bytes") == 0)
    snprintf(buf, size, "%.1f MB/s", rate / 1e6);
  else if (rate >= 1e6)
    snprintf(buf, size, "%.2fM %s/s", rate / 1e6, unit);
  else if (rate >= 1e4)
    snprintf(buf, size, "%.0fk %s/s", rate / 1e3, unit);
  else
    snprintf(buf, size, "%.1f %s/s", rate, unit);
}

static void draw(wn_meter *m, double seconds, const char *unit) {
  char rate[48], left[32] = "";
  double percent = m->total > 0 ? 100 * fmin(1, m->done / m->total) : 0;
  format_rate(seconds > 0 ? m->done / seconds : 0, unit, rate, sizeof rate);
  if (m->total > 0 && m->done > 0)
    snprintf(left, sizeof left, "%.0f s left", seconds * fmax(0, m->total - m->done) / m->done);
  if (!m->terminal) {
    fprintf(stderr, "progress stage=\"%s\" percent=%.1f rate=\"%s\" seconds=%.1f%s%s%s\n", m->stage,
            percent, rate, seconds, left[0] != '\0' ? " left=\"" : "", left,
            left[0] != '\0' ? "\"" : "");
    return;
  }
  int filled = (int)(percent / 5);
  fprintf(stderr, "\r\033[K  %-28.28s [%.*s%*s] %5.1f%%  %s  %s", m->stage, filled,
          "####################", 20 - filled, "", percent, rate, left);
  fflush(stderr);
  m->drawn = true;
}

static bool report(void *ctx, const char *stage, double done, double total, const char *unit) {
  wn_meter *m = ctx;
  uint64_t now = wn_mono_ns();
  if (strncmp(stage, m->stage, sizeof m->stage - 1) != 0) {
    snprintf(m->stage, sizeof m->stage, "%s", stage);
    m->stage_ns = now;
    m->shown_ns = m->terminal ? 0 : now;
  }
  m->done = done;
  m->total = total;
  if (now - m->shown_ns >= m->period_ns) {
    m->shown_ns = now;
    draw(m, (double)(now - m->stage_ns) * 1e-9, unit);
  }
  return true;
}

void wn_meter_init(wn_meter *meter) {
  memset(meter, 0, sizeof *meter);
  meter->terminal = isatty(STDERR_FILENO) == 1;
  meter->period_ns = meter->terminal ? 100000000ull : 5000000000ull;
  meter->progress = (wn_progress){meter, report};
}

void wn_meter_end(wn_meter *meter) {
  if (meter->drawn) fprintf(stderr, "\r\033[K");
  meter->drawn = false;
}

/* --- tables --- */

void wn_table_init(wn_table *table, size_t columns, uint32_t right) {
  *table = (wn_table){.columns = columns, .right = right};
}

void wn_table_cell(wn_table *table, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  wn_buf_append(&table->cells, text, strlen(text) + 1);
  table->count++;
}

static size_t width_of(const char *text) { /* code points */
  size_t n = 0;
  for (; *text != '\0'; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
  return n;
}

void wn_table_cell_str(wn_table *table, wn_str text, size_t width_max) {
  size_t pos = 0, n = 0;
  while (pos < text.len && n < width_max) {
    wn_utf8_next(text, &pos);
    n++;
  }
  if (pos < text.len)
    wn_table_cell(table, "%.*s…", (int)pos, text.ptr);
  else
    wn_table_cell(table, "%.*s", WN_STR_ARG(text));
}

static void pad(wn_buf *out, size_t n) {
  while (n-- > 0) wn_buf_char(out, ' ');
}

void wn_table_print(wn_table *table, wn_buf *out) {
  size_t widths[32] = {0};
  const char *cell = table->cells.data;
  if (table->cells.failed || table->columns > 32) return;
  for (size_t i = 0; i < table->count; i++, cell += strlen(cell) + 1)
    if (width_of(cell) > widths[i % table->columns]) widths[i % table->columns] = width_of(cell);
  cell = table->cells.data;
  for (size_t i = 0; i < table->count; i++, cell += strlen(cell) + 1) {
    size_t column = i % table->columns;
    bool last = column + 1 == table->columns;
    size_t space = widths[column] - width_of(cell);
    if (((table->right >> column) & 1) != 0) pad(out, space);
    wn_buf_str(out, cell);
    if (!last && ((table->right >> column) & 1) == 0) pad(out, space);
    wn_buf_str(out, last ? "\n" : "  ");
    if (last && i < table->columns) { /* under the head */
      size_t rule = 2 * (table->columns - 1);
      for (size_t c = 0; c < table->columns; c++) rule += widths[c];
      while (rule-- > 0) wn_buf_str(out, "─");
      wn_buf_char(out, '\n');
    }
  }
  wn_buf_clear(&table->cells);
}

/* --- units --- */

const char *wn_human_bytes(double bytes, char *buf, size_t size) {
  const char *units[] = {"B", "kB", "MB", "GB", "TB"};
  int u = 0;
  while (bytes >= 1000 && u < 4) bytes /= 1000, u++;
  snprintf(buf, size, u == 0 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
  return buf;
}

const char *wn_human_age(int64_t ms, char *buf, size_t size) {
  double s = (double)ms / 1000;
  if (s < 0)
    snprintf(buf, size, "in the future");
  else if (s < 90)
    snprintf(buf, size, "%.0f s", s);
  else if (s < 90 * 60)
    snprintf(buf, size, "%.0f min", s / 60);
  else if (s < 36 * 3600)
    snprintf(buf, size, "%.0f h", s / 3600);
  else
    snprintf(buf, size, "%.0f days", s / 86400);
  return buf;
}
