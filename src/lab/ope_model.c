/* The policy's probabilities and the reward model of a log of decisions, both over cells: an item
 * at a position.
 *
 * The model is fitted on the log that it is used on, so it must not see the row that it corrects:
 * five folds by decision, q̂ of a row from the other four. Cells that a fold has not met get the
 * position's mean. Departure from the papers, which regress on context: our contexts are users'
 * histories, and a model of those is a recommender, not a control variate; DR stays right without,
 * and only its spread suffers. Deterministic. Costs: one map entry a cell, O(rows + cells × folds).
 */
#include "lab/ope_run.h"

#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define FOLDS      5
#define PRIOR_ROWS 100.0

typedef struct sums {
  double weight, reward; /* Σ w, Σ w r */
} sums;

typedef struct cells {
  wn_map64 of; /* position << 32 | item → number + 1 */
  size_t len;
  double *p;           /* [len] of the policy */
  uint32_t *position;  /* [len] */
  sums *cell;          /* [len × (FOLDS + 1)], the last: all */
  sums *place;         /* [positions × (FOLDS + 1)] */
  double *value;       /* [positions × FOLDS] */
  sums all[FOLDS + 1]; /* over every position */
} cells;

static uint64_t key_of(uint32_t position, uint32_t item) {
  return (uint64_t)position << 32 | item;
}

static unsigned fold_of(const wn_logged_row *row) {
  return (unsigned)(wn_mix64(row->decision) % FOLDS);
}

static void cells_clear(cells *c) {
  wn_map64_clear(&c->of);
  wn_free(c->p);
  wn_free(c->position);
  wn_free(c->cell);
  wn_free(c->place);
  wn_free(c->value);
}

static wn_status cells_find(const wn_logged *log, cells *c, wn_error *err) {
  *c = (cells){0};
  wn_map64_init(&c->of);
  for (size_t i = 0; i < log->rows.len; i++) {
    const wn_logged_row *row = &log->rows.data[i];
    uint64_t *at = wn_map64_at(&c->of, key_of(row->position, row->item));
    if (at == NULL) return wn_fail_memory(err);
    if (*at == 0) *at = ++c->len;
  }
  c->p = wn_calloc(c->len, sizeof *c->p);
  c->position = wn_calloc(c->len, sizeof *c->position);
  c->cell = wn_calloc(c->len, (FOLDS + 1) * sizeof *c->cell);
  c->place = wn_calloc(log->positions, (FOLDS + 1) * sizeof *c->place);
  c->value = wn_calloc(log->positions, FOLDS * sizeof *c->value);
  if (c->p == NULL || c->position == NULL || c->cell == NULL || c->place == NULL ||
      c->value == NULL)
    return wn_fail_memory(err);
  size_t i = 0;
  uint64_t key, number;
  while (wn_map64_next(&c->of, &i, &key, &number)) c->position[number - 1] = (uint32_t)(key >> 32);
  return WN_OK;
}

/* SIZE_MAX: the log never shows it. */
static size_t cell_of(const cells *c, uint32_t position, uint32_t item) {
  const uint64_t *at = wn_map64_find(&c->of, key_of(position, item));
  return at != NULL ? (size_t)*at - 1 : SIZE_MAX;
}

/* --- means --- */

/* All folds but f. */
static sums but(const sums *of, unsigned f) {
  return (sums){of[FOLDS].weight - of[f].weight, of[FOLDS].reward - of[f].reward};
}

static double place_mean(const cells *c, uint32_t position, unsigned f) {
  sums s = but(c->place + (size_t)position * (FOLDS + 1), f), all = but(c->all, f);
  if (s.weight > 0) return s.reward / s.weight;
  return all.weight > 0 ? all.reward / all.weight : 0;
}

/* `mean`: weight of a row on average. */
static double cell_mean(const cells *c, size_t cell, unsigned f, double mean) {
  double prior = place_mean(c, c->position[cell], f);
  sums s = but(c->cell + cell * (FOLDS + 1), f);
  double weight = s.weight + PRIOR_ROWS * mean;
  return weight > 0 ? (s.reward + PRIOR_ROWS * mean * prior) / weight : prior;
}

/* Σ p and Σ p q̂ at row i's place of what stands above it in its slate. */
static sums above(const wn_logged *log, const cells *c, size_t i, double mean) {
  const wn_logged_row *rows = log->rows.data;
  sums s = {0};
  for (size_t j = i; j-- > 0 && rows[j].decision == rows[i].decision;) {
    size_t cell = cell_of(c, rows[i].position, rows[j].item);
    if (cell == SIZE_MAX) continue;
    s.weight += c->p[cell];
    s.reward += c->p[cell] * cell_mean(c, cell, fold_of(&rows[i]), mean);
  }
  return s;
}

/* --- the policy --- */

static void put_table(const wn_logged *log, const wn_policy_table *table, cells *c) {
  for (size_t e = 0; e < table->entries.len; e++) {
    const wn_policy_entry *entry = &table->entries.data[e];
    uint32_t first = entry->position == WN_NO_IX ? 0 : entry->position;
    uint32_t end = entry->position == WN_NO_IX ? log->positions : first + 1;
    for (uint32_t l = first; entry->item != WN_NO_IX && l < end && l < log->positions; l++) {
      size_t cell = cell_of(c, l, entry->item);
      if (cell != SIZE_MAX) c->p[cell] += entry->p;
    }
  }
}

/* A store's dictionary has more items than its log shows. */
static wn_status items_shown(const wn_logged *log, size_t *out, wn_error *err) {
  wn_map64 met;
  wn_status status = WN_OK;
  wn_map64_init(&met);
  for (size_t i = 0; i < log->rows.len && status == WN_OK; i++)
    if (wn_map64_at(&met, log->rows.data[i].item) == NULL) status = wn_fail_memory(err);
  *out = met.len;
  wn_map64_clear(&met);
  return status;
}

static wn_status put_policy(const wn_logged *log, const wn_ope_options *options, cells *c,
                            wn_error *err) {
  size_t items;
  if (options->policy == WN_POLICY_TABLE) put_table(log, options->table, c);
  if (options->policy != WN_POLICY_UNIFORM) return WN_OK;
  wn_status status = items_shown(log, &items, err);
  for (size_t i = 0; status == WN_OK && i < c->len; i++) c->p[i] = 1 / (double)items;
  return status;
}

/* Whether no slate shows an item twice: then a policy that is told by item does not, either, and
 * draws each place from what does not stand above it. */
static bool slates_are_distinct(const wn_logged *log) {
  const wn_logged_row *rows = log->rows.data;
  for (size_t i = 0; i < log->rows.len; i++)
    for (size_t j = i; j-- > 0 && rows[j].decision == rows[i].decision;)
      if (rows[j].item == rows[i].item) return false;
  return true;
}

wn_status wn_ope_probabilities(wn_logged *log, const wn_ope_options *options, double *uncovered,
                               wn_error *err) {
  cells c;
  wn_status status;
  double n = (double)log->rows.len, *covered = NULL;
  bool known = options->policy == WN_POLICY_TABLE || options->policy == WN_POLICY_UNIFORM;
  *uncovered = 0;
  WN_TRY(cells_find(log, &c, err));
  WN_TRY(put_policy(log, options, &c, err));
  bool distinct = known && slates_are_distinct(log);
  covered = wn_calloc(log->positions, sizeof *covered);
  if (covered == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t i = 0; i < c.len; i++) covered[c.position[i]] += c.p[i];
  for (size_t i = 0; i < log->rows.len; i++) {
    wn_logged_row *row = &log->rows.data[i];
    if (options->policy == WN_POLICY_LOGGED) row->p_eval = row->p_log;
    if (known) {
      double left = 1 - (distinct ? above(log, &c, i, 0).weight : 0);
      row->p_eval = left > 1e-9 ? c.p[cell_of(&c, row->position, row->item)] / left : 0;
      row->p_eval = fmin(row->p_eval, 1);
      *uncovered += fmax(0, 1 - covered[row->position]) / n;
    }
  }
  if (*uncovered < 1e-6) *uncovered = 0; /* rounding of the table */
cleanup:
  wn_free(covered);
  cells_clear(&c);
  return status;
}

/* --- the model --- */

static void count(const wn_logged *log, bool mrdr, cells *c) {
  for (size_t i = 0; i < log->rows.len; i++) {
    const wn_logged_row *row = &log->rows.data[i];
    double w = mrdr ? wn_mrdr_weight(row->p_eval, row->p_log) : 1;
    sums *of[] = {c->cell + cell_of(c, row->position, row->item) * (FOLDS + 1),
                  c->place + (size_t)row->position * (FOLDS + 1), c->all};
    for (size_t k = 0; k < 3; k++)
      for (unsigned f = 0; f < 2; f++) {
        sums *s = &of[k][f == 0 ? fold_of(row) : FOLDS];
        s->weight += w;
        s->reward += w * row->reward;
      }
  }
}

/* Σ_a π_e(a) q̂(a) of each position and fold; what the log never shows earns the position's mean. */
static void put_values(const wn_logged *log, cells *c, double mean) {
  for (uint32_t l = 0; l < log->positions; l++)
    for (unsigned f = 0; f < FOLDS; f++) c->value[l * FOLDS + f] = place_mean(c, l, f);
  for (size_t i = 0; i < c->len; i++)
    for (unsigned f = 0; f < FOLDS; f++)
      c->value[c->position[i] * FOLDS + f] +=
          c->p[i] * (cell_mean(c, i, f, mean) - place_mean(c, c->position[i], f));
}

static bool model_given(const wn_logged *log) {
  for (size_t i = 0; i < log->rows.len; i++)
    if (isnan(log->rows.data[i].q) || isnan(log->rows.data[i].value)) return false;
  return true;
}

static bool choices_given(const wn_logged *log) {
  for (size_t i = 0; i < log->rows.len; i++)
    if (log->rows.data[i].chosen == WN_NO_IX) return false;
  return true;
}

wn_status wn_ope_model(const wn_logged *log, const wn_ope_options *options, bool mrdr,
                       wn_ope_row *rows, bool *known, wn_error *err) {
  cells c;
  wn_status status;
  bool given = model_given(log) && !mrdr, chosen = choices_given(log);
  bool table = options->policy == WN_POLICY_TABLE || options->policy == WN_POLICY_UNIFORM;
  WN_TRY(cells_find(log, &c, err));
  WN_TRY(put_policy(log, options, &c, err));
  count(log, mrdr, &c);
  double mean = c.all[FOLDS].weight / (double)log->rows.len;
  put_values(log, &c, mean);
  bool distinct = table && slates_are_distinct(log);
  *known = given || table || chosen || options->policy == WN_POLICY_LOGGED;
  for (size_t i = 0; i < log->rows.len; i++) {
    const wn_logged_row *row = &log->rows.data[i];
    unsigned f = fold_of(row);
    wn_ope_row *out = &rows[i];
    out->weight = row->p_eval / row->p_log;
    out->reward = row->reward;
    out->q = given ? row->q : cell_mean(&c, cell_of(&c, row->position, row->item), f, mean);
    out->value = given ? row->value : c.value[row->position * FOLDS + f];
    if (!given && options->policy == WN_POLICY_LOGGED) out->value = out->q;
    if (!given && distinct) {
      sums taken = above(log, &c, i, mean);
      if (taken.weight < 1 - 1e-9) out->value = (out->value - taken.reward) / (1 - taken.weight);
    }
    if (given || !chosen) continue;
    size_t cell = cell_of(&c, row->position, row->chosen);
    out->value = cell != SIZE_MAX ? cell_mean(&c, cell, f, mean) : place_mean(&c, row->position, f);
  }
cleanup:
  cells_clear(&c);
  return status;
}
