# SPDX-License-Identifier: Apache-2.0
# How Orbit's own C is compiled: one place for flags.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_library(orbit_flags INTERFACE)
target_compile_options(orbit_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -fno-common -fstack-protector-strong)
target_compile_definitions(orbit_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_include_directories(orbit_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
if(ORBIT_WERROR)
  target_compile_options(orbit_flags INTERFACE -Werror)
endif()
if(ORBIT_SANITIZE)
  target_compile_options(orbit_flags INTERFACE -fsanitize=${ORBIT_SANITIZE} -fno-omit-frame-pointer)
  if(CMAKE_C_COMPILER_ID STREQUAL GNU) # its flow warnings go astray in instrumented code; the other builds have them
    target_compile_options(orbit_flags INTERFACE -Wno-array-bounds -Wno-stringop-overflow -Wno-maybe-uninitialized)
  endif()
  target_link_options(orbit_flags INTERFACE -fsanitize=${ORBIT_SANITIZE})
endif()
