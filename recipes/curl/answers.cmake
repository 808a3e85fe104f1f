# Answer what answers.txt knows, once there is a compiler. What a switch says goes before it.
# CMAKE_SIZEOF_VOID_P is empty for s390x, where CMake does not recognize what it compiled.
execute_process(COMMAND sh -c "echo __SIZEOF_POINTER__ | \"$1\" -E -P -" sh "${CMAKE_C_COMPILER}"
    OUTPUT_VARIABLE word OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
file(STRINGS "$ENV{RECIPE}/answers.txt" answers REGEX "^[A-Z]")
foreach(answer IN LISTS answers)
    string(REPLACE " " ";" answer "${answer}")
    list(POP_FRONT answer name value)
    if(value STREQUAL "word")
        set(value "${word}")
    endif()
    if(value STREQUAL "yes")
        set(value 1)
    elseif(value STREQUAL "no")
        set(value "")
    elseif(NOT value MATCHES "^[0-9]+$")
        message(FATAL_ERROR "answers.txt: '${name}' is none of yes, no, word and a number: '${value}'")
    endif()
    if(NOT DEFINED CACHE{${name}})
        set(${name} "${value}" CACHE INTERNAL "")
    endif()
endforeach()
# musl has no libdl, which CMake links with every static OpenSSL.
set(CMAKE_DL_LIBS "")
