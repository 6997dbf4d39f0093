/* Kinds of interleave.h and bandit.h, of audits, and of what relates offline to online numbers. */
#include "funnel/bandit.h"
#include "lab/cases_internal.h"
#include "lab/interleave.h"
#include "lab/stats.h"

#include <stdio.h>
#include <string.h>

#define COINS_MAX 8
#define SURE_Z    1.96

/* --- interleaving --- */

static uint32_t *items_of(wn_case *c, const char *field, wn_case_names *names, size_t *len) {
  const json_t *list = wn_case_field(c, field);
  *len = json_array_size(list);
  uint32_t *out = wn_case_alloc(c, *len, sizeof *out);
  for (size_t i = 0; out != NULL && i < *len; i++)
    out[i] = wn_case_name(names, json_array_get(list, i));
  return out;
}

/* The item of that number as the case wrote it, a string or a number. */
static const json_t *item_called(const wn_case *c, const wn_case_names *names, uint32_t number) {
  static const char *const fields[] = {"A", "B"};
  char room[WN_CASE_ID];
  for (int t = 0; t < 2; t++) {
    const json_t *list = json_object_get(c->input, fields[t]);
    for (size_t i = 0; i < json_array_size(list); i++) {
      const json_t *item = json_array_get(list, i);
      const json_t *at = json_object_get(names->map, wn_case_text(item, room));
      if (json_integer_value(at) == number) return item;
    }
  }
  return NULL;
}

typedef struct coins {
  const char *side; /* "AB…" */
  size_t next;
} coins;

static bool toss(void *ctx) {
  coins *c = ctx;
  char side = c->side[c->next];
  c->next += side != '\0';
  return side == 'B';
}

/* Adds the list under its coins, and its share to the distribution. */
static void put_draft(wn_case *c, const wn_case_names *names, const wn_ranking_list rankers[2],
                      const char *sides, double share) {
  coins tossed = {sides, 0};
  size_t k = wn_case_count(c, "k");
  uint32_t *list = wn_case_alloc(c, k, sizeof *list);
  uint8_t *team = wn_case_alloc(c, k, 1);
  char outcome[1024] = "";
  if (!wn_case_ok(c)) return;
  size_t len = wn_team_draft(rankers, k, toss, &tossed, list, team);
  json_t *items = json_array(), *teams = json_array(), *one = json_object();
  for (size_t i = 0, at = 0; i < len; i++) {
    const json_t *item = item_called(c, names, list[i]);
    const char *side = team[i] == 0 ? "A" : "B";
    char room[WN_CASE_ID];
    json_array_append_new(items, json_deep_copy(item));
    json_array_append_new(teams, json_string(side));
    if (at < sizeof outcome)
      at += (size_t)snprintf(outcome + at, sizeof outcome - at, "%s%s:%s", i > 0 ? " " : "",
                             wn_case_text(item, room), side);
  }
  json_object_set_new(one, "list", items);
  json_object_set_new(one, "team", teams);
  json_object_set_new(json_object_get(c->got, "by_coins"), sides, one);
  json_t *distribution = json_object_get(c->got, "distribution");
  wn_case_put(distribution, outcome,
              share + json_number_value(json_object_get(distribution, outcome)));
}

static void team_draft(wn_case *c) {
  wn_case_names names = {0};
  wn_ranking_list rankers[2];
  for (int t = 0; t < 2; t++)
    rankers[t].item = items_of(c, t == 0 ? "A" : "B", &names, &rankers[t].len);
  size_t k = wn_case_count(c, "k"), rounds = (k + 1) / 2;
  json_object_set_new(c->got, "by_coins", json_object());
  json_object_set_new(c->got, "distribution", json_object());
  if (rounds > COINS_MAX) c->wrong = "k";
  for (size_t bits = 0; wn_case_ok(c) && bits < (size_t)1 << rounds; bits++) {
    char sides[COINS_MAX + 1] = "";
    for (size_t r = 0; r < rounds; r++) sides[r] = (bits >> (rounds - 1 - r)) & 1 ? 'B' : 'A';
    put_draft(c, &names, rankers, sides, 1 / (double)((size_t)1 << rounds));
  }
  json_decref(names.map);
}

/* Each set of clicked positions through `credit`. */
static void put_credits(wn_case *c, const char *name, const wn_ranking_list *rankers,
                        const uint32_t *list, const uint8_t *team, size_t len) {
  const json_t *clicks = wn_case_field(c, "clicks");
  json_t *all = json_array();
  for (size_t i = 0; wn_case_ok(c) && i < json_array_size(clicks); i++) {
    size_t n, credit[2];
    double *at = wn_case_numbers_of(c, json_array_get(clicks, i), "clicks", &n);
    size_t *clicked = wn_case_alloc(c, n, sizeof *clicked);
    if (!wn_case_ok(c)) break;
    for (size_t j = 0; j < n; j++) {
      if (!(at[j] >= 0 && at[j] < (double)len)) c->wrong = "clicks";
      clicked[j] = wn_case_ok(c) ? (size_t)at[j] : 0;
    }
    if (!wn_case_ok(c)) break;
    if (rankers != NULL)
      wn_balanced_credit(rankers, list, clicked, n, credit);
    else
      wn_team_credit(team, clicked, n, credit);
    json_array_append_new(all, json_pack("[II]", (json_int_t)credit[0], (json_int_t)credit[1]));
  }
  json_object_set_new(c->got, name, all);
}

static void team_draft_credit(wn_case *c) {
  const json_t *teams = wn_case_field(c, "team");
  size_t n = json_array_size(teams);
  uint8_t *team = wn_case_alloc(c, n, 1);
  for (size_t i = 0; team != NULL && i < n; i++) {
    const char *side = json_string_value(json_array_get(teams, i));
    team[i] = side != NULL && side[0] == 'B';
  }
  put_credits(c, "credit", NULL, NULL, team, n);
}

static void balanced_credit(wn_case *c) {
  wn_case_names names = {0};
  wn_ranking_list rankers[2];
  size_t len;
  for (int t = 0; t < 2; t++)
    rankers[t].item = items_of(c, t == 0 ? "A" : "B", &names, &rankers[t].len);
  uint32_t *list = items_of(c, "list", &names, &len);
  put_credits(c, "scores", rankers, list, NULL, len);
  json_decref(names.map);
}

static void interleaving_test(wn_case *c) {
  wn_interleaving_result r = wn_interleaving_test(
      wn_case_number(c, "wins_a"), wn_case_number(c, "wins_b"), wn_case_number(c, "ties"));
  wn_case_put(c->got, "delta", r.delta);
  wn_case_put(c->got, "p_sign", r.p_sign);
  wn_case_put(c->got, "p_win", r.p_win);
  wn_case_put_pair(c->got, "ci95_wilson", r.low, r.high);
}

/* --- bandits --- */

static void thompson_propensity(wn_case *c) {
  size_t n, m;
  double *alpha = wn_case_numbers(c, "alpha", &n), *beta = wn_case_numbers(c, "beta", &m);
  double *p = wn_case_alloc(c, n, sizeof *p);
  if (n != m) c->wrong = "beta";
  if (!wn_case_ok(c)) return;
  wn_thompson_propensity(alpha, beta, n, p);
  wn_case_put_array(c->got, "p", p, n);
}

static void epsilon_propensity(wn_case *c) {
  size_t n = wn_case_count(c, "n"), greedy = wn_case_count(c, "greedy");
  double eps = wn_case_number(c, "eps"), *p = wn_case_alloc(c, n, sizeof *p);
  if (!wn_case_ok(c)) return;
  wn_epsilon_propensity(eps, n, greedy, p);
  wn_case_put_array(c->got, "p", p, n);
}

static void ucb1(wn_case *c) {
  size_t n, m, best = 0;
  double *plays = wn_case_numbers(c, "n", &n), *reward = wn_case_numbers(c, "reward", &m);
  double total = wn_case_number(c, "N"), *index = wn_case_alloc(c, n, sizeof *index);
  if (n != m) c->wrong = "reward";
  if (!wn_case_ok(c)) return;
  for (size_t i = 0; i < n; i++) {
    index[i] = wn_ucb1_index(plays[i], reward[i], total, 1);
    if (index[i] > index[best]) best = i;
  }
  wn_case_put_array(c->got, "index", index, n);
  wn_case_put(c->got, "arm", (double)best);
}

/* --- audits --- */

typedef struct row_of {
  const char *user, *item; /* in the event's own room where the case has numbers */
  double time;
  char rooms[2][WN_CASE_ID];
} row_of;

static void event_at(wn_case *c, const json_t *rows, size_t i, row_of *out) {
  const json_t *row = json_array_get(rows, i);
  out->user = wn_case_text(json_array_get(row, 0), out->rooms[0]);
  out->item = wn_case_text(json_array_get(row, 1), out->rooms[1]);
  out->time = json_number_value(json_array_get(row, 2));
  if (out->user == NULL || out->item == NULL) c->wrong = "train";
}

static void count_item(json_t *counts, const char *item) {
  wn_case_put(counts, item, 1 + json_number_value(json_object_get(counts, item)));
}

/* How much of train lies in each test event's future; users and items that train lacks. */
static void future(wn_case *c) {
  const json_t *train = wn_case_field(c, "train"), *test = wn_case_field(c, "test");
  size_t n = json_array_size(train), m = json_array_size(test), with = 0, cold_users = 0,
         cold_items = 0;
  double later = 0;
  json_t *users = json_object(), *items = json_object();
  for (size_t j = 0; j < m; j++) {
    row_of e;
    event_at(c, test, j, &e);
    size_t after = 0;
    bool user = false, item = false;
    for (size_t i = 0; i < n && wn_case_ok(c); i++) {
      row_of t;
      event_at(c, train, i, &t);
      after += t.time > e.time;
      user |= strcmp(t.user, e.user) == 0;
      item |= strcmp(t.item, e.item) == 0;
    }
    if (!wn_case_ok(c)) break;
    with += after > 0;
    later += (double)after / (double)(n * m);
    cold_users += !user && json_object_get(users, e.user) == NULL;
    cold_items += !item && json_object_get(items, e.item) == NULL;
    count_item(users, e.user);
    count_item(items, e.item);
  }
  wn_case_put(c->got, "n_train", (double)n);
  wn_case_put(c->got, "n_test", (double)m);
  wn_case_put(c->got, "test_users", (double)json_object_size(users));
  wn_case_put(c->got, "cold_users", (double)cold_users);
  wn_case_put(c->got, "test_items_cold", (double)cold_items);
  wn_case_put(c->got, "test_events_with_future_train", (double)with);
  wn_case_put(c->got, "share_test_events_with_future_train", m > 0 ? (double)with / (double)m : 0);
  wn_case_put(c->got, "mean_share_of_train_after_test_event", later);
  json_decref(users);
  json_decref(items);
}

static void leakage_checks(wn_case *c) {
  const json_t *train = wn_case_field(c, "train"), *test = wn_case_field(c, "test");
  size_t n = json_array_size(train), m = json_array_size(test), overlap = 0, ties = 0, late = 0;
  json_t *of_train = json_object(), *of_all = json_object();
  double first = INFINITY, last = -INFINITY;
  json_object_set_new(c->got, "popularity_train", of_train);
  json_object_set_new(c->got, "popularity_full", of_all);
  for (size_t i = 0; i < n && wn_case_ok(c); i++) {
    row_of e;
    event_at(c, train, i, &e);
    if (!wn_case_ok(c)) return;
    last = fmax(last, e.time);
    count_item(of_train, e.item);
    count_item(of_all, e.item);
  }
  for (size_t j = 0; j < m && wn_case_ok(c); j++) {
    row_of e;
    event_at(c, test, j, &e);
    if (!wn_case_ok(c)) return;
    first = fmin(first, e.time);
    count_item(of_all, e.item);
    bool known = false;
    for (size_t i = 0; i < n; i++) {
      row_of t;
      event_at(c, train, i, &t);
      known |= strcmp(t.user, e.user) == 0 && strcmp(t.item, e.item) == 0;
    }
    overlap += known;
    ties += e.time == last;
  }
  for (size_t i = 0; i < n && wn_case_ok(c); i++) {
    row_of t;
    event_at(c, train, i, &t);
    late += t.time >= first;
  }
  wn_case_put(c->got, "pair_overlap", (double)overlap);
  wn_case_put(c->got, "pair_overlap_rate", m > 0 ? (double)overlap / (double)m : 0);
  wn_case_put(c->got, "boundary_ties", (double)ties);
  wn_case_put(c->got, "train_events_at_or_after_first_test", (double)late);
  future(c);
}

static void behavioural(wn_case *c) {
  double passed = wn_case_number(c, "passed"), total = wn_case_number(c, "total");
  double threshold = wn_case_number(c, "threshold");
  char verdict[64];
  if (!wn_case_ok(c)) return;
  wn_estimate e = wn_wilson(passed, total, 0.05);
  snprintf(verdict, sizeof verdict, "%s: CI %s %.2f",
           e.low >= threshold   ? "pass"
           : e.high < threshold ? "fail"
                                : "inconclusive",
           e.low >= threshold   ? "is above"
           : e.high < threshold ? "is below"
                                : "contains",
           threshold);
  wn_case_put(c->got, "rate", e.value);
  wn_case_put_pair(c->got, "wilson95", e.low, e.high);
  json_object_set_new(c->got, "verdict", json_string(verdict));
}

static void drift(wn_case *c) {
  size_t n, m, a_len, b_len;
  double *p = wn_case_numbers(c, "p_ref", &n), *q = wn_case_numbers(c, "p_cur", &m);
  double *a = wn_case_numbers(c, "ks_a", &a_len), *b = wn_case_numbers(c, "ks_b", &b_len);
  if (n != m) c->wrong = "p_cur";
  if (!wn_case_ok(c)) return;
  wn_ks ks = wn_kolmogorov_smirnov(a, a_len, b, b_len);
  wn_case_put(c->got, "psi", wn_psi(p, q, n));
  wn_case_put(c->got, "js_distance", sqrt(wn_js(p, q, n)));
  wn_case_put(c->got, "ks", ks.distance);
  wn_case_put(c->got, "ks_p", ks.p);
}

/* --- offline against online --- */

/* Among pairs whose online difference is sure: the share on which offline says the same. */
static void pairs(wn_case *c, const double *offline, const double *online, const double *se,
                  size_t n) {
  double sure = 0, unsure = 0, agree = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) {
      double d = online[i] - online[j], off = offline[i] - offline[j];
      if (fabs(d) <= SURE_Z * hypot(se[i], se[j])) {
        unsure++;
        continue;
      }
      sure++;
      agree += off * d > 0;
    }
  wn_case_put(c->got, "pairs_significant", sure);
  wn_case_put(c->got, "pairs_inconclusive", unsure);
  wn_case_put(c->got, "directional_agreement", sure > 0 ? agree / sure : NAN);
}

static void offline_online(wn_case *c) {
  const json_t *off = wn_case_field(c, "offline"), *on = wn_case_field(c, "online");
  size_t n = json_object_size(off), i = 0;
  double *of[3], low, high; /* offline, online, its se */
  const char *name;
  json_t *value;
  for (int k = 0; k < 3; k++) of[k] = wn_case_alloc(c, n, sizeof **of);
  if (!wn_case_ok(c)) return;
  json_object_foreach((json_t *)(uintptr_t)off, name, value) {
    const json_t *pair = json_object_get(on, name);
    if (json_array_size(pair) != 2) c->wrong = "online";
    of[0][i] = json_number_value(value);
    of[1][i] = json_number_value(json_array_get(pair, 0));
    of[2][i++] = json_number_value(json_array_get(pair, 1));
  }
  if (!wn_case_ok(c)) return;
  double r = wn_pearson(of[0], of[1], n);
  wn_pearson_interval(r, n, &low, &high);
  wn_case_put(c->got, "pearson", r);
  wn_case_put_pair(c->got, "pearson_ci95", low, high);
  wn_case_put(c->got, "spearman", wn_spearman(of[0], of[1], n));
  wn_case_put(c->got, "kendall", wn_kendall(of[0], of[1], n));
  pairs(c, of[0], of[1], of[2], n);
}

const wn_case_kind wn_cases_online[] = {{"team_draft", team_draft},
                                        {"team_draft_credit", team_draft_credit},
                                        {"balanced_interleaving_credit", balanced_credit},
                                        {"interleaving_test", interleaving_test},
                                        {"thompson_propensity", thompson_propensity},
                                        {"epsilon_greedy_propensity", epsilon_propensity},
                                        {"ucb1", ucb1},
                                        {"leakage_checks", leakage_checks},
                                        {"behavioural", behavioural},
                                        {"drift", drift},
                                        {"offline_online", offline_online},
                                        {NULL, NULL}};
