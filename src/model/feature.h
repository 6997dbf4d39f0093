#ifndef WN_MODEL_FEATURE_H
#define WN_MODEL_FEATURE_H
/* The registry of features: one definition for training and for serving. A feature set is a list of
 * families; each fills its columns for the candidates of one query. What is not known is NaN:
 * trees learn on which side that belongs. */

#include "model/exposed.h"
#include "model/item_facts.h"

#define WN_OPINIONS_MAX     32
#define WN_OPINION_NAME_MAX 31
#define WN_FEATURES_MAX     256
#define WN_FEATURE_NAME_MAX 95
#define WN_FEATURES_VERSION 2 /* of the definitions: another one cannot score with these trees */

/* A model's list for a user, made from all of her history or from its newest items alone. */
typedef struct wn_opinion {
  char model[WN_OPINION_NAME_MAX + 1];
  uint32_t newest; /* items of the history; 0: all */
  uint32_t flags;
} wn_opinion;
#define WN_OPINION_ECHO 1u /* its newest ten items are also asked about one by one */
#define WN_OPINION_NEAR 2u /* it has vectors of items */

typedef enum wn_feature_family_ix {
  WN_FEATURES_PLACE, /* of each opinion: place, 0 the first */
  WN_FEATURES_SCORE, /* of each opinion: (score − last) / deviation of its list */
  WN_FEATURES_JOINT, /* of all opinions together */
  WN_FEATURES_ECHO,  /* of single items of the history */
  WN_FEATURES_NEAR,  /* cosines of item vectors */
  WN_FEATURES_CROWD, /* how many took the item, and when in their own history */
  WN_FEATURES_PULSE, /* how many took it lately */
  WN_FEATURES_AGE,
  WN_FEATURES_TASTE, /* shared values of attributes */
  WN_FEATURES_PRICE,
  WN_FEATURES_OWN, /* what the user did with this very item */
  WN_FEATURES_USER,
  WN_FEATURES_MOMENT,     /* the request's time */
  WN_FEATURES_POSITION,   /* 1: what if it stood first; training has where it stood */
  WN_FEATURES_SHOWN,      /* what came of showing the item, as of training */
  WN_FEATURES_PAIR,       /* co-visitation, each pair of kinds of facts by itself */
  WN_FEATURES_TEXT,       /* cosines of what texts and attributes say */
  WN_FEATURES_IMPRESSION, /* what this user was shown in vain */
  WN_FEATURES_CONTEXT,    /* what the request says of itself */
  WN_FEATURE_FAMILIES
} wn_feature_family_ix;

/* Which features, in a fixed order. Snapshot section. */
typedef struct wn_feature_set {
  uint32_t version;
  uint32_t families; /* bit f: family f */
  uint32_t opinions;
  uint32_t depth;    /* of each opinion's list */
  uint32_t attrs;    /* of the facts */
  uint16_t levels;   /* kinds of facts that co-visitation tells apart; 0: one */
  uint16_t contexts; /* of the facts */
  wn_opinion opinion[WN_OPINIONS_MAX];
} wn_feature_set;

#define WN_FEATURES_DEFAULT                                                                        \
  (((1u << WN_FEATURE_FAMILIES) - 1) & ~(1u << WN_FEATURES_MOMENT | 1u << WN_FEATURES_POSITION |   \
                                         1u << WN_FEATURES_TEXT | 1u << WN_FEATURES_IMPRESSION))

const char *wn_feature_family_name(unsigned family); /* "place"; NULL past the last */
const char *wn_feature_family_doc(unsigned family);
/* "place, score, crowd": these; "-pulse, -age": the default without them; "+moment": with it; "":
 * the default. WN_E_ARGUMENT names what is unknown and what there is. */
WN_MUST_USE wn_status wn_feature_families_parse(const char *text, uint32_t *families,
                                                wn_error *err);
uint32_t wn_features_count(const wn_feature_set *set);
/* First column of a family; its width is that of the next one's minus this. */
uint32_t wn_features_begin(const wn_feature_set *set, unsigned family);
/* "place in covisit, newest 1"; returns buf. */
const char *wn_feature_name(const wn_feature_set *set, const wn_item_facts *facts, uint32_t at,
                            char *buf, size_t size);
/* What a snapshot says, before it is believed. */
WN_MUST_USE wn_status wn_feature_set_check(const wn_feature_set *set, const char *section,
                                           wn_error *err);

/* What features are made from. */
typedef struct wn_feature_world {
  const wn_feature_set *set;
  const wn_model *model[WN_OPINIONS_MAX]; /* of each opinion; NULL: missing */
  const wn_item_facts *facts;
} wn_feature_world;

/* A list that somebody has already; data NULL: ask. */
typedef struct wn_feature_list {
  const wn_scored *data;
  size_t len;
} wn_feature_list;

/* Candidates of one query, each in one row; in the query's arena. */
typedef struct wn_feature_rows {
  uint32_t *item;
  float *feature; /* [len × features] */
  size_t len, features;
} wn_feature_rows;

/* What rows are asked of. */
typedef struct wn_feature_ask {
  const wn_feature_list *lists; /* of each opinion */
  const uint32_t *item;         /* [len]; NULL: all that the lists name, in order of first naming */
  size_t len;
  const wn_exposed *exposed; /* what the user was shown before; NULL: not known */
} wn_feature_ask;

/* Every opinion's list; `known` (of each opinion, or NULL) saves the asking. */
WN_MUST_USE wn_status wn_feature_lists(const wn_feature_world *world, const wn_query *query,
                                       const wn_feature_list *known,
                                       wn_feature_list lists[WN_OPINIONS_MAX], wn_error *err);
WN_MUST_USE wn_status wn_feature_rows_of(const wn_feature_world *world, const wn_query *query,
                                         const wn_feature_ask *ask, wn_feature_rows *out,
                                         wn_error *err);
/* The columns that change with the time of the events met (crowd, pulse, age), once more: training
 * fills them when its replay of the past has come to that moment. */
void wn_feature_retime(const wn_feature_world *world, const wn_query *query, wn_feature_rows *rows);

#endif
