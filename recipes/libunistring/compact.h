/* Properties of characters as runs, and canonical decompositions as pairs: searched, not indexed. */
#include <stddef.h>
#include <stdint.h>

/* A run reaches up to the next one: its first character, and what all of it is. */
#define RUN(first, value) ((uint32_t)(first) << 8 | (uint32_t)(value))

/* A character, what it is made of (0: no second part), and whether NFC puts the parts together again. */
#define PAIR(whole, first, second, joins) \
    ((uint64_t)(whole) << 43 | (uint64_t)(first) << 22 | (uint64_t)(second) << 1 | (uint64_t)(joins))

enum { HANGUL = 0xAC00, LEADING = 0x1100, VOWEL = 0x1161, TRAILING = 0x11A7, LEADINGS = 19, VOWELS = 21, TRAILINGS = 28 };

static int property(const uint32_t *runs, size_t count, uint32_t character)
{
    size_t low = 0;
    while (count - low > 1) { /* runs[low] begins at or before the character */
        size_t middle = low + (count - low) / 2;
        if (runs[middle] >> 8 <= character)
            low = middle;
        else
            count = middle;
    }
    return (int)(runs[low] & 0xff);
}

static int decompose(const uint64_t *pairs, size_t count, uint32_t character, uint32_t *parts)
{
    size_t low = 0;
    if (character - HANGUL < LEADINGS * VOWELS * TRAILINGS) {
        uint32_t index = character - HANGUL, trailing = index % TRAILINGS;
        parts[0] = trailing ? character - trailing : LEADING + index / TRAILINGS / VOWELS;
        parts[1] = trailing ? TRAILING + trailing : VOWEL + index / TRAILINGS % VOWELS;
        return 2;
    }
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        uint32_t whole = (uint32_t)(pairs[middle] >> 43);
        if (whole == character) {
            parts[0] = pairs[middle] >> 22 & 0x1fffff;
            parts[1] = pairs[middle] >> 1 & 0x1fffff;
            return parts[1] ? 2 : 1;
        }
        if (whole < character)
            low = middle + 1;
        else
            count = middle;
    }
    return -1;
}

static uint32_t compose(const uint64_t *pairs, size_t count, uint32_t first, uint32_t second)
{
    uint64_t wanted = PAIR(0, first, second, 1);
    if (first - LEADING < LEADINGS && second - VOWEL < VOWELS)
        return HANGUL + ((first - LEADING) * VOWELS + (second - VOWEL)) * TRAILINGS;
    if (first - HANGUL < LEADINGS * VOWELS * TRAILINGS && (first - HANGUL) % TRAILINGS == 0
        && second - TRAILING - 1 < TRAILINGS - 1)
        return first + (second - TRAILING);
    for (size_t index = 0; index < count; index++) /* some microseconds for a whole host name */
        if ((pairs[index] & (((uint64_t)1 << 43) - 1)) == wanted)
            return (uint32_t)(pairs[index] >> 43);
    return 0;
}
