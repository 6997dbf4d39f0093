#ifndef WN_SERVE_CONFIG_INTERNAL_H
#define WN_SERVE_CONFIG_INTERNAL_H
/* Shared by serve/config*.c. */

#include "serve/config.h"
#include "serve/config_yaml.h"

#define WN_CONFIG_BYTES_MAX (1 << 20)

/* The section `surfaces:`; target: wn_config. */
WN_MUST_USE wn_status wn_config_read_surfaces(wn_yaml *yaml, const yaml_node_t *node, void *target);

#endif
