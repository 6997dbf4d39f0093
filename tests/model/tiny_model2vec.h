#ifndef WN_TESTS_MODEL_TINY_MODEL2VEC_H
#define WN_TESTS_MODEL_TINY_MODEL2VEC_H
/* A model2vec folder of nine tokens and four dimensions. */

#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define TINY_TOKENS 9
#define TINY_D      4

static const char *const tiny_token[TINY_TOKENS] = {"[PAD]", "[UNK]", "red",  "green", "boat",
                                                    "lake",  "##s",   "tree", "."};

static inline float tiny_embedding(int token, int k) {
  return (float)((token * 7 + k * 5 + token * k) % 11) - 5;
}

static inline void tiny_write(const char *dir, const char *name, const void *bytes, size_t len) {
  char path[2048];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "wb");
  if (file == NULL) return;
  fwrite(bytes, 1, len, file);
  fclose(file);
}

static inline void tiny_model2vec(const char *dir) {
  char text[2048], vocabulary[512] = "";
  float embedding[TINY_TOKENS * TINY_D];
  mkdir(dir, 0700);
  for (int t = 0; t < TINY_TOKENS; t++) {
    size_t at = strlen(vocabulary);
    snprintf(vocabulary + at, sizeof vocabulary - at, "%s\"%s\":%d", t > 0 ? "," : "",
             tiny_token[t], t);
    for (int k = 0; k < TINY_D; k++) embedding[t * TINY_D + k] = tiny_embedding(t, k);
  }
  int len = snprintf(
      text, sizeof text,
      "{\"normalizer\":{\"type\":\"BertNormalizer\"},"
      "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"model\":{\"type\":\"WordPiece\","
      "\"unk_token\":\"[UNK]\",\"vocab\":{%s}}}",
      vocabulary);
  tiny_write(dir, "tokenizer.json", text, (size_t)len);
  len = snprintf(text + 8, sizeof text - 8,
                 "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]}}",
                 TINY_TOKENS, TINY_D, sizeof embedding);
  uint64_t header = (uint64_t)len;
  memcpy(text, &header, 8);
  memcpy(text + 8 + len, embedding, sizeof embedding);
  tiny_write(dir, "model.safetensors", text, 8 + (size_t)len + sizeof embedding);
}

static inline void tiny_remove(const char *dir) {
  char path[2048];
  snprintf(path, sizeof path, "%s/tokenizer.json", dir);
  remove(path);
  snprintf(path, sizeof path, "%s/model.safetensors", dir);
  remove(path);
  remove(dir);
}

#endif
