#ifndef WN_FUZZ_DATA_FUZZ_H
#define WN_FUZZ_DATA_FUZZ_H
/* What the fuzzers of readers share: a sink that checks every record once more, and a report
 * that must add up. */
#include "base/mem.h"
#include "data/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_NOW_MS 1700000000000LL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_count {
  uint64_t events, items, users, bad;
} fuzz_count;

static void require(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

static WN_UNUSED wn_status fuzz_event(void *ctx, const wn_event_record *event, wn_error *err) {
  require(wn_event_check(event, FUZZ_NOW_MS, err) == WN_OK, "an unchecked event");
  ((fuzz_count *)ctx)->events++;
  return WN_OK;
}

static WN_UNUSED wn_status fuzz_item(void *ctx, const wn_item_record *item, wn_error *err) {
  wn_buf json = {0};
  require(wn_item_check(item, err) == WN_OK, "an unchecked item");
  wn_item_to_json(item, &json);
  require(!json.failed, "an item that cannot be written");
  wn_buf_clear(&json);
  ((fuzz_count *)ctx)->items++;
  return WN_OK;
}

static WN_UNUSED wn_status fuzz_user(void *ctx, const wn_user_record *user, wn_error *err) {
  wn_buf json = {0};
  require(wn_user_check(user, err) == WN_OK, "an unchecked user");
  wn_user_to_json(user, &json);
  require(!json.failed, "a user that cannot be written");
  wn_buf_clear(&json);
  ((fuzz_count *)ctx)->users++;
  return WN_OK;
}

static WN_UNUSED void fuzz_bad(void *ctx, const wn_bad_line *bad) {
  require(bad->line > 0 && bad->reason[0] != '\0', "a bad line without place or reason");
  require(wn_utf8_valid(wn_str_of(bad->reason)), "a reason that is not UTF-8");
  require(wn_utf8_valid(wn_str_of(bad->field)), "a field that is not UTF-8");
  ((fuzz_count *)ctx)->bad++;
}

static WN_UNUSED wn_read_options fuzz_options(fuzz_count *count) {
  wn_read_options options;
  wn_read_options_defaults(&options);
  options.now_ms = FUZZ_NOW_MS;
  options.on_bad = fuzz_bad;
  options.on_bad_ctx = count;
  return options;
}

/* After wn_reader_finish(). */
static WN_UNUSED void fuzz_settle(const fuzz_count *count, const wn_read_report *report,
                                  const wn_read_options *options, wn_status status,
                                  const wn_error *err) {
  require(report->bad_lines == count->bad, "bad lines are miscounted");
  require(options->skip_bad || status != WN_OK || count->bad == 0, "bad lines were accepted");
  if (status == WN_OK) {
    require(report->events == count->events && report->items == count->items &&
                report->users == count->users,
            "records are miscounted");
  } else {
    require(err->message[0] != '\0' && wn_utf8_valid(wn_str_of(err->message)), "a bad message");
  }
}

#endif
