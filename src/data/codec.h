#ifndef WN_DATA_CODEC_H
#define WN_DATA_CODEC_H
/* Streaming decompressors behind one step function; internal to the data layer. */

#include "base/str.h"

typedef enum wn_codec_kind {
  WN_CODEC_PLAIN,
  WN_CODEC_GZIP,
  WN_CODEC_ZSTD,
  WN_CODEC_XZ,
  WN_CODEC_LZ4
} wn_codec_kind;

/* One step's bytes: both ends move forward by what was used. */
typedef struct wn_codec_io {
  const unsigned char *in;
  size_t in_len;
  bool in_end; /* no bytes follow `in` */
  unsigned char *out;
  size_t out_len; /* room */
} wn_codec_io;

typedef struct wn_codec wn_codec;

/* Tells what the first bytes of a file are; refuses, by name, formats that would otherwise be
 * taken for text (zip, bzip2, Parquet, SQLite, UTF-16). */
WN_MUST_USE wn_status wn_codec_detect(const unsigned char *bytes, size_t len, wn_codec_kind *kind,
                                      wn_error *err);
WN_MUST_USE wn_status wn_codec_create(wn_codec_kind kind, wn_codec **out, wn_error *err);
void wn_codec_free(wn_codec *codec);
/* Decodes as much as fits. WN_E_FORMAT for broken streams. */
WN_MUST_USE wn_status wn_codec_step(wn_codec *codec, wn_codec_io *io, wn_error *err);
/* True between streams (gzip members, zstd and lz4 frames): the input may end here. */
bool wn_codec_complete(const wn_codec *codec);

#endif
