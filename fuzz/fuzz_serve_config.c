/* Configurations: any text is taken or refused with a place inside the file, never anything else;
 * what is taken validates. */

#include "serve/config.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wn_config config;
  wn_error err = {0};
  long lines = 1;
  wn_status status =
      wn_config_parse((wn_str){(const char *)data, size}, "fuzz.yaml", &config, &err);
  /* YAML breaks lines at more than newlines: NEL, LS and PS take two or three bytes. */
  for (size_t i = 0; i < size; i++)
    lines +=
        data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] == 0xa8 || data[i] == 0xa9;
  if (status != WN_OK) {
    if (err.status != status || err.message[0] == '\0') abort();
    if (status == WN_E_CONFIG && (err.line < 1 || err.line > lines + 1 || err.column < 1)) abort();
    return 0;
  }
  for (size_t i = 0; i < config.surfaces.len; i++)
    if (wn_surface_validate(&config.surfaces.data[i], &err) != WN_OK) abort();
  wn_config_clear(&config);
  return 0;
}
