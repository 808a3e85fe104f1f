/* encode IN.pem OUT: trust anchors of certificates, in the form that format.h describes. Runs on the building machine.
 *
 * What would weaken or change a check without being noticed is an error that names the certificate: a CA that is limited
 * in a way that an anchor does not carry, a date that is none, an anchor that is there twice. Signatures are not checked:
 * whoever is in the list is trusted for being in it.
 * https://www.rfc-editor.org/rfc/rfc5280 https://www.rfc-editor.org/rfc/rfc7468 */
#include "format.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCE = 0x30, BOOLEAN = 1, INTEGER = 2, BIT_STRING = 3, OCTETS = 4, OID = 6, UTC_TIME = 0x17, TIME = 0x18 };
enum { MOST_ANCHORS = 0xFFFF, LONGEST_RECORD = 0xFFFF, LONGEST_PATH = 0x7F };

/* The bytes from `at` to `end`; `start` is where the element's tag is. */
typedef struct {
    const unsigned char *start, *at, *end;
} Bytes;

typedef struct {
    unsigned hash;
    size_t size;
    unsigned number; /* of the certificate, for messages */
    unsigned char *record;
} Anchor;

static unsigned number; /* of the certificate that is read, 0: none */

static _Noreturn void refuse(const char *format, ...)
{
    va_list words;
    fputs("anchors: ", stderr);
    if (number)
        fprintf(stderr, "certificate %u ", number);
    va_start(words, format);
    vfprintf(stderr, format, words);
    va_end(words);
    fputc('\n', stderr);
    exit(1);
}

static void *take_memory(size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (!memory)
        refuse("needs more memory than there is");
    return memory;
}

static size_t left(Bytes bytes)
{
    return (size_t)(bytes.end - bytes.at);
}

static bool is_next(const Bytes *from, int tag)
{
    return left(*from) && *from->at == tag;
}

/* The next element, which must have this tag and the shortest form of its length. */
static Bytes take(Bytes *from, int tag, const char *what)
{
    Bytes element = {from->at, from->at + 2, NULL};
    if (left(*from) < 2 || from->at[0] != tag)
        refuse("is damaged: no %s where one must be", what);
    size_t size = from->at[1];
    if (size & 0x80) {
        size_t more = size & 0x7F;
        if (more < 1 || more > 3 || left(*from) < 2 + more)
            refuse("is damaged: the length of its %s", what);
        size = 0;
        for (; more; more--)
            size = size << 8 | *element.at++;
        if (size < 0x80 || size >> 8 * (element.at - from->at - 3) == 0)
            refuse("is not DER: the length of its %s could be shorter", what);
    }
    if (size > (size_t)(from->end - element.at))
        refuse("is damaged: its %s does not end", what);
    element.end = from->at = element.at + size;
    return element;
}

static void must_end(Bytes bytes, const char *what)
{
    if (left(bytes))
        refuse("is damaged: there is something after its %s", what);
}

static bool is(Bytes bytes, const char *expected, size_t size)
{
    return left(bytes) == size && memcmp(bytes.at, expected, size) == 0;
}

/* Seven bytes of digits: RFC 5280, section 4.1.2.5. */
static void take_date(Bytes *from, unsigned char *out, const char *what)
{
    static const unsigned char most[] = {99, 99, 12, 31, 23, 59, 59}, days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    char digits[15];
    bool utc_time = is_next(from, UTC_TIME);
    Bytes time = take(from, utc_time ? UTC_TIME : TIME, what);
    size_t size = utc_time ? 12 : 14;
    if (left(time) != size + 1 || time.at[size] != 'Z')
        refuse("has a %s that is not in UTC, to the second: '%.*s'", what, (int)left(time), (const char *)time.at);
    memcpy(digits + 14 - size, time.at, size);
    if (utc_time) /* two digits of the year: 1950 to 2049 */
        memcpy(digits, digits[2] >= '5' ? "19" : "20", 2);
    unsigned pairs[DATE_SIZE];
    for (int i = 0; i < DATE_SIZE; i++) {
        const char *pair = digits + 2 * i;
        bool numeric = pair[0] >= '0' && pair[0] <= '9' && pair[1] >= '0' && pair[1] <= '9';
        pairs[i] = (unsigned)(10 * (pair[0] - '0') + pair[1] - '0');
        if (!numeric || pairs[i] > most[i])
            refuse("has a %s that is no date: '%.*s'", what, (int)left(time), (const char *)time.at);
        out[i] = (unsigned char)((pair[0] - '0') << 4 | (pair[1] - '0'));
    }
    unsigned year = 100 * pairs[0] + pairs[1], month = pairs[2], day = pairs[3];
    bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);
    if (!month || !day || day > days[month - 1] || (month == 2 && day == 29 && !leap))
        refuse("has a %s that is no date: '%.*s'", what, (int)left(time), (const char *)time.at);
}

/* How many intermediates may follow, -1: nothing is said. Refuses who is no CA. */
static int path_length(Bytes extension)
{
    Bytes constraints = take(&extension, SEQUENCE, "basic constraints");
    must_end(extension, "basic constraints");
    if (!is_next(&constraints, BOOLEAN) || !is(take(&constraints, BOOLEAN, "basic constraints"), "\xFF", 1))
        refuse("is no CA");
    if (!left(constraints))
        return -1;
    Bytes path = take(&constraints, INTEGER, "path length");
    must_end(constraints, "path length");
    if (left(path) != 1 || *path.at > LONGEST_PATH)
        refuse("has a path length that is none, or above %d", LONGEST_PATH);
    return *path.at;
}

static void must_sign_certificates(Bytes extension)
{
    Bytes usage = take(&extension, BIT_STRING, "key usage");
    must_end(extension, "key usage");
    if (left(usage) < 2 || !(usage.at[1] & 0x04))
        refuse("has a key that may not sign certificates");
}

/* RFC 5280, section 4.2. The path length, or -1. */
static int take_extensions(Bytes *from)
{
    Bytes all = take(from, 0xA3, "extensions");
    Bytes list = take(&all, SEQUENCE, "extensions");
    must_end(all, "extensions");
    int path = -2;
    while (left(list)) {
        Bytes extension = take(&list, SEQUENCE, "extension");
        Bytes name = take(&extension, OID, "extension's name");
        bool critical = is_next(&extension, BOOLEAN) && left(take(&extension, BOOLEAN, "extension"));
        Bytes value = take(&extension, OCTETS, "extension's value");
        must_end(extension, "extension's value");
        if (is(name, "\x55\x1D\x13", 3)) {
            if (path != -2)
                refuse("is damaged: it has basic constraints twice");
            path = path_length(value);
        } else if (is(name, "\x55\x1D\x0F", 3)) {
            must_sign_certificates(value);
        } else if (is(name, "\x55\x1D\x1E", 3)) {
            refuse("is limited to some names, which an anchor does not carry");
        } else if (is(name, "\x55\x1D\x25", 3)) {
            refuse("is limited to some purposes, which an anchor does not carry");
        } else if (critical) {
            refuse("is limited by a critical extension that an anchor does not carry");
        }
    }
    if (path == -2)
        refuse("is no CA: it has no basic constraints");
    return path;
}

static void append(Anchor *anchor, const void *data, size_t size)
{
    if (size > LONGEST_RECORD - anchor->size)
        refuse("makes an anchor of more than %d bytes", LONGEST_RECORD);
    memcpy(anchor->record + anchor->size, data, size);
    anchor->size += size;
}

static Anchor read_certificate(Bytes der)
{
    Anchor anchor = {.number = number, .record = take_memory(LONGEST_RECORD)};
    Bytes certificate = take(&der, SEQUENCE, "certificate");
    must_end(der, "certificate");
    Bytes body = take(&certificate, SEQUENCE, "body");
    take(&certificate, SEQUENCE, "signature's algorithm");
    take(&certificate, BIT_STRING, "signature");
    must_end(certificate, "signature");

    bool extended = false; /* versions 1 and 2 know no extensions: that it is in the list makes it a CA */
    if (is_next(&body, 0xA0)) {
        Bytes version = take(&body, 0xA0, "version");
        extended = is(take(&version, INTEGER, "version"), "\2", 1);
    }
    take(&body, INTEGER, "serial number");
    take(&body, SEQUENCE, "signature's algorithm");
    take(&body, SEQUENCE, "issuer");
    Bytes dates = take(&body, SEQUENCE, "dates");
    unsigned char first[DATE_SIZE], last[DATE_SIZE];
    take_date(&dates, first, "notBefore");
    take_date(&dates, last, "notAfter");
    must_end(dates, "dates");
    if (memcmp(first, last, DATE_SIZE) > 0)
        refuse("ends before it begins");
    Bytes subject = take(&body, SEQUENCE, "subject");
    Bytes key = take(&body, SEQUENCE, "public key");
    if (!left(subject))
        refuse("has no subject: nobody could name it as issuer");
    for (int tag = 0x81; tag <= 0x82; tag++) /* unique identifiers, of the time of X.509 version 2 */
        if (is_next(&body, tag))
            take(&body, tag, "unique identifier");
    if (extended && !left(body))
        refuse("is no CA: it has no basic constraints");
    int path = extended ? take_extensions(&body) : -1;
    must_end(body, "extensions");

    append(&anchor, first, DATE_SIZE);
    append(&anchor, last, DATE_SIZE);
    append(&anchor, subject.start, (size_t)(subject.end - subject.start));
    append(&anchor, key.start, (size_t)(key.end - key.start));
    if (path >= 0)
        append(&anchor, &(unsigned char){(unsigned char)path}, 1);
    anchor.hash = hash_name(subject.start, (size_t)(subject.end - subject.start));
    anchor.record = realloc(anchor.record, anchor.size); /* to less */
    return anchor;
}

/* From base64 to bytes, in place: RFC 4648, section 4. */
static Bytes decode(unsigned char *from, const unsigned char *end)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char *out = from;
    const unsigned char *start = from;
    unsigned count = 0, padding = 0;
    uint32_t bits = 0;
    for (; from < end; from++) {
        if (*from == '\n' || *from == '\r')
            continue;
        const char *found = *from ? strchr(alphabet, *from) : NULL;
        if (*from == '=')
            padding++;
        else if (!found || padding)
            refuse("is not base64: byte 0x%02X", *from);
        bits = bits << 6 | (found ? (uint32_t)(found - alphabet) : 0);
        if (++count % 4 == 0) {
            if (padding > 2 || (padding && bits & (padding == 2 ? 0xFFFF : 0xFF)))
                refuse("is not base64: its padding");
            for (unsigned i = 0; i < 3 - padding; i++)
                *out++ = (unsigned char)(bits >> (16 - 8 * i));
            bits = 0;
        }
    }
    if (count % 4)
        refuse("is not base64: it is cut off");
    return (Bytes){start, start, out};
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        refuse("cannot read %s", path);
    long length = ftell(file);
    if (length < 0 || fseek(file, 0, SEEK_SET))
        refuse("cannot read %s", path);
    unsigned char *data = take_memory((size_t)length + 1);
    if (fread(data, 1, (size_t)length, file) != (size_t)length)
        refuse("cannot read %s", path);
    fclose(file);
    data[length] = 0;
    *size = (size_t)length;
    return data;
}

static int in_order(const void *one, const void *other)
{
    const Anchor *a = one, *b = other;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int order = memcmp(a->record, b->record, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* Of every certificate of a PEM file. Text between them is not read; anything else in PEM is a mistake. */
static unsigned read_anchors(unsigned char *pem, Anchor *anchors)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    char *at = (char *)pem;
    unsigned count = 0;
    while ((at = strstr(at, "-----BEGIN "))) {
        number = count + 1;
        if (number > MOST_ANCHORS)
            refuse("is one too many");
        if (strncmp(at, begin, sizeof begin - 1))
            refuse("is none: '%.*s'", (int)strcspn(at, "\r\n"), at);
        at += sizeof begin - 1;
        char *stop = strstr(at, "-----");
        if (!stop || strncmp(stop, end, sizeof end - 1))
            refuse("does not end");
        anchors[count++] = read_certificate(decode((unsigned char *)at, (unsigned char *)stop));
        at = stop + sizeof end - 1;
    }
    number = 0;
    return count;
}

static void put(FILE *file, unsigned value)
{
    fputc((int)(value >> 8), file);
    fputc((int)(value & 0xFF), file);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        refuse("wants IN.pem and OUT");
    size_t size;
    unsigned char *pem = read_file(argv[1], &size);
    if (strlen((char *)pem) != size)
        refuse("%s is not text: it has a NUL in it", argv[1]);
    Anchor *anchors = take_memory(MOST_ANCHORS * sizeof *anchors);
    unsigned count = read_anchors(pem, anchors);
    if (!count)
        refuse("%s holds no certificate", argv[1]);
    qsort(anchors, count, sizeof *anchors, in_order);
    for (unsigned i = 1; i < count; i++) {
        if (in_order(&anchors[i - 1], &anchors[i]) == 0) {
            unsigned one = anchors[i - 1].number, other = anchors[i].number;
            number = one > other ? one : other;
            refuse("is the same anchor as certificate %u", one > other ? other : one);
        }
    }

    FILE *file = fopen(argv[2], "wb");
    if (!file)
        refuse("cannot write %s", argv[2]);
    fwrite(ANCHORS_MAGIC, 1, MAGIC_SIZE, file);
    put(file, count);
    for (unsigned i = 0; i < count; i++) {
        put(file, anchors[i].hash);
        put(file, (unsigned)anchors[i].size);
    }
    for (unsigned i = 0; i < count; i++)
        fwrite(anchors[i].record, 1, anchors[i].size, file);
    if (ferror(file) | fclose(file))
        refuse("cannot write %s", argv[2]);
    return 0;
}
