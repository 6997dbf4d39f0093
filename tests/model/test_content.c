#include "fitting.h"
#include "model/content.h"
#include "model/text.h"

#define ITEMS 60u

/* A catalogue in memory. */
typedef struct catalogue {
  char title[ITEMS + 10][64];
  char text[ITEMS + 10][256];
  wn_attr attr[ITEMS + 10][2];
  wn_str tags[ITEMS + 10][2];
  char group[ITEMS + 10][16];
  uint32_t len;
  bool backwards;
} catalogue;

static wn_item_record record_of(const catalogue *c, uint32_t i) {
  return (wn_item_record){.id = WN_STR("x"),
                          .title = wn_str_of(c->title[i]),
                          .text = wn_str_of(c->text[i]),
                          .attrs = {c->attr[i], 2},
                          .status = WN_ITEM_ACTIVE};
}

static wn_status scan(void *ctx,
                      wn_status (*each)(void *, wn_item_ix, const wn_item_record *, wn_error *),
                      void *each_ctx, wn_error *err) {
  const catalogue *c = ctx;
  for (uint32_t k = 0; k < c->len; k++) {
    uint32_t i = c->backwards ? c->len - 1 - k : k;
    wn_item_record item = record_of(c, i);
    wn_status status = each(each_ctx, i, &item, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

/* Words w0 … w49, each item from one of five topics; a section and two tags. */
static void make_catalogue(catalogue *c, uint64_t seed, uint32_t len) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  memset(c, 0, sizeof *c);
  c->len = len;
  for (uint32_t i = 0; i < ITEMS + 10; i++) {
    uint32_t topic = i % 5;
    snprintf(c->title[i], sizeof c->title[i], "Tool w%u only%u", topic * 10 + i % 3, i);
    for (int k = 0; k < 12; k++) {
      size_t at = strlen(c->text[i]);
      uint64_t word = topic * 10 + wn_rng_below(&rng, k < 9 ? 10 : 50);
      snprintf(c->text[i] + at, sizeof c->text[i] - at, " w%u", (unsigned)(word % 50));
    }
    snprintf(c->group[i], sizeof c->group[i], "Group%u", topic);
    c->tags[i][0] = topic % 2 ? WN_STR("Odd") : WN_STR("even");
    c->tags[i][1] = i % 3 ? WN_STR("common thing") : WN_STR("third thing");
    c->attr[i][0] = (wn_attr){
        .name = WN_STR("section"), .kind = WN_ATTR_STRING, .string = wn_str_of(c->group[i])};
    c->attr[i][1] =
        (wn_attr){.name = WN_STR("tag"), .kind = WN_ATTR_LIST, .list = c->tags[i], .list_len = 2};
  }
}

static wn_model *fit_catalogue(catalogue *c, uint32_t items, const char *text) {
  char all[256];
  wn_dataset data = {.items = items};
  data.items_source = (wn_item_source){c, scan};
  snprintf(all, sizeof all, "df_max=.25 %s", text);
  return fit(&wn_model_content, &data, all);
}

/* ---- the naive twin: strings, dense vectors, brute force ---- */

#define WORDS_MAX 700

typedef struct naive {
  char word[WORDS_MAX][64];
  wn_term_kind kind[WORDS_MAX];
  uint32_t words;
  double count[ITEMS + 10][WORDS_MAX];
  double vector[ITEMS + 10][WORDS_MAX];
  double length[ITEMS + 10];
} naive;

static void naive_add(naive *n, uint32_t item, const char *word, double count, wn_term_kind kind) {
  uint32_t w = 0;
  while (w < n->words && strcmp(n->word[w], word) != 0) w++;
  if (w == n->words) {
    assert_true(n->words < WORDS_MAX);
    snprintf(n->word[n->words++], sizeof n->word[w], "%s", word);
  }
  n->kind[w] = kind;
  n->count[item][w] += count;
  if (kind == WN_TERM_WORD) n->length[item] += count;
}

static void naive_words(naive *n, uint32_t item, const char *text, double count) {
  char copy[256], *rest = copy, *part;
  snprintf(copy, sizeof copy, "%s", text);
  while ((part = strsep(&rest, " ")) != NULL) {
    if (*part == 'T') *part = 't';
    if (*part != '\0') naive_add(n, item, part, count, WN_TERM_WORD);
  }
}

/* Four letters of "<word>" at a time, named by a mark of their own. */
static void naive_ngrams(naive *n, uint32_t item, const char *text, double count) {
  char copy[256], *rest = copy, *part;
  snprintf(copy, sizeof copy, "%s", text);
  while ((part = strsep(&rest, " ")) != NULL) {
    char framed[80], gram[8];
    if (*part == 'T') *part = 't';
    snprintf(framed, sizeof framed, "<%s>", part);
    for (size_t i = 0; i == 0 || i + 4 <= strlen(framed); i++) {
      snprintf(gram, sizeof gram, "\1%.4s", framed + i);
      naive_add(n, item, gram, count, WN_TERM_NGRAM);
    }
  }
}

#define SHARE 0.1

/* N-grams to a square of SHARE, the rest to one of 1 − SHARE. */
static void naive_scale(const naive *n, double *vector) {
  double square[2] = {0, 0};
  for (uint32_t w = 0; w < n->words; w++)
    square[n->kind[w] == WN_TERM_NGRAM] += vector[w] * vector[w];
  for (uint32_t w = 0; w < n->words; w++) {
    bool ngram = n->kind[w] == WN_TERM_NGRAM;
    if (square[ngram] > 0) vector[w] *= sqrt((ngram ? SHARE : 1 - SHARE) / square[ngram]);
  }
}

/* Vectors of items 0 … all − 1 by the statistics of items 0 … fitted − 1. */
static naive *naive_of(const catalogue *c, uint32_t fitted, uint32_t all) {
  naive *n = wn_calloc(1, sizeof *n);
  double mean = 0;
  for (uint32_t i = 0; i < all; i++) {
    char section[32];
    naive_words(n, i, c->title[i], 2);
    naive_ngrams(n, i, c->title[i], 2);
    naive_words(n, i, c->text[i], 1);
    snprintf(section, sizeof section, "section:group%u", i % 5);
    naive_add(n, i, section, 1, WN_TERM_ATTRIBUTE);
    naive_add(n, i, i % 5 % 2 ? "tag:odd" : "tag:even", 1, WN_TERM_ATTRIBUTE);
    naive_add(n, i, i % 3 ? "tag:common thing" : "tag:third thing", 1, WN_TERM_ATTRIBUTE);
    if (i < fitted) mean += n->length[i] / fitted;
  }
  for (uint32_t w = 0; w < n->words; w++) {
    double df = 0;
    for (uint32_t i = 0; i < fitted; i++) df += n->count[i][w] > 0;
    bool attribute = n->kind[w] == WN_TERM_ATTRIBUTE;
    bool kept = df >= 2 && df <= fmax(16, floor((attribute ? 0.5 : 0.25) * fitted));
    double idf = log(1 + (fitted - df + .5) / (df + .5));
    for (uint32_t i = 0; i < all; i++) {
      double f = n->count[i][w];
      double soft = attribute ? 1 : 1 - .75 + .75 * n->length[i] / mean;
      n->vector[i][w] = kept ? idf * f * 2.2 / (f + 1.2 * soft) : 0;
    }
  }
  for (uint32_t i = 0; i < all; i++) naive_scale(n, n->vector[i]);
  return n;
}

static void assert_cosines(const wn_model *model, const wn_query *query, const double *asked,
                           const naive *n, uint32_t items) {
  float scores[ITEMS + 10];
  assert_ok(model->cls->score_all(model, query, scores, items, err));
  for (uint32_t i = 0; i < items; i++) {
    double cosine = 0;
    for (uint32_t w = 0; w < n->words; w++) cosine += asked[w] * n->vector[i][w];
    if (cosine < 1e-9 || (query->history_len == 0 && i == query->anchor)) {
      assert_true(scores[i] == -INFINITY);
    } else if (!(fabs(cosine - (double)scores[i]) < 1e-5)) {
      fail_msg("item %u: %g, not %g", i, (double)scores[i], cosine);
    }
  }
}

static void test_cosine(void **state) {
  (void)state;
  catalogue c;
  make_catalogue(&c, 41, ITEMS);
  wn_model *model = fit_catalogue(&c, ITEMS, "");
  naive *n = naive_of(&c, ITEMS, ITEMS);
  for (uint32_t a = 0; a < ITEMS; a++) {
    wn_query query = {.anchor = a, .user = WN_NO_IX};
    assert_cosines(model, &query, n->vector[a], n, ITEMS);
    assert_twins(model, &query, ITEMS);
  }
  wn_free(n);
  model->cls->free(model);
}

static void test_profile(void **state) {
  (void)state;
  catalogue c;
  make_catalogue(&c, 42, ITEMS);
  wn_model *model = fit_catalogue(&c, ITEMS, "tau_query=2 history_max=3");
  naive *n = naive_of(&c, ITEMS, ITEMS);
  wn_history_entry history[6] = {{4, 4, 90}, {11, -1, 80}, {5000, 1, 75},
                                 {9, 1, 70}, {23, 1, 70},  {24, 1, 60}};
  wn_query query = {.history = history, .history_len = 6, .user = WN_NO_IX, .anchor = 1};
  double profile[WORDS_MAX];
  for (uint32_t w = 0; w < n->words; w++) {
    profile[w] = 2 * n->vector[4][w] + exp(-.5) * (n->vector[9][w] + n->vector[23][w]);
  }
  naive_scale(n, profile);
  assert_cosines(model, &query, profile, n, ITEMS);
  assert_twins(model, &query, ITEMS);
  history[0].weight = history[3].weight = history[4].weight = history[5].weight = -1;
  query.anchor = WN_NO_IX;
  wn_scored out[4];
  size_t count = 9;
  assert_ok(model->cls->candidates(model, &query, 4, out, &count, err));
  assert_int_equal(count, 0); /* dislikes alone say nothing */
  wn_free(n);
  model->cls->free(model);
}

/* Items put after the fit: candidates and anchors at once, changed, deleted, put again. */
static void test_updates(void **state) {
  (void)state;
  catalogue c;
  make_catalogue(&c, 43, ITEMS);
  wn_model *model = fit_catalogue(&c, ITEMS, "");
  naive *n = naive_of(&c, ITEMS, ITEMS + 10);
  for (uint32_t i = ITEMS; i < ITEMS + 10; i++) {
    wn_item_record item = record_of(&c, i);
    assert_ok(model->cls->update_item(model, i, &item, err));
  }
  for (uint32_t a = 0; a < ITEMS + 10; a++) {
    wn_query query = {.anchor = a, .user = WN_NO_IX};
    assert_cosines(model, &query, n->vector[a], n, ITEMS + 10);
    assert_twins(model, &query, ITEMS + 10);
  }
  /* Item 0 becomes what item 1 is, item 61 goes, item 2 goes. */
  wn_item_record item = record_of(&c, 1);
  assert_ok(model->cls->update_item(model, 0, &item, err));
  memcpy(n->vector[0], n->vector[1], sizeof n->vector[0]);
  item.status = WN_ITEM_DELETED;
  assert_ok(model->cls->update_item(model, ITEMS + 1, &item, err));
  assert_ok(model->cls->update_item(model, 2, &item, err));
  memset(n->vector[ITEMS + 1], 0, sizeof n->vector[0]);
  memset(n->vector[2], 0, sizeof n->vector[0]);
  for (uint32_t a = 0; a < ITEMS + 10; a++) {
    wn_query query = {.anchor = a, .user = WN_NO_IX};
    assert_cosines(model, &query, n->vector[a], n, ITEMS + 10);
    assert_twins(model, &query, ITEMS + 10);
  }
  wn_free(n);
  model->cls->free(model);
}

/* Thousands of changes: answers stay those of the last one, memory stays bounded. */
static void test_many_updates(void **state) {
  (void)state;
  catalogue c;
  make_catalogue(&c, 44, ITEMS);
  wn_model *model = fit_catalogue(&c, ITEMS, "");
  naive *n = naive_of(&c, ITEMS, ITEMS + 10), *now = naive_of(&c, ITEMS, ITEMS + 10);
  wn_rng rng;
  wn_rng_seed(&rng, 44);
  for (uint32_t i = ITEMS; i < ITEMS + 10; i++) memset(now->vector[i], 0, sizeof now->vector[i]);
  for (int round = 0; round < 4000; round++) {
    uint32_t to = (uint32_t)wn_rng_below(&rng, ITEMS + 10);
    uint32_t from = (uint32_t)wn_rng_below(&rng, ITEMS + 10);
    wn_item_record item = record_of(&c, from);
    bool deleted = wn_rng_below(&rng, 8) == 0;
    if (deleted) item.status = WN_ITEM_DELETED;
    assert_ok(model->cls->update_item(model, to, &item, err));
    memset(now->vector[to], 0, sizeof now->vector[to]);
    if (!deleted) memcpy(now->vector[to], n->vector[from], sizeof n->vector[from]);
    if (round % 400 == 0) {
      wn_query query = {.anchor = to, .user = WN_NO_IX};
      assert_cosines(model, &query, now->vector[to], now, ITEMS + 10);
      assert_twins(model, &query, ITEMS + 10);
    }
  }
  const wn_content *m = (const wn_content *)model;
  assert_true(m->delta.nodes.len <= 2 * m->delta.live + 4096 + 64);
  wn_free(n);
  wn_free(now);
  model->cls->free(model);
}

static void test_order_and_snapshot(void **state) {
  (void)state;
  catalogue c;
  char path[128];
  make_catalogue(&c, 45, ITEMS);
  wn_model *forward = fit_catalogue(&c, ITEMS, "");
  c.backwards = true;
  wn_model *backward = fit_catalogue(&c, ITEMS, "");
  assert_same_model(forward, backward);
  save_to(forward, scratch_path("content.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_content, path, &snapshot);
  assert_same_model(forward, mapped);
  naive *n = naive_of(&c, ITEMS, ITEMS + 10);
  wn_item_record item = record_of(&c, ITEMS + 3); /* the stored vocabulary serves new items */
  assert_ok(mapped->cls->update_item(mapped, ITEMS + 3, &item, err));
  wn_query query = {.anchor = ITEMS + 3, .user = WN_NO_IX};
  for (uint32_t i = ITEMS; i < ITEMS + 10; i++) {
    if (i != ITEMS + 3) memset(n->vector[i], 0, sizeof n->vector[i]);
  }
  assert_cosines(mapped, &query, n->vector[ITEMS + 3], n, ITEMS + 10);
  wn_free(n);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  forward->cls->free(forward);
  backward->cls->free(backward);
}

/* Without n-grams a misspelt title of unknown words says nothing; with them it is found. */
static void test_misspelt(void **state) {
  (void)state;
  catalogue c;
  make_catalogue(&c, 52, ITEMS);
  snprintf(c.title[7], sizeof c.title[7], "Chrysanthemum garden");
  snprintf(c.title[8], sizeof c.title[8], "Chrysanthemum gardening"); /* one more: df 2 */
  for (int with = 0; with < 2; with++) {
    wn_model *model = fit_catalogue(&c, ITEMS, with ? "" : "ngram=0");
    wn_item_record item = {.id = WN_STR("x"), .title = WN_STR("crysantemum gardn")};
    assert_ok(model->cls->update_item(model, ITEMS, &item, err));
    wn_query query = {.anchor = ITEMS, .user = WN_NO_IX};
    wn_scored out[2];
    size_t count;
    assert_ok(model->cls->candidates(model, &query, 2, out, &count, err));
    assert_int_equal(count, with ? 2 : 0);
    if (with) assert_int_equal(out[0].ix + out[1].ix, 7 + 8);
    assert_twins(model, &query, ITEMS + 1);
    model->cls->free(model);
  }
}

/* Every length, words of several bytes a letter, the longest words. */
static bool count_term(void *ctx, wn_str term, float count, wn_term_kind kind) {
  size_t *seen = ctx;
  seen[kind]++;
  seen[3] += (size_t)count;
  assert_true(term.len > 0 && (term.ptr[0] == WN_NGRAM_MARK) == (kind == WN_TERM_NGRAM));
  assert_true(wn_utf8_valid(term));
  return true;
}

static void test_ngrams(void **state) {
  (void)state;
  char title[200] = "ab \xd0\xb4\xd0\xbe\xd0\xbc "; /* a Cyrillic word of three letters */
  memset(title + strlen(title), 'x', 100);          /* cut to 64 bytes */
  for (uint32_t n = 0; n <= WN_CONTENT_NGRAM_MAX; n++) {
    size_t seen[4] = {0}, want = 0;
    wn_item_record item = {
        .id = WN_STR("x"), .title = wn_str_of(title), .text = WN_STR("more text")};
    wn_term_rules rules = {3, n};
    assert_true(wn_content_terms(&item, &rules, count_term, seen));
    for (int k = 0; k < 3 && n > 0; k++) {
      size_t framed = (size_t[]){2, 3, WN_TOKEN_BYTES_MAX}[k] + 2;
      want += framed > n ? framed - n + 1 : 1;
    }
    assert_int_equal(seen[WN_TERM_WORD], 5);
    assert_int_equal(seen[WN_TERM_NGRAM], want);
    assert_int_equal(seen[3], 3 * (3 + want) + 2);
  }
}

static void test_filter(void **state) {
  (void)state;
  catalogue c;
  make_catalogue(&c, 46, ITEMS);
  wn_model *model = fit_catalogue(&c, ITEMS, "");
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, ITEMS));
  for (uint32_t i = 0; i < ITEMS; i += 4) wn_bitset_set(&allowed, i);
  wn_query query = {.anchor = 5, .user = WN_NO_IX, .allowed = &allowed};
  assert_twins(model, &query, ITEMS);
  wn_bitset_clear(&allowed);
  model->cls->free(model);
}

static void test_edges(void **state) {
  (void)state;
  catalogue c;
  wn_query query = {.anchor = 0, .user = WN_NO_IX};
  make_catalogue(&c, 47, 0);
  wn_dataset nothing = {.items = 5}; /* no catalogue at all */
  wn_model *models[5] = {fit(&wn_model_content, &nothing, ""), fit_catalogue(&c, 0, ""), NULL, NULL,
                         NULL};
  c.len = 1;
  models[2] = fit_catalogue(&c, 1, "");
  c.len = ITEMS;
  models[3] = fit_catalogue(&c, 3, ""); /* the catalogue knows more than the data set */
  models[4] = fit_catalogue(&c, ITEMS + 20, "");
  for (int m = 0; m < 5; m++) {
    assert_twins(models[m], &query, ITEMS + 10);
    query.anchor = 1000000;
    assert_twins(models[m], &query, ITEMS + 10);
    query.anchor = 0;
    wn_item_record item = {.id = WN_STR("x")}; /* says nothing */
    assert_ok(models[m]->cls->update_item(models[m], 0, &item, err));
    assert_twins(models[m], &query, ITEMS + 10);
    models[m]->cls->free(models[m]);
  }
}

/* Merging, the cut to the strongest, norm and order, against sorting everything. */
static void test_strongest(void **state) {
  (void)state;
  enum { TERMS = 150, HITS = 800, BEGIN = 20 };
  wn_rng rng;
  wn_rng_seed(&rng, 50);
  wn_term_hit *hits = wn_calloc(HITS, sizeof *hits);
  double sum[TERMS] = {0};
  for (size_t i = 0; i < HITS; i++) {
    hits[i] = (wn_term_hit){(uint32_t)wn_rng_below(&rng, TERMS), 1 + (float)i / 64, WN_TERM_WORD};
    sum[hits[i].term] += (double)hits[i].value;
  }
  const wn_term_blocks blocks = {BEGIN, 0.25};
  wn_term_weight out[WN_CONTENT_TERMS_MAX];
  size_t len = wn_content_strongest(&blocks, hits, HITS, out), at = 0;
  assert_int_equal(len,
                   BEGIN + WN_CONTENT_WORDS_MAX); /* all of the first block, a part of the other */
  for (size_t t = 1; t < len; t++) assert_true(out[t].term > out[t - 1].term);
  for (int block = 0; block < 2; block++) {
    double norm = 0, least = INFINITY, share = block == 0 ? 0.25 : 0.75;
    size_t begin = at;
    for (; at < len && (out[at].term < BEGIN) == (block == 0); at++) {
      least = fmin(least, sum[out[at].term]);
      norm += sum[out[at].term] * sum[out[at].term];
    }
    for (size_t i = begin; i < at; i++) {
      double want = sum[out[i].term] * sqrt(share / norm);
      assert_true(fabs(want - (double)out[i].weight) < 1e-5);
      sum[out[i].term] = 0;
    }
    for (size_t t = block * BEGIN; t < (block == 0 ? BEGIN : TERMS); t++)
      assert_true(sum[t] <= least * (1 + 1e-6));
  }
  assert_int_equal(wn_content_strongest(&blocks, hits, 0, out), 0);
  wn_free(hits);
}

/* A long text gives a bounded vector; one long attribute is read as text. */
static void test_long_text(void **state) {
  (void)state;
  catalogue c;
  make_catalogue(&c, 48, ITEMS);
  wn_model *model = fit_catalogue(&c, ITEMS, "");
  wn_buf text = {0};
  for (int i = 0; i < 9000; i++) wn_buf_printf(&text, "w%d ", i % 50);
  wn_attr attr = {.name = WN_STR("note"),
                  .kind = WN_ATTR_STRING,
                  .string = WN_STR("w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 "
                                   "w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1 w1")};
  wn_item_record item = {.id = WN_STR("x"), .text = {text.data, text.len}, .attrs = {&attr, 1}};
  assert_ok(model->cls->update_item(model, ITEMS + 2, &item, err));
  wn_query query = {.anchor = ITEMS + 2, .user = WN_NO_IX};
  assert_twins(model, &query, ITEMS + 10);
  wn_buf_clear(&text);
  model->cls->free(model);
}

static void test_no_memory(void **state) {
  (void)state;
  catalogue c;
  make_catalogue(&c, 49, 12);
  wn_dataset data = {.items = 12, .items_source = {&c, scan}};
  wn_params params = params_of(&wn_model_content, "df_max=.25");
  wn_pool *pool = wn_pool_create(1);
  wn_fit_env env = {.pool = pool, .seed = 7};
  wn_model *model = NULL;
  for (long n = 0; model == NULL; n++) {
    wn_mem_fail_after(n);
    wn_status status = wn_model_content.fit(&data, &params, &env, &model, NULL);
    wn_mem_fail_after(-1);
    assert_int_equal(status, model != NULL ? WN_OK : WN_E_MEMORY);
  }
  naive *twin = naive_of(&c, 12, 13);
  memset(twin->vector[12], 0, sizeof twin->vector[12]);
  wn_item_record item = record_of(&c, 7);
  bool done = false;
  for (long n = 0; !done; n++) { /* a failed update changes nothing */
    wn_mem_fail_after(n);
    done = model->cls->update_item(model, 3, &item, NULL) == WN_OK;
    wn_mem_fail_after(-1);
    if (done) memcpy(twin->vector[3], twin->vector[7], sizeof twin->vector[3]);
    wn_query query = {.anchor = 3, .user = WN_NO_IX};
    assert_cosines(model, &query, twin->vector[3], twin, 13);
  }
  wn_free(twin);
  model->cls->free(model);
  wn_pool_free(pool);
}

static void test_bad_sections(void **state) {
  (void)state;
  char path[128];
  scratch_path("bad.wns", path, sizeof path);
  for (int bad = 0; bad < 17; bad++) {
    wn_content_head head = {.version = 2,
                            .items = 2,
                            .terms = 2,
                            .history_max = 30,
                            .documents = 2,
                            .k1 = 1.2,
                            .b = .75,
                            .length_mean = 3,
                            .title_weight = 2,
                            .tau_query = 10};
    uint64_t word_ptr[3] = {0, 1, 2}, item_ptr[3] = {0, 1, 2}, term_ptr[3] = {0, 1, 2};
    char words[2] = {'a', 'b'};
    uint32_t term[2] = {0, 1}, item[2] = {0, 1};
    float idf[2] = {1, 1}, weight[2] = {1, 1};
    uint64_t posts = sizeof item;
    if (bad == 1) head.version = 3;
    if (bad == 2) head.history_max = 0;
    if (bad == 3) head.k1 = NAN;
    if (bad == 4) head.terms = 3;
    if (bad == 5) head.items = 1;
    if (bad == 6) word_ptr[1] = 3;
    if (bad == 7) words[1] = 'a';
    if (bad == 8) item_ptr[0] = 1;
    if (bad == 9) term[1] = 2;
    if (bad == 10) item[0] = 2;
    if (bad == 11) weight[1] = NAN;
    if (bad == 12) posts -= 4;
    if (bad == 16) weight[0] = -1;
    if (bad == 13) head.ngram = 9;
    if (bad == 14) head.ngrams = 1; /* "a" is none */
    if (bad == 15) head.ngram_share = 1.5;
    wn_snapshot_writer *writer = NULL;
    assert_ok(wn_snapshot_writer_create(path, &writer, err));
    assert_ok(wn_snapshot_write(writer, "content/head", &head, sizeof head, err));
    assert_ok(wn_snapshot_write(writer, "content/word_ptr", word_ptr, sizeof word_ptr, err));
    assert_ok(wn_snapshot_write(writer, "content/words", words, sizeof words, err));
    assert_ok(wn_snapshot_write(writer, "content/idf", idf, sizeof idf, err));
    assert_ok(wn_snapshot_write(writer, "content/item_ptr", item_ptr, sizeof item_ptr, err));
    assert_ok(wn_snapshot_write(writer, "content/item_term", term, sizeof term, err));
    assert_ok(wn_snapshot_write(writer, "content/item_weight", weight, sizeof weight, err));
    assert_ok(wn_snapshot_write(writer, "content/term_ptr", term_ptr, sizeof term_ptr, err));
    assert_ok(wn_snapshot_write(writer, "content/post_item", item, posts, err));
    assert_ok(wn_snapshot_write(writer, "content/post_weight", weight, sizeof weight, err));
    wn_snapshot_about about = {.number = 1};
    assert_ok(wn_snapshot_writer_finish(writer, &about, err));
    wn_snapshot *snapshot;
    wn_model *model = NULL;
    assert_ok(wn_snapshot_open(path, &snapshot, err));
    wn_status status = wn_model_content.map(snapshot, &model, NULL);
    if (status != (bad ? WN_E_CORRUPT : WN_OK))
      fail_msg("case %d: %s", bad, wn_status_name(status));
    if (model != NULL) model->cls->free(model);
    wn_snapshot_unref(snapshot);
    unlink(path);
  }
}

/* ---- long lists: the best are found without them ---- */

#define MANY 40000u

typedef struct shelves {
  char title[64];
  wn_attr attr[2];
  char group[16], shelf[16];
} shelves;

/* Item i of 400 groups on 4 shelves; many are alike, so that scores are equal at every place. */
static wn_item_record of_shelves(shelves *s, uint32_t i) {
  uint32_t group = i * 7919u % 400u;
  snprintf(s->title, sizeof s->title, "w%u w%u w%u", 50 + i % 97, 200 + i / 7 % 1013, i % 5);
  snprintf(s->group, sizeof s->group, "g%u", group);
  snprintf(s->shelf, sizeof s->shelf, "s%u", group % 4);
  s->attr[0] =
      (wn_attr){.name = WN_STR("group"), .kind = WN_ATTR_STRING, .string = wn_str_of(s->group)};
  s->attr[1] =
      (wn_attr){.name = WN_STR("shelf"), .kind = WN_ATTR_STRING, .string = wn_str_of(s->shelf)};
  return (wn_item_record){.id = WN_STR("x"),
                          .title = wn_str_of(s->title),
                          .attrs = {s->attr, 2},
                          .status = WN_ITEM_ACTIVE};
}

static wn_status
scan_shelves(void *ctx, wn_status (*each)(void *, wn_item_ix, const wn_item_record *, wn_error *),
             void *each_ctx, wn_error *err) {
  (void)ctx;
  wn_status status = WN_OK;
  for (uint32_t i = 0; i < MANY && status == WN_OK; i++) {
    shelves s;
    wn_item_record item = of_shelves(&s, i);
    status = each(each_ctx, i, &item, err);
  }
  return status;
}

/* Whether the best 20 come without all lists, and are the same. */
static bool found_early(const wn_model *model, const wn_query *query, wn_item_ix anchor) {
  const wn_content *m = (const wn_content *)model;
  wn_content_asked asked = {.without = anchor};
  wn_scored best[20];
  wn_topk top;
  wn_arena arena;
  asked.len = wn_content_vector_of(m, anchor, asked.term);
  wn_arena_init(&arena, 16 << 20);
  wn_topk_init(&top, best, 20);
  assert_true(wn_content_search(m, query, &asked, &top, &arena));
  wn_arena_clear(&arena);
  return top.len == 20;
}

/* The best of all scores, bit for bit. */
static void assert_same_best(const wn_model *model, const wn_query *query) {
  static float scores[MANY + 5];
  static wn_scored best[2000], found[2000];
  assert_ok(model->cls->score_all(model, query, scores, MANY + 5, err));
  for (size_t k = 1; k <= 2000; k = k * 11 + 1) {
    wn_topk top;
    size_t count = 0;
    wn_topk_init(&top, best, k);
    for (uint32_t i = 0; i < MANY + 5; i++)
      if (scores[i] > -INFINITY) wn_topk_push(&top, i, scores[i]);
    size_t n = wn_topk_sort(&top);
    assert_ok(model->cls->candidates(model, query, k, found, &count, err));
    assert_int_equal(count, n);
    assert_memory_equal(found, best, n * sizeof *best);
  }
}

static void test_long_lists(void **state) {
  (void)state;
  wn_dataset data = {.items = MANY, .items_source = {NULL, scan_shelves}};
  wn_model *model = fit(&wn_model_content, &data, "df_max=.5 ngram=2");
  wn_history_entry history[3] = {{11, 2, 90}, {20011, 1, 80}, {30, 1, 70}};
  wn_query alone = {.anchor = 40, .user = WN_NO_IX};
  wn_query user = {.history = history, .history_len = 3, .anchor = WN_NO_IX, .user = WN_NO_IX};
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, MANY));
  for (uint32_t i = 0; i < MANY; i += 3) wn_bitset_set(&allowed, i);
  assert_true(found_early(model, &alone, 40));
  for (int changed = 0; changed < 2; changed++) {
    assert_same_best(model, &alone);
    assert_same_best(model, &user);
    user.allowed = changed ? &allowed : NULL;
    for (uint32_t i = 0; i < 60 && !changed; i++) { /* some go, some move, some are new */
      shelves s;
      wn_item_ix at = i < 5 ? MANY + i : i * 400 + 11;
      wn_item_record item = of_shelves(&s, i < 30 ? 11 : 20011);
      if (i % 4 == 0) item.status = WN_ITEM_DELETED;
      assert_ok(model->cls->update_item(model, at, &item, err));
    }
  }
  assert_true(found_early(model, &alone, 40));
  assert_same_best(model, &user);
  wn_bitset_clear(&allowed);
  model->cls->free(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cosine),
      cmocka_unit_test(test_profile),
      cmocka_unit_test(test_updates),
      cmocka_unit_test(test_many_updates),
      cmocka_unit_test(test_order_and_snapshot),
      cmocka_unit_test(test_misspelt),
      cmocka_unit_test(test_ngrams),
      cmocka_unit_test(test_filter),
      cmocka_unit_test(test_long_lists),
      cmocka_unit_test(test_edges),
      cmocka_unit_test(test_long_text),
      cmocka_unit_test(test_strongest),
      cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_bad_sections),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
