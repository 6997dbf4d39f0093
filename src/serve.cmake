# The API's description is embedded in the binary: the assembler reads the file itself.
set_source_files_properties(serve/openapi.c TARGET_DIRECTORY wn_serve PROPERTIES
  COMPILE_DEFINITIONS "WN_OPENAPI_FILE=\"${CMAKE_CURRENT_SOURCE_DIR}/serve/openapi.json\""
  OBJECT_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/serve/openapi.json")
