# CMake's view of the toolchain. CFLAGS and LDFLAGS come from the environment, which CMake reads by itself.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR $ENV{PROCESSOR})
if(NOT DEFINED CMAKE_C_COMPILER) # a recipe may bring its own, as C++ has to
    set(CMAKE_C_COMPILER $ENV{TOOLCHAIN}/bin/cc)
endif()
set(CMAKE_AR $ENV{TOOLCHAIN}/bin/ar)
set(CMAKE_RANLIB $ENV{TOOLCHAIN}/bin/ranlib)
set(CMAKE_LINKER $ENV{TOOLCHAIN}/bin/ld)
# Only what a recipe names is ever found: never the libraries of the machine.
set(CMAKE_FIND_ROOT_PATH $ENV{SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
