/* Facts of items. Windows fade exponentially instead of ending: one number a window, no queue of
 * events, and an event costs four exponentials.
 *
 * Attributes: the texts and lists of texts of the catalogue, at most four of them, those that most
 * items have and that say something (a value is shared by two items or more on average). Values are
 * 32-bit hashes: a collision makes two of them one.
 *
 * Memory: 40 bytes an item, 12 with a catalogue, 4 a value. */
#include "model/item_facts.h"

#include "base/map64.h"
#include "base/mem.h"
#include "base/vec.h"
#include "model/section.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS       86400000.0
#define TIMED_DAYS   7
#define COLUMNS_MAX  64
#define COVER_MIN    0.1   /* of the items */
#define SPREAD_LEAST 0.04f /* variance of the stages at which an item is taken */

const double wn_pulse_window_ms[WN_PULSE_WINDOWS] = {DAY_MS / 24, DAY_MS, 7 * DAY_MS, 28 * DAY_MS};

/* --- pulses --- */

static float faded(unsigned window, int64_t from_ms, int64_t to_ms) {
  return to_ms > from_ms ? (float)exp(-(double)(to_ms - from_ms) / wn_pulse_window_ms[window]) : 1;
}

void wn_pulse_add(wn_pulse *pulse, int64_t time_ms, uint32_t place) {
  bool newer = pulse->count == 0 || time_ms > pulse->time_ms;
  for (unsigned w = 0; w < WN_PULSE_WINDOWS; w++)
    pulse->decayed[w] = newer ? pulse->decayed[w] * faded(w, pulse->time_ms, time_ms) + 1
                              : pulse->decayed[w] + faded(w, time_ms, pulse->time_ms);
  if (newer) pulse->time_ms = time_ms;
  pulse->count++;
  if (place == WN_NO_IX) return;
  float x = log1pf((float)place);
  pulse->places++;
  pulse->place += x;
  pulse->place_squared += x * x;
}

float wn_pulse_at(const wn_pulse *pulse, unsigned window, int64_t now_ms) {
  return pulse->decayed[window] * faded(window, pulse->time_ms, now_ms);
}

float wn_pulse_away(const wn_pulse *pulse, float stage) {
  float mean = pulse->place / (float)pulse->places;
  float variance = pulse->place_squared / (float)pulse->places - mean * mean;
  return (stage - mean) / sqrtf(variance > SPREAD_LEAST ? variance : SPREAD_LEAST);
}

void wn_pulse_crowd(const wn_pulse *pulse, float stage, float out[WN_CROWD]) {
  out[WN_CROWD_COUNT] = log1pf((float)pulse->count);
  if (pulse->places == 0) return;
  out[WN_CROWD_STAGE] = pulse->place / (float)pulse->places;
  out[WN_CROWD_AWAY] = wn_pulse_away(pulse, stage);
}

float wn_crowd_stage(size_t history_len) {
  return log1pf((float)(history_len < WN_HISTORY_MAX ? history_len : WN_HISTORY_MAX));
}

bool wn_dataset_timed(const wn_dataset *data) {
  return (double)data->now_ms - (double)data->first_ms >= TIMED_DAYS * DAY_MS;
}

/* --- the catalogue --- */

typedef struct column {
  char name[WN_FACTS_NAME_MAX + 1];
  uint32_t items; /* that have it */
  uint64_t cells;
  wn_map64 values;
  bool taken;
} column;

typedef struct value_cell {
  uint32_t item, value;
} value_cell;

typedef struct survey {
  wn_item_facts *facts;
  column column[COLUMNS_MAX];
  size_t columns;
  WN_VEC(value_cell) cells[WN_FACTS_ATTRS];
} survey;

static bool is_text(const wn_attr *attr) {
  return attr->kind == WN_ATTR_STRING || attr->kind == WN_ATTR_LIST;
}

static size_t values_of(const wn_attr *attr, const wn_str **values) {
  *values = attr->kind == WN_ATTR_LIST ? attr->list : &attr->string;
  return attr->kind == WN_ATTR_LIST ? attr->list_len : 1;
}

static column *column_of(survey *s, const wn_attr *attr) {
  for (size_t c = 0; c < s->columns; c++)
    if (wn_str_is(attr->name, s->column[c].name)) return &s->column[c];
  if (s->columns == COLUMNS_MAX || attr->name.len > WN_FACTS_NAME_MAX) return NULL;
  column *fresh = &s->column[s->columns++];
  memcpy(fresh->name, attr->name.ptr, attr->name.len);
  return fresh;
}

static uint32_t hash_of(wn_str value) {
  return (uint32_t)wn_hash64(value.ptr, value.len, 0);
}

static wn_status count_item(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err) {
  survey *s = ctx;
  if (ix >= s->facts->head.items) return WN_OK;
  for (size_t a = 0; a < item->attrs.len; a++) {
    const wn_attr *attr = &item->attrs.data[a];
    column *c = is_text(attr) ? column_of(s, attr) : NULL;
    const wn_str *values;
    if (c == NULL) continue;
    size_t len = values_of(attr, &values);
    c->items += len > 0;
    c->cells += len;
    for (size_t v = 0; v < len; v++)
      if (wn_map64_at(&c->values, hash_of(values[v])) == NULL) return wn_fail_memory(err);
  }
  return WN_OK;
}

/* The columns that most items have, by name where they are equal. */
static void choose_columns(survey *s, const char *attribute) {
  wn_facts_head *h = &s->facts->head;
  for (size_t c = 0; attribute[0] != '\0' && c < s->columns; c++)
    if (strcmp(s->column[c].name, attribute) == 0)
      memcpy(h->attr[h->attrs++], attribute, strlen(attribute) + 1);
  if (attribute[0] != '\0') return;
  while (h->attrs < WN_FACTS_ATTRS) {
    column *best = NULL;
    for (size_t c = 0; c < s->columns; c++) {
      column *of = &s->column[c];
      if (of->taken || of->items < COVER_MIN * h->items || of->values.len < 2 ||
          of->cells < 2 * of->values.len)
        continue;
      if (best == NULL || of->items > best->items ||
          (of->items == best->items && strcmp(of->name, best->name) < 0))
        best = of;
    }
    if (best == NULL) return;
    best->taken = true;
    memcpy(h->attr[h->attrs++], best->name, sizeof best->name);
  }
}

static wn_status take_item(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err) {
  survey *s = ctx;
  wn_item_facts *f = s->facts;
  if (ix >= f->head.items) return WN_OK;
  const wn_attr *price = wn_attrs_find(&item->attrs, "price");
  if (price != NULL && price->kind == WN_ATTR_NUMBER && price->number > 0)
    ((float *)f->owned[1])[ix] = (float)price->number;
  for (uint32_t a = 0; a < f->head.attrs; a++) {
    const wn_attr *attr = wn_attrs_find(&item->attrs, f->head.attr[a]);
    const wn_str *values;
    if (attr == NULL || !is_text(attr)) continue;
    size_t len = values_of(attr, &values);
    for (size_t v = 0; v < len; v++)
      if (!wn_vec_push(&s->cells[a], ((value_cell){ix, hash_of(values[v])})))
        return wn_fail_memory(err);
  }
  return WN_OK;
}

static int by_item_and_value(const void *left, const void *right) {
  const value_cell *a = left, *b = right;
  if (a->item != b->item) return a->item < b->item ? -1 : 1;
  return (a->value > b->value) - (a->value < b->value);
}

/* Distinct values of each item, ascending. */
static wn_status make_rows(survey *s, uint32_t a, wn_error *err) {
  wn_item_facts *f = s->facts;
  value_cell *cell = s->cells[a].data;
  size_t len = s->cells[a].len, kept = 0;
  uint64_t *ptr = f->owned[2 + 2 * a] = wn_calloc((size_t)f->head.items + 1, sizeof *ptr);
  uint32_t *value = f->owned[3 + 2 * a] = wn_reallocarray(NULL, len + 1, sizeof *value);
  if (ptr == NULL || value == NULL) return wn_fail_memory(err);
  if (len > 0) qsort(cell, len, sizeof *cell, by_item_and_value);
  for (size_t i = 0; i < len; i++) {
    if (i > 0 && by_item_and_value(&cell[i - 1], &cell[i]) == 0) continue;
    value[kept++] = cell[i].value;
    ptr[cell[i].item + 1]++;
  }
  for (uint32_t i = 0; i < f->head.items; i++) ptr[i + 1] += ptr[i];
  f->value_ptr[a] = ptr;
  f->value[a] = value;
  return WN_OK;
}

static wn_status read_catalogue(survey *s, const char *attribute, const wn_item_source *source,
                                wn_error *err) {
  wn_status status = WN_OK;
  if (source->scan == NULL) return WN_OK;
  WN_TRY(source->scan(source->ctx, count_item, s, err));
  choose_columns(s, attribute);
  WN_TRY(source->scan(source->ctx, take_item, s, err));
cleanup:
  return status;
}

wn_status wn_facts_fit(const wn_dataset *data, const char *attribute, wn_item_facts *out,
                       wn_error *err) {
  wn_status status = WN_OK;
  survey *s = wn_calloc(1, sizeof *s);
  memset(out, 0, sizeof *out);
  out->head = (wn_facts_head){.version = 2, .items = data->items, .timed = wn_dataset_timed(data)};
  int64_t *created = out->owned[0] = wn_calloc((size_t)data->items + 1, sizeof *created);
  float *price = out->owned[1] = wn_reallocarray(NULL, (size_t)data->items + 1, sizeof *price);
  out->pulse = wn_calloc((size_t)data->items + 1, sizeof *out->pulse);
  if (s == NULL || created == NULL || price == NULL || out->pulse == NULL)
    WN_TRY(wn_fail_memory(err));
  s->facts = out;
  out->pulses = data->items;
  out->pulses_cap = (size_t)data->items + 1;
  out->created_ms = created;
  out->price = price;
  for (uint32_t i = 0; i < data->items; i++) {
    created[i] = data->created_ms != NULL ? data->created_ms[i] : 0;
    price[i] = NAN;
  }
  WN_TRY(read_catalogue(s, attribute, &data->items_source, err));
  for (uint32_t a = 0; a < out->head.attrs; a++) WN_TRY(make_rows(s, a, err));
cleanup:
  for (size_t c = 0; s != NULL && c < s->columns; c++) wn_map64_clear(&s->column[c].values);
  for (size_t a = 0; s != NULL && a < WN_FACTS_ATTRS; a++) wn_vec_clear(&s->cells[a]);
  wn_free(s);
  if (status != WN_OK) wn_facts_clear(out);
  return status;
}

/* --- events --- */

static int by_time(const void *left, const void *right) {
  const wn_taken *a = left, *b = right;
  if (a->time_ms != b->time_ms) return a->time_ms < b->time_ms ? -1 : 1;
  if (a->item != b->item) return a->item < b->item ? -1 : 1;
  return (a->place > b->place) - (a->place < b->place);
}

wn_status wn_taken_list_of(const wn_dataset *data, wn_taken_list *out, wn_error *err) {
  const wn_csr *m = &data->by_user;
  out->len = 0;
  size_t most = m->rows > 0 ? (size_t)(m->row_ptr[m->rows] - m->row_ptr[0]) : 0;
  out->data = wn_reallocarray(NULL, most + 1, sizeof *out->data);
  if (out->data == NULL) return wn_fail_memory(err);
  for (uint32_t u = 0; u < m->rows; u++)
    for (uint64_t p = m->row_ptr[u]; p < m->row_ptr[u + 1]; p++)
      if (m->weight[p] > 0)
        out->data[out->len++] = (wn_taken){m->time_ms[p], m->col[p], (uint32_t)(p - m->row_ptr[u])};
  if (out->len > 0) qsort(out->data, out->len, sizeof *out->data, by_time);
  return WN_OK;
}

wn_status wn_facts_replay(const wn_dataset *data, wn_item_facts *facts, wn_error *err) {
  wn_taken_list all;
  wn_status status = wn_taken_list_of(data, &all, err);
  if (status != WN_OK) return status;
  for (size_t i = 0; i < all.len; i++)
    wn_pulse_add(&facts->pulse[all.data[i].item], all.data[i].time_ms, all.data[i].place);
  wn_free(all.data);
  return WN_OK;
}

uint32_t wn_context_value(const wn_attr *attr) {
  if (attr->kind == WN_ATTR_BOOL) return attr->boolean ? 2 : 1;
  return attr->kind == WN_ATTR_STRING ? hash_of(attr->string) | 4 : 0;
}

float wn_context_rate(const wn_item_facts *facts, uint64_t key) {
  size_t low = 0, high = facts->context_rates;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (facts->context_key[middle] < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low < facts->context_rates && facts->context_key[low] == key ? facts->context_rate[low]
                                                                      : NAN;
}

size_t wn_facts_bytes(const wn_item_facts *facts) {
  return facts->pulses_cap * sizeof *facts->pulse;
}

void wn_facts_update(wn_item_facts *facts, const wn_event *event) {
  size_t had = facts->pulses;
  if (event->item == WN_NO_IX) return;
  if (event->item >= had) {
    size_t need = (size_t)event->item + 1;
    if (need > facts->pulses_cap &&
        !wn_vec_reserve_raw((void **)&facts->pulse, &facts->pulses_cap, need, sizeof(wn_pulse)))
      return; /* the item has no features of its own */
    memset(facts->pulse + had, 0, (need - had) * sizeof(wn_pulse));
    facts->pulses = need;
  }
  wn_pulse_add(&facts->pulse[event->item], event->time_ms, WN_NO_IX);
}

/* --- snapshots --- */

static const char *section(char *buf, size_t size, const char *prefix, const char *name) {
  snprintf(buf, size, "%s/%s", prefix, name);
  return buf;
}

wn_status wn_facts_save(const wn_item_facts *f, const char *prefix, wn_snapshot_writer *writer,
                        wn_error *err) {
  char name[64], part[24];
  uint64_t items = f->head.items;
  wn_status status;
#define PUT(what, data, bytes)                                                                     \
  WN_TRY(wn_snapshot_write(writer, section(name, sizeof name, prefix, what), data, bytes, err))
  PUT("head", &f->head, sizeof f->head);
  PUT("pulse", f->pulse, items * sizeof *f->pulse);
  PUT("created", f->created_ms, items * sizeof *f->created_ms);
  PUT("price", f->price, items * sizeof *f->price);
  for (uint32_t a = 0; a < f->head.attrs; a++) {
    snprintf(part, sizeof part, "value_ptr%u", a);
    PUT(part, f->value_ptr[a], (items + 1) * sizeof *f->value_ptr[a]);
    snprintf(part, sizeof part, "value%u", a);
    PUT(part, f->value[a], f->value_ptr[a][items] * sizeof *f->value[a]);
  }
  if (f->context_rates > 0) {
    PUT("context_key", f->context_key, f->context_rates * sizeof *f->context_key);
    PUT("context_rate", f->context_rate, f->context_rates * sizeof *f->context_rate);
  }
  if (f->shown != NULL) PUT("shown", f->shown, items * WN_SHOWN_COLUMNS * sizeof *f->shown);
#undef PUT
cleanup:
  return status;
}

static wn_status check_head(const wn_facts_head *h, const char *name, wn_error *err) {
  bool good = h->version == 2 && h->contexts <= WN_FACTS_CONTEXTS && h->items < WN_NO_IX &&
              h->attrs <= WN_FACTS_ATTRS && h->timed <= 1;
  for (uint32_t a = 0; good && a < h->attrs; a++)
    good = memchr(h->attr[a], '\0', sizeof h->attr[a]) != NULL;
  for (uint32_t c = 0; good && c < h->contexts; c++)
    good = memchr(h->context[c], '\0', sizeof h->context[c]) != NULL;
  return good ? WN_OK
              : wn_fail(err, WN_E_CORRUPT, name, "version %u, %u attributes", h->version, h->attrs);
}

static wn_status map_pulses(const wn_snapshot *snapshot, const char *name, wn_item_facts *f,
                            wn_error *err) {
  const void *raw;
  uint64_t items = f->head.items;
  wn_status status = wn_section_array(snapshot, name, sizeof(wn_pulse), items, &raw, err);
  if (status != WN_OK) return status;
  f->pulse = wn_reallocarray(NULL, (size_t)items + 1, sizeof *f->pulse);
  if (f->pulse == NULL) return wn_fail_memory(err);
  memcpy(f->pulse, raw, (size_t)items * sizeof *f->pulse);
  f->pulses = (size_t)items;
  f->pulses_cap = (size_t)items + 1;
  return WN_OK;
}

wn_status wn_facts_map(const wn_snapshot *snapshot, const char *prefix, wn_item_facts *out,
                       wn_error *err) {
  char name[64], part[24];
  const void *raw;
  uint64_t values;
  wn_status status;
  memset(out, 0, sizeof *out);
#define NAME(what) section(name, sizeof name, prefix, what)
  WN_TRY(wn_section_array(snapshot, NAME("head"), sizeof out->head, 1, &raw, err));
  memcpy(&out->head, raw, sizeof out->head);
  WN_TRY(check_head(&out->head, name, err));
  uint64_t items = out->head.items;
  WN_TRY(map_pulses(snapshot, NAME("pulse"), out, err));
  WN_TRY(wn_section_array(snapshot, NAME("created"), sizeof(int64_t), items, &raw, err));
  out->created_ms = raw;
  WN_TRY(wn_section_array(snapshot, NAME("price"), sizeof(float), items, &raw, err));
  out->price = raw;
  for (uint32_t a = 0; a < out->head.attrs; a++) {
    snprintf(part, sizeof part, "value_ptr%u", a);
    WN_TRY(wn_section_offsets(snapshot, NAME(part), (uint32_t)items, &out->value_ptr[a], &values,
                              err));
    snprintf(part, sizeof part, "value%u", a);
    WN_TRY(wn_section_array(snapshot, NAME(part), sizeof(uint32_t), values, &raw, err));
    out->value[a] = raw;
  }
  if (wn_snapshot_has(snapshot, NAME("shown")))
    WN_TRY(wn_section_floats(snapshot, NAME("shown"), items * WN_SHOWN_COLUMNS, &out->shown, err));
  if (wn_snapshot_has(snapshot, NAME("context_key"))) {
    WN_TRY(wn_snapshot_section(snapshot, name, sizeof(uint64_t), &raw, &values, err));
    out->context_key = raw;
    out->context_rates = (size_t)values;
    WN_TRY(wn_section_floats(snapshot, NAME("context_rate"), values, &out->context_rate, err));
  }
#undef NAME
cleanup:
  if (status != WN_OK) wn_facts_clear(out);
  return status;
}

void wn_facts_clear(wn_item_facts *facts) {
  wn_free(facts->pulse);
  for (size_t i = 0; i < sizeof facts->owned / sizeof *facts->owned; i++) wn_free(facts->owned[i]);
  memset(facts, 0, sizeof *facts);
}
