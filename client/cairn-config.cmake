# find_package(cairn) gives the target cairn::cairn.
include(CMakeFindDependencyMacro)
find_dependency(Boost 1.81)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/cairn-targets.cmake)
