#ifndef WN_SERVE_OPENAPI_H
#define WN_SERVE_OPENAPI_H
/* src/serve/openapi.json, embedded. */

#include "base/str.h"

wn_str wn_openapi_json(void);

#endif
