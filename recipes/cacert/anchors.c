/* See anchors.h, and format.h for what the bytes mean. */
#include "anchors.h"

#include "format.h"

#include <mbedtls/asn1.h>
#include <mbedtls/error.h>
#include <mbedtls/platform.h>

#include <stdint.h>
#include <string.h>

enum { SEQUENCE = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE, LONG_HEAD = 4, DIGITS = 14 };

/* What of a certificate is the same in all of them. Nobody checks an anchor's signature: the shortest that mbedTLS reads. */
static const unsigned char start[] = {0xA0, 3, 2, 1, 2 /* version 3 */, 2, 1, 1 /* serial number */};
static const unsigned char algorithm[] = {0x30, 10, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2}; /* ecdsa-with-SHA256 */
static const unsigned char signature[] = {3, 1, 0};
/* Extensions: the basic constraints alone, with cA true, and in the second with a path length, its last byte. */
static const unsigned char any_path[] = {0xA3, 16, 0x30, 14, 0x30, 12, 6, 3, 0x55, 0x1D, 0x13, 4, 5, 0x30, 3, 1, 1, 0xFF};
static const unsigned char short_path[] = {0xA3, 19, 0x30, 17, 0x30, 15,   6, 3, 0x55, 0x1D, 0x13,
                                           4,    8,  0x30, 6,  1,    1, 0xFF, 2, 1,    0};
enum { MADE_SIZE = 2 * LONG_HEAD + sizeof start + 2 * sizeof algorithm + 2 + 2 * (2 + DIGITS + 1) + sizeof short_path + sizeof signature };

static size_t get16(const unsigned char *at)
{
    return (size_t)(at[0] << 8 | at[1]);
}

static unsigned char *put(unsigned char *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

/* The head of a sequence that ends at `end`. */
static void put_head(unsigned char *at, const unsigned char *end)
{
    size_t size = (size_t)(end - at) - LONG_HEAD;
    put(at, (unsigned char[]){SEQUENCE, 0x82, (unsigned char)(size >> 8), (unsigned char)size}, LONG_HEAD);
}

static unsigned char *put_date(unsigned char *at, const unsigned char *date)
{
    *at++ = MBEDTLS_ASN1_GENERALIZED_TIME;
    *at++ = DIGITS + 1;
    for (int i = 0; i < DIGITS; i++)
        *at++ = '0' + (date[i / 2] >> (i % 2 ? 0 : 4) & 0x0F);
    *at++ = 'Z';
    return at;
}

/* Write a certificate for an anchor, and return its end. `der` has place for MADE_SIZE and two records. */
static unsigned char *make_certificate(unsigned char *der, const unsigned char *record, const unsigned char *subject_end,
                                       const unsigned char *key_end, const unsigned char *end)
{
    const unsigned char *subject = record + 2 * DATE_SIZE;
    unsigned char *body = der + LONG_HEAD, *at = body + LONG_HEAD;
    at = put(at, start, sizeof start);
    at = put(at, algorithm, sizeof algorithm);
    at = put(at, subject, (size_t)(subject_end - subject)); /* as issuer */
    at = put(at, (unsigned char[]){SEQUENCE, 2 * (2 + DIGITS + 1)}, 2);
    at = put_date(at, record);
    at = put_date(at, record + DATE_SIZE);
    at = put(at, subject, (size_t)(key_end - subject)); /* and the key */
    if (key_end == end) {
        at = put(at, any_path, sizeof any_path);
    } else {
        at = put(at, short_path, sizeof short_path);
        at[-1] = *key_end;
    }
    put_head(body, at);
    at = put(at, algorithm, sizeof algorithm);
    at = put(at, signature, sizeof signature);
    put_head(der, at);
    return at;
}

static int add_anchor(mbedtls_x509_crt *list, const unsigned char *record, size_t size)
{
    /* mbedTLS reads through pointers to what it could change, and does not change it. */
    unsigned char *at = (unsigned char *)record + 2 * DATE_SIZE, *key;
    const unsigned char *end = record + size;
    size_t length;
    if (size < 2 * DATE_SIZE || mbedtls_asn1_get_tag(&at, end, &length, SEQUENCE))
        return MBEDTLS_ERR_X509_INVALID_FORMAT;
    key = at += length;
    if (mbedtls_asn1_get_tag(&at, end, &length, SEQUENCE))
        return MBEDTLS_ERR_X509_INVALID_FORMAT;
    at += length;
    unsigned char *der = mbedtls_calloc(2, size + MADE_SIZE / 2 + 1);
    if (!der)
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    unsigned char *der_end = make_certificate(der, record, key, at, end);
    int code = mbedtls_x509_crt_parse_der(list, der, (size_t)(der_end - der));
    mbedtls_free(der);
    return code;
}

size_t count_anchors(const struct anchors *anchors)
{
    if (anchors->size < HEAD_SIZE || memcmp(anchors->data, ANCHORS_MAGIC, MAGIC_SIZE))
        return 0;
    size_t count = get16(anchors->data + MAGIC_SIZE);
    return HEAD_SIZE + count * ENTRY_SIZE <= anchors->size ? count : 0;
}

int find_anchors(void *context, const mbedtls_x509_crt *child, mbedtls_x509_crt **found)
{
    const struct anchors *anchors = context;
    size_t count = count_anchors(anchors), hash = hash_name(child->issuer_raw.p, child->issuer_raw.len), size;
    mbedtls_x509_crt *list = NULL;
    int code = 0;
    *found = NULL;
    if (!count)
        return 0;
    const unsigned char *entry = anchors->data + HEAD_SIZE;
    const unsigned char *record = entry + count * ENTRY_SIZE, *end = anchors->data + anchors->size;
    /* From one to the next: there are about a hundred, and only those of this hash are read. */
    for (; count && code != MBEDTLS_ERR_X509_ALLOC_FAILED; count--, entry += ENTRY_SIZE, record += size) {
        size = get16(entry + 2);
        if (size > (size_t)(end - record))
            break;
        if (get16(entry) != hash)
            continue;
        if (!list && (list = mbedtls_calloc(1, sizeof *list)))
            mbedtls_x509_crt_init(list);
        code = list ? add_anchor(list, record, size) : MBEDTLS_ERR_X509_ALLOC_FAILED;
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
    size_t count = count_anchors(anchors), size;
    const unsigned char *entry = anchors->data + HEAD_SIZE;
    const unsigned char *record = entry + count * ENTRY_SIZE, *end = anchors->data + anchors->size;
    for (; count; count--, entry += ENTRY_SIZE, record += size) {
        size = get16(entry + 2);
        if (size > (size_t)(end - record))
            break;
        if (add_anchor(list, record, size) == MBEDTLS_ERR_X509_ALLOC_FAILED)
            return MBEDTLS_ERR_X509_ALLOC_FAILED;
    }
    return 0;
}
