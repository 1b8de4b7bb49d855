# SPDX-License-Identifier: Apache-2.0
# What an install prefix gets: libraries, headers, a pkg-config file, a CMake package, the command, its manual.
include(CMakePackageConfigHelpers)

install(TARGETS orbit orbit_static EXPORT orbit_targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/orbit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(ORBIT_CLI)
  install(TARGETS orbit_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES docs/man/orbit.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

configure_file(cmake/liborbit.pc.in liborbit.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/liborbit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/orbit)
install(EXPORT orbit_targets NAMESPACE orbit:: DESTINATION ${package})
configure_package_config_file(cmake/orbit-config.cmake.in orbit-config.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(orbit-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/orbit-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/orbit-config-version.cmake
  DESTINATION ${package})
