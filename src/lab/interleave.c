/* Interleaved comparison of two rankers; sources in interleave.h. O(k · length). */
#include "lab/interleave.h"

#include "base/special.h"
#include "lab/stats.h"

static bool taken(const uint32_t *list, size_t len, uint32_t item) {
  for (size_t i = 0; i < len; i++)
    if (list[i] == item) return true;
  return false;
}

size_t wn_team_draft(const wn_ranking_list rankers[2], size_t k, bool (*coin)(void *ctx), void *ctx,
                     uint32_t *list, uint8_t *team) {
  size_t next[2] = {0, 0}, size[2] = {0, 0}, len = 0;
  while (len < k) {
    for (int t = 0; t < 2; t++)
      while (next[t] < rankers[t].len && taken(list, len, rankers[t].item[next[t]])) next[t]++;
    bool left[2] = {next[0] < rankers[0].len, next[1] < rankers[1].len};
    if (!left[0] && !left[1]) break;
    int turn = size[0] != size[1] ? size[1] < size[0] : coin(ctx);
    if (!left[turn]) turn = !turn;
    list[len] = rankers[turn].item[next[turn]];
    team[len++] = (uint8_t)turn;
    size[turn]++;
  }
  return len;
}

/* ahead: probability, given the items so far, that team A is behind, even or ahead of B by one. */
static double step(const wn_ranking_list rankers[2], const size_t next[2], uint32_t item,
                   double ahead[3]) {
  double then[3] = {0, 0, 0}, sum = 0;
  bool left[2] = {next[0] < rankers[0].len, next[1] < rankers[1].len};
  for (int d = 0; d < 3; d++)
    for (int turn = 0; turn < 2; turn++) {
      double w = d == 1 ? ahead[d] / 2 : turn == (d == 2) ? ahead[d] : 0;
      int picks =
          left[turn] ? turn : !turn; /* with one list at its end, who is ahead says nothing */
      int to = picks == 0 ? d + 1 : d - 1;
      if (!left[picks] || rankers[picks].item[next[picks]] != item) continue;
      then[to < 0 ? 0 : to > 2 ? 2 : to] += w;
      sum += w;
    }
  for (int d = 0; d < 3; d++) ahead[d] = sum > 0 ? then[d] / sum : 0;
  return sum;
}

void wn_team_draft_propensity(const wn_ranking_list rankers[2], const uint32_t *list, size_t len,
                              double *p) {
  double ahead[3] = {0, 1, 0};
  size_t next[2] = {0, 0};
  for (size_t k = 0; k < len; k++) {
    for (int t = 0; t < 2; t++)
      while (next[t] < rankers[t].len && taken(list, k, rankers[t].item[next[t]])) next[t]++;
    p[k] = step(rankers, next, list[k], ahead);
  }
}

void wn_team_credit(const uint8_t *team, const size_t *clicked, size_t clicks, size_t credit[2]) {
  credit[0] = credit[1] = 0;
  for (size_t i = 0; i < clicks; i++) credit[team[clicked[i]]]++;
}

static size_t rank_of(const wn_ranking_list *ranker, uint32_t item) {
  size_t rank = 0;
  while (rank < ranker->len && ranker->item[rank] != item) rank++;
  return rank + 1;
}

void wn_balanced_credit(const wn_ranking_list rankers[2], const uint32_t *list,
                        const size_t *clicked, size_t clicks, size_t credit[2]) {
  size_t last = 0;
  credit[0] = credit[1] = 0;
  for (size_t i = 0; i < clicks; i++) last = clicked[i] > last ? clicked[i] : last;
  if (clicks == 0) return;
  size_t a = rank_of(&rankers[0], list[last]), b = rank_of(&rankers[1], list[last]);
  size_t depth = a < b ? a : b;
  for (size_t i = 0; i < clicks; i++)
    for (int t = 0; t < 2; t++) credit[t] += rank_of(&rankers[t], list[clicked[i]]) <= depth;
}

wn_interleaving_result wn_interleaving_test(double wins_a, double wins_b, double ties) {
  double decided = wins_a + wins_b, all = decided + ties;
  wn_estimate share = wn_wilson(wins_a, decided, 0.05);
  return (wn_interleaving_result){.delta = all > 0 ? (wins_a + ties / 2) / all - 0.5 : 0,
                                  .p_sign = wn_sign_test(wins_a, decided),
                                  .p_win = share.value,
                                  .low = share.low,
                                  .high = share.high};
}
