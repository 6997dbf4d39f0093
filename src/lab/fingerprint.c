/* See fingerprint.h. Costs: one hash an id, a few multiplications an event. */
#include "lab/fingerprint.h"

#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TRAIN  0x7472ULL
#define TEST   0x7465ULL
#define FITTED 0x6669ULL

/* [count] the hash of each id. */
static uint64_t *hashes_of(const wn_dict *ids, uint32_t count, uint64_t seed) {
  uint64_t *hash = wn_reallocarray(NULL, (size_t)count + 1, sizeof *hash);
  for (uint32_t i = 0; hash != NULL && i < count; i++) {
    char digits[16];
    wn_str id = ids != NULL ? wn_dict_key(ids, i) : (wn_str){NULL, 0};
    if (id.ptr == NULL)
      id = (wn_str){digits, (size_t)snprintf(digits, sizeof digits, "%" PRIu32, i)};
    hash[i] = wn_hash64(id.ptr, id.len, seed);
  }
  return hash;
}

typedef struct hashes {
  uint64_t *user, *item;
  const wn_signals *signals;
} hashes;

static wn_status open(const wn_content_ids *ids, uint32_t users, uint32_t items, hashes *out,
                      wn_error *err) {
  out->user = hashes_of(ids != NULL ? ids->users : NULL, users, 1);
  out->item = hashes_of(ids != NULL ? ids->items : NULL, items, 2);
  out->signals = ids != NULL ? ids->signals : NULL;
  return out->user != NULL && out->item != NULL ? WN_OK : wn_fail_memory(err);
}

static uint64_t pair_hash(const hashes *h, uint32_t user, uint32_t item) {
  return wn_mix64(h->user[user] ^ wn_mix64(h->item[item]));
}

static uint64_t event_hash(const hashes *h, const wn_event *e) {
  uint64_t value = 0, type = e->type;
  if (e->value == e->value) memcpy(&value, &e->value, sizeof e->value);
  if (h->signals != NULL && e->type < h->signals->len)
    type = wn_hash64(h->signals->data[e->type].name, strlen(h->signals->data[e->type].name), 3);
  return wn_mix64(pair_hash(h, e->user, e->item) ^ wn_mix64((uint64_t)e->time_ms) ^
                  wn_mix64(value + 5) ^ wn_mix64(type + 7));
}

wn_status wn_dataset_hash(wn_event_list events, const wn_content_ids *ids, uint64_t *out,
                          wn_error *err) {
  uint32_t users = 0, items = 0;
  hashes h = {0};
  *out = wn_mix64(events.len);
  for (size_t i = 0; i < events.len; i++) {
    users = events.data[i].user >= users ? events.data[i].user + 1 : users;
    items = events.data[i].item >= items ? events.data[i].item + 1 : items;
  }
  wn_status status = open(ids, users, items, &h, err);
  for (size_t i = 0; status == WN_OK && i < events.len; i++)
    *out += event_hash(&h, &events.data[i]);
  wn_free(h.user);
  wn_free(h.item);
  return status;
}

wn_status wn_split_hash(const wn_split *split, const wn_content_ids *ids, uint64_t *out,
                        wn_error *err) {
  hashes h = {0};
  uint64_t train = 0, test = 0;
  wn_status status = open(ids, split->users, split->items, &h, err);
  for (size_t i = 0; status == WN_OK && i < split->train_len; i++)
    train += event_hash(&h, &split->train[i]);
  for (uint32_t u = 0; status == WN_OK && u < split->users; u++)
    for (uint64_t p = split->test.ptr[u]; p < split->test.ptr[u + 1]; p++)
      test += pair_hash(&h, u, split->test.item[p]);
  *out = wn_mix64(train ^ TRAIN) + wn_mix64(test ^ TEST);
  wn_free(h.user);
  wn_free(h.item);
  return status;
}

wn_status wn_pairs_hash(const wn_dataset *fitted, const wn_content_ids *ids, uint64_t *out,
                        wn_error *err) {
  const wn_csr *m = &fitted->by_user;
  hashes h = {0};
  wn_status status = open(ids, fitted->users, fitted->items, &h, err);
  *out = 0;
  for (uint32_t u = 0; status == WN_OK && u < fitted->users; u++)
    for (uint64_t p = m->row_ptr[u]; p < m->row_ptr[u + 1]; p++) {
      uint32_t weight;
      memcpy(&weight, &m->weight[p], sizeof weight);
      *out += wn_mix64(pair_hash(&h, u, m->col[p]) ^ wn_mix64(weight + FITTED));
    }
  wn_free(h.user);
  wn_free(h.item);
  return status;
}

void wn_hash_text(uint64_t hash, char out[WN_HASH_TEXT]) {
  snprintf(out, WN_HASH_TEXT, "%016" PRIx64, hash);
}
