#ifndef WN_MODEL_VMIS_H
#define WN_MODEL_VMIS_H
/* The parts of the session model: what a snapshot holds (vmis.c fits and answers), and the sessions
 * since (vmis_live.c). See vmis.c for the formula. */

#include "base/map64.h"
#include "base/vec.h"
#include "model/query.h"

#define WN_VMIS_LENGTH_MAX   1000   /* items of a session */
#define WN_VMIS_RECENT_MAX   100000 /* sessions remembered for an item */
#define WN_VMIS_SESSIONS_MAX 10000000

/* Snapshot section "vmis/head". */
typedef struct wn_vmis_head {
  uint32_t version;
  uint32_t items;
  uint32_t users;
  uint32_t sessions;
  uint32_t recent;       /* m */
  uint32_t neighbours;   /* k */
  uint32_t length;       /* items of a session that are kept */
  uint32_t history_max;  /* items of a query */
  uint32_t sessions_max; /* since the snapshot */
  uint32_t reserved;
  double gap_ms;
  double fade;
} wn_vmis_head;

/* A session since the snapshot; its number modulo sessions_max is its place. */
typedef struct wn_vmis_session {
  wn_item_ix *item; /* oldest first, distinct */
  uint32_t len, cap;
  int64_t last_ms;
} wn_vmis_session;

/* The numbers of the newest sessions with an item, oldest first from `begin` on; a ring once it has
 * grown to `recent`. */
typedef struct wn_vmis_list {
  uint32_t *session;
  uint32_t begin, len, cap;
} wn_vmis_list;

typedef struct wn_vmis_live {
  uint32_t items;  /* known ones */
  uint32_t *count; /* [cap] sessions with the item, ever */
  wn_vmis_list *list;
  size_t cap;
  WN_VEC(wn_vmis_session) sessions;
  uint32_t begun; /* sessions so far: numbers 0 … begun − 1, the newest sessions_max are there */
  wn_map64 open;  /* user → number of her newest session + 1; 0: none */
  wn_bitset retired; /* of the snapshot's sessions: they go on in a new one */
  uint32_t resumed;  /* how many */
  bool no_base;      /* whose sessions the snapshot's were is forgotten */
} wn_vmis_live;

typedef struct wn_vmis {
  wn_model base;
  wn_vmis_head head;
  const uint64_t *session_ptr;  /* [sessions + 1] sessions in order of their ends */
  const uint32_t *session_item; /* oldest first */
  const int64_t *session_end;   /* [sessions] */
  const uint64_t *list_ptr;     /* [items + 1] */
  const uint32_t *list_session; /* the newest `recent`, ascending */
  const uint32_t *count;        /* [items] */
  const uint32_t *user_last;    /* [users] her newest session; WN_NO_IX: none */
  void *owned[7];               /* of a fitted model */
  wn_vmis_live live;
} wn_vmis;

/* Once the rest is set. */
WN_MUST_USE wn_status wn_vmis_live_init(wn_vmis *m, wn_error *err);
void wn_vmis_live_clear(wn_vmis_live *live);
size_t wn_vmis_live_bytes(const wn_model *model); /* an upper bound: full sessions */
void wn_vmis_update(wn_model *model, const wn_event *event, float weight);
void wn_vmis_forget(wn_model *model, wn_user_ix user);

#endif
