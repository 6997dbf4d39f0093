#ifndef WN_SERVE_ANSWER_JSON_H
#define WN_SERVE_ANSWER_JSON_H
/* Answers as JSON, the same over HTTP and on the command line. */

#include "base/json_write.h"
#include "serve/engine.h"

/* One object, appended to `out`. */
void wn_slate_answer_to_json(const wn_slate_answer *answer, wn_buf *out);
void wn_engine_digest_to_json(const wn_engine_digest *digest, wn_buf *out);
/* The member "model": the snapshot's number, null before the first. */
void wn_answer_model(wn_json *json, uint64_t snapshot);

#endif
