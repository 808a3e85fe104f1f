/* Mozilla's trust anchors, where tls.c looks for them. */
#include "anchors.h"

static const unsigned char data[] = {
#embed "anchors.bin"
};
const struct anchors mozilla = {data, sizeof data};
