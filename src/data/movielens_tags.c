#include "data/movielens.h"

#include <stdlib.h>

#define TAGS_A_MOVIE  20
#define TAG_BYTES_MAX 100 /* longer ones are sentences */

wn_status wn_movielens_tags_init(wn_movielens_tags *tags, wn_error *err) {
  *tags = (wn_movielens_tags){.movies = wn_dict_create(), .tags = wn_dict_create()};
  wn_map64_init(&tags->counts);
  return tags->movies != NULL && tags->tags != NULL ? WN_OK : wn_fail_memory(err);
}

void wn_movielens_tags_clear(wn_movielens_tags *tags) {
  wn_dict_free(tags->movies);
  wn_dict_free(tags->tags);
  wn_map64_clear(&tags->counts);
  wn_vec_clear(&tags->pairs);
  wn_buf_clear(&tags->text);
}

/* "Pixar" and "pixar" are one tag. */
static wn_str lower(wn_str tag, char buf[TAG_BYTES_MAX]) {
  tag = wn_str_trim(tag);
  if (tag.len > TAG_BYTES_MAX) return (wn_str){buf, 0};
  for (size_t i = 0; i < tag.len; i++) {
    char c = tag.ptr[i];
    buf[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
  }
  return (wn_str){buf, tag.len};
}

wn_status wn_movielens_tags_add(wn_movielens_tags *tags, wn_str movie, wn_str tag, wn_error *err) {
  char buf[TAG_BYTES_MAX];
  uint32_t m, t;
  bool added;
  tag = lower(tag, buf);
  if (tag.len == 0 || !wn_utf8_valid(tag)) return WN_OK;
  if (wn_dict_add(tags->movies, movie, &m, &added) != WN_OK) return wn_fail_memory(err);
  if (wn_dict_add(tags->tags, tag, &t, &added) != WN_OK) return wn_fail_memory(err);
  uint64_t *count = wn_map64_at(&tags->counts, (uint64_t)m << 32 | t);
  if (count == NULL) return wn_fail_memory(err);
  (*count)++;
  return WN_OK;
}

static int by_movie_and_count(const void *x, const void *y) {
  const wn_movielens_tag *a = x, *b = y;
  if (a->movie != b->movie) return a->movie < b->movie ? -1 : 1;
  if (a->count != b->count) return a->count > b->count ? -1 : 1;
  return a->tag < b->tag ? -1 : a->tag > b->tag;
}

wn_status wn_movielens_tags_sort(wn_movielens_tags *tags, wn_error *err) {
  uint64_t key, count;
  if (!wn_vec_reserve(&tags->pairs, tags->counts.len)) return wn_fail_memory(err);
  for (size_t i = 0; wn_map64_next(&tags->counts, &i, &key, &count);) {
    tags->pairs.data[tags->pairs.len++] =
        (wn_movielens_tag){(uint32_t)(key >> 32), (uint32_t)key, (uint32_t)count};
  }
  wn_map64_clear(&tags->counts);
  if (tags->pairs.len > 0) {
    qsort(tags->pairs.data, tags->pairs.len, sizeof *tags->pairs.data, by_movie_and_count);
  }
  return WN_OK;
}

/* First pair of the movie or of one after it. */
static size_t first_of(const wn_movielens_tags *tags, uint32_t movie) {
  size_t low = 0, high = tags->pairs.len;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (tags->pairs.data[middle].movie < movie)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

wn_str wn_movielens_tags_text(wn_movielens_tags *tags, wn_str movie) {
  uint32_t m = wn_dict_find(tags->movies, movie);
  if (m == WN_NO_IX) return (wn_str){NULL, 0};
  size_t first = first_of(tags, m);
  wn_buf_reset(&tags->text);
  for (size_t i = first; i < tags->pairs.len && i < first + TAGS_A_MOVIE; i++) {
    if (tags->pairs.data[i].movie != m) break;
    wn_str tag = wn_dict_key(tags->tags, tags->pairs.data[i].tag);
    if (i > first) wn_buf_str(&tags->text, ", ");
    wn_buf_append(&tags->text, tag.ptr, tag.len);
  }
  return (wn_str){tags->text.data, tags->text.len};
}
