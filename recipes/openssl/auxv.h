/* What the CPU can: musl's getauxval says it. OpenSSL takes that of glibc and Android alone; elsewhere it tries instructions out
 * under a handler of SIGILL at each start, and asks four calls whether it is setuid. */
#ifndef __ASSEMBLER__
#include <sys/auxv.h>
#define OSSL_IMPLEMENT_GETAUXVAL
#define HWCAP_S390_VX HWCAP_S390_VXRS /* glibc's name for the kernel's */
#endif
