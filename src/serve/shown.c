/* A ring of the newest slates, found by the hash of their id. One lock, held for tens of
 * nanoseconds a slate; counting distinct items happens on a copy when somebody asks. Memory: 160
 * bytes a slate, 2.6 MB in all, and as much again while asked. */
#include "serve/shown.h"

#include "base/map64.h"
#include "base/mem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSITIONS 8 /* 1, 2, 3, 4, 5, 6–10, 11–20, later */
#define ROWS_MAX  128
#define TOP       10

static const char *const position_names[POSITIONS] = {"1", "2",    "3",     "4",
                                                      "5", "6-10", "11-20", "21+"};

typedef struct slate {
  uint64_t id; /* hash; 0: none */
  uint32_t row;
  uint8_t len;
  uint32_t clicked, converted; /* bits by position */
  wn_item_ix item[WN_SHOWN_ITEMS];
} slate;

typedef struct tally {
  uint64_t impressions, clicks, conversions;
} tally;

/* A surface under certain arms. */
typedef struct row {
  char surface[WN_NAME_MAX + 1];
  char arms[128]; /* "": in no experiment */
  tally at[POSITIONS];
  uint64_t slates, fell_back;
  uint64_t explored[WN_EXPLORES]; /* items, by what put them */
} row;

struct wn_shown {
  pthread_mutex_t lock; /* of what follows */
  slate ring[WN_SHOWN_SLATES];
  size_t next;
  wn_map64 places; /* id → index in the ring */
  row rows[ROWS_MAX];
  size_t rows_len;
};

wn_shown *wn_shown_create(void) {
  wn_shown *s = wn_calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  pthread_mutex_init(&s->lock, NULL);
  return s;
}

void wn_shown_free(wn_shown *s) {
  if (s == NULL) return;
  pthread_mutex_destroy(&s->lock);
  wn_map64_clear(&s->places);
  wn_free(s);
}

static uint64_t id_of(wn_str id) {
  uint64_t hash = wn_hash64(id.ptr, id.len, 0);
  return hash != 0 ? hash : 1;
}

static size_t slot_of(size_t position) { /* from 0 */
  return position < 5 ? position : position < 10 ? 5 : position < 20 ? 6 : 7;
}

/* The last row takes what has no room. */
static uint32_t row_of(wn_shown *s, wn_str surface, wn_str arms) {
  char text[sizeof s->rows[0].arms] = "";
  size_t len = arms.len < sizeof text ? arms.len : sizeof text - 1;
  if (len > 0) memcpy(text, arms.ptr, len);
  for (size_t i = 0; i < s->rows_len; i++)
    if (wn_str_is(surface, s->rows[i].surface) && strcmp(s->rows[i].arms, text) == 0)
      return (uint32_t)i;
  if (s->rows_len == ROWS_MAX) return ROWS_MAX - 1;
  row *r = &s->rows[s->rows_len];
  snprintf(r->surface, sizeof r->surface, "%.*s", WN_STR_ARG(surface));
  memcpy(r->arms, text, sizeof text);
  return (uint32_t)s->rows_len++;
}

/* Whether the generators alone could not fill it. */
static bool fell_back(const wn_slate_answer *answer) {
  uint32_t own = (uint32_t)((1ULL << answer->own_sources) - 1);
  for (size_t i = 0; i < answer->len; i++)
    if (!answer->items[i].pinned && (answer->items[i].sources & own) == 0) return true;
  return false;
}

void wn_shown_slate(wn_shown *s, const wn_slate_answer *answer) {
  uint64_t id = id_of(wn_str_of(answer->slate_id));
  bool short_of = fell_back(answer);
  pthread_mutex_lock(&s->lock);
  slate *at = &s->ring[s->next];
  uint64_t *place = wn_map64_at(&s->places, id);
  if (at->id != 0) (void)wn_map64_remove(&s->places, at->id);
  place = wn_map64_at(&s->places, id); /* removing may have moved it */
  if (place != NULL) *place = s->next;
  *at = (slate){.id = id, .row = row_of(s, answer->surface, answer->arms)};
  row *r = &s->rows[at->row];
  for (size_t i = 0; i < answer->len; i++) {
    if (i < WN_SHOWN_ITEMS) at->item[at->len++] = answer->items[i].ix;
    r->at[slot_of(i)].impressions++;
    r->explored[answer->items[i].explored]++;
  }
  r->slates++;
  r->fell_back += short_of;
  s->next = (s->next + 1) % WN_SHOWN_SLATES;
  pthread_mutex_unlock(&s->lock);
}

void wn_shown_event(wn_shown *s, const wn_event_record *event, wn_item_ix item,
                    const wn_signals *signals) {
  if (event->slate.len == 0) return;
  uint32_t type = wn_signals_find(signals, event->type);
  bool good = type == WN_NO_IX ||
              wn_signal_weight(signals, type, event->value, event->time_ms, event->time_ms) > 0;
  bool done = type != WN_NO_IX && signals->data[type].standing == WN_STANDING_DONE;
  if (!good) return;
  pthread_mutex_lock(&s->lock);
  const uint64_t *place = wn_map64_find(&s->places, id_of(event->slate));
  slate *at = place != NULL ? &s->ring[*place] : NULL;
  for (size_t i = 0; at != NULL && i < at->len; i++) {
    uint32_t bit = UINT32_C(1) << i;
    if (at->item[i] != item) continue;
    tally *t = &s->rows[at->row].at[slot_of(i)];
    t->clicks += (at->clicked & bit) == 0;
    t->conversions += done && (at->converted & bit) == 0;
    at->clicked |= bit;
    at->converted |= done ? bit : 0;
  }
  pthread_mutex_unlock(&s->lock);
}

/* --- what is told --- */

static void head(wn_buf *out, const char *name, const char *type, const char *help) {
  wn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label(const row *r, const char *name, wn_buf *out) {
  wn_buf_printf(out, "%s{surface=\"%s\",arms=\"", name, r->surface);
  for (const char *c = r->arms; *c != '\0'; c++) {
    if (*c == '"' || *c == '\\') wn_buf_char(out, '\\');
    wn_buf_char(out, *c);
  }
  wn_buf_str(out, "\"");
}

/* A counter among the members of a struct. */
typedef struct member {
  const char *name, *help;
  size_t offset;
} member;

static uint64_t value_of(const void *of, const member *m) {
  return *(const uint64_t *)(const void *)((const char *)of + m->offset);
}

static void render_positions(const wn_shown *s, const member *m, wn_buf *out) {
  head(out, m->name, "counter", m->help);
  for (size_t i = 0; i < s->rows_len; i++) {
    for (size_t p = 0; p < POSITIONS; p++) {
      const tally *t = &s->rows[i].at[p];
      if (t->impressions == 0) continue;
      label(&s->rows[i], m->name, out);
      wn_buf_printf(out, ",position=\"%s\"} %" PRIu64 "\n", position_names[p], value_of(t, m));
    }
  }
}

static void render_row(const wn_shown *s, const member *m, wn_buf *out) {
  head(out, m->name, "counter", m->help);
  for (size_t i = 0; i < s->rows_len; i++) {
    label(&s->rows[i], m->name, out);
    wn_buf_printf(out, "} %" PRIu64 "\n", value_of(&s->rows[i], m));
  }
}

static void render_counters(const wn_shown *s, wn_buf *out) {
  static const member by_position[] = {
      {"winnow_impressions_total", "Items shown, by surface, arms and position.",
       offsetof(tally, impressions)},
      {"winnow_clicks_total",
       "Items shown that a positive event came back for, by where they stood.",
       offsetof(tally, clicks)},
      {"winnow_conversions_total", "Items shown that an event finished with, by where they stood.",
       offsetof(tally, conversions)}};
  static const member by_row[] = {
      {"winnow_slates_shown_total", "Slates with items, by surface and arms.",
       offsetof(row, slates)},
      {"winnow_slates_fell_back_total", "Of these, filled up by fallbacks or the catalogue.",
       offsetof(row, fell_back)}};
  for (size_t c = 0; c < sizeof by_position / sizeof *by_position; c++)
    render_positions(s, &by_position[c], out);
  for (size_t c = 0; c < sizeof by_row / sizeof *by_row; c++) render_row(s, &by_row[c], out);
}

static void render_explored(const wn_shown *s, wn_buf *out) {
  head(out, "winnow_explored_total", "counter", "Items that exploring slots put, by policy.");
  for (size_t i = 0; i < s->rows_len; i++)
    for (size_t k = 1; k < WN_EXPLORES; k++) {
      label(&s->rows[i], "winnow_explored_total", out);
      wn_buf_printf(out, ",policy=\"%s\"} %" PRIu64 "\n", wn_explore_names[k],
                    s->rows[i].explored[k]);
    }
}

static int descending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x < y) - (x > y);
}

/* Over the slates of a copied window. */
static void render_window(const slate *ring, uint32_t items, wn_buf *out) {
  wn_map64 counts = {0};
  uint64_t all = 0, top = 0, slates = 0;
  for (size_t i = 0; i < WN_SHOWN_SLATES; i++) {
    slates += ring[i].id != 0;
    for (size_t j = 0; j < ring[i].len; j++, all++) {
      uint64_t *count = wn_map64_at(&counts, ring[i].item[j]);
      if (count != NULL) ++*count;
    }
  }
  uint64_t *sorted = wn_malloc((counts.len + 1) * sizeof *sorted), item, count;
  size_t n = 0, at = 0;
  while (sorted != NULL && wn_map64_next(&counts, &at, &item, &count)) sorted[n++] = count;
  if (n > 0) qsort(sorted, n, sizeof *sorted, descending);
  for (size_t i = 0; i < n && i < TOP; i++) top += sorted[i];
  head(out, "winnow_window_slates", "gauge", "Newest slates that the next two are of.");
  wn_buf_printf(out, "winnow_window_slates %" PRIu64 "\n", slates);
  head(out, "winnow_coverage_ratio", "gauge", "Share of the servable items that was shown.");
  wn_buf_printf(out, "winnow_coverage_ratio %.9g\n", items > 0 ? (double)n / items : 0);
  head(out, "winnow_top10_share_ratio", "gauge",
       "Share of all shown items that the ten most shown make.");
  wn_buf_printf(out, "winnow_top10_share_ratio %.9g\n", all > 0 ? (double)top / (double)all : 0);
  wn_free(sorted);
  wn_map64_clear(&counts);
}

void wn_shown_render(wn_shown *s, uint32_t items, wn_buf *out) {
  slate *copy = wn_malloc(sizeof s->ring);
  pthread_mutex_lock(&s->lock);
  if (copy != NULL) memcpy(copy, s->ring, sizeof s->ring);
  render_counters(s, out);
  render_explored(s, out);
  pthread_mutex_unlock(&s->lock);
  if (copy != NULL) render_window(copy, items, out);
  wn_free(copy);
}
