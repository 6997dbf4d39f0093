/* A tile of users through one model: a bitmap for each user of the tile, in which her items go out
 * and come back, and one call for all lists. */
#include "lab/batch.h"

#include "base/mem.h"

#define ARENA_MAX ((size_t)1 << 30)

typedef struct worker {
  wn_arena arena;
  wn_bitset allowed[WN_BATCH_TILE];
} worker;

struct wn_batch_ranker {
  const wn_bitset *allowed;
  worker *workers;
  int threads;
};

wn_status wn_batch_ranker_create(const wn_bitset *allowed, int threads, wn_batch_ranker **out,
                                 wn_error *err) {
  wn_batch_ranker *r = wn_calloc(1, sizeof *r);
  if (r == NULL) return wn_fail_memory(err);
  r->allowed = allowed;
  r->threads = threads;
  r->workers = wn_calloc((size_t)threads, sizeof *r->workers);
  bool good = r->workers != NULL;
  for (int t = 0; good && t < threads; t++) {
    wn_arena_init(&r->workers[t].arena, ARENA_MAX);
    for (size_t i = 0; good && i < WN_BATCH_TILE; i++) {
      good = wn_bitset_init(&r->workers[t].allowed[i], allowed->bits);
      if (good) wn_bitset_copy(&r->workers[t].allowed[i], allowed);
    }
  }
  if (!good) {
    wn_batch_ranker_free(r);
    return wn_fail_memory(err);
  }
  *out = r;
  return WN_OK;
}

void wn_batch_ranker_free(wn_batch_ranker *r) {
  if (r == NULL) return;
  for (int t = 0; r->workers != NULL && t < r->threads; t++) {
    wn_arena_clear(&r->workers[t].arena);
    for (size_t i = 0; i < WN_BATCH_TILE; i++) wn_bitset_clear(&r->workers[t].allowed[i]);
  }
  wn_free(r->workers);
  wn_free(r);
}

wn_status wn_batch_rank(wn_batch_ranker *r, const wn_batch_question *question,
                        const wn_batch_tile *tile, wn_error *err) {
  worker *w = &r->workers[tile->worker];
  wn_batch_user users[WN_BATCH_TILE];
  wn_query queries[WN_BATCH_TILE];
  wn_status status = WN_OK;
  size_t ready = 0;
  wn_arena_reset(&w->arena);
  for (; status == WN_OK && ready < tile->len; ready++) {
    wn_batch_user *u = &users[ready];
    *u = (wn_batch_user){.query = {.user = WN_NO_IX, .anchor = WN_NO_IX}};
    status = question->user(question->ctx, tile->at + ready, &w->arena, u, err);
    if (status != WN_OK) break;
    for (size_t i = 0; i < u->mask_len; i++) wn_bitset_unset(&w->allowed[ready], u->mask[i]);
    queries[ready] = u->query;
    queries[ready].arena = &w->arena;
    queries[ready].allowed = &w->allowed[ready];
  }
  const wn_query_batch batch = {queries, tile->len, question->n, tile->out, tile->count};
  if (status == WN_OK) status = wn_model_candidates_batch(question->model, &batch, err);
  for (size_t u = 0; u < ready; u++) {
    if (users[u].nobody) tile->count[u] = 0;
    for (size_t i = 0; i < users[u].mask_len; i++)
      if (wn_bitset_test(r->allowed, users[u].mask[i]))
        wn_bitset_set(&w->allowed[u], users[u].mask[i]);
  }
  return status;
}
