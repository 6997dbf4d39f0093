#ifndef WN_FUNNEL_STAGES_H
#define WN_FUNNEL_STAGES_H
/* What one request hands from stage to stage, and the stages. Everything lives in the request's
 * arena. */

#include "funnel/funnel.h"
#include "model/blend.h"
#include "model/light.h"

typedef struct wn_scored_list {
  wn_scored *data;
  size_t len;
} wn_scored_list;

/* One source of candidates: a generator, a fallback, or the catalogue (the last). */
typedef struct wn_source {
  const wn_generator_spec *spec; /* NULL: the catalogue */
  const wn_model *model;         /* NULL: not in this snapshot */
  wn_scored_list list;           /* its proposals, best first, allowed ones only */
  wn_scored_list whole;          /* the same with what the session was served before */
  uint32_t *standing;            /* [list.len] place in `whole`; NULL: the same list */
  uint32_t quota;
  float weight;
  float share; /* score stage */
  bool member; /* of the blend that the surface scores by, which gives it: */
  wn_blend_weight blend;
  unsigned tier;    /* 0 generator, 1 fallback, 2 catalogue */
  const char *note; /* why it proposed nothing */
  double ms;
} wn_source;

typedef struct wn_funnel {
  const wn_request *request;
  const wn_surface *surface;
  wn_arena *arena;
  uint32_t n;
  uint32_t items; /* of the catalogue */
  wn_query query; /* the request's, `allowed` filled */
  wn_bitset allowed;
  wn_bitset askable;       /* allowed, and what the session was served; words NULL: the same */
  wn_bitset where, filter; /* the surface's and the request's own; words NULL: none */
  uint64_t seen_mask;      /* event types that mark as seen on this surface */
  wn_normalise normalise;  /* the surface's; minmax where it asks for a blend that is not there */
  wn_source sources[WN_SOURCES_MAX + 1];
  size_t sources_len;
  wn_candidate *candidates; /* merged; after the score stage best first */
  size_t candidates_len, candidates_cap;
  wn_proposal *proposals; /* unused rows of the newest block */
  size_t proposals_left;
  uint32_t *slots; /* item → 1 + index in candidates: open addressing, slots_cap a power of two */
  size_t slots_cap;
  wn_slate_item *slate;
  size_t slate_len;
  wn_trace *trace; /* NULL without explain */
  wn_stage_stats stages;
  wn_light_view light;    /* of the ranker that will be asked; facts NULL: none */
  const wn_model *ranker; /* that scored; NULL: the generators did */
  unsigned horizon;       /* of its trees: what is next, or what comes later */
  bool by_objectives;     /* by the surface's objectives */
  const char *relaxed;    /* as of wn_slate */
} wn_funnel;

/* Filter, first half: compiles everything that forbids an item into `allowed`. */
WN_MUST_USE wn_status wn_filter_compile(wn_funnel *funnel, wn_error *err);
/* The rule that took the last allowed item; NULL: some are allowed. Memory: one more bitmap. */
WN_MUST_USE wn_status wn_filter_blame(wn_funnel *funnel, const char **reason, wn_error *err);
/* Retrieve: asks the sources, merges by item. */
WN_MUST_USE wn_status wn_retrieve(wn_funnel *funnel, wn_error *err);
/* Its last step: candidates for quotas and slots that nobody proposed. */
WN_MUST_USE wn_status wn_retrieve_for_rules(wn_funnel *funnel, wn_error *err);
/* A source's list from `from` on becomes candidates. */
WN_MUST_USE wn_status wn_retrieve_merge(wn_funnel *funnel, size_t number, size_t from,
                                        wn_error *err);
/* Filter, second half: no candidate that is not allowed passes, whatever its generator did; explain
 * names what was kept out. */
WN_MUST_USE wn_status wn_filter_check(wn_funnel *funnel, wn_error *err);
/* Score: normalise, weigh, boost, sort. */
WN_MUST_USE wn_status wn_score(wn_funnel *funnel, wn_error *err);
/* Whether the light ranker says which candidates are worth the ranker: there are more than it is
 * asked about, and the snapshot has one. */
bool wn_score_light_wanted(const wn_funnel *funnel, const wn_model *ranker);
/* Candidates come in any order and leave with the best in front, as many as the ranker is asked
 * about. */
WN_MUST_USE wn_status wn_score_light(wn_funnel *funnel, const wn_model *ranker, wn_error *err);
/* The second half of it: the best again, by the snapshot's ranker. Candidates come in any order and
 * leave best first. */
WN_MUST_USE wn_status wn_score_heavy(wn_funnel *funnel, wn_error *err);
bool wn_score_by_generators(const wn_funnel *funnel, const wn_candidate *candidate);
bool wn_score_no_fallback(const wn_funnel *funnel); /* generators proposed all of them */
/* Best first, ties by item. */
WN_MUST_USE wn_status wn_score_sort(wn_funnel *funnel, wn_error *err);
/* The same n in front, but where fallbacks proposed some in any order, and so is the rest. */
WN_MUST_USE wn_status wn_score_first(wn_funnel *funnel, size_t n, wn_error *err);
/* Order: pins, caps, diversity → slate. */
WN_MUST_USE wn_status wn_order(wn_funnel *funnel, wn_error *err);

/* Explain: the ways of the items that the request names. */
WN_MUST_USE wn_status wn_why_explain(wn_funnel *funnel, wn_error *err);

/* NULL: the item passes. Otherwise the first rule that forbids it, without the seen rule when
 * `seen_too` is false. Text is static or in the arena. */
const char *wn_filter_reason(const wn_funnel *funnel, wn_item_ix item, bool seen_too);
/* Asks one source as the surface's flavour allows, with `allowed` (NULL: everything). Sets
 * source->note when it cannot be asked. */
WN_MUST_USE wn_status wn_source_ask(const wn_funnel *funnel, wn_source *source,
                                    const wn_bitset *allowed, size_t k, wn_scored_list *out,
                                    wn_error *err);
/* Notes for explain; text static or in the arena. Silent when the trace is full or absent. */
void wn_trace_note(wn_trace *trace, const char *text);
void wn_funnel_note(const wn_funnel *funnel, const char *format, ...) WN_PRINTF(2, 3);
void wn_trace_drop(wn_trace *trace, wn_item_ix item, const char *stage, const char *reason);
const char *wn_funnel_format(const wn_funnel *funnel, const char *format, ...) WN_PRINTF(2, 3);
double wn_ms_since(uint64_t mono_ns);
/* Adds the time since *since to a stage's and starts the next. */
void wn_funnel_lap(wn_funnel *funnel, uint64_t *since, int stage);

#define WN_DROPS_MAX 512

#endif
