/* A benchmark's catalogue as an item source: the file is the memory. */
#include "data/reader.h"

typedef struct scan {
  const wn_item_file *file;
  wn_status (*each)(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err);
  void *ctx;
} scan;

static wn_status pass_item(void *ctx, const wn_item_record *item, wn_error *err) {
  const scan *s = ctx;
  int64_t id;
  if (!wn_parse_int64(item->id, &id) || id < 0 || id > INT32_MAX)
    return wn_fail(err, WN_E_FORMAT, "items",
                   "the id of an item beside a file of numbers is a number, got \"%.*s\"",
                   item->id.len > 60 ? 60 : (int)item->id.len, item->id.ptr);
  if (id >= s->file->items) return WN_OK;
  return s->each(s->ctx, (wn_item_ix)id, item, err);
}

static wn_status scan_file(void *ctx,
                           wn_status (*each)(void *each_ctx, wn_item_ix ix,
                                             const wn_item_record *item, wn_error *err),
                           void *each_ctx, wn_error *err) {
  scan s = {.file = ctx, .each = each, .ctx = each_ctx};
  wn_read_options options;
  wn_read_report report;
  wn_read_options_defaults(&options);
  options.format = "jsonl";
  options.kind = WN_RECORD_ITEMS;
  const wn_sink sink = {.ctx = &s, .item = pass_item};
  return wn_read(s.file->path, &options, &sink, &report, err);
}

wn_item_source wn_item_file_source(wn_item_file *file) {
  return (wn_item_source){.ctx = file, .scan = scan_file};
}
