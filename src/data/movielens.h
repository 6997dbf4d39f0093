#ifndef WN_DATA_MOVIELENS_H
#define WN_DATA_MOVIELENS_H
/* What users called the films: counts of (film, tag), then each film's most frequent tags as one
 * text. Internal. Memory: about 60 bytes a distinct pair and the names. */

#include "base/dict.h"
#include "base/map64.h"
#include "base/vec.h"

typedef struct wn_movielens_tag {
  uint32_t movie;
  uint32_t tag;
  uint32_t count;
} wn_movielens_tag;

typedef struct wn_movielens_tags {
  wn_dict *movies;
  wn_dict *tags;
  wn_map64 counts;                /* movie << 32 | tag → count */
  WN_VEC(wn_movielens_tag) pairs; /* by movie, then count; after _sort() */
  wn_buf text;
} wn_movielens_tags;

WN_MUST_USE wn_status wn_movielens_tags_init(wn_movielens_tags *tags, wn_error *err);
void wn_movielens_tags_clear(wn_movielens_tags *tags);
WN_MUST_USE wn_status wn_movielens_tags_add(wn_movielens_tags *tags, wn_str movie, wn_str tag,
                                            wn_error *err);
WN_MUST_USE wn_status wn_movielens_tags_sort(wn_movielens_tags *tags, wn_error *err);
/* "pixar, fun, animation": up to 20 tags, most frequent first; absent when there are none. Valid
 * until the next call. */
wn_str wn_movielens_tags_text(wn_movielens_tags *tags, wn_str movie);

#endif
