#ifndef WN_SERVE_PROBLEM_H
#define WN_SERVE_PROBLEM_H
/* RFC 9457 problem documents: one shape for every error of the API. */

#include "base/json_write.h"

typedef struct wn_problem {
  int http;          /* status code */
  const char *type;  /* "invalid-argument": the end of the type URI */
  const char *title; /* the same for all problems of a type */
  const wn_error *err;
  long index; /* the record of the body that is meant, 0-based; -1: none */
} wn_problem;

/* The problem that a failed call amounts to. `err` is borrowed. */
wn_problem wn_problem_of(const wn_error *err);
/* One of HTTP's own (404, 405, 406, 408, 411, 413, 414, 415, 431 …). */
wn_problem wn_problem_http(int http, const wn_error *err);
/* {"type","title","status","detail","field"?,"index"?,"line"?,"column"?} */
void wn_problem_write(const wn_problem *problem, wn_buf *out);
const char *wn_http_reason(int http); /* "Not Found" */

#endif
