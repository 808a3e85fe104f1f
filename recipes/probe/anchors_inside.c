/* Mozilla's trust anchors, where tls.c looks for them: one array, in the file as it is. */
#include "anchors.h"

/* Not static: the linker's list of who brought what has no statics. */
extern const unsigned char mozilla_data[];
const unsigned char mozilla_data[] = {
#include "anchors.inc" /* not #embed: the sanitized build has a compiler that does not know it */
};
const struct anchors mozilla = {mozilla_data, sizeof mozilla_data};
