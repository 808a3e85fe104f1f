/* Trust anchors that are built in, for OpenSSL 3: found by the issuer of a certificate, made into one only then. */
#ifndef FROMSCRATCH_ANCHORS_OPENSSL_H
#define FROMSCRATCH_ANCHORS_OPENSSL_H

#include "records.h"

#include <openssl/x509_vfy.h>

/* Have `store` find issuers among the anchors, and where none of them is the issuer, among what else is in it. Takes the place
 * of the store's get_issuer, and its application data. Neither `anchors` nor what it points to is copied. 1, or 0: no memory.
 *
 * An issuer is who has the name and has made the signature: serial number and key identifier, which an anchor has not, do not
 * count. A server that is a root itself is known by name and key, as long as the anchor's own dates allow it. */
int trust_anchors(X509_STORE *store, const struct anchors *anchors);

#endif
