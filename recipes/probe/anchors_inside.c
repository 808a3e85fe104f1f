/* Mozilla's trust anchors, where tls.c looks for them: one array, in the file as it is. */
#include "anchors.h"

static const unsigned char data[] = {
#include "anchors.inc" /* not #embed: the sanitized build has a compiler that does not know it */
};
const struct anchors mozilla = {data, sizeof data};
