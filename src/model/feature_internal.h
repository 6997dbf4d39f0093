#ifndef WN_MODEL_FEATURE_INTERNAL_H
#define WN_MODEL_FEATURE_INTERNAL_H
/* What the registry and the filling of rows share. */

#include "model/feature.h"

#define WN_OPINION_DEPTH_MAX 1000
#define WN_ECHO_ITEMS        10 /* newest items that echo, near, crowd and taste look at */

#endif
