/* The file and what is asked of it. A bucket holds a second's worth of requests (one at least) and
 * fills at the key's rate; it outlives a change of the file. Comparing takes the same time for
 * every key of the right form, known or not. */
#include "serve/keys.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json_write.h"
#include "base/mem.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (1u << 20)
#define SECRET_BYTES   32
#define PREFIX         "wnk_"

static const struct {
  const char *name;
  unsigned bit;
} scopes_known[] = {{"read", WN_SCOPE_READ}, {"write", WN_SCOPE_WRITE}, {"admin", WN_SCOPE_ADMIN}};

wn_status wn_scopes_parse(const char *text, unsigned *scopes, wn_error *err) {
  *scopes = 0;
  for (const char *at = text; *at != '\0';) {
    size_t len = strcspn(at, ",");
    unsigned bit = 0;
    for (size_t i = 0; i < 3; i++)
      if (strlen(scopes_known[i].name) == len && memcmp(at, scopes_known[i].name, len) == 0)
        bit = scopes_known[i].bit;
    if (bit == 0) break;
    *scopes |= bit;
    at += len;
    if (*at == '\0') return WN_OK;
    at++;
  }
  return wn_fail(err, WN_E_ARGUMENT, "scope", "must be read, write or admin, or several: %s",
                 "read,write");
}

void wn_scopes_write(unsigned scopes, wn_buf *out) {
  bool first = true;
  for (size_t i = 0; i < 3; i++) {
    if ((scopes & scopes_known[i].bit) == 0) continue;
    wn_buf_printf(out, "%s%s", first ? "" : ",", scopes_known[i].name);
    first = false;
  }
}

static const char *path_of(const char *dir, char *buf, size_t size) {
  snprintf(buf, size, "%s/keys.json", dir);
  return buf;
}

/* --- the file --- */

static bool unhex(const char *text, uint8_t *out, size_t len) {
  if (text == NULL || strlen(text) != 2 * len) return false;
  if (strspn(text, "0123456789abcdef") != 2 * len) return false;
  for (size_t i = 0; i < len; i++) {
    unsigned byte = 0;
    if (sscanf(text + 2 * i, "%2x", &byte) != 1) return false;
    out[i] = (uint8_t)byte;
  }
  return true;
}

static wn_status read_record(const json_t *json, wn_key_record *out, wn_error *err) {
  const char *id = json_string_value(json_object_get(json, "id"));
  const char *name = json_string_value(json_object_get(json, "name"));
  const char *scopes = json_string_value(json_object_get(json, "scopes"));
  const json_t *rate = json_object_get(json, "rate"),
               *created = json_object_get(json, "created_ms");
  bool good = id != NULL && strlen(id) == WN_KEY_ID_BYTES && name != NULL &&
              strlen(name) < sizeof out->name && scopes != NULL && json_is_number(rate) &&
              json_number_value(rate) >= 0 && json_is_integer(created);
  good = good &&
         unhex(json_string_value(json_object_get(json, "sha256")), out->hash, sizeof out->hash);
  if (!good)
    return wn_fail(err, WN_E_CORRUPT, "keys",
                   "each key needs id, name, scopes, sha256, rate and created_ms");
  snprintf(out->id, sizeof out->id, "%s", id);
  snprintf(out->name, sizeof out->name, "%s", name);
  out->rate = json_number_value(rate);
  out->created_ms = json_integer_value(created);
  return wn_scopes_parse(scopes, &out->scopes, err);
}

static wn_status read_list(wn_str text, wn_key_list *out, wn_error *err) {
  wn_status status = WN_OK;
  json_error_t why;
  json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
  size_t count = json_array_size(json);
  if (!json_is_array(json) || count > WN_KEYS_MAX)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "keys", "must be a list of at most %d keys", WN_KEYS_MAX));
  out->data = wn_calloc(count + 2, sizeof *out->data);
  if (out->data == NULL) WN_TRY(wn_fail_memory(err));
  for (; out->len < count; out->len++)
    WN_TRY(read_record(json_array_get(json, out->len), &out->data[out->len], err));
cleanup:
  json_decref(json);
  return status;
}

wn_status wn_keys_load(const char *dir, wn_key_list *out, wn_error *err) {
  char path[4200];
  wn_buf text = {0};
  *out = (wn_key_list){0};
  wn_status status = wn_read_file(path_of(dir, path, sizeof path), FILE_BYTES_MAX, &text, err);
  bool absent = status == WN_E_NOT_FOUND;
  if (absent) status = WN_OK;
  wn_str content = absent ? WN_STR("[]") : (wn_str){text.data, text.len};
  if (status == WN_OK) status = read_list(content, out, err);
  wn_buf_clear(&text);
  if (status == WN_OK) return WN_OK;
  wn_free(out->data);
  *out = (wn_key_list){0};
  return wn_error_at(err, path, 0, 0);
}

static wn_status save(const char *dir, const wn_key_list *keys, wn_error *err) {
  char path[4200], hex[2 * WN_SHA256_BYTES + 1];
  wn_buf text = {0}, scopes = {0};
  wn_json j;
  wn_json_init(&j, &text);
  wn_json_array(&j);
  for (size_t i = 0; i < keys->len; i++) {
    const wn_key_record *k = &keys->data[i];
    wn_buf_reset(&scopes);
    wn_scopes_write(k->scopes, &scopes);
    wn_hex(k->hash, sizeof k->hash, hex);
    wn_json_object(&j);
    wn_json_key(&j, "id");
    wn_json_cstring(&j, k->id);
    wn_json_key(&j, "name");
    wn_json_cstring(&j, k->name);
    wn_json_key(&j, "scopes");
    wn_json_string(&j, (wn_str){scopes.data, scopes.len});
    wn_json_key(&j, "sha256");
    wn_json_cstring(&j, hex);
    wn_json_key(&j, "rate");
    wn_json_double(&j, k->rate);
    wn_json_key(&j, "created_ms");
    wn_json_int(&j, k->created_ms);
    wn_json_end_object(&j);
  }
  wn_json_end_array(&j);
  wn_status status = text.failed || scopes.failed
                         ? wn_fail_memory(err)
                         : wn_write_file_atomic(path_of(dir, path, sizeof path),
                                                (wn_str){text.data, text.len}, err);
  if (status == WN_OK) (void)chmod(path, 0600);
  wn_buf_clear(&text);
  wn_buf_clear(&scopes);
  return status;
}

static wn_status make_secret(wn_key_record *record, char text[WN_KEY_TEXT_MAX], wn_error *err) {
  uint8_t random[WN_KEY_ID_BYTES / 2 + SECRET_BYTES];
  char secret[2 * SECRET_BYTES + 1];
  if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
    return wn_fail_errno(err, "", "no random numbers");
  wn_hex(random, WN_KEY_ID_BYTES / 2, record->id);
  wn_hex(random + WN_KEY_ID_BYTES / 2, SECRET_BYTES, secret);
  snprintf(text, WN_KEY_TEXT_MAX, PREFIX "%s_%s", record->id, secret);
  wn_sha256(wn_str_of(text), record->hash);
  return WN_OK;
}

wn_status wn_keys_add(const char *dir, wn_key_record *record, char text[WN_KEY_TEXT_MAX],
                      wn_error *err) {
  wn_key_list keys;
  wn_status status;
  WN_TRY(wn_keys_load(dir, &keys, err));
  if (keys.len == WN_KEYS_MAX)
    WN_TRY(
        wn_fail(err, WN_E_TOO_LARGE, "", "there are %d keys, and no more are kept", WN_KEYS_MAX));
  WN_TRY(make_secret(record, text, err));
  record->created_ms = wn_now_ms();
  keys.data[keys.len++] = *record;
  WN_TRY(save(dir, &keys, err));
cleanup:
  wn_free(keys.data);
  return status;
}

wn_status wn_keys_revoke(const char *dir, const char *id, wn_error *err) {
  wn_key_list keys;
  wn_status status;
  size_t kept = 0;
  WN_TRY(wn_keys_load(dir, &keys, err));
  for (size_t i = 0; i < keys.len; i++)
    if (strcmp(keys.data[i].id, id) != 0) keys.data[kept++] = keys.data[i];
  if (kept == keys.len) WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "ID", "no key \"%.40s\"", id));
  keys.len = kept;
  WN_TRY(save(dir, &keys, err));
cleanup:
  wn_free(keys.data);
  return status;
}

/* --- a server's --- */

typedef struct bucket {
  double tokens;
  uint64_t filled_ns;
} bucket;

struct wn_keyring {
  char dir[4096];
  pthread_mutex_t lock; /* of what follows */
  wn_key_list keys;
  bucket *buckets; /* one a key */
  struct stat seen;
};

static const wn_key_record *find(const wn_key_list *keys, const char *id) {
  for (size_t i = 0; i < keys->len; i++)
    if (strcmp(keys->data[i].id, id) == 0) return &keys->data[i];
  return NULL;
}

static double depth(const wn_key_record *key) {
  return fmax(1, key->rate);
}

/* Under the lock. */
static void take_over(wn_keyring *ring, const wn_key_list *keys, bucket *buckets) {
  uint64_t now = wn_mono_ns();
  for (size_t i = 0; i < keys->len; i++) {
    const wn_key_record *old = find(&ring->keys, keys->data[i].id);
    buckets[i] =
        old != NULL ? ring->buckets[old - ring->keys.data] : (bucket){depth(&keys->data[i]), now};
  }
  wn_free(ring->keys.data);
  wn_free(ring->buckets);
  ring->keys = *keys;
  ring->buckets = buckets;
}

wn_status wn_keyring_refresh(wn_keyring *ring, wn_error *err) {
  char path[4200];
  struct stat now = {0};
  wn_key_list keys;
  (void)stat(path_of(ring->dir, path, sizeof path), &now);
  if (now.st_ino == ring->seen.st_ino && now.st_size == ring->seen.st_size &&
      now.st_mtim.tv_sec == ring->seen.st_mtim.tv_sec &&
      now.st_mtim.tv_nsec == ring->seen.st_mtim.tv_nsec)
    return WN_OK;
  ring->seen = now;
  wn_status status = wn_keys_load(ring->dir, &keys, err);
  if (status != WN_OK) return status;
  bucket *buckets = wn_calloc(keys.len + 1, sizeof *buckets);
  if (buckets == NULL) {
    wn_free(keys.data);
    return wn_fail_memory(err);
  }
  pthread_mutex_lock(&ring->lock);
  take_over(ring, &keys, buckets);
  pthread_mutex_unlock(&ring->lock);
  return WN_OK;
}

wn_status wn_keyring_open(const char *dir, wn_keyring **out, wn_error *err) {
  wn_keyring *ring = wn_calloc(1, sizeof *ring);
  *out = NULL;
  if (ring == NULL) return wn_fail_memory(err);
  snprintf(ring->dir, sizeof ring->dir, "%s", dir);
  pthread_mutex_init(&ring->lock, NULL);
  wn_status status = wn_keyring_refresh(ring, err);
  if (status == WN_OK)
    *out = ring;
  else
    wn_keyring_close(ring);
  return status;
}

void wn_keyring_close(wn_keyring *ring) {
  if (ring == NULL) return;
  pthread_mutex_destroy(&ring->lock);
  wn_free(ring->keys.data);
  wn_free(ring->buckets);
  wn_free(ring);
}

bool wn_keyring_empty(wn_keyring *ring) {
  pthread_mutex_lock(&ring->lock);
  bool empty = ring->keys.len == 0;
  pthread_mutex_unlock(&ring->lock);
  return empty;
}

static wn_key_answer take_token(const wn_key_record *key, bucket *b, unsigned *wait_s) {
  uint64_t now = wn_mono_ns();
  if (key->rate <= 0) return WN_KEY_GOOD;
  b->tokens = fmin(depth(key), b->tokens + (double)(now - b->filled_ns) * 1e-9 * key->rate);
  b->filled_ns = now;
  if (b->tokens >= 1) {
    b->tokens -= 1;
    return WN_KEY_GOOD;
  }
  *wait_s = (unsigned)ceil((1 - b->tokens) / key->rate);
  return WN_KEY_TOO_FAST;
}

wn_key_answer wn_keyring_ask(wn_keyring *ring, wn_str key, char *id, unsigned *scopes,
                             unsigned *wait_s) {
  static const uint8_t nobody[WN_SHA256_BYTES];
  const size_t prefix = sizeof PREFIX - 1, whole = prefix + WN_KEY_ID_BYTES + 1 + 2 * SECRET_BYTES;
  uint8_t hash[WN_SHA256_BYTES];
  *scopes = 0;
  *wait_s = 1;
  id[0] = '\0';
  if (key.len != whole || memcmp(key.ptr, PREFIX, prefix) != 0) return WN_KEY_UNKNOWN;
  wn_sha256(key, hash);
  memcpy(id, key.ptr + prefix, WN_KEY_ID_BYTES);
  id[WN_KEY_ID_BYTES] = '\0';
  pthread_mutex_lock(&ring->lock);
  const wn_key_record *record = find(&ring->keys, id);
  bool good = wn_equal_constant_time(hash, record != NULL ? record->hash : nobody, sizeof hash);
  wn_key_answer answer = WN_KEY_UNKNOWN;
  if (record != NULL && good) {
    *scopes = record->scopes;
    if ((*scopes & WN_SCOPE_ADMIN) != 0) *scopes |= WN_SCOPE_READ | WN_SCOPE_WRITE;
    answer = take_token(record, &ring->buckets[record - ring->keys.data], wait_s);
  } else {
    id[0] = '\0';
  }
  pthread_mutex_unlock(&ring->lock);
  return answer;
}
