#ifndef WN_SERVE_KEYS_H
#define WN_SERVE_KEYS_H
/* API keys, DIR/keys.json. A key is "wnk_" ID "_" 64 hex digits from the system's generator; what
 * is kept of it is its SHA-256 (a password's slow hash would protect nothing here: 256 random bits
 * are not guessed). A running server follows changes of the file within a second. */

#include "base/sha256.h"

#define WN_KEYS_MAX     1000
#define WN_KEY_ID_BYTES 12
#define WN_KEY_TEXT_MAX 96

typedef enum wn_scope {
  WN_SCOPE_BY_METHOD = 0, /* of an action: GET reads, others write */
  WN_SCOPE_READ = 1,
  WN_SCOPE_WRITE = 2,
  WN_SCOPE_ADMIN = 4, /* has the others, too */
  WN_SCOPE_OPEN = 8,  /* of an action: no key needed */
} wn_scope;

typedef struct wn_key_record {
  char id[WN_KEY_ID_BYTES + 1];
  char name[65];
  unsigned scopes;
  uint8_t hash[WN_SHA256_BYTES];
  double rate; /* requests a second; 0: no limit */
  int64_t created_ms;
} wn_key_record;

typedef struct wn_key_list {
  wn_key_record *data;
  size_t len;
} wn_key_list;

/* "read,write" */
WN_MUST_USE wn_status wn_scopes_parse(const char *text, unsigned *scopes, wn_error *err);
void wn_scopes_write(unsigned scopes, wn_buf *out);

/* No file: no keys. Free data with wn_free. */
WN_MUST_USE wn_status wn_keys_load(const char *dir, wn_key_list *out, wn_error *err);
/* `record`: name, scopes and rate given, the rest filled in; `text`: the key, told once. */
WN_MUST_USE wn_status wn_keys_add(const char *dir, wn_key_record *record,
                                  char text[WN_KEY_TEXT_MAX], wn_error *err);
WN_MUST_USE wn_status wn_keys_revoke(const char *dir, const char *id, wn_error *err);

/* What a server asks. */
typedef struct wn_keyring wn_keyring;
WN_MUST_USE wn_status wn_keyring_open(const char *dir, wn_keyring **out, wn_error *err);
void wn_keyring_close(wn_keyring *ring);
/* Reads the file again when it is another; a bad one leaves the keys as they are. */
WN_MUST_USE wn_status wn_keyring_refresh(wn_keyring *ring, wn_error *err);
bool wn_keyring_empty(wn_keyring *ring);

typedef enum wn_key_answer { WN_KEY_GOOD, WN_KEY_UNKNOWN, WN_KEY_TOO_FAST } wn_key_answer;
/* Takes one request out of the key's bucket. id (WN_KEY_ID_BYTES + 1) and scopes are filled in for
 * a known key; wait_s: when to come back, for TOO_FAST. */
wn_key_answer wn_keyring_ask(wn_keyring *ring, wn_str key, char *id, unsigned *scopes,
                             unsigned *wait_s);

#endif
