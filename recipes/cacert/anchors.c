/* See anchors.h, and format.h for what the bytes mean. */
#include "anchors.h"

#include <mbedtls/platform.h>

static int add_anchor(mbedtls_x509_crt *list, const struct anchor_walk *walk)
{
    unsigned char *der = mbedtls_calloc(1, certificate_space(walk));
    if (!der)
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    size_t size = make_certificate(der, walk);
    int code = size ? mbedtls_x509_crt_parse_der(list, der, size) : MBEDTLS_ERR_X509_INVALID_FORMAT;
    mbedtls_free(der);
    return code;
}

int find_anchors(void *context, const mbedtls_x509_crt *child, mbedtls_x509_crt **found)
{
    struct anchor_walk walk = start_walk(context);
    int hash = (int)hash_name(child->issuer_raw.p, child->issuer_raw.len), code = 0;
    mbedtls_x509_crt *list = NULL;
    while (code != MBEDTLS_ERR_X509_ALLOC_FAILED && next_record(&walk, hash)) {
        if (!list && (list = mbedtls_calloc(1, sizeof *list)))
            mbedtls_x509_crt_init(list);
        code = list ? add_anchor(list, &walk) : MBEDTLS_ERR_X509_ALLOC_FAILED;
    }
    code = code == MBEDTLS_ERR_X509_ALLOC_FAILED ? code : 0;
    if (list && (code || !list->version)) { /* not one of them was of use */
        mbedtls_x509_crt_free(list);
        mbedtls_free(list);
        list = NULL;
    }
    *found = list;
    return code;
}

int load_anchors(const struct anchors *anchors, mbedtls_x509_crt *list)
{
    struct anchor_walk walk = start_walk(anchors);
    while (next_record(&walk, ANY_HASH))
        if (add_anchor(list, &walk) == MBEDTLS_ERR_X509_ALLOC_FAILED)
            return MBEDTLS_ERR_X509_ALLOC_FAILED;
    return 0;
}
