/* The start of the probe on MicroPython: a heap, the interpreter, the frozen program. The program ends the process itself. */
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "py/bc.h"
#include "py/cstack.h"
#include "py/emitglue.h"
#include "py/gc.h"
#include "py/objexcept.h"
#include "py/objfun.h"
#include "py/runtime.h"
#include "shared/runtime/gchelper.h"

#include "end.h"
#include "system.h"

enum {
    FIRST_HEAP = 1 << 19, /* what may become garbage before somebody looks, too: more memory than that would be touched */
    MOST_HEAP = 14 << 20, /* a body of 2 MiB, held several times */
    LARGEST_STACK = 1 << 20,
};

#if MICROPY_ENABLE_GC
static _Alignas(max_align_t) char first_heap[FIRST_HEAP];
static size_t more_heap;

size_t gc_get_max_new_split(void)
{
    return MOST_HEAP - FIRST_HEAP - more_heap;
}

/* Each part is preceded by its size. */
void *heap_part(size_t size)
{
    size_t whole = size + sizeof(max_align_t) * 2;
    size_t *part = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (part == MAP_FAILED)
        return NULL;
    more_heap += size;
    *part = size;
    return (char *)part + sizeof(max_align_t) * 2;
}

void heap_forget(void *part)
{
    size_t *start = (size_t *)((char *)part - sizeof(max_align_t) * 2);
    more_heap -= *start;
    munmap(start, *start + sizeof(max_align_t) * 2);
}

void gc_collect(void)
{
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}
#endif

/* In place of the C library's, whose tables take 8,000 bytes: MicroPython itself raises only 5 and 10 to whole powers, to read
 * and write numbers, and the probe raises nothing. */
double pow(double base, double exponent)
{
    double power = 1, factor = exponent < 0 ? 1 / base : base;
    unsigned left = (unsigned)(exponent < 0 ? -exponent : exponent);
    if (left != (exponent < 0 ? -exponent : exponent))
        fail("a power that is not whole");
    for (; left; left >>= 1, factor *= factor)
        if (left & 1)
            power *= factor;
    return power;
}

void nlr_jump_fail(void *value)
{
    (void)value;
    fail("an exception without a handler");
}

extern const mp_frozen_module_t *const mp_frozen_mpy_content[];

static MP_NOINLINE void run(void)
{
    nlr_buf_t nlr;
    if (!nlr_push(&nlr)) {
        const mp_frozen_module_t *frozen = mp_frozen_mpy_content[0];
        mp_module_context_t *context = m_new_obj(mp_module_context_t);
        context->module.globals = mp_globals_get();
        context->constants = frozen->constants;
        mp_call_function_0(mp_make_function_from_proto_fun(frozen->proto_fun, context, NULL));
        fail("it came to no end");
    }
    fail(qstr_str(((mp_obj_base_t *)nlr.ret_val)->type->name));
}

int main(int count, char **words, char **environment)
{
    prepare_end();
    keep_arguments(count, words, environment);
    struct rlimit stack;
    size_t most = LARGEST_STACK;
    if (!getrlimit(RLIMIT_STACK, &stack) && stack.rlim_cur / 2 < most)
        most = stack.rlim_cur / 2; /* the other half: for what is called between two looks at the depth */
    mp_cstack_init_with_sp_here(most);
#if MICROPY_ENABLE_GC
    gc_init(first_heap, first_heap + sizeof first_heap);
    MP_STATE_MEM(gc_alloc_threshold) = FIRST_HEAP / MICROPY_BYTES_PER_GC_BLOCK;
#endif
    mp_init();
    run();
}
