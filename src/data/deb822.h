#ifndef WN_DATA_DEB822_H
#define WN_DATA_DEB822_H
/* Stanzas of "Name: value" fields, as in apt's and dpkg's files (deb822(5)). Internal. */

#include "data/read.h"

#define WN_DEB822_FIELDS_MAX 128

typedef struct wn_deb822_field {
  size_t name, name_len;   /* offsets into text */
  size_t value, value_len; /* later lines follow a newline, with their leading blank */
} wn_deb822_field;

typedef struct wn_deb822 {
  wn_reader *reader; /* its current file */
  wn_buf text;
  wn_deb822_field fields[WN_DEB822_FIELDS_MAX];
  size_t len;
  long line; /* where the stanza begins */
} wn_deb822;

void wn_deb822_init(wn_deb822 *stanza, wn_reader *reader);
void wn_deb822_clear(wn_deb822 *stanza);
/* Next stanza that is not empty; malformed lines go to wn_reader_bad() and are left out. */
WN_MUST_USE wn_status wn_deb822_next(wn_deb822 *stanza, bool *end, wn_error *err);
/* By name without case; absent when there is none. Valid until the next call of next. */
wn_str wn_deb822_get(const wn_deb822 *stanza, const char *name);

#endif
