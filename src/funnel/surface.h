#ifndef WN_FUNNEL_SURFACE_H
#define WN_FUNNEL_SURFACE_H
/* A surface: a named place in the user's product with a funnel of its own. Plain data, filled by
 * the configuration (serve/config.h) or by wn_surfaces_defaults(); never changed while it serves.
 */

#include "base/record.h"
#include "funnel/expr.h"
#include "model/objective.h"

#define WN_SURFACES_MAX   64
#define WN_GENERATORS_MAX 16
#define WN_RULES_MAX      32
#define WN_NAME_MAX       64
#define WN_SLATE_MAX      1000
#define WN_HEAVY_MAX      1000
/* Lists of generators and fallbacks together: each has a bit of `sources`, the catalogue the last.
 */
#define WN_SOURCES_MAX 31

typedef enum wn_flavour { WN_FLAVOUR_FLAT, WN_FLAVOUR_PERSONAL, WN_FLAVOUR_FEED } wn_flavour;
typedef enum wn_normalise {
  WN_NORM_RANK,
  WN_NORM_MINMAX,
  WN_NORM_ZSCORE,
  WN_NORM_NONE,
  WN_NORM_BLEND /* as the snapshot's blend weighs them; without a blend: minmax */
} wn_normalise;

/* How stage 4 keeps a slate from being all alike. */
typedef enum wn_diversity_method {
  WN_DIVERSITY_MMR, /* maximal marginal relevance: the likest one shown */
  WN_DIVERSITY_DPP  /* determinantal point process: all that was shown together */
} wn_diversity_method;
#define WN_DIVERSITY_WINDOW_MAX 200

typedef struct wn_generator_spec {
  char model[WN_NAME_MAX + 1];
  uint32_t quota; /* candidates it may propose, 1 to 10,000 */
  float weight;   /* in the score; under WN_NORM_BLEND that of a member is the blend's */
} wn_generator_spec;

typedef struct wn_cap {
  char attribute[WN_NAME_MAX + 1];
  uint32_t max; /* items of a slate that share a value (for lists: any value) */
} wn_cap;

typedef struct wn_pin {
  char item[256];
  uint32_t position; /* 1-based */
} wn_pin;

typedef struct wn_boost {
  char where[512]; /* expression */
  float
      factor; /* multiplies the score (which is ≥ 0 after normalisation); < 1 demotes; 0 to 1,000 */
} wn_boost;

/* At least so many items of a slate; of newer_days and where one is set. */
typedef struct wn_quota {
  char where[512];     /* expression; "": by age */
  uint32_t newer_days; /* created at most so many days ago */
  uint32_t min;
} wn_quota;

/* How chance or doubt fills a place. */
typedef enum wn_explore {
  WN_EXPLORE_NONE,
  WN_EXPLORE_RANDOM,   /* any candidate, all alike */
  WN_EXPLORE_COLD,     /* any item that was shown too seldom, all alike */
  WN_EXPLORE_THOMPSON, /* a candidate by the chance that it is answered most */
  WN_EXPLORE_LINUCB,   /* the candidate that may be answered most, by a linear model */
  WN_EXPLORE_LINEAR,   /* as Thompson, by a linear model */
  WN_EXPLORES
} wn_explore;
extern const char *const wn_explore_names[WN_EXPLORES]; /* [0]: "" */

/* A place that is filled in a way of its own. */
typedef struct wn_slot {
  uint32_t position;    /* 1-based */
  wn_explore explore;   /* NONE: the best candidate for which `where` holds */
  float share;          /* of the slates in which it explores; in the others the place is open */
  uint32_t impressions; /* COLD: shown fewer times on this surface */
  uint32_t impressions_max; /* COLD: until then an item is on trial; 0: it has no trial */
  uint32_t among;  /* THOMPSON and on: so many of the best candidates; COLD: of those on trial */
  float prior;     /* THOMPSON, COLD: impressions that the surface's own rate counts for */
  float width;     /* LINUCB, LINEAR: deviations of doubt */
  char where[512]; /* "": any; of COLD and RANDOM too */
} wn_slot;
#define WN_IMPRESSIONS_MAX  1000000
#define WN_BANDIT_AMONG_MAX 200
#define WN_PRIOR_MAX        1000000
/* What the configuration does not say. */
#define WN_SLOT_DEFAULT ((wn_slot){.share = 1.0f, .among = 50, .prior = 20.0f, .width = 0.5f})

typedef enum wn_mix_kind {
  WN_MIX_REPEAT,     /* what shares a value with items above counts less */
  WN_MIX_CALIBRATED, /* values as often as in the user's history */
  WN_MIX_COVERED,    /* each of the history's values somewhere */
} wn_mix_kind;
typedef struct wn_mix {
  char attribute[WN_NAME_MAX + 1];
  wn_mix_kind kind;
  float weight; /* REPEAT: factor of a repeat, 0 to 1; else 0 to 100 */
} wn_mix;

/* What an objective's probability counts in an item's value. */
typedef struct wn_objective_weight {
  char name[WN_OBJECTIVE_NAME_MAX + 1];
  float weight;
} wn_objective_weight;

typedef struct wn_surface {
  char name[WN_NAME_MAX + 1];
  wn_flavour flavour;
  uint32_t n; /* slate length when the request does not say */
  wn_generator_spec generators[WN_GENERATORS_MAX];
  size_t generators_len;
  wn_generator_spec fallback[WN_GENERATORS_MAX]; /* asked when fewer than 2n candidates came out:
                                                    new users, narrow filters */
  size_t fallback_len;
  bool short_slates; /* not filled with the newest items of the catalogue */
  /* filter */
  bool seen_all; /* every signal that marks as seen (default of personal, feed) */
  char seen[WN_RULES_MAX][WN_NAME_MAX + 1]; /* or these event types only */
  size_t seen_len;
  char where[WN_EXPR_BYTES_MAX]; /* "" = none */
  bool where_required;           /* kept even when no item of the catalogue satisfies it */
  /* score */
  wn_normalise normalise; /* default minmax (figures: README.md) */
  bool log_features;      /* what the ranker saw is logged with the impression; default true */
  uint32_t heavy;         /* the best of these that the snapshot's ranker scores again; 0: none */
  bool light;             /* the light ranker says which; default true */
  float fatigue_rate;     /* what an impression in vain takes from an item's score; 0: nothing */
  float fatigue_hours;    /* half-life of that */
  wn_objective_weight objectives[WN_OBJECTIVES_MAX];
  size_t objectives_len; /* 0: the ranker's own order */
  float perturb;         /* deviation of the logarithms of weights between users; 0: none */
  /* order */
  float mmr_lambda; /* 1: relevance alone; 0: diversity alone */
  char diversity_by[WN_NAME_MAX +
                    1]; /* a model with item vectors ("als"), or an attribute; "" = none */
  bool diversity_is_model;
  wn_diversity_method diversity_method;
  uint32_t diversity_window; /* places above that count, 2 to WN_DIVERSITY_WINDOW_MAX */
  wn_cap caps[WN_RULES_MAX];
  size_t caps_len;
  wn_pin pins[WN_RULES_MAX];
  size_t pins_len;
  wn_boost boosts[WN_RULES_MAX];
  size_t boosts_len;
  wn_quota quotas[WN_RULES_MAX];
  size_t quotas_len;
  wn_slot slots[WN_RULES_MAX];
  size_t slots_len;
  wn_mix mixes[WN_RULES_MAX];
  size_t mixes_len;
  wn_slot bandit;    /* of all open places: explore, share, among, prior; NONE: worth fills them */
  float floor;       /* items that score less are not shown, unless nothing scores more */
  float temperature; /* 0: the best item at each place; else drawn by e^(worth / temperature) */
} wn_surface;

typedef struct wn_surfaces {
  wn_surface *data;
  size_t len;
} wn_surfaces;

void wn_surface_init(wn_surface *surface, const char *name, wn_flavour flavour);
/* home (personal), similar (flat), feed (feed), popular (flat). Heap; free with wn_surfaces_clear.
 */
WN_MUST_USE wn_status wn_surfaces_defaults(wn_surfaces *surfaces, wn_error *err);
void wn_surfaces_clear(wn_surfaces *surfaces);
const wn_surface *wn_surfaces_find(const wn_surfaces *surfaces, wn_str name);
/* What bit `source` of a candidate's or slate item's `sources` stands for: the model of the
 * surface's list of generators, then of its fallbacks, then "catalogue" (newest items). NULL past
 * that. */
const char *wn_surface_source(const wn_surface *surface, unsigned source);
/* Whether a slate of it is a draw: a temperature, or a slot that explores. */
bool wn_surface_draws(const wn_surface *surface);
/* Whether a linear model is asked, and so learns of its slates. */
bool wn_surface_asks_linear(const wn_surface *surface);
/* Whether a slate of it depends on what was shown before (request->exposed). */
bool wn_surface_asks_exposed(const wn_surface *surface);
/* Ranges, known models, unique names, expressions that parse, pins in 1 … WN_SLATE_MAX and on
 * distinct positions. WN_E_CONFIG; field: "surfaces.home.retrieve[2].quota" (also: .name, .n,
 * .fallback[i].…, .filter.seen[i], .filter.where, .score.heavy,
 * .order.diversity.lambda|by|window,
 * .order.caps[i].attribute|max, .order.pins[i].item|position, .order.boosts[i].where|factor,
 * .order.quotas[i].where|min, .order.slots[i].position|where, .order.mix[i].attribute|weight); in
 * an expression line and column are the expression's own. */
WN_MUST_USE wn_status wn_surface_validate(const wn_surface *surface, wn_error *err);

#endif
