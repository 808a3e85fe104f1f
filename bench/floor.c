/* The least that an HTTP check can cost: no C library, one address, one request, the status line. floor IPV4 PORT PATH
 * Exit code 0 for a status below 400. For linux/amd64 alone: https://man7.org/linux/man-pages/man2/syscall.2.html */
enum { READ, WRITE, SOCKET = 41, CONNECT, EXIT = 60 };

static long call(long number, long a, const void *b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static unsigned number(const char **text)
{
    unsigned value = 0;
    while (**text >= '0' && **text <= '9')
        value = value * 10 + (unsigned)(*(*text)++ - '0');
    return value;
}

static char *put(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    return to;
}

__attribute__((used)) static _Noreturn void run(long count, const char **words)
{
    char buffer[4096], *end = buffer;
    long code = 2, length = 0;
    if (count == 4) {
        const char *host = words[1], *port = words[2];
        unsigned char address[16] = {2}; /* AF_INET */
        for (int i = 4; i < 8; i++, host++)
            address[i] = (unsigned char)number(&host);
        unsigned wanted = number(&port);
        address[2] = (unsigned char)(wanted >> 8);
        address[3] = (unsigned char)wanted;
        for (int i = 1; i < count; i++)
            for (const char *at = words[i]; *at; at++)
                length++;
        long stream = call(SOCKET, 2, (void *)1, 0);
        code = 1;
        if (length < 3000 && !call(CONNECT, stream, address, sizeof address)) {
            end = put(put(put(end, "GET "), words[3]), " HTTP/1.1\r\nHost: ");
            end = put(put(put(end, words[1]), ":"), words[2]);
            end = put(end, "\r\nConnection: close\r\n\r\n");
            call(WRITE, stream, buffer, end - buffer);
            /* "HTTP/1.1 200": loopback brings it whole. */
            if (call(READ, stream, buffer, sizeof buffer) > 12 && (buffer[9] == '2' || buffer[9] == '3'))
                code = 0;
        }
    }
    call(EXIT, code, 0, 0);
    __builtin_unreachable();
}

__asm__(".globl _start\n_start: mov (%rsp),%rdi\n lea 8(%rsp),%rsi\n and $-16,%rsp\n call run\n");
