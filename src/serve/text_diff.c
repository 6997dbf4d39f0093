/* Source: the longest common subsequence by dynamic programming (Wagner and Fischer 1974) over the
 * lines between the common head and the common tail. Configurations have hundreds of lines and
 * edits few, so that the table is small; where it would not be, the middle is told as one change.
 * Lines × lines bytes, deterministic. */
#include "serve/text_diff.h"

#include "base/mem.h"
#include "base/vec.h"

#include <string.h>

#define CONTEXT   3
#define TABLE_MAX ((size_t)16 << 20) /* entries of 4 bytes */

typedef WN_VEC(wn_str) lines;

static bool cut(wn_str text, lines *out) {
  while (text.len > 0) {
    const char *end = memchr(text.ptr, '\n', text.len);
    size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;
    wn_str line = {text.ptr, len};
    if (!wn_vec_push(out, line)) return false;
    if (end != NULL) len++;
    text = (wn_str){text.ptr + len, text.len - len};
  }
  return true;
}

/* One step of the script: ' ' both, '-' of the first alone, '+' of the second alone. */
typedef struct step {
  char kind;
  size_t a, b; /* lines passed before it */
} step;
typedef WN_VEC(step) steps;

typedef struct comparison {
  lines a, b;
  size_t head, a_end, b_end; /* the middle is [head, a_end) and [head, b_end) */
  uint32_t *table;           /* common lines from here on; NULL: too large */
  steps script;
} comparison;

static void trim(comparison *c) {
  size_t a = c->a.len, b = c->b.len;
  while (c->head < a && c->head < b && wn_str_equal(c->a.data[c->head], c->b.data[c->head]))
    c->head++;
  while (a > c->head && b > c->head && wn_str_equal(c->a.data[a - 1], c->b.data[b - 1])) a--, b--;
  c->a_end = a;
  c->b_end = b;
}

static uint32_t *cell(const comparison *c, size_t i, size_t j) {
  return &c->table[(i - c->head) * (c->b_end - c->head + 1) + (j - c->head)];
}

static bool fill_table(comparison *c) {
  size_t rows = c->a_end - c->head + 1, columns = c->b_end - c->head + 1;
  if (rows > TABLE_MAX / columns) return true;
  c->table = wn_calloc(rows * columns, sizeof *c->table);
  if (c->table == NULL) return false;
  for (size_t i = c->a_end; i-- > c->head;)
    for (size_t j = c->b_end; j-- > c->head;) {
      uint32_t down = *cell(c, i + 1, j), right = *cell(c, i, j + 1);
      *cell(c, i, j) = wn_str_equal(c->a.data[i], c->b.data[j]) ? *cell(c, i + 1, j + 1) + 1
                       : down >= right                          ? down
                                                                : right;
    }
  return true;
}

static bool push(comparison *c, char kind, size_t *a, size_t *b) {
  step s = {kind, *a, *b};
  if (kind != '+') ++*a;
  if (kind != '-') ++*b;
  return wn_vec_push(&c->script, s);
}

static bool make_script(comparison *c) {
  size_t a = 0, b = 0;
  bool good = true;
  while (good && (a < c->a.len || b < c->b.len)) {
    bool middle = a < c->a_end || b < c->b_end;
    if (a < c->head || !middle)
      good = push(c, ' ', &a, &b);
    else if (a < c->a_end && b < c->b_end && c->table != NULL &&
             wn_str_equal(c->a.data[a], c->b.data[b]))
      good = push(c, ' ', &a, &b);
    else if (b == c->b_end ||
             (a < c->a_end && (c->table == NULL || *cell(c, a + 1, b) >= *cell(c, a, b + 1))))
      good = push(c, '-', &a, &b);
    else
      good = push(c, '+', &a, &b);
  }
  return good;
}

/* The end of the hunk that begins at the change `at`: changes that are not further apart than twice
 * the context share one. */
static size_t hunk_end(const comparison *c, size_t at) {
  size_t end = at + 1;
  for (size_t i = at; i < c->script.len && i <= end + 2 * CONTEXT; i++)
    if (c->script.data[i].kind != ' ') end = i + 1;
  return end;
}

static void print_hunk(const comparison *c, size_t from, size_t to, wn_buf *out) {
  size_t old = 0, new = 0;
  for (size_t i = from; i < to; i++) {
    old += c->script.data[i].kind != '+';
    new += c->script.data[i].kind != '-';
  }
  const step *first = &c->script.data[from];
  wn_buf_printf(out, "@@ -%zu,%zu +%zu,%zu @@\n", first->a + (old > 0), old, first->b + (new > 0),
                new);
  for (size_t i = from; i < to; i++) {
    const step *s = &c->script.data[i];
    wn_str line = s->kind == '+' ? c->b.data[s->b] : c->a.data[s->a];
    wn_buf_printf(out, "%c%.*s\n", s->kind, WN_STR_ARG(line));
  }
}

static void print_hunks(const comparison *c, wn_buf *out) {
  for (size_t i = 0; i < c->script.len; i++) {
    if (c->script.data[i].kind == ' ') continue;
    size_t end = hunk_end(c, i), last = end + CONTEXT;
    print_hunk(c, i > CONTEXT ? i - CONTEXT : 0, last < c->script.len ? last : c->script.len, out);
    i = end - 1;
  }
}

wn_status wn_text_diff(wn_str from, wn_str to, wn_buf *out, wn_error *err) {
  comparison c = {.table = NULL};
  bool good = cut(from, &c.a) && cut(to, &c.b);
  if (good) {
    trim(&c);
    good = fill_table(&c) && make_script(&c);
  }
  if (good) print_hunks(&c, out);
  wn_vec_clear(&c.a);
  wn_vec_clear(&c.b);
  wn_vec_clear(&c.script);
  wn_free(c.table);
  return good && !out->failed ? WN_OK : wn_fail_memory(err);
}
