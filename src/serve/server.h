#ifndef WN_SERVE_SERVER_H
#define WN_SERVE_SERVER_H
/* The HTTP API over an engine (docs/api.md, GET /openapi.json). */

#include "serve/engine.h"

typedef struct wn_server wn_server;

/* Binds and starts; port 0 picks a free one. WN_E_BUSY: the address is in use (field "port").
 * Engine: borrowed. */
WN_MUST_USE wn_status wn_server_start(wn_engine *engine, wn_server **out, wn_error *err);
uint16_t wn_server_port(const wn_server *server);
/* Takes no new connections, finishes what it accepted (at most `grace_ms`), stops and frees. */
void wn_server_stop(wn_server *server, int64_t grace_ms);

#endif
