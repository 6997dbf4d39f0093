/* winnow.yaml: what it changes, and where each mistake is said to be. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "serve/config.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void load(const char *text, wn_config *config) {
  wn_error err = {0};
  char why[900];
  if (wn_config_parse(wn_str_of(text), "t.yaml", config, &err) != WN_OK)
    fail_msg("%s", wn_error_format(&err, why, sizeof why));
}

static const wn_surface *surface(const wn_config *config, const char *name) {
  const wn_surface *s = wn_surfaces_find(&config->surfaces, wn_str_of(name));
  assert_non_null(s);
  return s;
}

static const wn_signal *signal_of(const wn_config *config, const char *name) {
  uint32_t ix = wn_signals_find(&config->signals, wn_str_of(name));
  assert_int_not_equal(ix, WN_NO_IX);
  return &config->signals.data[ix];
}

static void test_defaults(void **state) {
  (void)state;
  static const char *const empty[] = {"",    "\n\n",      "# nothing\n", "---\n",
                                      "~\n", "server:\n", "{}\n",        "surfaces: {}"};
  wn_config base, config;
  wn_error err = {0};
  assert_int_equal(wn_config_load(NULL, &base, &err), WN_OK);
  assert_int_equal(base.hash, 0);
  assert_string_equal(base.server.host, "127.0.0.1");
  assert_int_equal(base.server.port, 8088);
  assert_int_equal(base.server.body_bytes_max, 1 << 20);
  assert_int_equal(base.server.session_minutes, 1440);
  assert_int_equal(base.server.index_items_min, 20000);
  assert_true(base.server.state_mb == 1024.0f);
  assert_true(base.server.threads >= 1);
  assert_false(base.items_strict);
  for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
    load(empty[i], &config);
    assert_int_equal(config.surfaces.len, base.surfaces.len);
    assert_memory_equal(config.surfaces.data, base.surfaces.data,
                        base.surfaces.len * sizeof *base.surfaces.data);
    assert_int_equal(config.signals.len, base.signals.len);
    assert_memory_equal(&config.server, &base.server, sizeof base.server);
    wn_config_clear(&config);
  }
  wn_config_clear(&base);
  wn_config_clear(&base); /* twice is fine */
}

static void test_values(void **state) {
  (void)state;
  wn_config c;
  load("catalogue: strict\n"
       "signals:\n"
       "  like: {weight: 5, half_life_days: .5, seen: false}\n"
       "  rating: {value_min: ~, below: -1, use_value: true, standing: done}\n"
       "  \"my type\": {weight: -1e-1}\n"
       "models: {als: {factors: 16}}\n"
       "vectors: {model2vec: /some/folder}\n"
       "server: {host: '::1', port: 0, threads: 3, body_bytes_max: 4096, connections_max: 7,\n"
       "  request_seconds_max: 9, idle_seconds_max: 8, session_minutes: 5,\n"
       "  index_items_min: 77, state_mb: .5, events_future_seconds_max: 0}\n",
       &c);
  assert_true(c.items_strict);
  assert_int_not_equal(c.hash, 0);
  assert_true(signal_of(&c, "like")->weight == 5.0f);
  assert_true(signal_of(&c, "like")->half_life_days == 0.5f);
  assert_false(signal_of(&c, "like")->seen);
  assert_true(isnan(signal_of(&c, "rating")->value_min));
  assert_true(signal_of(&c, "rating")->use_value);
  assert_int_equal(signal_of(&c, "rating")->standing, WN_STANDING_DONE);
  assert_true(signal_of(&c, "rating")->weight == 1.0f); /* kept */
  assert_true(signal_of(&c, "my type")->weight == -0.1f);
  assert_true(signal_of(&c, "my type")->declared);
  for (size_t i = 0; i < c.train.models_len; i++)
    if (strcmp(c.train.models[i].cls->name, "als") == 0)
      assert_true(wn_param(c.train.models[i].cls, &c.train.models[i].params, "factors") == 16.0);
  assert_string_equal(c.train.model2vec, "/some/folder");
  assert_false(wn_train_options_want(&c.train, "vectors")->left_out);
  assert_string_equal(c.server.host, "::1");
  assert_int_equal(c.server.port, 0);
  assert_int_equal(c.server.threads, 3);
  assert_int_equal(c.server.body_bytes_max, 4096);
  assert_int_equal(c.server.connections_max, 7);
  assert_int_equal(c.server.request_seconds_max, 9);
  assert_int_equal(c.server.idle_seconds_max, 8);
  assert_int_equal(c.server.session_minutes, 5);
  assert_int_equal(c.server.index_items_min, 77);
  assert_true(c.server.state_mb == 0.5f);
  assert_int_equal(c.server.events_future_seconds_max, 0);
  wn_config_clear(&c);
}

static void test_training(void **state) {
  (void)state;
  wn_config c;
  load("training:\n"
       "  {every_hours: 0.5, events: 4000000000, retries: 0, retry_seconds: 7, minutes_max: 3,\n"
       "   memory_mb: 9, nice: 1, threads: 4, keep: 2,\n"
       "   gate: {surface: feed, users_min: 2, users_max: 5, events_max: 0}}\n",
       &c);
  assert_true(c.training.every_hours == 0.5f);
  assert_int_equal(c.training.events, 4000000000);
  assert_int_equal(c.training.retries, 0);
  assert_int_equal(c.training.retry_seconds, 7);
  assert_float_equal(c.training.minutes_max, 3, 0);
  assert_int_equal(c.training.memory_mb, 9);
  assert_int_equal(c.training.nice, 1);
  assert_int_equal(c.training.threads, 4);
  assert_int_equal(c.training.keep, 2);
  assert_string_equal(wn_config_gate_surface(&c.surfaces, c.training.gate_surface)->name, "feed");
  assert_int_equal(c.training.gate_users_min, 2);
  assert_int_equal(c.training.gate_users_max, 5);
  assert_int_equal(c.training.gate_events_max, 0);
  wn_config_clear(&c);
  load("surfaces: {home: {flavour: flat, retrieve: [{model: popular}]}}\n", &c);
  assert_string_equal(wn_config_gate_surface(&c.surfaces, c.training.gate_surface)->name, "feed");
  wn_config_clear(&c);
}

static void test_surfaces(void **state) {
  (void)state;
  wn_config c, base;
  wn_error err = {0};
  assert_int_equal(wn_config_defaults(&base, &err), WN_OK);
  load("surfaces:\n"
       "  home: {n: 7, fill: false}\n"
       "  similar: {flavour: personal, retrieve: [{model: als}]}\n"
       "  feed:\n"
       "    fallback: []\n"
       "    filter: {seen: [like, buy], where: 'price < 3'}\n"
       "    score: {normalise: zscore}\n"
       "    order: {diversity: none, caps: [{attribute: a, max: 2}],\n"
       "      pins: [{item: x, position: 2}, {item: \"y z\", position: 1}],\n"
       "      boosts: [{where: \"a == 1\", factor: 0}]}\n"
       "  mine:\n"
       "    retrieve: [{model: popular, quota: 5, weight: 0.5}, {model: newest}]\n"
       "    order: {diversity: {lambda: 0.25, by_attribute: section}}\n",
       &c);
  assert_int_equal(c.surfaces.len, base.surfaces.len + 1);
  const wn_surface *home = surface(&c, "home"), *home_default = surface(&base, "home");
  assert_int_equal(home->n, 7);
  assert_true(home->short_slates);
  assert_int_equal(home->generators_len, home_default->generators_len);
  assert_string_equal(home->diversity_by, home_default->diversity_by);
  assert_int_equal(home->diversity_method, home_default->diversity_method);
  /* Another flavour starts empty. */
  const wn_surface *similar = surface(&c, "similar");
  assert_int_equal(similar->flavour, WN_FLAVOUR_PERSONAL);
  assert_int_equal(similar->generators_len, 1);
  assert_int_equal(similar->generators[0].quota, 300);
  assert_int_equal(similar->fallback_len, 0);
  assert_true(similar->seen_all);
  const wn_surface *feed = surface(&c, "feed");
  assert_int_equal(feed->fallback_len, 0);
  assert_true(feed->generators_len > 0);
  assert_false(feed->seen_all);
  assert_int_equal(feed->seen_len, 2);
  assert_string_equal(feed->seen[1], "buy");
  assert_string_equal(feed->where, "price < 3");
  assert_int_equal(feed->normalise, WN_NORM_ZSCORE);
  assert_string_equal(feed->diversity_by, "");
  assert_int_equal(feed->caps[0].max, 2);
  assert_string_equal(feed->pins[1].item, "y z");
  assert_int_equal(feed->pins[0].position, 2);
  assert_true(feed->boosts[0].factor == 0.0f);
  const wn_surface *mine = surface(&c, "mine");
  assert_int_equal(mine->flavour, WN_FLAVOUR_PERSONAL);
  assert_int_equal(mine->generators_len, 2);
  assert_true(mine->generators[0].weight == 0.5f);
  assert_false(mine->diversity_is_model);
  assert_string_equal(mine->diversity_by, "section");
  wn_config_clear(&c);
  load("surfaces: {home: {order: {diversity: {lambda: 0.8}}}}", &c);
  assert_int_equal(home_default->diversity_method, WN_DIVERSITY_DPP);
  assert_int_equal(surface(&c, "home")->diversity_method,
                   WN_DIVERSITY_MMR); /* whose lambda it is */
  wn_config_clear(&c);
  wn_config_clear(&base);
}

/* Every mistake is told with its line, column, field and what was expected. */
static const struct bad {
  const char *text;
  long line, column;
  const char *field, *message;
} bads[] = {
    {"severs: {}", 1, 1, "severs", "unknown key; known here: catalogue, signals"},
    {"\n\nserver:\n  prot: 1", 4, 3, "server.prot", "unknown key; known here: host, port"},
    {"server: {port: 1, port: 2}", 1, 19, "server.port", "stands twice"},
    {"vectors: {npy: x}", 1, 11, "vectors.npy", "unknown key; known here: model2vec"},
    {"vectors: {model2vec: ''}", 1, 22, "vectors.model2vec", "must be a folder"},
    {"signals: {like: {standing: half}}", 1, 28, "signals.like.standing",
     "must be none, open or done"},
    {"training: {gate: {surface: popular}}", 0, 0, "training.gate.surface", "that is not flat"},
    {"training: {keep: 1}", 1, 18, "training.keep", "must be 2 to 10000"},
    {"surfaces: {home: {fill: 3}}", 1, 25, "surfaces.home.fill", "must be false or true"},
    {"- a", 1, 1, "", "must be a mapping, got a list"},
    {"hello", 1, 1, "", "must be a mapping, got a single value"},
    {"server: [1]", 1, 9, "server", "must be a mapping, got a list"},
    {"server:\n  port: 65536", 2, 9, "server.port", "must be 0 to 65535, got 65536"},
    {"server:\n  port: -1", 2, 9, "server.port", "must be 0 to 65535"},
    {"server:\n  port: 1.5", 2, 9, "server.port", "whole number"},
    {"server:\n  port: \"80\"", 2, 9, "server.port", "must be a number, got \"80\""},
    {"server:\n  port: eighty", 2, 9, "server.port", "must be a number, got \"eighty\""},
    {"server:\n  port: ", 2, 8, "server.port", "must be a number, got nothing"},
    {"server:\n  port: {a: 1}", 2, 9, "server.port", "must be a number, got a mapping"},
    {"server: {host: ''}", 1, 16, "server.host", "must not be empty"},
    {"server: {host: [a]}", 1, 16, "server.host", "must be a text, got a list"},
    {"server: {threads: 300}", 1, 19, "server.threads", "must be 0 to 256"},
    {"server: {body_bytes_max: 10}", 1, 26, "server.body_bytes_max", "must be 1024 to"},
    {"server: {connections_max: 0}", 1, 27, "server.connections_max", "must be 1 to"},
    {"server: {session_minutes: nan}", 1, 27, "server.session_minutes", "must be a number"},
    {"server: {events_future_seconds_max: 1e99}", 1, 37, "server.events_future_seconds_max",
     "must be 0 to 86400"},
    {"catalogue: maybe", 1, 12, "catalogue", "must be open or strict, got \"maybe\""},
    {"catalogue: [a]", 1, 12, "catalogue", "must be open or strict, got a list"},
    {"signals:\n  like: 3", 2, 9, "signals.like", "must be a mapping"},
    {"signals: {like: {wieght: 3}}", 1, 18, "signals.like.wieght", "known here: weight"},
    {"signals: {like: {weight: 1001}}", 1, 26, "signals.like.weight", "must be -1000 to 1000"},
    {"signals: {like: {half_life_days: -1}}", 1, 34, "signals.like.half_life_days", "must be 0"},
    {"signals: {like: {seen: yes}}", 1, 24, "signals.like.seen", "must be false or true"},
    {"signals: {like: {seen: 'true'}}", 1, 24, "signals.like.seen", "without quotes"},
    {"signals: {'': {weight: 1}}", 1, 11, "signals", "a key must be a name"},
    {"signals: {[a]: {weight: 1}}", 1, 11, "signals", "a key must be a name"},
    {"dataset: {window: 3}", 1, 11, "dataset.window", "known here: window_days"},
    {"dataset: {window_days: -1}", 1, 24, "dataset.window_days", "must be 0 to 36500"},
    {"dataset: {user_items_max: 1.5}", 1, 27, "dataset.user_items_max", "whole number"},
    {"models: {asl: {}}", 1, 10, "models.asl", "unknown model; known: "},
    {"models: {als: {factor: 1}}", 1, 16, "models.als.factor", "known: factors"},
    {"models: {als: {factors: 0}}", 1, 25, "models.als.factors", "must be"},
    {"models: {als: {factors: x}}", 1, 25, "models.als.factors", "must be a number"},
    {"surfaces: {home: {N: 1}}", 1, 19, "surfaces.home.N", "known here: flavour, n"},
    {"objectives: {buy: {label: buy within}}", 1, 27, "objectives.buy.label", "expected a time"},
    {"objectives: {buy: 'watch >= x'}", 1, 19, "objectives.buy", "expected a number"},
    {"objectives: {buy: {wieght: 1}}", 1, 20, "objectives.buy.wieght",
     "label, weight, position, among"},
    {"objectives: {buy: {weight: 2000}}", 1, 28, "objectives.buy.weight", "must be -1000 to 1000"},
    {"objectives: {buy: {position: top}}", 1, 30, "objectives.buy.position",
     "none, feature, pal or ipw"},
    {"objectives: {a b: }", 1, 14, "objectives.a b", "letters, digits"},
    {"surfaces: {home: {score: {objectives: {buy: 1}}}}", 1, 39, "surfaces.home",
     "no objective \"buy\"; under `objectives:` there is: none"},
    {"objectives: {buy: }\nsurfaces: {similar: {score: {objectives: {buy: 1}}}}", 2, 42,
     "surfaces.similar", "score.heavy must not be 0"},
    {"models: {ranker: {features: 'place, sorce'}}", 1, 29, "models.ranker.features",
     "unknown features \"sorce\"; there are: place, score, joint"},
    {"models: {ranker: {features: '-place, place'}}", 1, 29, "models.ranker.features",
     "none are left"},
    {"surfaces: {home: {n: 1001}}", 1, 22, "surfaces.home.n", "must be 1 to 1000"},
    {"surfaces: {'a b': {n: 1}}", 1, 12, "surfaces.a b", "letters, digits"},
    {"surfaces: {new: {n: 1}}", 1, 17, "surfaces.new.retrieve", "at least one generator"},
    {"surfaces: {home: {flavour: flta}}", 1, 28, "surfaces.home.flavour",
     "must be flat, personal or feed"},
    {"surfaces:\n  home:\n    retrieve:\n      - {model: als, quota: 3}\n"
     "      - {model: als, qutoa: 3}",
     5, 22, "surfaces.home.retrieve[1].qutoa", "known here: model, quota, weight"},
    {"surfaces:\n  home:\n    retrieve:\n      - {model: als}\n      - {model: als}", 5, 17,
     "surfaces.home.retrieve[1].model", "twice"},
    {"surfaces:\n  home:\n    retrieve:\n      - model: alas", 4, 16,
     "surfaces.home.retrieve[0].model", "no model \"alas\""},
    {"surfaces: {home: {retrieve: [{quota: 3}]}}", 1, 30, "surfaces.home.retrieve[0]",
     "\"model\" is missing"},
    {"surfaces: {home: {retrieve: [{model: als, quota: 0}]}}", 1, 50,
     "surfaces.home.retrieve[0].quota", "must be 1 to 10000"},
    {"surfaces: {home: {retrieve: {model: als}}}", 1, 29, "surfaces.home.retrieve",
     "must be a list, got a mapping"},
    {"surfaces: {home: {filter: {seen: some}}}", 1, 34, "surfaces.home.filter.seen",
     "all, none or a list"},
    {"surfaces: {home: {filter: {seen: [a, [b]]}}}", 1, 38, "surfaces.home.filter.seen[1]",
     "must be a text"},
    /* inside an expression: the column of the token */
    {"surfaces:\n  home:\n    filter:\n      where: price <", 4, 21, "surfaces.home.filter.where",
     ""},
    {"surfaces:\n  home:\n    filter:\n      where: 'price < < 3'", 4, 23,
     "surfaces.home.filter.where", ""},
    {"surfaces:\n  home:\n    filter:\n      where: |\n        price < 3\n        and ) x", 6, 13,
     "surfaces.home.filter.where", ""},
    {"surfaces: {home: {score: {normalise: max}}}", 1, 38, "surfaces.home.score.normalise",
     "rank, minmax, zscore, none or blend"},
    {"surfaces: {home: {order: {diversity: {lambda: 2}}}}", 1, 47,
     "surfaces.home.order.diversity.lambda", "must be 0 to 1"},
    {"surfaces: {home: {order: {diversity: {by: popular}}}}", 1, 43,
     "surfaces.home.order.diversity.by", "not a model with item vectors"},
    {"surfaces: {home: {order: {diversity: {by: als, by_attribute: x}}}}", 1, 38,
     "surfaces.home.order.diversity", "not both"},
    {"surfaces: {similar: {order: {diversity: {lambda: 0.5}}}}", 1, 41,
     "surfaces.similar.order.diversity", "needs `by`"},
    {"surfaces: {home: {order: {caps: [{attribute: a}]}}}", 1, 34, "surfaces.home.order.caps[0]",
     "\"max\" is missing"},
    {"surfaces: {home: {order: {caps: [{attribute: a, max: 1}, {attribute: a, max: 2}]}}}", 1, 70,
     "surfaces.home.order.caps[1].attribute", "twice"},
    {"surfaces: {home: {order: {pins: [{item: a, position: 0}]}}}", 1, 54,
     "surfaces.home.order.pins[0].position", "must be 1 to 1000"},
    {"surfaces: {home: {order: {pins: [{item: a, position: 1}, {item: b, position: 1}]}}}", 1, 78,
     "surfaces.home.order.pins[1].position", "twice"},
    {"surfaces: {home: {order: {slots: [{position: 2, explore: cold}]}}}", 1, 35,
     "surfaces.home.order.slots[0].impressions", "explore: cold needs it"},
    {"surfaces: {home: {order: {slots: [{position: 2, explore: random, impressions: 3}]}}}", 1, 79,
     "surfaces.home.order.slots[0].impressions", "explore: cold"},
    {"surfaces: {home: {order: {slots: [{position: 2, explore: cold, impressions: 9, "
     "impressions_max: 9}]}}}",
     1, 97, "surfaces.home.order.slots[0].impressions_max", "more than impressions (9)"},
    {"surfaces: {home: {order: {slots: [{position: 2, where: a == 1, share: 0.5}]}}}", 1, 71,
     "surfaces.home.order.slots[0].share", "slots that explore"},
    {"surfaces: {home: {order: {slots: [{position: 2, explore: random, share: 2}]}}}", 1, 73,
     "surfaces.home.order.slots[0].share", "must be 0 to 1"},
    {"surfaces: {home: {order: {slots: [{position: 2, explore: greedy}]}}}", 1, 58,
     "surfaces.home.order.slots[0].explore", "must be false, random, cold"},
    {"surfaces: {home: {order: {slots: [{position: 2}]}}}", 1, 35,
     "surfaces.home.order.slots[0].where", "give a condition, or explore"},
    {"surfaces: {home: {order: {bandit: {explore: cold}}}}", 1, 45,
     "surfaces.home.order.bandit.explore", "must be thompson"},
    {"surfaces: {home: {order: {bandit: {explore: thompson, among: 1}}}}", 1, 62,
     "surfaces.home.order.bandit.among", "must be 2 to 200"},
    {"surfaces: {home: {order: {bandit: {explore: thompson, prior: 0}}}}", 1, 62,
     "surfaces.home.order.bandit.prior", "more than 0"},
    {"surfaces: {home: {order: {bandit: {share: 0.5}}}}", 1, 35, "surfaces.home.order.bandit",
     "\"explore\" is missing"},
    {"surfaces: {home: {order: {temperature: 1, bandit: {explore: thompson}}}}", 1, 40,
     "surfaces.home.order.temperature", "either a temperature or a bandit"},
    {"surfaces: {home: {score: {fatigue: {half_life_hours: 3}}}}", 1, 36,
     "surfaces.home.score.fatigue", "\"rate\" is missing"},
    {"surfaces: {home: {score: {fatigue: {rate: 2}}}}", 1, 43, "surfaces.home.score.fatigue.rate",
     "must be 0 to 1"},
    {"surfaces: {home: {score: {fatigue: {rate: 0.1, half_life_hours: 0}}}}", 1, 65,
     "surfaces.home.score.fatigue.half_life_hours", "more than 0"},
    {"surfaces: {home: {order: {boosts: [{where: a == 1}]}}}", 1, 36,
     "surfaces.home.order.boosts[0]", "\"factor\" is missing"},
    {"surfaces: {home: {order: {boosts: [{where: 'a ==', factor: 1}]}}}", 1, 49,
     "surfaces.home.order.boosts[0].where", ""},
    {"surfaces: {home: {order: {boosts: [{where: a == 1, factor: -1}]}}}", 1, 60,
     "surfaces.home.order.boosts[0].factor", "must be 0 to 1000"},
    /* not YAML */
    {"server: {port: 1", 2, 1, "", "not valid YAML"},
    {"a: b: c", 1, 5, "", "not valid YAML"},
    {"server:\n\tport: 1", 2, 1, "", "not valid YAML"},
    {"server: *nobody", 1, 9, "", "not valid YAML"},
    {"a\n\xff: 1", 2, 1, "", "not valid YAML"},
    {"server: {}\n---\nserver: {}", 3, 1, "", "one YAML document"},
};

static void test_errors(void **state) {
  (void)state;
  size_t wrong = 0;
  for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
    const struct bad *b = &bads[i];
    wn_config config;
    wn_error err = {0};
    wn_status status = wn_config_parse(wn_str_of(b->text), "t.yaml", &config, &err);
    if (status == WN_E_CONFIG && err.line == b->line && err.column == b->column &&
        strcmp(err.field, b->field) == 0 && strcmp(err.file, "t.yaml") == 0 &&
        strstr(err.message, b->message) != NULL)
      continue;
    char why[900];
    wrong++;
    print_error("%s\n  got %s: %s\n  want %ld:%ld: %s: %s\n", b->text, wn_status_name(status),
                wn_error_format(&err, why, sizeof why), b->line, b->column, b->field, b->message);
  }
  assert_int_equal(wrong, 0);
}

static void test_limits(void **state) {
  (void)state;
  wn_config config;
  wn_error err = {0};
  wn_buf text = {0};
  /* too many surfaces */
  wn_buf_str(&text, "surfaces:\n");
  for (int i = 0; i < 70; i++) wn_buf_printf(&text, "  s%d: {retrieve: [{model: popular}]}\n", i);
  assert_int_equal(wn_config_parse((wn_str){text.data, text.len}, "t", &config, &err), WN_E_CONFIG);
  assert_int_equal(err.line, 62); /* 60 fit beside the four defaults */
  /* too many signals */
  wn_buf_reset(&text);
  wn_buf_str(&text, "signals:\n");
  for (int i = 0; i < 300; i++) wn_buf_printf(&text, "  t%d: {weight: 1}\n", i);
  assert_int_equal(wn_config_parse((wn_str){text.data, text.len}, "t", &config, &err), WN_E_CONFIG);
  assert_non_null(strstr(err.message, "at most 256 event types"));
  /* too many rules */
  wn_buf_reset(&text);
  wn_buf_str(&text, "surfaces: {home: {filter: {seen: [");
  for (int i = 0; i < 33; i++) wn_buf_printf(&text, "t%d, ", i);
  wn_buf_str(&text, "]}}}");
  assert_int_equal(wn_config_parse((wn_str){text.data, text.len}, "t", &config, &err), WN_E_CONFIG);
  assert_string_equal(err.field, "surfaces.home.filter.seen[32]");
  /* too long a name, too long a file */
  wn_buf_reset(&text);
  wn_buf_str(&text, "signals: {");
  for (int i = 0; i < 65; i++) wn_buf_char(&text, 'x');
  wn_buf_str(&text, ": {}}");
  assert_int_equal(wn_config_parse((wn_str){text.data, text.len}, "t", &config, &err), WN_E_CONFIG);
  assert_non_null(strstr(err.message, "at most 64 bytes"));
  for (int i = 0; i < (1 << 20); i++) wn_buf_char(&text, '#');
  assert_int_equal(wn_config_parse((wn_str){text.data, text.len}, "t", &config, &err),
                   WN_E_TOO_LARGE);
  /* a value that is its own ancestor, and a bomb of aliases */
  assert_int_equal(wn_config_parse(WN_STR("server: &a {host: *a}"), "t", &config, &err),
                   WN_E_CONFIG);
  assert_int_equal(
      wn_config_parse(WN_STR("signals: {a: &a {weight: 1}, b: *a, c: *a}"), "t", &config, &err),
      WN_OK);
  assert_true(signal_of(&config, "c")->weight == 1.0f);
  wn_config_clear(&config);
  wn_buf_clear(&text);
}

static void test_files(void **state) {
  (void)state;
  wn_config config;
  wn_error err = {0};
  char path[4096], why[900];
  assert_int_not_equal(wn_config_load("/nonexistent/winnow.yaml", &config, &err), WN_OK);
  wn_config_clear(&config);
  const char *root = getenv("WINNOW_SOURCE");
  if (root == NULL) skip();
  snprintf(path, sizeof path, "%s/examples/winnow.yaml", root);
  if (wn_config_load(path, &config, &err) != WN_OK)
    fail_msg("%s", wn_error_format(&err, why, sizeof why));
  assert_int_equal(surface(&config, "home")->n, 24);
  assert_int_equal(surface(&config, "basket")->generators_len, 2);
  assert_true(signal_of(&config, "watch")->use_value);
  wn_config_clear(&config);
}

static bool is_trained(const wn_config *config, const char *name) {
  for (size_t i = 0; i < config->train.models_len; i++)
    if (strcmp(config->train.models[i].cls->name, name) == 0)
      return !config->train.models[i].left_out;
  return false;
}

/* Dear models are trained when a configuration names them, under models or in a surface. */
static void test_models_by_name(void **state) {
  (void)state;
  wn_config c;
  load("{}", &c);
  assert_true(is_trained(&c, "als") && is_trained(&c, "random"));
  assert_false(is_trained(&c, "ridge") || is_trained(&c, "ridge-seq") || is_trained(&c, "ease"));
  wn_config_clear(&c);
  load("models: {ridge: {}, ease: {lambda: 7}}", &c);
  assert_true(is_trained(&c, "ridge") && is_trained(&c, "ease") && is_trained(&c, "als"));
  assert_false(is_trained(&c, "ridge-seq"));
  wn_config_clear(&c);
  load("surfaces: {a: {retrieve: [{model: ridge-seq}], fallback: [{model: ease}]}}", &c);
  assert_true(is_trained(&c, "ridge-seq") && is_trained(&c, "ease"));
  assert_false(is_trained(&c, "ridge"));
  wn_config_clear(&c);
}

static void test_dataset(void **state) {
  (void)state;
  wn_config c;
  load("dataset: {window_days: 90, active_events: 3}", &c);
  assert_true(c.train.dataset.window_days == 90 && c.train.dataset.active_events == 3);
  wn_config_clear(&c);
}

static void test_objectives(void **state) {
  (void)state;
  wn_config config;
  wn_error err = {0};
  char rule[128];
  static const char text[] =
      "objectives:\n"
      "  click:\n"
      "  finish: watch >= 0.75\n"
      "  buy: {label: buy or cart within 7d, weight: 5}\n"
      "  long: {label: watch >= 0.5, among: length, weight: -0.5, position: pal}\n"
      "surfaces: {home: {score: {objectives: {buy: 2}}}}\n";
  assert_int_equal(wn_config_parse(wn_str_of(text), "t", &config, &err), WN_OK);
  const wn_objectives *all = &config.train.objectives;
  assert_int_equal(all->len, 4);
  static const char *const rules[] = {"click", "watch >= 0.75", "buy or cart within 7d",
                                      "watch >= 0.5"};
  for (size_t k = 0; k < 4; k++)
    assert_string_equal(wn_label_rule_print(&all->data[k].rule, rule, sizeof rule), rules[k]);
  assert_string_equal(all->data[3].among, "length");
  assert_int_equal(all->data[3].position, WN_POSITION_PAL);
  assert_true(all->data[0].weight == 1 && all->data[2].weight == 5);
  const wn_surface *home = wn_surfaces_find(&config.surfaces, WN_STR("home"));
  const wn_surface *feed = wn_surfaces_find(&config.surfaces, WN_STR("feed"));
  assert_true(home->objectives_len == 1 && home->objectives[0].weight == 2);
  assert_true(feed->objectives_len == 4 && feed->objectives[3].weight == -0.5f);
  const wn_train_spec *ranker = wn_train_options_want(&config.train, "ranker");
  assert_false(ranker->left_out);
  wn_config_clear(&config);
}

/* docs/configuration.md names every parameter with its default and range. */
static void test_documented(void **state) {
  (void)state;
  wn_error err = {0};
  wn_buf doc = {0};
  char path[4096], row[256];
  const char *root = getenv("WINNOW_SOURCE");
  if (root == NULL) skip();
  snprintf(path, sizeof path, "%s/docs/configuration.md", root);
  assert_int_equal(wn_read_file(path, 1 << 20, &doc, &err), WN_OK);
  const char *text = wn_buf_c(&doc);
  size_t lacking = 0;
  for (size_t c = 0; c < wn_model_class_count(); c++) {
    const wn_model_class *cls = wn_model_class_at(c);
    for (size_t i = 0; i < cls->params_len; i++) {
      const wn_param_spec *p = &cls->params[i];
      snprintf(row, sizeof row, "| `%s.%s` | %g | %g to %g |", cls->name, p->name, p->value, p->min,
               p->max);
      if (strstr(text, row) != NULL) continue;
      print_error("docs/configuration.md lacks: %s %s |\n", row, p->doc);
      lacking++;
    }
  }
  for (size_t i = 0; i < wn_dataset_keys_len; i++) {
    const wn_dataset_key *k = &wn_dataset_keys[i];
    snprintf(row, sizeof row, "| `%s` | 0 | %g to %g |", k->name, k->min, k->max);
    if (strstr(text, row) != NULL) continue;
    print_error("docs/configuration.md lacks: %s %s |\n", row, k->doc);
    lacking++;
  }
  wn_buf_clear(&doc);
  assert_int_equal(lacking, 0);
}

static void test_memory(void **state) {
  (void)state;
  wn_status status = WN_E_MEMORY;
  for (long fail = 0; status == WN_E_MEMORY && fail < 200; fail++) {
    wn_config config;
    wn_error err = {0};
    wn_mem_fail_after(fail);
    status = wn_config_parse(WN_STR("surfaces: {a: {retrieve: [{model: als}], filter: {where: "
                                    "'a == 1'}}, b: {retrieve: [{model: als}]}}"),
                             "t", &config, &err);
    wn_mem_fail_after(-1);
    assert_true(status == WN_OK || status == WN_E_MEMORY);
    if (status == WN_OK) wn_config_clear(&config);
  }
  assert_int_equal(status, WN_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_objectives),     cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_values),         cmocka_unit_test(test_training),
      cmocka_unit_test(test_surfaces),       cmocka_unit_test(test_errors),
      cmocka_unit_test(test_limits),         cmocka_unit_test(test_files),
      cmocka_unit_test(test_models_by_name), cmocka_unit_test(test_dataset),
      cmocka_unit_test(test_documented),     cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
