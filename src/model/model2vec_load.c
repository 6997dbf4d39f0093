/* Reading a model2vec folder. Sizes and numbers are checked before anything is kept: every token
 * has a row, every row is finite, and a tokeniser that this code does not speak is refused by name.
 */
#include "model/model2vec_internal.h"

#include "base/mem.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define TOKENIZER_BYTES_MAX ((size_t)64 << 20)

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "none";
}

static bool flag_of(const json_t *object, const char *key, bool otherwise) {
  const json_t *value = json_object_get(object, key);
  return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static wn_status want(const json_t *part, const char *name, const char *type, wn_error *err) {
  if (strcmp(text_of(part, "type"), type) == 0) return WN_OK;
  return wn_fail(err, WN_E_UNSUPPORTED, name, "must be %s, is %.40s", type, text_of(part, "type"));
}

static wn_status read_pipeline(wn_wordpiece *w, const json_t *root, wn_error *err) {
  const json_t *normalizer = json_object_get(root, "normalizer");
  const json_t *model = json_object_get(root, "model");
  const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
  const json_t *chars = json_object_get(model, "max_input_chars_per_word");
  wn_status status;
  WN_TRY(want(model, "model", "WordPiece", err));
  WN_TRY(want(normalizer, "normalizer", "BertNormalizer", err));
  WN_TRY(want(json_object_get(root, "pre_tokenizer"), "pre_tokenizer", "BertPreTokenizer", err));
  w->clean = flag_of(normalizer, "clean_text", true);
  w->split_han = flag_of(normalizer, "handle_chinese_chars", true);
  w->lower = flag_of(normalizer, "lowercase", true);
  w->bare = flag_of(normalizer, "strip_accents", w->lower);
  if (prefix == NULL) prefix = "##";
  if (strlen(prefix) >= sizeof w->prefix)
    WN_TRY(wn_fail(err, WN_E_UNSUPPORTED, "continuing_subword_prefix", "is too long"));
  memcpy(w->prefix, prefix, strlen(prefix) + 1);
  json_int_t most = json_is_integer(chars) ? json_integer_value(chars) : 100;
  if (most < 1 || most > WN_WORDPIECE_CHARS_MAX)
    WN_TRY(wn_fail(err, WN_E_UNSUPPORTED, "max_input_chars_per_word", "must be 1 to %d",
                   WN_WORDPIECE_CHARS_MAX));
  w->chars_max = (uint32_t)most;
cleanup:
  return status;
}

/* The vocabulary's tokens by their ids, which are 0 … n − 1. */
static wn_status order_tokens(json_t *vocabulary, wn_str *token, uint32_t n, wn_error *err) {
  const char *key;
  json_t *value;
  json_object_foreach(vocabulary, key, value) {
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= (json_int_t)n || token[id].ptr != NULL)
      return wn_fail(err, WN_E_FORMAT, "vocab", "ids must be 0 to %u, each once", n - 1);
    token[id] = wn_str_of(key);
  }
  return WN_OK;
}

static wn_status read_tokens(wn_model2vec *m, json_t *root, wn_error *err) {
  json_t *model = json_object_get(root, "model"), *vocabulary = json_object_get(model, "vocab");
  size_t n = json_object_size(vocabulary);
  if (n < 1 || n > WN_MODEL2VEC_TOKENS_MAX)
    return wn_fail(err, WN_E_FORMAT, "vocab", "must hold 1 to %u tokens", WN_MODEL2VEC_TOKENS_MAX);
  m->tokens = (uint32_t)n;
  wn_str *token = wn_calloc(n, sizeof *token);
  m->split.tokens = wn_dict_create();
  wn_status status = WN_OK;
  if (token == NULL || m->split.tokens == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(order_tokens(vocabulary, token, m->tokens, err));
  for (uint32_t t = 0; t < m->tokens; t++) {
    uint32_t ix;
    bool added;
    if (wn_dict_add(m->split.tokens, token[t], &ix, &added) != WN_OK) WN_TRY(wn_fail_memory(err));
    if (token[t].len > m->split.token_bytes) m->split.token_bytes = (uint32_t)token[t].len;
  }
  m->split.unknown = wn_dict_find(m->split.tokens, wn_str_of(text_of(model, "unk_token")));
cleanup:
  wn_free(token);
  return status;
}

static wn_status read_tokenizer(wn_model2vec *m, const char *path, wn_error *err) {
  wn_buf text = {0};
  json_error_t why;
  json_t *root = NULL;
  wn_status status;
  WN_TRY(wn_read_file(path, TOKENIZER_BYTES_MAX, &text, err));
  root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &why);
  if (!json_is_object(root)) {
    status = wn_fail(err, WN_E_FORMAT, "", "is no JSON object: %s", root == NULL ? why.text : "");
    if (root == NULL) (void)wn_error_at(err, NULL, why.line, 0);
    goto cleanup;
  }
  WN_TRY(read_pipeline(&m->split, root, err));
  WN_TRY(read_tokens(m, root, err));
cleanup:
  json_decref(root);
  wn_buf_clear(&text);
  return status;
}

/* A tensor of one number a token, or none. */
static wn_status find_column(const wn_model2vec *m, wn_str bytes, const char *name, wn_matrix *out,
                             wn_error *err) {
  wn_error why = {0};
  wn_status status = wn_safetensors_find(bytes, name, out, &why);
  if (status == WN_E_NOT_FOUND) return WN_OK;
  if (status == WN_OK && (out->cols != 1 || out->rows != m->tokens))
    return wn_fail(err, WN_E_FORMAT, name, "must hold a number for each of the %u tokens",
                   m->tokens);
  if (status != WN_OK && err != NULL) *err = why;
  return status;
}

/* Each token's row and weight. Without a mapping row t is token t's. */
static wn_status read_columns(wn_model2vec *m, wn_str bytes, wn_error *err) {
  wn_matrix weights = {0}, mapping = {0};
  wn_status status = find_column(m, bytes, "weights", &weights, err);
  if (status == WN_OK) status = find_column(m, bytes, "mapping", &mapping, err);
  if (status != WN_OK) return status;
  uint32_t *row = wn_calloc(m->tokens, sizeof *row);
  float *weight = wn_calloc(m->tokens, sizeof *weight);
  m->owned[1] = row;
  m->owned[2] = weight;
  if (row == NULL || weight == NULL) return wn_fail_memory(err);
  for (uint32_t t = 0; t < m->tokens; t++) {
    float to = (float)t;
    weight[t] = 1;
    bool good = weights.data == NULL || wn_matrix_row(&weights, t, &weight[t]);
    good = good && (mapping.data == NULL || wn_matrix_row(&mapping, t, &to));
    if (!good || to < 0 || !(to < (float)m->embed.rows))
      return wn_fail(err, WN_E_FORMAT, "embeddings", "token %u has no row of %llu, or no weight", t,
                     (unsigned long long)m->embed.rows);
    row[t] = mapping.data == NULL ? t : (uint32_t)to;
  }
  m->row = row;
  m->weight = weight;
  return WN_OK;
}

static wn_status read_tensors(wn_model2vec *m, const char *path, wn_error *err) {
  wn_mapping mapping = {0};
  wn_status status;
  WN_TRY(wn_map_file(path, &mapping, err));
  wn_str bytes = {(const char *)mapping.data, mapping.size};
  WN_TRY(wn_safetensors_find(bytes, "embeddings", &m->embed, err));
  wn_matrix *e = &m->embed;
  if (e->type > WN_NUMBER_I8 || e->cols < 1 || e->cols > WN_VECTORS_D_MAX || e->rows < 1 ||
      e->rows > WN_MODEL2VEC_TOKENS_MAX)
    WN_TRY(wn_fail(err, WN_E_UNSUPPORTED, "embeddings", "must have 1 to %u rows of 1 to %u numbers",
                   WN_MODEL2VEC_TOKENS_MAX, WN_VECTORS_D_MAX));
  WN_TRY(read_columns(m, bytes, err));
  size_t size = e->rows * e->cols * wn_number_bytes(e->type);
  m->owned[0] = wn_malloc(size);
  if (m->owned[0] == NULL) WN_TRY(wn_fail_memory(err));
  memcpy(m->owned[0], e->data, size);
  e->data = m->owned[0];
  WN_TRY(wn_model2vec_check(m, err));
cleanup:
  wn_unmap_file(&mapping);
  return status;
}

wn_status wn_model2vec_load(const char *dir, wn_model2vec **out, wn_error *err) {
  wn_error why = {0};
  char path[PATH_MAX];
  wn_model2vec *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  snprintf(path, sizeof path, "%s/tokenizer.json", dir);
  wn_status status = read_tokenizer(m, path, &why);
  if (status == WN_OK) {
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    status = read_tensors(m, path, &why);
  }
  if (status == WN_OK) {
    *out = m;
    return WN_OK;
  }
  wn_model2vec_free(m);
  if (err != NULL) *err = why;
  (void)wn_error_at(err, path, 0, 0);
  return status;
}
