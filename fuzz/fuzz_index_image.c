/* Mutated images through the mapper, searches, changes and merges.
 *
 * An input is a list of changes to one of four sample images (one a metric, one with axes): first a
 * byte of mode (bits 0 and 1: the sample; bit 2: cut the image at the last change's place), then 8
 * bytes a change: place (4), kind (1), value (3). Checksums are recomputed, so that what lies
 * behind them is reached. Whatever maps must answer without touching memory that is not its own;
 * the verifier must not either. */
#include "base/mem.h"
#include "base/rng.h"
#include "base/map64.h"
#include "index/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS  150u
#define DIMS  6u
#define MANY  1024u
#define WIDE  16u
#define BYTES (1u << 17)

typedef struct image {
  unsigned char *bytes;
  size_t len;
} image;

static image samples[4];
static volatile float sink; /* what is read must be read */

static wn_status take(void *ctx, const void *data, size_t bytes, wn_error *err) {
  image *to = ctx;
  if (to->len + bytes > BYTES) return wn_fail(err, WN_E_TOO_LARGE, "", "sample");
  memcpy(to->bytes + to->len, data, bytes);
  to->len += bytes;
  return WN_OK;
}

static void write_sample(const wn_vectors *vectors, wn_metric metric, image *out) {
  wn_error err;
  wn_index *index;
  wn_index_options options;
  wn_index_options_defaults(&options);
  options.metric = metric;
  options.lists = 5;
  options.k = 5;
  out->bytes = aligned_alloc(64, BYTES);
  wn_index_sink sink_of = {out, take};
  if (out->bytes == NULL || wn_index_build(vectors, &options, &index, &err) != WN_OK ||
      wn_index_write(index, true, &sink_of, &err) != WN_OK) {
    exit(1);
  }
  wn_index_free(index);
}

static void make_sample(unsigned metric) {
  static float rows[ROWS * DIMS];
  wn_rng rng;
  wn_rng_seed(&rng, metric + 1);
  for (size_t i = 0; i < ROWS * DIMS; i++) rows[i] = (float)wn_rng_normal(&rng);
  write_sample(&(wn_vectors){rows, ROWS, DIMS}, (wn_metric)metric, &samples[metric]);
}

/* Of rank 2, so that codes have axes. */
static void make_low_rank(void) {
  static float rows[MANY * WIDE];
  wn_rng rng;
  wn_rng_seed(&rng, 9);
  for (size_t i = 0; i < MANY; i++) {
    float a = (float)wn_rng_normal(&rng), b = (float)wn_rng_normal(&rng);
    for (size_t j = 0; j < WIDE; j++) rows[i * WIDE + j] = a * (float)j + b * (j % 3 == 0);
  }
  write_sample(&(wn_vectors){rows, MANY, WIDE}, WN_METRIC_IP, &samples[3]);
}

static void mutate(unsigned char *bytes, size_t *len, const uint8_t *data, size_t size) {
  uint32_t place = 0;
  for (size_t at = 1; at + 8 <= size; at += 8) {
    memcpy(&place, data + at, sizeof place);
    place %= (uint32_t)*len;
    uint8_t value = data[at + 5];
    switch (data[at + 4] % 4) {
    case 0: bytes[place] ^= (unsigned char)(1u << (value % 8)); break;
    case 1: bytes[place] = value; break;
    case 2: memset(bytes + place, value, *len - place < 4 ? *len - place : 4); break;
    default: bytes[place % sizeof(wn_image_header)] = value; break;
    }
  }
  if (data[0] & 4) *len = place;
}

static void seal(unsigned char *bytes, size_t len) {
  wn_image_header head;
  if (len < sizeof head) return;
  memcpy(&head, bytes, sizeof head);
  for (int i = 0; i < WN_PARTS; i++) {
    wn_image_part *part = &head.parts[i];
    if (part->offset > len || part->bytes > len - part->offset) continue;
    part->checksum = wn_hash64(bytes + part->offset, (size_t)part->bytes, 0);
  }
  head.checksum = wn_hash64(&head, offsetof(wn_image_header, checksum), 0);
  memcpy(bytes, &head, sizeof head);
}

static void use(wn_index *index) {
  wn_error err;
  wn_arena arena;
  wn_scored found[20];
  wn_index_about about;
  wn_index_answer answer = {.items = found};
  static float vector[WN_INDEX_DIMS_MAX] = {1, -2, .5f, 3};
  wn_bitset allowed;
  wn_index_about_of(index, &about);
  wn_arena_init(&arena, 1 << 24);
  if (!wn_bitset_init(&allowed, 200)) return;
  for (size_t i = 0; i < 200; i += 3) wn_bitset_set(&allowed, i);
  for (int i = 0; i < 4; i++) {
    wn_index_query query = {
        .vector = vector, .k = 20, .recall = i % 2, .allowed = i < 2 ? NULL : &allowed};
    if (wn_index_search(index, &query, &arena, &answer, &err) == WN_OK) {
      for (size_t j = 0; j < answer.count; j++) sink = found[j].score;
    }
    if (i == 1 && (wn_index_upsert(index, 3, vector, &err) != WN_OK ||
                   wn_index_compact(index, NULL, &err) != WN_OK)) {
      break;
    }
  }
  wn_bitset_clear(&allowed);
  wn_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wn_error err;
  wn_index *index;
  if (samples[0].bytes == NULL) {
    for (unsigned m = 0; m < 3; m++) make_sample(m);
    make_low_rank();
  }
  if (size < 1) return 0;
  const image *sample = &samples[data[0] % 4];
  size_t len = sample->len;
  unsigned char *bytes = aligned_alloc(64, BYTES);
  if (bytes == NULL) return 0;
  memcpy(bytes, sample->bytes, len);
  mutate(bytes, &len, data, size);
  seal(bytes, len);
  unsigned char *exact = aligned_alloc(64, (len + 64) / 64 * 64);
  if (exact != NULL) {
    memcpy(exact, bytes, len);
    if (wn_index_verify(exact, len, &err) != WN_OK) sink = 0;
    if (wn_index_map(exact, len, NULL, &index, &err) == WN_OK) {
      use(index);
      wn_index_free(index);
    }
  }
  free(exact);
  free(bytes);
  return 0;
}
