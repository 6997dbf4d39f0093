# The API's description is embedded in the binary: the assembler reads the file itself.
set_source_files_properties(serve/openapi.c TARGET_DIRECTORY wn_serve PROPERTIES
  COMPILE_DEFINITIONS "WN_OPENAPI_FILE=\"${CMAKE_CURRENT_SOURCE_DIR}/serve/openapi.json\""
  OBJECT_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/serve/openapi.json")

# The web console is built by npm and taken in likewise. AUTO: where npm and Node 18 or newer are there and the
# packages can be had; ON: must be built; OFF: the front page says that it was left out.
set(WINNOW_CONSOLE AUTO CACHE STRING "Build the web console into the binary: AUTO, ON or OFF")
set_property(CACHE WINNOW_CONSOLE PROPERTY STRINGS AUTO ON OFF)
set(console_out ${CMAKE_CURRENT_BINARY_DIR}/console)
set(console_why "WINNOW_CONSOLE is OFF")
if(WINNOW_CONSOLE)
  find_program(WINNOW_NPM npm)
  find_program(WINNOW_NODE node)
  set(node_version 0)
  if(WINNOW_NODE)
    execute_process(COMMAND ${WINNOW_NODE} --version OUTPUT_VARIABLE node_version OUTPUT_STRIP_TRAILING_WHITESPACE)
    string(REPLACE "v" "" node_version "${node_version}")
  endif()
  set(console_why "")
  if(NOT WINNOW_NPM OR node_version VERSION_LESS 18)
    set(console_why "npm and Node 18 or newer are not there (apt-get install nodejs npm)")
  endif()
  if(console_why AND NOT WINNOW_CONSOLE STREQUAL AUTO)
    message(FATAL_ERROR "WINNOW_CONSOLE=ON, but ${console_why}")
  endif()
endif()
if(console_why)
  message(STATUS "Building without the web console: ${console_why}")
else()
  file(GLOB_RECURSE console_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/console/src/*)
  file(GLOB console_own CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/console/*.js* ${PROJECT_SOURCE_DIR}/console/*.html
    ${PROJECT_SOURCE_DIR}/console/public/*)
  add_custom_command(OUTPUT ${console_out}/console.pack ${console_out}/console_table.h
    COMMAND ${PROJECT_SOURCE_DIR}/tools/build-console ${console_out} ${WINNOW_CONSOLE}
    DEPENDS ${console_sources} ${console_own} ${PROJECT_SOURCE_DIR}/tools/build-console
    COMMENT "Building the web console" VERBATIM)
  set_source_files_properties(serve/console.c TARGET_DIRECTORY wn_serve PROPERTIES
    COMPILE_DEFINITIONS "WN_CONSOLE_PACK=\"${console_out}/console.pack\";WN_CONSOLE_TABLE=\"${console_out}/console_table.h\""
    OBJECT_DEPENDS "${console_out}/console.pack;${console_out}/console_table.h")
  target_sources(wn_serve PRIVATE ${console_out}/console_table.h)
endif()
