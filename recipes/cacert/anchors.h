/* Trust anchors that are built in, for mbedTLS 3.6: found by the issuer of a certificate, parsed only then.
 *
 * Wants MBEDTLS_X509_TRUSTED_CERTIFICATE_CALLBACK in mbedTLS's configuration. For a client that trusts whom Mozilla trusts:
 *
 *     static const unsigned char data[] = {
 *     #embed "anchors.bin"
 *     };
 *     static const struct anchors mozilla = {data, sizeof data};
 *     mbedtls_ssl_conf_ca_cb(&config, find_anchors, (void *)&mozilla);
 *
 * mbedtls_ssl_conf_ca_chain takes the place of the callback, for whoever names a file of CAs. mbedTLS looks at no list of
 * revoked certificates (CRL) while there is a callback: who has one makes a chain of all anchors (load_anchors). */
#ifndef FROMSCRATCH_ANCHORS_H
#define FROMSCRATCH_ANCHORS_H

#include "records.h"

#include <mbedtls/x509_crt.h>

/* Give those that may have signed `child`: a list that mbedTLS frees, or NULL. An anchor with a key that mbedTLS cannot
 * use is left out. 0, or MBEDTLS_ERR_X509_ALLOC_FAILED. `anchors` is a struct anchors: this is an mbedtls_x509_crt_ca_cb_t.
 *
 * Each is a certificate that records.h makes, and mbedTLS checks it as it checks any root. It is not the bytes of the root it
 * stands for: the check of a root that a server sends along, or is itself, is by name and key. */
int find_anchors(void *anchors, const mbedtls_x509_crt *child, mbedtls_x509_crt **found);

/* Append all of them to `list`, as find_anchors makes them: many times the work. 0, or MBEDTLS_ERR_X509_ALLOC_FAILED. */
int load_anchors(const struct anchors *anchors, mbedtls_x509_crt *list);

#endif
