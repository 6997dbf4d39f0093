#ifndef WN_LAB_CASES_INTERNAL_H
#define WN_LAB_CASES_INTERNAL_H
/* What a kind's function works with: it reads `input`, computes, and puts what it found into `got`
 * under the names that `expected` uses. */

#include "base/arena.h"
#include "base/dict.h"
#include "lab/beyond.h"
#include "lab/cases.h"

#include <jansson.h>
#include <math.h>

typedef struct wn_case {
  const json_t *input, *expected;
  json_t *got;       /* an object, empty at first */
  json_t *within;    /* path → [low, high]: ranges for values that are random */
  const char *skip;  /* why the case cannot be run here */
  const char *wrong; /* the input's field that is missing or of another kind */
  wn_arena arena;
} wn_case;

typedef void wn_case_fn(wn_case *c);
typedef struct wn_case_kind {
  const char *name;
  wn_case_fn *run;
} wn_case_kind;
/* Each ends with a NULL name. */
extern const wn_case_kind wn_cases_ranking[], wn_cases_beyond[], wn_cases_ope[], wn_cases_ab[],
    wn_cases_online[], wn_cases_simulated[];

/* Fields of the input; on failure `wrong` is set and the answer is empty. All lengths fit. */
const json_t *wn_case_field(wn_case *c, const char *name);
double wn_case_number(wn_case *c, const char *name);
size_t wn_case_count(wn_case *c, const char *name); /* a whole number up to 10⁷ */
/* null becomes NaN. */
double *wn_case_numbers(wn_case *c, const char *name, size_t *len);
double *wn_case_numbers_of(wn_case *c, const json_t *array, const char *name, size_t *len);
void *wn_case_alloc(wn_case *c, size_t count, size_t size); /* zeroed; at least one element */
static inline bool wn_case_ok(const wn_case *c) {
  return c->wrong == NULL;
}

void wn_case_put(json_t *object, const char *name, double value);
void wn_case_put_pair(json_t *object, const char *name, double low, double high);
void wn_case_put_array(json_t *object, const char *name, const double *values, size_t n);
void wn_case_range(wn_case *c, const char *path, double low, double high);

/* An id, a string or a whole number; NULL: neither. */
#define WN_CASE_ID 24
const char *wn_case_text(const json_t *id, char room[WN_CASE_ID]);
/* Names → numbers in the order of their first appearance. */
typedef struct wn_case_names {
  json_t *map;
  uint32_t len;
} wn_case_names;
uint32_t wn_case_name(wn_case_names *names, const json_t *string);
/* An object user → [item, …] as lists, users in the object's order or in that of `users` (then
 * users that it lacks have empty lists). */
wn_lists wn_case_lists(wn_case *c, const char *field, const json_t *users, wn_case_names *items);

#endif
