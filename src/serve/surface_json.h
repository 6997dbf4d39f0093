#ifndef WN_SERVE_SURFACE_JSON_H
#define WN_SERVE_SURFACE_JSON_H
/* A surface as the stages of its funnel, with every default filled in. */

#include "base/json_write.h"
#include "funnel/surface.h"

void wn_surface_to_json(const wn_surface *surface, wn_json *json);

#endif
