/* Packages as items, source projects as users. Two passes: all lists are read (the newest
 * version of a package wins, wherever it stands), then everything is handed out, items first. */
#include "data/debian.h"

#include <string.h>

#define ARENA_BYTES_MAX ((size_t)4 << 30)
#define PROGRESS_EVERY  4096
#define LISTS_MAX       256 /* tags a package */

static const char *const field_names[WN_DEBIAN_FIELD_COUNT] = {
#define X(upper, name) name,
    WN_DEBIAN_FIELDS(X)
#undef X
};

wn_status wn_debian_init(wn_debian *debian, wn_reader *reader, wn_error *err) {
  *debian = (wn_debian){.reader = reader};
  wn_arena_init(&debian->arena, ARENA_BYTES_MAX);
  debian->names = wn_dict_create();
  debian->sources = wn_dict_create();
  debian->digests = wn_dict_create();
  bool ok = debian->names != NULL && debian->sources != NULL && debian->digests != NULL;
  return ok ? WN_OK : wn_fail_memory(err);
}

void wn_debian_clear(wn_debian *debian) {
  wn_arena_clear(&debian->arena);
  wn_dict_free(debian->names);
  wn_dict_free(debian->sources);
  wn_dict_free(debian->digests);
  wn_vec_clear(&debian->packages);
  wn_vec_clear(&debian->texts);
  wn_vec_clear(&debian->edges);
  wn_buf_clear(&debian->scratch);
}

wn_status wn_debian_intern(wn_dict *dict, wn_str key, uint32_t *ix, bool *added, wn_error *err) {
  wn_status status = wn_dict_add(dict, key, ix, added);
  if (status == WN_OK) return WN_OK;
  if (status == WN_E_MEMORY) return wn_fail_memory(err);
  return wn_fail(err, status, "", "too many names");
}

wn_status wn_debian_tick(wn_debian *debian, wn_error *err) {
  if (debian->done++ % PROGRESS_EVERY != 0) return WN_OK;
  double total = (double)(debian->packages.len + debian->edges.len);
  if (wn_progress_at(debian->reader->options->progress, "adding packages", (double)debian->done,
                     total, "records")) {
    return WN_OK;
  }
  return wn_fail(err, WN_E_CANCELLED, "", "stopped on request");
}

/* "Source: name (version)"; without the field the package is its own source. */
static wn_str source_of(const wn_deb822 *stanza, wn_str name) {
  wn_str source = wn_deb822_get(stanza, "Source");
  const char *blank = source.len > 0 ? memchr(source.ptr, ' ', source.len) : NULL;
  if (blank != NULL) source.len = (size_t)(blank - source.ptr);
  return source.len > 0 ? source : name;
}

static wn_status keep_fields(wn_debian *debian, const wn_deb822 *stanza, wn_debian_package *out,
                             wn_error *err) {
  for (int i = 0; i < WN_DEBIAN_FIELD_COUNT; i++) {
    wn_str value = wn_deb822_get(stanza, field_names[i]);
    out->fields[i] = wn_arena_str(&debian->arena, value);
    if (value.ptr != NULL && out->fields[i].ptr == NULL) return wn_fail_memory(err);
  }
  return WN_OK;
}

static bool is_older(wn_debian *debian, uint32_t ix, wn_str version) {
  wn_str have = debian->packages.data[ix].fields[WN_DEBIAN_VERSION];
  return wn_debian_version_compare(version, have) <= 0;
}

static wn_status add_package(wn_debian *debian, const wn_deb822 *stanza, wn_debian_package *package,
                             wn_error *err) {
  wn_status status;
  bool added;
  uint32_t ix;
  wn_error why;
  wn_str name = wn_deb822_get(stanza, "Package");
  wn_str source = source_of(stanza, name);
  if (wn_key_check(name, "Package", &why) != WN_OK ||
      wn_key_check(source, "Source", &why) != WN_OK) {
    return wn_reader_bad(debian->reader, stanza->line, &why, err);
  }
  WN_TRY(wn_debian_intern(debian->names, name, &ix, &added, err));
  if (!added && is_older(debian, ix, wn_deb822_get(stanza, "Version"))) goto cleanup;
  WN_TRY(keep_fields(debian, stanza, package, err));
  WN_TRY(wn_debian_intern(debian->sources, source, &package->source, &(bool){false}, err));
  package->line = stanza->line;
  if (!added) {
    debian->packages.data[ix] = *package;
  } else if (!wn_vec_push(&debian->packages, *package)) {
    status = wn_fail_memory(err);
  }
cleanup:
  return status;
}

wn_status wn_debian_add_packages(wn_debian *debian, const char *file, int64_t time_ms,
                                 wn_error *err) {
  wn_status status;
  bool end = false;
  wn_deb822 stanza;
  wn_deb822_init(&stanza, debian->reader);
  if (time_ms > debian->reader->now_ms) time_ms = debian->reader->now_ms;
  while (!end) {
    WN_TRY(wn_deb822_next(&stanza, &end, err));
    wn_debian_package package = {.file = file, .time_ms = time_ms};
    if (!end) WN_TRY(add_package(debian, &stanza, &package, err));
  }
cleanup:
  wn_deb822_clear(&stanza);
  return status;
}

/* Only digests that a package names are worth keeping. */
static wn_status want_digests(wn_debian *debian, wn_error *err) {
  if (wn_dict_count(debian->digests) > 0) return WN_OK;
  for (size_t i = 0; i < debian->packages.len; i++) {
    wn_str digest = debian->packages.data[i].fields[WN_DEBIAN_MD5];
    bool added;
    uint32_t ix;
    if (digest.len == 0) continue;
    wn_status status = wn_debian_intern(debian->digests, digest, &ix, &added, err);
    if (status != WN_OK) return status;
    if (added && !wn_vec_push(&debian->texts, ((wn_str){NULL, 0}))) return wn_fail_memory(err);
  }
  return WN_OK;
}

static wn_status add_text(wn_debian *debian, const wn_deb822 *stanza, wn_error *err) {
  uint32_t ix = wn_dict_find(debian->digests, wn_deb822_get(stanza, "Description-md5"));
  wn_str text = wn_deb822_get(stanza, "Description-en");
  if (text.ptr == NULL) text = wn_deb822_get(stanza, "Description-en_GB");
  if (ix == WN_NO_IX || text.ptr == NULL || debian->texts.data[ix].ptr != NULL) return WN_OK;
  debian->texts.data[ix] = wn_arena_str(&debian->arena, text);
  return debian->texts.data[ix].ptr != NULL ? WN_OK : wn_fail_memory(err);
}

wn_status wn_debian_add_texts(wn_debian *debian, wn_error *err) {
  wn_status status;
  bool end = false;
  wn_deb822 stanza;
  wn_deb822_init(&stanza, debian->reader);
  WN_TRY(want_digests(debian, err));
  while (!end) {
    WN_TRY(wn_deb822_next(&stanza, &end, err));
    if (!end) WN_TRY(add_text(debian, &stanza, err));
  }
cleanup:
  wn_deb822_clear(&stanza);
  return status;
}

/* The first line. */
static wn_str synopsis_of(wn_str description) {
  const char *end = description.len > 0 ? memchr(description.ptr, '\n', description.len) : NULL;
  return end != NULL ? (wn_str){description.ptr, (size_t)(end - description.ptr)} : description;
}

/* The multi-line field as text: leading blanks off, " ." an empty line; cut at a character's
 * boundary to what an item may hold. */
static void append_text(wn_buf *out, wn_str description) {
  if (description.len == 0) return;
  const char *from = description.ptr, *end = from + description.len;
  while (from < end) {
    const char *to = memchr(from, '\n', (size_t)(end - from));
    wn_str line = {from, (size_t)((to != NULL ? to : end) - from)};
    line = wn_str_trim(line);
    if (out->len + line.len + 1 > WN_TEXT_BYTES_MAX) break;
    if (!wn_str_is(line, ".")) wn_buf_append(out, line.ptr, line.len);
    wn_buf_char(out, '\n');
    if (to == NULL) break;
    from = to + 1;
  }
  while (out->len > 0 && out->data[out->len - 1] == '\n') out->len--;
}

/* The longest description there is: a list has the whole one or only its first line. */
static wn_str description_of(const wn_debian *debian, const wn_debian_package *package) {
  wn_str own = package->fields[WN_DEBIAN_DESCRIPTION];
  uint32_t ix = wn_dict_find(debian->digests, package->fields[WN_DEBIAN_MD5]);
  if (ix == WN_NO_IX || debian->texts.data[ix].len < own.len) return own;
  return debian->texts.data[ix];
}

/* Attributes of one package under construction. */
typedef struct attr_list {
  wn_attr data[16];
  size_t len;
} attr_list;

static void add_string(attr_list *attrs, const char *name, wn_str value) {
  if (value.len == 0) return;
  attrs->data[attrs->len++] =
      (wn_attr){.name = wn_str_of(name), .kind = WN_ATTR_STRING, .string = value};
}

/* "non-free/libs" is section libs of the area non-free; without a slash the area is main. */
static void add_section(attr_list *attrs, wn_str section) {
  const char *slash = section.len > 0 ? memrchr(section.ptr, '/', section.len) : NULL;
  if (slash == NULL) {
    add_string(attrs, "area", WN_STR("main"));
    add_string(attrs, "section", section);
    return;
  }
  size_t area = (size_t)(slash - section.ptr);
  add_string(attrs, "area", (wn_str){section.ptr, area});
  add_string(attrs, "section", (wn_str){slash + 1, section.len - area - 1});
}

/* The name without the address. */
static wn_str maintainer_name(wn_str maintainer) {
  const char *open = maintainer.len > 0 ? memchr(maintainer.ptr, '<', maintainer.len) : NULL;
  wn_str name = maintainer;
  if (open != NULL && open > maintainer.ptr) name.len = (size_t)(open - maintainer.ptr);
  return wn_str_trim(name);
}

/* Debtags: words after commas and line ends. */
static void add_tags(attr_list *attrs, wn_str tags, wn_str list[LISTS_MAX]) {
  size_t n = 0;
  while (tags.len > 0 && n < LISTS_MAX) {
    const char *comma = memchr(tags.ptr, ',', tags.len);
    size_t len = comma != NULL ? (size_t)(comma - tags.ptr) : tags.len;
    wn_str tag = wn_str_trim((wn_str){tags.ptr, len});
    if (tag.len > 0) list[n++] = tag;
    size_t used = comma != NULL ? len + 1 : len;
    tags = (wn_str){tags.ptr + used, tags.len - used};
  }
  if (n == 0) return;
  attrs->data[attrs->len++] =
      (wn_attr){.name = WN_STR("tags"), .kind = WN_ATTR_LIST, .list = list, .list_len = n};
}

static void item_attrs(const wn_debian *debian, const wn_debian_package *package, attr_list *attrs,
                       wn_str list[LISTS_MAX]) {
  double size;
  attrs->len = 0;
  add_section(attrs, package->fields[WN_DEBIAN_SECTION]);
  add_string(attrs, "priority", package->fields[WN_DEBIAN_PRIORITY]);
  add_string(attrs, "maintainer", maintainer_name(package->fields[WN_DEBIAN_MAINTAINER]));
  add_string(attrs, "source", wn_dict_key(debian->sources, package->source));
  add_string(attrs, "homepage", package->fields[WN_DEBIAN_HOMEPAGE]);
  add_tags(attrs, package->fields[WN_DEBIAN_TAG], list);
  if (wn_parse_double(package->fields[WN_DEBIAN_SIZE], &size)) {
    attrs->data[attrs->len++] =
        (wn_attr){.name = WN_STR("size"), .kind = WN_ATTR_NUMBER, .number = size};
  }
}

/* A title reads "ripgrep: recursively searches directories for a regex pattern". */
static wn_status emit_item(wn_debian *debian, uint32_t ix, wn_error *err) {
  const wn_debian_package *package = &debian->packages.data[ix];
  wn_str name = wn_dict_key(debian->names, ix), list[LISTS_MAX];
  wn_str description = description_of(debian, package);
  wn_buf *scratch = &debian->scratch;
  attr_list attrs;
  item_attrs(debian, package, &attrs, list);
  wn_str synopsis = synopsis_of(description);
  wn_buf_reset(scratch);
  append_text(scratch, description);
  size_t text_len = scratch->len;
  wn_buf_append(scratch, name.ptr, name.len);
  if (synopsis.len > 0) {
    wn_buf_str(scratch, ": ");
    wn_buf_append(scratch, synopsis.ptr, synopsis.len);
  }
  if (scratch->failed) return wn_fail_memory(err);
  wn_item_record item = {.id = name,
                         .title = {scratch->data + text_len, scratch->len - text_len},
                         .attrs = {attrs.data, attrs.len}};
  if (text_len > 0) item.text = (wn_str){scratch->data, text_len};
  debian->reader->file = package->file;
  return wn_reader_item(debian->reader, package->line, &item, err);
}

/* "src:NAME" into the scratch buffer. */
static wn_status user_id(wn_debian *debian, uint32_t source, wn_str *id, wn_error *err) {
  wn_str name = wn_dict_key(debian->sources, source);
  wn_buf_reset(&debian->scratch);
  wn_buf_str(&debian->scratch, "src:");
  wn_buf_append(&debian->scratch, name.ptr, name.len);
  if (debian->scratch.failed) return wn_fail_memory(err);
  *id = (wn_str){debian->scratch.data, debian->scratch.len};
  return WN_OK;
}

static wn_status emit_user(wn_debian *debian, const wn_debian_edge *edge, wn_error *err) {
  const wn_debian_package *package = &debian->packages.data[edge->from];
  attr_list attrs = {.len = 0};
  wn_user_record user = {0};
  wn_status status = user_id(debian, edge->source, &user.id, err);
  if (status != WN_OK) return status;
  add_section(&attrs, package->fields[WN_DEBIAN_SECTION]);
  add_string(&attrs, "maintainer", maintainer_name(package->fields[WN_DEBIAN_MAINTAINER]));
  user.attrs = (wn_attrs){attrs.data, attrs.len};
  debian->reader->file = package->file;
  return wn_reader_user(debian->reader, package->line, &user, err);
}

static wn_status emit_event(wn_debian *debian, const wn_debian_edge *edge, wn_error *err) {
  const wn_debian_package *package = &debian->packages.data[edge->from];
  wn_event_record event = {.item = wn_dict_key(debian->names, edge->item),
                           .type = wn_str_of(wn_debian_edge_type(edge)),
                           .value = __builtin_nan(""),
                           .time_ms = package->time_ms};
  wn_status status = user_id(debian, edge->source, &event.user, err);
  if (status != WN_OK) return status;
  debian->reader->file = package->file;
  return wn_reader_event(debian->reader, package->line, &event, 0, err);
}

/* Every source with an edge, once, in order of its first edge. */
static wn_status emit_users(wn_debian *debian, wn_error *err) {
  wn_status status;
  wn_bitset met;
  if (!wn_bitset_init(&met, wn_dict_count(debian->sources))) return wn_fail_memory(err);
  status = WN_OK;
  for (size_t i = 0; i < debian->edges.len; i++) {
    const wn_debian_edge *edge = &debian->edges.data[i];
    if (wn_bitset_test(&met, edge->source)) continue;
    wn_bitset_set(&met, edge->source);
    WN_TRY(emit_user(debian, edge, err));
  }
cleanup:
  wn_bitset_clear(&met);
  return status;
}

wn_status wn_debian_emit(wn_debian *debian, wn_error *err) {
  wn_status status;
  WN_TRY(wn_debian_relate(debian, err));
  for (size_t i = 0; i < debian->packages.len; i++) {
    WN_TRY(emit_item(debian, (uint32_t)i, err));
    WN_TRY(wn_debian_tick(debian, err));
  }
  WN_TRY(emit_users(debian, err));
  for (size_t i = 0; i < debian->edges.len; i++) {
    WN_TRY(emit_event(debian, &debian->edges.data[i], err));
    WN_TRY(wn_debian_tick(debian, err));
  }
cleanup:
  return status;
}
