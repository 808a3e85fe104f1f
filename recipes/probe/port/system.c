/* The module `system`: all that the probe asks of the operating system. probe/system.py is the same on CPython, and says
 * what each function is for. Every failure is OSError with its errno; "not now" is a value, never an exception. */
#include "system.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "py/objlist.h"
#include "py/runtime.h"

#include "digest.h"
#ifdef WITH_TLS
#include "tls_micropython.h"
#endif

/* What is received and read passes through here, and becomes an object of its own length. */
static char passage[16384];

static int word_count;
static char **given_words, **given_environment;

void keep_arguments(int count, char **words, char **environment)
{
    word_count = count;
    given_words = words;
    given_environment = environment;
}

static mp_obj_t bytes_of(const char *text, size_t size)
{
    return mp_obj_new_bytes((const byte *)text, size);
}

static mp_obj_t text_of(const char *text)
{
    return mp_obj_new_str(text, strlen(text));
}

/* A result that is negative when it failed. */
static ssize_t checked(ssize_t result)
{
    if (result < 0)
        mp_raise_OSError(errno);
    return result;
}

/* A C string, which holds no NUL but its last. */
static const char *c_text(mp_obj_t object)
{
    size_t size;
    const char *text = mp_obj_str_get_data(object, &size);
    if (strlen(text) != size)
        mp_raise_OSError(EINVAL);
    return text;
}

static mp_buffer_info_t buffer_of(mp_obj_t object)
{
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, MP_BUFFER_READ);
    return buffer;
}

static size_t most_of(mp_obj_t size)
{
    mp_int_t most = mp_obj_get_int(size);
    return most < 0 ? 0 : (size_t)most < sizeof passage ? (size_t)most : sizeof passage;
}

static mp_obj_t arguments(void)
{
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (int i = 1; i < word_count; i++)
        mp_obj_list_append(list, bytes_of(given_words[i], strlen(given_words[i])));
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_0(arguments_object, arguments);

static mp_obj_t environment(void)
{
    mp_obj_t all = mp_obj_new_dict(0);
    for (char **at = given_environment; *at; at++) {
        const char *middle = strchr(*at, '=');
        if (!middle)
            continue;
        mp_map_elem_t *place = mp_map_lookup(mp_obj_dict_get_map(all), bytes_of(*at, middle - *at),
                                             MP_MAP_LOOKUP_ADD_IF_NOT_FOUND);
        if (place->value == MP_OBJ_NULL) /* the first of two counts */
            place->value = bytes_of(middle + 1, strlen(middle + 1));
    }
    return all;
}
static MP_DEFINE_CONST_FUN_OBJ_0(environment_object, environment);

static mp_obj_t seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return mp_obj_new_float(now.tv_sec + now.tv_nsec / 1e9);
}

static mp_obj_t monotonic(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}
static MP_DEFINE_CONST_FUN_OBJ_0(monotonic_object, monotonic);

static mp_obj_t wall_clock(void)
{
    return seconds_of(CLOCK_REALTIME);
}
static MP_DEFINE_CONST_FUN_OBJ_0(wall_clock_object, wall_clock);

static mp_obj_t random_bytes(mp_obj_t size)
{
    size_t most = most_of(size);
    for (size_t got = 0; got < most;)
        got += (size_t)checked(getrandom(passage + got, most - got, 0));
    return bytes_of(passage, most);
}
static MP_DEFINE_CONST_FUN_OBJ_1(random_bytes_object, random_bytes);

static mp_obj_t digest(mp_obj_t name, mp_obj_t data)
{
    unsigned char made[LARGEST_DIGEST];
    mp_buffer_info_t buffer = buffer_of(data);
    size_t size = make_digest(c_text(name), buffer.buf, buffer.len, made);
    if (!size)
        mp_raise_OSError(EINVAL);
    return bytes_of((char *)made, size);
}
static MP_DEFINE_CONST_FUN_OBJ_2(digest_object, digest);

static mp_obj_t hmac_rounds(mp_obj_t key, mp_obj_t data, mp_obj_t rounds)
{
    unsigned char made[2 * LARGEST_DIGEST];
    mp_buffer_info_t key_buffer = buffer_of(key), buffer = buffer_of(data);
    mp_int_t count = mp_obj_get_int(rounds);
    repeat_hmac(key_buffer.buf, key_buffer.len, buffer.buf, buffer.len, count < 0 ? 0 : count, made);
    return bytes_of((char *)made, sizeof made);
}
static MP_DEFINE_CONST_FUN_OBJ_3(hmac_rounds_object, hmac_rounds);

static mp_obj_t error_text(mp_obj_t number)
{
    return text_of(strerror(mp_obj_get_int(number)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(error_text_object, error_text);

static mp_obj_t end_process(mp_obj_t code)
{
    _exit(mp_obj_get_int(code) == 0 ? 0 : 1);
}
static MP_DEFINE_CONST_FUN_OBJ_1(end_object, end_process);

static mp_obj_t process_id(void)
{
    return MP_OBJ_NEW_SMALL_INT(getpid());
}
static MP_DEFINE_CONST_FUN_OBJ_0(process_id_object, process_id);

/* As RFC 3629 has it; the interpreter's own look at UTF-8 is lax. */
static mp_obj_t is_utf8(mp_obj_t data)
{
    mp_buffer_info_t buffer = buffer_of(data);
    const unsigned char *at = buffer.buf, *end = at + buffer.len;
    while (at < end) {
        unsigned char first = *at++, low = 0x80, high = 0xbf;
        if (first < 0x80)
            continue;
        ptrdiff_t more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if (first < 0xc2 || first > 0xf4 || end - at < more)
            return mp_const_false;
        switch (first) { /* too long a form, half a surrogate pair, more than U+10FFFF */
        case 0xe0: low = 0xa0; break;
        case 0xed: high = 0x9f; break;
        case 0xf0: low = 0x90; break;
        case 0xf4: high = 0x8f; break;
        }
        for (; more; more--, at++, low = 0x80, high = 0xbf)
            if (*at < low || *at > high)
                return mp_const_false;
    }
    return mp_const_true;
}
static MP_DEFINE_CONST_FUN_OBJ_1(is_utf8_object, is_utf8);

static mp_obj_t is_open(mp_obj_t descriptor)
{
    struct stat status;
    return mp_obj_new_bool(!fstat(mp_obj_get_int(descriptor), &status));
}
static MP_DEFINE_CONST_FUN_OBJ_1(is_open_object, is_open);

static mp_obj_t open_file(mp_obj_t path)
{
    return MP_OBJ_NEW_SMALL_INT(checked(open(c_text(path), O_RDONLY | O_NONBLOCK | O_CLOEXEC)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(open_file_object, open_file);

static mp_obj_t read_some(mp_obj_t descriptor, mp_obj_t size)
{
    return bytes_of(passage, (size_t)checked(read(mp_obj_get_int(descriptor), passage, most_of(size))));
}
static MP_DEFINE_CONST_FUN_OBJ_2(read_object, read_some);

static mp_obj_t write_some(mp_obj_t descriptor, mp_obj_t data)
{
    mp_buffer_info_t buffer = buffer_of(data);
    return mp_obj_new_int(checked(write(mp_obj_get_int(descriptor), buffer.buf, buffer.len)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(write_object, write_some);

static mp_obj_t close_descriptor(mp_obj_t descriptor)
{
    int number = mp_obj_get_int(descriptor);
#ifdef WITH_TLS
    tls_forget(number);
#endif
    close(number);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(close_object, close_descriptor);

static mp_obj_t file_status(mp_obj_t path)
{
    struct stat status;
    checked(stat(c_text(path), &status));
    mp_obj_t parts[] = {
        MP_OBJ_NEW_SMALL_INT(status.st_mode),
        mp_obj_new_int_from_ll(status.st_size),
        mp_obj_new_float(status.st_mtim.tv_sec + status.st_mtim.tv_nsec / 1e9),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(parts), parts);
}
static MP_DEFINE_CONST_FUN_OBJ_1(file_status_object, file_status);

/* By the system call: opendir() would be the only user of malloc. https://man7.org/linux/man-pages/man2/getdents.2.html */
struct entry {
    uint64_t inode;
    int64_t next;
    unsigned short size;
    unsigned char type;
    char name[];
};

static mp_obj_t list_directory(mp_obj_t path)
{
    int directory = checked(open(c_text(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    mp_obj_t names = mp_obj_new_list(0, NULL);
    static _Alignas(struct entry) char entries[4096];
    for (;;) {
        ssize_t size = syscall(SYS_getdents64, directory, entries, sizeof entries);
        if (size <= 0) {
            int error = errno;
            close(directory);
            if (size < 0)
                mp_raise_OSError(error);
            return names;
        }
        for (ssize_t at = 0; at < size;) {
            struct entry *entry = (struct entry *)(entries + at);
            if (strcmp(entry->name, ".") && strcmp(entry->name, ".."))
                mp_obj_list_append(names, bytes_of(entry->name, strlen(entry->name)));
            at += entry->size;
        }
    }
}
static MP_DEFINE_CONST_FUN_OBJ_1(list_directory_object, list_directory);

static mp_obj_t pack_address(mp_obj_t family, mp_obj_t text)
{
    struct in6_addr packed;
    size_t size;
    const char *literal = mp_obj_str_get_data(text, &size);
    int kind = mp_obj_get_int(family);
    if (strlen(literal) != size || inet_pton(kind, literal, &packed) != 1)
        return mp_const_empty_bytes;
    return bytes_of((char *)&packed, kind == AF_INET ? 4 : 16);
}
static MP_DEFINE_CONST_FUN_OBJ_2(pack_address_object, pack_address);

/* Not inet_ntop(), which would bring all of printf. https://www.rfc-editor.org/rfc/rfc5952#section-4 */
static void add_number(vstr_t *out, unsigned number, unsigned base)
{
    if (number >= base)
        add_number(out, number / base, base);
    vstr_add_char(out, "0123456789abcdef"[number % base]);
}

static void add_v4(vstr_t *out, const unsigned char *packed)
{
    for (int i = 0; i < 4; i++) {
        if (i)
            vstr_add_char(out, '.');
        add_number(out, packed[i], 10);
    }
}

static void add_v6(vstr_t *out, const unsigned char *packed)
{
    static const unsigned char mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (!memcmp(packed, mapped, sizeof mapped)) {
        vstr_add_str(out, "::ffff:");
        add_v4(out, packed + sizeof mapped);
        return;
    }
    unsigned groups[8];
    for (int i = 0; i < 8; i++)
        groups[i] = packed[i * 2] << 8 | packed[i * 2 + 1];
    int from = -1, longest = 1; /* one zero alone is written out */
    for (int i = 0; i < 8; i++) {
        int zeros = 0;
        while (i + zeros < 8 && !groups[i + zeros])
            zeros++;
        if (zeros > longest)
            from = i, longest = zeros;
    }
    for (int i = 0; i < 8; i++) {
        if (i == from) {
            vstr_add_str(out, "::");
            i += longest - 1;
        } else {
            if (i && i != from + longest)
                vstr_add_char(out, ':');
            add_number(out, groups[i], 16);
        }
    }
}

static mp_obj_t address_text(mp_obj_t packed)
{
    mp_buffer_info_t buffer = buffer_of(packed);
    vstr_t out;
    vstr_init(&out, INET6_ADDRSTRLEN);
    if (buffer.len == 4)
        add_v4(&out, buffer.buf);
    else if (buffer.len == 16)
        add_v6(&out, buffer.buf);
    else
        mp_raise_OSError(EAFNOSUPPORT);
    return mp_obj_new_str_from_vstr(&out);
}
static MP_DEFINE_CONST_FUN_OBJ_1(address_text_object, address_text);

static mp_obj_t interface_index(mp_obj_t name)
{
    unsigned index = if_nametoindex(c_text(name));
    if (!index)
        mp_raise_OSError(errno);
    return mp_obj_new_int_from_uint(index);
}
static MP_DEFINE_CONST_FUN_OBJ_1(interface_index_object, interface_index);

static mp_obj_t open_socket(mp_obj_t family, mp_obj_t kind)
{
    int number = mp_obj_get_int(family), type = mp_obj_get_int(kind);
    ssize_t opened = checked(socket(number, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (type == SOCK_STREAM && number != AF_UNIX)
        setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return MP_OBJ_NEW_SMALL_INT(opened);
}
static MP_DEFINE_CONST_FUN_OBJ_2(open_socket_object, open_socket);

static mp_obj_t connect_socket(size_t count, const mp_obj_t *words)
{
    (void)count;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } address = {.any.sa_family = mp_obj_get_int(words[1])};
    mp_buffer_info_t target = buffer_of(words[2]);
    socklen_t size;
    if (address.any.sa_family == AF_UNIX) {
        size = offsetof(struct sockaddr_un, sun_path) + target.len;
        if (target.len > sizeof address.local.sun_path)
            return MP_OBJ_NEW_SMALL_INT(ENAMETOOLONG);
        memcpy(address.local.sun_path, target.buf, target.len);
    } else if (address.any.sa_family == AF_INET && target.len == 4) {
        size = sizeof address.v4;
        address.v4.sin_port = htons(mp_obj_get_int(words[3]));
        memcpy(&address.v4.sin_addr, target.buf, target.len);
    } else if (address.any.sa_family == AF_INET6 && target.len == 16) {
        size = sizeof address.v6;
        address.v6.sin6_port = htons(mp_obj_get_int(words[3]));
        address.v6.sin6_scope_id = mp_obj_get_int(words[4]);
        memcpy(&address.v6.sin6_addr, target.buf, target.len);
    } else {
        return MP_OBJ_NEW_SMALL_INT(EAFNOSUPPORT);
    }
    int failed = connect(mp_obj_get_int(words[0]), &address.any, size);
    return MP_OBJ_NEW_SMALL_INT(failed ? errno : 0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(connect_object, 5, 5, connect_socket);

static mp_obj_t connection_error(mp_obj_t descriptor)
{
    int number = mp_obj_get_int(descriptor);
    struct sockaddr_storage peer = {0}, own = {0};
    socklen_t size = sizeof peer;
    if (getpeername(number, (struct sockaddr *)&peer, &size)) {
        int error = 0;
        size = sizeof error;
        checked(getsockopt(number, SOL_SOCKET, SO_ERROR, &error, &size));
        return MP_OBJ_NEW_SMALL_INT(error ? error : EINPROGRESS);
    }
    if (peer.ss_family == AF_UNIX)
        return MP_OBJ_NEW_SMALL_INT(0);
    /* A loopback port nobody listens on can become our own: TCP then connects us with ourselves. */
    size = sizeof own;
    checked(getsockname(number, (struct sockaddr *)&own, &size));
    return MP_OBJ_NEW_SMALL_INT(memcmp(&peer, &own, sizeof own) ? 0 : ECONNREFUSED);
}
static MP_DEFINE_CONST_FUN_OBJ_1(connection_error_object, connection_error);

static bool not_now(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EINTR);
}

static mp_obj_t receive(mp_obj_t descriptor, mp_obj_t size)
{
    ssize_t got = recv(mp_obj_get_int(descriptor), passage, most_of(size), 0);
    return not_now(got) ? mp_const_none : bytes_of(passage, (size_t)checked(got));
}
static MP_DEFINE_CONST_FUN_OBJ_2(receive_object, receive);

static mp_obj_t send_some(mp_obj_t descriptor, mp_obj_t data)
{
    mp_buffer_info_t buffer = buffer_of(data);
    ssize_t sent = send(mp_obj_get_int(descriptor), buffer.buf, buffer.len, MSG_NOSIGNAL);
    return mp_obj_new_int(not_now(sent) ? -1 : checked(sent));
}
static MP_DEFINE_CONST_FUN_OBJ_2(send_object, send_some);

static int milliseconds(mp_float_t seconds)
{
    if (!(seconds > 0))
        return 0;
    if (seconds >= INT_MAX / 1000)
        return INT_MAX;
    int whole = (int)(seconds * 1000);
    return whole < seconds * 1000 ? whole + 1 : whole;
}

static mp_obj_t wait(mp_obj_t pairs, mp_obj_t seconds)
{
    size_t count, size;
    mp_obj_t *pair, *part;
    mp_obj_get_array(pairs, &count, &pair);
    struct pollfd *all = m_new(struct pollfd, count);
    for (size_t i = 0; i < count; i++) {
        mp_obj_get_array(pair[i], &size, &part);
        if (size != 2)
            mp_raise_OSError(EINVAL);
        all[i] = (struct pollfd){.fd = mp_obj_get_int(part[0]), .events = mp_obj_get_int(part[1])};
    }
    mp_obj_t fired = mp_obj_new_list(0, NULL);
    if (poll(all, count, milliseconds(mp_obj_get_float(seconds))) < 0) {
        if (errno != EINTR)
            mp_raise_OSError(errno);
        return fired;
    }
    for (size_t i = 0; i < count; i++)
        if (all[i].revents)
            mp_obj_list_append(fired, MP_OBJ_NEW_SMALL_INT(all[i].fd));
    return fired;
}
static MP_DEFINE_CONST_FUN_OBJ_2(wait_object, wait);

static const mp_rom_map_elem_t names[] = {
    {MP_ROM_QSTR(MP_QSTR_INET), MP_ROM_INT(AF_INET)},
    {MP_ROM_QSTR(MP_QSTR_INET6), MP_ROM_INT(AF_INET6)},
    {MP_ROM_QSTR(MP_QSTR_UNIX), MP_ROM_INT(AF_UNIX)},
    {MP_ROM_QSTR(MP_QSTR_STREAM), MP_ROM_INT(SOCK_STREAM)},
    {MP_ROM_QSTR(MP_QSTR_DATAGRAM), MP_ROM_INT(SOCK_DGRAM)},
    {MP_ROM_QSTR(MP_QSTR_READABLE), MP_ROM_INT(POLLIN)},
    {MP_ROM_QSTR(MP_QSTR_WRITABLE), MP_ROM_INT(POLLOUT)},
    {MP_ROM_QSTR(MP_QSTR_AGAIN), MP_ROM_INT(EAGAIN)},
    {MP_ROM_QSTR(MP_QSTR_IN_PROGRESS), MP_ROM_INT(EINPROGRESS)},
    {MP_ROM_QSTR(MP_QSTR_REFUSED), MP_ROM_INT(ECONNREFUSED)},
    {MP_ROM_QSTR(MP_QSTR_NO_ADDRESS), MP_ROM_INT(EADDRNOTAVAIL)},
    {MP_ROM_QSTR(MP_QSTR_NO_FAMILY), MP_ROM_INT(EAFNOSUPPORT)},
    {MP_ROM_QSTR(MP_QSTR_BROKEN_PIPE), MP_ROM_INT(EPIPE)},
    {MP_ROM_QSTR(MP_QSTR_RESET), MP_ROM_INT(ECONNRESET)},
    {MP_ROM_QSTR(MP_QSTR_NOT_FOUND), MP_ROM_INT(ENOENT)},
    {MP_ROM_QSTR(MP_QSTR_arguments), MP_ROM_PTR(&arguments_object)},
    {MP_ROM_QSTR(MP_QSTR_environment), MP_ROM_PTR(&environment_object)},
    {MP_ROM_QSTR(MP_QSTR_monotonic), MP_ROM_PTR(&monotonic_object)},
    {MP_ROM_QSTR(MP_QSTR_wall_clock), MP_ROM_PTR(&wall_clock_object)},
    {MP_ROM_QSTR(MP_QSTR_random_bytes), MP_ROM_PTR(&random_bytes_object)},
    {MP_ROM_QSTR(MP_QSTR_digest), MP_ROM_PTR(&digest_object)},
    {MP_ROM_QSTR(MP_QSTR_hmac_rounds), MP_ROM_PTR(&hmac_rounds_object)},
    {MP_ROM_QSTR(MP_QSTR_error_text), MP_ROM_PTR(&error_text_object)},
    {MP_ROM_QSTR(MP_QSTR_end), MP_ROM_PTR(&end_object)},
    {MP_ROM_QSTR(MP_QSTR_process_id), MP_ROM_PTR(&process_id_object)},
    {MP_ROM_QSTR(MP_QSTR_is_open), MP_ROM_PTR(&is_open_object)},
    {MP_ROM_QSTR(MP_QSTR_open_file), MP_ROM_PTR(&open_file_object)},
    {MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&read_object)},
    {MP_ROM_QSTR(MP_QSTR_write), MP_ROM_PTR(&write_object)},
    {MP_ROM_QSTR(MP_QSTR_close), MP_ROM_PTR(&close_object)},
    {MP_ROM_QSTR(MP_QSTR_file_status), MP_ROM_PTR(&file_status_object)},
    {MP_ROM_QSTR(MP_QSTR_list_directory), MP_ROM_PTR(&list_directory_object)},
    {MP_ROM_QSTR(MP_QSTR_is_utf8), MP_ROM_PTR(&is_utf8_object)},
    {MP_ROM_QSTR(MP_QSTR_pack_address), MP_ROM_PTR(&pack_address_object)},
    {MP_ROM_QSTR(MP_QSTR_address_text), MP_ROM_PTR(&address_text_object)},
    {MP_ROM_QSTR(MP_QSTR_interface_index), MP_ROM_PTR(&interface_index_object)},
    {MP_ROM_QSTR(MP_QSTR_open_socket), MP_ROM_PTR(&open_socket_object)},
    {MP_ROM_QSTR(MP_QSTR_connect), MP_ROM_PTR(&connect_object)},
    {MP_ROM_QSTR(MP_QSTR_connection_error), MP_ROM_PTR(&connection_error_object)},
    {MP_ROM_QSTR(MP_QSTR_receive), MP_ROM_PTR(&receive_object)},
    {MP_ROM_QSTR(MP_QSTR_send), MP_ROM_PTR(&send_object)},
    {MP_ROM_QSTR(MP_QSTR_wait), MP_ROM_PTR(&wait_object)},
#ifdef WITH_TLS
    {MP_ROM_QSTR(MP_QSTR_HAS_TLS), MP_ROM_TRUE},
    {MP_ROM_QSTR(MP_QSTR_HAS_ANCHORS), MP_ROM_TRUE},
    {MP_ROM_QSTR(MP_QSTR_open_tls), MP_ROM_PTR(&tls_open_object)},
#else
    {MP_ROM_QSTR(MP_QSTR_HAS_TLS), MP_ROM_FALSE},
    {MP_ROM_QSTR(MP_QSTR_HAS_ANCHORS), MP_ROM_FALSE},
    {MP_ROM_QSTR(MP_QSTR_open_tls), MP_ROM_NONE}, /* imported with the others, never called */
#endif
};
static MP_DEFINE_CONST_DICT(system_names, names);
const mp_obj_module_t system_module = {{&mp_type_module}, (mp_obj_dict_t *)&system_names};
MP_REGISTER_MODULE(MP_QSTR_system, system_module);
