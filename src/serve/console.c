/* The files come from console/pack.js: a table in C, and one pack that the assembler takes in, as
 * it does openapi.json. Kept gzipped: browsers take that as it is, and the binary stays small. */
#include "serve/console.h"

#include "data/codec.h"
#include <string.h>

#ifdef WN_CONSOLE_PACK

#include WN_CONSOLE_TABLE

__asm__(".pushsection .rodata\n"
        ".hidden wn_console_begin\n"
        ".global wn_console_begin\nwn_console_begin:\n"
        ".incbin \"" WN_CONSOLE_PACK "\"\n"
        ".byte 0\n"
        ".popsection\n");

extern const char wn_console_begin[];

#else

static const wn_console_asset assets[] = {{.name = NULL}};
static const char wn_console_begin[1];

#endif

bool wn_console_built(void) {
  return assets[0].name != NULL;
}

const wn_console_asset *wn_console_find(wn_str name) {
  for (const wn_console_asset *asset = assets; asset->name != NULL; asset++)
    if (wn_str_is(name, asset->name)) return asset;
  return NULL;
}

wn_str wn_console_packed(const wn_console_asset *asset) {
  return (wn_str){wn_console_begin + asset->offset, asset->packed_len};
}

wn_status wn_console_plain(const wn_console_asset *asset, wn_buf *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_codec *codec = NULL;
  unsigned char step[4096];
  wn_str packed = wn_console_packed(asset);
  wn_codec_io io = {.in = (const unsigned char *)packed.ptr, .in_len = packed.len, .in_end = true};
  WN_TRY(wn_codec_create(WN_CODEC_GZIP, &codec, err));
  while (out->len < asset->len && !out->failed) {
    io.out = step;
    io.out_len = sizeof step;
    WN_TRY(wn_codec_step(codec, &io, err));
    wn_buf_append(out, step, sizeof step - io.out_len);
  }
  if (out->failed) WN_TRY(wn_fail_memory(err));
cleanup:
  wn_codec_free(codec);
  return status;
}
