/* Benchmarks' splits straight into a dataset. A sequence's events get their rank in the file as
 * their time (1, 2, 3 … ms); an adjacency line is a set and so are pairs, so their events share one
 * time and no model takes the file's order for one; ratings have times of their own. The event type
 * is none of the signals': its weight is 1. */
#include "data/reader.h"

#include <math.h>
#include <string.h>

#define ID_MAX INT32_MAX /* ids are below 2^31 */

typedef struct pairs {
  const char *path;
  wn_input *input;
  wn_dataset_builder *builder;
  long line;
  bool ordered;
  uint64_t rank;
} pairs;

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

static wn_str next_word(wn_str *rest) {
  while (rest->len > 0 && is_blank(*rest->ptr)) rest->ptr++, rest->len--;
  size_t n = 0;
  while (n < rest->len && !is_blank(rest->ptr[n])) n++;
  wn_str word = {rest->ptr, n};
  *rest = (wn_str){rest->ptr + n, rest->len - n};
  return word;
}

static wn_status bad_line(const pairs *p, const char *field, wn_error *err, const char *expected) {
  wn_fail(err, WN_E_FORMAT, field, "expected %s", expected);
  return err != NULL ? wn_error_at(err, p->path, p->line, 0) : WN_E_FORMAT;
}

static wn_status parse_id(const pairs *p, wn_str word, const char *field, uint32_t *id,
                          wn_error *err) {
  uint64_t value = 0;
  if (word.len == 0 || word.len > 10) return bad_line(p, field, err, "a whole number below 2^31");
  for (size_t i = 0; i < word.len; i++) {
    unsigned digit = (unsigned)(word.ptr[i] - '0');
    if (digit > 9) return bad_line(p, field, err, "a whole number below 2^31");
    value = value * 10 + digit;
  }
  if (value > ID_MAX) return bad_line(p, field, err, "a whole number below 2^31");
  *id = (uint32_t)value;
  return WN_OK;
}

static wn_status add(pairs *p, uint32_t user, wn_str word, wn_error *err) {
  p->rank++;
  wn_event event = {.user = user,
                    .type = UINT32_MAX,
                    .value = NAN,
                    .time_ms = p->ordered ? (int64_t)p->rank : 1,
                    .seq = p->rank};
  wn_status status = parse_id(p, word, "item", &event.item, err);
  if (status != WN_OK) return status;
  status = wn_dataset_builder_add(p->builder, &event, err);
  if (status != WN_OK && err != NULL) return wn_error_at(err, p->path, p->line, 0);
  return status;
}

static wn_status adjacency_line(pairs *p, wn_str line, wn_error *err) {
  uint32_t user = 0;
  wn_status status = parse_id(p, next_word(&line), "user", &user, err);
  while (status == WN_OK) {
    wn_str word = next_word(&line);
    if (word.len == 0) break;
    status = add(p, user, word, err);
  }
  return status;
}

static wn_status sequence_line(pairs *p, wn_str line, wn_error *err) {
  uint32_t user = 0;
  wn_status status = parse_id(p, next_word(&line), "user", &user, err);
  if (status != WN_OK) return status;
  status = add(p, user, next_word(&line), err);
  if (status == WN_OK && next_word(&line).len > 0) {
    return bad_line(p, "", err, "two numbers, \"user item\"");
  }
  return status;
}

/* What follows the two (a rating, a time) is not read. */
static wn_status pair_line(pairs *p, wn_str line, wn_error *err) {
  uint32_t user = 0;
  wn_status status = parse_id(p, next_word(&line), "user", &user, err);
  return status == WN_OK ? add(p, user, next_word(&line), err) : status;
}

/* "user item value time", time in seconds. */
static wn_status rating_line(pairs *p, wn_str line, wn_error *err) {
  uint32_t user = 0;
  double value, seconds;
  wn_event event = {.type = UINT32_MAX, .seq = ++p->rank};
  wn_status status = parse_id(p, next_word(&line), "user", &user, err);
  if (status == WN_OK) status = parse_id(p, next_word(&line), "item", &event.item, err);
  if (status != WN_OK) return status;
  event.user = user;
  if (!wn_parse_double(next_word(&line), &value) || !isfinite(value) || fabs(value) > 1e30)
    return bad_line(p, "value", err, "a finite number");
  if (!wn_parse_double(next_word(&line), &seconds) || !(fabs(seconds) < 1e12))
    return bad_line(p, "time", err, "seconds since 1970");
  event.value = (float)value;
  event.time_ms = (int64_t)(seconds * 1000);
  status = wn_dataset_builder_add(p->builder, &event, err);
  return status == WN_OK || err == NULL ? status : wn_error_at(err, p->path, p->line, 0);
}

/* "(user,item)" and then items: all of them become pairs of the user. */
static wn_status negatives_line(pairs *p, wn_str line, wn_error *err) {
  wn_str head = next_word(&line);
  const char *comma = head.len > 0 ? memchr(head.ptr, ',', head.len) : NULL;
  uint32_t user = 0;
  if (comma == NULL || head.ptr[0] != '(' || head.ptr[head.len - 1] != ')')
    return bad_line(p, "", err, "\"(user,item)\" and then items");
  wn_str first = {head.ptr + 1, (size_t)(comma - head.ptr) - 1};
  wn_str second = {comma + 1, (size_t)(head.ptr + head.len - comma) - 2};
  wn_status status = parse_id(p, first, "user", &user, err);
  for (wn_str word = second; status == WN_OK && (word.len > 0 || word.ptr == second.ptr);
       word = next_word(&line))
    status = add(p, user, word, err);
  return status;
}

static wn_status each_line(const char *path, bool ordered, wn_dataset_builder *builder,
                           wn_status (*each)(pairs *, wn_str, wn_error *), wn_error *err) {
  wn_status status;
  pairs p = {.path = path, .builder = builder, .ordered = ordered};
  WN_TRY(wn_input_open(path, &p.input, err));
  for (;;) {
    wn_str line;
    p.line++;
    status = wn_input_line(p.input, &line, err);
    if (status != WN_OK && err != NULL) wn_error_at(err, path, p.line, 0);
    if (status != WN_OK || line.ptr == NULL) break;
    if (wn_str_trim(line).len > 0) WN_TRY(each(&p, line, err));
  }
cleanup:
  wn_input_close(p.input);
  return status;
}

wn_status wn_read_adjacency(const char *path, wn_dataset_builder *builder, wn_error *err) {
  return each_line(path, false, builder, adjacency_line, err);
}

wn_status wn_read_sequence(const char *path, wn_dataset_builder *builder, wn_error *err) {
  return each_line(path, true, builder, sequence_line, err);
}

wn_status wn_read_pairs(const char *path, wn_dataset_builder *builder, wn_error *err) {
  return each_line(path, false, builder, pair_line, err);
}

wn_status wn_read_ratings(const char *path, wn_dataset_builder *builder, wn_error *err) {
  return each_line(path, true, builder, rating_line, err);
}

wn_status wn_read_negatives(const char *path, wn_dataset_builder *builder, wn_error *err) {
  return each_line(path, false, builder, negatives_line, err);
}
