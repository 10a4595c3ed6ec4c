#include "sha256.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. Worked out
 * instead of listed: a table of 64 numbers is where a slip hides. */
__extension__ typedef unsigned __int128 wide;

static uint32_t root_fraction(unsigned prime, bool cube)
{
    /* the largest r with r^2 or r^3 <= prime * 2^64 or 2^96: its lower 32 bits are the fraction */
    uint64_t low = 0, high = (uint64_t)1 << 37;

    while (low + 1 < high) {
        uint64_t middle = low + (high - low) / 2;
        wide square = (wide)middle * middle;
        bool above;

        if (cube) /* middle^3 > prime * 2^96, without a product of more than 128 bits */
            above = square > ((wide)prime << 96) / middle;
        else
            above = square > (wide)prime << 64;
        if (above)
            high = middle;
        else
            low = middle;
    }
    return (uint32_t)low;
}

static uint32_t constants[64], beginning[8];

static void prepare(void)
{
    unsigned found = 0;

    for (unsigned number = 2; found < 64; number++) {
        bool prime = true;
        for (unsigned divisor = 2; divisor * divisor <= number; divisor++)
            prime &= number % divisor != 0;
        if (!prime)
            continue;
        if (found < 8)
            beginning[found] = root_fraction(number, false);
        constants[found++] = root_fraction(number, true);
    }
}

static uint32_t turn(uint32_t word, unsigned bits)
{
    return word >> bits | word << (32 - bits);
}

static void digest_block(uint32_t state[8], const unsigned char *block)
{
    uint32_t schedule[64], s[8];

    for (size_t i = 0; i < 16; i++)
        schedule[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                      (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (size_t i = 16; i < 64; i++) {
        uint32_t a = schedule[i - 15], b = schedule[i - 2];
        schedule[i] = schedule[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + schedule[i - 7] +
                      (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof s);
    for (size_t i = 0; i < 64; i++) {
        uint32_t one = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) +
                       constants[i] + schedule[i];
        uint32_t two =
            (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (size_t i = 0; i < 8; i++)
        state[i] += s[i];
}

void sha256_hex(const void *bytes, size_t length, char hex[65])
{
    const unsigned char *from = bytes;
    unsigned char last[128] = {0};
    size_t whole = length / 64 * 64, rest = length - whole, padded = rest < 56 ? 64 : 128;
    uint32_t state[8];

    if (!constants[0])
        prepare();
    memcpy(state, beginning, sizeof state);
    for (size_t at = 0; at < whole; at += 64)
        digest_block(state, from + at);
    if (rest)
        memcpy(last, from + whole, rest);
    last[rest] = 0x80;
    for (size_t i = 0; i < 8; i++)
        last[padded - 1 - i] = (unsigned char)((uint64_t)length * 8 >> 8 * i);
    for (size_t at = 0; at < padded; at += 64)
        digest_block(state, last + at);
    for (size_t i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", state[i]);
}
