/* Random bytes from the kernel's own call. mbedTLS asks it on glibc alone and opens /dev/urandom everywhere else, which
 * an empty root does not have. https://man7.org/linux/man-pages/man2/getrandom.2.html */
#include <errno.h>
#include <stddef.h>
#include <sys/random.h>

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t size, size_t *written);

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t size, size_t *written)
{
    (void)data;
    for (*written = 0; *written < size;) {
        ssize_t got = getrandom(output + *written, size - *written, 0);
        if (got < 0 && errno != EINTR)
            return -0x003C; /* MBEDTLS_ERR_ENTROPY_SOURCE_FAILED */
        if (got > 0)
            *written += (size_t)got;
    }
    return 0;
}
