#include "fitting.h"
#include "model/train.h"
#include "model/vectors.h"
#include "model/vectors_file.h"
#include "model/wordpiece.h"
#include "tiny_model2vec.h"

#define ITEMS 300u
#define D     19u

/* Vectors of every item but each seventh; one of them zero. */
typedef struct given {
  float x[ITEMS][D];
  wn_item_ix item[ITEMS];
  uint32_t len;
} given;

static bool read_given(const void *ctx, uint32_t i, float *out) {
  const given *g = ctx;
  memcpy(out, g->x[g->item[i]], D * sizeof *out);
  return true;
}

static void make_given(given *g, wn_dataset *data) {
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  memset(g, 0, sizeof *g);
  for (uint32_t i = 0; i < ITEMS; i++) {
    if (i % 7 == 3) continue;
    for (uint32_t k = 0; k < D && i != 10; k++) g->x[i][k] = (float)(wn_rng_double(&rng) * 8 - 4);
    g->item[g->len++] = i;
  }
  *data = (wn_dataset){.items = ITEMS, .vectors = {g, g->len, D, g->item, read_given}};
}

static double cosine(const float *a, const float *b, uint32_t d) {
  double ab = 0, aa = 0, bb = 0;
  for (uint32_t k = 0; k < d; k++) {
    ab += (double)a[k] * (double)b[k];
    aa += (double)a[k] * (double)a[k];
    bb += (double)b[k] * (double)b[k];
  }
  return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : (double)-INFINITY;
}

static void assert_cosines(const wn_model *model, const wn_query *query, const float *asked,
                           const given *g) {
  float scores[ITEMS];
  assert_ok(model->cls->score_all(model, query, scores, ITEMS, err));
  for (uint32_t i = 0; i < ITEMS; i++) {
    double want = cosine(asked, g->x[i], D);
    if (query->history_len == 0 && i == query->anchor) want = (double)-INFINITY;
    if (!((double)scores[i] == want || fabs((double)scores[i] - want) < 1e-5))
      fail_msg("item %u: %g, not %g", i, (double)scores[i], want);
  }
  assert_twins(model, query, ITEMS);
}

static void test_cosines(void **state) {
  (void)state;
  given *g = wn_calloc(1, sizeof *g);
  wn_dataset data;
  make_given(g, &data);
  wn_model *model = fit(&wn_model_vectors, &data, "tau_query=2 history_max=3");
  for (uint32_t a = 0; a < ITEMS; a += 11) {
    wn_query query = {.anchor = a, .user = WN_NO_IX};
    assert_cosines(model, &query, g->x[a], g);
    uint32_t d = 0;
    const float *x = model->cls->item_vector(model, a, &d);
    assert_true((x != NULL) == (a % 7 != 3 && a != 10));
    if (x != NULL) assert_true(d == D && fabs(cosine(x, g->x[a], D) - 1) < 1e-6);
  }
  /* A disliked item, an unknown one, one without a vector, and one too many. */
  wn_history_entry history[] = {{.item = 4, .weight = 4, .time_ms = 90},
                                {.item = 11, .weight = -1, .time_ms = 80},
                                {.item = 3, .weight = 9, .time_ms = 70},
                                {.item = 9, .weight = 1, .time_ms = 60},
                                {.item = 8, .weight = 1, .time_ms = 50}};
  wn_query query = {.history = history, .history_len = 5, .user = WN_NO_IX, .anchor = 1};
  float profile[D];
  for (uint32_t k = 0; k < D; k++) {
    double own = 0, other = 0;
    for (uint32_t j = 0; j < D; j++) {
      own += (double)g->x[4][j] * (double)g->x[4][j];
      other += (double)g->x[9][j] * (double)g->x[9][j];
    }
    profile[k] =
        (float)(2 * (double)g->x[4][k] / sqrt(own) + exp(-1) * (double)g->x[9][k] / sqrt(other));
  }
  assert_cosines(model, &query, profile, g);
  history[3].weight = 0; /* no vector at all is left of the history: the anchor asks */
  query.history_len = 4;
  history[0].item = 10;
  float scores[ITEMS];
  assert_ok(model->cls->score_all(model, &query, scores, ITEMS, err));
  assert_true(fabs((double)scores[2] - cosine(g->x[1], g->x[2], D)) < 1e-5);
  model->cls->free(model);
  wn_free(g);
}

static void test_filter_and_snapshot(void **state) {
  (void)state;
  char path[128];
  given *g = wn_calloc(1, sizeof *g);
  wn_dataset data;
  make_given(g, &data);
  wn_model *model = fit(&wn_model_vectors, &data, "");
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, ITEMS));
  for (uint32_t i = 0; i < ITEMS; i += 64) wn_bitset_set(&allowed, i);
  wn_query query = {.anchor = 5, .user = WN_NO_IX, .allowed = &allowed};
  wn_scored out[ITEMS];
  size_t count = 0;
  assert_twins(model, &query, ITEMS);
  assert_ok(model->cls->candidates(model, &query, ITEMS, out, &count, err));
  assert_int_equal(count, 4); /* every allowed item with a vector, negative cosines too */
  save_to(model, scratch_path("vectors.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_vectors, path, &snapshot);
  assert_same_model(model, mapped);
  query.allowed = NULL;
  assert_cosines(mapped, &query, g->x[5], g);
  wn_item_record gone = {.id = WN_STR("x"), .status = WN_ITEM_DELETED};
  assert_ok(mapped->cls->update_item(mapped, 6, &gone, err));
  assert_ok(mapped->cls->update_item(mapped, 1000000, &gone, err));
  memset(g->x[6], 0, sizeof g->x[6]);
  wn_item_record put = {.id = WN_STR("x"), .title = WN_STR("new")}; /* keeps what was imported */
  assert_ok(mapped->cls->update_item(mapped, 7, &put, err));
  assert_cosines(mapped, &query, g->x[5], g);
  assert_same_model(model, mapped); /* a snapshot holds what the fit found */
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  wn_bitset_clear(&allowed);
  model->cls->free(model);
  wn_free(g);
}

static void test_empty(void **state) {
  (void)state;
  char path[128];
  wn_dataset data = {.items = 5};
  wn_model *model = fit(&wn_model_vectors, &data, "");
  wn_item_record item = {.id = WN_STR("x"), .title = WN_STR("red boat")};
  wn_query query = {.anchor = 0, .user = WN_NO_IX};
  assert_ok(model->cls->update_item(model, 2, &item, err));
  assert_twins(model, &query, 5);
  save_to(model, scratch_path("empty.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_vectors, path, &snapshot);
  assert_twins(mapped, &query, 5);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  model->cls->free(model);
}

static void test_bad_sections(void **state) {
  (void)state;
  char path[128];
  scratch_path("bad.wns", path, sizeof path);
  for (int bad = 0; bad < 10; bad++) {
    wn_vectors_head head = {1, 4, 2, 2, 30, 0, 10};
    wn_item_ix item_of[2] = {1, 3};
    float rows[4] = {1, 0, 0.6f, 0.8f};
    if (bad == 1) head.version = 2;
    if (bad == 2) head.count = 5;
    if (bad == 3) head.d = WN_VECTORS_D_MAX + 1;
    if (bad == 4) head.tau_query = (double)NAN;
    if (bad == 5) item_of[1] = 1;
    if (bad == 6) item_of[1] = 4;
    if (bad == 7) rows[0] = 2;
    if (bad == 8) rows[1] = NAN;
    if (bad == 9) head.encodes = 1; /* and no encoder */
    wn_snapshot_writer *writer;
    assert_ok(wn_snapshot_writer_create(path, &writer, err));
    assert_ok(wn_snapshot_write(writer, "vectors/head", &head, sizeof head, err));
    assert_ok(wn_snapshot_write(writer, "vectors/item_of", item_of, sizeof item_of, err));
    assert_ok(wn_snapshot_write(writer, "vectors/rows", rows, sizeof rows, err));
    assert_ok(wn_snapshot_writer_finish(writer, &(wn_snapshot_about){.number = 1}, err));
    wn_snapshot *snapshot;
    wn_model *model = NULL;
    wn_error why = {0};
    assert_int_equal(wn_snapshot_open(path, &snapshot, &why), WN_OK);
    wn_status status = wn_model_vectors.map(snapshot, &model, &why);
    if (bad == 0) {
      assert_int_equal(status, WN_OK);
      model->cls->free(model);
    } else if (status != WN_E_CORRUPT && status != WN_E_NOT_FOUND) {
      fail_msg("case %d was accepted", bad);
    }
    wn_snapshot_unref(snapshot);
  }
  unlink(path);
}

/* ---- imports ---- */

static void write_text(const char *path, const void *bytes, size_t len) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  fwrite(bytes, 1, len, file);
  fclose(file);
}

static wn_status import(const char *dir, float *x, const char *ids, wn_vectors_report *report,
                        wn_error *err) {
  static const char head[] =
      "\x93NUMPY\1\0\x36\0{'descr':'<f4','fortran_order':False,'shape':(3,2)}   ";
  char npy[256], a[160], b[160];
  memcpy(npy, head, sizeof head - 1);
  assert_int_equal(sizeof head - 1, 64);
  memcpy(npy + 64, x, 6 * sizeof *x);
  snprintf(a, sizeof a, "%s/x.npy", dir);
  snprintf(b, sizeof b, "%s/x.ids", dir);
  write_text(a, npy, 64 + 6 * sizeof *x);
  write_text(b, ids, strlen(ids));
  wn_status status = wn_vectors_import(dir, a, b, report, err);
  unlink(a);
  unlink(b);
  return status;
}

static void test_import(void **state) {
  (void)state;
  char dir[128], path[160];
  float x[6] = {3, 4, 0, 0, 5, 6};
  wn_vectors_report report;
  wn_vectors_file file;
  wn_error why = {0};
  scratch_path("data", dir, sizeof dir);
  assert_ok(wn_make_dir(dir, err));
  wn_dict *items = wn_dict_create();
  const char *names[] = {"other", "c", "a", "late"};
  for (size_t i = 0; i < 4; i++) {
    uint32_t ix;
    bool added;
    assert_int_equal(wn_dict_add(items, wn_str_of(names[i]), &ix, &added), WN_OK);
  }
  assert_ok(wn_vectors_open(dir, items, 4, &file, err));
  assert_int_equal(file.vectors.len, 0);
  wn_vectors_close(&file);
  assert_int_equal(import(dir, x, "a\r\nb\nc", &report, &why), WN_OK);
  assert_true(report.vectors == 3 && report.zero == 1 && report.d == 2);
  assert_ok(wn_vectors_open(dir, items, 4, &file, err));
  float row[2];
  assert_true(file.vectors.len == 2 && file.vectors.d == 2);
  assert_true(file.vectors.item[0] == 1 && file.vectors.item[1] == 2); /* c, a */
  assert_true(file.vectors.read(file.vectors.ctx, 0, row) && row[0] == 5 && row[1] == 6);
  assert_true(file.vectors.read(file.vectors.ctx, 1, row) && row[0] == 3 && row[1] == 4);
  wn_vectors_close(&file);

  static const struct {
    const char *ids, *says;
    long line;
  } bad[] = {{"a\nb\n", "fewer lines", 0},
             {"a\nb\nc\nd\n", "more lines", 0},
             {"a\nb\na\n", "line 1 already", 3},
             {"a\n\nc\n", "", 2},
             {"a\nb\n\xff\n", "", 3}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    why = (wn_error){0};
    assert_int_not_equal(import(dir, x, bad[i].ids, &report, &why), WN_OK);
    if (strstr(why.message, bad[i].says) == NULL || why.line != bad[i].line ||
        strstr(why.file, "x.ids") == NULL)
      fail_msg("%s:%ld: %s", why.file, why.line, why.message);
  }
  x[3] = NAN;
  assert_int_equal(import(dir, x, "a\nb\nc\n", &report, &why), WN_E_FORMAT);
  assert_non_null(strstr(why.message, "row 1 "));
  x[3] = 1;
  /* Nothing of a failed import is left, and the next one replaces the first. */
  assert_ok(wn_vectors_open(dir, items, 4, &file, err));
  assert_int_equal(file.vectors.len, 2);
  wn_vectors_close(&file);
  assert_int_equal(import(dir, x, "late\nother\nnobody\n", &report, &why), WN_OK);
  assert_ok(wn_vectors_open(dir, items, 3, &file, err)); /* `late` came after the data set's size */
  assert_true(file.vectors.len == 1 && file.vectors.item[0] == 0);
  wn_vectors_close(&file);
  snprintf(path, sizeof path, "%s/vectors.wns", dir);
  write_text(path, "broken", 6);
  assert_int_equal(wn_vectors_open(dir, items, 3, &file, &why), WN_E_CORRUPT);
  unlink(path);
  rmdir(dir);
  wn_dict_free(items);
}

/* ---- texts ---- */

static bool note_token(void *ctx, uint32_t token) {
  char *out = ctx;
  size_t at = strlen(out);
  snprintf(out + at, 200 - at, "%d ", (int)token);
  return true;
}

static void test_wordpiece(void **state) {
  (void)state;
  static const char *const tokens[] = {
      "un", "##believ",     "##able",       "cafe",           "a",     "##a",
      ",",  "\xe6\x9d\xb1", "\xe1\x84\x80", "##\xe1\x85\xa1", "[UNK]", "##un"};
  wn_wordpiece w = {.tokens = wn_dict_create(),
                    .unknown = 10,
                    .chars_max = 12,
                    .prefix = "##",
                    .token_bytes = 10,
                    .clean = true,
                    .split_han = true,
                    .bare = true,
                    .lower = true};
  for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
    uint32_t ix;
    bool added;
    assert_int_equal(wn_dict_add(w.tokens, wn_str_of(tokens[i]), &ix, &added), WN_OK);
  }
  static const char *const cases[][2] = {
      {"", ""},
      {"Unbelievable, CAF\xc3\x89!", "0 1 2 6 3 -1 "},
      {"cafe\xcc\x81", "3 "}, /* e and a combining accent */
      {"a\xe6\x9d\xb1"
       "aa \xe6\x9d\xb1",
       "4 7 4 5 7 "},           /* Han characters stand alone */
      {"\xea\xb0\x80", "8 9 "}, /* a Hangul syllable is its letters */
      {"\xe2\x80\x8b"
       "a\x01"
       "a\xc2\xa0"
       "aa",
       "4 5 4 5 "}, /* controls go, blanks part */
      {"unx unun ununx", "-1 0 11 -1 "},
      {"aaaaaaaaaaaa aaaaaaaaaaaaa", "4 5 5 5 5 5 5 5 5 5 5 5 -1 "}, /* 12 and 13 letters */
      {"\xff\xfe"
       "a",
       "4 "},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char got[200] = "";
    assert_true(wn_wordpiece_split(&w, wn_str_of(cases[i][0]), note_token, got));
    assert_string_equal(got, cases[i][1]);
  }
  w.lower = w.bare = false;
  char got[200] = "";
  assert_true(wn_wordpiece_split(&w, WN_STR("Un un caf\xc3\x89"), note_token, got));
  assert_string_equal(got, "-1 0 -1 ");
  wn_dict_free(w.tokens);
}

static const char *const texts[][2] = {{"red boats", "a green lake."}, {"Red  Boat", NULL},
                                       {"unknown words", NULL},        {NULL, "TREE tree lakes"},
                                       {"green boat", "lake lake"},    {NULL, NULL}};
#define TEXTS 6u

static wn_item_record text_item(uint32_t i) {
  return (wn_item_record){
      .id = WN_STR("x"), .title = wn_str_of(texts[i][0]), .text = wn_str_of(texts[i][1])};
}

static wn_status
scan_texts(void *ctx, wn_status (*each)(void *, wn_item_ix, const wn_item_record *, wn_error *),
           void *each_ctx, wn_error *err) {
  for (uint32_t i = 0; i < *(uint32_t *)ctx; i++) {
    wn_item_record item = text_item(i);
    wn_status status = each(each_ctx, i, &item, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

/* By hand: which tokens the texts hold. */
static void text_vector(uint32_t i, float *out) {
  static const int of[TEXTS][6] = {{2, 4, 6, 3, 5, 8}, {2, 4},       {0},
                                   {7, 7, 5, 6},       {3, 4, 5, 5}, {0}};
  memset(out, 0, TINY_D * sizeof *out);
  for (int n = 0; n < 6 && of[i][n] != 0; n++)
    for (int k = 0; k < TINY_D; k++) out[k] += tiny_embedding(of[i][n], k);
}

static void assert_texts(const wn_model *model, uint32_t known) {
  for (uint32_t a = 0; a < known; a++) {
    float scores[TEXTS], x[TINY_D], y[TINY_D];
    wn_query query = {.anchor = a, .user = WN_NO_IX};
    assert_ok(model->cls->score_all(model, &query, scores, TEXTS, err));
    text_vector(a, x);
    for (uint32_t i = 0; i < TEXTS; i++) {
      text_vector(i, y);
      double want = i == a || i >= known ? (double)-INFINITY : cosine(x, y, TINY_D);
      assert_true((double)scores[i] == want || fabs((double)scores[i] - want) < 1e-5);
    }
    assert_twins(model, &query, TEXTS);
  }
}

static void test_model2vec(void **state) {
  (void)state;
  char folder[128], path[128];
  uint32_t known = 3;
  wn_train_options options = {0};
  wn_dataset data = {.items = 4, .items_source = {&known, scan_texts}};
  wn_params params = params_of(&wn_model_vectors, "");
  tiny_model2vec(scratch_path("tiny", folder, sizeof folder));
  snprintf(options.model2vec, sizeof options.model2vec, "%s", folder);
  wn_fit_env env = {.run = &options};
  wn_model *model = NULL;
  for (long n = 0; model == NULL; n++) {
    wn_mem_fail_after(n);
    wn_status status = wn_model_vectors.fit(&data, &params, &env, &model, NULL);
    wn_mem_fail_after(-1);
    if (model == NULL && status != WN_E_MEMORY && status != WN_E_FORMAT) fail_msg("%d", status);
  }
  assert_texts(model, known);
  save_to(model, scratch_path("m.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_vectors, path, &snapshot);
  assert_same_model(model, mapped);
  for (uint32_t i = 3; i < TEXTS;
       i++) { /* what is put later is read by the snapshot's own encoder */
    wn_item_record item = text_item(i), other = text_item(0);
    assert_ok(mapped->cls->update_item(mapped, i, &other, err));
    bool done = false;
    for (long n = 0; !done; n++) {
      wn_mem_fail_after(n);
      done = mapped->cls->update_item(mapped, i, &item, NULL) == WN_OK;
      wn_mem_fail_after(-1);
    }
    assert_texts(mapped, i + 1);
  }
  wn_item_record gone = {.id = WN_STR("x"), .status = WN_ITEM_DELETED}, back = text_item(4);
  assert_ok(mapped->cls->update_item(mapped, 4, &gone, err));
  uint32_t d;
  assert_null(mapped->cls->item_vector(mapped, 4, &d));
  assert_ok(mapped->cls->update_item(mapped, 4, &back, err));
  assert_texts(mapped, TEXTS);
  for (int round = 0; round < 100; round++) /* a row is written again, not added to */
    assert_ok(mapped->cls->update_item(mapped, 3, &(wn_item_record){.title = WN_STR("lake")}, err));
  assert_true(((const wn_vectors *)mapped)->later_item.len <= 6);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  model->cls->free(model);
  given *g = wn_calloc(1, sizeof *g);
  make_given(g, &data);
  wn_error why = {0};
  assert_int_equal(wn_model_vectors.fit(&data, &params, &env, &model, &why), WN_E_CONFLICT);
  wn_free(g);
  tiny_remove(folder);
}

static void test_model2vec_refused(void **state) {
  (void)state;
  static const struct {
    const char *tokenizer, *says;
  } bad[] = {
      {"", "is no JSON"},
      {"[]", "is no JSON"},
      {"{}", "must be WordPiece, is none"},
      {"{\"model\":{\"type\":\"Unigram\"}}", "must be WordPiece, is Unigram"},
      {"{\"model\":{\"type\":\"WordPiece\"},\"normalizer\":{\"type\":\"NFC\"}}",
       "BertNormalizer, is NFC"},
      {"{\"model\":{\"type\":\"WordPiece\"},\"normalizer\":{\"type\":\"BertNormalizer\"},"
       "\"pre_tokenizer\":{\"type\":\"Metaspace\"}}",
       "BertPreTokenizer, is Metaspace"},
      {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}},\"normalizer\":{\"type\":"
       "\"BertNormalizer\"},"
       "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}}",
       "must hold 1 to"},
      {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0,\"b\":0}},\"normalizer\":{\"type\":"
       "\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}}",
       "each once"},
      {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0,\"b\":2}},\"normalizer\":{\"type\":"
       "\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}}",
       "0 to 1"},
  };
  char folder[128];
  wn_model2vec *m = NULL;
  wn_error why = {0};
  scratch_path("bad", folder, sizeof folder);
  assert_int_equal(wn_model2vec_load(folder, &m, &why), WN_E_NOT_FOUND);
  tiny_model2vec(folder);
  assert_int_equal(wn_model2vec_load(folder, &m, &why), WN_OK);
  wn_model2vec_free(m);
  /* More tokens than rows, then numbers that are none. */
  tiny_write(folder, "model.safetensors",
             "\x40\0\0\0\0\0\0\0{\"embeddings\":{\"dtype\":\"F16\",\"shape\":[1,1],\"data_"
             "offsets\":[0,2]}}\0\x3c",
             8 + 64 + 2);
  assert_int_not_equal(wn_model2vec_load(folder, &m, &why), WN_OK);
  tiny_model2vec(folder);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tiny_write(folder, "tokenizer.json", bad[i].tokenizer, strlen(bad[i].tokenizer));
    why = (wn_error){0};
    assert_int_not_equal(wn_model2vec_load(folder, &m, &why), WN_OK);
    if (strstr(why.message, bad[i].says) == NULL) fail_msg("%zu: %s", i, why.message);
  }
  tiny_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cosines),   cmocka_unit_test(test_filter_and_snapshot),
      cmocka_unit_test(test_empty),     cmocka_unit_test(test_bad_sections),
      cmocka_unit_test(test_import),    cmocka_unit_test(test_wordpiece),
      cmocka_unit_test(test_model2vec), cmocka_unit_test(test_model2vec_refused),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
