#ifndef WN_FUNNEL_FUNNEL_H
#define WN_FUNNEL_FUNNEL_H
/* retrieve → filter → score → order. One call makes one slate; memory from the request's arena. The
 * four stages are one file each, and hand on the same array of candidates. */

#include "base/json_write.h"
#include "funnel/surface.h"
#include "model/exposed.h"
#include "model/model.h"

/* The user's past as filters need it: which items were met, by which event types. */
typedef struct wn_seen_entry {
  wn_item_ix item;
  uint64_t mask; /* bit t: event type t (t ≥ 63 share bit 63) */
} wn_seen_entry;

/* An item that explain is asked about by name. */
typedef struct wn_why_ask {
  wn_str id;
  wn_item_ix item; /* WN_NO_IX: there is none of this id */
} wn_why_ask;

typedef struct wn_request {
  const wn_surface *surface;
  const wn_models *models;
  const wn_catalog *catalog;
  wn_expr_cache *filters;
  const wn_signals *signals;
  wn_query
      query; /* `allowed` is the funnel's to fill; history, anchor, user, now, seed, arena given */
  const wn_seen_entry *seen; /* all of the user's items */
  size_t seen_len;
  const wn_item_ix *served; /* feed: items already served in this session */
  size_t served_len;
  const wn_item_ix *exclude;
  size_t exclude_len;
  const wn_exposed *exposed; /* NULL: nothing was ever shown */
  wn_str filter;             /* expression of the request; absent: none */
  const wn_bitset *within;   /* only these items; NULL: the whole catalogue */
  uint32_t n;                /* 1 … WN_SLATE_MAX */
  /* A slate that somebody showed, to be judged: the answer is these items, with the probability
   * that this policy puts each where it stands, given what stands above it. NULL: a slate of its
   * own. */
  const wn_item_ix *shown;
  size_t shown_len; /* at most n */
  bool explain;
  const wn_why_ask *why; /* with explain: the ways of these items, too */
  size_t why_len;
} wn_request;

/* Who proposed a candidate. */
typedef struct wn_proposal {
  float score;       /* the generator's own */
  float normalised;  /* after normalisation */
  float points;      /* what it adds to the score: share × normalised, 0 when it does not count */
  uint32_t rank;     /* 1-based; 0: not proposed by it */
  uint32_t standing; /* 0-based, in the list that still has what the session was served */
} wn_proposal;

typedef struct wn_candidate {
  wn_item_ix item;
  float score;   /* boost × the sum of its proposals' points, or × what the ranker says */
  float boost;   /* product of factors applied, fatigue's too */
  float fatigue; /* of these; 1: not shown in vain of late */
  float points;  /* the sum of its proposals' points */
  float light;   /* the light ranker's own score; NaN: not asked about it */
  float early;   /* by what it was chosen for the ranker: points, or the light ranker's in their
                    place; ≥ 0 */
  float margin;  /* what the ranker says: Σ weight · P, without objectives its own score; NaN: not
                    asked about it */
  const float *p;   /* of each of the surface's objectives; NULL: none; NaN: it has no model */
  const float *row; /* the ranker's features; NULL likewise */
  uint32_t sources; /* bit g: proposed by source g (wn_surface_source) */
  wn_proposal *proposals; /* [sources of the surface + 1] */
  uint32_t rank_scored;   /* 1-based rank by score before ordering */
} wn_candidate;

typedef struct wn_slate_item {
  wn_item_ix item;
  float score;
  float propensity; /* 1 while nothing is random */
  uint32_t sources; /* 0: pinned, and proposed by nobody */
  bool pinned;
  wn_item_ix chosen; /* the item, or in a slate to be judged what this policy put here instead, of
                        chance where it draws; WN_NO_IX: nothing */
  const float *row;  /* the ranker's features; NULL: it was not asked */
  const wn_context_row *context; /* what a linear bandit sees of it; NULL: none is asked */
  wn_explore explored;           /* by what its place was filled */
  uint32_t below;                /* COLD: only for want of so many impressions */
} wn_slate_item;

/* Room for one on each pin, slot and quota, and on what else there is to say. */
#define WN_NOTES_MAX (8 * WN_RULES_MAX)

/* What each stage took and left, always measured: retrieve, filter, score, order; then what the
 * light and the heavy ranker took of score, and how many they were asked about. */
enum {
  WN_STAGE_RETRIEVE,
  WN_STAGE_FILTER,
  WN_STAGE_SCORE,
  WN_STAGE_ORDER,
  WN_STAGE_LIGHT,
  WN_STAGE_HEAVY,
  WN_STAGES
};

/* What each stage did; filled with explain only. */
typedef struct wn_generator_trace {
  const char *model;
  uint32_t quota, proposed, unique_here; /* unique_here: by nobody before it */
  float weight;
  float share; /* of the score: weight over the weights of those that proposed; of a fallback scaled
                  below the worst candidate of the generators */
  bool fallback;
  double ms;
  const char *note; /* "no model in this snapshot", "no history", "not needed", NULL */
} wn_generator_trace;
/* An item that a generator would have proposed but a filter kept out. Filters are pushed down into
 * retrieval, so the trace asks again without them for the first `quota` items (explain only). */
typedef struct wn_drop_trace {
  wn_item_ix item;
  const char *stage;  /* "filter" or "order" */
  const char *reason; /* "seen:install", "hidden", "where", "request filter", "excluded", "served",
                         "cap:section", … */
} wn_drop_trace;
typedef struct wn_move_trace {
  wn_item_ix item;
  uint32_t from, to; /* rank by score → position */
  const char *why;   /* "diversity", "cap:section", "pin", "pin above", "boost", "" */
} wn_move_trace;
/* One item's way: how far it came, and what stopped it there. */
typedef struct wn_why {
  wn_str id;
  wn_item_ix item;
  const char *stage;  /* "unknown", "retrieve", "filter", "order" or "shown" */
  const char *reason; /* as of drops; "beyond the quotas", "score", "diversity", "pin", … */
  uint32_t position;  /* in the slate; 0: not there */
  const wn_candidate *candidate; /* NULL: it never was one, or a pin that nobody proposed */
  wn_proposal *beyond;           /* [sources] of what was none: where generators would have it */
} wn_why;
typedef struct wn_trace {
  const wn_surface *surface;
  wn_generator_trace generators[WN_SOURCES_MAX + 1]; /* by source number */
  size_t generators_len;
  size_t allowed_count;   /* items that filters left of the catalogue */
  size_t candidate_count; /* merged */
  size_t merged_duplicates;
  struct {
    const char *reason;
    uint32_t count;
  } filter_counts[WN_RULES_MAX]; /* items of the catalogue that each rule took, in this order */
  size_t filter_counts_len;
  wn_drop_trace *drops;
  size_t drops_len;
  wn_normalise normalise; /* the surface's, or minmax for want of a blend */
  const wn_model *ranker; /* NULL: it was not asked, and the generators' scores hold */
  unsigned horizon;       /* of its trees (model/blend.h) */
  bool light;             /* the light ranker chose whom it was asked about */
  bool by_objectives;     /* its objectives decided, not its own order */
  double points_ms;
  wn_candidate *candidates; /* best score first */
  size_t candidates_len;
  wn_move_trace *moves;
  size_t moves_len;
  const char *notes[WN_NOTES_MAX]; /* rules that could not be kept, and why */
  size_t notes_len;
  wn_why *whys;
  size_t whys_len;
  float last_score; /* of the slate's last item */
  double stage_ms[WN_STAGES];
} wn_trace;

typedef struct wn_stage_stats {
  uint64_t ns[WN_STAGES];
  uint32_t out[WN_STAGES]; /* candidates that left it */
} wn_stage_stats;

typedef struct wn_slate {
  wn_slate_item *items; /* arena */
  size_t len;           /* ≤ n; less only when fewer items are allowed (or caps forbid more) */
  wn_trace *trace;      /* explain; else NULL */
  wn_stage_stats stages;
  const char *relaxed;   /* the rule that was left out, because nothing satisfies it; NULL: none */
  const char *empty;     /* why there is no item at all; NULL: there is one */
  const char *scored_by; /* "objectives", "ranker", "blend" or "generators" */
  uint32_t features;     /* of each row; 0: none to be logged */
  uint64_t feature_set;  /* wn_feature_set_hash */
} wn_slate;

/* Works without models (falls back to newest of the catalogue) and without a user. Only
 * WN_E_MEMORY, WN_E_ARGUMENT (n, filter) and WN_E_INTERNAL fail. Every returned item is servable:
 * checked once more at the end. */
WN_MUST_USE wn_status wn_funnel_run(const wn_request *request, wn_slate *out, wn_error *err);

/* The trace as a JSON object under an open writer position (a value). */
void wn_trace_to_json(const wn_trace *trace, const wn_catalog *catalog, wn_json *json);

#endif
