/* The trust anchors inside of the tool, and `--dump-ca-embed`. */
#include "anchors.h"

#include <mbedtls/base64.h>

#include <stdio.h>

const unsigned char curl_ca_embed[] = {
#embed "anchors.bin"
};
const size_t curl_ca_embed_size = sizeof curl_ca_embed;

/* Write them as certificates in PEM, which --cacert takes, and what kind of certificates that is. 0, or 1 if it fails. */
int dump_ca_embed(void)
{
    struct anchors anchors = {curl_ca_embed, sizeof curl_ca_embed};
    mbedtls_x509_crt list;
    mbedtls_x509_crt_init(&list);
    int failed = load_anchors(&anchors, &list) != 0;
    puts("# The trust anchors inside of this curl: name, public key, dates and path length of each of Mozilla's CA\n"
         "# certificates, as certificates without a signature.");
    for (mbedtls_x509_crt *one = &list; one && one->raw.len && !failed; one = one->next) {
        puts("-----BEGIN CERTIFICATE-----");
        for (size_t at = 0, left = one->raw.len; left;) {
            unsigned char line[65];
            size_t part = left < 48 ? left : 48, size;
            mbedtls_base64_encode(line, sizeof line, &size, one->raw.p + at, part);
            puts((char *)line);
            at += part;
            left -= part;
        }
        puts("-----END CERTIFICATE-----");
    }
    mbedtls_x509_crt_free(&list);
    return failed | (fflush(stdout) != 0);
}
