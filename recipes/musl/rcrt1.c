/* The start of a static-PIE program: musl's own rcrt1.c, and what musl leaves to its dynamic loader: the pointers that were
 * filled in are locked (RELRO) before anything else runs. Nobody else would do it for a program that loads itself.
 * https://git.musl-libc.org/cgit/musl/tree/crt/rcrt1.c and, for the locking, reloc_all() in ldso/dynlink.c beside it */
#define SYSCALL_NO_TLS 1 /* there is no thread yet */
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#define START "_start"
#define _dlstart_c _start_c
#include "dlstart.c"

#include "atomic.h"
#include "syscall.h"

int main();
weak void _init();
weak void _fini();
int __libc_start_main(int (*)(), int, char **, void (*)(), void (*)(), void (*)());

static void lock(unsigned char *base, size_t *sp)
{
    size_t aux[AUX_CNT] = {0}, *word = sp + 1 + *sp + 1; /* the count, the words and what ends them */
    while (*word++) /* the environment */
        ;
    for (; *word; word += 2)
        if (*word < AUX_CNT)
            aux[*word] = word[1];
    const unsigned char *row = (const unsigned char *)aux[AT_PHDR];
    for (size_t left = aux[AT_PHNUM]; left; left--, row += aux[AT_PHENT]) {
        const Phdr *header = (const Phdr *)row;
        if (header->p_type != PT_GNU_RELRO)
            continue;
        /* Whole pages only: the rest of the last one is not locked. */
        size_t start = header->p_vaddr & -aux[AT_PAGESZ];
        size_t end = (header->p_vaddr + header->p_memsz) & -aux[AT_PAGESZ];
        if (start == end)
            continue;
        long result = __syscall(SYS_mprotect, base + start, end - start, PROT_READ);
        if (result && result != -ENOSYS)
            a_crash();
    }
}

hidden void __dls2(unsigned char *base, size_t *sp)
{
    lock(base, sp);
    __libc_start_main(main, *sp, (void *)(sp + 1), _init, _fini, 0);
}
