/* What the CPU can: musl's getauxval says it. OpenSSL takes that of glibc and Android alone; elsewhere it tries instructions out
 * under a handler of SIGILL, a dozen signals at each start on ARM, and reads whether it is setuid from four calls. */
#ifndef __ASSEMBLER__
#include <sys/auxv.h>
#define OSSL_IMPLEMENT_GETAUXVAL
#endif
