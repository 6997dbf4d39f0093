/* See config_yaml.h. Costs: a mapping of k keys is checked for doubles in O(k²); k is bounded by
 * the size of the file (1 MiB) and by tables of a few names, except under signals, models and
 * surfaces, where the limits on their number end the walk first. */

#include "serve/config_yaml.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wn_status fail_at(wn_yaml *y, const yaml_mark_t *mark, const char *field,
                         const char *message) {
  wn_fail(y->err, WN_E_CONFIG, field, "%s", message);
  return wn_error_at(y->err, y->file, (long)mark->line + 1, (long)mark->column + 1);
}

static wn_status fail_parser(wn_yaml *y, const yaml_parser_t *parser) {
  char message[256];
  if (parser->error == YAML_MEMORY_ERROR) return wn_fail_memory(y->err);
  snprintf(message, sizeof message, "not valid YAML: %s%s%s",
           parser->problem != NULL ? parser->problem : "cannot be read",
           parser->context != NULL ? ", " : "", parser->context != NULL ? parser->context : "");
  if (parser->error == YAML_READER_ERROR) {
    /* The reader knows a byte offset only: count the lines up to it. */
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < parser->problem_offset && i < y->text.len; i++) {
      mark.column++;
      if (y->text.ptr[i] == '\n') {
        mark.line++;
        mark.column = 0;
      }
    }
    return fail_at(y, &mark, "", message);
  }
  return fail_at(y, &parser->problem_mark, "", message);
}

wn_status wn_yaml_open(wn_yaml *y, wn_str text, const char *file, wn_error *err) {
  yaml_parser_t parser;
  yaml_document_t second;
  wn_status status = WN_OK;
  *y = (wn_yaml){.text = text, .file = file, .err = err};
  if (!yaml_parser_initialize(&parser)) return wn_fail_memory(err);
  yaml_parser_set_input_string(&parser, (const unsigned char *)(text.len > 0 ? text.ptr : ""),
                               text.len);
  if (!yaml_parser_load(&parser, &y->doc)) {
    status = fail_parser(y, &parser);
    y->doc = (yaml_document_t){0};
    goto cleanup;
  }
  if (wn_yaml_root(y) == NULL) goto cleanup;
  if (!yaml_parser_load(&parser, &second)) {
    status = fail_parser(y, &parser);
  } else {
    const yaml_node_t *root = yaml_document_get_root_node(&second);
    if (root != NULL)
      status = fail_at(y, &root->start_mark, "", "a configuration is one YAML document, not two");
    yaml_document_delete(&second);
  }
  if (status != WN_OK) wn_yaml_close(y);
cleanup:
  yaml_parser_delete(&parser);
  return status;
}

void wn_yaml_close(wn_yaml *y) {
  yaml_document_delete(&y->doc);
  y->doc = (yaml_document_t){0};
}

const yaml_node_t *wn_yaml_root(wn_yaml *y) {
  return yaml_document_get_root_node(&y->doc);
}

wn_status wn_yaml_fail(wn_yaml *y, const yaml_node_t *node, const char *format, ...) {
  char message[512];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return fail_at(y, &node->start_mark, y->path, message);
}

wn_str wn_yaml_scalar(const yaml_node_t *node) {
  if (node == NULL || node->type != YAML_SCALAR_NODE) return (wn_str){0};
  return (wn_str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static bool is_plain(const yaml_node_t *node) {
  return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool wn_yaml_is_null(const yaml_node_t *node) {
  wn_str s = wn_yaml_scalar(node);
  return is_plain(node) && (s.len == 0 || wn_str_is(s, "~") || wn_str_is(s, "null"));
}

static const yaml_node_t *node_at(wn_yaml *y, int id) {
  return yaml_document_get_node(&y->doc, id);
}

const yaml_node_t *wn_yaml_member(wn_yaml *y, const yaml_node_t *mapping, const char *name) {
  if (mapping == NULL || mapping->type != YAML_MAPPING_NODE) return NULL;
  for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
       p < mapping->data.mapping.pairs.top; p++)
    if (wn_str_is(wn_yaml_scalar(node_at(y, p->key)), name)) return node_at(y, p->value);
  return NULL;
}

static const char *kind_of(const yaml_node_t *node) {
  if (node->type == YAML_MAPPING_NODE) return "a mapping";
  if (node->type == YAML_SEQUENCE_NODE) return "a list";
  return wn_yaml_is_null(node) ? "nothing" : "a single value";
}

/* Path segments; a path too long for the buffer is cut, which only shortens messages. */
static size_t path_push(wn_yaml *y, wn_str name) {
  size_t len = strlen(y->path);
  snprintf(y->path + len, sizeof y->path - len, "%s%.*s", len > 0 ? "." : "", WN_STR_ARG(name));
  return len;
}

static size_t path_push_index(wn_yaml *y, size_t index) {
  size_t len = strlen(y->path);
  snprintf(y->path + len, sizeof y->path - len, "[%zu]", index);
  return len;
}

static void path_pop(wn_yaml *y, size_t len) {
  y->path[len] = '\0';
}

/* The key of pair `p` as a name that stands for the first time; adds it to the path. */
static wn_status key_enter(wn_yaml *y, const yaml_node_t *mapping, const yaml_node_pair_t *p,
                           wn_str *name, size_t *path_len) {
  const yaml_node_t *key = node_at(y, p->key);
  *name = wn_yaml_scalar(key);
  if (name->ptr == NULL || name->len == 0 || memchr(name->ptr, '\0', name->len) != NULL)
    return wn_yaml_fail(y, key, "a key must be a name");
  for (const yaml_node_pair_t *q = mapping->data.mapping.pairs.start; q < p; q++) {
    const yaml_node_t *other = node_at(y, q->key);
    if (!wn_str_equal(wn_yaml_scalar(other), *name)) continue;
    path_push(y, *name);
    return wn_yaml_fail(y, key, "the key stands twice (first in line %zu)",
                        other->start_mark.line + 1);
  }
  *path_len = path_push(y, *name);
  return WN_OK;
}

static wn_status fail_unknown(wn_yaml *y, const yaml_node_t *node, const wn_yaml_key *keys,
                              size_t len) {
  char list[400] = "";
  size_t at = 0;
  for (size_t i = 0; i < len && at < sizeof list; i++)
    at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i > 0 ? ", " : "", keys[i].name);
  return wn_yaml_fail(y, node, "unknown key; known here: %s", list);
}

wn_status wn_yaml_text(wn_yaml *y, const yaml_node_t *node, wn_str *out) {
  *out = wn_yaml_scalar(node);
  if (out->ptr == NULL || wn_yaml_is_null(node))
    return wn_yaml_fail(y, node, "must be a text, got %s", kind_of(node));
  if (memchr(out->ptr, '\0', out->len) != NULL)
    return wn_yaml_fail(y, node, "must not hold a NUL character");
  return WN_OK;
}

wn_status wn_yaml_number(wn_yaml *y, const yaml_node_t *node, double min, double max, double *out) {
  wn_str s = wn_yaml_scalar(node);
  if (s.ptr == NULL || wn_yaml_is_null(node))
    return wn_yaml_fail(y, node, "must be a number, got %s", kind_of(node));
  if (!is_plain(node) || !wn_parse_double(s, out))
    return wn_yaml_fail(y, node, "must be a number, got \"%.*s\"", (int)(s.len < 40 ? s.len : 40),
                        s.ptr);
  if (*out < min || *out > max)
    return wn_yaml_fail(y, node, "must be %.15g to %.15g, got %.15g", min, max, *out);
  return WN_OK;
}

wn_status wn_yaml_word(wn_yaml *y, const yaml_node_t *node, const char *const *words, size_t len,
                       size_t *out) {
  char list[200] = "";
  size_t at = 0;
  wn_str s = wn_yaml_scalar(node);
  for (size_t i = 0; i < len; i++)
    if (s.ptr != NULL && wn_str_is(s, words[i])) {
      *out = i;
      return WN_OK;
    }
  for (size_t i = 0; i < len && at < sizeof list; i++)
    at += (size_t)snprintf(list + at, sizeof list - at, "%s%s",
                           i == 0         ? ""
                           : i + 1 == len ? " or "
                                          : ", ",
                           words[i]);
  if (s.ptr == NULL) return wn_yaml_fail(y, node, "must be %s, got %s", list, kind_of(node));
  return wn_yaml_fail(y, node, "must be %s, got \"%.*s\"", list, (int)(s.len < 40 ? s.len : 40),
                      s.ptr);
}

static wn_status read_bool(wn_yaml *y, const yaml_node_t *node, bool *out) {
  static const char *const words[] = {"false", "true"};
  size_t word = 0;
  if (node->type == YAML_SCALAR_NODE && !is_plain(node))
    return wn_yaml_fail(y, node, "must be true or false without quotes");
  wn_status status = wn_yaml_word(y, node, words, 2, &word);
  *out = word == 1;
  return status;
}

static wn_status read_text(wn_yaml *y, const yaml_node_t *node, char *out, size_t size) {
  wn_str s;
  wn_status status = wn_yaml_text(y, node, &s);
  if (status != WN_OK) return status;
  if (s.len == 0) return wn_yaml_fail(y, node, "must not be empty");
  if (s.len >= size)
    return wn_yaml_fail(y, node, "must have at most %zu bytes, got %zu", size - 1, s.len);
  memcpy(out, s.ptr, s.len);
  out[s.len] = '\0';
  return WN_OK;
}

static wn_status read_integer(wn_yaml *y, const yaml_node_t *node, const wn_yaml_key *key,
                              double *out) {
  wn_status status = wn_yaml_number(y, node, key->min, key->max, out);
  if (status == WN_OK && *out != floor(*out))
    return wn_yaml_fail(y, node, "must be a whole number, got %.15g", *out);
  return status;
}

static wn_status read_field(wn_yaml *y, const yaml_node_t *node, const wn_yaml_key *key,
                            void *target) {
  char *at = (char *)target + key->offset;
  double number = 0;
  wn_status status = WN_OK;
  switch (key->kind) {
  case WN_YAML_CALL: return key->call(y, node, target);
  case WN_YAML_BOOL: return read_bool(y, node, (bool *)(void *)at);
  case WN_YAML_TEXT: return read_text(y, node, at, (size_t)key->max);
  case WN_YAML_FLOAT_OR_NULL:
  case WN_YAML_FLOAT:
    if (key->kind == WN_YAML_FLOAT_OR_NULL && wn_yaml_is_null(node))
      number = NAN;
    else
      status = wn_yaml_number(y, node, key->min, key->max, &number);
    if (status == WN_OK) *(float *)(void *)at = (float)number;
    return status;
  case WN_YAML_DOUBLE: return wn_yaml_number(y, node, key->min, key->max, (double *)(void *)at);
  case WN_YAML_U64:
    status = read_integer(y, node, key, &number);
    if (status == WN_OK) *(uint64_t *)(void *)at = (uint64_t)number;
    return status;
  case WN_YAML_U32:
    status = read_integer(y, node, key, &number);
    if (status == WN_OK) *(uint32_t *)(void *)at = (uint32_t)number;
    return status;
  case WN_YAML_U16:
    status = read_integer(y, node, key, &number);
    if (status == WN_OK) *(uint16_t *)(void *)at = (uint16_t)number;
    return status;
  }
  return WN_E_INTERNAL;
}

wn_status wn_yaml_names(wn_yaml *y, const yaml_node_t *node, size_t name_max,
                        wn_status (*each)(wn_yaml *yaml, wn_str name, const yaml_node_t *key,
                                          const yaml_node_t *value, void *ctx),
                        void *ctx) {
  if (wn_yaml_is_null(node)) return WN_OK;
  if (node->type != YAML_MAPPING_NODE)
    return wn_yaml_fail(y, node, "must be a mapping, got %s", kind_of(node));
  for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
       p++) {
    wn_str name;
    size_t path_len = 0;
    wn_status status = key_enter(y, node, p, &name, &path_len);
    if (status != WN_OK) return status;
    if (name.len > name_max)
      return wn_yaml_fail(y, node_at(y, p->key), "the name must have at most %zu bytes, got %zu",
                          name_max, name.len);
    status = each(y, name, node_at(y, p->key), node_at(y, p->value), ctx);
    if (status != WN_OK) return status;
    path_pop(y, path_len);
  }
  return WN_OK;
}

/* A mapping's keys and where their values go. */
typedef struct fields {
  const wn_yaml_key *keys;
  size_t len;
  void *target;
} fields;

static wn_status read_named(wn_yaml *y, wn_str name, const yaml_node_t *key,
                            const yaml_node_t *value, void *ctx) {
  const fields *f = ctx;
  for (size_t k = 0; k < f->len; k++)
    if (wn_str_is(name, f->keys[k].name)) return read_field(y, value, &f->keys[k], f->target);
  return fail_unknown(y, key, f->keys, f->len);
}

wn_status wn_yaml_fields(wn_yaml *y, const yaml_node_t *node, const wn_yaml_key *keys, size_t len,
                         void *target) {
  fields f = {keys, len, target};
  return wn_yaml_names(y, node, SIZE_MAX, read_named, &f);
}

wn_status wn_yaml_list(wn_yaml *y, const yaml_node_t *node, size_t max, wn_yaml_fn *each,
                       void *ctx) {
  if (wn_yaml_is_null(node)) return WN_OK;
  if (node->type != YAML_SEQUENCE_NODE)
    return wn_yaml_fail(y, node, "must be a list, got %s", kind_of(node));
  const yaml_node_item_t *start = node->data.sequence.items.start;
  size_t len = (size_t)(node->data.sequence.items.top - start);
  for (size_t i = 0; i < len; i++) {
    size_t path_len = path_push_index(y, i);
    if (i >= max)
      return wn_yaml_fail(y, node_at(y, start[i]), "the list may have at most %zu entries", max);
    wn_status status = each(y, node_at(y, start[i]), ctx);
    if (status != WN_OK) return status;
    path_pop(y, path_len);
  }
  return WN_OK;
}

/* The next step of a path like `.filter.where` or `[2].quota`; NULL when it leads nowhere. */
static const yaml_node_t *path_step(wn_yaml *y, const yaml_node_t *node, const char **path) {
  if (**path == '[') {
    char *end = NULL;
    unsigned long index = strtoul(*path + 1, &end, 10);
    if (node->type != YAML_SEQUENCE_NODE || *end != ']') return NULL;
    *path = end + 1;
    const yaml_node_item_t *start = node->data.sequence.items.start;
    size_t len = (size_t)(node->data.sequence.items.top - start);
    return index < len ? node_at(y, start[index]) : NULL;
  }
  if (**path == '.') (*path)++;
  size_t len = strcspn(*path, ".[");
  char name[128];
  if (len >= sizeof name) return NULL;
  memcpy(name, *path, len);
  name[len] = '\0';
  *path += len;
  return wn_yaml_member(y, node, name);
}

/* Where character (line, column) of a text value stands in the file. */
static void place_in_scalar(wn_yaml *y, const yaml_node_t *node, long *line, long *column) {
  long l = *line, c = *column;
  *line = (long)node->start_mark.line + 1;
  *column = (long)node->start_mark.column + 1;
  if (l <= 0 || node->type != YAML_SCALAR_NODE) return;
  yaml_scalar_style_t style = node->data.scalar.style;
  if (style == YAML_LITERAL_SCALAR_STYLE) {
    /* The text begins in the next line, behind its indentation. */
    size_t i = 0, indent = 0;
    for (long n = 0; n < *line + l - 1 && i < y->text.len; i++) n += y->text.ptr[i] == '\n';
    while (i + indent < y->text.len && y->text.ptr[i + indent] == ' ') indent++;
    *line += l;
    *column = (long)indent + c;
  } else if (l == 1 && style != YAML_FOLDED_SCALAR_STYLE) {
    *column += c - (style == YAML_PLAIN_SCALAR_STYLE ? 1 : 0);
  }
}

wn_status wn_yaml_place(wn_yaml *y, const yaml_node_t *base, const char *base_path) {
  if (y->err == NULL) return WN_E_CONFIG;
  if (y->err->status == WN_E_MEMORY) return WN_E_MEMORY;
  const yaml_node_t *node = base;
  size_t prefix = strlen(base_path);
  const char *rest = strncmp(y->err->field, base_path, prefix) == 0 ? y->err->field + prefix : "";
  while (*rest != '\0') {
    const yaml_node_t *next = path_step(y, node, &rest);
    if (next == NULL) break;
    node = next;
  }
  long line = y->err->line, column = y->err->column;
  place_in_scalar(y, node, &line, &column);
  y->err->status = WN_E_CONFIG;
  y->err->line = y->err->column = 0;
  return wn_error_at(y->err, y->file, line, column);
}
