#include "directories.h"

#include <limits.h>
#include <string.h>

int parse_directories(mbedtls_x509_crt *list, const char *directories)
{
    char name[PATH_MAX];
    int failed = MBEDTLS_ERR_X509_FILE_IO_ERROR, others = -1;
    for (const char *at = directories; *at;) {
        size_t size = strcspn(at, ":");
        if (size && size < sizeof name) {
            memcpy(name, at, size);
            name[size] = '\0';
            int code = mbedtls_x509_crt_parse_path(list, name);
            if (code < 0)
                failed = code;
            else
                others = code + (others > 0 ? others : 0);
        }
        at += size + (at[size] == ':');
    }
    return others < 0 ? failed : others;
}
