/* Directories of CA certificates, for mbedTLS, which reads one. */
#ifndef FROMSCRATCH_DIRECTORIES_H
#define FROMSCRATCH_DIRECTORIES_H

#include <mbedtls/x509_crt.h>

/* Append what is in the directories of a list with colons between them, as SSL_CERT_DIR has it. An empty name means nothing,
 * and of several those that cannot be read do not count, as long as one can. 0 or more: how many files held no certificate; or
 * the error of the last directory. */
int parse_directories(mbedtls_x509_crt *list, const char *directories);

#endif
