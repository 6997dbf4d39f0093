#ifndef WN_FUNNEL_EXPR_H
#define WN_FUNNEL_EXPR_H
/* The filter language: conditions on item attributes, compiled once, evaluated to a bitmap over the
 * catalogue by columns or for a single item. For users: docs/filters.md.
 *
 *   category == "games" and price < 20 and not ("adult" in tags)
 *
 *   expr    := and {"or" and}
 *   and     := unary {"and" unary}
 *   unary   := "not" unary | primary
 *   primary := "(" expr ")" | "true" | "false" | "has" "(" NAME ")"
 *            | "starts_with" "(" NAME "," STRING ")"
 *            | NAME OP literal | NAME ["not"] "in" "[" literal {"," literal} "]"
 *            | STRING ["not"] "in" NAME
 *   OP      := "==" | "!=" | "<" | "<=" | ">" | ">="
 *   literal := STRING | NUMBER | "true" | "false"
 *   NAME    := [A-Za-z_] or a byte over 127, then also [0-9.-]; anything else in `backquotes`
 *   STRING  := "…" or '…' with \\ \" \' \n \t
 *
 * NAME is an attribute, or `id`, `title`, `created` (Unix seconds; compared with a text it is read
 * as a date: created >= "2024-05-01"). Rules:
 * - On a list == means "contains"; an order comparison with a list is false.
 * - Values of different kinds are never equal, and never ordered.
 * - A comparison with an attribute that the item lacks is false, for != too.
 * - `a not in b` is exactly `not (a in b)`, and so true for an item that lacks the attribute. */

#include "store/catalog.h"

#define WN_EXPR_BYTES_MAX 4096
#define WN_EXPR_NODES_MAX 256
#define WN_EXPR_WORK_MAX  256 /* comparisons that look at every item; texts count as */
#define WN_EXPR_TEXT_WORK 32
#define WN_EXPR_DEPTH_MAX 32

typedef struct wn_expr wn_expr;

/* Heap object. Errors: field = `field`, line and column of the offending token, what was expected.
 */
WN_MUST_USE wn_status wn_expr_parse(wn_str text, const char *field, wn_expr **out, wn_error *err);
void wn_expr_free(wn_expr *expr);
wn_str wn_expr_text(const wn_expr *expr); /* as it was given */
/* Canonical form, for tests: parses to the same tree. */
void wn_expr_print(const wn_expr *expr, wn_buf *out);
bool wn_expr_test(const wn_expr *expr, const wn_catalog *catalog, wn_item_ix item); /* the twin */
/* Sets exactly the bits of matching items; `out` has wn_catalog_count() bits. */
WN_MUST_USE wn_status wn_expr_eval(const wn_expr *expr, const wn_catalog *catalog, wn_bitset *out,
                                   wn_error *err);

/* Compiled filters by text, kept current with the catalogue: least recently used leaves.
 * Thread-safe among readers. */
typedef struct wn_expr_cache wn_expr_cache;
wn_expr_cache *wn_expr_cache_create(size_t entries_max);
void wn_expr_cache_free(wn_expr_cache *cache);
size_t wn_expr_cache_bytes(wn_expr_cache *cache); /* of their bitmaps */
/* ANDs the filter's bitmap into `io`. */
WN_MUST_USE wn_status wn_expr_cache_and(wn_expr_cache *cache, wn_str text, const char *field,
                                        const wn_catalog *catalog, wn_bitset *io, wn_error *err);

#endif
