/* Mozilla's CA certificates, as PEM with the NUL at its end that mbedTLS wants. */
#include <stddef.h>

extern const unsigned char ca_bundle[];
extern const size_t ca_bundle_size;

const unsigned char ca_bundle[] = {
#embed "cacert.pem"
    , 0};
const size_t ca_bundle_size = sizeof ca_bundle;
