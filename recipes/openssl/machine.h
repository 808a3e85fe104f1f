/* Included first, everywhere. What the CPU can: musl's getauxval says it. OpenSSL takes that of glibc and Android alone; elsewhere
 * it tries instructions out under a handler of SIGILL at each start, and asks four calls whether it is setuid. */
#ifndef __ASSEMBLER__
#include <sys/auxv.h>
#define OSSL_IMPLEMENT_GETAUXVAL
#define HWCAP_S390_VX HWCAP_S390_VXRS /* glibc's name for the kernel's */
#endif
/* Whether eight bytes can be read at once clang asks a library on x86, where they need not be aligned: locks will do there. */
#ifdef __i386__
#define BROKEN_CLANG_ATOMICS
#endif
