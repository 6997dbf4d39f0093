/* Source: Tulkens and van Dongen, "Model2Vec: Fast State-of-the-Art Static Embeddings" (2024) and
 * its library's StaticModel.encode: the first 512 tokens, without [UNK], are looked up and
 * averaged; with a vocabulary that was quantised, each by its own weight and through a mapping.
 *
 * Departures: the caller normalises in any case, for all that is asked is cosines; texts are cut by
 * tokens alone and not by characters before that.
 *
 * A snapshot takes the encoder along as it is (30,000 tokens of 256 float32: 31 MB), so that
 * serving needs no other file and a rollback brings its own back. Costs: a look-up a piece of a
 * word and d additions a token. */
#include "model/model2vec_internal.h"

#include "base/mem.h"
#include "base/simd/simd.h"
#include "base/vec.h"
#include "model/section.h"

#include <string.h>

#define TEXT_TOKENS_MAX 512

/* Snapshot section "vectors/embed_head". */
typedef struct embed_head {
  uint32_t version;
  uint32_t tokens;
  uint32_t rows;
  uint32_t type; /* wn_number_type */
  uint32_t unknown;
  uint32_t chars_max;
  uint8_t clean, split_han, bare, lower;
  char prefix[WN_WORDPIECE_PREFIX_MAX];
} embed_head;

void wn_model2vec_free(wn_model2vec *m) {
  if (m == NULL) return;
  wn_dict_free(m->split.tokens);
  for (size_t i = 0; i < 3; i++) wn_free(m->owned[i]);
  wn_free(m);
}

uint32_t wn_model2vec_d(const wn_model2vec *m) {
  return (uint32_t)m->embed.cols;
}

wn_status wn_model2vec_check(const wn_model2vec *m, wn_error *err) {
  float row[WN_VECTORS_D_MAX];
  for (uint64_t r = 0; r < m->embed.rows; r++)
    if (!wn_matrix_row(&m->embed, r, row))
      return wn_fail(err, WN_E_CORRUPT, "embeddings", "row %llu holds a number that is not finite",
                     (unsigned long long)r);
  return WN_OK;
}

typedef struct sum {
  const wn_model2vec *m;
  float *out;
  uint32_t read, known; /* tokens */
} sum;

static bool add_token(void *ctx, uint32_t token) {
  sum *s = ctx;
  if (s->read++ == TEXT_TOKENS_MAX) return false;
  if (token == WN_NO_IX) return true;
  float row[WN_VECTORS_D_MAX];
  (void)wn_matrix_row(&s->m->embed, s->m->row[token], row);
  wn_simd()->axpy(s->m->weight[token], row, s->out, s->m->embed.cols);
  s->known++;
  return true;
}

bool wn_model2vec_encode(const wn_model2vec *m, const wn_item_record *item, float *out) {
  sum s = {.m = m, .out = out};
  memset(out, 0, m->embed.cols * sizeof *out);
  if (wn_wordpiece_split(&m->split, item->title, add_token, &s))
    (void)wn_wordpiece_split(&m->split, item->text, add_token, &s);
  if (s.known > 0) wn_simd()->scale(1.0f / (float)s.known, out, m->embed.cols);
  return s.known > 0;
}

/* ---- snapshots ---- */

static wn_status save_tokens(const wn_model2vec *m, wn_snapshot_writer *writer, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf text = {0};
  WN_VEC(uint64_t) ptr = {0};
  bool room = wn_vec_push(&ptr, 0);
  for (uint32_t t = 0; room && t < m->tokens; t++) {
    wn_str token = wn_dict_key(m->split.tokens, t);
    wn_buf_append(&text, token.ptr, token.len);
    room = wn_vec_push(&ptr, text.len);
  }
  if (!room || text.failed) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_snapshot_write(writer, "vectors/token_ptr", ptr.data, ptr.len * sizeof *ptr.data, err));
  WN_TRY(wn_snapshot_write(writer, "vectors/tokens", text.data, text.len, err));
cleanup:
  wn_vec_clear(&ptr);
  wn_buf_clear(&text);
  return status;
}

wn_status wn_model2vec_save(const wn_model2vec *m, wn_snapshot_writer *writer, wn_error *err) {
  const wn_wordpiece *w = &m->split;
  wn_status status;
  embed_head head = {.version = 1,
                     .tokens = m->tokens,
                     .rows = (uint32_t)m->embed.rows,
                     .type = m->embed.type,
                     .unknown = w->unknown,
                     .chars_max = w->chars_max,
                     .clean = w->clean,
                     .split_han = w->split_han,
                     .bare = w->bare,
                     .lower = w->lower};
  memcpy(head.prefix, w->prefix, sizeof head.prefix);
  WN_TRY(wn_snapshot_write(writer, "vectors/embed_head", &head, sizeof head, err));
  WN_TRY(wn_snapshot_write(writer, "vectors/embed", m->embed.data,
                           m->embed.rows * m->embed.cols * wn_number_bytes(m->embed.type), err));
  WN_TRY(save_tokens(m, writer, err));
  WN_TRY(wn_snapshot_write(writer, "vectors/token_row", m->row, m->tokens * sizeof *m->row, err));
  WN_TRY(wn_snapshot_write(writer, "vectors/token_weight", m->weight, m->tokens * sizeof *m->weight,
                           err));
cleanup:
  return status;
}

static wn_status map_head(wn_model2vec *m, const wn_snapshot *snapshot, wn_error *err) {
  const void *data;
  wn_status status =
      wn_section_array(snapshot, "vectors/embed_head", sizeof(embed_head), 1, &data, err);
  if (status != WN_OK) return status;
  const embed_head *h = data;
  if (h->version != 1 || h->tokens > WN_MODEL2VEC_TOKENS_MAX || h->type > WN_NUMBER_I8 ||
      h->chars_max > WN_WORDPIECE_CHARS_MAX || (h->clean | h->split_han | h->bare | h->lower) > 1 ||
      memchr(h->prefix, '\0', sizeof h->prefix) == NULL)
    return wn_fail(err, WN_E_CORRUPT, "vectors/embed_head", "values are out of range");
  m->tokens = h->tokens;
  m->embed.rows = h->rows;
  m->embed.type = (wn_number_type)h->type;
  m->split = (wn_wordpiece){.unknown = h->unknown,
                            .chars_max = h->chars_max,
                            .clean = h->clean != 0,
                            .split_han = h->split_han != 0,
                            .bare = h->bare != 0,
                            .lower = h->lower != 0};
  memcpy(m->split.prefix, h->prefix, sizeof h->prefix);
  return WN_OK;
}

static wn_status map_tokens(wn_model2vec *m, const wn_snapshot *snapshot, wn_error *err) {
  const uint64_t *ptr;
  const void *text;
  uint64_t bytes;
  wn_status status;
  m->split.tokens = wn_dict_create();
  if (m->split.tokens == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_section_offsets(snapshot, "vectors/token_ptr", m->tokens, &ptr, &bytes, err));
  WN_TRY(wn_section_array(snapshot, "vectors/tokens", 1, bytes, &text, err));
  for (uint32_t t = 0; t < m->tokens; t++) {
    wn_str token = {(const char *)text + ptr[t], (size_t)(ptr[t + 1] - ptr[t])};
    bool added;
    uint32_t ix;
    WN_TRY(wn_dict_add(m->split.tokens, token, &ix, &added));
    if (!added) WN_TRY(wn_fail(err, WN_E_CORRUPT, "vectors/tokens", "a token comes twice"));
    if (token.len > m->split.token_bytes) m->split.token_bytes = (uint32_t)token.len;
  }
  WN_TRY(wn_section_indexes(snapshot, "vectors/token_row", m->tokens, (uint32_t)m->embed.rows,
                            &m->row, err));
  WN_TRY(wn_section_floats(snapshot, "vectors/token_weight", m->tokens, &m->weight, err));
cleanup:
  return status;
}

wn_status wn_model2vec_map(const wn_snapshot *snapshot, uint32_t d, wn_model2vec **out,
                           wn_error *err) {
  const void *embed;
  wn_status status;
  wn_model2vec *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  WN_TRY(map_head(m, snapshot, err));
  m->embed.cols = d;
  WN_TRY(wn_section_array(snapshot, "vectors/embed", wn_number_bytes(m->embed.type),
                          m->embed.rows * d, &embed, err));
  m->embed.data = embed;
  WN_TRY(wn_model2vec_check(m, err));
  WN_TRY(map_tokens(m, snapshot, err));
  *out = m;
  m = NULL;
cleanup:
  wn_model2vec_free(m);
  return status;
}
