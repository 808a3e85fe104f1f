/* See anchors_openssl.h, and format.h for what the bytes mean. */
#include "anchors_openssl.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include <stdlib.h>

enum { NO_MEMORY = -1, APPLICATION_DATA = 0 };

/* The certificate of a record, which the caller frees; NULL: a key that OpenSSL cannot use, or no memory. */
static X509 *make_anchor(const struct anchor_walk *walk, int *no_memory)
{
    unsigned char *der = malloc(certificate_space(walk));
    if (!der) {
        *no_memory = 1;
        return NULL;
    }
    const unsigned char *at = der;
    size_t size = make_certificate(der, walk);
    X509 *anchor = size ? d2i_X509(NULL, &at, (long)size) : NULL;
    free(der);
    return anchor;
}

static int is_issuer(X509 *anchor, X509 *child)
{
    EVP_PKEY *key = X509_get0_pubkey(anchor);
    return key && X509_NAME_cmp(X509_get_subject_name(anchor), X509_get_issuer_name(child)) == 0 && X509_verify(child, key) == 1;
}

static int is_valid_now(X509_STORE_CTX *context, const X509 *anchor)
{
    return X509_cmp_timeframe(X509_STORE_CTX_get0_param(context), X509_get0_notBefore(anchor), X509_get0_notAfter(anchor)) == 0;
}

/* Of those who have signed `child` the first that is valid now, or else the last. NULL when there is none. */
static X509 *find_anchor(X509_STORE_CTX *context, const struct anchors *anchors, X509 *child, int *no_memory)
{
    const unsigned char *name;
    size_t size;
    if (!X509_NAME_get0_der(X509_get_issuer_name(child), &name, &size))
        return NULL;
    struct anchor_walk walk = start_walk(anchors);
    int hash = (int)hash_name(name, size);
    X509 *found = NULL;
    while (!*no_memory && next_record(&walk, hash)) {
        X509 *anchor = make_anchor(&walk, no_memory);
        if (!anchor || !is_issuer(anchor, child)) {
            X509_free(anchor);
            continue;
        }
        X509_free(found);
        found = anchor;
        if (is_valid_now(context, found))
            break;
    }
    return found;
}

/* An X509_STORE_CTX_get_issuer_fn. */
static int get_issuer(X509 **issuer, X509_STORE_CTX *context, X509 *child)
{
    const struct anchors *anchors = X509_STORE_get_ex_data(X509_STORE_CTX_get0_store(context), APPLICATION_DATA);
    int no_memory = 0;
    ERR_set_mark();
    X509 *found = find_anchor(context, anchors, child, &no_memory);
    ERR_pop_to_mark();
    if (no_memory) {
        X509_free(found);
        return NO_MEMORY;
    }
    if (!found)
        return X509_STORE_CTX_get1_issuer(issuer, context, child);
    /* OpenSSL believes a server that is a root when it is the issuer that was found, byte for byte. */
    if (X509_self_signed(child, 0) == 1 && EVP_PKEY_eq(X509_get0_pubkey(child), X509_get0_pubkey(found)) == 1 &&
        is_valid_now(context, found)) {
        X509_free(found);
        found = X509_up_ref(child) ? child : NULL;
    }
    *issuer = found;
    return found ? 1 : NO_MEMORY;
}

int trust_anchors(X509_STORE *store, const struct anchors *anchors)
{
    X509_STORE_set_get_issuer(store, get_issuer);
    return X509_STORE_set_ex_data(store, APPLICATION_DATA, (void *)anchors);
}
