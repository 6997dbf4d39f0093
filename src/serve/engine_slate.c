/* A request's way: context (user, anchor, session) → funnel → impression log → answer.
 *
 * The engine's lock is held shared from the first look at the state to the last copied title, and
 * never while something is waited for. The impression is handed to the committer and not waited
 * for, except where that matters: feeds (a restart must not repeat what they showed) and all slates
 * while commits fail. A full queue refuses the request (WN_E_BUSY): a slate that is not logged must
 * not be shown.
 * Requests of one feed session follow each other, so that each sees what the one before served. */

#include "serve/engine_exposed.h"
#include "serve/engine_passage.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "funnel/perturb.h"
#include "model/feature_log.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SIMILAR_USERS_MAX 1000
#define TRIES_MAX         4
#define CONTEXT_MAX       16  /* members of a request's context, */
#define CONTEXT_BYTES     100 /* each name and text of at most so many bytes */

/* Whether every generator of the surface starts from an anchor item. */
static bool needs_anchor(const wn_surface *surface) {
  for (size_t i = 0; i < surface->generators_len; i++) {
    const wn_model_class *cls = wn_model_class_find(surface->generators[i].model);
    if (cls != NULL && (cls->flags & WN_MODEL_ANCHOR) == 0) return false;
  }
  return true;
}

static wn_status check_context(const wn_passage *p, wn_error *err) {
  const wn_slate_request *in = p->in;
  const char *name = p->surface->name;
  if (in->n > WN_SLATE_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "n", "must be 1 to %d, got %u", WN_SLATE_MAX, in->n);
  switch (p->surface->flavour) {
  case WN_FLAVOUR_FLAT:
    if (in->item.len == 0 && needs_anchor(p->surface))
      return wn_fail(err, WN_E_ARGUMENT, "item", "the surface %s starts from an item: name one",
                     name);
    break;
  case WN_FLAVOUR_PERSONAL:
    if (in->user.len == 0)
      return wn_fail(err, WN_E_ARGUMENT, "user",
                     "the surface %s is personal: name a user (an unknown one is fine)", name);
    break;
  case WN_FLAVOUR_FEED:
    if (in->user.len == 0 && in->session.len == 0)
      return wn_fail(err, WN_E_ARGUMENT, "session",
                     "the surface %s is a feed: name a session or a user", name);
    break;
  }
  return WN_OK;
}

/* What the client says of the request: read once, and logged with its members in order. */
static wn_status read_context(wn_passage *p, wn_error *err) {
  wn_attrs *attrs = wn_arena_alloc(p->arena, sizeof *attrs);
  wn_buf text = {0};
  wn_status status = WN_OK;
  if (p->in->context.len == 0) return WN_OK;
  if (attrs == NULL) return wn_fail_memory(err);
  status = wn_attrs_from_json(p->in->context, p->arena, attrs, err);
  if ((status == WN_E_FORMAT || status == WN_E_ARGUMENT) && err != NULL)
    snprintf(err->field, sizeof err->field, "context");
  if (status != WN_OK) return status;
  if (attrs->len > CONTEXT_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "context", "must be at most %d members, got %zu",
                   CONTEXT_MAX, attrs->len);
  for (size_t i = 0; i < attrs->len; i++) {
    const wn_attr *a = &attrs->data[i];
    if (a->kind == WN_ATTR_LIST || a->name.len > CONTEXT_BYTES ||
        (a->kind == WN_ATTR_STRING && a->string.len > CONTEXT_BYTES))
      return wn_fail(err, WN_E_ARGUMENT, "context",
                     "\"%.*s\" must be a number, a bool or a string of at most %d bytes",
                     (int)(a->name.len < 40 ? a->name.len : 40), a->name.ptr, CONTEXT_BYTES);
  }
  wn_attrs_to_json(attrs, &text);
  p->request = wn_arena_str(p->arena, (wn_str){text.data, text.len});
  if (text.failed || p->request.ptr == NULL) status = wn_fail_memory(err);
  wn_buf_clear(&text);
  p->funnel.query.context = attrs;
  return status;
}

static wn_status find_anchor(wn_passage *p, wn_error *err) {
  p->funnel.query.anchor = WN_NO_IX;
  if (p->in->item.len == 0) return WN_OK;
  wn_item_ix ix = wn_dict_find(wn_store_items(p->engine->store), p->in->item);
  /* A hidden item may still be looked at, and so have neighbours. */
  if (ix == WN_NO_IX || wn_catalog_status(p->engine->catalog, ix) == WN_ITEM_DELETED)
    return wn_fail(err, WN_E_NOT_FOUND, "item", "no item \"%.*s\"",
                   p->in->item.len > 100 ? 100 : WN_STR_ARG(p->in->item));
  p->funnel.query.anchor = ix;
  return WN_OK;
}

static wn_status find_excluded(wn_passage *p, wn_error *err) {
  const wn_slate_request *in = p->in;
  if (in->exclude_len == 0) return WN_OK;
  if (in->exclude_len > SIZE_MAX / sizeof(wn_item_ix)) return wn_fail_memory(err);
  wn_item_ix *items = wn_arena_alloc(p->arena, in->exclude_len * sizeof *items);
  if (items == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < in->exclude_len; i++) {
    if (in->exclude[i].len == 0)
      return wn_fail(err, WN_E_ARGUMENT, "exclude", "entry %zu is empty: give item ids", i + 1);
    wn_item_ix ix = wn_dict_find(wn_store_items(p->engine->store), in->exclude[i]);
    if (ix != WN_NO_IX) items[p->funnel.exclude_len++] = ix;
  }
  p->funnel.exclude = items;
  return WN_OK;
}

/* Deleted and unknown ones, too: that is their answer. */
static wn_status find_whys(wn_passage *p, wn_error *err) {
  const wn_slate_request *in = p->in;
  if (in->why_len == 0) return WN_OK;
  wn_why_ask *asks = wn_arena_calloc(p->arena, in->why_len, sizeof *asks);
  if (asks == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < in->why_len; i++)
    asks[i] = (wn_why_ask){.id = in->why[i],
                           .item = wn_dict_find(wn_store_items(p->engine->store), in->why[i])};
  p->funnel.why = asks;
  p->funnel.why_len = in->why_len;
  return WN_OK;
}

/* WN_NO_IX: unknown, or deleted and not back. Under the lock. */
static wn_user_ix live_user(const wn_engine *engine, wn_str id) {
  wn_user_ix user = id.len > 0 ? wn_store_find_user(engine->store, id) : WN_NO_IX;
  return user != WN_NO_IX && wn_engine_user_gone(engine, user) ? WN_NO_IX : user;
}

static wn_status find_user(wn_passage *p, wn_error *err) {
  wn_status status = WN_OK;
  wn_request *f = &p->funnel;
  wn_pair_list pairs;
  f->query.user = live_user(p->engine, p->in->user);
  p->out->user_known = f->query.user != WN_NO_IX;
  if (!p->out->user_known) return WN_OK;
  WN_TRY(wn_online_user(p->serving->online, f->query.user, p->now_ms, p->arena, &pairs, err));
  if (pairs.len > 0) {
    wn_seen_entry *seen = wn_arena_alloc(p->arena, pairs.len * sizeof *seen);
    if (seen == NULL) WN_TRY(wn_fail_memory(err));
    for (size_t i = 0; i < pairs.len; i++)
      seen[i] = (wn_seen_entry){.item = pairs.data[i].item, .mask = pairs.data[i].mask};
    f->seen = seen;
    f->seen_len = pairs.len;
  }
  /* On a flat surface the item is the question; history would answer another one. */
  if (p->surface->flavour != WN_FLAVOUR_FLAT)
    WN_TRY(wn_engine_history(p->engine, &f->query, pairs, p->arena, err));
  p->out->personal = f->query.history_len > 0;
cleanup:
  return status;
}

/* A simulation is to be repeated: the n-th slate of a process at a time has the same chance again.
 */
static void repeatable(unsigned char random[10]) {
  static _Atomic uint64_t count;
  uint64_t n = atomic_fetch_add(&count, 1);
  uint64_t words[2] = {wn_mix64((uint64_t)wn_now_ms() + wn_mix64(n)), n};
  memcpy(random, words, 10);
}

/* 48 bits of time and 80 of chance: unique, and slates sort by time. */
static wn_status make_slate_id(wn_passage *p, wn_error *err) {
  unsigned char random[10];
  if (wn_clock_is_virtual())
    repeatable(random);
  else if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
    return wn_fail_errno(err, "", "no random numbers");
  int len = snprintf(p->out->slate_id, sizeof p->out->slate_id, "%012llx",
                     (unsigned long long)p->now_ms & 0xffffffffffffULL);
  for (size_t i = 0; i < sizeof random; i++, len += 2)
    snprintf(p->out->slate_id + len, 3, "%02x", random[i]);
  if (p->in->seed != 0)
    p->funnel.query.seed = p->in->seed;
  else
    memcpy(&p->funnel.query.seed, random, sizeof p->funnel.query.seed);
  return WN_OK;
}

static wn_status copy_items(wn_passage *p, const wn_slate *slate, wn_error *err) {
  wn_slate_answer *out = p->out;
  const wn_catalog *catalog = p->engine->catalog;
  out->items = wn_arena_calloc(p->arena, slate->len > 0 ? slate->len : 1, sizeof *out->items);
  if (out->items == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < slate->len; i++) {
    const wn_slate_item *item = &slate->items[i];
    wn_str id = wn_catalog_id(catalog, item->item), title = wn_catalog_title(catalog, item->item);
    out->items[i] = (wn_slate_answer_item){.id = wn_arena_str(p->arena, id),
                                           .title = wn_arena_str(p->arena, title),
                                           .ix = item->item,
                                           .score = item->score,
                                           .propensity = item->propensity,
                                           .sources = item->sources,
                                           .pinned = item->pinned,
                                           .context = item->context,
                                           .explored = item->explored,
                                           .below = item->below};
    if (out->items[i].id.ptr == NULL || (title.ptr != NULL && out->items[i].title.ptr == NULL))
      return wn_fail_memory(err);
  }
  out->len = slate->len;
  for (unsigned g = 0; g < 2 * WN_GENERATORS_MAX; g++) {
    const char *name = wn_surface_source(p->surface, g);
    if (name == NULL) break;
    out->source_names[out->source_count] = wn_arena_str(p->arena, wn_str_of(name));
    if (out->source_names[out->source_count++].ptr == NULL) return wn_fail_memory(err);
  }
  out->own_sources = (uint32_t)p->surface->generators_len;
  return WN_OK;
}

static wn_status copy_trace(wn_passage *p, const wn_slate *slate, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf buf = {0};
  wn_json json;
  if (slate->trace == NULL) return WN_OK;
  wn_json_init(&json, &buf);
  wn_trace_to_json(slate->trace, p->engine->catalog, &json);
  p->out->explain_json = wn_arena_str(p->arena, (wn_str){buf.data, buf.len});
  if (buf.failed || p->out->explain_json.ptr == NULL) status = wn_fail_memory(err);
  wn_buf_clear(&buf);
  return status;
}

/* Now and then: a surface that nobody repairs would fill the log. */
static void tell_relaxed(const wn_passage *p, const wn_slate *slate) {
  if (slate->relaxed == NULL) return;
  uint64_t before = atomic_fetch_add(&p->engine->slates_relaxed, 1);
  if ((before & (before + 1)) == 0) /* the 1st, 2nd, 4th, … */
    wn_log(WN_LOG_WARN,
           "no item satisfies the condition of surface %s: shown without it slates=%llu",
           p->surface->name, (unsigned long long)before + 1);
}

/* Everything that needs the state, under the shared lock. */
wn_status wn_passage_run(wn_passage *p, wn_error *err) {
  wn_status status = WN_OK;
  wn_engine *engine = p->engine;
  const wn_serving *serving = p->serving = wn_engine_serving(engine, p->pin);
  wn_slate slate = {0};
  p->out->snapshot = serving->about.number;
  p->funnel.models = &serving->models;
  p->funnel.signals = &serving->signals;
  p->funnel.catalog = engine->catalog;
  WN_TRY(find_anchor(p, err));
  WN_TRY(find_excluded(p, err));
  WN_TRY(find_whys(p, err));
  WN_TRY(find_user(p, err));
  WN_TRY(wn_funnel_run(&p->funnel, &slate, err));
  p->out->stages = slate.stages;
  p->out->empty = slate.empty;
  p->out->relaxed = slate.relaxed;
  p->out->scored_by = slate.scored_by;
  if (strcmp(slate.scored_by, "objectives") != 0) p->weights = (wn_str){0}; /* they did nothing */
  tell_relaxed(p, &slate);
  WN_TRY(copy_items(p, &slate, err));
  p->slate = slate;
  WN_TRY(copy_trace(p, &slate, err));
cleanup:
  return status;
}

/* An impression on its way to the log: one block, freed when it is stored. */
typedef struct slate_batch {
  wn_commit_batch batch;
  wn_op op;
  wn_engine *engine;
} slate_batch;

static void slate_done(wn_commit_batch *batch, wn_status status, const wn_error *why) {
  char text[900];
  wn_engine *engine = ((slate_batch *)batch->ctx)->engine;
  if (status == WN_OK) status = batch->ops[0].status;
  if (status != WN_OK && atomic_fetch_add(&engine->slates_lost, 1) == 0)
    wn_log(WN_LOG_ERROR, "a slate was shown but not logged (further ones are not told): %s",
           why != NULL ? wn_error_format(why, text, sizeof text) : batch->ops[0].reason);
  wn_free(batch->ctx);
}

static wn_str put_str(char **at, wn_str s) {
  if (s.ptr == NULL) return s;
  wn_str copy = {*at, s.len};
  if (s.len > 0) memcpy(*at, s.ptr, s.len);
  *at += s.len;
  return copy;
}

/* Stores the impression now. */
static wn_status commit_slate(wn_engine *engine, wn_op *op, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(wn_engine_commit(engine, op, 1, err));
  if (op->status != WN_OK) WN_TRY(wn_fail(err, op->status, op->field, "%s", op->reason));
cleanup:
  return status;
}

/* The features of what is shown, packed; nothing when the ranker did not score. */
static wn_status pack_features(const wn_passage *p, wn_buf *out, wn_error *err) {
  const wn_slate *slate = &p->slate;
  if (slate->features == 0 || slate->len == 0) return WN_OK;
  const float **row = wn_arena_alloc(p->arena, slate->len * sizeof *row);
  if (row == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < slate->len; i++) row[i] = slate->items[i].row;
  return wn_feature_log_encode(slate->feature_set, row, slate->len, slate->features, out, err);
}

static wn_status log_slate(const wn_passage *p, wn_str features, wn_error *err) {
  wn_slate_answer *out = p->out;
  const wn_committer *committer = p->engine->committer;
  /* What a feed showed is its memory, which a crash must not cost. And a slate that could not be
   * logged must not be shown, which only a wait can tell. */
  bool waits = p->session.len > 0 || (committer != NULL && wn_committer_last(committer) != WN_OK);
  size_t texts = strlen(out->slate_id) + strlen(p->surface->name) + p->in->session.len +
                 p->in->user.len + p->arms.len + features.len + p->in->filter.len +
                 out->context.len + p->request.len + p->weights.len;
  size_t items =
      out->len * (sizeof(wn_item_ix) + sizeof(float)) + p->funnel.exclude_len * sizeof(wn_item_ix);
  size_t size = sizeof(slate_batch) + items + texts;
  slate_batch *b = waits ? wn_arena_calloc(p->arena, 1, size) : wn_calloc(1, size);
  if (b == NULL) return wn_fail_memory(err);
  wn_item_ix *ix = (wn_item_ix *)(void *)(b + 1);
  float *propensity = (float *)(void *)(ix + out->len);
  wn_item_ix *exclude = (wn_item_ix *)(void *)(propensity + out->len);
  char *at = (char *)(exclude + p->funnel.exclude_len);
  if (p->funnel.exclude_len > 0)
    memcpy(exclude, p->funnel.exclude, p->funnel.exclude_len * sizeof *exclude);
  for (size_t i = 0; i < out->len; i++) {
    ix[i] = out->items[i].ix;
    propensity[i] = out->items[i].propensity;
  }
  b->engine = p->engine;
  b->op.kind = WN_OP_SLATE;
  b->op.u.slate = (wn_slate_log){.id = put_str(&at, wn_str_of(out->slate_id)),
                                 .surface = put_str(&at, wn_str_of(p->surface->name)),
                                 .session = put_str(&at, p->in->session),
                                 .feed = p->session.len > 0,
                                 .user = p->funnel.query.user,
                                 .user_id = put_str(&at, p->in->user),
                                 .anchor = p->funnel.query.anchor,
                                 .snapshot = out->snapshot,
                                 .time_ms = p->now_ms,
                                 .items = ix,
                                 .propensities = propensity,
                                 .len = out->len,
                                 .policy = p->policy_hash,
                                 .arms = put_str(&at, p->arms),
                                 .filter = put_str(&at, p->in->filter),
                                 .exclude = exclude,
                                 .exclude_len = p->funnel.exclude_len,
                                 .context = put_str(&at, out->context),
                                 .request = put_str(&at, p->request),
                                 .weights = put_str(&at, p->weights),
                                 .features = put_str(&at, features)};
  if (waits && p->in->hold) {
    out->unlogged = &b->op;
    return WN_OK;
  }
  if (waits) return commit_slate(p->engine, &b->op, err);
  b->batch = (wn_commit_batch){.ops = &b->op, .count = 1, .done = slate_done, .ctx = b};
  wn_status status = wn_engine_submit(p->engine, &b->batch, err);
  if (status != WN_OK) wn_free(b);
  return status;
}

static wn_status run_shared(wn_passage *p, wn_error *err) {
  pthread_rwlock_rdlock(&p->engine->lock);
  wn_status status = wn_passage_run_both(p, err);
  pthread_rwlock_unlock(&p->engine->lock);
  return status;
}

/* Until what was put for want of impressions still wants them; the last time nothing is. */
static wn_status run_counted(wn_passage *p, wn_error *err) {
  wn_status status = WN_OK;
  const wn_passage before = *p;
  const wn_slate_answer empty = *p->out;
  bool refused = true;
  for (int tries = 1; refused; tries++) {
    *p = before;
    *p->out = empty;
    p->funnel.exposed = wn_asked_exposure_of(wn_engine_exposure(p->engine), p->out->surface,
                                             p->in->user, &p->exposure);
    p->exposure.closed = tries == TRIES_MAX;
    WN_TRY(run_shared(p, err));
    refused = false;
    if (p->in->log)
      WN_TRY(wn_engine_exposed_take(p->engine, p->out, p->now_ms, p->arena, &refused, err));
  }
cleanup:
  return status;
}

/* The funnel, then the log, then the session's memory. */
static wn_status pass(wn_passage *p, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf features = {0};
  wn_engine *engine = p->engine;
  if (p->session.len > 0) {
    wn_item_list served;
    WN_TRY(wn_sessions_served(engine->sessions, p->session, p->now_ms, p->arena, &served, err));
    p->funnel.served = served.data;
    p->funnel.served_len = served.len;
  }
  WN_TRY(run_counted(p, err));
  if (p->in->log && p->out->len > 0) {
    status = pack_features(p, &features, err);
    if (status == WN_OK) status = log_slate(p, (wn_str){features.data, features.len}, err);
    if (status != WN_OK) wn_engine_exposed_withdraw(engine, wn_str_of(p->out->slate_id));
    WN_TRY(status);
  }
  if (p->session.len > 0 && p->out->len > 0 && !p->in->look) {
    wn_item_ix *items = wn_arena_alloc(p->arena, p->out->len * sizeof *items);
    if (items == NULL) WN_TRY(wn_fail_memory(err));
    for (size_t i = 0; i < p->out->len; i++) items[i] = p->out->items[i].ix;
    WN_TRY(wn_sessions_add(engine->sessions, p->session, p->now_ms, items, p->out->len, err));
  }
cleanup:
  wn_buf_clear(&features);
  return status;
}

/* Weights of this user's own, where the surface perturbs them. A champion and its challenger are
 * compared as they are. */
static wn_status perturb(wn_passage *p, wn_error *err) {
  wn_buf factors = {0};
  wn_status status = WN_OK;
  if (!(p->surface->perturb > 0) || p->duel != SIZE_MAX) return WN_OK;
  wn_surface *own = wn_arena_alloc(p->arena, sizeof *own);
  if (own == NULL) return wn_fail_memory(err);
  if (wn_perturb(p->surface, p->in->user, p->now_ms, own, &factors)) {
    p->surface = own;
    p->weights = wn_arena_str(p->arena, (wn_str){factors.data, factors.len});
    if (factors.failed || p->weights.ptr == NULL) status = wn_fail_memory(err);
  }
  wn_buf_clear(&factors);
  return status;
}

static wn_status make_slate(wn_passage *p, wn_error *err) {
  wn_status status = WN_OK;
  const wn_slate_request *in = p->in;
  WN_TRY(wn_passage_surface(p, err));
  WN_TRY(wn_passage_take_arms(p, err));
  WN_TRY(perturb(p, err));
  WN_TRY(check_context(p, err));
  WN_TRY(read_context(p, err));
  WN_TRY(make_slate_id(p, err));
  /* The policy may be gone when the answer is read. */
  p->out->surface = wn_arena_str(p->arena, wn_str_of(p->surface->name));
  p->out->user = wn_arena_str(p->arena, in->user);
  if (p->out->surface.ptr == NULL || (in->user.ptr != NULL && p->out->user.ptr == NULL))
    WN_TRY(wn_fail_memory(err));
  p->funnel.surface = p->surface;
  p->funnel.filters = p->engine->filters;
  p->funnel.filter = in->filter;
  p->funnel.n = in->n > 0 ? in->n : p->surface->n;
  p->funnel.explain = in->explain;
  p->funnel.query.arena = p->arena;
  p->funnel.query.now_ms = p->now_ms;
  if (p->surface->flavour == WN_FLAVOUR_FEED)
    WN_TRY(wn_engine_session_name(in->session, in->user, p->arena, &p->session, err));
  if (p->session.len > 0) wn_sessions_lock(p->engine->sessions, p->session);
  status = pass(p, err);
  if (p->session.len > 0) wn_sessions_unlock(p->engine->sessions, p->session);
cleanup:
  return status;
}

wn_status wn_engine_slate(wn_engine *engine, const wn_slate_request *request, wn_arena *arena,
                          wn_slate_answer *out, wn_error *err) {
  uint64_t start = wn_mono_ns();
  wn_policy *policy = request->policy == NULL ? wn_engine_policy(engine) : NULL;
  wn_passage p = {.engine = engine,
                  .in = request,
                  .out = out,
                  .arena = arena,
                  .policy = policy != NULL ? policy : request->policy,
                  .duel = SIZE_MAX,
                  .now_ms = wn_now_ms()};
  *out = (wn_slate_answer){0};
  wn_status status = make_slate(&p, err);
  out->took_ms = (double)(wn_mono_ns() - start) / 1e6;
  wn_policy_unref(policy);
  return status;
}

void wn_engine_slate_withdraw(wn_engine *engine, const wn_op *unlogged, wn_arena *arena) {
  const wn_slate_log *slate = &unlogged->u.slate;
  wn_str name;
  wn_error why;
  wn_engine_exposed_withdraw(engine, slate->id);
  if (slate->feed &&
      wn_engine_session_name(slate->session, slate->user_id, arena, &name, &why) == WN_OK)
    wn_sessions_remove(engine->sessions, name, slate->items, slate->len);
}

/* The model that knows users' neighbours; NULL when there is none. */
static const wn_model *user_model(const wn_models *models) {
  for (size_t i = 0; i < models->len; i++)
    if (models->data[i]->cls->similar_users != NULL) return models->data[i];
  return NULL;
}

static wn_status similar_users(wn_engine *engine, wn_query *query, size_t k, wn_scored *scored,
                               size_t *count, wn_error *err) {
  wn_status status = WN_OK;
  wn_pair_list pairs;
  const wn_model *model = user_model(&engine->serving->models);
  if (model == NULL)
    WN_TRY(wn_fail(err, WN_E_NOT_READY, "", "no snapshot with user factors has been trained yet"));
  WN_TRY(wn_online_user(engine->serving->online, query->user, query->now_ms, query->arena, &pairs,
                        err));
  WN_TRY(wn_engine_history(engine, query, pairs, query->arena, err));
  WN_TRY(model->cls->similar_users(model, query, k, scored, count, err));
cleanup:
  return status;
}

wn_status wn_engine_similar_users(wn_engine *engine, wn_str user, uint32_t n, wn_arena *arena,
                                  wn_neighbour_list *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_query query = {.anchor = WN_NO_IX, .now_ms = wn_now_ms(), .arena = arena};
  size_t count = 0;
  *out = (wn_neighbour_list){NULL, 0};
  if (n < 1 || n > SIMILAR_USERS_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "n", "must be 1 to %d, got %u", SIMILAR_USERS_MAX, n);
  size_t k = 2 * (size_t)n + 16; /* the user herself and deleted ones are left out below */
  wn_scored *scored = wn_arena_calloc(arena, k, sizeof *scored);
  out->data = wn_arena_calloc(arena, n, sizeof *out->data);
  if (scored == NULL || out->data == NULL) return wn_fail_memory(err);
  pthread_rwlock_rdlock(&engine->lock);
  query.user = live_user(engine, user);
  if (query.user == WN_NO_IX)
    status = wn_fail(err, WN_E_NOT_FOUND, "user", "no user \"%.*s\"",
                     user.len > 100 ? 100 : WN_STR_ARG(user));
  else
    status = similar_users(engine, &query, k, scored, &count, err);
  pthread_rwlock_unlock(&engine->lock);
  if (status != WN_OK) goto cleanup;
  for (size_t i = 0; i < count && out->len < n; i++) {
    wn_user_record record;
    if (scored[i].ix == query.user) continue;
    status = wn_store_get_user(engine->store, scored[i].ix, arena, &record, err);
    if (status == WN_OK)
      out->data[out->len++] = (wn_neighbour){.id = record.id, .score = scored[i].score};
    else if (status != WN_E_NOT_FOUND)
      goto cleanup;
    status = WN_OK;
  }
cleanup:
  return status;
}
