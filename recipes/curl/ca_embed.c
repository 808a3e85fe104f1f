/* The trust anchors inside of the tool, and `--dump-ca-embed`. */
#include "records.h"

#include <stdio.h>
#include <stdlib.h>

const unsigned char curl_ca_embed[] = {
#embed "anchors.bin"
};
const size_t curl_ca_embed_size = sizeof curl_ca_embed;

/* In base64, with lines of 64: https://www.rfc-editor.org/rfc/rfc7468#section-2 */
static void put_base64(const unsigned char *data, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < size; at += 3) {
        size_t left = size - at;
        unsigned bits = (unsigned)data[at] << 16 | (left > 1 ? (unsigned)data[at + 1] << 8 : 0) | (left > 2 ? data[at + 2] : 0);
        putchar(alphabet[bits >> 18]);
        putchar(alphabet[bits >> 12 & 63]);
        putchar(left > 1 ? alphabet[bits >> 6 & 63] : '=');
        putchar(left > 2 ? alphabet[bits & 63] : '=');
        if (left <= 3 || at % 48 == 45)
            putchar('\n');
    }
}

/* Write them as certificates in PEM, which --cacert takes, and what kind of certificates that is. 0, or 1 if it fails. */
int dump_ca_embed(void)
{
    /* Counted at run time: a finished file can be given other anchors. */
    const unsigned char *volatile data = curl_ca_embed;
    struct anchors anchors = {data, sizeof curl_ca_embed};
    struct anchor_walk walk = start_walk(&anchors);
    puts("# The trust anchors inside of this curl: name, public key, dates and path length of each of Mozilla's CA\n"
         "# certificates, as certificates without a signature.");
    while (next_record(&walk, ANY_HASH)) {
        unsigned char *der = malloc(certificate_space(&walk));
        if (!der)
            return 1;
        puts("-----BEGIN CERTIFICATE-----");
        put_base64(der, make_certificate(der, &walk));
        puts("-----END CERTIFICATE-----");
        free(der);
    }
    return fflush(stdout) != 0;
}
