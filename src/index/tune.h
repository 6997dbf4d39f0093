#ifndef WN_INDEX_TUNE_H
#define WN_INDEX_TUNE_H
#include "index/lists.h"

/* Measures a base on `queries` (or on its own rows) and fills in its levels and costs. */
WN_MUST_USE wn_status wn_tune(wn_base *base, const wn_index_options *options, wn_error *err);

#endif
