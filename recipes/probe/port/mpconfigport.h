/* MicroPython as it is inside the probe: no compiler, no files, no modules but `system`. What probe/ uses is on, nothing
 * else; checks of arguments are all on, as hostile bytes pass through here. Meaning of each name: py/mpconfig.h */
#include <alloca.h>
#include <stddef.h>
#include <stdint.h>

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_MINIMUM)
typedef intptr_t mp_int_t;
typedef uintptr_t mp_uint_t;
typedef long mp_off_t;

/* The program is frozen: bytecode with tables of its names. main.c starts it, so nothing imports it. */
#define MICROPY_MODULE_FROZEN_MPY (1)
#define MICROPY_QSTR_EXTRA_POOL mp_qstr_frozen_const_pool

/* Memory: a first part in .bss, of which only what is touched counts, then more from the system up to a bound. Without a
 * collector each object is malloc's, and nothing is freed: so AddressSanitizer sees where each of them ends. */
#ifndef MICROPY_ENABLE_GC
#define MICROPY_ENABLE_GC (1)
#endif
#if MICROPY_ENABLE_GC
#define MICROPY_GC_SPLIT_HEAP (1)
#define MICROPY_GC_SPLIT_HEAP_AUTO (1)
#define MICROPY_GC_ALLOC_THRESHOLD (1)
#define MP_PLAT_ALLOC_HEAP(size) heap_part(size)
#define MP_PLAT_FREE_HEAP(part) heap_forget(part)
void *heap_part(size_t size);
void heap_forget(void *part);
#endif

/* Exceptions, and the search of registers: in the one way that every target has. */
#define MICROPY_NLR_SETJMP (1)
#define MICROPY_GCREGS_SETJMP (1)

/* Checks. */
#define MICROPY_STACK_CHECK (1)
#define MICROPY_FULL_CHECKS (1)
#define MICROPY_BUILTIN_METHOD_CHECK_SELF_ARG (1)
#define MICROPY_CPYTHON_COMPAT (1)

/* Speed that is worth its bytes. */
#define MICROPY_OPT_MAP_LOOKUP_CACHE (1)
#define MICROPY_OPT_LOAD_ATTR_FAST_PATH (1)

/* Numbers. The same digits on every target: MICROPY_FLOAT_FORMAT_IMPL's default asks the width of long double. */
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_DOUBLE)
#define MICROPY_FLOAT_FORMAT_IMPL (MICROPY_FLOAT_FORMAT_IMPL_APPROX)
#define MICROPY_FLOAT_USE_NATIVE_FLT16 (0)
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MPZ_DIG_SIZE (16)
#define MICROPY_PY_BUILTINS_COMPLEX (0)

/* The language. */
#define MICROPY_PY_ASYNC_AWAIT (0)
#define MICROPY_PY_BUILTINS_BYTEARRAY (1)
#define MICROPY_PY_ARRAY_SLICE_ASSIGN (1)
#define MICROPY_PY_BUILTINS_ENUMERATE (1)
#define MICROPY_PY_BUILTINS_MEMORYVIEW (1)
#define MICROPY_PY_BUILTINS_MIN_MAX (1)
#define MICROPY_PY_BUILTINS_SET (1)
#define MICROPY_PY_BUILTINS_SLICE (1)
#define MICROPY_PY_BUILTINS_STR_COUNT (1)
#define MICROPY_PY_BUILTINS_STR_PARTITION (1)
#define MICROPY_PY_BUILTINS_STR_UNICODE (1)
#define MICROPY_PY_ATTRTUPLE (0)
#define MICROPY_PY_GC (0)
#define MICROPY_PY_IO (0)
#define MICROPY_PY_SYS (0)
#define MICROPY_PY___FILE__ (0)

/* Nothing is printed but by the probe itself. */
#define MICROPY_ERROR_REPORTING (MICROPY_ERROR_REPORTING_TERSE)
#define MP_PLAT_PRINT_STRN(text, size) ((void)(text), (void)(size))

#define MP_STATE_PORT MP_STATE_VM
