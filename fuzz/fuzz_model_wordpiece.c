/* Texts through BERT's normaliser and WordPiece. The first byte chooses the options. Whatever
 * comes, numbers are those of tokens, and the same text gives the same again. */
#include "model/wordpiece.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const tokens[] = {"[UNK]",
                                     "a",
                                     "##a",
                                     "b",
                                     "##b",
                                     "ab",
                                     "##ab",
                                     ",",
                                     "\xc3\xa9",
                                     "e",
                                     "##\xe1\x85\xa1",
                                     "\xe1\x84\x80",
                                     "\xe6\x9d\xb1"};
#define TOKENS (sizeof tokens / sizeof *tokens)

static bool add(void *ctx, uint32_t token) {
  uint64_t *sum = ctx;
  if (token != WN_NO_IX && token >= TOKENS) {
    fprintf(stderr, "fuzz: no such token\n");
    abort();
  }
  *sum = *sum * 31 + token + 1;
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static wn_dict *dict;
  if (dict == NULL) dict = wn_dict_create();
  for (size_t t = wn_dict_count(dict); t < TOKENS; t++) {
    uint32_t ix;
    bool added;
    if (wn_dict_add(dict, wn_str_of(tokens[t]), &ix, &added) != WN_OK) return 0;
  }
  if (size == 0) return 0;
  const wn_wordpiece w = {.tokens = dict,
                          .unknown = 0,
                          .chars_max = (data[0] & 16) != 0 ? 3 : WN_WORDPIECE_CHARS_MAX,
                          .prefix = "##",
                          .token_bytes = 5,
                          .clean = (data[0] & 1) != 0,
                          .split_han = (data[0] & 2) != 0,
                          .bare = (data[0] & 4) != 0,
                          .lower = (data[0] & 8) != 0};
  uint64_t first = 0, again = 0;
  wn_str text = {(const char *)data + 1, size - 1};
  if (!wn_wordpiece_split(&w, text, add, &first) || !wn_wordpiece_split(&w, text, add, &again) ||
      first != again) {
    fprintf(stderr, "fuzz: another answer\n");
    abort();
  }
  return 0;
}
