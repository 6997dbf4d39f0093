/* P(arm i has the largest draw) = ∫ fᵢ(u) Π_{j≠i} Fⱼ(u) du, for all arms at once.
 *
 * Betas are taken in u = logit x, where their densities are smooth and log-concave whatever α and β
 * (Beta(.05, 1) has a pole at 0). The range is cut into panels no wider than the deviation of any
 * arm that matters there, each with 8 Gauss–Legendre nodes; the range begins where the `places`-th
 * arm from above does, since the largest draw of those left is never below. Densities are evaluated
 * at all nodes; the distribution functions are their integrals up to the node, by the matrix that
 * integrates the polynomial through a panel's 8 values: no special function but one at the lower
 * end. Then each place is a product over arms at the nodes, kept as sums of logarithms, and for
 * each arm a dot product with fᵢ / Fᵢ.
 *
 * Cost: arms × nodes exponentials once (nodes: some 200), and arms × nodes multiplications a place.
 * Error: below 1e-9 (tests/funnel/test_contest.c, against adaptive integration of 1e-12); what is
 * drawn is drawn by the odds themselves, so that a logged propensity is exact whatever the error.
 * Deterministic. */
#include "funnel/contest.h"

#include "base/special.h"

#include <math.h>

#define NODES      8
#define PANELS_MAX 400
#define DROP       36.0 /* e^−36 of the density's height is nothing */

static const double node_at[NODES] = {-0.9602898564975363, -0.7966664774136267, -0.5255324099163290,
                                      -0.1834346424956498, 0.1834346424956498,  0.5255324099163290,
                                      0.7966664774136267,  0.9602898564975363};
static const double node_weight[NODES] = {
    0.1012285362903763, 0.2223810344533745, 0.3137066458778873, 0.3626837833783620,
    0.3626837833783620, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763};

typedef struct span {
  double from, to, deviation;
} span;

typedef struct panels {
  size_t len;
  double at[PANELS_MAX + 1];
} panels;

/* ln(1 + e^u) */
static double softplus(double u) {
  return u > 0 ? u + log1p(exp(-u)) : log1p(exp(u));
}

static double log_density(const wn_belief *b, double u) {
  return -b->a * softplus(-u) - b->b * softplus(u);
}

static span span_of(wn_belief_kind kind, const wn_belief *b) {
  if (kind == WN_BELIEF_NORMAL)
    return (span){b->a - sqrt(2 * DROP) * b->b, b->a + sqrt(2 * DROP) * b->b, b->b};
  double mode = log(b->a / b->b), height = log_density(b, mode);
  span s = {.deviation = sqrt(1 / b->a + 1 / b->b)};
  double below = 6 * s.deviation, above = below;
  while (log_density(b, mode - below) > height - DROP) below *= 1.3;
  while (log_density(b, mode + above) > height - DROP) above *= 1.3;
  s.from = mode - below;
  s.to = mode + above;
  return s;
}

/* The `places`-th largest beginning (the least when there are fewer). */
static double beginning(const span *spans, size_t arms, size_t places) {
  double least = INFINITY, bound = INFINITY;
  for (size_t k = 0; k < places && k < arms; k++) {
    double next = -INFINITY;
    size_t same = 0;
    for (size_t i = 0; i < arms; i++) {
      if (spans[i].from < bound && spans[i].from > next) next = spans[i].from, same = 0;
      same += spans[i].from == next;
    }
    if (!(next > -INFINITY)) break;
    least = bound = next;
    k += same - 1;
  }
  return least;
}

/* Each no wider than the least deviation among the arms that matter there. */
static void cut(const span *spans, size_t arms, size_t places, panels *out) {
  double at = beginning(spans, arms, places), end = at, coarse = 1;
  for (size_t i = 0; i < arms; i++) end = fmax(end, spans[i].to);
  do { /* with too many panels all become wider */
    double u = at;
    for (out->len = 0; u < end && out->len < PANELS_MAX; u = out->at[++out->len]) {
      double width = end - u;
      for (size_t i = 0; i < arms; i++) {
        double own = coarse * spans[i].deviation;
        if (spans[i].to <= u) continue;
        width = fmin(width, spans[i].from > u ? fmax(spans[i].from - u, own) : own);
      }
      out->at[out->len] = u;
      out->at[out->len + 1] = u + width;
    }
    at = out->at[0];
    coarse *= 2;
  } while (out->at[out->len] < end);
}

/* integral[k][m]: what the value at node m adds to the integral from −1 to node k. */
static void integrate_matrix(double integral[NODES][NODES]) {
  double p[NODES][NODES + 1]; /* Legendre polynomials at the nodes */
  for (size_t k = 0; k < NODES; k++) {
    double t = node_at[k];
    p[k][0] = 1;
    p[k][1] = t;
    for (size_t n = 2; n <= NODES; n++)
      p[k][n] = ((double)(2 * n - 1) * t * p[k][n - 1] - (double)(n - 1) * p[k][n - 2]) / (double)n;
  }
  for (size_t k = 0; k < NODES; k++)
    for (size_t m = 0; m < NODES; m++) {
      double sum = node_at[k] + 1;
      for (size_t n = 1; n < NODES; n++) sum += p[m][n] * (p[k][n + 1] - p[k][n - 1]);
      integral[k][m] = node_weight[m] / 2 * sum;
    }
}

typedef struct grid {
  panels panels;
  double integral[NODES][NODES];
  double *u, *log_x, *log_rest; /* [nodes]; ln x and ln(1 − x) of a Beta's */
} grid;

static double cdf_at(wn_belief_kind kind, const wn_belief *b, const span *s, double u) {
  if (s->from >= u) return 0;
  if (kind == WN_BELIEF_NORMAL) return wn_normal_cdf((u - b->a) / b->b);
  return wn_beta_cdf(1 / (1 + exp(-u)), b->a, b->b);
}

/* One arm's rows. */
static void fill_arm(wn_contest *c, wn_belief_kind kind, const wn_belief *b, const span *s,
                     const grid *g, size_t arm) {
  double *log_cdf = c->log_cdf + arm * c->nodes, *hazard = c->hazard + arm * c->nodes;
  double scale = kind == WN_BELIEF_BETA ? -wn_lbeta(b->a, b->b) : -0.5 * log(2 * M_PI) - log(b->b);
  double before = cdf_at(kind, b, s, g->panels.at[0]);
  for (size_t p = 0; p < g->panels.len; p++) {
    double half = (g->panels.at[p + 1] - g->panels.at[p]) / 2, density[NODES], whole = 0;
    size_t first = p * NODES;
    for (size_t k = 0; k < NODES; k++) {
      double u = g->u[first + k], z = kind == WN_BELIEF_NORMAL ? (u - b->a) / b->b : 0;
      double log_f = kind == WN_BELIEF_NORMAL
                         ? -0.5 * z * z
                         : b->a * g->log_x[first + k] + b->b * g->log_rest[first + k];
      density[k] = exp(log_f + scale);
      whole += half * node_weight[k] * density[k];
    }
    for (size_t k = 0; k < NODES; k++) {
      double cdf = before;
      for (size_t m = 0; m < NODES; m++) cdf += half * g->integral[k][m] * density[m];
      cdf = fmin(fmax(cdf, 1e-290), 1);
      log_cdf[first + k] = log(cdf);
      hazard[first + k] = density[k] / cdf;
    }
    before += whole;
  }
}

static bool alloc(wn_contest *c, grid *g, wn_arena *arena) {
  size_t n = c->nodes + 1, all = c->arms * c->nodes + 1;
  c->weight = wn_arena_alloc(arena, n * sizeof *c->weight);
  c->sum = wn_arena_alloc(arena, n * sizeof *c->sum);
  c->log_cdf = wn_arena_alloc(arena, all * sizeof *c->log_cdf);
  c->hazard = wn_arena_alloc(arena, all * sizeof *c->hazard);
  g->u = wn_arena_alloc(arena, 3 * n * sizeof *g->u);
  if (c->weight == NULL || c->sum == NULL || c->log_cdf == NULL || c->hazard == NULL ||
      g->u == NULL)
    return false;
  g->log_x = g->u + n;
  g->log_rest = g->log_x + n;
  return true;
}

bool wn_contest_init(wn_contest *c, wn_belief_kind kind, const wn_belief *beliefs, size_t arms,
                     size_t places, wn_arena *arena) {
  grid g;
  span *spans = wn_arena_alloc(arena, (arms + 1) * sizeof *spans);
  *c = (wn_contest){.arms = arms};
  if (spans == NULL) return false;
  for (size_t i = 0; i < arms; i++) spans[i] = span_of(kind, &beliefs[i]);
  g.panels.len = 0;
  if (arms > 0) cut(spans, arms, places > 0 ? places : 1, &g.panels);
  c->nodes = g.panels.len * NODES;
  if (!alloc(c, &g, arena)) return false;
  integrate_matrix(g.integral);
  for (size_t n = 0; n < c->nodes; n++) {
    double from = g.panels.at[n / NODES], half = (g.panels.at[n / NODES + 1] - from) / 2;
    g.u[n] = from + half * (1 + node_at[n % NODES]);
    c->weight[n] = half * node_weight[n % NODES];
    g.log_x[n] = kind == WN_BELIEF_BETA ? -softplus(-g.u[n]) : 0;
    g.log_rest[n] = kind == WN_BELIEF_BETA ? -softplus(g.u[n]) : 0;
  }
  for (size_t i = 0; i < arms; i++) fill_arm(c, kind, &beliefs[i], &spans[i], &g, i);
  return true;
}

double wn_contest_odds(wn_contest *c, const bool *in, double *p) {
  double total = 0;
  for (size_t n = 0; n < c->nodes; n++) c->sum[n] = 0;
  for (size_t i = 0; i < c->arms; i++) {
    const double *row = c->log_cdf + i * c->nodes;
    for (size_t n = 0; (in == NULL || in[i]) && n < c->nodes; n++) c->sum[n] += row[n];
  }
  for (size_t n = 0; n < c->nodes; n++) c->sum[n] = c->weight[n] * exp(c->sum[n]);
  for (size_t i = 0; i < c->arms; i++) {
    const double *row = c->hazard + i * c->nodes;
    double odds = 0;
    for (size_t n = 0; (in == NULL || in[i]) && n < c->nodes; n++) odds += row[n] * c->sum[n];
    total += p[i] = odds;
  }
  for (size_t i = 0; i < c->arms && total > 0; i++) p[i] /= total;
  return total;
}
