/* Mutated snapshots through the loader, the models' validators and queries.
 *
 * An input is a list of changes to one sample snapshot: first a byte of mode (bit 0: recompute all
 * checksums afterwards, so that the validators behind them are reached; bit 1: cut the file
 * at the last change's place), then 8 bytes a change: place (4), kind (1), value (3). Whatever is
 * then accepted must answer queries without touching memory that is not its own. */

#include "base/mem.h"
#include "base/rng.h"
#include "model/snapshot_format.h"
#include "model/train.h"
#include "../tests/model/tiny_model2vec.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS 40u
#define USERS 30u

static unsigned char *sample;  /* aligned */
static volatile uint64_t sink; /* what is read must be read */
static size_t sample_size;

static wn_status scan(void *ctx,
                      wn_status (*each)(void *each_ctx, wn_item_ix ix, const wn_item_record *item,
                                        wn_error *err),
                      void *each_ctx, wn_error *err) {
  static const char *const words[] = {"red boat", "green boat on a lake", "red car", "lake",
                                      "tree"};
  (void)ctx;
  for (uint32_t ix = 0; ix < ITEMS; ix++) {
    wn_str list[] = {WN_STR("a"), WN_STR("b")};
    wn_attr attr = {.name = WN_STR("tags"), .kind = WN_ATTR_LIST, .list = list, .list_len = 2};
    wn_item_record item = {.id = WN_STR("x"),
                           .title = wn_str_of(words[ix % 5]),
                           .text = wn_str_of(words[ix % 3]),
                           .attrs = {&attr, 1}};
    wn_status status = each(each_ctx, ix, &item, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static wn_status make_sample(const char *path) {
  wn_status status;
  wn_error err;
  wn_rng rng;
  wn_event events[300];
  wn_dataset data = {0};
  wn_models models = {0};
  wn_snapshot_writer *writer = NULL;
  wn_train_options options;
  wn_buf bytes = {0};
  wn_rng_seed(&rng, 1);
  for (size_t i = 0; i < 300; i++)
    events[i] = (wn_event){.user = (uint32_t)wn_rng_below(&rng, USERS),
                           .item = (uint32_t)wn_rng_below(&rng, ITEMS),
                           .value = NAN,
                           .time_ms = 1700000000000 + (int64_t)i * 3600000,
                           .seq = i + 1};
  WN_TRY(wn_dataset_build_events((wn_event_list){events, 300}, NULL, USERS, ITEMS, &data, &err));
  data.items_source.scan = scan;
  wn_train_options_defaults(&options);
  options.threads = 1;
  WN_TRY(wn_train_options_set(&options, "als.factors=8", &err));
  for (size_t i = 0; i < options.models_len; i++) options.models[i].left_out = false;
  snprintf(options.model2vec, sizeof options.model2vec, "%s.tiny", path);
  tiny_model2vec(options.model2vec);
  WN_TRY(wn_train(&data, &options, NULL, &models, &err));
  WN_TRY(wn_snapshot_writer_create(path, &writer, &err));
  WN_TRY(wn_models_save(&models, writer, &err));
  WN_TRY(wn_history_write((wn_event_list){events, 300}, NULL, USERS, data.now_ms, writer, &err));
  wn_snapshot_about about = {.number = 1, .users = USERS, .items = ITEMS, .nnz = 300};
  WN_TRY(wn_snapshot_writer_finish(writer, &about, &err));
  WN_TRY(wn_read_file(path, 1 << 24, &bytes, &err));
  sample_size = bytes.len;
  sample = aligned_alloc(WN_SNAPSHOT_ALIGN, (size_t)wn_snapshot_align(bytes.len));
  if (sample != NULL) memcpy(sample, bytes.data, bytes.len);
cleanup:
  tiny_remove(options.model2vec);
  wn_buf_clear(&bytes);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
  return status;
}

static bool prepare(void) {
  if (sample != NULL) return true;
  char path[] = "/tmp/winnow-fuzz-XXXXXX";
  int fd = mkstemp(path);
  if (fd < 0) return false;
  close(fd);
  wn_status status = make_sample(path);
  unlink(path);
  return status == WN_OK && sample != NULL;
}

static uint32_t u32(const uint8_t *at) {
  return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Values that break things: bounds, counts off by one, odd floats. */
static void change(unsigned char *bytes, size_t size, size_t at, uint8_t kind, uint32_t value) {
  static const double doubles[] = {NAN, INFINITY, -INFINITY, -1.0, 1e300, 5e-324, 0.0, -0.0};
  unsigned char eight[8] = {0};
  size_t n = 8;
  uint64_t whole = kind == 4 ? value : kind == 5 ? UINT64_MAX - value : (uint64_t)value << 32;
  float single = (float)doubles[value % 8];
  switch (kind % 8) {
  case 0: eight[0] = bytes[at] ^ (unsigned char)(1u << (value & 7)), n = 1; break;
  case 1: eight[0] = (unsigned char)value, n = 1; break;
  case 2: memcpy(eight, &value, n = 4); break;
  case 3: memcpy(eight, &single, n = 4); break;
  case 7: memcpy(eight, &doubles[value % 8], n); break;
  default: memcpy(eight, &whole, n); break;
  }
  at -= at % n;
  if (at + n <= size) memcpy(bytes + at, eight, n);
}

static void sign(unsigned char *bytes, size_t size) {
  if (size < sizeof(wn_snapshot_head)) return;
  wn_snapshot_head *head = (wn_snapshot_head *)(void *)bytes;
  for (uint32_t i = 0; i < head->header.section_count && i < WN_SNAPSHOT_SECTIONS_MAX; i++) {
    wn_snapshot_entry_disk *e = &head->table[i];
    if (e->offset <= size && e->bytes <= size - e->offset)
      e->checksum = wn_hash64(bytes + e->offset, (size_t)e->bytes, 0);
  }
  head->header.checksum = wn_snapshot_head_checksum(head);
}

static void ask(const wn_model *model, const wn_query *query) {
  wn_scored out[16];
  float scores[ITEMS + 8];
  size_t count = 0;
  wn_error err;
  if (model->cls->candidates(model, query, 16, out, &count, &err) == WN_OK && count > 16) abort();
  (void)!model->cls->score_all(model, query, scores, ITEMS + 8, &err);
  if (model->cls->similar_users != NULL)
    (void)!model->cls->similar_users(model, query, 16, out, &count, &err);
  if (model->cls->item_vector == NULL) return;
  for (uint32_t ix = 0; ix < ITEMS + 8; ix++) {
    uint32_t d = 0;
    const float *v = model->cls->item_vector(model, ix, &d);
    for (uint32_t i = 0; v != NULL && i < d; i++) sink += v[i] > 0;
  }
}

static void use(wn_models *models) {
  wn_arena arena;
  wn_bitset allowed;
  const wn_history_entry history[] = {
      {3, 1.0f, 1700000100000}, {39, 2.0f, 1700000000000}, {0, -1.0f, 1}, {4000, 1.0f, 0}};
  wn_event event = {.user = 3, .item = ITEMS + 2, .value = NAN, .time_ms = 1700009000000};
  wn_item_record item = {.id = WN_STR("n"), .title = WN_STR("red tree"), .created_ms = 1};
  wn_error err;
  if (!wn_bitset_init(&allowed, ITEMS)) return;
  for (size_t i = 0; i < ITEMS; i += 3) wn_bitset_set(&allowed, i);
  wn_arena_init(&arena, 1 << 24);
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < models->len; i++) {
      wn_query query = {.user = 2,
                        .anchor = WN_NO_IX,
                        .history = history,
                        .history_len = 4,
                        .arena = &arena,
                        .now_ms = 1700000000000};
      ask(models->data[i], &query);
      query.allowed = &allowed;
      ask(models->data[i], &query);
      query = (wn_query){.user = WN_NO_IX, .anchor = 7, .arena = &arena};
      ask(models->data[i], &query);
      wn_arena_reset(&arena);
    }
    wn_models_update(models, &event, 1.0f);
    event.item = 5;
    wn_models_update(models, &event, 1.0f);
    (void)!wn_models_update_item(models, ITEMS + 1, &item, &err);
  }
  wn_arena_clear(&arena);
  wn_bitset_clear(&allowed);
}

static void try_open(const unsigned char *bytes, size_t size) {
  wn_snapshot *snapshot;
  wn_models models;
  wn_history_base base;
  wn_error err;
  if (wn_snapshot_open_memory(bytes, size, &snapshot, &err) != WN_OK) return;
  if (wn_models_map(snapshot, &models, &err) == WN_OK) {
    use(&models);
    wn_models_clear(&models);
  }
  if (wn_history_map(snapshot, &base, &err) == WN_OK) {
    for (uint64_t i = 0; base.users > 0 && i < base.row_ptr[base.users]; i++)
      sink += base.item[i] + (uint64_t)base.time_ms[i] + base.mask[i];
  }
  wn_snapshot_unref(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1 || !prepare()) return 0;
  unsigned char *bytes = aligned_alloc(WN_SNAPSHOT_ALIGN, (size_t)wn_snapshot_align(sample_size));
  if (bytes == NULL) return 0;
  memcpy(bytes, sample, sample_size);
  size_t last = sample_size;
  for (size_t i = 1; i + 8 <= size && i < 8 * 64; i += 8) {
    last = u32(data + i) % sample_size;
    change(bytes, sample_size, last, data[i + 4], u32(data + i + 4) >> 8);
  }
  if ((data[0] & 1) != 0) sign(bytes, sample_size);
  try_open(bytes, (data[0] & 2) != 0 ? last : sample_size);
  free(bytes);
  return 0;
}
