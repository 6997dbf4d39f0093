/* The index alone: cc index.c -lwinnow. Vectors in, nearest ones out, a row put and found, saved,
 * loaded. */
#include <winnow.h>

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 2000, DIMS = 16, K = 5 };

static int failed(const char *what, const wn_why *why) {
  fprintf(stderr, "%s: %s: %s\n", what, wn_code_text(why->code), why->message);
  return EXIT_FAILURE;
}

int main(int argc, char **argv) {
  static float rows[ROWS * DIMS];
  const char *path = argc > 1 ? argv[1] : "vectors.index";
  wn_index *index, *again;
  wn_why why;
  wn_hit hits[K];
  uint32_t count;
  for (int i = 0; i < ROWS * DIMS; i++) rows[i] = (float)rand() / (float)RAND_MAX - 0.5f;

  if (wn_index_create(rows, ROWS, DIMS, NULL, &index, &why) != 0) return failed("create", &why);

  wn_index_ask ask = {.k = K, .recall = 1};
  if (wn_index_find(index, rows, &ask, hits, &count, &why) != 0) return failed("query", &why);
  for (uint32_t i = 0; i < count; i++) printf("%u %.4f\n", hits[i].id, hits[i].score);

  float large[DIMS];
  for (int i = 0; i < DIMS; i++) large[i] = 10 * rows[i];
  if (wn_index_put(index, ROWS, large, &why) != 0) return failed("put", &why);
  if (wn_index_find(index, rows, &ask, hits, &count, &why) != 0) return failed("query", &why);
  printf("now first: %u\n", hits[0].id);

  if (wn_index_store(index, path, &why) != 0) return failed("store", &why);
  if (wn_index_load(path, &again, &why) != 0) return failed("load", &why);
  printf("loaded: %u rows\n", wn_index_describe(again).rows);
  wn_index_destroy(again);
  wn_index_destroy(index);
  return EXIT_SUCCESS;
}
