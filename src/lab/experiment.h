#ifndef WN_LAB_EXPERIMENT_H
#define WN_LAB_EXPERIMENT_H
/* Experiments: who is in which arm, and what an arm changes. Declared by the configuration
 * (docs/experiments.md), immutable while they serve.
 *
 * Assignment is a pure function of names: XXH3 of the unit's id, seeded with that of a salt. Three
 * independent draws decide: the group's (which range of it is the experiment's), the experiment's
 * traffic, its arm. So the same unit gets the same arm on every replica and after every restart,
 * growing traffic moves nobody to another arm, and experiments that share no group are independent.
 *
 * The holdout is an experiment called "holdout": who is in its arm "in" takes part in no other. */

#include "funnel/surface_patch.h"
#include "base/str.h"

#define WN_EXPERIMENTS_MAX 200
#define WN_ARMS_MAX        8
#define WN_METRICS_MAX     8
#define WN_AUDIENCE_MAX    8
#define WN_HOLDOUT         "holdout"

/* What is counted of a unit; how, and over what: lab/outcome.h. */
typedef enum wn_metric_kind {
  WN_METRIC_CONVERSION, /* share of units with at least one event: y = 0 or 1 */
  WN_METRIC_COUNT,      /* events a unit */
  WN_METRIC_RATE,       /* events a slate: x = slates of the unit */
  WN_METRIC_VALUE,      /* sum of the events' values a unit: revenue, seconds */
  WN_METRIC_FINISH,     /* share of events whose value is at least `value_min`: x = events */
  WN_METRIC_DISTINCT,   /* different items a unit: diversity of consumption */
  WN_METRIC_RETURN,     /* share of units that ask again on a later day, within `days` days */
} wn_metric_kind;
extern const char *const wn_metric_kind_names[]; /* NULL-terminated */

typedef struct wn_metric_spec {
  char name[65];
  wn_metric_kind kind;
  char type[65];    /* event type; "": any (not for RETURN) */
  double value_min; /* FINISH */
  double days;      /* RETURN; default 7 */
  bool lower_is_better;
  double margin; /* a guardrail fails when the relative loss is surely beyond it; default 0 */
} wn_metric_spec;

typedef enum wn_unit { WN_UNIT_USER, WN_UNIT_SESSION } wn_unit;

/* How the second of two arms, the challenger, meets the first, the champion. */
typedef enum wn_mode {
  WN_MODE_SHARE,      /* each unit gets one arm */
  WN_MODE_SHADOW,     /* units get the champion; what the challenger would show is logged */
  WN_MODE_INTERLEAVE, /* units get one slate of both (team-draft); events credit their team */
} wn_mode;
extern const char *const wn_mode_names[]; /* NULL-terminated */

/* What becomes of an experiment without anybody's hand, by its verdict. */
typedef struct wn_rule {
  bool promote, roll_back;
  double every_minutes; /* between two looks, default 60 */
  uint64_t min_units;   /* fewer are not judged */
} wn_rule;

#define WN_SEGMENTS_BY 8 /* attributes */

/* What an arm changes on one surface. */
typedef struct wn_arm_variant {
  char surface[WN_NAME_MAX + 1];
  wn_surface_patch patch;
  char keys[512]; /* that it mentions: "order.diversity n" */
} wn_arm_variant;

typedef struct wn_arm_spec {
  char name[WN_NAME_MAX + 1];
  double share;      /* of the units that take part; those of all arms add up to 1 */
  uint64_t snapshot; /* pinned; 0: the current one */
  wn_arm_variant *variants;
  size_t variants_len;
} wn_arm_spec;

typedef struct wn_override {
  char unit[256]; /* id */
  uint32_t arm;
} wn_override;

/* Users whose attribute has this value; several of one attribute: any of them. */
typedef struct wn_audience {
  char attribute[WN_NAME_MAX + 1];
  char value[WN_NAME_MAX + 1];
} wn_audience;

typedef struct wn_experiment {
  char name[WN_NAME_MAX + 1];
  char salt[WN_NAME_MAX + 1]; /* default: the name */
  wn_unit unit;
  wn_mode mode;
  wn_rule rule;
  bool stopped;      /* assigns nobody; what it found stays readable */
  uint32_t promoted; /* 1 + the arm that everybody but the holdout has got since it was
                        stopped; 0: none */
  bool by_api;       /* declared over the API, not by the file */
  struct {           /* as the file has them, where the API may say something else */
    bool stopped;
    uint32_t promoted;
    double traffic;
  } filed;
  double traffic;                /* share of the units that take part, 0 to 1 */
  char group[WN_NAME_MAX + 1];   /* of exclusive experiments; "": none */
  double group_from, group_to;   /* its part of the group's units, 0 ≤ from < to ≤ 1 */
  wn_arm_spec arms[WN_ARMS_MAX]; /* the first is the control */
  size_t arms_len;
  char (*surfaces)[WN_NAME_MAX + 1]; /* on which units are assigned */
  size_t surfaces_len;
  wn_audience audience[WN_AUDIENCE_MAX];
  size_t audience_len;
  char segments[WN_SEGMENTS_BY][WN_NAME_MAX + 1]; /* users' attributes by whose values sizes are
                                                     tested; without `segments_given` all */
  size_t segments_len;
  bool segments_given;
  wn_override *overrides; /* for testing: these units get that arm */
  size_t overrides_len;
  wn_metric_spec metrics[WN_METRICS_MAX]; /* the first is the primary one, the others guard */
  size_t metrics_len;
  uint64_t planned_units; /* both arms together; 0: none planned */
  uint32_t looks;         /* at equal parts of the plan, group sequential; 0: none */
  double alpha;           /* default .05 */
  /* by wn_experiment_seal */
  uint64_t digest; /* of what may not change while it runs */
  uint64_t group_seed, traffic_seed, arm_seed;
} wn_experiment;

typedef struct wn_experiments {
  wn_experiment *data; /* ascending by name */
  size_t len;
} wn_experiments;

void wn_experiment_defaults(wn_experiment *experiment, const char *name);
/* A copy of its own. */
WN_MUST_USE wn_status wn_experiment_copy(const wn_experiment *from, wn_experiment *to,
                                         wn_error *err);
void wn_experiment_clear(wn_experiment *experiment);
void wn_experiments_clear(wn_experiments *experiments);
const wn_experiment *wn_experiments_find(const wn_experiments *experiments, wn_str name);

/* One experiment by itself. WN_E_CONFIG; field: "experiments.NAME.arms", … */
WN_MUST_USE wn_status wn_experiment_validate(const wn_experiment *experiment, wn_error *err);
/* All together: known surfaces, ranges of a group that do not overlap, no two experiments without a
 * common group that change the same key of a surface, none that changes what a promoted arm of
 * another does. Sorts by name. */
WN_MUST_USE wn_status wn_experiments_validate(wn_experiments *experiments,
                                              const wn_surfaces *surfaces, wn_error *err);
/* Fills in the seeds of the draws and the digest: of name, salt, unit, group, audience, surfaces,
 * arms with their shares and patches. Changing any of these under way would mix two experiments;
 * traffic, overrides, metrics and the plan may change. Call it when the rest is there. */
void wn_experiment_seal(wn_experiment *experiment);

/* A request's arms. */
typedef struct wn_assigned {
  const wn_experiment *experiment;
  uint32_t arm;
} wn_assigned;

typedef struct wn_assign_context {
  wn_str surface, user, session; /* absent: none */
  const wn_attrs *attrs;         /* the user's; NULL: none known */
} wn_assign_context;

/* Fills `out` (room for experiments->len), by name. Returns how many. */
size_t wn_experiments_assign(const wn_experiments *experiments, const wn_assign_context *context,
                             wn_assigned *out);
/* What promoted arms change on a surface. The policy of who has got them is mixed into *policy. */
void wn_experiments_promoted(const wn_experiments *experiments, wn_surface *surface,
                             uint64_t *policy);
bool wn_experiments_any_promoted(const wn_experiments *experiments, wn_str surface);
/* Whether assigning on this surface looks at users' attributes. */
bool wn_experiments_need_attrs(const wn_experiments *experiments, wn_str surface);
/* The arm of one unit, or WN_NO_IX: not in. Of a sealed experiment. Without groups' and the
 * holdout's precedence between experiments. */
uint32_t wn_experiment_arm(const wn_experiment *experiment, wn_str unit);
/* "experiment=arm experiment=arm"; in place of the arm "shadow" or "interleave", to which what came
 * of it is added in the log (serve/engine_duel.c). */
void wn_assigned_print(const wn_assigned *assigned, size_t len, wn_buf *out);
/* The arm's name in such a text; absent: not in. */
wn_str wn_assigned_find(wn_str text, const char *experiment);

#endif
