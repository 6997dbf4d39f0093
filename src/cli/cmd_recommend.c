/* winnow recommend and winnow similar: one slate on the terminal, from the same engine that serves.
 */
#include "cli/cli.h"

#include "serve/answer_json.h"
#include "serve/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct {
  const char *data, *config, *surface, *user, *item, *session, *filter;
  wn_text_list exclude;
  uint64_t n; /* UINT64_MAX: not given */
  bool explain, json;
} opt;

#define COMMON_OPTIONS                                                                             \
  {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},                                   \
      {"n", WN_OPT_UINT, &opt.n, "N", "how many, 1 to 1000; default: the surface's"},              \
      {"filter", WN_OPT_TEXT, &opt.filter, "EXPRESSION",                                           \
       "condition on attributes, for example 'price < 20'"},                                       \
      {"exclude", WN_OPT_LIST, &opt.exclude, "ITEM", "not this item; may be given again"},         \
      {"explain", WN_OPT_FLAG, &opt.explain, NULL, "what each stage did, as JSON"},                \
      {"config", WN_OPT_TEXT, &opt.config, "FILE", "default DIR/winnow.yaml when it is there"}, {  \
    "json", WN_OPT_FLAG, &opt.json, NULL, "the slate as JSON"                                      \
  }

static const wn_option recommend_options[] = {
    {"user", WN_OPT_TEXT, &opt.user, "USER", "for whom; may be unknown"},
    {"item", WN_OPT_TEXT, &opt.item, "ITEM", "the item of a flat surface"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME", "default home"},
    {"session", WN_OPT_TEXT, &opt.session, "ID", "the session of a feed"},
    COMMON_OPTIONS,
};
static const wn_command recommend_command = {
    "recommend",
    "print a slate for a user",
    "--data DIR --user USER [--surface NAME] [--filter EXPRESSION]",
    "Works beside a running server. Nothing is logged as shown.",
    recommend_options,
    sizeof recommend_options / sizeof recommend_options[0]};

static const wn_option similar_options[] = {
    {"item", WN_OPT_TEXT, &opt.item, "ITEM", "what is like this item"},
    {"user", WN_OPT_TEXT, &opt.user, "USER", "who is like this user"},
    COMMON_OPTIONS,
};
static const wn_command similar_command = {"similar",
                                           "print what is like an item, or who is like a user",
                                           "--data DIR --item ITEM | --user USER",
                                           NULL,
                                           similar_options,
                                           sizeof similar_options / sizeof similar_options[0]};

static void sources_of(const wn_slate_answer *slate, uint32_t sources, char *buf, size_t size) {
  size_t used = 0;
  buf[0] = '\0';
  for (size_t g = 0; g < slate->source_count && used < size; g++)
    if (((sources >> g) & 1) != 0)
      used += (size_t)snprintf(buf + used, size - used, "%s%.*s", used > 0 ? " " : "",
                               WN_STR_ARG(slate->source_names[g]));
}

static void slate_table(const wn_slate_answer *slate, wn_buf *out) {
  wn_table table;
  char sources[128];
  wn_table_init(&table, 5, 0x5);
  const char *head[] = {"#", "item", "score", "proposed by", "title"};
  for (size_t i = 0; i < 5; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < slate->len; i++) {
    const wn_slate_answer_item *item = &slate->items[i];
    wn_table_cell(&table, "%zu", i + 1);
    wn_table_cell_str(&table, item->id, 40);
    wn_table_cell(&table, "%.3f", (double)item->score);
    sources_of(slate, item->sources, sources, sizeof sources);
    wn_table_cell(&table, "%s", item->pinned ? "pin" : sources);
    wn_table_cell_str(&table, item->title, 60);
  }
  wn_buf_printf(out, "%.*s", WN_STR_ARG(slate->surface));
  if (slate->user.ptr != NULL)
    wn_buf_printf(out, " for %.*s%s", WN_STR_ARG(slate->user),
                  slate->user_known ? "" : " (unknown so far: nothing personal)");
  if (slate->snapshot > 0)
    wn_buf_printf(out, ", snapshot %" PRIu64 ", scored by the %s", slate->snapshot,
                  slate->scored_by);
  else
    wn_buf_str(out, ", nothing trained yet");
  wn_buf_printf(out, ", %.2f ms\n", slate->took_ms);
  if (slate->len == 0) {
    wn_buf_str(out, slate->snapshot > 0 ? "no item passed the filters\n"
                                        : "no item to show: import some, then winnow train\n");
    wn_buf_clear(&table.cells);
  } else {
    wn_table_print(&table, out);
  }
  if (slate->explain_json.ptr != NULL)
    wn_buf_printf(out, "%.*s\n", WN_STR_ARG(slate->explain_json));
  out->len--; /* wn_cli_print ends the line */
}

static void users_print(const wn_neighbour_list *users, wn_buf *out) {
  wn_json j;
  wn_table table;
  wn_json_init(&j, out);
  wn_table_init(&table, 2, 0x2);
  if (opt.json) wn_json_array(&j);
  wn_table_cell(&table, "user");
  wn_table_cell(&table, "cosine");
  for (size_t i = 0; i < users->len; i++) {
    wn_table_cell_str(&table, users->data[i].id, 60);
    wn_table_cell(&table, "%.3f", (double)users->data[i].score);
    if (!opt.json) continue;
    wn_json_object(&j);
    wn_json_key(&j, "id");
    wn_json_string(&j, users->data[i].id);
    wn_json_key(&j, "score");
    wn_json_float(&j, users->data[i].score);
    wn_json_end_object(&j);
  }
  if (opt.json) {
    wn_json_end_array(&j);
    wn_buf_clear(&table.cells);
  } else {
    wn_table_print(&table, out);
    out->len--;
  }
}

/* What was given is a key; what was not is fine. */
static wn_status check_keys(wn_error *err) {
  const struct {
    const char *text, *field;
  } keys[] = {{opt.user, "user"}, {opt.item, "item"}, {opt.session, "session"}};
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    if (keys[i].text == NULL) continue;
    wn_status status = wn_key_check(wn_str_of(keys[i].text), keys[i].field, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static wn_status answer(wn_engine *engine, bool users, wn_arena *arena, wn_buf *out,
                        wn_error *err) {
  wn_status status;
  wn_str *exclude = wn_arena_calloc(arena, opt.exclude.len + 1, sizeof *exclude);
  if (exclude == NULL) return wn_fail_memory(err);
  if (opt.n != UINT64_MAX && (opt.n < 1 || opt.n > WN_SLATE_MAX))
    return wn_fail(err, WN_E_ARGUMENT, "n", "must be 1 to %d, got %" PRIu64, WN_SLATE_MAX, opt.n);
  if (users) {
    wn_neighbour_list near;
    status = wn_engine_similar_users(engine, wn_str_of(opt.user),
                                     opt.n != UINT64_MAX ? (uint32_t)opt.n : 10, arena, &near, err);
    if (status == WN_OK) users_print(&near, out);
    return status;
  }
  for (size_t i = 0; i < opt.exclude.len; i++) exclude[i] = wn_str_of(opt.exclude.data[i]);
  wn_slate_request request = {.surface = wn_str_of(opt.surface),
                              .user = wn_str_of(opt.user),
                              .item = wn_str_of(opt.item),
                              .session = wn_str_of(opt.session),
                              .filter = wn_str_of(opt.filter),
                              .exclude = exclude,
                              .exclude_len = opt.exclude.len,
                              .n = opt.n != UINT64_MAX ? (uint32_t)opt.n : 0,
                              .explain = opt.explain};
  wn_slate_answer slate;
  status = wn_engine_slate(engine, &request, arena, &slate, err);
  if (status != WN_OK) return status;
  if (opt.json)
    wn_slate_answer_to_json(&slate, out);
  else
    slate_table(&slate, out);
  return WN_OK;
}

static int run(const wn_command *command, bool users) {
  wn_engine *engine = NULL;
  wn_config config;
  wn_arena arena;
  wn_buf out = {0};
  wn_meter meter;
  wn_error err = {0};
  wn_status status;
  wn_meter_init(&meter);
  wn_arena_init(&arena, (size_t)256 << 20);
  WN_TRY(check_keys(&err));
  WN_TRY(wn_cli_config(opt.config, opt.data, &config, &err)); /* the engine's from then on */
  WN_TRY(wn_engine_open(opt.data, WN_STORE_READ, &config, &meter.progress, &engine, &err));
  wn_meter_end(&meter);
  WN_TRY(answer(engine, users, &arena, &out, &err));
cleanup:
  wn_meter_end(&meter);
  int exit_status = status == WN_OK ? wn_cli_print(&out) : wn_cli_fail(command, &err);
  wn_buf_clear(&out);
  if (engine != NULL) wn_engine_close(engine);
  wn_arena_clear(&arena);
  return exit_status;
}

int wn_cmd_recommend(int argc, char **argv) {
  opt.surface = "home";
  opt.n = UINT64_MAX;
  int status = wn_cli_parse(&recommend_command, argc, argv, NULL);
  if (status >= 0) return status;
  if (opt.data == NULL) return wn_cli_usage(&recommend_command, "--data is missing");
  return run(&recommend_command, false);
}

int wn_cmd_similar(int argc, char **argv) {
  opt.surface = "similar";
  opt.n = UINT64_MAX;
  int status = wn_cli_parse(&similar_command, argc, argv, NULL);
  if (status >= 0) return status;
  if (opt.data == NULL) return wn_cli_usage(&similar_command, "--data is missing");
  if ((opt.item == NULL) == (opt.user == NULL))
    return wn_cli_usage(&similar_command, "give --item or --user, one of them");
  return run(&similar_command, opt.user != NULL);
}
