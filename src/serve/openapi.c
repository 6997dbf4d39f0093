/* The file is taken in by the assembler, because C17 has no #embed; the build passes its path. */
#include "serve/openapi.h"

__asm__(".pushsection .rodata\n"
        ".hidden wn_openapi_begin\n.hidden wn_openapi_end\n"
        ".global wn_openapi_begin\nwn_openapi_begin:\n"
        ".incbin \"" WN_OPENAPI_FILE "\"\n"
        ".global wn_openapi_end\nwn_openapi_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char wn_openapi_begin[], wn_openapi_end[];

wn_str wn_openapi_json(void) {
  return (wn_str){wn_openapi_begin, (size_t)(wn_openapi_end - wn_openapi_begin)};
}
