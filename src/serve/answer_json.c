#include "serve/answer_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void write_sources(wn_json *json, const wn_slate_answer *answer, uint32_t sources) {
  wn_json_key(json, "sources");
  wn_json_array(json);
  for (size_t g = 0; g < answer->source_count && g < 32; g++)
    if ((sources >> g & 1) != 0) wn_json_string(json, answer->source_names[g]);
  wn_json_end_array(json);
}

static void write_item(wn_json *json, const wn_slate_answer *answer, size_t i) {
  const wn_slate_answer_item *item = &answer->items[i];
  wn_json_object(json);
  wn_json_key(json, "id");
  wn_json_string(json, item->id);
  wn_json_key(json, "title");
  wn_json_string(json, item->title);
  wn_json_key(json, "score");
  wn_json_float(json, item->score);
  wn_json_key(json, "position");
  wn_json_int(json, (int64_t)i + 1);
  wn_json_key(json, "propensity");
  wn_json_float(json, item->propensity);
  write_sources(json, answer, item->sources);
  if (item->pinned) {
    wn_json_key(json, "pinned");
    wn_json_bool(json, true);
  }
  if (item->explored != WN_EXPLORE_NONE) {
    wn_json_key(json, "explored");
    wn_json_string(json, wn_str_of(wn_explore_names[item->explored]));
  }
  wn_json_end_object(json);
}

/* "a=x b=y" as {"a":"x","b":"y"}. */
static void write_arms(wn_json *json, wn_str arms) {
  wn_json_key(json, "arms");
  wn_json_object(json);
  while (arms.len > 0) {
    const char *end = memchr(arms.ptr, ' ', arms.len);
    size_t len = end != NULL ? (size_t)(end - arms.ptr) : arms.len;
    size_t name = (size_t)((const char *)memchr(arms.ptr, '=', len) - arms.ptr);
    wn_json_key_str(json, (wn_str){arms.ptr, name});
    wn_json_string(json, (wn_str){arms.ptr + name + 1, len - name - 1});
    size_t step = end != NULL ? len + 1 : len;
    arms = (wn_str){arms.ptr + step, arms.len - step};
  }
  wn_json_end_object(json);
}

void wn_answer_model(wn_json *json, uint64_t snapshot) {
  wn_json_key(json, "model");
  if (snapshot > 0) {
    wn_json_int(json, (int64_t)snapshot);
  } else {
    wn_json_null(json);
  }
}

void wn_engine_digest_to_json(const wn_engine_digest *digest, wn_buf *out) {
  wn_json json;
  char hex[33];
  snprintf(hex, sizeof hex, "%016" PRIx64 "%016" PRIx64, digest->digest.high, digest->digest.low);
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "last_seq");
  wn_json_int(&json, (int64_t)digest->last_seq);
  wn_answer_model(&json, digest->snapshot);
  wn_json_key(&json, "digest");
  wn_json_cstring(&json, hex);
  if (digest->counts) {
    snprintf(hex, sizeof hex, "%016" PRIx64, digest->impressions);
    wn_json_key(&json, "impressions");
    wn_json_cstring(&json, hex);
  }
  wn_json_end_object(&json);
}

void wn_slate_answer_to_json(const wn_slate_answer *answer, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "slate");
  wn_json_cstring(&json, answer->slate_id[0] != '\0' ? answer->slate_id : NULL);
  wn_json_key(&json, "surface");
  wn_json_string(&json, answer->surface);
  wn_json_key(&json, "user");
  wn_json_string(&json, answer->user);
  wn_json_key(&json, "user_known");
  wn_json_bool(&json, answer->user_known);
  wn_json_key(&json, "personal");
  wn_json_bool(&json, answer->personal);
  wn_answer_model(&json, answer->snapshot);
  wn_json_key(&json, "scored_by");
  wn_json_cstring(&json, answer->scored_by);
  if (answer->arms.len > 0) write_arms(&json, answer->arms);
  wn_json_key(&json, "items");
  wn_json_array(&json);
  for (size_t i = 0; i < answer->len; i++) write_item(&json, answer, i);
  wn_json_end_array(&json);
  if (answer->relaxed != NULL) {
    wn_json_key(&json, "relaxed");
    wn_json_cstring(&json, answer->relaxed);
  }
  if (answer->empty != NULL) {
    wn_json_key(&json, "empty");
    wn_json_cstring(&json, answer->empty);
  }
  wn_json_key(&json, "took_ms");
  wn_json_double(&json, round(answer->took_ms * 1000) / 1000); /* whole microseconds */
  if (answer->explain_json.ptr != NULL) {
    wn_json_key(&json, "explain");
    wn_json_raw(&json, answer->explain_json);
  }
  wn_json_end_object(&json);
}
