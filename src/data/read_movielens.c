/* MovieLens folders (Harper and Konstan 2015, "The MovieLens Datasets"): the CSV form (latest,
 * latest-small, 20M …), the "::" form (1M, 10M) and the tab form (100K). Files may be compressed
 * and may have something after their name ("ratings_part1.dat.xz").
 *
 * Ratings become events of type "rating"; the year in a title becomes the attribute `year`, and
 * the first of January of that year the item's creation (1970 for older films), so that "newest"
 * means what it says. Tags are no events: who tags a film has mostly rated it, too. The most
 * frequent ones become the film's text. Old files are in Latin-1 and are turned into UTF-8. */
#include "data/csv.h"
#include "data/folder.h"
#include "data/movielens.h"
#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PARTS_MAX 32 /* parts of a "::" or "|" line */

/* How one form's files look. */
typedef struct form {
  const char *ratings, *movies, *users; /* patterns; users NULL: none */
  const char *separator;                /* NULL: CSV */
} form;

static const form form_csv = {"ratings.csv", "movies.csv", NULL, NULL};
static const form form_dat = {"ratings*.dat", "movies*.dat", "users*.dat", "::"};
static const form form_100k = {"u.data", "u.item", "u.user", "|"};

typedef struct movielens {
  wn_reader *reader;
  wn_folder folder;
  const form *form;
  wn_movielens_tags tags;
  wn_buf utf8;    /* a line turned from Latin-1 */
  wn_arena paths; /* errors name them to the end */
} movielens;

static const form *form_of(const wn_folder *folder) {
  static const form *const forms[] = {&form_csv, &form_dat, &form_100k};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    if (wn_folder_has(folder, forms[i]->ratings)) return forms[i];
  }
  return NULL;
}

/* Valid UTF-8 stays; other bytes are Latin-1. */
static wn_str to_utf8(movielens *m, wn_str line) {
  if (wn_utf8_valid(line)) return line;
  wn_buf_reset(&m->utf8);
  for (size_t i = 0; i < line.len; i++) {
    unsigned char c = (unsigned char)line.ptr[i];
    if (c < 0x80) {
      wn_buf_char(&m->utf8, (char)c);
    } else {
      wn_buf_char(&m->utf8, (char)(0xC0 | (c >> 6)));
      wn_buf_char(&m->utf8, (char)(0x80 | (c & 0x3F)));
    }
  }
  return (wn_str){m->utf8.data, m->utf8.len};
}

/* Splits in place; the count, PARTS_MAX at most. */
static size_t split(wn_str line, const char *separator, wn_str parts[PARTS_MAX]) {
  size_t n = 0, width = strlen(separator);
  const char *from = line.ptr, *end = line.ptr + line.len;
  while (n < PARTS_MAX) {
    const char *to = memmem(from, (size_t)(end - from), separator, width);
    parts[n++] = (wn_str){from, (size_t)((to != NULL ? to : end) - from)};
    if (to == NULL) break;
    from = to + width;
  }
  return n;
}

/* "Toy Story (1995)" → 1995; 0: none. */
static int year_of(wn_str title) {
  title = wn_str_trim(title);
  if (title.len < 6 || title.ptr[title.len - 1] != ')' || title.ptr[title.len - 6] != '(') return 0;
  int64_t year;
  if (!wn_parse_int64((wn_str){title.ptr + title.len - 5, 4}, &year)) return 0;
  return year >= 1870 && year <= 2199 ? (int)year : 0;
}

/* The first of January; the first moment that counts as known for years before 1970. */
static int64_t created_of(int year) {
  char text[16];
  int64_t time_ms = 1;
  snprintf(text, sizeof text, "%d-01-01", year);
  if (year > 1970 && wn_time_parse(wn_str_of(text), &time_ms, NULL) != WN_OK) return 1;
  return time_ms;
}

typedef struct genre_list {
  wn_str data[PARTS_MAX];
  size_t len;
} genre_list;

static wn_status emit_movie(movielens *m, long line, wn_str id, wn_str title,
                            const genre_list *genres, wn_error *err) {
  wn_attr attrs[2];
  size_t n = 0;
  int year = year_of(title);
  if (year > 0) {
    attrs[n++] = (wn_attr){.name = WN_STR("year"), .kind = WN_ATTR_NUMBER, .number = year};
  }
  if (genres->len > 0) {
    attrs[n++] = (wn_attr){.name = WN_STR("genres"),
                           .kind = WN_ATTR_LIST,
                           .list = genres->data,
                           .list_len = genres->len};
  }
  wn_item_record item = {.id = id,
                         .title = wn_str_trim(title),
                         .text = wn_movielens_tags_text(&m->tags, id),
                         .attrs = {attrs, n},
                         .created_ms = year > 0 ? created_of(year) : 0};
  return wn_reader_item(m->reader, line, &item, err);
}

static wn_status wrong_parts(movielens *m, long line, size_t want, size_t have, wn_error *err) {
  wn_error why;
  wn_fail(&why, WN_E_FORMAT, "", "has %zu parts, expected %zu", have, want);
  return wn_reader_bad(m->reader, line, &why, err);
}

/* "Action|Comedy"; "(no genres listed)" is none. */
static void genres_of(wn_str cell, genre_list *out) {
  bool none = cell.len == 0 || cell.ptr[0] == '(';
  out->len = none ? 0 : split(cell, "|", out->data);
}

/* The flags at the end of a line of u.item, in the order of u.genre. */
static void flagged_genres(const wn_str flags[19], genre_list *out) {
  static const char *const names[19] = {
      "unknown",     "Action", "Adventure", "Animation", "Children's", "Comedy",  "Crime",
      "Documentary", "Drama",  "Fantasy",   "Film-Noir", "Horror",     "Musical", "Mystery",
      "Romance",     "Sci-Fi", "Thriller",  "War",       "Western"};
  out->len = 0;
  for (size_t i = 1; i < 19; i++) {
    if (wn_str_is(flags[i], "1")) out->data[out->len++] = wn_str_of(names[i]);
  }
}

static wn_status movie_line(movielens *m, wn_str line, wn_error *err) {
  wn_str parts[PARTS_MAX];
  genre_list genres;
  bool flags = m->form == &form_100k;
  size_t want = flags ? 24 : 3, have = split(to_utf8(m, line), m->form->separator, parts);
  if (have != want) return wrong_parts(m, m->reader->line, want, have, err);
  if (flags)
    flagged_genres(parts + 5, &genres);
  else
    genres_of(parts[2], &genres);
  return emit_movie(m, m->reader->line, parts[0], parts[1], &genres, err);
}

static const char *occupation_of(wn_str code) {
  static const char *const names[] = {"other",
                                      "academic/educator",
                                      "artist",
                                      "clerical/admin",
                                      "college/grad student",
                                      "customer service",
                                      "doctor/health care",
                                      "executive/managerial",
                                      "farmer",
                                      "homemaker",
                                      "K-12 student",
                                      "lawyer",
                                      "programmer",
                                      "retired",
                                      "sales/marketing",
                                      "scientist",
                                      "self-employed",
                                      "technician/engineer",
                                      "tradesman/craftsman",
                                      "unemployed",
                                      "writer"};
  int64_t n;
  if (!wn_parse_int64(code, &n) || n < 0 || n >= (int64_t)(sizeof names / sizeof *names)) return "";
  return names[n];
}

/* 1M: id::gender::age::occupation code::zip; 100K: id|age|gender|occupation|zip. */
static wn_status user_line(movielens *m, wn_str line, wn_error *err) {
  wn_str p[PARTS_MAX];
  bool names = m->form == &form_100k;
  size_t have = split(to_utf8(m, line), m->form->separator, p);
  if (have != 5) return wrong_parts(m, m->reader->line, 5, have, err);
  wn_str gender = p[names ? 2 : 1], age = p[names ? 1 : 2];
  wn_str occupation = names ? p[3] : wn_str_of(occupation_of(p[3]));
  wn_attr attrs[4] = {{.name = WN_STR("age"), .kind = WN_ATTR_NUMBER},
                      {.name = WN_STR("gender"), .kind = WN_ATTR_STRING, .string = gender},
                      {.name = WN_STR("occupation"), .kind = WN_ATTR_STRING, .string = occupation},
                      {.name = WN_STR("zip"), .kind = WN_ATTR_STRING, .string = p[4]}};
  if (!wn_parse_double(age, &attrs[0].number)) {
    wn_error why;
    wn_fail(&why, WN_E_FORMAT, "age", "must be a number");
    return wn_reader_bad(m->reader, m->reader->line, &why, err);
  }
  wn_user_record user = {.id = p[0], .attrs = {attrs, 4}};
  return wn_reader_user(m->reader, m->reader->line, &user, err);
}

static wn_status rating_line(movielens *m, wn_str line, wn_error *err) {
  wn_str p[PARTS_MAX];
  wn_error why;
  uint64_t hash = wn_reader_hash(m->reader, line);
  size_t have = split(line, m->form == &form_100k ? "\t" : m->form->separator, p);
  if (have != 4) return wrong_parts(m, m->reader->line, 4, have, err);
  wn_event_record event = {.user = p[0], .item = p[1], .type = WN_STR("rating")};
  wn_status status = wn_time_parse(p[3], &event.time_ms, &why);
  if (status == WN_OK && !wn_parse_double(p[2], &event.value)) {
    status = wn_fail(&why, WN_E_FORMAT, "rating", "must be a number");
  }
  if (status != WN_OK) return wn_reader_bad(m->reader, m->reader->line, &why, err);
  return wn_reader_event(m->reader, m->reader->line, &event, hash, err);
}

typedef wn_status line_fn(movielens *m, wn_str line, wn_error *err);

/* The next file of a pattern becomes the current one; *more false: there is none. */
static wn_status next_file(movielens *m, const char *pattern, size_t *at, bool *more,
                           wn_error *err) {
  const char *name = wn_folder_match(&m->folder, pattern, at);
  *more = name != NULL;
  if (name == NULL) return WN_OK;
  char *path = wn_folder_join(m->folder.path, name);
  if (path == NULL) return wn_fail_memory(err);
  const char *kept = wn_arena_strdup(&m->paths, wn_str_of(path));
  wn_free(path);
  return kept != NULL ? wn_reader_open(m->reader, kept, err) : wn_fail_memory(err);
}

static wn_status each_line(movielens *m, const char *pattern, line_fn *fn, wn_error *err) {
  wn_status status = WN_OK;
  size_t at = 0;
  for (;;) {
    bool more;
    WN_TRY(next_file(m, pattern, &at, &more, err));
    if (!more) break;
    for (;;) {
      wn_str line;
      WN_TRY(wn_reader_line(m->reader, &line, err));
      if (line.ptr == NULL) break;
      if (line.len > 0) WN_TRY(fn(m, line, err));
    }
  }
cleanup:
  return status;
}

typedef wn_status row_fn(movielens *m, const wn_csv *csv, wn_error *err);

/* Rows behind a header whose first cells must be `header`. */
static wn_status each_row(movielens *m, const char *pattern, const char *const header[3],
                          row_fn *fn, wn_error *err) {
  wn_status status = WN_OK;
  size_t at = 0;
  wn_csv csv = {0};
  bool more, end;
  WN_TRY(next_file(m, pattern, &at, &more, err));
  if (!more) goto cleanup;
  WN_TRY(wn_csv_init(&csv, m->reader, ',', err));
  WN_TRY(wn_csv_next(&csv, &end, err));
  for (size_t i = 0; i < 3 && !end; i++) {
    if (i < csv.cells_len && wn_str_is(wn_str_trim(csv.cells[i]), header[i])) continue;
    wn_fail(err, WN_E_FORMAT, header[i], "the header must begin with %s,%s,%s", header[0],
            header[1], header[2]);
    if (err != NULL) wn_error_at(err, m->reader->file, csv.line, 0);
    WN_TRY(WN_E_FORMAT);
  }
  while (!end) {
    WN_TRY(wn_csv_next(&csv, &end, err));
    if (end) break;
    if (csv.cells_len < 3)
      WN_TRY(wrong_parts(m, csv.line, 3, csv.cells_len, err));
    else
      WN_TRY(fn(m, &csv, err));
  }
cleanup:
  wn_csv_clear(&csv);
  return status;
}

static wn_status movie_row(movielens *m, const wn_csv *csv, wn_error *err) {
  genre_list genres;
  genres_of(csv->cells[2], &genres);
  return emit_movie(m, csv->line, csv->cells[0], csv->cells[1], &genres, err);
}

static wn_status tag_row(movielens *m, const wn_csv *csv, wn_error *err) {
  wn_error why;
  if (wn_key_check(csv->cells[1], "movieId", &why) != WN_OK) {
    return wn_reader_bad(m->reader, csv->line, &why, err);
  }
  return wn_movielens_tags_add(&m->tags, csv->cells[1], csv->cells[2], err);
}

/* ratings.csv is a table like any other. */
static wn_status read_ratings_csv(movielens *m, wn_error *err) {
  static const wn_column_map type = {{"type", 4}, {"!rating", 7}};
  size_t at = 0;
  bool more;
  const wn_read_options *given = m->reader->options;
  wn_read_options options = *given;
  options.kind = WN_RECORD_EVENTS;
  options.map = &type;
  options.map_len = 1;
  wn_status status = next_file(m, m->form->ratings, &at, &more, err);
  if (status != WN_OK || !more) return status;
  m->reader->options = &options;
  status = wn_read_csv(m->reader, ',', false, err);
  m->reader->options = given;
  return status;
}

static wn_status read_csv_form(movielens *m, wn_error *err) {
  static const char *const tags[3] = {"userId", "movieId", "tag"};
  static const char *const movies[3] = {"movieId", "title", "genres"};
  wn_status status;
  WN_TRY(each_row(m, "tags.csv", tags, tag_row, err));
  WN_TRY(wn_movielens_tags_sort(&m->tags, err));
  WN_TRY(each_row(m, m->form->movies, movies, movie_row, err));
  WN_TRY(read_ratings_csv(m, err));
cleanup:
  return status;
}

static wn_status read_line_form(movielens *m, wn_error *err) {
  wn_status status;
  WN_TRY(each_line(m, m->form->movies, movie_line, err));
  WN_TRY(each_line(m, m->form->users, user_line, err));
  WN_TRY(each_line(m, m->form->ratings, rating_line, err));
cleanup:
  return status;
}

wn_status wn_read_movielens(wn_reader *reader, const char *folder, wn_error *err) {
  wn_status status;
  movielens m = {.reader = reader};
  wn_arena_init(&m.paths, 1u << 20);
  WN_TRY(wn_movielens_tags_init(&m.tags, err));
  WN_TRY(wn_folder_open(&m.folder, folder, err));
  m.form = form_of(&m.folder);
  if (m.form == NULL) {
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "",
                   "no ratings.csv, ratings*.dat or u.data (also .gz .xz .zst .lz4) in %s",
                   folder));
  }
  WN_TRY(m.form->separator == NULL ? read_csv_form(&m, err) : read_line_form(&m, err));
cleanup:
  wn_reader_close(reader);
  wn_movielens_tags_clear(&m.tags);
  wn_folder_clear(&m.folder);
  wn_buf_clear(&m.utf8);
  wn_arena_clear(&m.paths);
  return status;
}
