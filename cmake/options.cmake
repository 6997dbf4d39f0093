# Compiler flags, one place. Nothing here depends on the build machine's CPU.
add_compile_definitions(_GNU_SOURCE WINNOW_VERSION="${PROJECT_VERSION}")
add_compile_options(
  -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -fno-common -fstack-protector-strong)
# Fused multiply-adds only where a kernel asks for them, so that results do not
# depend on the compiler's mood: same seed, same bits.
add_compile_options(-ffp-contract=off)
if(WINNOW_WERROR)
  add_compile_options(-Werror)
endif()
if(WINNOW_SANITIZE)
  add_compile_options(-fsanitize=${WINNOW_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${WINNOW_SANITIZE})
  if(WINNOW_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
if(WINNOW_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -g1)
  add_link_options(-fsanitize=address,undefined)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT WINNOW_SANITIZE AND NOT WINNOW_FUZZ)
  add_compile_definitions(_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
