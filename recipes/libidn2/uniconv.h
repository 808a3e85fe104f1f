/* In the place of libunistring's: the strings of our programs are UTF-8, whatever LC_ALL says. musl knows no other encoding
 * but bytes without meaning, and its iconv would bring 100 KB of tables. What is not UTF-8 is refused by u8_to_u32. */
#ifndef UNICONV_H
#define UNICONV_H
#include <stdint.h>
#include <string.h>

enum iconv_ilseq_handler { iconveh_error };

static inline const char *locale_charset(void)
{
    return "UTF-8";
}

static inline uint8_t *u8_strconv_from_encoding(const char *text, const char *encoding, enum iconv_ilseq_handler handler)
{
    (void)encoding, (void)handler;
    return (uint8_t *)strdup(text);
}

static inline char *u8_strconv_to_encoding(const uint8_t *text, const char *encoding, enum iconv_ilseq_handler handler)
{
    (void)encoding, (void)handler;
    return strdup((const char *)text);
}
#endif
