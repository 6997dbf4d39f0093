# One file per instruction set, each compiled for that set alone; the table in
# base/simd/simd.c picks one at start.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(base/simd/simd_avx2.c base/simd/simd_panel_avx2.c base/simd/trees_avx2.c TARGET_DIRECTORY wn_base
    PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma")
  set_source_files_properties(base/simd/simd_avx512.c base/simd/simd_panel_avx512.c base/simd/trees_avx512.c TARGET_DIRECTORY wn_base
    PROPERTIES COMPILE_OPTIONS "-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mfma")
  set_source_files_properties(base/simd/simd_bf16.c TARGET_DIRECTORY wn_base
    PROPERTIES COMPILE_OPTIONS "-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mavx512bf16;-mfma")
  set_source_files_properties(base/simd/coded_vbmi.c TARGET_DIRECTORY wn_base
    PROPERTIES COMPILE_OPTIONS "-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mavx512vbmi;-mpopcnt;-mfma")
  set_source_files_properties(base/simd/scan_avx2.c TARGET_DIRECTORY wn_base
    PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mpopcnt")
  set_source_files_properties(base/simd/scan_avx512.c TARGET_DIRECTORY wn_base
    PROPERTIES COMPILE_OPTIONS "-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mavx512vnni;-mfma;-mpopcnt")
endif()
# no errno from sqrtf, so that loops over it vectorise; no value changes
set_source_files_properties(index/seek_lists.c TARGET_DIRECTORY wn_index
  PROPERTIES COMPILE_OPTIONS "-fno-math-errno")
