#ifndef WN_BASE_C_LOCALE_H
#define WN_BASE_C_LOCALE_H
/* The C locale as an object, for number conversion inside a host program (a Python
 * interpreter, say) that has set another one. Internal to base/. */

#include <locale.h>

locale_t wn_c_locale(void); /* (locale_t)0: out of memory at the first call */

#endif
